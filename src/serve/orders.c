/* An order is four numbers, which all ranks get as a sum to which rank 0 alone adds: a reduction can be begun and tested, a
 * broadcast cannot. So a rank without work sleeps between two tests, and MPI moves messages in each. It becomes a
 * plain wait, which the watch sees, when rank 0 has been silent for longer than it may be.
 *
 * Behind an order of entering come its options and ids, behind a load what images.c sends.
 */
#include "serve/orders.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

typedef enum kind { REST, PASS, ENTER, LEAVE, LOAD, DROP, END } kind;
enum { N_NUMBERS = 4 };

/* Numbers of an order. */
typedef struct order {
    kind kind;
    int64_t at;    /* place or image */
    int64_t image; /* of a row that enters */
    int64_t n;     /* ids of its prompt */
} order;

/* A row's options, as bytes. */
typedef struct options {
    fr_sample_params sample;
    uint64_t number;
    int64_t max_new_tokens;
    int64_t n_logprobs;
} options;

/* A place of a row. */
typedef struct place {
    fr_generate_row row;
    int64_t image;
} place;

struct fr_orders {
    fr_ctx *ctx;
    fr_group *world;
    fr_images *images;
    fr_generation *generation;
    fr_generate_times times;
    int64_t n_places;
    place *places;
    int64_t *grown; /* places */
    int64_t n_grown;
};

/* ---- open and close ------------------------------------------------------------------------------- */

static fr_status open_parts(const fr_orders_params *params, fr_orders *o)
{
    fr_generation_params generation = params->generation;
    generation.times = &o->times;
    FR_TRY(fr_images_create(o->ctx, &params->images, &o->images));
    FR_TRY(fr_generation_open(params->generator, &generation, &o->generation));
    o->n_places = fr_generation_places(o->generation);
    fr_status status = fr_alloc(o->ctx, o->n_places, sizeof *o->places, &o->places);
    if (status == FR_OK) {
        status = fr_alloc(o->ctx, o->n_places, sizeof *o->grown, &o->grown);
    }
    return fr_group_agree(o->world, status);
}

fr_status fr_orders_create(fr_ctx *ctx, const fr_orders_params *params, fr_orders **out)
{
    fr_orders *o = NULL;
    fr_group *world = params->images.world;
    *out = NULL;
    fr_status status = fr_group_agree(world, fr_alloc(ctx, 1, sizeof *o, &o));
    if (status == FR_OK) {
        o->ctx = ctx;
        o->world = world;
        status = open_parts(params, o);
    }
    if (status != FR_OK) {
        fr_orders_destroy(&o);
    }
    *out = o;
    return status;
}

void fr_orders_destroy(fr_orders **orders)
{
    fr_orders *o = *orders;
    *orders = NULL;
    if (o == NULL) {
        return;
    }
    fr_generation_close(&o->generation);
    for (int64_t i = 0; o->places != NULL && i < o->n_places; i++) {
        fr_generate_row_fini(&o->places[i].row);
    }
    free(o->places);
    free(o->grown);
    fr_images_destroy(&o->images);
    free(o);
}

int64_t fr_orders_places(const fr_orders *orders)
{
    return orders->n_places;
}

const fr_images *fr_orders_images(const fr_orders *orders)
{
    return orders->images;
}

const fr_generate_row *fr_orders_row(const fr_orders *orders, int64_t at)
{
    return &orders->places[at].row;
}

const fr_generate_times *fr_orders_times(const fr_orders *orders)
{
    return &orders->times;
}

const int64_t *fr_orders_grown(const fr_orders *orders, int64_t *n)
{
    *n = orders->n_grown;
    return orders->grown;
}

/* ---- what every rank does ------------------------------------------------------------------------- */

void fr_orders_free(fr_orders *orders, int64_t at)
{
    place *p = &orders->places[at];
    fr_generate_row_fini(&p->row);
    fr_images_use(orders->images, p->image, -1);
    *p = (place){.image = FR_NO_IMAGE};
}

static void leave(fr_orders *o, int64_t at)
{
    fr_generation_leave(o->generation, &o->places[at].row);
    fr_orders_free(o, at);
}

/* The generation gives rows back by their addresses. */
static fr_status pass(fr_orders *o)
{
    fr_status status = fr_generation_pass(o->generation);
    int64_t n = 0;
    fr_generate_row *const *grown = fr_generation_grown(o->generation, &n);
    o->n_grown = status == FR_OK ? n : 0;
    for (int64_t i = 0; i < o->n_grown; i++) {
        int64_t at = 0;
        while (&o->places[at].row != grown[i]) {
            at++;
        }
        o->grown[i] = at;
    }
    return status;
}

static void put_options(const options *given, fr_generate_row *row)
{
    row->sample = given->sample;
    row->number = given->number;
    row->max_new_tokens = given->max_new_tokens;
    row->n_logprobs = given->n_logprobs;
}

static void enter(fr_orders *o, const order *given)
{
    place *p = &o->places[given->at];
    p->image = given->image;
    p->row.prefix = fr_images_view(o->images, given->image);
    fr_images_use(o->images, given->image, 1);
    fr_generation_enter(o->generation, &p->row);
}

/* ---- rank 0 ----------------------------------------------------------------------------------------- */

static fr_status give(fr_orders *o, order given)
{
    int64_t numbers[N_NUMBERS] = {given.kind, given.at, given.image, given.n};
    return fr_group_size(o->world) > 1
               ? fr_group_allreduce(o->world, FR_SUM, numbers, N_NUMBERS)
               : FR_OK;
}

fr_status fr_orders_load(fr_orders *orders, int64_t number, fr_shelf_prefix *prefix)
{
    FR_TRY(give(orders, (order){.kind = LOAD, .at = number}));
    return fr_images_load(orders->images, number, prefix);
}

