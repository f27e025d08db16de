/*
 * metrics.h - counts of what the HTTP server does, and their text for Prometheus. Any thread may call these functions.
 */
#ifndef FR_SERVE_METRICS_H
#define FR_SERVE_METRICS_H

#include "serve/engine.h"
#include "serve/protocol.h"

/** What is asked for. */
typedef enum fr_route {
    FR_ROUTE_COMPLETIONS,
    FR_ROUTE_CHAT,
    FR_ROUTE_MODELS,
    FR_ROUTE_MODEL,
    FR_ROUTE_HEALTH,
    FR_ROUTE_METRICS,
    FR_ROUTE_UNKNOWN,
    FR_ROUTES
} fr_route;

/** Its path, for a log and for labels: never what a client sent. */
const char *fr_route_path(fr_route route);

typedef struct fr_metrics fr_metrics;

FR_MUST_CHECK fr_status fr_metrics_create(fr_ctx *ctx, fr_metrics **out);
void fr_metrics_destroy(fr_metrics **metrics);

/** One connection more (1) or fewer (-1). */
void fr_metrics_connection(fr_metrics *metrics, int change);

/** A request has ended.
 * @param http           the code of its answer; 0: the client went away before one
 * @param first_seconds  until the first token; negative: there was none */
void fr_metrics_request(fr_metrics *metrics, fr_route route, int http, double seconds,
                        double first_seconds);

/** Append all of it in Prometheus's text format. */
FR_MUST_CHECK fr_status fr_metrics_write(fr_ctx *ctx, fr_metrics *metrics,
                                         const fr_serving_counters *engine,
                                         const fr_shelf_counters *shelf,
                                         fr_api_bytes *to);

#endif
