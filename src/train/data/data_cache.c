/*
 * The token cache (docs/format-token-cache.md): its key, its file, and whether an existing file can be used.
 *
 * A cache is only a shortcut: whatever is wrong with it, the rows are tokenised again and nothing fails. It is used if
 * its header has this version, key and data file, its digest matches its bytes (accidents), and data_check.c accepts
 * every number in it (intent). A file that another user may write to could change after these checks, so it is copied
 * before them and the copy is used.
 */
#include "train/data/data_impl.h"

#include "base/mem.h"
#include "train/data/row_files.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The length goes first, so that two texts side by side cannot be taken for two others. -1 stands for no text. */
static fr_status add_text(fr_ctx *ctx, fr_digest *digest, const char *text)
{
    int64_t bytes = text != NULL ? (int64_t)strlen(text) : -1;
    FR_TRY(fr_digest_add(ctx, digest, &bytes, sizeof bytes));
    return bytes > 0 ? fr_digest_add(ctx, digest, text, (size_t)bytes) : FR_OK;
}

/* What fr_tokenizer_digest leaves out, because it does not change the ids of plain text. */
static fr_status add_frame(fr_ctx *ctx, fr_digest *digest, const fr_data_params *params)
{
    const fr_tokenizer *t = params->tokenizer;
    const int64_t ends[] = {t != NULL ? fr_tokenizer_eos(t) : params->eos_id,
                            t != NULL ? fr_tokenizer_leading_bos(t) : -1};
    const fr_chat *own = params->chat_template;
    const fr_chat *chat = t == NULL || !params->chat ? NULL
                          : own != NULL              ? own
                                                     : fr_tokenizer_chat(t);
    const fr_chat_names names =
        chat != NULL ? fr_chat_token_names(chat) : (fr_chat_names){NULL, NULL};
    const fr_chat_settings settings =
        chat != NULL ? fr_chat_settings_of(chat) : (fr_chat_settings){NULL, NULL, NULL};
    FR_TRY(fr_digest_add(ctx, digest, ends, sizeof ends));
    FR_TRY(add_text(ctx, digest, settings.template_text));
    FR_TRY(add_text(ctx, digest, settings.arguments));
    FR_TRY(add_text(ctx, digest, settings.clock));
    FR_TRY(add_text(ctx, digest, names.bos_token));
    return add_text(ctx, digest, names.eos_token);
}

/* Everything that determines the content of a block. A new option of fr_data_params that changes ids belongs here. */
static fr_status add_key(fr_ctx *ctx, fr_digest *digest, const fr_data_params *params,
                         const uint8_t data[FR_DIGEST_BYTES])
{
    /* counts up where dialogues get other ids by another rule of ours */
    enum { DIALOGUES = 2 };
    const int64_t options[] = {FR_TABLE_MAJOR,
                               params->vocab_size,
                               params->chat ? DIALOGUES : 0,
                               params->eos,
                               params->special,
                               params->loss_last,
                               params->cut_long_rows,
                               params->without_bos,
                               params->max_tokens,
                               params->max_rows,
                               params->tokenizer != NULL,
                               params->skip_bad_rows,
                               fr_rows_ending(params->path)};
    uint8_t tokenizer[FR_DIGEST_BYTES] = {0};
    if (params->tokenizer != NULL) {
        fr_tokenizer_digest(params->tokenizer, tokenizer);
    }
    FR_TRY(fr_digest_add(ctx, digest, data, FR_DIGEST_BYTES));
    FR_TRY(fr_digest_add(ctx, digest, tokenizer, sizeof tokenizer));
    FR_TRY(fr_digest_add(ctx, digest, options, sizeof options));
    FR_TRY(add_frame(ctx, digest, params));
    FR_TRY(add_text(ctx, digest, params->template_text));
    FR_TRY(add_text(ctx, digest, params->ignore));
    return add_text(ctx, digest, params->fields);
}

fr_status fr_table_key(fr_ctx *ctx, const fr_data_params *params,
                       const uint8_t data[FR_DIGEST_BYTES],
                       uint8_t out[FR_DIGEST_BYTES])
{
    fr_digest *digest = NULL;
    FR_TRY(fr_digest_create(ctx, &digest));
    fr_status status = add_key(ctx, digest, params, data);
    if (status == FR_OK) {
        status = fr_digest_end(ctx, digest, out);
    }
    fr_digest_destroy(&digest);
    return status;
}

