/* Builds what turns pieces into ids from a checked draft: the tokens of single bytes and characters, and either the merges or
 * the trie of scores. */
#include "base/mem.h"
#include "base/print.h"
#include "model/text/byte_table.h"
#include "model/text/tokenizer_pieces.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                                          : -1;
}

int fr_byte_token(fr_text text)
{
    if (text.bytes != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') {
        return -1;
    }
    int high = hex_digit(text.data[3]);
    int low = hex_digit(text.data[4]);
    return high >= 0 && low >= 0 ? 16 * high + low : -1;
}

/* A byte without a token is allowed here; encoding a text that has it may fail. */
static void find_bytes(const fr_token_draft *draft, const fr_text_map *map,
                       fr_pieces *made)
{
    for (int byte = 0; byte < FR_N_BYTES; byte++) {
        char written[FR_BYTE_CHAR_BYTES];
        size_t length = fr_byte_to_char((uint8_t)byte, written);
        int32_t id = fr_text_map_find(map, (fr_text){written, length});
        bool usable = id >= 0 && draft->kinds[id] == FR_TOKEN_NORMAL;
        made->bytes[byte] = usable ? id : -1;
    }
}

/* Of two tokens for a byte the first counts. */
static void find_byte_tokens(const fr_token_draft *draft, fr_pieces *made)
{
    for (int byte = 0; byte < FR_N_BYTES; byte++) {
        made->bytes[byte] = -1;
    }
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        int byte =
            draft->kinds[i] == FR_TOKEN_BYTE ? fr_byte_token(draft->texts[i]) : -1;
        if (byte >= 0 && made->bytes[byte] < 0) {
            made->bytes[byte] = (int32_t)i;
        }
    }
}

/* An unused token with the text of another one is left out, as it is in the map. */
static fr_status find_characters(fr_ctx *ctx, const fr_token_draft *draft,
                                 const fr_text_map *map, fr_pieces *made)
{
    FR_TRY(fr_alloc(ctx, FR_N_CODES / FR_PAGE_CODES, sizeof *made->characters,
                    &made->characters));
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        fr_text text = draft->texts[i];
        uint32_t code = 0;
        bool usable = made->model == FR_MODEL_SPM ? fr_pieces_is_spm_token(draft, i)
                                                  : draft->kinds[i] == FR_TOKEN_NORMAL;
        if (usable && text.bytes > 0 &&
            fr_utf8_next(text.data, text.bytes, &code) == text.bytes &&
            fr_text_map_find(map, text) == i) {
            FR_TRY(fr_pieces_set_character(ctx, made, code, (int32_t)i));
        }
    }
    return FR_OK;
}

static fr_status fail_merge(fr_ctx *ctx, const fr_token_draft *draft, int64_t rank,
                            fr_text text)
{
    enum { SHOWN = 60 };
    int shown = text.bytes < SHOWN ? (int)text.bytes : SHOWN;
    return FR_FAIL(
        ctx, FR_ERR_FORMAT,
        "%s: merge %lld names '%.*s', which is not a token of the vocabulary",
        draft->path, (long long)rank, shown, text.data);
}

/* Ids of one merge; `joined` is working memory for the merged text. */
static fr_status resolve_merge(fr_ctx *ctx, const fr_token_draft *draft,
                               const fr_text_map *map, int64_t rank, char *joined,
                               fr_merge *merge)
{
    fr_text left = draft->merges[rank].left;
    fr_text right = draft->merges[rank].right;
    fr_text both = {joined, left.bytes + right.bytes};
    memcpy(joined, left.data, left.bytes);
    memcpy(joined + left.bytes, right.data, right.bytes);
    *merge = (fr_merge){fr_text_map_find(map, left), fr_text_map_find(map, right),
                        fr_text_map_find(map, both)};
    if (merge->left < 0 || merge->right < 0 || merge->merged < 0) {
        return fail_merge(ctx, draft, rank,
                          merge->left < 0    ? left
                          : merge->right < 0 ? right
                                             : both);
    }
    return FR_OK;
}

