/*
 * Digests of a base's layers in the user's cache folder.
 *
 * This file owns the key of an entry and its layout. The key is a digest of all that the kept digests depend on: the
 * version of this scheme, the real path and the stamp (size, inode, times) of each file, the tensor of each role, and
 * which digests are wanted. An entry is a file named after the first half of the key. It holds the whole key and then
 * the digests, so that a read can tell another entry of the same name.
 *
 * A key is made only if each file is now as it was when it was opened (is_unchanged) and its last change is long
 * enough ago (is_settled). Both are checked before a read and again before a write, so a file that changes while it is
 * hashed leaves no entry.
 *
 * What always holds: the cache saves time and never fails a run. An error here clears itself, and the digests are
 * computed as if there were no cache. Entries are found by their whole key, so none needs to be invalidated: after a
 * change of a file, the old entry is never asked for again.
 */
#define _GNU_SOURCE /* realpath */
#include "model/weights/digest_cache.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/user_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 32 hexadecimal digits are 128 bits, enough that names differ; a name with its ending fits in 64 bytes. */
enum { NAME_BYTES = 64, NAME_DIGITS = 32 };
/* Raise the number when fr_weights_digest hashes other bytes. */
static const char VERSION[] = "digests of layers 1";

/* The times of files advance in steps of a few milliseconds, on some file systems of one or two seconds. Within a step,
 * a file can be written again and keep its time. 2.5 s is longer than the longest step. */
static bool is_settled(const fr_stamp *stamp)
{
    static const int64_t SETTLED_NS = 2500000000;
    int64_t last =
        stamp->changed_ns > stamp->modified_ns ? stamp->changed_ns : stamp->modified_ns;
    return fr_clock_wall_ns() - last > SETTLED_NS;
}

static bool is_unchanged(const char *path, const fr_stamp *stamp)
{
    fr_stamp now = {0};
    return fr_file_stamp(path, &now) && memcmp(&now, stamp, sizeof now) == 0;
}

static fr_status add_text(fr_ctx *ctx, fr_digest *key, const char *text, size_t bytes)
{
    FR_TRY(fr_digest_add(ctx, key, &bytes, sizeof bytes));
    return fr_digest_add(ctx, key, text, bytes);
}

/* Add each file's real path and stamp. */
static fr_status add_files(fr_ctx *ctx, const fr_weights *w, fr_digest *key,
                           bool *settled)
{
    fr_status status = FR_OK;
    for (int64_t i = 0; i < fr_weights_n_files(w) && status == FR_OK && *settled; i++) {
        fr_stamp stamp = {0};
        const char *name = fr_weights_file(w, i, &stamp);
        char *path = realpath(name, NULL);
        *settled = path != NULL && is_settled(&stamp) && is_unchanged(name, &stamp);
        if (*settled) {
            status = add_text(ctx, key, path, strlen(path));
        }
        if (*settled && status == FR_OK) {
            status = fr_digest_add(ctx, key, &stamp, sizeof stamp);
        }
        free(path);
    }
    return status;
}

/* The key and the name of its entry; false if nothing may be kept or read for the files in their present state. */
static bool make_key(fr_ctx *ctx, const fr_weights *w, const int64_t *needs,
                     uint8_t out[FR_DIGEST_BYTES], char name[NAME_BYTES])
{
    char hex[FR_DIGEST_HEX];
    fr_digest *key = NULL;
    bool settled = fr_weights_n_files(w) > 0;
    fr_status status = fr_digest_create(ctx, &key);
    if (status == FR_OK) {
        status = fr_digest_add(ctx, key, VERSION, sizeof VERSION);
    }
    if (status == FR_OK) {
        status = add_files(ctx, w, key, &settled);
    }
    if (status == FR_OK && settled) {
        status = fr_weights_digest_names(ctx, w, key);
    }
    for (int64_t i = 0; i <= fr_weights_arch(w)->n_layers && status == FR_OK; i++) {
        uint8_t wanted = needs[i] != 0 ? 1 : 0;
        status = fr_digest_add(ctx, key, &wanted, sizeof wanted);
    }
    if (status == FR_OK) {
        status = fr_digest_end(ctx, key, out);
    }
    fr_digest_destroy(&key);
    if (status != FR_OK || !settled) {
        fr_ctx_clear_error(ctx);
        return false;
    }
    fr_digest_hex(out, hex);
    (void)snprintf(name, NAME_BYTES, "%.*s.digests", NAME_DIGITS, hex);
    return true;
}

static size_t digests_bytes(const fr_weights *w)
{
    return (size_t)(fr_weights_arch(w)->n_layers + 1) * FR_DIGEST_BYTES;
}

bool fr_digest_cache_read(fr_ctx *ctx, const fr_weights *weights, const int64_t *needs,
                          uint8_t *digests)
{
    uint8_t key[FR_DIGEST_BYTES];
    char name[NAME_BYTES];
    size_t bytes = digests_bytes(weights);
    uint8_t *entry = malloc(sizeof key + bytes);
    bool is_known = entry != NULL && make_key(ctx, weights, needs, key, name) &&
                    fr_user_cache_read(ctx, name, entry, sizeof key + bytes) &&
                    memcmp(entry, key, sizeof key) == 0;
    if (is_known) {
        memcpy(digests, entry + sizeof key, bytes);
    }
    free(entry);
    return is_known;
}

void fr_digest_cache_write(fr_ctx *ctx, const fr_weights *weights, const int64_t *needs,
                           const uint8_t *digests)
{
    uint8_t key[FR_DIGEST_BYTES];
    char name[NAME_BYTES];
    size_t bytes = digests_bytes(weights);
    uint8_t *entry = malloc(sizeof key + bytes);
    if (entry != NULL && make_key(ctx, weights, needs, key, name)) {
        memcpy(entry, key, sizeof key);
        memcpy(entry + sizeof key, digests, bytes);
        fr_user_cache_write(ctx, name, entry, sizeof key + bytes);
    }
    free(entry);
}
