/* From a draft to a tokenizer. Every cross-reference of the model's files is checked here, for both file formats.
 *
 * The order matters: tokens first (counts, texts, kinds; what only fills up the vocabulary becomes unused), then the map from
 * texts to ids, which refuses a text that two ids have. What makes ids of pieces is built with it (tokenizer_pieces_build.c):
 * merges are checked to name tokens, and their results to exist. The special tokens, the BOS and the digest need the tokens
 * alone. The chat template comes last.
 *
 * A token's text is decoded once, into the arena (fr_token_text_write). The map, the sets of special tokens and the digest of
 * merges use the written texts, the digest of tokens the decoded ones.
 *
 * On failure fr_tokenizer_close frees what was built, so no step frees anything but its own working memory. */
#include "base/mem.h"
#include "model/text/byte_table.h"
#include "model/text/ends.h"
#include "model/text/tokenizer_pieces.h"

#include <stdlib.h>
#include <string.h>

void fr_token_draft_fini(fr_token_draft *draft)
{
    free(draft->texts);
    free(draft->kinds);
    free(draft->late);
    free(draft->how);
    free(draft->scores);
    fr_splitter_destroy(&draft->splitter);
    fr_normalizer_destroy(&draft->normalizer);
    free(draft->merges);
    free(draft->chat_template);
    *draft = (fr_token_draft){0};
}

/* False if a character does not stand for a byte. */
static bool write_bytes(fr_text written, char *out, size_t *n)
{
    size_t at = 0;
    *n = 0;
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

/* Copies a text with spaces for their marks. */
static size_t write_spaces(fr_text written, char *out)
{
    static const char MARK[] = "\xE2\x96\x81";
    enum { MARK_BYTES = sizeof MARK - 1 };
    size_t n = 0;
    for (size_t at = 0; at < written.bytes;) {
        bool is_mark = written.bytes - at >= MARK_BYTES &&
                       memcmp(written.data + at, MARK, MARK_BYTES) == 0;
        out[n++] = is_mark ? ' ' : written.data[at];
        at += is_mark ? MARK_BYTES : 1;
    }
    return n;
}

size_t fr_token_text_write(const fr_token_draft *draft, int64_t id, bool decoded,
                           char *out)
{
    fr_text written = draft->texts[id];
    uint8_t kind = draft->kinds[id];
    size_t n = 0;
    if (kind == FR_TOKEN_BYTE && decoded) {
        out[0] = (char)fr_byte_token(written);
        return 1;
    }
    if (kind == FR_TOKEN_NORMAL && draft->model == FR_MODEL_BYTE_BPE &&
        write_bytes(written, out, &n)) {
        return n;
    }
    if (draft->marks_spaces && decoded &&
        (kind == FR_TOKEN_NORMAL || kind == FR_TOKEN_ADDED)) {
        return write_spaces(written, out);
    }
    memcpy(out, written.data, written.bytes);
    return written.bytes;
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

/* An id without an entry, and an empty text, only fill up the vocabulary. */
static void fill_gaps(fr_token_draft *draft)
{
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        if (draft->kinds[i] == FR_TOKEN_MISSING || draft->texts[i].bytes == 0) {
            draft->kinds[i] = FR_TOKEN_UNUSED;
            draft->texts[i] = (fr_text){"", 0};
        }
    }
}

/* Also sums the bytes of all texts: decoding never makes a text longer, so the arena needs no more. */
static fr_status check_texts(fr_ctx *ctx, const fr_token_draft *draft, int64_t *bytes)
{
    *bytes = 0;
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        fr_text text = draft->texts[i];
        if (text.bytes > INT32_MAX) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: token %lld has %zu bytes; at most %d are allowed",
                           draft->path, (long long)i, text.bytes, INT32_MAX);
        }
        if (draft->kinds[i] == FR_TOKEN_BYTE && fr_byte_token(text) < 0) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: token %lld stands for a byte, but is not written as "
                           "one, such as <0x0A>",
                           draft->path, (long long)i);
        }
        *bytes += (int64_t)text.bytes;
    }
    return FR_OK;
}

/* The id of the unknown token is used only if it is one of the vocabulary. */
static fr_status check_draft(fr_ctx *ctx, fr_token_draft *draft, int64_t *bytes)
{
    FR_TRY(check_counts(ctx, draft));
    fill_gaps(draft);
    if (draft->unknown < -1 || draft->unknown >= draft->n_tokens) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: the unknown token is %lld; the vocabulary has %lld tokens",
                       draft->path, (long long)draft->unknown,
                       (long long)draft->n_tokens);
    }
    return check_texts(ctx, draft, bytes);
}

