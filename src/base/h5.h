/*
 * h5.h - HDF5 files in memory: groups, f32 arrays, scalar attributes. No other header shows the library.
 *
 * A file is made as an image in memory and opened from one. Nothing here touches a disk, so a
 * full disk cannot leave the library with a file that it can neither write nor close. Images have the
 * newest format (checksummed metadata), contiguous arrays whose offsets the caller gets, a user block for the
 * caller's own use, and no times: the same content gives the same bytes.
 *
 * The library is not safe against hostile files, even those with right checksums (1.10.8 crashes on many). Files from
 * outside are therefore read in a process of its own (cli/convert.h).
 *
 * `object` and `path` are absolute ("/tasks/a"); parents must exist. Reading follows hard links only and
 * refuses filters other than Fletcher-32 and storage outside the image, so that a foreign file cannot
 * lead to other files or to code. Failures: FR_ERR_CHECKPOINT of a file that is read (missing or of
 * another type or shape than asked for), FR_ERR_INTERNAL of one that is made; each names the file, the
 * place and the library's innermost reason. The library's own error printing is switched off.
 * Not thread-safe: one thread at a time over all handles.
 */
#ifndef FR_BASE_H5_H
#define FR_BASE_H5_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>

enum {
    FR_H5_MIN_BLOCK = 512, /* bytes of the smallest user block; all are powers of two */
    FR_H5_MAX_RANK = 4,
    FR_H5_ALIGNMENT = 8 /* of an array's place in the file */
};

typedef struct fr_h5 fr_h5;

/**
 * Begin an empty file.
 * @param name      how messages call it
 * @param block     bytes of its user block
 * @param expected  bytes to reserve; more is fetched where that is too little
 */
FR_MUST_CHECK fr_status fr_h5_create(fr_ctx *ctx, const char *name, size_t block,
                                     int64_t expected, fr_h5 **out);

/**
 * End a file begun by fr_h5_create. The user block of the image is zero, the caller's to fill. The handle is then good only for destroy.
 * @param[out] image  the caller frees; NULL on failure
 */
FR_MUST_CHECK fr_status fr_h5_finish(fr_h5 *h5, uint8_t **image, size_t *bytes);

/** Open an image for reading; it is copied. FR_ERR_CHECKPOINT if it is not an HDF5 file. */
FR_MUST_CHECK fr_status fr_h5_open(fr_ctx *ctx, const char *name, const void *image,
                                   size_t bytes, fr_h5 **out);

/** Drop a handle in any state; accepts NULL inside, nulls the pointer. */
void fr_h5_destroy(fr_h5 **h5);

FR_MUST_CHECK fr_status fr_h5_make_group(fr_h5 *h5, const char *path);

/** How many links a group holds. */
FR_MUST_CHECK fr_status fr_h5_count(fr_h5 *h5, const char *path, int64_t *out);

/** Whether `path` is there as a group or an array. */
bool fr_h5_exists(fr_h5 *h5, const char *path);

/**
 * Write an array of 1 .. FR_H5_MAX_RANK dimensions, each at least 1, C order.
 * @param[out] offset  of its first byte in the image, user block included, a multiple of FR_H5_ALIGNMENT; the bytes
 *                     follow one another
 */
FR_MUST_CHECK fr_status fr_h5_write_f32(fr_h5 *h5, const char *path,
                                        const int64_t *shape, int rank,
                                        const float *data, int64_t *offset);

/** Read an array that must have exactly this shape and type f32; non-finite values pass. */
FR_MUST_CHECK fr_status fr_h5_read_f32(fr_h5 *h5, const char *path,
                                       const int64_t *shape, int rank, float *data);

bool fr_h5_has_attribute(fr_h5 *h5, const char *object, const char *name);

FR_MUST_CHECK fr_status fr_h5_write_i64(fr_h5 *h5, const char *object, const char *name,
                                        int64_t value);
FR_MUST_CHECK fr_status fr_h5_read_i64(fr_h5 *h5, const char *object, const char *name,
                                       int64_t *out);
FR_MUST_CHECK fr_status fr_h5_write_u64(fr_h5 *h5, const char *object, const char *name,
                                        uint64_t value);
FR_MUST_CHECK fr_status fr_h5_read_u64(fr_h5 *h5, const char *object, const char *name,
                                       uint64_t *out);
FR_MUST_CHECK fr_status fr_h5_write_f64(fr_h5 *h5, const char *object, const char *name,
                                        double value);
FR_MUST_CHECK fr_status fr_h5_read_f64(fr_h5 *h5, const char *object, const char *name,
                                       double *out);

/** Any bytes but NUL round trip, also an empty text and ones of many megabytes. */
FR_MUST_CHECK fr_status fr_h5_write_text(fr_h5 *h5, const char *object,
                                         const char *name, const char *text);
/** The caller frees *out. */
FR_MUST_CHECK fr_status fr_h5_read_text(fr_h5 *h5, const char *object, const char *name,
                                        char **out);

FR_MUST_CHECK fr_status fr_h5_write_bytes(fr_h5 *h5, const char *object,
                                          const char *name, const void *data,
                                          size_t bytes);
/** The attribute must have exactly `bytes` bytes. */
FR_MUST_CHECK fr_status fr_h5_read_bytes(fr_h5 *h5, const char *object,
                                         const char *name, void *out, size_t bytes);

#endif
