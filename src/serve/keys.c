/* Keys are compared as SHA-256 digests, all bytes of all keys at every request. So the time tells nothing about a key, and the
 * memory of the server holds none.
 */
#define _DEFAULT_SOURCE
#include "serve/keys.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_KEYS = 1024 };

struct fr_keys {
    int64_t n;
    uint8_t (*digests)[FR_DIGEST_BYTES]; /* [n] */
};

static fr_status check_file(fr_ctx *ctx, const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "%s can be read or written by other users, so its keys are not "
                       "secret; run: chmod 600 on it",
                       path);
    }
    return FR_OK;
}

static fr_status read_lines(fr_ctx *ctx, const char *path, const char *text,
                            fr_keys *keys)
{
    while (*text != '\0') {
        size_t bytes = strcspn(text, "\n");
        fr_text key = fr_text_trim((fr_text){text, bytes});
        if (key.bytes > 0 && keys->n == MAX_KEYS) {
            return FR_FAIL(ctx, FR_ERR_ARG, "%s holds more than %d keys", path,
                           MAX_KEYS);
        }
        if (key.bytes > 0) {
            FR_TRY(fr_digest_of(ctx, key.data, key.bytes, keys->digests[keys->n++]));
        }
        text += bytes + (text[bytes] == '\n');
    }
    return keys->n > 0
               ? FR_OK
               : FR_FAIL(ctx, FR_ERR_ARG,
                         "%s holds no key; write one on a line, e.g. by: openssl rand "
                         "-hex 32",
                         path);
}

fr_status fr_keys_read(fr_ctx *ctx, const char *path, fr_keys **out)
{
    fr_keys *keys = NULL;
    char *text = NULL;
    size_t bytes = 0;
    *out = NULL;
    FR_TRY(check_file(ctx, path));
    FR_TRY(fr_file_read(ctx, path, &text, &bytes));
    fr_status status = fr_alloc(ctx, 1, sizeof *keys, &keys);
    if (status == FR_OK) {
        status = fr_alloc(ctx, MAX_KEYS, sizeof *keys->digests, &keys->digests);
    }
    if (status == FR_OK) {
        status = read_lines(ctx, path, text, keys);
    }
    explicit_bzero(text, bytes);
    free(text);
    if (status != FR_OK) {
        fr_keys_destroy(&keys);
    }
    *out = keys;
    return status;
}

void fr_keys_destroy(fr_keys **keys)
{
    if (*keys != NULL) {
        free((*keys)->digests);
        free(*keys);
    }
    *keys = NULL;
}

/* All bytes of both, whatever they are. */
static bool is_same(const uint8_t *a, const uint8_t *b)
{
    unsigned differ = 0;
    for (int i = 0; i < FR_DIGEST_BYTES; i++) {
        differ |= (unsigned)(a[i] ^ b[i]);
    }
    return differ == 0;
}

bool fr_keys_fit(const fr_keys *keys, const char *authorization)
{
    static const char BEARER[] = "Bearer ";
    enum { BEARER_BYTES = sizeof BEARER - 1 };
    uint8_t digest[FR_DIGEST_BYTES];
    if (keys == NULL) {
        return true;
    }
    if (authorization == NULL ||
        strncasecmp(authorization, BEARER, BEARER_BYTES) != 0) {
        return false;
    }
    fr_text key = fr_text_trim(fr_text_of(authorization + BEARER_BYTES));
    fr_ctx *ctx = fr_ctx_create();
    bool fits = false;
    if (ctx != NULL && fr_digest_of(ctx, key.data, key.bytes, digest) == FR_OK) {
        for (int64_t i = 0; i < keys->n; i++) {
            fits |= is_same(digest, keys->digests[i]);
        }
    }
    fr_ctx_destroy(&ctx);
    return fits;
}