/* The digest cannot cover the field that holds it. */
static fr_status add_block(fr_ctx *ctx, fr_digest *digest, const uint8_t *block,
                           size_t bytes)
{
    const size_t before = offsetof(fr_table_header, content);
    const size_t after = before + FR_DIGEST_BYTES;
    FR_TRY(fr_digest_add(ctx, digest, block, before));
    return fr_digest_add(ctx, digest, block + after, bytes - after);
}

fr_status fr_table_digest(fr_ctx *ctx, const uint8_t *block, size_t bytes,
                          uint8_t out[FR_DIGEST_BYTES])
{
    fr_digest *digest = NULL;
    FR_TRY(fr_digest_create(ctx, &digest));
    fr_status status = add_block(ctx, digest, block, bytes);
    if (status == FR_OK) {
        status = fr_digest_end(ctx, digest, out);
    }
    fr_digest_destroy(&digest);
    return status;
}

static fr_status cache_path(fr_ctx *ctx, const char *folder,
                            const uint8_t key[FR_DIGEST_BYTES], char **out)
{
    enum { KEPT = 16 }; /* digits in the name; the whole key is in the header */
    char hex[FR_DIGEST_HEX];
    char name[FR_DIGEST_HEX + 16];
    fr_digest_hex(key, hex);
    (void)snprintf(name, sizeof name, "tokens-%.*s.cache", (int)KEPT, hex);
    return fr_join_path(ctx, folder, name, out);
}

/* Whether the block is an undamaged cache of this key whose numbers can be used without further checks. */
static bool is_good(fr_ctx *ctx, const fr_data_params *params,
                    const uint8_t key[FR_DIGEST_BYTES],
                    const uint8_t file[FR_DIGEST_BYTES], const uint8_t *block,
                    size_t bytes)
{
    const fr_table_header *h = (const void *)block;
    uint8_t content[FR_DIGEST_BYTES];
    if (bytes < sizeof *h || memcmp(h->magic, "FRTOKENS", sizeof h->magic) != 0 ||
        h->major != FR_TABLE_MAJOR || h->minor != FR_TABLE_MINOR ||
        memcmp(h->key, key, FR_DIGEST_BYTES) != 0 ||
        memcmp(h->data, file, FR_DIGEST_BYTES) != 0) {
        return false;
    }
    return fr_table_digest(ctx, block, bytes, content) == FR_OK &&
           memcmp(content, h->content, sizeof content) == 0 &&
           fr_table_is_sound(params, block, bytes);
}

/* Replace the mapping by a copy; *block is NULL if there is no memory. */
static void copy_map(fr_map *map, uint8_t **block)
{
    *block = malloc(map->bytes);
    if (*block != NULL) {
        memcpy(*block, map->data, map->bytes);
    }
    fr_map_close(map);
}

/* A mapping shows later writes to the file, so where another user could write, a copy is checked and used. */
static bool is_usable(fr_ctx *ctx, const fr_data_params *params,
                      const uint8_t key[FR_DIGEST_BYTES],
                      const uint8_t file[FR_DIGEST_BYTES], fr_map *map, uint8_t **block)
{
    size_t bytes = map->bytes;
    if (bytes > 0 && !map->is_ours) {
        copy_map(map, block);
    }
    const uint8_t *data = *block != NULL ? *block : map->data;
    return data != NULL && is_good(ctx, params, key, file, data, bytes);
}

fr_status fr_cache_open(fr_ctx *ctx, const fr_data_params *params,
                        const uint8_t key[FR_DIGEST_BYTES],
                        const uint8_t file[FR_DIGEST_BYTES], fr_map *map,
                        uint8_t **block)
{
    char *path = NULL;
    *map = (fr_map){0};
    *block = NULL;
    FR_TRY(cache_path(ctx, params->cache_folder, key, &path));
    if (fr_file_exists(path)) {
        fr_status status = fr_map_open(ctx, path, map);
        if (status != FR_OK || !is_usable(ctx, params, key, file, map, block)) {
            fr_log(ctx, FR_LOG_INFO, "token cache %s is unusable and is made again",
                   path);
            fr_ctx_clear_error(ctx);
            fr_map_close(map);
            free(*block);
            *block = NULL;
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
        /* each rank for itself: it may be the folder of one node that cannot be written */
        fr_log_own(ctx, FR_LOG_WARN, "no token cache: %s", fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
    }
    free(path);
}
