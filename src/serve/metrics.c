/* Counters of the server under one lock, written as Prometheus's text format 0.0.4: a line of help, a line of the type, then the
 * values. Labels hold words of this program alone, so nothing needs to be escaped and their number is bounded.
 */
#include "serve/metrics.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Codes of answers that have a counter of their own; the last is for all others. */
static const int CODES[] = {200, 400, 401, 404, 405, 413, 415, 429, 500, 503, 0};
enum { N_CODES = sizeof CODES / sizeof *CODES, CODE_GONE = N_CODES - 1 };

/* Upper ends of a histogram's buckets, in seconds; the last bucket has none. */
static const double BOUNDS[] = {0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0};
enum { N_BOUNDS = sizeof BOUNDS / sizeof *BOUNDS };

typedef struct histogram {
    int64_t counts[N_BOUNDS + 1];
    double sum;
} histogram;

typedef struct totals {
    int64_t connections;
    int64_t requests[FR_ROUTES][N_CODES];
    histogram durations;
    histogram firsts;
} totals;

struct fr_metrics {
    pthread_mutex_t lock;
    totals all;
};

const char *fr_route_path(fr_route route)
{
    static const char *const PATHS[FR_ROUTES] = {"/v1/completions",
                                                 "/v1/chat/completions",
                                                 "/v1/models",
                                                 "/v1/models/NAME",
                                                 "/health",
                                                 "/metrics",
                                                 "other"};
    return PATHS[route];
}

fr_status fr_metrics_create(fr_ctx *ctx, fr_metrics **out)
{
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    (void)pthread_mutex_init(&(*out)->lock, NULL);
    return FR_OK;
}

void fr_metrics_destroy(fr_metrics **metrics)
{
    if (*metrics != NULL) {
        (void)pthread_mutex_destroy(&(*metrics)->lock);
        free(*metrics);
    }
    *metrics = NULL;
}

void fr_metrics_connection(fr_metrics *m, int change)
{
    (void)pthread_mutex_lock(&m->lock);
    m->all.connections += change;
    (void)pthread_mutex_unlock(&m->lock);
}

static void add_to(histogram *h, double seconds)
{
    int i = 0;
    while (i < N_BOUNDS && seconds > BOUNDS[i]) {
        i++;
    }
    h->counts[i]++;
    h->sum += seconds;
}

void fr_metrics_request(fr_metrics *m, fr_route route, int http, double seconds,
                        double first_seconds)
{
    int code = 0;
    while (code < CODE_GONE && CODES[code] != http) {
        code++;
    }
    (void)pthread_mutex_lock(&m->lock);
    m->all.requests[route][code]++;
    if (route == FR_ROUTE_COMPLETIONS || route == FR_ROUTE_CHAT) {
        add_to(&m->all.durations, seconds);
    }
    if (first_seconds >= 0.0) {
        add_to(&m->all.firsts, first_seconds);
    }
    (void)pthread_mutex_unlock(&m->lock);
}

/* ---- text ------------------------------------------------------------------------------------------- */

/* The text so far; after a failure nothing is added. */
typedef struct writing {
    fr_ctx *ctx;
    fr_api_bytes *to;
    fr_status status;
} writing;

