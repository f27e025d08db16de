/*
 * safetensors.h - one safetensors file: its directory of tensors, everything checked, nothing copied.
 *
 * The file stays mapped read-only while the handle lives. Names live in the handle, and tensor data points into the
 * mapping.
 *
 * Format: u64 header length, that many bytes of JSON
 *   {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...},
 * then the data, in which the tensors lie one after the other without holes or overlap.
 */
#ifndef FR_MODEL_FILES_SAFETENSORS_H
#define FR_MODEL_FILES_SAFETENSORS_H

#include "device/quant.h"
#include "model/files/gguf.h"

typedef struct fr_safetensors fr_safetensors;

/** Weights have at most two dimensions; the rest is for other tensors (masks, images) that a file may hold. */
enum { FR_SAFETENSOR_MAX_DIMS = 8 };

/** One tensor, row-major: the last dimension is the fastest. */
typedef struct fr_safetensor {
    fr_text name;      /* also NUL-terminated */
    const char *dtype; /* "F32", "BF16", "I64", ... as in the file */
    const fr_quant_type
        *type; /* NULL: GGUF lacks this type, so the tensor cannot be a weight */
    size_t item_bytes;
    int n_dims; /* 0: a scalar */
    int64_t shape[FR_SAFETENSOR_MAX_DIMS];
    int64_t n;           /* product of the shape; may be 0 */
    const uint8_t *data; /* need not be aligned */
    size_t bytes;
} fr_safetensor;

/**
 * Open a file and check its whole directory.
 *
 * @return FR_OK; FR_ERR_DATA (missing file); FR_ERR_FORMAT, where the message names the file and the tensor: the
 *         header is longer than the file or than 100 MB or is not valid JSON, a name occurs twice, a dtype is unknown,
 *         a tensor has more than 8 dimensions, its shape and size disagree or overflow, its offsets lie outside the
 *         data, or the tensors overlap or leave holes
 */
FR_MUST_CHECK fr_status fr_safetensors_open(fr_ctx *ctx, const char *path,
                                            fr_safetensors **out);

/** Parse `bytes` bytes, which are borrowed and must outlive the handle; `path` is used in messages. */
FR_MUST_CHECK fr_status fr_safetensors_parse(fr_ctx *ctx, const char *path,
                                             const uint8_t *data, size_t bytes,
                                             fr_safetensors **out);
void fr_safetensors_close(fr_safetensors **file);
/** Give the file's pages back, as fr_map_release does; it does nothing where the bytes are borrowed. */
void fr_safetensors_release(const fr_safetensors *file);
/** The stamp of the file when it was opened; zeros where the bytes are borrowed. */
fr_stamp fr_safetensors_stamp(const fr_safetensors *file);

const char *fr_safetensors_path(const fr_safetensors *file);
int64_t fr_safetensors_n_tensors(const fr_safetensors *file);
/** Tensors are numbered in the order of the header. */
const fr_safetensor *fr_safetensors_tensor_at(const fr_safetensors *file,
                                              int64_t index);
/** The tensor of that name; NULL if there is none. */
const fr_safetensor *fr_safetensors_find(const fr_safetensors *file, const char *name);

#endif
