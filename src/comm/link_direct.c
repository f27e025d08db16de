/*
 * The kind of link whose MPI reads and writes the memory of a device that works late.
 *
 * MPI knows nothing of the device's order of work. So a message is handed to it only when the mark behind the work before begin
 * has passed: by then what is sent has been computed, and nothing before still uses the memory that is received into. MPI says
 * that a message is complete when its bytes are where they belong, so what is asked of the device after join is behind it.
 *
 *   waiting  in a queue, in the order of begin, which is that of the marks - moving: a request of MPI - done
 *
 * `advance` hands over what is due and never waits. It runs at begin, test and join, and from the world's advance list.
 */
#include "comm/link_impl.h"

#include "base/mem.h"

#include <stdlib.h>

typedef struct direct {
    fr_link_spare spare; /* first */
    const char *from;    /* NULL: it is received */
    char *to;            /* NULL: it is sent */
    int64_t bytes;
    int peer;
    fr_tag tag;
    fr_mark mark; /* behind the work before begin */
    bool is_moving;
    bool is_done;
    fr_request request;
    struct direct *next; /* of the queue */
} direct;

typedef struct direct_link {
    fr_link base;
    fr_advance entry;
    fr_status status; /* of what failed while it was polled */
    direct *next;     /* that waits; NULL: none */
    direct *last;
    fr_link_spares spares;
} direct_link;

static direct_link *from_base(fr_link *base)
{
    return (direct_link *)(void *)base;
}

/* For the watch, as group_mpi.c calls them. */
static const char *word_of(const direct *t)
{
    return t->from != NULL ? "send" : "receive";
}

/* ---- messages --------------------------------------------------------------------------------- */

/* Marks of a device that has failed have passed, but its memory must not be touched then. */
static fr_status begin_moving(direct_link *l, direct *t)
{
    fr_group *group = l->base.group;
    FR_TRY(fr_device_check(l->base.device));
    FR_TRY(t->from != NULL ? fr_group_send_begin(group, t->peer, t->tag, t->from,
                                                 t->bytes, &t->request)
                           : fr_group_receive_begin(group, t->peer, t->tag, t->to,
                                                    t->bytes, &t->request));
    t->is_moving = true;
    return FR_OK;
}

static bool is_stopped(const direct_link *l)
{
    return l->status != FR_OK || fr_group_is_abandoned(l->base.group);
}

static void advance(void *argument)
{
    direct_link *l = argument;
    while (!is_stopped(l) && l->next != NULL &&
           fr_device_passed(l->base.device, l->next->mark)) {
        direct *t = l->next;
        l->next = t->next;
        l->status = begin_moving(l, t);
    }
}

/* What can be done for one message now. */
static void look(direct_link *l, direct *t)
{
    bool is_done = false;
    advance(l);
    if (t->is_moving && !t->is_done && !is_stopped(l)) {
        l->status = fr_group_test(l->base.group, &t->request, &is_done);
        t->is_done = is_done && l->status == FR_OK;
    }
}

/* The mark comes first: to make it may wait for the device, which then polls. */
static fr_status begin(direct_link *l, direct what, void **handle)
{
    fr_link_spare *spare = NULL;
    FR_TRY(l->status);
    FR_TRY(fr_link_take(l->base.ctx, &l->spares, sizeof(direct), &spare));
    direct *t = (direct *)(void *)spare;
    what.spare = *spare;
    what.mark = fr_device_mark(l->base.device);
    *t = what;
    if (l->next == NULL) {
        l->next = t;
    } else {
        l->last->next = t;
    }
    l->last = t;
    advance(l);
    *handle = l->status == FR_OK ? t : NULL;
    return l->status;
}

static fr_status direct_send_begin(fr_link *base, int peer, fr_tag tag,
                                   const void *data, int64_t bytes, void **handle)
{
    static const char NOTHING = 0; /* an empty message may have no address */
    direct what = {.from = data != NULL ? data : &NOTHING,
                   .bytes = bytes,
                   .peer = peer,
                   .tag = tag};
    return begin(from_base(base), what, handle);
}

static fr_status direct_receive_begin(fr_link *base, int peer, fr_tag tag, void *data,
                                      int64_t bytes, void **handle)
{
    direct what = {.to = data, .bytes = bytes, .peer = peer, .tag = tag};
    return begin(from_base(base), what, handle);
}

static fr_status direct_sum_begin(fr_link *base, fr_i64 *values, int64_t n,
                                  void **handle)
{
    (void)values;
    (void)handle;
    return FR_FAIL(base->ctx, FR_ERR_INTERNAL,
                   "sum of %lld values over a direct link, which carries messages "
                   "alone; open one of the kind that fr_link_kind_of_sums names",
                   (long long)n);
}

/* One that failed stays where MPI or the queue may name it, until the link is closed. */
static bool release_done(direct_link *l, direct *t)
{
    if (t->is_done) {
        fr_link_give_back(&l->spares, &t->spare);
    }
    return t->is_done;
}

static fr_status direct_test(fr_link *base, void *handle, bool *is_done)
{
    direct_link *l = from_base(base);
    look(l, handle);
    *is_done = release_done(l, handle);
    return *is_done ? FR_OK : l->status;
}

typedef struct joined {
    direct_link *link;
    direct *transfer;
} joined;

static const char *waits_for(void *argument, int *peer)
{
    joined *j = argument;
    direct *t = j->transfer;
    look(j->link, t);
    if (t->is_done || is_stopped(j->link)) {
        return NULL;
    }
    *peer = t->is_moving ? t->peer : FR_ALL_RANKS;
    return t->is_moving ? word_of(t) : "device";
}

static fr_status direct_join(fr_link *base, void *handle)
{
    direct_link *l = from_base(base);
    joined j = {l, handle};
    fr_group_wait_for(base->group, waits_for, &j);
    if (release_done(l, j.transfer)) {
        return FR_OK;
    }
    return l->status != FR_OK
               ? l->status
               : FR_FAIL(base->ctx, FR_ERR_COMM,
                         "this rank abandoned the others in the middle of a %s",
                         word_of(j.transfer));
}

/* ---- the link --------------------------------------------------------------------------------- */

static void direct_close(fr_link *base)
{
    direct_link *l = from_base(base);
    fr_group_remove_advance(base->group, &l->entry);
    fr_link_free_spares(&l->spares);
    free(l);
}

static const fr_link_ops DIRECT_OPS = {
    .send_begin = direct_send_begin,
    .receive_begin = direct_receive_begin,
    .sum_begin = direct_sum_begin,
    .join = direct_join,
    .test = direct_test,
    .close = direct_close,
};

fr_status fr_link_open_direct(const fr_link *base, const fr_link_params *params,
                              fr_link **out)
{
    direct_link *l = NULL;
    (void)params;
    FR_TRY(fr_alloc(base->ctx, 1, sizeof *l, &l));
    l->base = *base;
    l->base.ops = &DIRECT_OPS;
    l->entry = (fr_advance){.advance = advance, .argument = l};
    fr_group_add_advance(base->group, &l->entry);
    *out = &l->base;
    return FR_OK;
}
