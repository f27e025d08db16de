/* A call from its request to its end.
 *
 * The order of events: the name gives a prefix, every prompt is encoded, then every choice is submitted. From the first submit on
 * the engine's thread may be in this call at any time, so everything that it needs is there before. If a later choice is not
 * taken, the earlier ones are cancelled and the call is refused as a whole.
 *
 * Locks: the engine calls fr_call_take_event, which takes the call's lock. So no function here calls the engine while it holds
 * that lock; events may, as engine.h says.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "serve/call_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* What an answer is made of. */
static void release_texts(fr_call *k)
{
    for (int64_t i = 0; k->choices != NULL && i < k->n_choices; i++) {
        fr_api_bytes_fini(&k->choices[i].text);
        json_decref(k->choices[i].logprobs);
        k->choices[i].logprobs = NULL;
    }
}

static void release_choices(fr_call *k)
{
    release_texts(k);
    for (int64_t i = 0; k->choices != NULL && i < k->n_choices; i++) {
        fr_text_stream_close(&k->choices[i].stream);
    }
    free(k->choices);
}

void fr_call_release(fr_call *k)
{
    (void)pthread_mutex_lock(&k->lock);
    bool is_last = --k->n_holders == 0;
    (void)pthread_mutex_unlock(&k->lock);
    if (is_last) {
        release_choices(k);
        fr_api_bytes_fini(&k->out);
        fr_api_request_fini(&k->request);
        (void)pthread_mutex_destroy(&k->lock);
        fr_ctx_destroy(&k->ctx);
        free(k);
    }
}

/* A seed of the system's where the request has none, and a name that no other call has. */
static fr_status draw(fr_call *k)
{
    uint64_t numbers[3] = {0};
    if (getrandom(numbers, sizeof numbers, 0) != (ssize_t)sizeof numbers) {
        return FR_FAIL(k->ctx, FR_ERR_INTERNAL, "the system gives no random numbers");
    }
    if (!k->request.has_seed) {
        k->request.sample.seed = numbers[0] & (uint64_t)INT64_MAX;
    }
    (void)snprintf(k->id, sizeof k->id, "%s%016" PRIx64 "%08" PRIx32,
                   k->request.kind == FR_API_CHAT ? "chatcmpl-" : "cmpl-", numbers[1],
                   (uint32_t)numbers[2]);
    return FR_OK;
}

static void set_head(fr_call *k)
{
    enum { NS = 1000000000 };
    k->head = (fr_api_head){.kind = k->request.kind,
                            .id = k->id,
                            .created = fr_clock_wall_ns() / NS,
                            .model = k->request.model,
                            .fingerprint = k->answering->fingerprint,
                            .with_usage = k->request.include_usage};
}

/* A call without choices; the request is its own. */
static fr_status create(fr_ctx *ctx, const fr_answering *answering,
                        fr_api_request *request, const fr_call_reader *reader,
                        fr_call **out)
{
    fr_call *k = NULL;
    fr_status status = fr_alloc(ctx, 1, sizeof *k, &k);
    if (status != FR_OK) {
        fr_api_request_fini(request);
        return status;
    }
    k->answering = answering;
    k->request = *request;
    *request = (fr_api_request){0};
    k->reader = *reader;
    k->began = fr_clock_seconds();
    k->counts.first_seconds = -1.0;
    k->n_holders = 1;
    (void)pthread_mutex_init(&k->lock, NULL);
    k->ctx = fr_ctx_create();
    status = fr_check_memory(ctx, k->ctx != NULL, sizeof(void *));
    if (status == FR_OK) {
        status = draw(k);
    }
    if (status != FR_OK) {
        fr_call_release(k);
        return status;
    }
    set_head(k);
    *out = k;
    return FR_OK;
}

/* ---- choices ---------------------------------------------------------------------------------------- */

static fr_status open_choice(fr_call *k, int64_t index)
{
    fr_api_request *q = &k->request;
    fr_call_choice *c = &k->choices[index];
    *c = (fr_call_choice){.call = k, .index = index, .prompt = index / q->n};
    FR_TRY(fr_text_stream_open(k->ctx, k->answering->tokenizer, q->stops, q->n_stops,
                               &c->stream));
    if (q->n_logprobs > 0 && !q->stream) {
        FR_TRY(fr_api_logprobs_create(k->ctx, q->kind, &c->logprobs));
    }
    return q->echo ? fr_call_echo(c) : FR_OK;
}

