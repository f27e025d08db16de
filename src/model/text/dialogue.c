/* Dialogues as ids.
 *
 * Order of events of one call: which answers are learned (choose); the text of the dialogue, or of the part that is asked for, and
 * the spans of its answers (place_answers); the spans of contents in it (dialogue_contents.c); ids of the text, with
 * both kinds of spans as marks; flags from the marks.
 */
#include "model/text/dialogue_impl.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void fr_dialogue_ids_fini(fr_dialogue_ids *ids)
{
    fr_ids_fini(&ids->ids);
    fr_ids_fini(&ids->counted);
    fr_ids_fini(&ids->own);
    ids->n_parts = 0;
    ids->opens_otherwise = false;
}

/* ---- which answers ------------------------------------------------------------------------ */

static const char *role_of(const fr_dialogue_encoding *e, size_t i)
{
    const char *role = json_string_value(
        json_object_get(json_array_get(e->dialogue->messages, i), "role"));
    return role != NULL ? role : "";
}

static bool is_answer(const fr_dialogue_encoding *e, size_t i)
{
    return strcmp(role_of(e, i), "assistant") == 0;
}

static bool is_skipped(const fr_dialogue_encoding *e, size_t i)
{
    return e->dialogue->skip != NULL && e->dialogue->skip[i];
}

static fr_status fail_without_answer(const fr_dialogue_encoding *e, bool has_skipped)
{
    return has_skipped
               ? FR_FAIL(
                     e->ctx, FR_ERR_DATA,
                     "all assistant turns of the dialogue are kept out of the loss, so "
                     "there is nothing to learn; let one of them count, or "
                     "remove the row")
               : FR_FAIL(e->ctx, FR_ERR_DATA,
                         "the dialogue has no assistant turn, so there is nothing to "
                         "learn; add a message with the role assistant");
}

/* Lists the answers that are learned; of a prompt the last one is still to come. What follows the last of them is not rendered, unless
 * an answer is opened. */
static fr_status choose(fr_dialogue_encoding *e)
{
    size_t n = json_array_size(e->dialogue->messages);
    bool has_skipped = false;
    if (n == 0) {
        return FR_FAIL(e->ctx, FR_ERR_DATA,
                       "the dialogue has no messages; at least one is needed");
    }
    FR_TRY(fr_alloc(e->ctx, (int64_t)n, sizeof *e->answers, &e->answers));
    for (size_t i = 0; i < n; i++) {
        if (!is_answer(e, i)) {
            continue;
        }
        has_skipped = has_skipped || is_skipped(e, i);
        if (!is_skipped(e, i)) {
            e->n_answers = e->dialogue->last_only ? 0 : e->n_answers;
            e->answers[e->n_answers++].message = i;
        }
    }
    if (e->n_answers == 0 && !e->dialogue->open_assistant) {
        return fail_without_answer(e, has_skipped);
    }
    if (e->dialogue->open_assistant && e->dialogue->last_only) {
        e->n_answers = 0;
    }
    e->n = e->dialogue->open_assistant ? n : e->answers[e->n_answers - 1].message + 1;
    return FR_OK;
}

fr_status fr_dialogue_render(fr_dialogue_encoding *e, size_t n, bool opens,
                             fr_jinja_rendered *out)
{
    const fr_chat_said said = {e->dialogue->messages, e->dialogue->tools};
    return fr_chat_render(e->ctx, e->chat, &said, n, opens, &e->steps_left, out);
}

/* ---- where they lie ----------------------------------------------------------------------- */

size_t fr_rendered_same(const fr_jinja_rendered *a, const fr_jinja_rendered *b)
{
    size_t n = 0;
    while (n < a->bytes && n < b->bytes && a->text[n] == b->text[n]) {
        n++;
    }
    return n;
}

static bool begins(const fr_jinja_rendered *text, const fr_jinja_rendered *with)
{
    return fr_rendered_same(text, with) == with->bytes;
}

/* Where answer `a` begins in `whole`, the text up to it, by what is rendered before it with an answer opened. Some templates open
 * an answer with more than they write of a finished one ("<think>"): then it begins where both part, and not behind
 * the first character of the content. */
static fr_status find_begin(fr_dialogue_encoding *e, fr_answer *a,
                            const fr_jinja_rendered *whole)
{
    fr_jinja_rendered opened = {0};
    fr_jinja_rendered before = {0};
    FR_TRY(fr_dialogue_render(e, a->message, true, &opened));
    bool found = begins(whole, &opened);
    a->span = (fr_text_span){opened.bytes, whole->bytes};
    fr_status status = FR_OK;
    if (!found) {
        size_t same = fr_rendered_same(whole, &opened);
        fr_text_span content =
            fr_dialogue_find_content(e, whole, whole->bytes, a->message);
        status = fr_dialogue_render(e, a->message, false, &before);
        found = status == FR_OK && begins(whole, &before) && same > before.bytes;
        e->out->opens_otherwise = true;
        a->span.begin = content.end > 0 && content.begin < same ? content.begin : same;
    }
    fr_jinja_rendered_fini(&opened);
    fr_jinja_rendered_fini(&before);
    FR_TRY(status);
    return found ? FR_OK
                 : FR_FAIL(e->ctx, FR_ERR_DATA,
                           "the chat template does not show where the answer "
                           "of message %zu begins: what it writes before it is not "
                           "the beginning of what it writes with it; give source and "
                           "target with a template instead of messages",
                           a->message + 1);
}

