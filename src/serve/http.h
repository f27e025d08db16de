/*
 * http.h - the HTTP server: it takes requests, gives them to the engine, and sends what comes back.
 *
 *   POST /v1/completions, /v1/chat/completions    answers, whole or as a stream of events
 *   GET  /v1/models, /v1/models/NAME              the base and the prefixes
 *   GET  /health                                  without a key
 *   GET  /metrics                                 for Prometheus
 *
 * Every other path is unknown, and none leads to a file. A line of the log tells of each request; it holds no text, no key, and
 * no name that a client made up.
 */
#ifndef FR_SERVE_HTTP_H
#define FR_SERVE_HTTP_H

#include "serve/call.h"
#include "serve/keys.h"
#include "serve/metrics.h"

typedef struct fr_http fr_http;

typedef struct fr_http_params {
    int socket;                    /* bound; the server's from fr_http_start on */
    const fr_answering *answering; /* borrowed */
    const fr_keys *keys;           /* borrowed; NULL: everybody is let in */
    int64_t connections;           /* most at a time */
    int64_t body_bytes;            /* most of a request's body */
    int64_t bodies_bytes;          /* most of all bodies together */
    int64_t
        read_seconds; /* for a whole request to come, and for a connection to be idle */
    /** Called about ten times a second on a thread of the server; quick. Whether the server is ending, which /health says. */
    bool (*tick)(void *user);
    void *user;
} fr_http_params;

/** Begin to listen. `params` is copied. @return FR_OK; FR_ERR_IO; FR_ERR_NO_MEMORY; FR_ERR_INTERNAL (threads) */
FR_MUST_CHECK fr_status fr_http_start(fr_ctx *ctx, const fr_http_params *params,
                                      fr_http **out);

/** No new connections; waits until what is being sent is sent, at most so long; then ends. The engine takes nothing any more, and
 * has ended every call. Accepts NULL inside. */
void fr_http_stop(fr_http **http, double seconds);

#endif
