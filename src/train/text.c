#define _GNU_SOURCE /* memmem */
#include "train/text.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

fr_status fr_template_parse(fr_ctx *ctx, const char *text, fr_template *out)
{
    static const char SOURCE[] = "{source}";
    static const char TARGET[] = "{target}";
    const char *source = strstr(text, SOURCE);
    const char *target = strstr(text, TARGET);
    bool bad = target == NULL || strstr(target + 1, TARGET) != NULL;
    bad = bad ||
          (source != NULL && (source > target || strstr(source + 1, SOURCE) != NULL));
    if (bad) {
        return FR_FAIL(
            ctx, FR_ERR_CONFIG,
            "template \"%s\" must hold {target} once and {source} at most once "
            "before it",
            text);
    }
    const char *between = source != NULL ? source + strlen(SOURCE) : target;
    *out = (fr_template){.before = text,
                         .before_bytes =
                             (size_t)((source != NULL ? source : target) - text),
                         .has_source = source != NULL,
                         .between = between,
                         .between_bytes = (size_t)(target - between),
                         .after = target + strlen(TARGET),
                         .after_bytes = strlen(target + strlen(TARGET))};
    return FR_OK;
}

/* Text collected since the last special token. */
typedef struct collector {
    fr_ctx *ctx;
    const fr_tokenizer *tokenizer;
    fr_ids *ids;
    bool special; /* parse special tokens in what was collected */
    char *text;
    size_t bytes;
} collector;

static void collect(collector *c, const char *text, size_t bytes)
{
    memcpy(c->text + c->bytes, text, bytes);
    c->bytes += bytes;
}

static fr_status flush(collector *c)
{
    size_t bytes = c->bytes;
    c->bytes = 0;
    if (bytes == 0) {
        return FR_OK;
    }
    return fr_tokenizer_encode(c->ctx, c->tokenizer, c->text, bytes, c->special,
                               c->ids);
}

/* Cut `piece` at the text of special token `id`, which it holds; moves the piece behind it. */
static fr_status take_special(collector *c, int32_t id, fr_piece *piece)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(fr_tokenizer_decode(c->ctx, c->tokenizer, &id, 1, false, &text, &bytes));
    const char *at = memmem(piece->text, piece->bytes, text, bytes);
    fr_status status = FR_OK;
    if (at != NULL) {
        size_t before = (size_t)(at - piece->text);
        collect(c, piece->text, before);
        piece->text += before + bytes;
        piece->bytes -= before + bytes;
        status = flush(c);
        if (status == FR_OK) {
            status = fr_ids_add(c->ctx, c->ids, id);
        }
    }
    free(text);
    return status;
}

/* Collect `piece` up to the end of added token `id`, which it holds, so that no special one is looked for inside it. */
static fr_status pass_added(collector *c, int32_t id, fr_piece *piece)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(fr_tokenizer_decode(c->ctx, c->tokenizer, &id, 1, false, &text, &bytes));
    const char *at = memmem(piece->text, piece->bytes, text, bytes);
    size_t passed = at != NULL ? (size_t)(at - piece->text) + bytes : 0;
    collect(c, piece->text, passed);
    piece->text += passed;
    piece->bytes -= passed;
    free(text);
    return FR_OK;
}

static fr_status add_template(collector *c, fr_piece piece)
{
    fr_ids ids = {0};
    fr_status status =
        fr_tokenizer_encode(c->ctx, c->tokenizer, piece.text, piece.bytes, true, &ids);
    for (int64_t i = 0; status == FR_OK && i < ids.count; i++) {
        int32_t id = ids.data[i];
        if (fr_tokenizer_is_special(c->tokenizer, id)) {
            status = take_special(c, id, &piece);
        } else if (fr_tokenizer_is_added(c->tokenizer, id)) {
            status = pass_added(c, id, &piece);
        }
    }
    collect(c, piece.text, piece.bytes);
    fr_ids_fini(&ids);
    return status;
}

fr_status fr_text_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                         const fr_piece *pieces, int n_pieces, bool special,
                         fr_ids *ids)
{
    collector c = {.ctx = ctx, .tokenizer = tokenizer, .ids = ids, .special = special};
    size_t total = 1;
    for (int i = 0; i < n_pieces; i++) {
        total += pieces[i].bytes;
    }
    FR_TRY(fr_alloc(ctx, (int64_t)total, 1, &c.text));
    fr_status status = FR_OK;
    for (int i = 0; status == FR_OK && i < n_pieces; i++) {
        if (pieces[i].is_template && !special) {
            status = add_template(&c, pieces[i]);
        } else {
            collect(&c, pieces[i].text, pieces[i].bytes);
        }
    }
    if (status == FR_OK) {
        status = flush(&c);
    }
    free(c.text);
    return status;
}

fr_status fr_text_encode_source(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                const fr_template *t, const char *source, size_t bytes,
                                bool special, fr_ids *ids)
{
    const fr_piece pieces[] = {{t->before, t->before_bytes, true},
                               {source, t->has_source ? bytes : 0, false},
                               {t->between, t->between_bytes, true}};
    return fr_text_encode(ctx, tokenizer, pieces, 3, special, ids);
}

fr_status fr_text_encode_target(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                const fr_template *t, const char *target, size_t bytes,
                                bool special, fr_ids *ids)
{
    const fr_piece pieces[] = {{target, bytes, false},
                               {t->after, t->after_bytes, true}};
    return fr_text_encode(ctx, tokenizer, pieces, 2, special, ids);
}
