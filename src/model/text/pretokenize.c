/* Splitting, step by step.
 *
 * run_step takes one piece through one step and hands each part to the next step at once, so no list of pieces is kept and
 * the order of pieces is that of the text. Behind the last step deliver() hands a piece to the caller.
 *
 * Patterns want well-formed UTF-8, but texts may have any bytes: fr_splitter_run alternates between a well-formed stretch,
 * which goes through the steps, and a malformed one, which is one piece.
 *
 * A BYTES step in front of others (Falcon's tokenizer.json) turns a piece into the characters of byte_table.h, so that the
 * steps behind it see what they see in Hugging Face's tokenizers; deliver() turns the parts back. As the last step it has
 * nothing to do. */
#include "model/text/pretokenize.h"

#include "base/mem.h"
#include "model/files/names.h"
#include "model/text/byte_table.h"
#include "model/text/bytes.h"
#include "model/text/character.h"
#include "model/text/pattern.h"
#include "model/text/pretokenize_impl.h"

#include <stdlib.h>
#include <string.h>

/* A step with its texts owned. */
typedef struct step {
    fr_split_step as; /* texts point to `pattern` and `content` */
    fr_pattern *pattern;
    char *pattern_text;
    char *content;
} step;

struct fr_splitter {
    step *steps;
    int64_t n;
    int64_t bytes_at;  /* the BYTES step; -1: none */
    const char *named; /* of the rule with these steps; NULL: none */
};

static fr_status own_text(fr_ctx *ctx, fr_text *text, char **owned)
{
    FR_TRY(fr_alloc(ctx, (int64_t)text->bytes + 1, 1, owned));
    if (text->bytes > 0) {
        memcpy(*owned, text->data, text->bytes);
    }
    text->data = *owned;
    return FR_OK;
}

static fr_status fill(fr_ctx *ctx, const char *path, const fr_split_step *steps,
                      int64_t n, fr_splitter *made)
{
    made->bytes_at = -1;
    made->named = fr_split_rule_with(steps, n);
    FR_TRY(fr_alloc(ctx, n, sizeof *made->steps, &made->steps));
    made->n = n;
    for (int64_t i = 0; i < n; i++) {
        step *to = &made->steps[i];
        to->as = steps[i];
        FR_TRY(own_text(ctx, &to->as.pattern, &to->pattern_text));
        FR_TRY(own_text(ctx, &to->as.content, &to->content));
        if (to->as.kind == FR_SPLIT_AT || to->as.kind == FR_SPLIT_REPLACE) {
            FR_TRY(fr_pattern_create(ctx, path, to->as.pattern, to->as.is_regex,
                                     &to->pattern));
        }
        if (to->as.kind == FR_SPLIT_BYTES && made->bytes_at >= 0) {
            return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                           "%s: pre_tokenizer maps to bytes (ByteLevel) twice; "
                           "supported: once. Give rows as token ids (source_ids, "
                           "target_ids)",
                           path);
        }
        made->bytes_at = to->as.kind == FR_SPLIT_BYTES ? i : made->bytes_at;
    }
    return FR_OK;
}

fr_status fr_splitter_create(fr_ctx *ctx, const char *path, const fr_split_step *steps,
                             int64_t n, fr_splitter **out)
{
    *out = NULL;
    if (n > FR_MAX_SPLIT_STEPS) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "%s: pre_tokenizer has %lld steps; at most %d are supported. Give "
            "rows as token ids (source_ids, target_ids)",
            path, (long long)n, FR_MAX_SPLIT_STEPS);
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    fr_status status = fill(ctx, path, steps, n, *out);
    if (status != FR_OK) {
        fr_splitter_destroy(out);
    }
    return status;
}

fr_status fr_splitter_create_named(fr_ctx *ctx, fr_text name, fr_splitter **out)
{
    fr_split_rule rule;
    *out = NULL;
    return fr_split_rule_find(name, &rule)
               ? fr_splitter_create(ctx, rule.name, rule.steps, rule.n, out)
               : FR_OK;
}

void fr_splitter_destroy(fr_splitter **splitter)
{
    if (*splitter != NULL) {
        for (int64_t i = 0; i < (*splitter)->n; i++) {
            fr_pattern_destroy(&(*splitter)->steps[i].pattern);
            free((*splitter)->steps[i].pattern_text);
            free((*splitter)->steps[i].content);
        }
        free((*splitter)->steps);
        free(*splitter);
        *splitter = NULL;
    }
}

bool fr_splitter_is_byte_level(const fr_splitter *splitter)
{
    return splitter->bytes_at >= 0;
}

static fr_status hash_text(fr_ctx *ctx, fr_digest *digest, fr_text text)
{
    uint8_t bytes[sizeof(uint32_t)];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(text.bytes >> (8 * i));
    }
    FR_TRY(fr_digest_add(ctx, digest, bytes, sizeof bytes));
    return fr_digest_add(ctx, digest, text.data, text.bytes);
}

