/* Rank 0's loop. Before each pass, in this order: requests that are over leave (end_due), those that wait enter (admit_waiting),
 * and then all rows get their next tokens, which are told. Without rows the thread sleeps until somebody submits, and gives an
 * order to rest now and then, so that the other ranks see that this one is alive.
 *
 * The queue is strictly first come, first served. A request whose prefix has no room holds up those behind it: some row
 * under way uses that room, and ends. With none under way every image may be dropped, so one always fits.
 *
 * A failure of orders ends everything, on every rank. One of a request alone (fr_generation_check, no memory for its prefix) ends
 * the request.
 */
#include "serve/engine_impl.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_BYTES = 1024 };

/* ---- requests that are over ------------------------------------------------------------------------- */

/* Whether a request must end now, and why. Under the monitor. */
static bool is_due(const fr_serving *s, const fr_open_request *r, double now,
                   fr_serving_end *end, const char **message)
{
    if (r->is_cancelled) {
        *end = FR_SERVING_CANCELLED;
        *message = "the request was cancelled";
        return true;
    }
    if (r->deadline > 0.0 && now >= r->deadline) {
        *end = FR_SERVING_EXPIRED;
        *message = r->place == FR_NO_PLACE
                       ? "the request waited for longer than its time; try again later"
                       : "the answer took longer than the request's time";
        return true;
    }
    if (s->is_draining && now >= s->drain_end) {
        *end = FR_SERVING_DRAINED;
        *message = "the server ends, and had no more time for this answer";
        return true;
    }
    return false;
}

static fr_open_request *find_due(fr_serving *s, fr_serving_end *end,
                                 const char **message)
{
    double now = fr_clock_seconds();
    fr_monitor_enter(&s->monitor);
    fr_open_request *r = s->first;
    while (r != NULL && !is_due(s, r, now, end, message)) {
        r = r->next;
    }
    fr_monitor_leave(&s->monitor);
    return r;
}

static fr_status end_due(fr_serving *s)
{
    fr_serving_end end = FR_SERVING_GOES_ON;
    const char *message = NULL;
    fr_open_request *r = find_due(s, &end, &message);
    while (r != NULL) {
        if (r->place != FR_NO_PLACE) {
            s->places[r->place] = NULL;
            FR_TRY(fr_orders_leave(s->orders, r->place));
        }
        fr_serving_finish(s, r, end, message);
        r = find_due(s, &end, &message);
    }
    return FR_OK;
}

/* ---- prefixes --------------------------------------------------------------------------------------- */

/* Drop images that nobody uses: those of old contents; with `all` every one. */
static fr_status drop_idle(fr_serving *s, bool all)
{
    int64_t number = FR_NO_IMAGE;
    while (fr_images_idle(fr_orders_images(s->orders), all, &number)) {
        FR_TRY(fr_orders_drop(s->orders, number));
    }
    return FR_OK;
}

/* *is_there false: rows under way use the room. */
static fr_status make_room(fr_serving *s, const fr_shelf_prefix *prefix,
                           int64_t *number, bool *is_there)
{
    const fr_images *images = fr_orders_images(s->orders);
    int64_t idle = FR_NO_IMAGE;
    *is_there = fr_images_room(images, prefix, number);
    while (!*is_there && fr_images_idle(images, true, &idle)) {
        FR_TRY(fr_orders_drop(s->orders, idle));
        *is_there = fr_images_room(images, prefix, number);
    }
    return FR_OK;
}

/* Where a device has no memory although the bound allows it, what is idle goes first. */
static fr_status load(fr_serving *s, fr_shelf_prefix *prefix, int64_t number)
{
    fr_status status = fr_orders_load(s->orders, number, prefix);
    if (status == FR_ERR_NO_MEMORY) {
        fr_ctx_clear_error(s->ctx);
        FR_TRY(drop_idle(s, true));
        status = fr_orders_load(s->orders, number, prefix);
    }
    fr_monitor_enter(&s->monitor);
    s->counters.loads += status == FR_OK;
    fr_monitor_leave(&s->monitor);
    return status;
}

