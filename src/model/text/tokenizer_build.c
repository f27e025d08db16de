/* From a draft to a tokenizer. Every cross-reference of the model's files is checked here, for both file formats.
 *
 * The order matters: tokens first (counts, texts, kinds), then the map from texts to ids, which refuses a text that two ids
 * have. Bytes and merges are looked up in the map; merges are checked to name tokens, and their results to exist. The
 * special tokens, the BOS and the digest need the tokens alone. The chat template comes last, since its frame looks up
 * markers in the finished tokenizer.
 *
 * A token's text is decoded once, into the arena: a normal token to the bytes that its characters stand for, all others as
 * they are written. The map and the digest of merges use the written texts, the digest of tokens the decoded ones.
 *
 * On failure fr_tokenizer_close frees what was built, so no step frees anything but its own working memory. */
#include "base/mem.h"
#include "model/text/byte_table.h"
#include "model/text/ends.h"
#include "model/text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

void fr_token_draft_fini(fr_token_draft *draft)
{
    free(draft->texts);
    free(draft->kinds);
    free(draft->late);
    free(draft->merges);
    free(draft->chat_template);
    *draft = (fr_token_draft){0};
}

/* Appends the bytes of a normal token to `out`; false if a character does not stand for a byte. */
static bool decode_text(fr_text written, char *out, int32_t *n)
{
    size_t at = 0;
    while (at < written.bytes) {
        size_t used = 0;
        int byte = fr_byte_from_char(written.data + at, written.bytes - at, &used);
        if (byte < 0) {
            return false;
        }
        out[(*n)++] = (char)byte;
        at += used;
    }
    return true;
}

/* Several times what any known model has (some 250 thousand tokens). A token takes about 100 bytes here and a merge 50,
 * however short they are, so the limits keep a hostile file below some 200 MiB. */
enum { MAX_TOKENS = 1 << 20, MAX_MERGES = 1 << 21 };

static fr_status check_counts(fr_ctx *ctx, const fr_token_draft *draft)
{
    if (draft->n_tokens < 1 || draft->n_tokens > MAX_TOKENS) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: the vocabulary has %lld tokens; 1 to %d are allowed",
                       draft->path, (long long)draft->n_tokens, MAX_TOKENS);
    }
    if (draft->n_merges > MAX_MERGES) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: the tokenizer has %lld merges; at most %d are allowed",
                       draft->path, (long long)draft->n_merges, MAX_MERGES);
    }
    return FR_OK;
}

/* Also sums the bytes of all texts: decoding never makes a text longer, so the arena needs no more. */
static fr_status check_texts(fr_ctx *ctx, const fr_token_draft *draft, int64_t *bytes)
{
    FR_TRY(check_counts(ctx, draft));
    *bytes = 0;
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        size_t length = draft->texts[i].bytes;
        if (draft->kinds[i] == FR_TOKEN_MISSING) {
            return FR_FAIL(
                ctx, FR_ERR_FORMAT,
                "%s: no token has the id %lld; each id from 0 to %lld must have one",
                draft->path, (long long)i, (long long)draft->n_tokens - 1);
        }
        if (length == 0 || length > INT32_MAX) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: token %lld has %zu bytes; 1 to %d are allowed",
                           draft->path, (long long)i, length, INT32_MAX);
        }
        *bytes += (int64_t)length;
    }
    return FR_OK;
}

static fr_status build_tokens(fr_ctx *ctx, const fr_token_draft *draft,
                              fr_tokenizer *made)
{
    int64_t bytes = 0;
    FR_TRY(check_texts(ctx, draft, &bytes));
    FR_TRY(fr_alloc(ctx, draft->n_tokens, sizeof *made->tokens, &made->tokens));
    FR_TRY(fr_alloc(ctx, bytes, 1, &made->arena));
    made->n_tokens = draft->n_tokens;
    char *next = made->arena;
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        fr_text written = draft->texts[i];
        fr_token *token = &made->tokens[i];
        *token = (fr_token){next, 0, draft->kinds[i],
                            draft->late != NULL && draft->late[i] != 0};
        if (token->kind != FR_TOKEN_NORMAL) {
            memcpy(next, written.data, written.bytes);
            token->bytes = (int32_t)written.bytes;
        } else if (!decode_text(written, next, &token->bytes)) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: token %lld contains a character that does not stand "
                           "for a byte in a byte-level vocabulary",
                           draft->path, (long long)i);
        }
        next += token->bytes;
    }
    return FR_OK;
}