static fr_status create_merges(fr_ctx *ctx, const fr_token_draft *draft,
                               const fr_text_map *map, fr_pieces *made)
{
    fr_merge *merges = NULL;
    char *joined = NULL;
    size_t longest = 1;
    for (int64_t i = 0; i < draft->n_merges; i++) {
        size_t bytes = draft->merges[i].left.bytes + draft->merges[i].right.bytes;
        longest = bytes > longest ? bytes : longest;
    }
    fr_status status = fr_alloc(ctx, draft->n_merges, sizeof *merges, &merges);
    if (status == FR_OK) {
        status = fr_alloc(ctx, (int64_t)longest, 1, &joined);
    }
    for (int64_t i = 0; status == FR_OK && i < draft->n_merges; i++) {
        status = resolve_merge(ctx, draft, map, i, joined, &merges[i]);
    }
    if (status == FR_OK) {
        status =
            fr_bpe_create(ctx, draft->path, merges, NULL, draft->n_merges, &made->bpe);
    }
    free(merges);
    free(joined);
    return status;
}

static fr_status create_unigram(fr_ctx *ctx, const fr_token_draft *draft,
                                fr_pieces *made)
{
    fr_unigram_token *tokens = NULL;
    int64_t n = 0;
    FR_TRY(fr_alloc(ctx, draft->n_tokens, sizeof *tokens, &tokens));
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        if (draft->kinds[i] == FR_TOKEN_NORMAL && draft->texts[i].bytes > 0) {
            tokens[n++] =
                (fr_unigram_token){draft->texts[i], (int32_t)i, draft->scores[i]};
        }
    }
    fr_status status = fr_unigram_create(ctx, draft->path, tokens, n,
                                         draft->single_sums, &made->unigram);
    free(tokens);
    return status;
}

/* The time that such tokens cost, when they are built and when they are searched, grows with their length. */
static fr_status check_scored(fr_ctx *ctx, const fr_token_draft *draft)
{
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        if (fr_pieces_is_spm_token(draft, i) &&
            draft->texts[i].bytes > FR_MAX_CHARACTER_TOKEN) {
            return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                           "%s: token %lld has %zu bytes; at most %d are supported "
                           "where tokens have scores. Give rows as token ids "
                           "(source_ids, target_ids)",
                           draft->path, (long long)i, draft->texts[i].bytes,
                           FR_MAX_CHARACTER_TOKEN);
        }
        if (!isfinite(draft->scores[i])) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: the score of token %lld is not a finite number",
                           draft->path, (long long)i);
        }
    }
    return FR_OK;
}

/* Keys are the bytes of texts: those that normal tokens decode to, or are written in where a piece is in characters. */
static fr_status create_whole(fr_ctx *ctx, const fr_token_draft *draft, fr_pieces *made)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        bytes += (int64_t)draft->texts[i].bytes;
    }
    FR_TRY(fr_text_map_init(ctx, &made->whole, draft->n_tokens));
    FR_TRY(fr_alloc(ctx, bytes, 1, &made->texts));
    char *next = made->texts;
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        if (draft->kinds[i] == FR_TOKEN_NORMAL && draft->texts[i].bytes > 0) {
            fr_text key = {next, 0};
            key.bytes = fr_token_text_write(draft, i, false, next);
            next += key.bytes;
            (void)fr_text_map_add(&made->whole, key, (int32_t)i);
        }
    }
    return FR_OK;
}

static fr_status create_model(fr_ctx *ctx, const fr_token_draft *draft,
                              const fr_text_map *map, fr_pieces *made)
{
    if (draft->ignore_merges) {
        FR_TRY(create_whole(ctx, draft, made));
    }
    switch (draft->model) {
    case FR_MODEL_BYTE_BPE:
        find_bytes(draft, map, made);
        return create_merges(ctx, draft, map, made);
    case FR_MODEL_CHAR_BPE:
        FR_TRY(find_characters(ctx, draft, map, made));
        return create_merges(ctx, draft, map, made);
    case FR_MODEL_SPM:
        FR_TRY(check_scored(ctx, draft));
        FR_TRY(find_characters(ctx, draft, map, made));
        return fr_pieces_create_spm(ctx, draft, map, made);
    default:
        FR_TRY(check_scored(ctx, draft));
        return create_unigram(ctx, draft, made);
    }
}

fr_status fr_pieces_create(fr_ctx *ctx, const fr_token_draft *draft,
                           const fr_text_map *map, fr_pieces **out)
{
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    fr_pieces *made = *out;
    made->model = draft->model;
    made->byte_fallback = draft->byte_fallback;
    made->fuse_unknown = draft->fuse_unknown;
    made->ignore_merges = draft->ignore_merges;
    made->unknown = (int32_t)draft->unknown;
    made->n_tokens = (int32_t)draft->n_tokens;
    find_byte_tokens(draft, made);
    fr_status status = create_model(ctx, draft, map, made);
    if (status != FR_OK) {
        fr_pieces_destroy(out);
    }
    return status;
}
