/*
 * fuzz.h - what the fuzzers share: one context, files in memory, inputs of several parts, and what counts as an answer.
 *
 * A fuzzer is one file fuzz_NAME.c with LLVMFuzzerTestOneInput. Whatever it is given, it returns 0 or ends the program:
 * a crash, a sanitizer's report, a wrong answer (fuzz_answer), or a promise of a header that does not hold (fuzz_check).
 */
#ifndef FR_TESTS_FUZZ_H
#define FR_TESTS_FUZZ_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>

/** What libFuzzer calls for every input; the bytes are a heap block of exactly this size. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** The one context of the program, without an error; it logs nothing. */
fr_ctx *fuzz_ctx(void);

/**
 * Whether the reader accepted. A refusal must have a message and one of the codes for bad input (FR_ERR_ARG, CONFIG,
 * DATA, FORMAT, UNSUPPORTED, CHECKPOINT, NUMERIC); anything else ends the program. Clears the error.
 */
bool fuzz_answer(fr_ctx *ctx, fr_status status);

/** End the program, saying what does not hold, unless it holds. */
void fuzz_check(bool holds, const char *what);

/** A folder of this process on a file system in memory where there is one; removed when the program ends by itself. */
const char *fuzz_folder(void);

/** Write folder/name (folders in the name are made); its path, valid until the seventh call after this one. */
const char *fuzz_write(const char *name, const void *data, size_t bytes);
/** Path of folder/name in the same ring. */
const char *fuzz_path(const char *name);
/** Remove folder/name if it is there. */
void fuzz_remove(const char *name);

/** One part of an input. */
typedef struct fuzz_part {
    const uint8_t *data;
    size_t bytes;
} fuzz_part;

/** Between the parts of an input that stands for several files. */
#define FUZZ_SEPARATOR "\n-8<-\n"

/** Cut an input at its separators into at most `most` parts; the last holds the rest. @return how many, at least 1 */
int fuzz_split(const uint8_t *data, size_t size, fuzz_part *parts, int max);

/** Make the folder of this execution hold one file of each name, in the order of the input's parts; those for which
 * there is no part are removed. @return how many there are */
int fuzz_write_parts(const uint8_t *data, size_t size, const char *const *names,
                     int n_names);

/** A part as a block of its own with a closing zero that the caller frees. */
char *fuzz_text(fuzz_part part);
/** The same without a zero: exactly its bytes. */
char *fuzz_block(fuzz_part part);

#endif