fr_status fr_orders_drop(fr_orders *orders, int64_t number)
{
    FR_TRY(give(orders, (order){.kind = DROP, .at = number}));
    fr_images_drop(orders->images, number);
    return FR_OK;
}

/* Padding within the options is zero, so that no byte of this process's memory goes out by accident. */
static fr_status send_row(fr_orders *o, fr_generate_row *row)
{
    options given;
    memset(&given, 0, sizeof given);
    given.sample = row->sample;
    given.number = row->number;
    given.max_new_tokens = row->max_new_tokens;
    given.n_logprobs = row->n_logprobs;
    FR_TRY(fr_group_broadcast(o->world, 0, &given, sizeof given));
    return fr_group_broadcast(o->world, 0, row->prompt.data,
                              row->prompt.count * (int64_t)sizeof(int32_t));
}

fr_status fr_orders_enter(fr_orders *orders, int64_t at, int64_t image,
                          fr_generate_row *row)
{
    fr_orders *o = orders;
    const order given = {ENTER, at, image, row->prompt.count};
    row->prefix = fr_images_view(o->images, image);
    FR_TRY(fr_generation_check(o->generation, row));
    o->places[at].row = *row;
    row->prompt = (fr_ids){0};
    FR_TRY(give(o, given));
    if (fr_group_size(o->world) > 1) {
        FR_TRY(send_row(o, &o->places[at].row));
    }
    enter(o, &given);
    return FR_OK;
}

fr_status fr_orders_leave(fr_orders *orders, int64_t at)
{
    FR_TRY(give(orders, (order){.kind = LEAVE, .at = at}));
    leave(orders, at);
    return FR_OK;
}

fr_status fr_orders_pass(fr_orders *orders)
{
    FR_TRY(give(orders, (order){.kind = PASS}));
    return pass(orders);
}

fr_status fr_orders_rest(fr_orders *orders)
{
    return give(orders, (order){.kind = REST});
}

fr_status fr_orders_end(fr_orders *orders)
{
    return give(orders, (order){.kind = END});
}

/* ---- the other ranks -------------------------------------------------------------------------------- */

/* A rank at rest asks every millisecond: an order then comes late by as much, and the core is free. */
static fr_status sleep_for(fr_orders *o, fr_request *request)
{
    enum { PAUSE_NS = 1000000, PATIENCE = 6 };
    fr_watch *watch = fr_group_watch(o->world);
    int64_t end = fr_clock_ms() + (int64_t)PATIENCE * FR_ORDERS_REST_MS;
    bool is_done = false;
    fr_status status = FR_OK;
    fr_watch_busy(watch, "resting");
    while (status == FR_OK && !is_done && fr_clock_ms() < end) {
        fr_sleep_ns(PAUSE_NS);
        status = fr_group_test(o->world, request, &is_done);
    }
    fr_watch_busy(watch, NULL);
    return status;
}

static fr_status take(fr_orders *o, bool rests, order *out)
{
    int64_t numbers[N_NUMBERS] = {0};
    fr_request request = {NULL};
    FR_TRY(fr_group_allreduce_begin(o->world, FR_SUM, numbers, N_NUMBERS, &request));
    if (rests) {
        FR_TRY(sleep_for(o, &request));
    }
    FR_TRY(fr_group_wait(o->world, &request));
    *out = (order){(kind)numbers[0], numbers[1], numbers[2], numbers[3]};
    return FR_OK;
}

static fr_status receive_row(fr_orders *o, const order *given)
{
    options got;
    fr_generate_row *row = &o->places[given->at].row;
    int64_t bytes = given->n * (int64_t)sizeof(int32_t);
    fr_status status = fr_alloc(o->ctx, given->n, sizeof(int32_t), &row->prompt.data);
    if (status != FR_OK) { /* rank 0 goes on, and waits in what it sends */
        return fr_group_abandon(o->world, status);
    }
    row->prompt.count = given->n;
    row->prompt.capacity = given->n;
    FR_TRY(fr_group_broadcast(o->world, 0, &got, sizeof got));
    FR_TRY(fr_group_broadcast(o->world, 0, row->prompt.data, bytes));
    put_options(&got, row);
    enter(o, given);
    return FR_OK;
}

/* Rank 0 frees what has ended after it has told it; here nobody is told. */
static fr_status follow_pass(fr_orders *o)
{
    FR_TRY(pass(o));
    for (int64_t i = 0; i < o->n_grown; i++) {
        if (o->places[o->grown[i]].row.state != FR_ROW_GOES_ON) {
            fr_orders_free(o, o->grown[i]);
        }
    }
    return FR_OK;
}

/* Rank 0 takes a lack of memory for a prefix as an answer, and so does this rank. */
static fr_status follow_load(fr_orders *o, int64_t number)
{
    fr_status status = fr_images_load(o->images, number, NULL);
    if (status == FR_ERR_NO_MEMORY) {
        fr_ctx_clear_error(o->ctx);
        return FR_OK;
    }
    return status;
}

static fr_status carry_out(fr_orders *o, const order *given)
{
    switch (given->kind) {
    case PASS:
        return follow_pass(o);
    case ENTER:
        return receive_row(o, given);
    case LEAVE:
        leave(o, given->at);
        return FR_OK;
    case LOAD:
        return follow_load(o, given->at);
    case DROP:
        fr_images_drop(o->images, given->at);
        return FR_OK;
    case REST:
    case END:
        break;
    }
    return FR_OK;
}

fr_status fr_orders_follow(fr_orders *orders)
{
    order given = {.kind = REST};
    while (given.kind != END) {
        FR_TRY(take(orders, given.kind == REST, &given));
        FR_TRY(carry_out(orders, &given));
    }
    return FR_OK;
}
