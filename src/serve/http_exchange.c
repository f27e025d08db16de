/* One exchange: a request as its parts come, until it is whole.
 *
 * libmicrohttpd calls fr_http_access once with the headers, once for each part of the body, and once when the request is whole; a
 * suspended connection is called once more when it was resumed. A request that is refused by its headers is answered when
 * it is whole, because a client that still sends would not read the answer; what it sends is thrown away. Only where the headers
 * announce too large a body the answer comes at once, and the connection ends with it.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "serve/http_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* So many times a body's limit a client may send for nothing. */
enum { PATIENCE = 2 };

/* ---- what is asked for ------------------------------------------------------------------------------ */

static const char MODEL_PATH[] = "/v1/models/";

static fr_route route_of(const char *url)
{
    for (int i = 0; i < FR_ROUTE_UNKNOWN; i++) {
        if (i != FR_ROUTE_MODEL && strcmp(url, fr_route_path((fr_route)i)) == 0) {
            return (fr_route)i;
        }
    }
    return strncmp(url, MODEL_PATH, sizeof MODEL_PATH - 1) == 0 ? FR_ROUTE_MODEL
                                                                : FR_ROUTE_UNKNOWN;
}

/* The method as a word of this program. */
static const char *word_of(const char *method)
{
    static const char *const WORDS[] = {"GET", "HEAD",   "POST",
                                        "PUT", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        if (strcmp(WORDS[i], method) == 0) {
            return WORDS[i];
        }
    }
    return "OTHER";
}

static bool takes_body(fr_route route)
{
    return route == FR_ROUTE_COMPLETIONS || route == FR_ROUTE_CHAT;
}

static bool is_allowed(fr_route route, const char *method)
{
    return takes_body(route)
               ? strcmp(method, "POST") == 0
               : strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static const char *header(const fr_http_exchange *e, const char *name)
{
    return MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, name);
}

/* A page of another site can make a browser send a body, but not as JSON without asking first. */
static bool is_json(const fr_http_exchange *e)
{
    static const char JSON[] = "application/json";
    enum { BYTES = sizeof JSON - 1 };
    const char *type = header(e, "Content-Type");
    return type != NULL && strncasecmp(type, JSON, BYTES) == 0 &&
           (type[BYTES] == '\0' || type[BYTES] == ';' || type[BYTES] == ' ');
}

/* Whether the headers announce more than is taken. */
static bool is_too_large(const fr_http_exchange *e)
{
    const char *text = header(e, "Content-Length");
    return text != NULL &&
           strtoull(text, NULL, 10) > (unsigned long long)e->http->params.body_bytes;
}

static void refuse_large(fr_http_exchange *e)
{
    fr_api_error_set(&e->refusal, FR_HTTP_TOO_LARGE, "body_too_large", NULL,
                     "the body of a request may have at most %lld bytes here",
                     (long long)e->http->params.body_bytes);
}

static void check_headers(fr_http_exchange *e)
{
    if (e->route == FR_ROUTE_UNKNOWN) {
        fr_api_error_set(&e->refusal, FR_HTTP_NOT_FOUND, "unknown_url", NULL,
                         "this server has no such path; it has /v1/completions, "
                         "/v1/chat/completions, /v1/models, /health and /metrics");
    } else if (!is_allowed(e->route, e->method)) {
        fr_api_error_set(&e->refusal, FR_HTTP_NOT_ALLOWED, "method_not_allowed", NULL,
                         "this path takes %s alone",
                         takes_body(e->route) ? "POST" : "GET");
    } else if (e->route != FR_ROUTE_HEALTH &&
               !fr_keys_fit(e->http->params.keys, header(e, "Authorization"))) {
        fr_api_error_set(&e->refusal, FR_HTTP_UNAUTHORIZED, "invalid_api_key", NULL,
                         "this server asks for a key: Authorization: Bearer KEY");
    } else if (takes_body(e->route) && !is_json(e)) {
        fr_api_error_set(&e->refusal, FR_HTTP_WRONG_TYPE, "unsupported_media_type",
                         NULL,
                         "the body must be JSON, with the header Content-Type: "
                         "application/json");
    }
}

/* ---- begin ------------------------------------------------------------------------------------------ */

static void destroy(fr_http_exchange *e)
{
    (void)atomic_fetch_sub(&e->http->body_bytes, e->counted_bytes);
    fr_api_bytes_fini(&e->body);
    free(e->name);
    fr_ctx_destroy(&e->ctx);
    free(e);
}

static fr_http_exchange *create(fr_http *h, struct MHD_Connection *connection,
                                const char *url, const char *method)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    fr_http_exchange *e = calloc(1, sizeof *e);
    if (e == NULL || info == NULL || info->socket_context == NULL) {
        free(e);
        return NULL;
    }
    e->http = h;
    e->client = info->socket_context;
    e->connection = connection;
    e->ctx = fr_ctx_create();
    e->route = route_of(url);
    e->method = word_of(method);
    e->began = fr_clock_seconds();
    bool done = e->ctx != NULL;
    if (done && e->route == FR_ROUTE_MODEL) {
        done = fr_copy_string(e->ctx, url + sizeof MODEL_PATH - 1, &e->name) == FR_OK;
    }
    if (!done) {
        destroy(e);
        return NULL;
    }
    return e;
}

