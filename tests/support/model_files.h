/*
 * model_files.h - small model files and folders for tests, and the plain writes they need.
 *
 * A failed write or allocation ends the program: it is no failure of what is tested.
 */
#ifndef FR_TESTS_MODEL_FILES_H
#define FR_TESTS_MODEL_FILES_H

#include "model/arch.h"
#include "model/files/safetensors.h"
#include "support/suite.h"

/** Print "what name" and end the program. */
_Noreturn void fr_test_give_up(const char *what, const char *name);
/** The pointer, or give up if it is NULL. */
void *fr_test_memory(void *pointer);

void fr_test_write(const char *path, const void *data, size_t bytes);
void fr_test_write_text(const char *path, const char *text);
/** "folder/name" in a ring of 8 buffers. */
const char *fr_test_path(const char *folder, const char *name);

/** Header length, header text and data as one safetensors file; the caller frees. */
uint8_t *fr_test_safetensors(const char *header, const void *data, size_t data_bytes,
                             size_t *n_bytes);

/** Write tensors (named as they are) to a safetensors file. */
void fr_test_write_tensors(const char *path, const fr_safetensor *const *tensors,
                           int64_t n);

/** Copy a tensor of that dtype and number of elements; fails the test if there is none. */
void fr_test_copy_tensor(const fr_safetensors *file, const char *name,
                         const char *dtype, int64_t n, void *out);

/**
 * A fresh folder whose config.json is that of `model` (under tests/golden) with fields replaced by the
 * JSON text `changes` (an object; NULL for none), and whose model.safetensors is a link to the model's.
 */
const char *fr_test_model_folder(const char *model, const char *changes);

/**
 * A fresh folder with a model of a few kilobytes whose sizes are no multiples of anything: llama with
 * biases and a head width of its own, or gpt2 without the "transformer." prefix; 2 layers, random
 * weights of dtype F32, F16 or BF16.
 */
/** Which of the two kinds of micro models. */
typedef enum fr_test_kind { FR_LLAMA, FR_GPT2 } fr_test_kind;
const char *fr_test_micro_folder(fr_test_kind family, const char *dtype);

#endif
