/*
 * digest.h - SHA-256 (OpenSSL's libcrypto) of memory, in one call or in pieces.
 */
#ifndef FR_BASE_DIGEST_H
#define FR_BASE_DIGEST_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>

enum { FR_DIGEST_BYTES = 32, FR_DIGEST_HEX = 65 };

typedef struct fr_digest fr_digest;

FR_MUST_CHECK fr_status fr_digest_create(fr_ctx *ctx, fr_digest **out);
FR_MUST_CHECK fr_status fr_digest_add(fr_ctx *ctx, fr_digest *digest, const void *data,
                                      size_t bytes);
/** Finish; the handle is then good only for destroy. */
FR_MUST_CHECK fr_status fr_digest_end(fr_ctx *ctx, fr_digest *digest,
                                      uint8_t out[FR_DIGEST_BYTES]);
void fr_digest_destroy(fr_digest **digest);

/** SHA-256 of one buffer. */
FR_MUST_CHECK fr_status fr_digest_of(fr_ctx *ctx, const void *data, size_t bytes,
                                     uint8_t out[FR_DIGEST_BYTES]);

/** Lower-case hex text with a final NUL. */
void fr_digest_hex(const uint8_t digest[FR_DIGEST_BYTES], char out[FR_DIGEST_HEX]);

#endif