/* A named rule adds its name alone, as it always did: folders and GGUF files with the same rule have the same digest. */
fr_status fr_splitter_hash(fr_ctx *ctx, const fr_splitter *splitter, fr_digest *digest)
{
    if (splitter->named != NULL) {
        return fr_digest_add(ctx, digest, splitter->named, strlen(splitter->named) + 1);
    }
    for (int64_t i = 0; i < splitter->n; i++) {
        const fr_split_step *as = &splitter->steps[i].as;
        const uint8_t how[] = {(uint8_t)as->kind, as->is_regex, (uint8_t)as->behavior,
                               as->invert, as->first_only};
        FR_TRY(fr_digest_add(ctx, digest, how, sizeof how));
        FR_TRY(hash_text(ctx, digest, as->pattern));
        FR_TRY(hash_text(ctx, digest, as->content));
    }
    return FR_OK;
}

/* One call of fr_splitter_run. */
typedef struct run {
    fr_ctx *ctx;
    const fr_splitter *splitter;
    fr_matcher matchers[FR_MAX_SPLIT_STEPS]; /* of steps with a pattern */
    uint64_t budget;                         /* of all of them */
    fr_bytes unmapped;                       /* working memory of deliver */
    fr_piece_visit visit;
    void *user;
} run;

typedef struct piece {
    fr_text text;
    bool first; /* the whole text begins here */
    bool
        behind; /* malformed bytes stand in front: the text goes on, so nothing is put in front */
} piece;

static fr_status run_step(run *r, int64_t at, piece p);

static piece part_of(piece p, size_t start, size_t end)
{
    return (piece){{p.text.data + start, end - start},
                   p.first && start == 0,
                   p.behind && start == 0};
}

static fr_status deliver(run *r, fr_text text)
{
    bool mapped =
        r->splitter->bytes_at >= 0 && r->splitter->bytes_at + 1 < r->splitter->n;
    if (!mapped) {
        return r->visit(r->user, text.data, text.bytes);
    }
    r->unmapped.count = 0;
    size_t used = 0;
    for (size_t at = 0; at < text.bytes; at += used) {
        int byte = fr_byte_from_char(text.data + at, text.bytes - at, &used);
        if (byte < 0) {
            return FR_FAIL(
                r->ctx, FR_ERR_UNSUPPORTED,
                "pre_tokenizer puts a character behind ByteLevel that stands "
                "for no byte, which is not supported");
        }
        FR_TRY(fr_bytes_add(r->ctx, &r->unmapped, &(char){(char)byte}, 1));
    }
    return r->visit(r->user, r->unmapped.data, r->unmapped.count);
}

/* Joins matches and the text between them to parts, as the step's behavior says. A part waits in [start, end) until it is
 * known that nothing is joined to it. */
typedef struct joiner {
    run *r;
    int64_t at; /* the step */
    piece whole;
    size_t start;
    size_t end;
    bool has_part;
    bool was_match; /* the item before */
} joiner;

static fr_status pass(joiner *j, size_t start, size_t end)
{
    return end > start ? run_step(j->r, j->at + 1, part_of(j->whole, start, end))
                       : FR_OK;
}

static fr_status flush(joiner *j)
{
    bool had_part = j->has_part;
    j->has_part = false;
    return had_part ? pass(j, j->start, j->end) : FR_OK;
}

/* Whether an item belongs to the part that waits. */
static bool belongs(const joiner *j, fr_split_behavior behavior, bool is_match)
{
    switch (behavior) {
    case FR_SPLIT_WITH_PREVIOUS:
        return is_match && !j->was_match;
    case FR_SPLIT_WITH_NEXT:
        return !is_match && j->was_match;
    case FR_SPLIT_CONTIGUOUS:
        return is_match == j->was_match;
    default:
        return false;
    }
}

static fr_status take(joiner *j, size_t start, size_t end, bool is_match)
{
    const fr_split_step *as = &j->r->splitter->steps[j->at].as;
    is_match = is_match != as->invert;
    if (as->behavior == FR_SPLIT_ISOLATED || as->behavior == FR_SPLIT_REMOVED) {
        bool removed = is_match && as->behavior == FR_SPLIT_REMOVED;
        return removed ? FR_OK : pass(j, start, end);
    }
    if (j->has_part && belongs(j, as->behavior, is_match)) {
        j->end = end;
    } else {
        FR_TRY(flush(j));
        j->has_part = true;
        j->start = start;
        j->end = end;
    }
    j->was_match = is_match;
    return FR_OK;
}

