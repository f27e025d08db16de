/* What the engine tells of a choice, and what becomes of it: text, log-probabilities, pieces of a stream.
 *
 * All of it runs on the engine's thread under the call's lock. A token costs some microseconds here: its text, and for a stream
 * one line of JSON. A stop text ends a choice before the engine does; the engine is told, and what it still gives is passed over.
 * Where one choice fails, the call fails: an answer with half of the choices would look like a whole one.
 */
#include "base/clock.h"
#include "serve/call_impl.h"

#include <string.h>

/* Characters of UTF-8: all bytes but those that continue one. */
static int64_t count_characters(fr_text text)
{
    enum { CONTINUES_MASK = 0xC0, CONTINUES = 0x80 };
    int64_t n = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        n += ((unsigned char)text.data[i] & CONTINUES_MASK) != CONTINUES;
    }
    return n;
}

/* Ends a choice for the reader. In an event the engine may be told at once, unless its ticket is not known yet. */
static void finish(fr_call_choice *c, const char *reason)
{
    if (c->is_done) {
        return;
    }
    c->is_done = true;
    c->finish = reason;
    c->call->n_done++;
    if (c->ticket == 0) {
        c->wants_cancel = true;
    } else if (!c->has_ended) {
        fr_serving_cancel(c->call->answering->serving, c->ticket);
    }
}

static void fail_call(fr_call *k, int http, const char *code, const char *message)
{
    if (k->error.http == 0) {
        fr_api_error_set(&k->error, http, code, NULL, "%s",
                         message != NULL ? message : "the answer cannot be finished");
    }
    for (int64_t i = 0; i < k->n_choices; i++) {
        finish(&k->choices[i], NULL);
    }
}

/* New text of a choice, with the log-probabilities of its token. */
static fr_status give(fr_call_choice *c, fr_text piece, json_t *logprobs)
{
    fr_call *k = c->call;
    c->n_characters += count_characters(piece);
    if (!k->request.stream) {
        return fr_api_bytes_add(k->ctx, &c->text, piece.data, piece.bytes);
    }
    bool opens = k->request.kind == FR_API_CHAT && !c->has_opened;
    if (piece.bytes == 0 && logprobs == NULL && !opens && c->finish == NULL) {
        return FR_OK;
    }
    const fr_api_choice choice = {.index = c->index,
                                  .text = piece,
                                  .logprobs = logprobs,
                                  .finish = c->finish,
                                  .opens = opens};
    c->has_opened = true;
    return fr_api_piece(k->ctx, &k->head, &choice, NULL, &k->out);
}

static fr_status take_logprobs(fr_call_choice *c, const fr_serving_event *event,
                               json_t **out)
{
    fr_call *k = c->call;
    *out = NULL;
    if (event->logprobs == NULL || k->request.n_logprobs == 0) {
        return FR_OK;
    }
    json_t *list = c->logprobs;
    if (k->request.stream) {
        FR_TRY(fr_api_logprobs_create(k->ctx, k->request.kind, &list));
        *out = list;
    }
    return fr_api_logprobs_add(k->ctx, k->request.kind, list, k->answering->tokenizer,
                               event->id, event->logprobs, c->n_characters);
}

static fr_status take_token(fr_call_choice *c, const fr_serving_event *event)
{
    fr_call *k = c->call;
    fr_text piece = {"", 0};
    bool stopped = false;
    json_t *logprobs = NULL;
    if (k->counts.first_seconds < 0.0) {
        k->counts.first_seconds = fr_clock_seconds() - k->began;
    }
    k->counts.usage.completion_tokens++;
    FR_TRY(fr_text_stream_add(c->stream, event->id, &piece, &stopped));
    fr_status status = take_logprobs(c, event, &logprobs);
    if (status == FR_OK) {
        status = give(c, piece, logprobs);
    }
    json_decref(logprobs);
    if (status == FR_OK && stopped) {
        finish(c, "stop");
        status = give(c, (fr_text){"", 0}, NULL);
    }
    return status;
}

/* The end of the text: what was held back, and the reason. */
static fr_status take_last(fr_call_choice *c, const char *reason)
{
    fr_text piece = {"", 0};
    FR_TRY(fr_text_stream_end(c->stream, &piece));
    finish(c, reason);
    return give(c, piece, NULL);
}