static fr_status open_choices(fr_call *k)
{
    int64_t n = k->request.n_prompts * k->request.n;
    FR_TRY(fr_alloc(k->ctx, n, sizeof *k->choices, &k->choices));
    k->n_choices = n;
    for (int64_t i = 0; i < n; i++) {
        FR_TRY(open_choice(k, i));
    }
    return FR_OK;
}

static fr_status refuse(fr_call *k, fr_api_error *error, int http, const char *code,
                        const char *message)
{
    fr_api_error_set(error, http, code, NULL, "%s", message);
    return FR_FAIL(k->ctx, FR_ERR_ARG, "the request is refused");
}

static fr_status copy_ids(fr_ctx *ctx, const fr_ids *from, fr_ids *to)
{
    fr_status status = FR_OK;
    for (int64_t i = 0; i < from->count && status == FR_OK; i++) {
        status = fr_ids_add(ctx, to, from->data[i]);
    }
    return status;
}

static fr_status explain(fr_call *k, fr_serving_verdict verdict, fr_api_error *error)
{
    if (verdict == FR_SERVING_BUSY) {
        return refuse(k, error, FR_HTTP_TOO_MANY, "queue_full",
                      "the queue is full; try again later");
    }
    if (verdict == FR_SERVING_CLOSED) {
        return refuse(k, error, FR_HTTP_UNAVAILABLE, "shutting_down",
                      "the server is ending; try another one");
    }
    return fr_check_memory(k->ctx, false, sizeof(void *));
}

/* The ids are the engine's from here on if it takes the choice; else they are released here. */
static fr_status submit(fr_call *k, fr_shelf_prefix *prefix, int64_t index, fr_ids *ids,
                        fr_api_error *error)
{
    const fr_api_request *q = &k->request;
    fr_call_choice *c = &k->choices[index];
    uint64_t ticket = 0;
    fr_serving_request request = {
        .prefix = prefix,
        .prompt = *ids,
        .sample = q->sample,
        .number = (uint64_t)index,
        .max_new_tokens = q->max_new_tokens > 0 ? q->max_new_tokens
                                                : k->answering->limits.max_new_tokens,
        .n_logprobs = q->n_logprobs,
        .deadline_seconds = k->answering->seconds,
        .event = fr_call_take_event,
        .user = c};
    (void)pthread_mutex_lock(&k->lock);
    k->n_holders++;
    (void)pthread_mutex_unlock(&k->lock);
    fr_serving_verdict verdict =
        fr_serving_submit(k->answering->serving, &request, &ticket);
    if (verdict != FR_SERVING_TAKEN) {
        fr_ids_fini(ids);
        fr_call_release(k);
        (void)pthread_mutex_lock(&k->lock);
        fr_status status = explain(k, verdict, error);
        (void)pthread_mutex_unlock(&k->lock);
        return status;
    }
    *ids = (fr_ids){0};
    (void)pthread_mutex_lock(&k->lock);
    c->ticket = ticket;
    bool cancels = c->wants_cancel && !c->has_ended;
    (void)pthread_mutex_unlock(&k->lock);
    if (cancels) {
        fr_serving_cancel(k->answering->serving, ticket);
    }
    return FR_OK;
}

/* Messages of the encoder name the place "request:", which is left as it is: it is the caller's own text. */
static fr_status explain_prompt(fr_call *k, fr_status status, fr_api_error *error)
{
    if (status == FR_ERR_NO_MEMORY) {
        return status;
    }
    fr_api_error_set(error, FR_HTTP_BAD_REQUEST, "invalid_prompt",
                     k->request.kind == FR_API_CHAT ? "messages" : "prompt", "%s",
                     fr_ctx_error(k->ctx));
    return FR_ERR_ARG;
}

/* A prefix of single texts knows no dialogue: the one turn of a user becomes the text, and more turns are refused. */
static fr_status make_single(fr_call *k, const fr_shelf_prefix *prefix, json_t *row,
                             fr_api_error *error)
{
    const fr_inference_prefix *reading = fr_shelf_reading(prefix);
    const json_t *messages = json_object_get(row, "messages");
    const json_t *turn = json_array_get(messages, 0);
    const char *role = json_string_value(json_object_get(turn, "role"));
    json_t *content = json_object_get(turn, "content");
    if (messages == NULL || reading->task == NULL || reading->chat) {
        return FR_OK;
    }
    if (json_array_size(messages) != 1 || role == NULL || strcmp(role, "user") != 0 ||
        !json_is_string(content) || json_object_get(row, "tools") != NULL) {
        fr_api_error_set(error, FR_HTTP_BAD_REQUEST, "invalid_prompt", "messages",
                         "this model was trained on single texts, so it takes one "
                         "message, of the user; or use /v1/completions");
        return FR_FAIL(k->ctx, FR_ERR_ARG, "the request is refused");
    }
    bool done = json_object_set(row, "source", content) == 0 &&
                json_object_del(row, "messages") == 0;
    return fr_check_memory(k->ctx, done, sizeof(void *));
}

