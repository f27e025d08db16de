/* Requests from any thread, and what they are told.
 *
 * All open requests are in one list in the order in which they came; those that wait have no place. A thread that submits
 * appends to it, and the engine's thread alone takes out. Everything that both touch is under the monitor.
 *
 * Events are told without the monitor, so that a handler may cancel and count. They are told under a second lock, `telling`,
 * which nobody else wants but fr_serving_lost: once it has that lock, no event is under way and no request goes, so that it can
 * tell each one its end from another thread, while the engine's thread waits for a rank that never comes.
 */
#define _POSIX_C_SOURCE 200809L
#include "serve/engine_impl.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- open and close ------------------------------------------------------------------------------- */

static fr_status open_own(fr_ctx *ctx, fr_serving *s)
{
    FR_TRY(fr_monitor_open(ctx, &s->monitor));
    s->has_monitor = true;
    int code = pthread_mutex_init(&s->telling, NULL);
    s->has_telling = code == 0;
    return code == 0 ? FR_OK
                     : FR_FAIL(ctx, FR_ERR_INTERNAL, "cannot make a mutex: %s",
                               strerror(code));
}

static fr_status open_parts(fr_ctx *ctx, fr_serving *s)
{
    const fr_serving_params *p = &s->params;
    const fr_orders_params orders = {.images = {.world = p->world,
                                                .device = p->device,
                                                .first_layer = p->first_layer,
                                                .n_layers = p->n_layers,
                                                .bytes = p->prefix_bytes},
                                     .generator = p->generator,
                                     .generation = p->generation};
    FR_TRY(fr_group_agree(p->world, open_own(ctx, s)));
    FR_TRY(fr_orders_create(ctx, &orders, &s->orders));
    s->counters.places = fr_orders_places(s->orders);
    return fr_group_agree(p->world, fr_alloc(ctx, s->counters.places,
                                             sizeof(fr_open_request *), &s->places));
}

fr_status fr_serving_create(fr_ctx *ctx, const fr_serving_params *params,
                            fr_serving **out)
{
    fr_serving *s = NULL;
    *out = NULL;
    fr_status status = fr_group_agree(params->world, fr_alloc(ctx, 1, sizeof *s, &s));
    if (status == FR_OK) {
        s->ctx = ctx;
        s->params = *params;
        s->end = &s->first;
        status = open_parts(ctx, s);
    }
    if (status != FR_OK) {
        fr_serving_destroy(&s);
    }
    *out = s;
    return status;
}

/* Requests are left only if fr_serving_run was never called. */
void fr_serving_destroy(fr_serving **serving)
{
    fr_serving *s = *serving;
    *serving = NULL;
    if (s == NULL) {
        return;
    }
    while (s->first != NULL) {
        fr_serving_finish(s, s->first, FR_SERVING_LOST, "the server has ended");
    }
    fr_orders_destroy(&s->orders);
    free(s->places);
    if (s->has_monitor) {
        fr_monitor_close(&s->monitor);
    }
    if (s->has_telling) {
        (void)pthread_mutex_destroy(&s->telling);
    }
    free(s);
}

/* ---- telling -------------------------------------------------------------------------------------- */

/* Under `telling`. */
static void tell(const fr_serving *s, const fr_open_request *r,
                 const fr_serving_event *event)
{
    if (!s->is_lost && r->given.event != NULL) {
        r->given.event(r->given.user, event);
    }
}

void fr_serving_token(fr_serving *serving, const fr_open_request *request, int32_t id,
                      const fr_logprobs *logprobs)
{
    const fr_serving_event event = {.id = id, .logprobs = logprobs};
    (void)pthread_mutex_lock(&serving->telling);
    tell(serving, request, &event);
    (void)pthread_mutex_unlock(&serving->telling);
}

/* Under the monitor. */
static void take_out(fr_serving *s, const fr_open_request *r)
{
    fr_open_request **link = &s->first;
    while (*link != r) {
        link = &(*link)->next;
    }
    *link = r->next;
    if (s->end == &r->next) {
        s->end = link;
    }
    s->n_open--;
}

