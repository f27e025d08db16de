/* Answers: what each path gives, as a whole body or as a stream.
 *
 * A call that is not whole yet makes its connection rest; when it is whole, the daemon calls again and fr_http_dispatch goes on
 * where it was. The body of a stream is asked for piece by piece, and rests in the same way.
 */
#include "base/mem.h"
#include "serve/http_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16 * 1024 };

static const char RETRY_SECONDS[] = "1";

/* ---- responses -------------------------------------------------------------------------------------- */

static enum MHD_Result queue(fr_http_exchange *e, int http,
                             struct MHD_Response *response, const char *type)
{
    if (response == NULL) {
        return MHD_NO;
    }
    bool done =
        MHD_add_response_header(response, "Content-Type", type) == MHD_YES &&
        MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES;
    if (http == FR_HTTP_TOO_MANY || http == FR_HTTP_UNAVAILABLE) {
        done = done && MHD_add_response_header(response, "Retry-After",
                                               RETRY_SECONDS) == MHD_YES;
    }
    if (http == FR_HTTP_UNAUTHORIZED) {
        done = done && MHD_add_response_header(response, "WWW-Authenticate",
                                               "Bearer") == MHD_YES;
    }
    if (http == FR_HTTP_NOT_ALLOWED) {
        bool is_post = e->route == FR_ROUTE_COMPLETIONS || e->route == FR_ROUTE_CHAT;
        done =
            done && MHD_add_response_header(response, "Allow",
                                            is_post ? "POST" : "GET, HEAD") == MHD_YES;
    }
    enum MHD_Result result =
        done ? MHD_queue_response(e->connection, (unsigned int)http, response) : MHD_NO;
    e->http_code = result == MHD_YES ? http : 0;
    MHD_destroy_response(response);
    return result;
}

/* A body that is whole; its bytes are taken over. */
static enum MHD_Result send_bytes(fr_http_exchange *e, int http, fr_api_bytes *bytes,
                                  const char *type)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        bytes->bytes, bytes->data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        fr_api_bytes_fini(bytes);
    }
    *bytes = (fr_api_bytes){0};
    return queue(e, http, response, type);
}

static const char JSON_TYPE[] = "application/json";

enum MHD_Result fr_http_refuse(fr_http_exchange *e)
{
    fr_api_bytes bytes = {0};
    if (fr_api_error_write(e->ctx, &e->refusal, false, &bytes) != FR_OK) {
        fr_api_bytes_fini(&bytes);
        return MHD_NO;
    }
    return send_bytes(e, e->refusal.http, &bytes, JSON_TYPE);
}

/* What was written, or why it could not be. */
static enum MHD_Result finish(fr_http_exchange *e, fr_status status,
                              fr_api_bytes *bytes, const char *type)
{
    if (status == FR_OK) {
        return send_bytes(e, FR_HTTP_OK, bytes, type);
    }
    fr_api_bytes_fini(bytes);
    if (e->refusal.http == 0 && status == FR_ERR_NO_MEMORY) {
        fr_api_error_set(&e->refusal, FR_HTTP_UNAVAILABLE, "no_memory", NULL,
                         "the server has too little memory for this request now; try "
                         "again later");
    } else if (e->refusal.http == 0) {
        fr_api_error_set(&e->refusal, FR_HTTP_INTERNAL, "internal", NULL,
                         "the server cannot answer this request");
    }
    fr_ctx_clear_error(e->ctx);
    return fr_http_refuse(e);
}

/* ---- calls ------------------------------------------------------------------------------------------ */

static void rest(void *user)
{
    const fr_http_exchange *e = user;
    MHD_suspend_connection(e->connection);
}

static void wake(void *user)
{
    const fr_http_exchange *e = user;
    MHD_resume_connection(e->connection);
}

static ssize_t read_stream(void *cls, uint64_t position, char *out, size_t max)
{
    fr_http_exchange *e = cls;
    (void)position;
    ssize_t n = fr_call_read(e->call, out, max);
    return n == FR_CALL_ENDS     ? MHD_CONTENT_READER_END_OF_STREAM
           : n == FR_CALL_BREAKS ? MHD_CONTENT_READER_END_WITH_ERROR
                                 : n;
}

/* A proxy must pass pieces on as they come. */
static enum MHD_Result open_stream(fr_http_exchange *e)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, e, NULL);
    if (response != NULL &&
        MHD_add_response_header(response, "X-Accel-Buffering", "no") != MHD_YES) {
        MHD_destroy_response(response);
        response = NULL;
    }
    return queue(e, FR_HTTP_OK, response, "text/event-stream; charset=utf-8");
}