static void count_images(fr_serving *s)
{
    int64_t bytes = 0;
    int64_t n = fr_images_count(fr_orders_images(s->orders), &bytes);
    fr_monitor_enter(&s->monitor);
    s->counters.images = n;
    s->counters.image_bytes = bytes;
    fr_monitor_leave(&s->monitor);
}

/* ---- entering --------------------------------------------------------------------------------------- */

static int64_t free_place(const fr_serving *s)
{
    for (int64_t i = 0; i < fr_orders_places(s->orders); i++) {
        if (s->places[i] == NULL) {
            return i;
        }
    }
    return FR_NO_PLACE;
}

static fr_open_request *first_waiting(fr_serving *s)
{
    fr_monitor_enter(&s->monitor);
    fr_open_request *r = s->first;
    while (r != NULL && r->place != FR_NO_PLACE) {
        r = r->next;
    }
    fr_monitor_leave(&s->monitor);
    return r;
}

/* This request alone cannot be answered; the message is the context's. */
static void fail_request(fr_serving *s, fr_open_request *r)
{
    char message[MESSAGE_BYTES];
    (void)snprintf(message, sizeof message, "%s", fr_ctx_error(s->ctx));
    fr_ctx_clear_error(s->ctx);
    fr_serving_finish(s, r, FR_SERVING_FAILED, message);
}

static fr_status enter(fr_serving *s, fr_open_request *r, int64_t place, int64_t image)
{
    fr_generate_row row = {.prompt = r->given.prompt,
                           .sample = r->given.sample,
                           .number = r->given.number,
                           .max_new_tokens = r->given.max_new_tokens,
                           .n_logprobs = r->given.n_logprobs};
    fr_status status = fr_orders_enter(s->orders, place, image, &row);
    r->given.prompt = row.prompt;
    if (status == FR_ERR_DATA) {
        fail_request(s, r);
        return FR_OK;
    }
    FR_TRY(status);
    s->places[place] = r;
    fr_monitor_enter(&s->monitor);
    r->place = place;
    s->counters.waiting--;
    s->counters.under_way++;
    s->counters.waited_seconds += fr_clock_seconds() - r->submitted;
    fr_monitor_leave(&s->monitor);
    return FR_OK;
}

/* *goes_on false: it must wait, and so must those behind it. */
static fr_status admit(fr_serving *s, fr_open_request *r, bool *goes_on)
{
    int64_t place = free_place(s);
    int64_t image = FR_NO_IMAGE;
    *goes_on = place != FR_NO_PLACE;
    if (!*goes_on) {
        return FR_OK;
    }
    if (!fr_images_find(fr_orders_images(s->orders), r->given.prefix, &image)) {
        FR_TRY(make_room(s, r->given.prefix, &image, goes_on));
        if (!*goes_on) {
            return FR_OK;
        }
        fr_status status = load(s, r->given.prefix, image);
        if (status == FR_ERR_NO_MEMORY) {
            fail_request(s, r);
            return FR_OK;
        }
        FR_TRY(status);
    }
    return enter(s, r, place, image);
}

static fr_status admit_waiting(fr_serving *s)
{
    bool goes_on = true;
    fr_open_request *r = first_waiting(s);
    while (r != NULL && goes_on) {
        FR_TRY(admit(s, r, &goes_on));
        r = goes_on ? first_waiting(s) : NULL;
    }
    count_images(s);
    return FR_OK;
}

/* ---- a pass ----------------------------------------------------------------------------------------- */

static fr_serving_end end_of(fr_row_state state, const char **message)
{
    *message = NULL;
    switch (state) {
    case FR_ROW_STOPPED:
        return FR_SERVING_STOPPED;
    case FR_ROW_FULL:
        return FR_SERVING_FULL;
    case FR_ROW_NOT_FINITE:
        *message = "the next token's numbers are not finite: the prefix or the model "
                   "file is damaged";
        return FR_SERVING_FAILED;
    case FR_ROW_LEFT:
    case FR_ROW_GOES_ON:
        break;
    }
    return FR_SERVING_GOES_ON;
}