static fr_status split_at(run *r, int64_t at, piece p)
{
    joiner j = {.r = r, .at = at, .whole = p};
    fr_search search = {0};
    size_t done = 0;
    bool found = false;
    for (;;) {
        FR_TRY(fr_matcher_next(r->ctx, &r->matchers[at], p.text, &search, &found));
        if (!found) {
            break;
        }
        if (search.start > done) {
            FR_TRY(take(&j, done, search.start, false));
        }
        FR_TRY(take(&j, search.start, search.end, true));
        done = search.end;
    }
    if (done < p.text.bytes) {
        FR_TRY(take(&j, done, p.text.bytes, false));
    }
    return flush(&j);
}

static fr_status add_replaced(run *r, int64_t at, fr_text text, fr_bytes *out)
{
    fr_text content = r->splitter->steps[at].as.content;
    fr_search search = {0};
    size_t done = 0;
    bool found = false;
    for (;;) {
        FR_TRY(fr_matcher_next(r->ctx, &r->matchers[at], text, &search, &found));
        if (!found) {
            return fr_bytes_add(r->ctx, out, text.data + done, text.bytes - done);
        }
        FR_TRY(fr_bytes_add(r->ctx, out, text.data + done, search.start - done));
        FR_TRY(fr_bytes_add(r->ctx, out, content.data, content.bytes));
        done = search.end;
    }
}

static fr_status add_mapped(run *r, fr_text text, fr_bytes *out)
{
    for (size_t i = 0; i < text.bytes; i++) {
        char mapped[FR_BYTE_CHAR_BYTES];
        size_t bytes = fr_byte_to_char((uint8_t)text.data[i], mapped);
        FR_TRY(fr_bytes_add(r->ctx, out, mapped, bytes));
    }
    return FR_OK;
}

static bool begins_with(fr_text text, fr_text start)
{
    return text.bytes >= start.bytes && memcmp(text.data, start.data, start.bytes) == 0;
}

/* The text of a piece behind a step that changes it. */
static fr_status add_changed(run *r, int64_t at, piece p, fr_bytes *out)
{
    const fr_split_step *as = &r->splitter->steps[at].as;
    if (as->kind == FR_SPLIT_REPLACE) {
        return add_replaced(r, at, p.text, out);
    }
    if (as->kind == FR_SPLIT_BYTES) {
        return add_mapped(r, p.text, out);
    }
    bool put =
        !p.behind && (p.first || !as->first_only) && !begins_with(p.text, as->content);
    if (put) {
        FR_TRY(fr_bytes_add(r->ctx, out, as->content.data, as->content.bytes));
    }
    return fr_bytes_add(r->ctx, out, p.text.data, p.text.bytes);
}

static fr_status run_step(run *r, int64_t at, piece p)
{
    if (p.text.bytes == 0) {
        return FR_OK;
    }
    if (at == r->splitter->n) {
        return deliver(r, p.text);
    }
    if (r->splitter->steps[at].as.kind == FR_SPLIT_AT) {
        return split_at(r, at, p);
    }
    if (at == r->splitter->bytes_at && at + 1 == r->splitter->n) {
        return deliver(r, p.text);
    }
    fr_bytes changed = {0};
    fr_status status = add_changed(r, at, p, &changed);
    if (status == FR_OK) {
        p.text = fr_bytes_text(&changed);
        status = run_step(r, at + 1, p);
    }
    fr_bytes_fini(&changed);
    return status;
}

/* Alternates between well-formed and malformed stretches. */
static fr_status run_stretches(run *r, fr_text text, bool first)
{
    size_t at = 0;
    while (at < text.bytes) {
        const char *rest = text.data + at;
        size_t left = text.bytes - at;
        size_t n_valid = fr_utf8_stretch(rest, left, true);
        size_t n_malformed = fr_utf8_stretch(rest + n_valid, left - n_valid, false);
        piece valid = {{rest, n_valid}, first && at == 0, at > 0};
        FR_TRY(run_step(r, 0, valid));
        if (n_malformed > 0) {
            FR_TRY(r->visit(r->user, rest + n_valid, n_malformed));
        }
        at += n_valid + n_malformed;
    }
    return FR_OK;
}

/* Matchers are made for each call, so threads can share a splitter. */
fr_status fr_splitter_run(fr_ctx *ctx, const fr_splitter *splitter, fr_text text,
                          bool first, fr_piece_visit visit, void *user)
{
    run r = {.ctx = ctx,
             .splitter = splitter,
             .budget = fr_pattern_budget(text.bytes),
             .visit = visit,
             .user = user};
    fr_status status = FR_OK;
    for (int64_t i = 0; status == FR_OK && i < splitter->n; i++) {
        const fr_pattern *pattern = splitter->steps[i].pattern;
        if (pattern != NULL) {
            status = fr_matcher_init(ctx, pattern, &r.budget, &r.matchers[i]);
        }
    }
    if (status == FR_OK) {
        status = run_stretches(&r, text, first);
    }
    for (int64_t i = 0; i < splitter->n; i++) {
        fr_matcher_fini(&r.matchers[i]);
    }
    fr_bytes_fini(&r.unmapped);
    return status;
}
