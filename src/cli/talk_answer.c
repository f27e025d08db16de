/* An answer: the dialogue as ids, tokens one by one, their text as it comes.
 *
 * The dialogue becomes a row, and the ids are those that training and `generate` read from such a row. All ranks have the same
 * dialogue and follow the same tokens. Rank 0 alone sees interrupts, so each token costs a broadcast of one number.
 */
#include "cli/talk_impl.h"

#include "base/print.h"
#include "model/text/bytes.h"
#include "model/text/text_stream.h"
#include "train/data/row.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

talk_form fr_talk_form(const talk *t)
{
    const fr_inference_prefix *p = t->prefix;
    if (p->chat) {
        return TALK_DIALOGUE;
    }
    if (p->template_text != NULL) {
        return TALK_SINGLE;
    }
    return fr_chat_is_usable(p->chat_template != NULL
                                 ? p->chat_template
                                 : fr_tokenizer_chat(t->inference.session.tokenizer))
               ? TALK_DIALOGUE
               : TALK_PLAIN;
}

/* ---- the prompt -------------------------------------------------------------------------------------- */

/* What was said, one text behind the other. */
static json_t *join_texts(const talk *t)
{
    fr_bytes all = {NULL, 0, 0};
    size_t i = 0;
    json_t *message = NULL;
    bool good = true;
    json_array_foreach(t->messages, i, message)
    {
        const json_t *text = json_object_get(message, "content");
        good = good && fr_bytes_add(t->ctx, &all, "\n", i > 0 ? 1 : 0) == FR_OK &&
               fr_bytes_add(t->ctx, &all, json_string_value(text),
                            json_string_length(text)) == FR_OK;
    }
    fr_text text = fr_bytes_text(&all);
    json_t *joined = good ? json_stringn(text.data, text.bytes) : NULL;
    fr_bytes_fini(&all);
    return joined;
}

static json_t *all_messages(const talk *t)
{
    json_t *all = json_copy(t->messages);
    json_t *turn = t->system != NULL
                       ? json_pack("{s:s, s:s}", "role", "system", "content", t->system)
                       : NULL;
    if (all != NULL && t->system != NULL &&
        (turn == NULL || json_array_insert(all, 0, turn) != 0)) {
        json_decref(all);
        all = NULL;
    }
    json_decref(turn);
    return all;
}

/* NULL without memory. */
static json_t *make_row(const talk *t)
{
    talk_form form = fr_talk_form(t);
    size_t last = json_array_size(t->messages) - 1;
    if (form == TALK_DIALOGUE) {
        return json_pack("{s:o}", "messages", all_messages(t));
    }
    json_t *source = form == TALK_PLAIN
                         ? join_texts(t)
                         : json_incref(json_object_get(
                               json_array_get(t->messages, last), "content"));
    return json_pack("{s:o}", "source", source);
}

/* At least one position must be left for the answer. */
static fr_status check_length(const talk *t, int64_t n)
{
    int64_t length = t->prefix->length;
    if (n < 1) {
        return FR_FAIL(t->ctx, FR_ERR_DATA,
                       "there is nothing to answer: the prompt is "
                       "empty");
    }
    if (length + n >= t->context) {
        return FR_FAIL(t->ctx, FR_ERR_DATA,
                       "the dialogue is too long: %lld tokens and a prefix of %lld "
                       "leave no space in a context of %lld; say less, begin anew with "
                       "/reset (/save FILE first keeps it), or start with a larger "
                       "--context",
                       (long long)n, (long long)length, (long long)t->context);
    }
    return FR_OK;
}

static fr_status encode(const talk *t, fr_ids *ids)
{
    fr_row row = {.n_targets = 0};
    fr_row_reader reader;
    fr_data_params params = fr_inference_data(&t->inference, t->prefix, "the dialogue");
    params.chat = fr_talk_form(t) == TALK_DIALOGUE;
    FR_TRY(fr_row_reader_init(t->ctx, &params, FR_ROW_PROMPT, &reader));
    json_t *object = make_row(t);
    fr_status status = fr_check_memory(t->ctx, object != NULL, 1);
    if (status == FR_OK) {
        status = fr_row_encode(&reader, object, &row);
    }
    if (status == FR_OK) {
        status = check_length(t, row.source.ids.count);
    }
    if (status == FR_OK) {
        *ids = row.source.ids;
        row.source.ids = (fr_ids){0};
    }
    fr_row_fini(&row);
    json_decref(object);
    return status;
}

/* ---- the answer -------------------------------------------------------------------------------------- */

