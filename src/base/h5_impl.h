/*
 * h5_impl.h - what the files of the HDF5 wrapper share; the only include of hdf5.h.
 *
 * Private to h5*.c.
 */
#ifndef FR_BASE_H5_IMPL_H
#define FR_BASE_H5_IMPL_H

#include "base/h5.h"

#include <hdf5.h>

struct fr_h5 {
    fr_ctx *ctx;
    char *name;
    hid_t file; /* negative: closed */
    bool writing;
    bool out_of_memory; /* the library could not grow the image */
    uint8_t *image;     /* writing: the file so far, grown by the library's callbacks */
    size_t bytes;       /* of the image */
    size_t block;       /* writing: of its user block */
    size_t capacity;    /* writing: allocated */
};

/** Record that the library could not do `action` at `place`, with its innermost reason. */
fr_status fr_h5_fail(fr_h5 *h5, const char *action, const char *place);

/** FR_ERR_CHECKPOINT for a place that is there but not as it should be. */
fr_status fr_h5_unfit(fr_h5 *h5, const char *place, const char *what);

/** FR_OK if `path` and all its parents are there by hard links. */
FR_MUST_CHECK fr_status fr_h5_check_path(fr_h5 *h5, const char *path);

#endif
