#include "train/checkpoint_impl.h"

#include <stdio.h>
#include <string.h>

/* The user block is text, so that `head -2 FILE` and `tail -c +513 FILE | sha256sum` check a file by hand. */
#define TITLE "Forerun checkpoint\n"

static const uint8_t HDF5_SIGNATURE[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

static fr_status make_block(fr_ctx *ctx, const uint8_t *image, size_t bytes,
                            char block[FR_H5_USER_BLOCK])
{
    uint8_t digest[FR_DIGEST_BYTES];
    char hex[FR_DIGEST_HEX];
    FR_TRY(
        fr_digest_of(ctx, image + FR_H5_USER_BLOCK, bytes - FR_H5_USER_BLOCK, digest));
    fr_digest_hex(digest, hex);
    memset(block, 0, FR_H5_USER_BLOCK);
    (void)snprintf(block, FR_H5_USER_BLOCK, TITLE "sha256 %s\n", hex);
    return FR_OK;
}

fr_status fr_checkpoint_seal(fr_ctx *ctx, uint8_t *image, size_t bytes)
{
    char block[FR_H5_USER_BLOCK];
    if (bytes <= FR_H5_USER_BLOCK) {
        return FR_FAIL(ctx, FR_ERR_INTERNAL, "an image of %zu bytes has no content",
                       bytes);
    }
    FR_TRY(make_block(ctx, image, bytes, block));
    memcpy(image, block, sizeof block);
    return FR_OK;
}

fr_status fr_checkpoint_check_seal(fr_ctx *ctx, const char *path, const uint8_t *image,
                                   size_t bytes)
{
    char block[FR_H5_USER_BLOCK];
    if (bytes < sizeof TITLE - 1 || memcmp(image, TITLE, sizeof TITLE - 1) != 0) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s is not a Forerun checkpoint or prefix; give a file that "
                       "`forerun train` wrote",
                       path);
    }
    if (bytes <= FR_H5_USER_BLOCK) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s is damaged: it ends after %zu bytes; restore it or use an "
                       "older checkpoint",
                       path, bytes);
    }
    FR_TRY(make_block(ctx, image, bytes, block));
    if (memcmp(image, block, sizeof block) != 0) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s is damaged: the SHA-256 of its content is not the one "
                       "written in it; restore it or use an older checkpoint",
                       path);
    }
    return FR_OK;
}

bool fr_checkpoint_is_ours(const char *path)
{
    uint8_t start[FR_H5_USER_BLOCK + sizeof HDF5_SIGNATURE];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    size_t got = fread(start, 1, sizeof start, file);
    (void)fclose(file);
    return got == sizeof start && memcmp(start, TITLE, sizeof TITLE - 1) == 0 &&
           memcmp(start + FR_H5_USER_BLOCK, HDF5_SIGNATURE, sizeof HDF5_SIGNATURE) == 0;
}
