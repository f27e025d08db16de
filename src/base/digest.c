#include "base/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct fr_digest {
    EVP_MD_CTX *evp;
};

/* libcrypto gives 1 for success. SHA-256 needs no input that could be wrong, so a failure is not the user's. */
static fr_status check_evp(fr_ctx *ctx, int ok)
{
    return ok == 1
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_INTERNAL, "libcrypto could not compute a SHA-256");
}

fr_status fr_digest_create(fr_ctx *ctx, fr_digest **out)
{
    fr_digest *digest = calloc(1, sizeof *digest);
    *out = digest;
    FR_TRY(fr_check_memory(ctx, digest != NULL, sizeof *digest));
    digest->evp = EVP_MD_CTX_new();
    fr_status status = fr_check_memory(ctx, digest->evp != NULL, 1);
    if (status == FR_OK) {
        status = check_evp(ctx, EVP_DigestInit_ex(digest->evp, EVP_sha256(), NULL));
    }
    if (status != FR_OK) {
        fr_digest_destroy(out);
    }
    return status;
}

fr_status fr_digest_add(fr_ctx *ctx, fr_digest *digest, const void *data, size_t bytes)
{
    return check_evp(ctx, EVP_DigestUpdate(digest->evp, data, bytes));
}

fr_status fr_digest_end(fr_ctx *ctx, fr_digest *digest, uint8_t out[FR_DIGEST_BYTES])
{
    return check_evp(ctx, EVP_DigestFinal_ex(digest->evp, out, NULL));
}

/* Also for a digest whose creation failed half-way: freeing a NULL of libcrypto does nothing. */
void fr_digest_destroy(fr_digest **digest)
{
    if (*digest != NULL) {
        EVP_MD_CTX_free((*digest)->evp);
        free(*digest);
        *digest = NULL;
    }
}

fr_status fr_digest_of(fr_ctx *ctx, const void *data, size_t bytes,
                       uint8_t out[FR_DIGEST_BYTES])
{
    return check_evp(ctx, EVP_Digest(data, bytes, out, NULL, EVP_sha256(), NULL));
}

void fr_digest_hex(const uint8_t digest[FR_DIGEST_BYTES], char out[FR_DIGEST_HEX])
{
    static const char HEX[] = "0123456789abcdef";
    for (int i = 0; i < FR_DIGEST_BYTES; i++) {
        out[2 * i] = HEX[digest[i] >> 4];
        out[2 * i + 1] = HEX[digest[i] & 15];
    }
    out[2 * FR_DIGEST_BYTES] = '\0';
}
