#include "model/weights/identity.h"

#include "base/mem.h"
#include "model/weights/digest_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line that grows. Two kilobytes hold all that is written here; a longer line would be cut at its end. WHOLE digits write
 * any size without an exponent. */
enum { SHAPE_BYTES = 2048, WHOLE = 12 };

typedef struct line {
    char *text;
    size_t bytes;
} line;

static void add(line *to, const char *name, int digits, double value)
{
    char number[64];
    (void)snprintf(number, sizeof number, "%.*g", digits, value);
    int n =
        snprintf(to->text + to->bytes, SHAPE_BYTES - to->bytes, " %s=%s", name, number);
    size_t left = SHAPE_BYTES - 1 - to->bytes;
    to->bytes += n > 0 && (size_t)n < left ? (size_t)n : left;
}

static void add_unless(line *to, const char *name, double value, double plain)
{
    if (value != plain) {
        add(to, name, 5, value);
    }
}

/* The mean of the divisors and the last one: a GGUF file stores in f32 what a folder's settings mean in f64, so the
 * numbers are rounded. */
static void add_divisors(line *to, const char *name, const double *divisors, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += divisors[i];
    }
    if (sum != (double)n || divisors[n - 1] != 1.0) {
        char last[64];
        (void)snprintf(last, sizeof last, "%s_last", name);
        add(to, name, 4, sum / (double)n);
        add(to, last, 4, divisors[n - 1]);
    }
}

static void add_rotation(line *to, const fr_rotation *rotation, int64_t head_dim)
{
    int64_t n = rotation->rotary / 2;
    add_unless(to, "rotary", (double)rotation->rotary, (double)head_dim);
    add_divisors(to, "rope_divisor", rotation->divisors, n);
    add_unless(to, "rope_scale", rotation->scale, 1.0);
    if (rotation->long_from != 0) {
        add(to, "rope_long_from", WHOLE, (double)rotation->long_from);
        add_divisors(to, "rope_long_divisor", rotation->long_divisors, n);
    }
}

/* Which layers have a bit, as their number and a sum that depends on their places. */
static void add_layers(line *to, const fr_arch *a, const char *name, int bit)
{
    int64_t n = 0;
    int64_t places = 0;
    for (int64_t i = 0; i < a->n_layers; i++) {
        int64_t has = (a->layers[i] & bit) != 0 ? 1 : 0;
        n += has;
        places = (31 * places + has) % 1000003;
    }
    if (n > 0) {
        char sum[64];
        (void)snprintf(sum, sizeof sum, "%s_places", name);
        add(to, name, WHOLE, (double)n);
        add(to, sum, WHOLE, (double)places);
    }
}

/* What changes the arithmetic beyond the sizes. Plain Llamas and GPT-2 have none of it, so their line stays what it was
 * before there were other families. */
static void add_features(line *to, const fr_arch *a)
{
    if (a->positions == FR_POSITIONS_ROPE) {
        add_rotation(to, &a->rotation, a->head_dim);
    }
    add_unless(to, "window", (double)a->window, 0.0);
    add_layers(to, a, "windows", FR_LAYER_WINDOW);
    add_layers(to, a, "unrotated", FR_LAYER_NO_ROTATION);
    add_layers(to, a, "locals", FR_LAYER_LOCAL_ROTATION);
    bool has_local = false;
    for (int64_t i = 0; i < a->n_layers; i++) {
        has_local = has_local || (a->layers[i] & FR_LAYER_LOCAL_ROTATION) != 0;
    }
    if (has_local) {
        add(to, "local_theta", 5, a->local_rotation.theta);
        add_rotation(to, &a->local_rotation, a->head_dim);
    }
    add_unless(to, "embedding_scale", a->embedding_scale, 1.0);
    add_unless(to, "residual_scale", a->residual_scale, 1.0);
    add_unless(to, "attention_scale", a->attention_scale, 0.0);
    add_unless(to, "attention_cap", a->attention_cap, 0.0);
    add_unless(to, "logit_scale", a->logit_scale, 1.0);
    add_unless(to, "logit_cap", a->logit_cap, 0.0);
    add_unless(to, "qk_norm", (double)a->qk_norm, 0.0);
    add_unless(to, "parallel", a->parallel ? 1.0 : 0.0, 0.0);
    add_unless(to, "activation", (double)a->activation,
               (double)(a->gated ? FR_ACTIVATION_SILU : FR_ACTIVATION_GELU_TANH));
}