/* Takes the spans of the template's own marks, where there is one for each answer. */
static bool take_marks(fr_dialogue_encoding *e)
{
    const fr_jinja_rendered *text = &e->text;
    int64_t n = 0;
    int64_t next = 0;
    for (size_t i = 0; i < e->n; i++) {
        n += is_answer(e, i);
    }
    if (text->has_lost_marks || text->n_generated != n || n == 0) {
        return false;
    }
    n = 0;
    for (size_t i = 0; i < e->n; i++) {
        if (next < e->n_answers && e->answers[next].message == i) {
            e->answers[next++].span = text->generated[n];
        }
        n += is_answer(e, i);
    }
    return true;
}

/* Whether a prompt ends as what is learned begins, of the last answer, which no later turn changes. A template need not be able to
 * open an answer where its marks show the answers. */
static fr_status compare_opening(fr_dialogue_encoding *e)
{
    const fr_answer *a = &e->answers[e->n_answers - 1];
    fr_jinja_rendered opened = {0};
    fr_status status = fr_dialogue_render(e, a->message, true, &opened);
    if (status == FR_ERR_DATA) {
        fr_ctx_clear_error(e->ctx);
        return FR_OK;
    }
    e->out->opens_otherwise =
        opened.bytes != a->span.begin || !begins(&e->text, &opened);
    fr_jinja_rendered_fini(&opened);
    return status;
}

/* Makes the answer of the part that is asked for the only one, and what is rendered up to it the text. */
static fr_status take_part(fr_dialogue_encoding *e)
{
    int64_t part = e->dialogue->part;
    e->out->n_parts = e->n_answers;
    fr_answer only = e->answers[part < e->n_answers ? part : e->n_answers - 1];
    e->answers[0] = only;
    e->n_answers = 1;
    e->n = only.message + 1;
    fr_jinja_rendered_fini(&e->text);
    FR_TRY(fr_dialogue_render(e, e->n, false, &e->text));
    return find_begin(e, &e->answers[0], &e->text);
}

/* Finds each answer in the text; of a prompt none where later turns change one, as none counts in the part that it asks for. */
static fr_status place_answers(fr_dialogue_encoding *e)
{
    bool changed = false;
    e->out->n_parts = 1;
    if (take_marks(e)) {
        return e->n_answers > 0 && !e->dialogue->open_assistant ? compare_opening(e)
                                                                : FR_OK;
    }
    for (int64_t i = 0; i < e->n_answers && !changed; i++) {
        fr_answer *a = &e->answers[i];
        fr_jinja_rendered up_to = {0};
        bool is_end = a->message + 1 == e->n && !e->dialogue->open_assistant;
        FR_TRY(is_end ? FR_OK : fr_dialogue_render(e, a->message + 1, false, &up_to));
        const fr_jinja_rendered *whole = is_end ? &e->text : &up_to;
        changed = !begins(&e->text, whole);
        fr_status status = find_begin(e, a, whole);
        fr_jinja_rendered_fini(&up_to);
        FR_TRY(status);
    }
    if (changed && e->dialogue->open_assistant) {
        e->n_answers = 0;
    }
    return changed && !e->dialogue->open_assistant ? take_part(e) : FR_OK;
}

/* ---- ids ---------------------------------------------------------------------------------- */

/* Marks in order of their places. */
typedef struct marks {
    fr_id_mark *list;
    int64_t n;
} marks;

static int by_place(const void *a, const void *b)
{
    const fr_id_mark *x = a;
    const fr_id_mark *y = b;
    int order = (x->at > y->at) - (x->at < y->at);
    return order != 0 ? order
                      : y->cuts - x->cuts; /* of several in a place one cuts for all */
}

/* Only where an answer begins no id may reach across. */
static fr_status make_marks(const fr_dialogue_encoding *e, marks *out)
{
    FR_TRY(fr_alloc(e->ctx, 2 * (e->n_answers + (int64_t)e->n), sizeof *out->list,
                    &out->list));
    for (int64_t i = 0; i < e->n_answers; i++) {
        out->list[out->n++] =
            (fr_id_mark){.at = e->answers[i].span.begin, .cuts = true};
        out->list[out->n++] = (fr_id_mark){.at = e->answers[i].span.end};
    }
    for (size_t i = 0; i < e->n; i++) {
        if (e->contents[i].end > 0) {
            out->list[out->n++] = (fr_id_mark){.at = e->contents[i].begin};
            out->list[out->n++] = (fr_id_mark){.at = e->contents[i].end};
        }
    }
    qsort(out->list, (size_t)out->n, sizeof *out->list, by_place);
    return FR_OK;
}