static void say(writing *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(writing *w, const char *format, ...)
{
    enum { LINE_BYTES = 512 };
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (w->status == FR_OK) {
        w->status = fr_api_bytes_add(w->ctx, w->to, line, strlen(line));
    }
}

static void head(writing *w, const char *name, const char *type, const char *help)
{
    say(w, "# HELP forerun_%s %s\n# TYPE forerun_%s %s\n", name, help, name, type);
}

static void one(writing *w, const char *name, const char *type, const char *help,
                double value)
{
    head(w, name, type, help);
    say(w, "forerun_%s %.17g\n", name, value);
}

static void write_requests(writing *w, const totals *m)
{
    head(w, "requests_total", "counter",
         "Requests by endpoint and by the code of their answer; gone: the client left "
         "before one, or another code.");
    for (int route = 0; route < FR_ROUTES; route++) {
        for (int code = 0; code < N_CODES; code++) {
            char label[16] = "gone";
            if (code < CODE_GONE) {
                (void)snprintf(label, sizeof label, "%d", CODES[code]);
            }
            if (m->requests[route][code] > 0) {
                say(w, "forerun_requests_total{endpoint=\"%s\",code=\"%s\"} %lld\n",
                    fr_route_path((fr_route)route), label,
                    (long long)m->requests[route][code]);
            }
        }
    }
}

static void write_histogram(writing *w, const char *name, const char *help,
                            const histogram *h)
{
    int64_t n = 0;
    head(w, name, "histogram", help);
    for (int i = 0; i < N_BOUNDS; i++) {
        n += h->counts[i];
        say(w, "forerun_%s_bucket{le=\"%g\"} %lld\n", name, BOUNDS[i], (long long)n);
    }
    n += h->counts[N_BOUNDS];
    say(w, "forerun_%s_bucket{le=\"+Inf\"} %lld\n", name, (long long)n);
    say(w, "forerun_%s_sum %.17g\nforerun_%s_count %lld\n", name, h->sum, name,
        (long long)n);
}

static void write_engine(writing *w, const fr_serving_counters *e)
{
    static const char *const ENDS[FR_SERVING_ENDS] = {"goes_on",   "stopped", "full",
                                                      "cancelled", "expired", "drained",
                                                      "failed",    "lost"};
    one(w, "queue_length", "gauge", "Choices that wait for a place.",
        (double)e->waiting);
    one(w, "choices_under_way", "gauge", "Choices that are computed now.",
        (double)e->under_way);
    one(w, "places", "gauge", "Choices that are computed at a time at most.",
        (double)e->places);
    one(w, "prefixes_on_device", "gauge", "Prefixes in the memory of the device.",
        (double)e->images);
    one(w, "prefix_bytes_on_device", "gauge", "Bytes of these prefixes on a rank.",
        (double)e->image_bytes);
    one(w, "prefix_loads_total", "counter", "Prefixes copied to the device.",
        (double)e->loads);
    one(w, "passes_total", "counter", "Passes through the model.", (double)e->passes);
    one(w, "prompt_tokens_total", "counter", "Tokens of prompts that were computed.",
        (double)e->prompt_tokens);
    one(w, "answer_tokens_total", "counter", "Tokens of answers.",
        (double)e->answer_tokens);
    one(w, "prompt_seconds_total", "counter", "Seconds in passes of prompts.",
        e->prompt_seconds);
    one(w, "decode_seconds_total", "counter", "Seconds in passes of answers.",
        e->decode_seconds);
    one(w, "queue_seconds_total", "counter", "Seconds that choices have waited.",
        e->waited_seconds);
    head(w, "choices_total", "counter", "Choices by how they ended.");
    for (int i = FR_SERVING_GOES_ON + 1; i < FR_SERVING_ENDS; i++) {
        say(w, "forerun_choices_total{end=\"%s\"} %lld\n", ENDS[i],
            (long long)e->ended[i]);
    }
}

fr_status fr_metrics_write(fr_ctx *ctx, fr_metrics *m,
                           const fr_serving_counters *engine,
                           const fr_shelf_counters *shelf, fr_api_bytes *to)
{
    writing w = {ctx, to, FR_OK};
    totals now;
    (void)pthread_mutex_lock(&m->lock);
    now = m->all;
    (void)pthread_mutex_unlock(&m->lock);
    one(&w, "connections", "gauge", "Open connections.", (double)now.connections);
    write_requests(&w, &now);
    write_histogram(&w, "request_seconds",
                    "Seconds from a request's first line to the end of its answer.",
                    &now.durations);
    write_histogram(&w, "first_token_seconds",
                    "Seconds from a whole request to its first token.", &now.firsts);
    write_engine(&w, engine);
    one(&w, "prefixes", "gauge", "Prefixes by name.", (double)shelf->names);
    one(&w, "prefix_bytes", "gauge", "Bytes of prefixes in the host's memory.",
        (double)shelf->bytes);
    one(&w, "prefix_files_read_total", "counter", "Prefixes read from the folder.",
        (double)shelf->loads);
    one(&w, "prefix_files_refused_total", "counter",
        "Files of the folder that could not be used.", (double)shelf->refused);
    return w.status;
}