static fr_status build_tokens(fr_ctx *ctx, fr_token_draft *draft, fr_tokenizer *made)
{
    int64_t bytes = 0;
    FR_TRY(check_draft(ctx, draft, &bytes));
    FR_TRY(fr_alloc(ctx, draft->n_tokens, sizeof *made->tokens, &made->tokens));
    FR_TRY(fr_alloc(ctx, bytes, 1, &made->arena));
    made->n_tokens = draft->n_tokens;
    made->lead = draft->lead;
    char *next = made->arena;
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        size_t length = fr_token_text_write(draft, i, true, next);
        made->tokens[i] = (fr_token){next, (int32_t)length, draft->kinds[i],
                                     draft->late != NULL && draft->late[i] != 0,
                                     draft->how != NULL ? draft->how[i] : 0};
        next += length;
    }
    return FR_OK;
}

/* Maps written texts to ids. Two tokens may not have the same text, since it would mean either; but one of them may be unused,
 * as it is never found. */
static fr_status map_tokens(fr_ctx *ctx, const fr_token_draft *draft, fr_text_map *map)
{
    FR_TRY(fr_text_map_init(ctx, map, draft->n_tokens));
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        if (draft->kinds[i] == FR_TOKEN_UNUSED) {
            continue;
        }
        int32_t id = fr_text_map_add(map, draft->texts[i], (int32_t)i);
        if (id != i) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: tokens %d and %lld have the same "
                           "text; each text may occur once",
                           draft->path, (int)id, (long long)i);
        }
    }
    for (int64_t i = 0; i < draft->n_tokens; i++) {
        if (draft->kinds[i] == FR_TOKEN_UNUSED && draft->texts[i].bytes > 0) {
            (void)fr_text_map_add(map, draft->texts[i], (int32_t)i);
        }
    }
    return FR_OK;
}

/* Special tokens count only where a text may name them (parse_special); added tokens always do. */
static bool is_looked_for(const fr_token *token, int pass, bool special)
{
    return (int)token->late == pass && (token->kind == FR_TOKEN_ADDED ||
                                        (special && token->kind == FR_TOKEN_SPECIAL));
}

/* The texts that the tokens of one set are found by. */
typedef struct token_set {
    fr_special *tokens;
    char **normal; /* normalized texts, owned; NULL: the text of the draft */
    int64_t n;
} token_set;

/* The tokens of the second pass are searched in normalized text, so their own texts are normalized. One that becomes empty is
 * never found. */
static fr_status add_to_set(fr_ctx *ctx, const fr_token_draft *draft,
                            const fr_tokenizer *made, int64_t id, token_set *set)
{
    fr_text text = draft->texts[id];
    if (made->tokens[id].late && !draft->late_plain &&
        fr_normalizer_any(made->normalizer)) {
        char **normal = &set->normal[set->n];
        FR_TRY(fr_normalizer_run(ctx, made->normalizer, text, normal, &text.bytes));
        text.data = *normal;
    }
    if (text.bytes == 0) {
        free(set->normal[set->n]);
        set->normal[set->n] = NULL;
        return FR_OK;
    }
    set->tokens[set->n++] = (fr_special){text, (int32_t)id, made->tokens[id].how};
    return FR_OK;
}

/* One automaton: of a pass, with special tokens or without. */
static fr_status build_set(fr_ctx *ctx, const fr_token_draft *draft, int pass,
                           bool special, fr_tokenizer *made)
{
    token_set set = {0};
    int64_t n = 1;
    for (int64_t i = 0; i < made->n_tokens; i++) {
        n += is_looked_for(&made->tokens[i], pass, special);
    }
    fr_status status = fr_alloc(ctx, n, sizeof *set.tokens, &set.tokens);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof *set.normal, &set.normal);
    }
    for (int64_t i = 0; i < made->n_tokens && status == FR_OK; i++) {
        if (is_looked_for(&made->tokens[i], pass, special)) {
            status = add_to_set(ctx, draft, made, i, &set);
        }
    }
    if (status == FR_OK) {
        status = fr_specials_create(ctx, set.tokens, set.n,
                                    &made->found[pass][special ? 1 : 0]);
    }
    for (int64_t i = 0; set.normal != NULL && i < n; i++) {
        free(set.normal[i]);
    }
    free(set.normal);
    free(set.tokens);
    return status;
}

