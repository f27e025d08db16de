/*
 * safetensors.h - one safetensors file: its directory of tensors, everything checked, nothing copied.
 *
 * The file stays mapped read-only while the handle lives;
 * names live in the handle, tensor data points into the mapping.
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

enum { FR_SAFETENSOR_MAX_DIMS = 8 };

/** One tensor, row-major: the last dimension is the fastest. */
typedef struct fr_safetensor {
    fr_text name;              /* also NUL-terminated */
    const char *dtype;         /* "F32", "BF16", "I64", ... as in the file */
    const fr_quant_type *type; /* NULL: GGUF has no such type, it cannot be a weight */
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
 * @return FR_OK; FR_ERR_DATA (missing file); FR_ERR_FORMAT naming the file and the tensor (header
 *         beyond the file or over 100 MB, broken JSON, a name twice, unknown dtype, more than 8
 *         dimensions, shape and size that disagree or overflow, offsets outside the data, overlaps,
 *         holes)
 */
FR_MUST_CHECK fr_status fr_safetensors_open(fr_ctx *ctx, const char *path,
                                            fr_safetensors **out);

/** The same from memory that is borrowed and outlives the handle; `path` is used in messages. */
FR_MUST_CHECK fr_status fr_safetensors_parse(fr_ctx *ctx, const char *path,
                                             const uint8_t *data, size_t bytes,
                                             fr_safetensors **out);
void fr_safetensors_close(fr_safetensors **file);
/** As fr_map_release; nothing where the bytes are borrowed. */
void fr_safetensors_release(const fr_safetensors *file);
/** Of the file; zeros where the bytes are borrowed. */
fr_stamp fr_safetensors_stamp(const fr_safetensors *file);

const char *fr_safetensors_path(const fr_safetensors *file);
int64_t fr_safetensors_n_tensors(const fr_safetensors *file);
/** In the order of the header. */
const fr_safetensor *fr_safetensors_tensor_at(const fr_safetensors *file,
                                              int64_t index);
/** NULL if there is none of that name. */
const fr_safetensor *fr_safetensors_find(const fr_safetensors *file, const char *name);

#endif