void fr_serving_finish(fr_serving *serving, fr_open_request *request,
                       fr_serving_end end, const char *message)
{
    fr_serving *s = serving;
    const fr_serving_event event = {.id = FR_NO_TOKEN, .end = end, .message = message};
    (void)pthread_mutex_lock(&s->telling);
    fr_monitor_enter(&s->monitor);
    if (!s->is_lost) {
        s->counters.ended[end]++;
    }
    if (request->place == FR_NO_PLACE) {
        s->counters.waiting--;
    } else {
        s->counters.under_way--;
    }
    take_out(s, request);
    fr_monitor_leave(&s->monitor);
    tell(s, request, &event);
    (void)pthread_mutex_unlock(&s->telling);
    fr_shelf_release(request->given.prefix);
    fr_ids_fini(&request->given.prompt);
    free(request);
}

void fr_serving_lost(fr_serving *serving, const char *message)
{
    fr_serving *s = serving;
    const fr_serving_event event = {
        .id = FR_NO_TOKEN, .end = FR_SERVING_LOST, .message = message};
    fr_monitor_enter(&s->monitor);
    s->is_closed = true; /* the list grows no more */
    fr_monitor_leave(&s->monitor);
    (void)pthread_mutex_lock(&s->telling);
    for (const fr_open_request *r = s->first; r != NULL; r = r->next) {
        tell(s, r, &event);
    }
    fr_monitor_enter(&s->monitor);
    s->counters.ended[FR_SERVING_LOST] += s->is_lost ? 0 : s->n_open;
    fr_monitor_leave(&s->monitor);
    s->is_lost = true;
    (void)pthread_mutex_unlock(&s->telling);
}

/* ---- any thread ------------------------------------------------------------------------------------ */

/* Without a context: a thread that submits shares none with the engine. */
static fr_open_request *make_request(const fr_serving_request *given)
{
    fr_open_request *r = calloc(1, sizeof *r);
    if (r != NULL) {
        r->given = *given;
        r->place = FR_NO_PLACE;
        r->submitted = fr_clock_seconds();
        r->deadline = given->deadline_seconds > 0.0
                          ? r->submitted + given->deadline_seconds
                          : 0.0;
    }
    return r;
}

static void append(fr_serving *s, fr_open_request *r)
{
    r->ticket = ++s->last_ticket;
    *s->end = r;
    s->end = &r->next;
    s->n_open++;
    s->counters.waiting++;
    s->counters.taken++;
    fr_monitor_tell(&s->monitor);
}

fr_serving_verdict fr_serving_submit(fr_serving *serving, fr_serving_request *request,
                                     uint64_t *ticket)
{
    fr_serving *s = serving;
    fr_open_request *r = make_request(request);
    fr_serving_verdict verdict = r != NULL ? FR_SERVING_TAKEN : FR_SERVING_NO_MEMORY;
    *ticket = 0;
    if (r != NULL) {
        (void)fr_shelf_hold(request->prefix);
    }
    fr_monitor_enter(&s->monitor);
    if (s->is_draining || s->is_closed) {
        verdict = FR_SERVING_CLOSED;
    } else if (verdict == FR_SERVING_TAKEN && s->counters.waiting >= s->params.queue) {
        verdict = FR_SERVING_BUSY;
    }
    if (verdict == FR_SERVING_TAKEN) {
        request->prompt = (fr_ids){0};
        append(s, r);
        *ticket = r->ticket;
    } else {
        s->counters.refused[verdict]++;
    }
    fr_monitor_leave(&s->monitor);
    if (verdict != FR_SERVING_TAKEN && r != NULL) {
        fr_shelf_release(request->prefix);
        free(r);
    }
    return verdict;
}

void fr_serving_cancel(fr_serving *serving, uint64_t ticket)
{
    fr_monitor_enter(&serving->monitor);
    for (fr_open_request *r = serving->first; r != NULL; r = r->next) {
        r->is_cancelled = r->is_cancelled || r->ticket == ticket;
    }
    fr_monitor_tell(&serving->monitor);
    fr_monitor_leave(&serving->monitor);
}

void fr_serving_drain(fr_serving *serving, double seconds)
{
    fr_serving *s = serving;
    double end = fr_clock_seconds() + seconds;
    fr_monitor_enter(&s->monitor);
    if (!s->is_draining || end < s->drain_end) {
        s->drain_end = end;
    }
    s->is_draining = true;
    fr_monitor_tell(&s->monitor);
    fr_monitor_leave(&s->monitor);
}

void fr_serving_count(fr_serving *serving, fr_serving_counters *out)
{
    fr_monitor_enter(&serving->monitor);
    *out = serving->counters;
    fr_monitor_leave(&serving->monitor);
}
