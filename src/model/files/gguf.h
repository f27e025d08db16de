/*
 * gguf.h - parse a GGUF v3 file: metadata and tensor directory, everything checked, nothing copied.
 *
 * Version 2, which has the same layout, is read too. A model may lie in several files (split.count, split.no,
 * NAME-00002-of-00003.gguf): they are opened as one. The metadata are those of the first part; the tensors are those of all
 * parts, in their order. Files stay mapped read-only while the handle lives. Strings
 * and tensor data point into the mapping; the strings are NOT NUL-terminated.
 *
 * A damaged or hostile file gives FR_ERR_FORMAT, and the message names the file, the key or tensor, and the byte.
 * Refused are counts, lengths, offsets, alignments and shapes that overflow or lie outside the file, tensors that
 * overlap, duplicate names, zero dimensions and unknown value types. Bad UTF-8 is allowed. Of a model in parts, so are a
 * missing part, parts that do not belong together, and a number of tensors other than split.tensors.count.
 */
#ifndef FR_MODEL_FILES_GGUF_H
#define FR_MODEL_FILES_GGUF_H

#include "base/file.h"
#include "base/text.h"

#include <stdint.h>

typedef struct fr_gguf fr_gguf;

typedef enum fr_gguf_type {
    FR_GGUF_U8,
    FR_GGUF_I8,
    FR_GGUF_U16,
    FR_GGUF_I16,
    FR_GGUF_U32,
    FR_GGUF_I32,
    FR_GGUF_F32,
    FR_GGUF_BOOL,
    FR_GGUF_STRING,
    FR_GGUF_ARRAY,
    FR_GGUF_U64,
    FR_GGUF_I64,
    FR_GGUF_F64
} fr_gguf_type;

/** A metadata value: a scalar, a string, or an array of one scalar or string type. */
typedef struct fr_gguf_value {
    fr_gguf_type type;
    fr_gguf_type item_type; /* arrays: type of the items */
    uint64_t count;         /* arrays: number of items; else 1 */
    const uint8_t *data;    /* first item as it lies in the file */
} fr_gguf_value;

/** One tensor; dimensions in GGUF order: ne[0] is the fastest (the row length). */
typedef struct fr_gguf_tensor {
    fr_text name;
    uint32_t type; /* ggml type number */
    int n_dims;
    int64_t ne[4]; /* unused dimensions are 1 */
    const uint8_t *data;
    size_t bytes;
} fr_gguf_tensor;

/** Map the file and check its whole directory. If it is a part of a model, all parts are opened, whichever is given.
 * @return FR_OK; FR_ERR_DATA (missing file or part); FR_ERR_FORMAT; FR_ERR_UNSUPPORTED (a version or a type of tensor) */
FR_MUST_CHECK fr_status fr_gguf_open(fr_ctx *ctx, const char *path, fr_gguf **out);
void fr_gguf_close(fr_gguf **gguf);
/** Give the pages of all files back, as fr_map_release does; it does nothing where the bytes are borrowed. */
void fr_gguf_release(const fr_gguf *gguf);
/** The number of files: 1, or that of the parts. */
int64_t fr_gguf_n_files(const fr_gguf *gguf);
/** A file's path, and its stamp when it was opened; zeros where the bytes are borrowed. */
const char *fr_gguf_file(const fr_gguf *gguf, int64_t index, fr_stamp *stamp);

/** The value of a key; NULL if the key is absent. */
const fr_gguf_value *fr_gguf_find(const fr_gguf *gguf, const char *key);

int64_t fr_gguf_n_tensors(const fr_gguf *gguf);
const fr_gguf_tensor *fr_gguf_tensor_at(const fr_gguf *gguf, int64_t index);
const fr_gguf_tensor *fr_gguf_find_tensor(const fr_gguf *gguf, const char *name);

/* Readers of one scalar. Each returns false if the key is absent or its value is of another kind. */

/** Accepts any integer type. */
bool fr_gguf_get_int(const fr_gguf *gguf, const char *key, int64_t *out);
bool fr_gguf_get_real(const fr_gguf *gguf, const char *key, double *out);
bool fr_gguf_get_bool(const fr_gguf *gguf, const char *key, bool *out);
bool fr_gguf_get_text(const fr_gguf *gguf, const char *key, fr_text *out);

/**
 * All items of an array of strings, as views into the file; the caller frees *out.
 * @return FR_OK; FR_ERR_FORMAT if the key is absent or not an array of strings
 */
FR_MUST_CHECK fr_status fr_gguf_get_texts(fr_ctx *ctx, const fr_gguf *gguf,
                                          const char *key, fr_text **out, int64_t *n);
/** All items of an array of any integer type as int64; the caller frees *out. It returns as fr_gguf_get_texts does. */
FR_MUST_CHECK fr_status fr_gguf_get_ints(fr_ctx *ctx, const fr_gguf *gguf,
                                         const char *key, int64_t **out, int64_t *n);
/** All items of an array of numbers of any type as double; the caller frees *out. It returns as fr_gguf_get_texts does. */
FR_MUST_CHECK fr_status fr_gguf_get_reals(fr_ctx *ctx, const fr_gguf *gguf,
                                          const char *key, double **out, int64_t *n);

/** Whether two values have the same type and the same bytes. */
bool fr_gguf_same_value(const fr_gguf_value *a, const fr_gguf_value *b);

/** The path of the file, or of the first part. */
const char *fr_gguf_path(const fr_gguf *gguf);

#endif
