/*
 * engine_impl.h - what the two halves of the engine share: engine.c takes requests from any thread, engine_run.c answers them.
 */
#ifndef FR_SERVE_ENGINE_IMPL_H
#define FR_SERVE_ENGINE_IMPL_H

#include "serve/engine.h"
#include "serve/monitor.h"
#include "serve/orders.h"

enum { FR_NO_PLACE = -1 };

/* One that was taken and has not ended. */
typedef struct fr_open_request {
    fr_serving_request given; /* its prefix is held; its prompt goes to the row */
    uint64_t ticket;
    double submitted; /* fr_clock_seconds */
    double deadline;  /* 0: none */
    bool is_cancelled;
    int64_t place; /* FR_NO_PLACE: it waits */
    int64_t told;  /* tokens */
    struct fr_open_request *next;
} fr_open_request;

struct fr_serving {
    fr_ctx *ctx;
    fr_serving_params params;
    fr_orders *orders;
    fr_open_request **places; /* [places of orders]; the engine's thread alone */

    /* Held while an event is told and while a request goes: so fr_serving_lost can walk through the list. Taken before the
     * monitor. */
    pthread_mutex_t telling;
    bool has_telling;
    bool is_lost; /* under `telling`: nothing is told any more */

    fr_monitor monitor; /* guards all below */
    bool has_monitor;
    fr_open_request *
        first; /* in the order in which they came; only the engine's thread takes one out */
    fr_open_request **end;
    int64_t n_open;
    uint64_t last_ticket;
    bool is_draining;
    bool is_closed; /* nothing is taken, and nobody answers any more */
    double drain_end;
    fr_serving_counters counters;
};

/** Tell the end and forget the request. Its place, if it has one, is the caller's business. */
void fr_serving_finish(fr_serving *serving, fr_open_request *request,
                       fr_serving_end end, const char *message);
/** Tell a token. */
void fr_serving_token(fr_serving *serving, const fr_open_request *request, int32_t id,
                      const fr_logprobs *logprobs);

#endif