/* Maps written texts to ids. */
static fr_status map_tokens(fr_ctx *ctx, const fr_token_draft *draft, fr_text_map *map)
{
    FR_TRY(fr_text_map_init(ctx, map, draft->n_tokens));
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        int32_t id = fr_text_map_add(map, draft->texts[i], (int32_t)i);
        if (id != i) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: tokens %d and %lld have the same "
                           "text; each text may occur once",
                           draft->path, (int)id, (long long)i);
        }
    }
    return FR_OK;
}

/* A byte without a token is allowed here; encoding a text that has it fails. */
static void find_bytes(const fr_text_map *map, fr_tokenizer *made)
{
    for (int byte = 0; byte < FR_N_BYTES; byte++) {
        char written[FR_BYTE_CHAR_BYTES];
        size_t length = fr_byte_to_char((uint8_t)byte, written);
        int32_t id = fr_text_map_find(map, (fr_text){written, length});
        bool usable = id >= 0 && made->tokens[id].kind == FR_TOKEN_NORMAL;
        made->byte_ids[byte] = usable ? id : -1;
    }
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

static fr_status build_merges(fr_ctx *ctx, const fr_token_draft *draft,
                              const fr_text_map *map, fr_tokenizer *made)
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
        status = fr_bpe_create(ctx, draft->path, merges, draft->n_merges, &made->bpe);
    }
    free(merges);
    free(joined);
    return status;
}

/* Special tokens count only where a text may name them (parse_special); added tokens always do. */
static bool is_looked_for(const fr_token *token, int pass, bool special)
{
    return (int)token->late == pass && (token->kind == FR_TOKEN_ADDED ||
                                        (special && token->kind == FR_TOKEN_SPECIAL));
}

/* One automaton for each pass, with special tokens and without. The two arrays are reused by all four. */
static fr_status build_specials(fr_ctx *ctx, fr_tokenizer *made)
{
    fr_text *texts = NULL;
    int32_t *ids = NULL;
    fr_status status = fr_alloc(ctx, made->n_tokens, sizeof *texts, &texts);
    if (status == FR_OK) {
        status = fr_alloc(ctx, made->n_tokens, sizeof *ids, &ids);
    }
    for (int set = 0; set < FR_N_PASSES * FR_N_PARSED && status == FR_OK; set++) {
        int pass = set / FR_N_PARSED;
        int special = set % FR_N_PARSED;
        int64_t n = 0;
        for (int64_t i = 0; i < made->n_tokens; i++) {
            const fr_token *token = &made->tokens[i];
            if (is_looked_for(token, pass, special != 0)) {
                texts[n] = (fr_text){token->text, (size_t)token->bytes};
                ids[n++] = (int32_t)i;
            }
        }
        status = fr_specials_create(ctx, texts, ids, n, &made->found[pass][special]);
    }
    free(texts);
    free(ids);
    return status;
}

/* The id is checked only if it is used: files without add_bos may name any id. */
static fr_status build_bos(fr_ctx *ctx, const fr_token_draft *draft, fr_tokenizer *made)
{
    int64_t bos = fr_named_id(draft->bos);
    made->leading_bos = -1;
    if (!draft->add_bos) {
        return FR_OK;
    }
    if (bos < 0) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: add_bos_token is true, but no "
                       "begin-of-sequence token is named",
                       draft->path);
    }
    if (bos >= draft->n_tokens) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: the begin-of-sequence id is %lld; the vocabulary has %lld "
                       "tokens",
                       draft->path, (long long)draft->bos, (long long)draft->n_tokens);
    }
    made->leading_bos = (int32_t)bos;
    return FR_OK;
}

