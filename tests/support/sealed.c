#define _GNU_SOURCE /* memmem */
#include "support/sealed.h"

#include "train/checkpoint/checkpoint_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char TITLE[] = "Forerun checkpoint";
static const char SIGNATURE[] = "\x89HDF\r\n\x1a\n";

/* Behind "sha256 ", the digest of what follows the header. */
static void renew_digest(fr_ctx *ctx, uint8_t *image, size_t bytes)
{
    enum { LINE = 7 };
    uint8_t digest[FR_DIGEST_BYTES];
    char hex[FR_DIGEST_HEX];
    uint8_t *at = memmem(image, FR_HEADER_BYTES - FR_DIGEST_HEX, "sha256 ", LINE);
    if (at != NULL && at + LINE + FR_DIGEST_HEX < image + FR_HEADER_BYTES &&
        fr_digest_of(ctx, image + FR_HEADER_BYTES, bytes - FR_HEADER_BYTES, digest) ==
            FR_OK) {
        fr_digest_hex(digest, hex);
        memcpy(at + LINE, hex, FR_DIGEST_HEX - 1);
    }
}

static uint8_t *seal_file(fr_ctx *ctx, const uint8_t *data, size_t bytes,
                          size_t *n_sealed)
{
    uint8_t *image = malloc(bytes);
    if (image != NULL) {
        memcpy(image, data, bytes);
        *n_sealed = bytes;
        if (bytes > FR_HEADER_BYTES) {
            renew_digest(ctx, image, bytes);
        }
    }
    return image;
}

/* The header's version is that of the index, as the writer makes it. */
static int64_t minor_of(const uint8_t *data, size_t index)
{
    enum { OLDEST = 2, TEXT_BYTES = 32 };
    char text[TEXT_BYTES];
    for (int minor = FR_CHECKPOINT_MINOR; minor > OLDEST; minor--) {
        int n = snprintf(text, sizeof text, "\"schema_minor\":%d,", minor);
        if (index > 0 && memmem(data, index, text, (size_t)n) != NULL) {
            return minor;
        }
    }
    return OLDEST;
}

uint8_t *fr_test_seal(fr_ctx *ctx, const uint8_t *data, size_t bytes, size_t *n_sealed)
{
    if (bytes >= sizeof TITLE && memcmp(data, TITLE, sizeof TITLE - 1) == 0) {
        return seal_file(ctx, data, bytes, n_sealed);
    }
    const uint8_t *rest =
        bytes > 0 ? memmem(data, bytes, SIGNATURE, sizeof SIGNATURE - 1) : NULL;
    size_t index = rest != NULL ? (size_t)(rest - data) : bytes;
    size_t block = fr_header_block(index);
    size_t n_rest = bytes - index;
    *n_sealed = block + (n_rest > 0 ? n_rest : 1);
    uint8_t *image = calloc(1, *n_sealed);
    if (image == NULL) {
        return NULL;
    }
    if (bytes > 0) {
        memcpy(image + FR_HEADER_BYTES, data, index);
        memcpy(image + block, data + index, n_rest);
    }
    if (fr_header_seal(ctx, image, *n_sealed, minor_of(data, index), index) != FR_OK) {
        fr_ctx_clear_error(ctx);
    }
    return image;
}

uint8_t *fr_test_unseal(const uint8_t *image, size_t bytes, size_t *n_raw)
{
    const char *index = (const char *)image + FR_HEADER_BYTES;
    const uint8_t *rest = memmem(image, bytes, SIGNATURE, sizeof SIGNATURE - 1);
    size_t length = strnlen(index, bytes - FR_HEADER_BYTES);
    size_t n_rest = rest != NULL ? bytes - (size_t)(rest - image) : 0;
    uint8_t *raw = malloc(length + n_rest + 1);
    if (raw != NULL) {
        *n_raw = length + n_rest;
        memcpy(raw, index, length);
        if (n_rest > 0) {
            memcpy(raw + length, rest, n_rest);
        }
    }
    return raw;
}
