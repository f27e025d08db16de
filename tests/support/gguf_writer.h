/*
 * gguf_writer.h - write small GGUF files for tests: metadata and tensors by name, then one call.
 *
 * Setting a key or tensor again replaces it. Out of memory or a failed write ends the program.
 */
#ifndef FR_TESTS_GGUF_WRITER_H
#define FR_TESTS_GGUF_WRITER_H

#include "model/files/gguf.h"

typedef struct fr_gguf_writer fr_gguf_writer;

fr_gguf_writer *fr_gguf_writer_create(void);
void fr_gguf_writer_destroy(fr_gguf_writer **writer);

void fr_gguf_writer_set_u32(fr_gguf_writer *writer, const char *key, uint32_t value);
void fr_gguf_writer_set_f32(fr_gguf_writer *writer, const char *key, float value);
void fr_gguf_writer_set_bool(fr_gguf_writer *writer, const char *key, bool value);
void fr_gguf_writer_set_text(fr_gguf_writer *writer, const char *key,
                             const char *value);
void fr_gguf_writer_set_texts(fr_gguf_writer *writer, const char *key,
                              const char *const *values, int64_t n);
/** Strings that may hold any bytes. */
void fr_gguf_writer_set_views(fr_gguf_writer *writer, const char *key,
                              const fr_text *values, int64_t n);
void fr_gguf_writer_set_ints(fr_gguf_writer *writer, const char *key,
                             const int32_t *values, int64_t n);
void fr_gguf_writer_set_reals(fr_gguf_writer *writer, const char *key,
                              const float *values, int64_t n);
/** A value as raw bytes after its type number. */
void fr_gguf_writer_set_raw(fr_gguf_writer *writer, const char *key, fr_gguf_type type,
                            const void *bytes, size_t n_bytes);

/** A tensor of `rows` rows of `columns` elements; rows 0 makes it a vector. The bytes are copied. */
void fr_gguf_writer_set_tensor(fr_gguf_writer *writer, const char *name, uint32_t type,
                               int64_t rows, int64_t columns, const void *data);

/** Remove a key or tensor that is there. */
void fr_gguf_writer_remove(fr_gguf_writer *writer, const char *name);

/**
 * Part `number` (from 1) of `count`, to be changed and written: an equal share of the tensors in their order, the metadata in the
 * first part, and what every part says of the split. The caller destroys it.
 */
fr_gguf_writer *fr_gguf_writer_part(const fr_gguf_writer *writer, int64_t number,
                                    int64_t count);
/** Write all parts as `folder`/NAME-00001-of-....gguf. */
void fr_gguf_writer_write_parts(const fr_gguf_writer *writer, const char *folder,
                                const char *name, int64_t count);

/** The file's bytes; the caller frees. */
uint8_t *fr_gguf_writer_bytes(const fr_gguf_writer *writer, size_t *n_bytes);
void fr_gguf_writer_write(const fr_gguf_writer *writer, const char *path);

/**
 * Add the metadata and tensors of a Hugging Face folder (Llama or GPT-2, one model.safetensors, F32) as
 * the usual converter does: llama's Q and K rows go to adjacent RoPE pairs, GPT-2's Conv1D matrices
 * are transposed. No tokenizer.
 */
void fr_gguf_writer_add_folder(fr_gguf_writer *writer, const char *folder);

#endif