static fr_status encode(fr_call *k, const fr_shelf_prefix *prefix, int64_t prompt,
                        fr_ids *ids, fr_api_error *error)
{
    json_t *row = NULL;
    FR_TRY(fr_api_row(k->ctx, &k->request, prompt, &row));
    fr_status status = make_single(k, prefix, row, error);
    if (status != FR_OK) {
        json_decref(row);
        return status;
    }
    status = fr_shelf_encode(k->ctx, k->answering->shelf, prefix, row, ids);
    json_decref(row);
    k->counts.usage.prompt_tokens += ids->count;
    return status == FR_OK ? FR_OK : explain_prompt(k, status, error);
}

static fr_status encode_all(fr_call *k, const fr_shelf_prefix *prefix, fr_ids *ids,
                            fr_api_error *error)
{
    for (int64_t i = 0; i < k->request.n_prompts; i++) {
        FR_TRY(encode(k, prefix, i, &ids[i], error));
    }
    return FR_OK;
}

/* With events under way the context is used under the lock alone; a copy of ids uses that of the caller. */
static fr_status submit_all(fr_ctx *ctx, fr_call *k, fr_shelf_prefix *prefix,
                            const fr_ids *ids, fr_api_error *error)
{
    for (int64_t i = 0; i < k->n_choices; i++) {
        fr_ids own = {0};
        fr_status status = copy_ids(ctx, &ids[i / k->request.n], &own);
        if (status != FR_OK) {
            fr_ids_fini(&own);
            return status;
        }
        FR_TRY(submit(k, prefix, i, &own, error));
    }
    return FR_OK;
}

static fr_status start(fr_ctx *ctx, fr_call *k, fr_shelf_prefix *prefix,
                       fr_api_error *error)
{
    fr_ids *ids = NULL;
    int64_t n = k->request.n_prompts;
    FR_TRY(fr_alloc(k->ctx, n, sizeof *ids, &ids));
    fr_status status = encode_all(k, prefix, ids, error);
    if (status == FR_OK) {
        status = open_choices(k);
    }
    if (status == FR_OK) {
        status = submit_all(ctx, k, prefix, ids, error);
    }
    for (int64_t i = 0; i < n; i++) {
        fr_ids_fini(&ids[i]);
    }
    free(ids);
    return status;
}

fr_status fr_call_begin(fr_ctx *ctx, const fr_answering *answering,
                        fr_api_request *request, const fr_call_reader *reader,
                        fr_call **out, fr_api_error *error)
{
    fr_call *k = NULL;
    *out = NULL;
    *error = (fr_api_error){0};
    FR_TRY(create(ctx, answering, request, reader, &k));
    bool is_base = strcmp(k->request.model, answering->base_name) == 0;
    fr_shelf_prefix *prefix =
        fr_shelf_find(answering->shelf, is_base ? NULL : k->request.model);
    fr_status status = FR_ERR_ARG;
    if (prefix == NULL) {
        fr_api_error_set(error, FR_HTTP_NOT_FOUND, "model_not_found", "model",
                         "there is no model of this name here; GET /v1/models lists "
                         "the names");
    } else {
        status = start(ctx, k, prefix, error);
    }
    fr_shelf_release(prefix);
    if (status != FR_OK) {
        fr_call_leave(&k);
        return status == FR_ERR_NO_MEMORY ? fr_check_memory(ctx, false, sizeof *k)
                                          : status;
    }
    *out = k;
    return FR_OK;
}

/* ---- the reader ------------------------------------------------------------------------------------- */

bool fr_call_streams(const fr_call *call)
{
    return call->request.stream;
}

static void rest(fr_call *k)
{
    k->is_resting = true;
    k->reader.rest(k->reader.user);
}

bool fr_call_is_whole(fr_call *k)
{
    (void)pthread_mutex_lock(&k->lock);
    bool is_whole = k->is_whole || k->is_abandoned;
    if (!is_whole) {
        rest(k);
    }
    (void)pthread_mutex_unlock(&k->lock);
    return is_whole;
}

