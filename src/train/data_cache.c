#include "train/data_impl.h"

#include "base/mem.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fr_status add_text(fr_ctx *ctx, fr_digest *digest, const char *text)
{
    int64_t bytes = text != NULL ? (int64_t)strlen(text) : -1;
    FR_TRY(fr_digest_add(ctx, digest, &bytes, sizeof bytes));
    return bytes > 0 ? fr_digest_add(ctx, digest, text, (size_t)bytes) : FR_OK;
}

/* What the tokenizer's own digest leaves out, since it decides no ids of plain text. */
static fr_status add_frame(fr_ctx *ctx, fr_digest *digest, const fr_data_params *params)
{
    const fr_tokenizer *t = params->tokenizer;
    const int64_t ends[] = {t != NULL ? fr_tokenizer_eos(t) : params->eos_id,
                            t != NULL ? fr_tokenizer_leading_bos(t) : -1};
    FR_TRY(fr_digest_add(ctx, digest, ends, sizeof ends));
    return add_text(ctx, digest,
                    t != NULL && params->chat ? fr_tokenizer_chat_template(t) : NULL);
}

fr_status fr_table_key(fr_ctx *ctx, const fr_data_params *params,
                       const uint8_t data[FR_DIGEST_BYTES],
                       uint8_t out[FR_DIGEST_BYTES])
{
    const int64_t options[] = {
        FR_TABLE_VERSION,      params->vocab_size,       params->chat,
        params->eos,           params->special,          params->loss_last,
        params->cut_long_rows, params->without_bos,      params->max_tokens,
        params->max_rows,      params->tokenizer != NULL};
    uint8_t tokenizer[FR_DIGEST_BYTES] = {0};
    fr_digest *digest = NULL;
    if (params->tokenizer != NULL) {
        fr_tokenizer_digest(params->tokenizer, tokenizer);
    }
    fr_status status = fr_digest_create(ctx, &digest);
    if (status == FR_OK) {
        status = fr_digest_add(ctx, digest, data, FR_DIGEST_BYTES);
    }
    if (status == FR_OK) {
        status = fr_digest_add(ctx, digest, tokenizer, sizeof tokenizer);
    }
    if (status == FR_OK) {
        status = fr_digest_add(ctx, digest, options, sizeof options);
    }
    if (status == FR_OK) {
        status = add_frame(ctx, digest, params);
    }
    if (status == FR_OK) {
        status = add_text(ctx, digest, params->template_text);
    }
    if (status == FR_OK) {
        status = fr_digest_end(ctx, digest, out);
    }
    fr_digest_destroy(&digest);
    return status;
}

fr_status fr_table_digest(fr_ctx *ctx, const uint8_t *block, size_t bytes,
                          uint8_t out[FR_DIGEST_BYTES])
{
    const size_t before = offsetof(fr_table_header, content);
    const size_t after = before + FR_DIGEST_BYTES;
    fr_digest *digest = NULL;
    FR_TRY(fr_digest_create(ctx, &digest));
    fr_status status = fr_digest_add(ctx, digest, block, before);
    if (status == FR_OK) {
        status = fr_digest_add(ctx, digest, block + after, bytes - after);
    }
    if (status == FR_OK) {
        status = fr_digest_end(ctx, digest, out);
    }
    fr_digest_destroy(&digest);
    return status;
}

static fr_status cache_path(fr_ctx *ctx, const char *folder,
                            const uint8_t key[FR_DIGEST_BYTES], char **out)
{
    enum { KEPT = 16 };
    char hex[FR_DIGEST_HEX];
    char name[FR_DIGEST_HEX + 16];
    fr_digest_hex(key, hex);
    (void)snprintf(name, sizeof name, "tokens-%.*s.cache", (int)KEPT, hex);
    return fr_join_path(ctx, folder, name, out);
}

/* Whether the mapping is a whole, undamaged cache of this key. */
static bool is_good(fr_ctx *ctx, const fr_map *map, const uint8_t key[FR_DIGEST_BYTES])
{
    const fr_table_header *h = (const void *)map->data;
    uint8_t content[FR_DIGEST_BYTES];
    if (map->bytes < sizeof *h || memcmp(h->magic, "FRTOKENS", sizeof h->magic) != 0 ||
        h->version != FR_TABLE_VERSION || memcmp(h->key, key, FR_DIGEST_BYTES) != 0) {
        return false;
    }
    int64_t most = (int64_t)map->bytes;
    if (h->stats.n_rows < 0 || h->stats.n_rows > most || h->stats.n_examples < 0 ||
        h->stats.n_examples > most || h->n_ids < 0 || h->n_ids > most ||
        fr_table_bytes(h->stats.n_rows, h->stats.n_examples, h->n_ids) != map->bytes) {
        return false;
    }
    return fr_table_digest(ctx, map->data, map->bytes, content) == FR_OK &&
           memcmp(content, h->content, sizeof content) == 0;
}

fr_status fr_cache_open(fr_ctx *ctx, const char *folder,
                        const uint8_t key[FR_DIGEST_BYTES], fr_map *out)
{
    char *path = NULL;
    *out = (fr_map){NULL, 0};
    FR_TRY(cache_path(ctx, folder, key, &path));
    if (fr_file_exists(path)) {
        fr_status status = fr_map_open(ctx, path, out);
        if (status != FR_OK || !is_good(ctx, out, key)) {
            fr_log(ctx, FR_LOG_INFO, "token cache %s is unusable and is made again",
                   path);
            fr_ctx_clear_error(ctx);
            fr_map_close(out);
        }
    }
    free(path);
    return FR_OK;
}

void fr_cache_write(fr_ctx *ctx, const char *folder, const uint8_t key[FR_DIGEST_BYTES],
                    const uint8_t *block, size_t bytes)
{
    char *path = NULL;
    fr_status status = cache_path(ctx, folder, key, &path);
    if (status == FR_OK) {
        status = fr_file_replace(ctx, path, block, bytes);
    }
    if (status != FR_OK) {
        fr_log(ctx, FR_LOG_INFO, "warning: no token cache: %s", fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
    }
    free(path);
}