static fr_status begin_call(fr_http_exchange *e)
{
    const fr_answering *answering = e->http->params.answering;
    const fr_call_reader reader = {rest, wake, e};
    fr_api_request request = {0};
    fr_text body = {e->body.data != NULL ? e->body.data : "", e->body.bytes};
    fr_status status = fr_api_request_read(
        e->ctx, e->route == FR_ROUTE_CHAT ? FR_API_CHAT : FR_API_COMPLETION,
        &answering->limits, body, &request, &e->refusal);
    if (status != FR_OK) {
        fr_api_request_fini(&request);
        return status;
    }
    fr_api_bytes_fini(&e->body);
    FR_TRY(fr_call_begin(e->ctx, answering, &request, &reader, &e->call, &e->refusal));
    fr_http_client_set(e->http, e->client, false, e->call);
    return FR_OK;
}

static enum MHD_Result answer_call(fr_http_exchange *e)
{
    fr_api_bytes bytes = {0};
    fr_status status = e->call == NULL ? begin_call(e) : FR_OK;
    if (status != FR_OK) {
        return finish(e, status, &bytes, JSON_TYPE);
    }
    if (fr_call_streams(e->call)) {
        return open_stream(e);
    }
    if (!fr_call_is_whole(e->call)) {
        return MHD_YES; /* suspended */
    }
    status = fr_call_answer(e->ctx, e->call, &bytes, &e->refusal);
    return finish(e, status, &bytes, JSON_TYPE);
}

/* ---- the other paths -------------------------------------------------------------------------------- */

static fr_status list_models(fr_http_exchange *e, const fr_shelf_list *list,
                             fr_api_bytes *to)
{
    const fr_answering *a = e->http->params.answering;
    fr_api_model *models = NULL;
    FR_TRY(fr_alloc(e->ctx, list->n + 1, sizeof *models, &models));
    int64_t n = 0;
    models[n++] = (fr_api_model){a->base_name, a->created, a->base_name};
    for (int64_t i = 0; i < list->n; i++) {
        const fr_shelf_entry *entry = &list->entries[i];
        if (strcmp(entry->name, a->base_name) != 0) {
            models[n++] = (fr_api_model){entry->name, entry->modified, a->base_name};
        }
    }
    const fr_api_model *chosen = models;
    bool is_list = e->route == FR_ROUTE_MODELS;
    for (int64_t i = 0; i < n && !is_list; i++) {
        chosen = strcmp(models[i].name, e->name) == 0 ? &models[i] : chosen;
    }
    fr_status status = FR_ERR_ARG;
    if (is_list || strcmp(chosen->name, e->name) == 0) {
        status = fr_api_models(e->ctx, chosen, n, is_list, to);
    } else {
        fr_api_error_set(&e->refusal, FR_HTTP_NOT_FOUND, "model_not_found", "model",
                         "there is no model of this name here; GET /v1/models lists "
                         "the names");
    }
    free(models);
    return status;
}

static enum MHD_Result answer_models(fr_http_exchange *e)
{
    fr_api_bytes bytes = {0};
    fr_shelf_list list = {0};
    fr_status status = fr_shelf_names(e->ctx, e->http->params.answering->shelf, &list);
    if (status == FR_OK) {
        status = list_models(e, &list, &bytes);
    }
    fr_shelf_list_fini(&list);
    return finish(e, status, &bytes, JSON_TYPE);
}

static enum MHD_Result answer_health(fr_http_exchange *e)
{
    static const char OK_TEXT[] = "{\"status\":\"ok\"}\n";
    fr_api_bytes bytes = {0};
    if (atomic_load(&e->http->is_draining)) {
        fr_api_error_set(&e->refusal, FR_HTTP_UNAVAILABLE, "shutting_down", NULL,
                         "the server is ending");
        return fr_http_refuse(e);
    }
    fr_status status = fr_api_bytes_add(e->ctx, &bytes, OK_TEXT, strlen(OK_TEXT));
    return finish(e, status, &bytes, JSON_TYPE);
}

static enum MHD_Result answer_metrics(fr_http_exchange *e)
{
    fr_api_bytes bytes = {0};
    fr_serving_counters engine = {0};
    fr_shelf_counters shelf = {0};
    const fr_answering *a = e->http->params.answering;
    fr_serving_count(a->serving, &engine);
    fr_shelf_count(a->shelf, &shelf);
    fr_status status =
        fr_metrics_write(e->ctx, e->http->metrics, &engine, &shelf, &bytes);
    return finish(e, status, &bytes, "text/plain; version=0.0.4; charset=utf-8");
}

enum MHD_Result fr_http_dispatch(fr_http_exchange *e)
{
    switch (e->route) {
    case FR_ROUTE_COMPLETIONS:
    case FR_ROUTE_CHAT:
        return answer_call(e);
    case FR_ROUTE_MODELS:
    case FR_ROUTE_MODEL:
        return answer_models(e);
    case FR_ROUTE_METRICS:
        return answer_metrics(e);
    default:
        return answer_health(e);
    }
}