static fr_status write_answer(fr_ctx *ctx, fr_call *k, fr_api_bytes *out)
{
    fr_api_choice *choices = NULL;
    FR_TRY(fr_alloc(ctx, k->n_choices, sizeof *choices, &choices));
    for (int64_t i = 0; i < k->n_choices; i++) {
        const fr_call_choice *c = &k->choices[i];
        choices[i] = (fr_api_choice){.index = i,
                                     .text = {c->text.data, c->text.bytes},
                                     .logprobs = c->logprobs,
                                     .finish = c->finish};
    }
    fr_status status =
        fr_api_answer(ctx, &k->head, choices, k->n_choices, &k->counts.usage, out);
    free(choices);
    return status;
}

fr_status fr_call_answer(fr_ctx *ctx, fr_call *k, fr_api_bytes *out,
                         fr_api_error *error)
{
    (void)pthread_mutex_lock(&k->lock);
    fr_status status = FR_ERR_ARG;
    *error = k->error;
    if (k->error.http == 0 && k->is_whole) {
        status = write_answer(ctx, k, out);
        release_texts(k); /* the reader may take its time */
        k->unread = (int64_t)out->bytes;
    } else if (k->error.http == 0) {
        fr_api_error_set(error, FR_HTTP_UNAVAILABLE, "cancelled", NULL,
                         "the client has gone");
    }
    (void)pthread_mutex_unlock(&k->lock);
    return status;
}

/* What was read is dropped once all of it was, so that a reader who keeps up costs no memory. */
static ssize_t take_bytes(fr_call *k, char *out, size_t max)
{
    size_t n = k->out.bytes - k->n_read;
    n = n < max ? n : max;
    memcpy(out, k->out.data + k->n_read, n);
    k->n_read += n;
    if (k->n_read == k->out.bytes) {
        k->n_read = 0;
        k->out.bytes = 0;
    }
    return (ssize_t)n;
}

ssize_t fr_call_read(fr_call *k, char *out, size_t max)
{
    ssize_t n = 0;
    (void)pthread_mutex_lock(&k->lock);
    if (k->is_abandoned || k->lacks_memory) {
        n = FR_CALL_BREAKS;
    } else if (k->n_read < k->out.bytes) {
        n = take_bytes(k, out, max);
    } else if (k->is_whole) {
        n = FR_CALL_ENDS;
    } else {
        rest(k);
    }
    (void)pthread_mutex_unlock(&k->lock);
    return n;
}

/* ---- the end ---------------------------------------------------------------------------------------- */

/* The lock is not held while the engine is called. */
static void cancel_all(fr_call *k)
{
    for (int64_t i = 0; k->choices != NULL && i < k->n_choices; i++) {
        fr_call_choice *c = &k->choices[i];
        (void)pthread_mutex_lock(&k->lock);
        uint64_t ticket = c->has_ended ? 0 : c->ticket;
        (void)pthread_mutex_unlock(&k->lock);
        if (ticket != 0) {
            fr_serving_cancel(k->answering->serving, ticket);
        }
    }
}

void fr_call_abandon(fr_call *k)
{
    (void)pthread_mutex_lock(&k->lock);
    bool is_first = !k->is_abandoned;
    k->is_abandoned = true;
    if (k->is_resting) {
        k->is_resting = false;
        k->reader.wake(k->reader.user);
    }
    (void)pthread_mutex_unlock(&k->lock);
    if (is_first) {
        cancel_all(k);
    }
}

bool fr_call_is_overdue(fr_call *k, double seconds)
{
    enum { BYTES_A_SECOND = 1 << 20 };
    (void)pthread_mutex_lock(&k->lock);
    double allowed = seconds + (double)k->unread / (double)BYTES_A_SECOND;
    bool is_overdue = k->is_whole && fr_clock_seconds() - k->whole_at > allowed;
    (void)pthread_mutex_unlock(&k->lock);
    return is_overdue;
}

void fr_call_count(fr_call *k, fr_call_counts *out)
{
    (void)pthread_mutex_lock(&k->lock);
    *out = k->counts;
    out->model = k->request.model;
    (void)pthread_mutex_unlock(&k->lock);
}

void fr_call_leave(fr_call **call)
{
    fr_call *k = *call;
    *call = NULL;
    if (k != NULL) {
        (void)pthread_mutex_lock(&k->lock);
        k->is_resting = false;
        (void)pthread_mutex_unlock(&k->lock);
        cancel_all(k);
        fr_call_release(k);
    }
}
