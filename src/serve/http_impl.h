/*
 * http_impl.h - what http.c and http_*.c share: clients and exchanges.
 */
#ifndef FR_SERVE_HTTP_IMPL_H
#define FR_SERVE_HTTP_IMPL_H

#include "serve/http.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

/** One connection, from its first byte to its last. Members but fd belong to the list's lock. */
typedef struct fr_http_client {
    int fd;
    double
        reading_since; /* a request is being read, or awaited; negative: one is answered */
    fr_call *call;     /* what is answered now; NULL: nothing that can be abandoned */
    struct fr_http_client *before;
    struct fr_http_client *next;
} fr_http_client;

struct fr_http {
    fr_http_params params;
    fr_metrics *metrics;
    struct MHD_Daemon *daemon;
    pthread_t patrol;
    bool has_patrol;
    atomic_bool is_ending; /* the patrol has to end */
    atomic_bool is_draining;
    atomic_llong body_bytes; /* of all bodies now */
    pthread_mutex_t list_lock;
    fr_http_client *clients;
};

/** One request and its answer. One thread of the server at a time uses it. */
typedef struct fr_http_exchange {
    fr_http *http;
    fr_http_client *client;
    struct MHD_Connection *connection;
    fr_ctx *ctx;
    fr_route route;
    const char *method; /* a word of this program */
    char *name;         /* of /v1/models/NAME */
    double began;
    double whole_at; /* when the request was whole */
    fr_api_bytes body;
    int64_t counted_bytes; /* of the body, in http->body_bytes */
    int64_t skipped_bytes; /* of a body that nobody needs */
    fr_api_error refusal;  /* http 0: none so far */
    fr_call *call;
    int http_code; /* of the answer that was queued; 0: none */
} fr_http_exchange;

/** The callbacks of libmicrohttpd. */
enum MHD_Result fr_http_access(void *cls, struct MHD_Connection *connection,
                               const char *url, const char *method, const char *version,
                               const char *data, size_t *bytes, void **request);
void fr_http_completed(void *cls, struct MHD_Connection *connection, void **request,
                       enum MHD_RequestTerminationCode code);

/** Answer a whole request, or rest until there is an answer. */
enum MHD_Result fr_http_dispatch(fr_http_exchange *e);
/** Queue e->refusal. */
enum MHD_Result fr_http_refuse(fr_http_exchange *e);

/** What the client does now: it is answered (with this call), or a request of it is read (call NULL). */
void fr_http_client_set(fr_http *http, fr_http_client *client, bool is_reading,
                        fr_call *call);

#endif
