/*
 * safetensors_out.h - the bytes of a safetensors file (safetensors.h has the format).
 */
#ifndef FR_MODEL_FILES_SAFETENSORS_OUT_H
#define FR_MODEL_FILES_SAFETENSORS_OUT_H

#include "model/files/safetensors.h"

/** A tensor to write, in F32; row-major. */
typedef struct fr_safetensor_out {
    const char *name; /* UTF-8; not "__metadata__" */
    int n_dims;       /* at most FR_SAFETENSOR_MAX_DIMS; 0: a scalar */
    int64_t shape[FR_SAFETENSOR_MAX_DIMS];
    const float *data;
} fr_safetensor_out;

/**
 * Make the bytes of a file with these tensors, in this order, and the note that PyTorch's readers ask for
 * ("format": "pt"). The data begins at a multiple of 8 bytes. Equal content gives equal bytes.
 * @param[out] image  the caller frees; NULL on failure
 * @return FR_OK; FR_ERR_ARG (a name that is not UTF-8, is "__metadata__" or stands there twice; too many dimensions, one
 *         that is negative, or more than memory has addresses for)
 */
FR_MUST_CHECK fr_status fr_safetensors_image(fr_ctx *ctx,
                                             const fr_safetensor_out *tensors,
                                             int64_t n, uint8_t **image, size_t *bytes);

#endif