/* Hashes a number as eight little-endian bytes, so that the digest is the same on every machine. */
static fr_status hash_number(fr_ctx *ctx, fr_digest *digest, int64_t number)
{
    enum { BYTES = 8 };
    uint8_t bytes[BYTES];
    for (int i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t)((uint64_t)number >> (8 * i));
    }
    return fr_digest_add(ctx, digest, bytes, BYTES);
}

/* Lengths go before texts, so that two different lists cannot hash the same bytes. */
static fr_status hash_token(fr_ctx *ctx, fr_digest *digest, int64_t id,
                            const fr_token *token)
{
    FR_TRY(hash_number(ctx, digest, id));
    FR_TRY(hash_number(ctx, digest, token->kind));
    FR_TRY(hash_number(ctx, digest, token->bytes));
    return fr_digest_add(ctx, digest, token->text, (size_t)token->bytes);
}

static fr_status hash_merges(fr_ctx *ctx, fr_digest *digest,
                             const fr_token_draft *draft)
{
    for (int64_t i = 0; i < draft->n_merges; i++) {
        const fr_text sides[] = {draft->merges[i].left, draft->merges[i].right};
        for (int side = 0; side < 2; side++) {
            FR_TRY(hash_number(ctx, digest, (int64_t)sides[side].bytes));
            FR_TRY(fr_digest_add(ctx, digest, sides[side].data, sides[side].bytes));
        }
    }
    return FR_OK;
}

/* Leaves out unused ids, so that a GGUF file that fills up its vocabulary has the digest of the folder that it was made
 * from. */
static fr_status build_digest(fr_ctx *ctx, const fr_token_draft *draft,
                              fr_tokenizer *made)
{
    fr_digest *digest = NULL;
    const char *rule = fr_split_rule_name(draft->rule);
    fr_status status = fr_digest_create(ctx, &digest);
    if (status == FR_OK) {
        status = fr_digest_add(ctx, digest, rule, strlen(rule) + 1);
    }
    for (int64_t i = 0; status == FR_OK && i < made->n_tokens; i++) {
        if (made->tokens[i].kind != FR_TOKEN_UNUSED) {
            status = hash_token(ctx, digest, i, &made->tokens[i]);
        }
    }
    if (status == FR_OK) {
        status = hash_merges(ctx, digest, draft);
    }
    if (status == FR_OK) {
        status = fr_digest_end(ctx, digest, made->digest);
    }
    fr_digest_destroy(&digest);
    return status;
}

fr_status fr_tokenizer_build(fr_ctx *ctx, fr_token_draft *draft, fr_tokenizer **out)
{
    fr_text_map map = {0};
    fr_status status = fr_alloc(ctx, 1, sizeof **out, out);
    if (status != FR_OK) {
        return status;
    }
    (*out)->eos = -1;
    if ((status = build_tokens(ctx, draft, *out)) != FR_OK ||
        (status = map_tokens(ctx, draft, &map)) != FR_OK) {
        goto out;
    }
    find_bytes(&map, *out);
    if ((status = build_merges(ctx, draft, &map, *out)) != FR_OK ||
        (status = build_specials(ctx, *out)) != FR_OK ||
        (status = build_bos(ctx, draft, *out)) != FR_OK ||
        (status = build_digest(ctx, draft, *out)) != FR_OK ||
        (status = fr_splitter_create(ctx, draft->rule, &(*out)->splitter)) != FR_OK) {
        goto out;
    }
    status = fr_tokenizer_build_chat(ctx, draft, *out);
out:
    fr_text_map_fini(&map);
    if (status != FR_OK) {
        fr_tokenizer_close(out);
    }
    return status;
}