static const fr_id_mark *mark_at(const marks *in, size_t at)
{
    int64_t low = 0;
    int64_t high = in->n - 1;
    while (low < high) { /* the first with this place */
        int64_t middle = (low + high) / 2;
        if (in->list[middle].at < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return &in->list[low];
}

/* Whether an id decodes to white space alone. */
static fr_status is_blank(const fr_dialogue_encoding *e, int32_t id, bool *out)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(fr_tokenizer_decode(e->ctx, e->tokenizer, &id, 1, false, &text, &bytes));
    *out = fr_text_trim((fr_text){text, bytes}).bytes == 0;
    free(text);
    return FR_OK;
}

/* White space behind a special token at the end of an answer is the template's. */
static fr_status find_end(const fr_dialogue_encoding *e, int64_t first, int64_t *end)
{
    int64_t at = *end;
    bool blank = true;
    while (at > first && blank) {
        int32_t id = e->out->ids.data[at - 1];
        if (fr_tokenizer_is_special(e->tokenizer, id)) {
            *end = at;
            return FR_OK;
        }
        FR_TRY(is_blank(e, id, &blank));
        at--;
    }
    return FR_OK;
}

static fr_status set_flags(const fr_dialogue_encoding *e, fr_ids *flags, int64_t first,
                           int64_t end)
{
    while (flags->count < e->out->ids.count) {
        FR_TRY(fr_ids_add(e->ctx, flags, 0));
    }
    for (int64_t i = first; i < end && i < flags->count; i++) {
        flags->data[i] = 1;
    }
    return FR_OK;
}

/* A template may write nothing of an answer. */
static fr_status check_counted(const fr_dialogue_encoding *e)
{
    bool any = e->dialogue->open_assistant;
    for (int64_t i = 0; i < e->out->counted.count; i++) {
        any = any || e->out->counted.data[i] != 0;
    }
    return any ? FR_OK
               : FR_FAIL(e->ctx, FR_ERR_DATA,
                         "the chat template writes nothing of the answers of "
                         "this dialogue; give source and target with a template "
                         "instead of messages");
}

static fr_status flag(const fr_dialogue_encoding *e, const marks *in)
{
    FR_TRY(set_flags(e, &e->out->counted, 0, 0));
    FR_TRY(set_flags(e, &e->out->own, 0, 0));
    for (int64_t i = 0; i < e->n_answers; i++) {
        int64_t first = mark_at(in, e->answers[i].span.begin)->before;
        const fr_id_mark *last = mark_at(in, e->answers[i].span.end);
        int64_t end = last->before + (last->inside ? 1 : 0);
        FR_TRY(find_end(e, first, &end));
        FR_TRY(set_flags(e, &e->out->counted, first, end));
    }
    FR_TRY(check_counted(e));
    for (size_t i = 0; i < e->n; i++) {
        if (e->contents[i].end > 0) {
            const fr_id_mark *first = mark_at(in, e->contents[i].begin);
            FR_TRY(set_flags(e, &e->out->own, first->before + (first->inside ? 1 : 0),
                             mark_at(in, e->contents[i].end)->before));
        }
    }
    return FR_OK;
}

static fr_status encode_text(fr_dialogue_encoding *e)
{
    marks all = {NULL, 0};
    bool plain = !e->dialogue->special_in_content;
    FR_TRY(make_marks(e, &all));
    fr_status status = fr_tokenizer_encode_marked(
        e->ctx, e->tokenizer, (fr_text){e->text.text, e->text.bytes}, e->contents,
        plain ? (int64_t)e->n : 0, all.list, all.n, &e->out->ids);
    if (status == FR_OK) {
        status = flag(e, &all);
    }
    free(all.list);
    return status;
}

static fr_status encode(fr_dialogue_encoding *e)
{
    FR_TRY(choose(e));
    FR_TRY(fr_dialogue_render(e, e->n, e->dialogue->open_assistant, &e->text));
    fr_status status = place_answers(e);
    if (status == FR_ERR_DATA && e->dialogue->open_assistant) {
        /* a prompt learns nothing: its earlier answers need no place */
        fr_ctx_clear_error(e->ctx);
        e->n_answers = 0;
        status = FR_OK;
    }
    FR_TRY(status);
    FR_TRY(fr_dialogue_place_contents(e));
    return encode_text(e);
}

fr_status fr_dialogue_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                             const fr_dialogue *dialogue, fr_dialogue_ids *out)
{
    *out = (fr_dialogue_ids){0};
    fr_dialogue_encoding e = {
        .ctx = ctx,
        .tokenizer = tokenizer,
        .chat = dialogue->chat != NULL ? dialogue->chat : fr_tokenizer_chat(tokenizer),
        .dialogue = dialogue,
        .steps_left = FR_CHAT_STEPS,
        .out = out};
    fr_status status = encode(&e);
    free(e.answers);
    free(e.contents);
    fr_jinja_rendered_fini(&e.text);
    if (status != FR_OK) {
        fr_dialogue_ids_fini(out);
    }
    return status;
}