fr_status fr_identity_shape(fr_ctx *ctx, const fr_weights *weights,
                            const fr_tokenizer *tokenizer, char **out)
{
    const fr_arch *a = fr_weights_arch(weights);
    char vocabulary[FR_DIGEST_HEX] = "-";
    if (tokenizer != NULL) {
        uint8_t digest[FR_DIGEST_BYTES];
        fr_tokenizer_vocabulary_digest(tokenizer, digest);
        fr_digest_hex(digest, vocabulary);
        vocabulary[16] =
            '\0'; /* 64 bits tell vocabularies apart and keep the line readable */
    }
    *out = malloc(SHAPE_BYTES);
    FR_TRY(fr_check_memory(ctx, *out != NULL, SHAPE_BYTES));
    line to = {.text = *out};
    int n = snprintf(to.text, SHAPE_BYTES,
                     "%s layers=%lld width=%lld ff=%lld heads=%lld kv_heads=%lld "
                     "head_dim=%lld rope_theta=%g vocabulary=%lld:%s",
                     a->family, (long long)a->n_layers, (long long)a->d_model,
                     (long long)a->d_ff, (long long)a->n_heads,
                     (long long)a->n_kv_heads, (long long)a->head_dim,
                     a->positions == FR_POSITIONS_ROPE ? a->rotation.theta : 0.0,
                     (long long)a->vocab_size, vocabulary);
    to.bytes = n > 0 ? (size_t)n : 0; /* the longest is far below SHAPE_BYTES */
    add_features(&to, a);
    return FR_OK;
}

/* Words follow the family's name, so a blank stands before each. */
bool fr_identity_has_windows(const char *shape)
{
    return strstr(shape, " windows=") != NULL;
}

enum { WORDS = FR_DIGEST_BYTES / 8 };

/* Digest 0 is of what lies outside layers, i + 1 of layer i; this rank is responsible for [begin, end). */
typedef struct gather {
    fr_ctx *ctx;
    const fr_weights *weights;
    int64_t n_digests;
    int64_t begin;
    int64_t end;
    int64_t *needs; /* [n_digests], by any rank of the node */
    int64_t *words; /* [n_digests, WORDS] */
} gather;

static fr_status hash_share(const gather *g, int rank, int n_ranks)
{
    int64_t turn = 0;
    for (int64_t i = 0; i < g->n_digests; i++) {
        if (g->needs[i] != 0 && turn++ % n_ranks == rank) {
            uint8_t digest[FR_DIGEST_BYTES];
            FR_TRY(fr_weights_digest(g->ctx, g->weights, i - 1, digest));
            memcpy(g->words + i * WORDS, digest, sizeof digest);
            fr_weights_release(g->weights);
        }
    }
    return FR_OK;
}

/* Each rank has zeros except for its own digests, so the sum is a gather. */
static fr_status gather_digests(const gather *g, const fr_grid *grid, fr_group *node)
{
    int64_t n_words = g->n_digests * WORDS;
    for (int64_t i = g->begin; i < g->end; i++) {
        g->needs[i] = 1;
    }
    FR_TRY(fr_group_allreduce(node, FR_MAX, g->needs, g->n_digests));
    bool is_first = fr_group_rank(node) == 0;
    int64_t is_known = is_first && fr_digest_cache_read(g->ctx, g->weights, g->needs,
                                                        (uint8_t *)g->words);
    FR_TRY(fr_group_allreduce(node, FR_MAX, &is_known, 1));
    fr_status status = FR_OK;
    if (is_known == 0) {
        status = hash_share(g, fr_group_rank(node), fr_group_size(node));
    }
    FR_TRY(fr_group_agree(grid->world, status));
    FR_TRY(fr_group_allreduce(node, FR_SUM, g->words, n_words));
    if (is_first && is_known == 0) {
        fr_digest_cache_write(g->ctx, g->weights, g->needs, (const uint8_t *)g->words);
    }
    for (int64_t i = 0; i < g->n_digests; i++) {
        if (i < g->begin || i >= g->end) {
            memset(g->words + i * WORDS, 0, FR_DIGEST_BYTES);
        }
    }
    return fr_group_allreduce(grid->pipeline, FR_SUM, g->words, n_words);
}

fr_status fr_identity_digest(fr_ctx *ctx, const fr_weights *weights,
                             const fr_grid *grid, fr_group *node, int64_t first,
                             int64_t n, uint8_t out[FR_DIGEST_BYTES])
{
    gather g = {.ctx = ctx,
                .weights = weights,
                .n_digests = fr_weights_arch(weights)->n_layers + 1,
                .begin = first == 0 ? 0 : first + 1,
                .end = first + n + 1};
    fr_status status = fr_alloc(ctx, g.n_digests, sizeof *g.needs, &g.needs);
    if (status == FR_OK) {
        status = fr_alloc(ctx, g.n_digests, FR_DIGEST_BYTES, &g.words);
    }
    status = fr_group_agree(grid->world, status);
    if (status == FR_OK) {
        status = gather_digests(&g, grid, node);
    }
    if (status == FR_OK) {
        status = fr_digest_of(ctx, g.words, (size_t)g.n_digests * FR_DIGEST_BYTES, out);
    }
    free(g.needs);
    free(g.words);
    return status;
}