/* Its new tokens, and its end if it has ended. */
static void tell_row(fr_serving *s, int64_t place)
{
    const fr_generate_row *row = fr_orders_row(s->orders, place);
    fr_open_request *r = s->places[place];
    const char *message = NULL;
    fr_serving_end end = end_of(row->state, &message);
    int64_t n_new = row->out.count - r->told;
    for (; r->told < row->out.count; r->told++) {
        fr_serving_token(s, r, row->out.data[r->told],
                         row->logprobs != NULL ? &row->logprobs[r->told] : NULL);
    }
    fr_monitor_enter(&s->monitor);
    s->counters.answer_tokens += n_new;
    fr_monitor_leave(&s->monitor);
    if (end != FR_SERVING_GOES_ON) {
        s->places[place] = NULL;
        fr_orders_free(s->orders, place);
        fr_serving_finish(s, r, end, message);
    }
}

static void count_pass(fr_serving *s)
{
    const fr_generate_times *t = fr_orders_times(s->orders);
    fr_monitor_enter(&s->monitor);
    s->counters.passes++;
    s->counters.prompt_tokens = t->prompt_tokens;
    s->counters.prompt_seconds = t->prompt_seconds;
    s->counters.decode_seconds = t->decode_seconds;
    fr_monitor_leave(&s->monitor);
}

static fr_status pass(fr_serving *s)
{
    int64_t n = 0;
    FR_TRY(fr_orders_pass(s->orders));
    count_pass(s);
    const int64_t *grown = fr_orders_grown(s->orders, &n);
    for (int64_t i = 0; i < n; i++) {
        tell_row(s, grown[i]);
    }
    return FR_OK;
}

/* ---- the loop --------------------------------------------------------------------------------------- */

/* Under the monitor. */
static bool is_idle(const fr_serving *s)
{
    return s->n_open == 0 && !s->is_draining && !s->is_closed;
}

static fr_status rest(fr_serving *s)
{
    fr_watch *watch = fr_group_watch(s->params.world);
    FR_TRY(fr_orders_rest(s->orders));
    fr_watch_busy(watch, "resting");
    fr_monitor_enter(&s->monitor);
    if (is_idle(s)) {
        fr_monitor_wait(&s->monitor, FR_ORDERS_REST_MS);
    }
    fr_monitor_leave(&s->monitor);
    fr_watch_busy(watch, NULL);
    return FR_OK;
}

/* After the last request nothing is taken: the order to end is given once that is sure. */
static bool is_over(fr_serving *s)
{
    fr_monitor_enter(&s->monitor);
    bool is_over = s->n_open == 0 && (s->is_draining || s->is_closed);
    s->is_closed = s->is_closed || is_over;
    fr_monitor_leave(&s->monitor);
    return is_over;
}

static int64_t n_under_way(fr_serving *s)
{
    fr_serving_counters now;
    fr_serving_count(s, &now);
    return now.under_way;
}

static fr_status lead(fr_serving *s)
{
    while (!is_over(s)) {
        FR_TRY(end_due(s));
        FR_TRY(drop_idle(s, false));
        FR_TRY(admit_waiting(s));
        FR_TRY(n_under_way(s) > 0 ? pass(s) : rest(s));
    }
    return fr_orders_end(s->orders);
}

/* The places of rows stay as they are: fr_serving_destroy frees them. */
static void finish_all(fr_serving *s, fr_status status)
{
    char message[MESSAGE_BYTES];
    (void)snprintf(message, sizeof message, "the server cannot go on: %s",
                   status != FR_OK ? fr_ctx_error(s->ctx) : "it has ended");
    fr_monitor_enter(&s->monitor);
    s->is_closed = true;
    fr_monitor_leave(&s->monitor);
    while (s->first != NULL) {
        fr_serving_finish(s, s->first, FR_SERVING_LOST, message);
    }
}

fr_status fr_serving_run(fr_serving *serving)
{
    if (fr_group_rank(serving->params.world) != 0) {
        return fr_orders_follow(serving->orders);
    }
    fr_status status = lead(serving);
    finish_all(serving, status);
    return status;
}