typedef struct answer {
    talk *t;
    fr_generate_row row;
    fr_text_stream *stream;
    fr_bytes text;
    int64_t n_seen; /* ids */
    int64_t n_interrupts;
    bool is_interrupted;
    bool has_stopped; /* at a stop text */
} answer;

/* Terminals get it escaped, as a model may write control characters; files and pipes get its bytes. */
static fr_status take_piece(answer *a, fr_text piece)
{
    talk *t = a->t;
    FR_TRY(fr_bytes_add(t->ctx, &a->text, piece.data, piece.bytes));
    if (fr_ctx_rank(t->ctx) != 0) {
        return FR_OK;
    }
    if (isatty(STDOUT_FILENO) == 1) {
        fr_print_text(stdout, piece.data, piece.bytes);
    } else {
        (void)fwrite(piece.data, 1, piece.bytes, stdout);
    }
    return fflush(stdout) == 0
               ? FR_OK
               : FR_FAIL(t->ctx, FR_ERR_IO, "cannot write to standard output");
}

static fr_status look_for_interrupt(answer *a)
{
    int64_t wanted =
        fr_signals_interrupts(a->t->cli->signals) != a->n_interrupts ? 1 : 0;
    FR_TRY(fr_group_broadcast(a->t->cli->world, 0, &wanted, sizeof wanted));
    a->is_interrupted = wanted != 0;
    return FR_OK;
}

/* Called for each token, on every rank. */
static fr_status grown(void *user, int64_t index, bool *leave)
{
    answer *a = user;
    fr_text piece;
    (void)index;
    while (a->n_seen < a->row.out.count && !a->has_stopped) {
        FR_TRY(fr_text_stream_add(a->stream, a->row.out.data[a->n_seen++], &piece,
                                  &a->has_stopped));
        FR_TRY(take_piece(a, piece));
    }
    FR_TRY(look_for_interrupt(a));
    *leave = a->has_stopped || a->is_interrupted;
    return FR_OK;
}

static void tell_end(const answer *a)
{
    const talk *t = a->t;
    int64_t used = t->prefix->length + a->row.prompt.count + a->row.out.count;
    if (a->is_interrupted) {
        fr_talk_note(t, "(stopped)");
    } else if (a->row.state == FR_ROW_FULL && used >= t->context) {
        fr_talk_note(t,
                     "(the context of %lld tokens is full; /reset begins anew, /save "
                     "FILE keeps the dialogue)",
                     (long long)t->context);
    } else if (a->row.state == FR_ROW_FULL) {
        fr_talk_note(t, "(cut after %lld tokens; --max-new-tokens allows more)",
                     (long long)a->row.out.count);
    }
}

static fr_status generate(answer *a)
{
    talk *t = a->t;
    fr_text piece;
    fr_generate_params options = t->options;
    options.grown = grown;
    options.user = a;
    a->n_interrupts = fr_signals_interrupts(t->cli->signals);
    fr_watch_busy(fr_group_watch(t->cli->world), NULL);
    FR_TRY(fr_generate(t->answerer.generator, &a->row, 1, &options));
    FR_TRY(fr_text_stream_end(a->stream, &piece));
    FR_TRY(take_piece(a, piece));
    return take_piece(a, fr_text_of("\n"));
}

/* The line end that ends an answer on the screen is not a part of it. */
static fr_status keep(answer *a)
{
    fr_text text = fr_bytes_text(&a->text);
    bool is_whole = !a->is_interrupted && a->row.state != FR_ROW_FULL;
    tell_end(a);
    return fr_talk_add(a->t, "assistant", text.data, text.bytes - 1, is_whole);
}

fr_status fr_talk_answer(talk *t)
{
    const fr_sampling *sampling = &t->params->sampling;
    answer a = {.t = t,
                .row = {.prefix = &t->prefix->view,
                        .place = {"the dialogue", 0},
                        .sample = sampling->sample,
                        .number = t->number++,
                        .max_new_tokens = sampling->max_new_tokens}};
    fr_status status = encode(t, &a.row.prompt);
    if (status == FR_OK) {
        status = fr_text_stream_open(t->ctx, t->inference.session.tokenizer,
                                     (const char *const *)sampling->stops,
                                     sampling->n_stops, &a.stream);
    }
    status = fr_group_agree(t->cli->world, status);
    if (status == FR_OK) {
        status = fr_group_agree(t->cli->world, generate(&a));
    }
    if (status == FR_OK) {
        status = fr_group_agree(t->cli->world, keep(&a));
    }
    fr_text_stream_close(&a.stream);
    fr_bytes_fini(&a.text);
    fr_generate_row_fini(&a.row);
    return status;
}