static fr_status take_end(fr_call_choice *c, const fr_serving_event *event)
{
    fr_call *k = c->call;
    switch (event->end) {
    case FR_SERVING_STOPPED:
        return take_last(c, "stop");
    case FR_SERVING_FULL:
        return take_last(c, "length");
    case FR_SERVING_EXPIRED:
        fail_call(k, FR_HTTP_UNAVAILABLE, "timeout", event->message);
        return FR_OK;
    case FR_SERVING_DRAINED:
        fail_call(k, FR_HTTP_UNAVAILABLE, "shutting_down", event->message);
        return FR_OK;
    case FR_SERVING_CANCELLED:
        fail_call(k, FR_HTTP_UNAVAILABLE, "cancelled", event->message);
        return FR_OK;
    case FR_SERVING_LOST:
        fail_call(k, FR_HTTP_INTERNAL, "server_lost", event->message);
        return FR_OK;
    default:
        fail_call(k, FR_HTTP_INTERNAL, "not_answered", event->message);
        return FR_OK;
    }
}

/* The last event of a stream. An error ends one without [DONE]: what came before it is not the whole answer. */
static fr_status end_stream(fr_call *k)
{
    k->counts.failed = k->error.http != 0;
    if (k->error.http != 0) {
        return fr_api_error_write(k->ctx, &k->error, true, &k->out);
    }
    if (k->request.include_usage) {
        FR_TRY(fr_api_piece(k->ctx, &k->head, NULL, &k->counts.usage, &k->out));
    }
    return fr_api_done(k->ctx, &k->out);
}

static fr_status end_if_done(fr_call *k)
{
    if (k->is_whole || k->n_done < k->n_choices) {
        return FR_OK;
    }
    fr_status status = k->request.stream ? end_stream(k) : FR_OK;
    k->is_whole = true;
    k->whole_at = fr_clock_seconds();
    k->unread = (int64_t)(k->out.bytes - k->n_read);
    return status;
}

static void take(fr_call_choice *c, const fr_serving_event *event)
{
    fr_call *k = c->call;
    bool is_end = event->end != FR_SERVING_GOES_ON;
    fr_status status = FR_OK;
    c->has_ended = c->has_ended || is_end;
    if (!c->is_done) {
        status = is_end ? take_end(c, event) : take_token(c, event);
    }
    if (status == FR_OK) {
        status = end_if_done(k);
    }
    if (status != FR_OK) { /* a stream that lacks a piece must not look whole */
        k->lacks_memory = true;
        k->counts.failed = true;
        fail_call(k, FR_HTTP_UNAVAILABLE, "no_memory", "there is not enough memory");
        k->is_whole = true;
        k->whole_at = fr_clock_seconds();
        fr_ctx_clear_error(k->ctx);
    }
    bool has_news = k->is_whole || k->n_read < k->out.bytes;
    if (k->is_resting && has_news) {
        k->is_resting = false;
        k->reader.wake(k->reader.user);
    }
}

void fr_call_take_event(void *user, const fr_serving_event *event)
{
    fr_call_choice *c = user;
    fr_call *k = c->call;
    bool is_end = event->end != FR_SERVING_GOES_ON;
    (void)pthread_mutex_lock(&k->lock);
    take(c, event);
    (void)pthread_mutex_unlock(&k->lock);
    if (is_end) {
        fr_call_release(k);
    }
}

fr_status fr_call_echo(fr_call_choice *choice)
{
    fr_call *k = choice->call;
    const json_t *asked = k->request.prompts[choice->prompt];
    if (json_is_string(asked)) {
        return give(choice,
                    (fr_text){json_string_value(asked), json_string_length(asked)},
                    NULL);
    }
    fr_text_stream *stream = NULL;
    fr_status status =
        fr_text_stream_open(k->ctx, k->answering->tokenizer, NULL, 0, &stream);
    for (size_t i = 0; i < json_array_size(asked) && status == FR_OK; i++) {
        fr_text piece = {"", 0};
        bool stopped = false;
        int64_t id = json_integer_value(json_array_get(asked, i));
        status = fr_text_stream_add(stream, (int32_t)id, &piece, &stopped);
        status = status == FR_OK ? give(choice, piece, NULL) : status;
    }
    if (status == FR_OK) {
        fr_text piece = {"", 0};
        status = fr_text_stream_end(stream, &piece);
        status = status == FR_OK ? give(choice, piece, NULL) : status;
    }
    fr_text_stream_close(&stream);
    return status;
}