static fr_status build_specials(fr_ctx *ctx, const fr_token_draft *draft,
                                fr_tokenizer *made)
{
    for (int set = 0; set < FR_N_PASSES * FR_N_PARSED; set++) {
        FR_TRY(build_set(ctx, draft, set / FR_N_PARSED, set % FR_N_PARSED != 0, made));
    }
    return FR_OK;
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

/* What other models than plain byte-level BPE have; nothing for that one, whose digests were made before there were others. */
static fr_status hash_model(fr_ctx *ctx, fr_digest *digest, const fr_token_draft *draft)
{
    const int64_t settings[] = {
        draft->model,        draft->unknown,       draft->byte_fallback,
        draft->fuse_unknown, draft->ignore_merges, draft->single_sums,
        draft->marks_spaces, draft->lead,          draft->late_plain};
    bool plain = draft->model == FR_MODEL_BYTE_BPE && draft->unknown < 0 &&
                 !draft->ignore_merges;
    for (size_t i = 0; !plain && i < sizeof settings / sizeof *settings; i++) {
        FR_TRY(hash_number(ctx, digest, settings[i]));
    }
    for (int64_t i = 0; draft->scores != NULL && i < draft->n_tokens; i++) {
        int64_t bits = 0;
        memcpy(&bits, &draft->scores[i], sizeof bits);
        FR_TRY(hash_number(ctx, digest, bits));
    }
    return FR_OK;
}

/* How added tokens are found, where it is not plainly by their texts. */
static fr_status hash_how(fr_ctx *ctx, fr_digest *digest, const fr_tokenizer *made)
{
    for (int64_t i = 0; i < made->n_tokens; i++) {
        if (made->tokens[i].how != 0) {
            FR_TRY(hash_number(ctx, digest, i));
            FR_TRY(hash_number(ctx, digest, made->tokens[i].how));
        }
    }
    return FR_OK;
}

/* What only one kind of file may know: special and other added tokens are one kind in the vocabulary's digest, since
 * llama.cpp's converter marks an added token as special by its text, and how they are found is left out with the model's
 * settings, which GGUF's splitting rules do not have. */
static fr_status hash_all(fr_ctx *ctx, const fr_token_draft *draft,
                          const fr_tokenizer *made, bool whole, fr_digest *digest)
{
    if (made->splitter != NULL) {
        FR_TRY(fr_splitter_hash(ctx, made->splitter, digest));
    }
    FR_TRY(fr_normalizer_hash(ctx, made->normalizer, digest));
    for (int64_t i = 0; i < made->n_tokens; i++) {
        fr_token token = made->tokens[i];
        if (!whole && token.kind == FR_TOKEN_ADDED) {
            token.kind = FR_TOKEN_SPECIAL;
        }
        if (token.kind != FR_TOKEN_UNUSED) {
            FR_TRY(hash_token(ctx, digest, i, &token));
        }
    }
    FR_TRY(hash_merges(ctx, digest, draft));
    if (whole) {
        FR_TRY(hash_model(ctx, digest, draft));
        FR_TRY(hash_how(ctx, digest, made));
    }
    return FR_OK;
}

static fr_status hash_ordinary(fr_ctx *ctx, const fr_tokenizer *made, fr_digest *digest)
{
    for (int64_t i = 0; i < made->n_tokens; i++) {
        if (made->tokens[i].kind == FR_TOKEN_NORMAL) {
            FR_TRY(hash_token(ctx, digest, i, &made->tokens[i]));
        }
    }
    return FR_OK;
}

/* Leaves out unused ids, so that a GGUF file that fills up its vocabulary has the digest of the folder that it was made
 * from. */
static fr_status build_digest(fr_ctx *ctx, const fr_token_draft *draft, bool whole,
                              fr_tokenizer *made)
{
    fr_digest *digest = NULL;
    fr_status status = fr_digest_create(ctx, &digest);
    if (status == FR_OK) {
        status = whole || draft->model == FR_MODEL_BYTE_BPE
                     ? hash_all(ctx, draft, made, whole, digest)
                     : hash_ordinary(ctx, made, digest);
    }
    if (status == FR_OK) {
        status =
            fr_digest_end(ctx, digest, whole ? made->digest : made->vocabulary_digest);
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
    (*out)->splitter = draft->splitter;
    (*out)->normalizer = draft->normalizer;
    draft->splitter = NULL;
    draft->normalizer = NULL;
    if ((status = build_tokens(ctx, draft, *out)) != FR_OK ||
        (status = map_tokens(ctx, draft, &map)) != FR_OK) {
        goto out;
    }
    if ((status = fr_pieces_create(ctx, draft, &map, &(*out)->pieces)) != FR_OK ||
        (status = build_specials(ctx, draft, *out)) != FR_OK ||
        (status = build_bos(ctx, draft, *out)) != FR_OK ||
        (status = build_digest(ctx, draft, true, *out)) != FR_OK ||
        (status = build_digest(ctx, draft, false, *out)) != FR_OK) {
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