static enum MHD_Result begin(fr_http *h, struct MHD_Connection *connection,
                             const char *url, const char *method, void **request)
{
    fr_http_exchange *e = create(h, connection, url, method);
    *request = e;
    if (e == NULL) {
        return MHD_NO; /* no memory: the connection ends */
    }
    check_headers(e);
    if (is_too_large(e)) {
        refuse_large(e);
        fr_http_client_set(h, e->client, false, NULL);
        return fr_http_refuse(e);
    }
    return MHD_YES;
}

/* ---- the body --------------------------------------------------------------------------------------- */

/* Whether all bodies together stay within their bound. */
static bool count_bytes(fr_http_exchange *e, size_t bytes)
{
    long long now = atomic_fetch_add(&e->http->body_bytes, (long long)bytes);
    e->counted_bytes += (int64_t)bytes;
    return now + (long long)bytes <= e->http->params.bodies_bytes;
}

static void drop_body(fr_http_exchange *e)
{
    fr_api_bytes_fini(&e->body);
    (void)atomic_fetch_sub(&e->http->body_bytes, e->counted_bytes);
    e->counted_bytes = 0;
}

static void refuse_for_memory(fr_http_exchange *e)
{
    fr_api_error_set(&e->refusal, FR_HTTP_UNAVAILABLE, "no_memory", NULL,
                     "the server has too little memory for this request now; try "
                     "again later");
}

static enum MHD_Result take_part(fr_http_exchange *e, const char *data, size_t bytes)
{
    int64_t most = e->http->params.body_bytes;
    if (e->refusal.http == 0 && (int64_t)(e->body.bytes + bytes) > most) {
        refuse_large(e);
    } else if (e->refusal.http == 0 && takes_body(e->route) &&
               (!count_bytes(e, bytes) ||
                fr_api_bytes_add(e->ctx, &e->body, data, bytes) != FR_OK)) {
        refuse_for_memory(e);
    }
    if (e->refusal.http != 0 || !takes_body(e->route)) {
        drop_body(e);
        e->skipped_bytes += (int64_t)bytes;
    }
    return e->skipped_bytes > PATIENCE * most ? MHD_NO : MHD_YES;
}

/* ---- the callbacks ---------------------------------------------------------------------------------- */

enum MHD_Result fr_http_access(void *cls, struct MHD_Connection *connection,
                               const char *url, const char *method, const char *version,
                               const char *data, size_t *bytes, void **request)
{
    fr_http_exchange *e = *request;
    (void)version;
    if (e == NULL) {
        return begin(cls, connection, url, method, request);
    }
    if (*bytes > 0) {
        size_t n = *bytes;
        *bytes = 0;
        return take_part(e, data, n);
    }
    if (e->call == NULL) {
        e->whole_at = fr_clock_seconds();
        fr_http_client_set(e->http, e->client, false, NULL);
    }
    return e->refusal.http != 0 ? fr_http_refuse(e) : fr_http_dispatch(e);
}

/* The line of the log. Every word of it is of this program but the model's name, which is known here. */
static void tell(const fr_http_exchange *e, const fr_call_counts *counts,
                 double seconds, bool is_cut)
{
    enum { FIRST_BYTES = 32 };
    char first[FIRST_BYTES] = "-";
    if (counts->first_seconds >= 0.0) {
        (void)snprintf(first, sizeof first, "%.3fs", counts->first_seconds);
    }
    fr_log(e->ctx, FR_LOG_INFO,
           "%s %s model=%s status=%d%s prompt_tokens=%lld answer_tokens=%lld first=%s "
           "total=%.3fs",
           e->method, fr_route_path(e->route),
           counts->model != NULL ? counts->model : "-", e->http_code,
           is_cut           ? " client gone"
           : counts->failed ? " failed"
                            : "",
           (long long)counts->usage.prompt_tokens,
           (long long)counts->usage.completion_tokens, first, seconds);
}

void fr_http_completed(void *cls, struct MHD_Connection *connection, void **request,
                       enum MHD_RequestTerminationCode code)
{
    fr_http *h = cls;
    fr_http_exchange *e = *request;
    fr_call_counts counts = {.first_seconds = -1.0};
    (void)connection;
    *request = NULL;
    if (e == NULL) {
        return;
    }
    fr_http_client_set(h, e->client, true, NULL);
    if (e->call != NULL) {
        fr_call_count(e->call, &counts);
    }
    double seconds = fr_clock_seconds() - e->began;
    bool is_cut = code != MHD_REQUEST_TERMINATED_COMPLETED_OK && !counts.failed;
    fr_metrics_request(h->metrics, e->route, e->http_code, seconds,
                       counts.first_seconds);
    tell(e, &counts, seconds, is_cut);
    fr_call_leave(&e->call);
    destroy(e);
}