/* ---- comparison ---------------------------------------------------------------------------------- */

/* Takes the next word of a line; words end at spaces. No bytes: the line is at its end. */
static fr_text take_word(const char **rest)
{
    fr_text word = {*rest, strcspn(*rest, " ")};
    *rest += word.bytes;
    *rest += strspn(*rest, " ");
    return word;
}

/* Whether two words are the same, or the same number of tokens where one base's tokenizer was not known. */
static bool agree(fr_text a, fr_text b)
{
    static const char KEY[] = "vocabulary=";
    if (a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0) {
        return true;
    }
    const char *colon = memchr(a.data, ':', a.bytes);
    size_t to = colon != NULL ? (size_t)(colon - a.data) + 1 : 0;
    if (to < sizeof KEY || memcmp(a.data, KEY, sizeof KEY - 1) != 0 || b.bytes <= to ||
        memcmp(a.data, b.data, to) != 0) {
        return false;
    }
    return (a.bytes == to + 1 && a.data[to] == '-') ||
           (b.bytes == to + 1 && b.data[to] == '-');
}

static bool lines_agree(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0') {
        if (!agree(take_word(&a), take_word(&b))) {
            return false;
        }
    }
    return *a == *b;
}

/* Writes the words of a line that the other one lacks. */
static void write_own_words(const char *of, const char *other, char *out)
{
    const char *rest = of;
    size_t bytes = 0;
    while (*rest != '\0') {
        fr_text word = take_word(&rest);
        const char *at = other;
        bool found = false;
        while (*at != '\0' && !found) {
            found = agree(word, take_word(&at));
        }
        if (!found && bytes + word.bytes + 2 <= SHAPE_BYTES) {
            out[bytes] = ' ';
            memcpy(out + bytes + (bytes > 0 ? 1 : 0), word.data, word.bytes);
            bytes += word.bytes + (bytes > 0 ? 1 : 0);
        }
    }
    out[bytes] = '\0';
}

static const char *or_nothing(const char *words)
{
    return words[0] != '\0' ? words : "nothing else";
}

static fr_status refuse(fr_ctx *ctx, const char *file, const char *saved,
                        const char *shape)
{
    char only_saved[SHAPE_BYTES];
    char only_model[SHAPE_BYTES];
    write_own_words(saved, shape, only_saved);
    write_own_words(shape, saved, only_model);
    bool by_order = only_saved[0] == '\0' && only_model[0] == '\0';
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                   "%s was made for another base: it names [%s], the model is [%s]; "
                   "use the model it was made for",
                   file, by_order ? saved : or_nothing(only_saved),
                   by_order ? shape : or_nothing(only_model));
}

fr_status fr_identity_check(fr_ctx *ctx, const char *file, const char *saved_shape,
                            const uint8_t saved_digest[FR_DIGEST_BYTES],
                            const char *shape, const uint8_t digest[FR_DIGEST_BYTES],
                            bool strict)
{
    if (saved_shape == NULL) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s does not name its base, so it cannot be checked against the "
                       "model; use a "
                       "file that `forerun train` wrote",
                       file);
    }
    if (!lines_agree(saved_shape, shape)) {
        return refuse(ctx, file, saved_shape, shape);
    }
    if (memcmp(saved_digest, digest, FR_DIGEST_BYTES) == 0) {
        return FR_OK;
    }
    if (strict) {
        return FR_FAIL(
            ctx, FR_ERR_CHECKPOINT,
            "%s was made over other weights of the same shape; resume over the "
            "same model file, or pass --force to resume anyway",
            file);
    }
    fr_log(ctx, FR_LOG_WARN, "%s was made over other weights of the same shape", file);
    return FR_OK;
}

fr_status fr_identity_check_eps(fr_ctx *ctx, const char *file, double saved, double eps)
{
    float was = (float)saved;
    float is = (float)eps;
    if (saved == 0.0 || memcmp(&was, &is, sizeof was) == 0) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                   "%s was made for another base: its norms have the epsilon %g, the "
                   "model's have %g; use the model it was made for",
                   file, saved, eps);
}
