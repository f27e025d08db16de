/*
 * orders.h - what all ranks of a server do alike. Rank 0 gives an order, the others follow it: a row enters or leaves, a prefix is
 * loaded or dropped, one pass, rest, end.
 *
 * Each rank has the generation, the rows by place and the images. Calls under "rank 0" are collective with
 * fr_orders_follow of the others, which returns at the end.
 *
 * A failed order ends everything, but for a load for which there is no memory. A rank that fails alone abandons the others.
 */
#ifndef FR_SERVE_ORDERS_H
#define FR_SERVE_ORDERS_H

#include "model/network/generate.h"
#include "serve/images.h"

typedef struct fr_orders fr_orders;

typedef struct fr_orders_params {
    fr_images_params images;
    fr_generator *generator; /* borrowed */
    fr_generation_params generation;
} fr_orders_params;

/** Collective. */
FR_MUST_CHECK fr_status fr_orders_create(fr_ctx *ctx, const fr_orders_params *params,
                                         fr_orders **out);
/** Accepts NULL inside. Local. */
void fr_orders_destroy(fr_orders **orders);

/** All ranks but 0, until rank 0's fr_orders_end or a failure. */
FR_MUST_CHECK fr_status fr_orders_follow(fr_orders *orders);

/* ---- rank 0 --------------------------------------------------------------------------------------- */

int64_t fr_orders_places(const fr_orders *orders);
const fr_images *fr_orders_images(const fr_orders *orders);
/** The row of a place. */
const fr_generate_row *fr_orders_row(const fr_orders *orders, int64_t place);
const fr_generate_times *fr_orders_times(const fr_orders *orders);

/** As fr_images_load. */
FR_MUST_CHECK fr_status fr_orders_load(fr_orders *orders, int64_t number,
                                       fr_shelf_prefix *prefix);
FR_MUST_CHECK fr_status fr_orders_drop(fr_orders *orders, int64_t number);

/**
 * A row takes a place that is free; its prompt is moved there, also after a failure behind the check.
 * @param row    prompt, sample, number, max_new_tokens, n_logprobs   @param image  its prefix
 * @return FR_ERR_DATA: it cannot be answered (fr_generation_check), and nothing has happened
 */
FR_MUST_CHECK fr_status fr_orders_enter(fr_orders *orders, int64_t place, int64_t image,
                                        fr_generate_row *row);
/** The row of a place, which goes on, leaves; the place is free. */
FR_MUST_CHECK fr_status fr_orders_leave(fr_orders *orders, int64_t place);
/** fr_generation_pass. Rows that have ended stay where they are until fr_orders_free. */
FR_MUST_CHECK fr_status fr_orders_pass(fr_orders *orders);
/** The places of the rows that got a token or ended in the last pass, in the order in which they entered. */
const int64_t *fr_orders_grown(const fr_orders *orders, int64_t *n);
/** The place of a row that has ended is free. Local. */
void fr_orders_free(fr_orders *orders, int64_t place);

/** The next order may be long in coming: the others sleep meanwhile. Rank 0 gives one at least every FR_ORDERS_REST_MS. */
enum { FR_ORDERS_REST_MS = 500 };
FR_MUST_CHECK fr_status fr_orders_rest(fr_orders *orders);
FR_MUST_CHECK fr_status fr_orders_end(fr_orders *orders);

#endif
