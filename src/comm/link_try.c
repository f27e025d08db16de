/*
 * A trial of direct links. MPI may say that it takes the memory of GPUs and then copy other bytes, fail or never deliver: the
 * memory may be of a kind, or the two GPUs and the network between them of a make, that it was not built for.
 *
 * Every rank sends to the one before it and the one behind it what both can compute, in a length that MPI sends at once and in
 * one for which it waits for the receiver. It goes over a direct link, whose group is of its own (fr_group_split_trial), so
 * that what fails here breaks nothing else. Memory that MPI may still read or write afterwards is left to the device's end.
 */
#include "comm/link_settle.h"

#include "base/clock.h"
#include "base/mem.h"
#include "comm/device_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHORT = 2048 + 4,
    LONG =
        (1 << 20) + (1 << 16) + 4, /* longer than what group_mpi.c sends as one block */
    LENGTHS = 2,
    MOST = 2 * 2 * LENGTHS,
};

/* One message. */
typedef struct attempt {
    fr_transfer transfer;
    int peer;
    int seed;
    bool sends;
    bool is_done;
    int64_t bytes;
    int64_t at; /* in the memory of the trial */
} attempt;

typedef struct trial {
    fr_ctx *ctx;
    fr_group *parent; /* borrowed */
    fr_group *group;  /* of the trial's own; owned */
    fr_device *device;
    fr_link *link;
    fr_byte *memory; /* [MOST of LONG], in the device */
    char *host;      /* what is in it, or is to be */
    attempt attempts[MOST];
    int n;
    int64_t until_ms;
    int seconds;
    fr_status status; /* of what failed in the wait */
    bool is_late;     /* messages had not come in time */
} trial;

/* ---- what is sent ----------------------------------------------------------------------------- */

static void fill(char *to, int64_t bytes, int seed)
{
    uint32_t state = 2654435761u * (uint32_t)(seed + 1);
    for (int64_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = (char)(state >> 24);
    }
}

static int64_t count_unlike(const char *got, int64_t bytes, int seed)
{
    uint32_t state = 2654435761u * (uint32_t)(seed + 1);
    int64_t unlike = 0;
    for (int64_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        unlike += got[i] != (char)(state >> 24);
    }
    return unlike;
}

/* Sends to a neighbour and receives from it, in both lengths. What rank r sends up or down is known by its seed. */
static void list_neighbour(trial *t, int peer)
{
    static const int64_t BYTES[LENGTHS] = {SHORT, LONG};
    int rank = fr_group_rank(t->group);
    for (int i = 0; i < 2 * LENGTHS; i++) {
        bool sends = i % 2 == 0;
        int from = sends ? rank : peer;
        bool is_up = (peer > rank) == sends;
        t->attempts[t->n] = (attempt){.peer = peer,
                                      .seed = (2 * from + is_up) * LENGTHS + i / 2,
                                      .sends = sends,
                                      .bytes = BYTES[i / 2],
                                      .at = (int64_t)t->n * LONG};
        t->n++;
    }
}

static void list_attempts(trial *t)
{
    int rank = fr_group_rank(t->group);
    if (rank > 0) {
        list_neighbour(t, rank - 1);
    }
    if (rank + 1 < fr_group_size(t->group)) {
        list_neighbour(t, rank + 1);
    }
}

/* ---- the trial -------------------------------------------------------------------------------- */

static fr_status begin_all(trial *t)
{
    for (int i = 0; i < t->n; i++) {
        attempt *a = &t->attempts[i];
        bool is_up = (a->peer > fr_group_rank(t->group)) == a->sends;
        fr_tag tag = is_up ? FR_TAG_FORWARD : FR_TAG_BACKWARD;
        FR_TRY(a->sends
                   ? fr_link_send_begin(t->link, a->peer, tag, t->memory + a->at,
                                        a->bytes, &a->transfer)
                   : fr_link_receive_begin(t->link, a->peer, tag, t->memory + a->at,
                                           a->bytes, &a->transfer));
    }
    return FR_OK;
}

static bool are_all_done(void *argument)
{
    trial *t = argument;
    int n_done = 0;
    for (int i = 0; i < t->n && t->status == FR_OK; i++) {
        attempt *a = &t->attempts[i];
        if (!a->is_done) {
            t->status = fr_link_test(t->link, &a->transfer, &a->is_done);
        }
        n_done += a->is_done;
    }
    return n_done == t->n || t->status != FR_OK || fr_clock_ms() >= t->until_ms;
}

static fr_status say_what_never_came(trial *t)
{
    for (int i = 0; i < t->n; i++) {
        const attempt *a = &t->attempts[i];
        if (!a->is_done) {
            t->is_late = true;
            return FR_FAIL(t->ctx, FR_ERR_COMM,
                           "%lld bytes %s stage %d are still on their way after %d "
                           "seconds",
                           (long long)a->bytes, a->sends ? "to" : "from", a->peer,
                           t->seconds);
        }
    }
    return FR_OK;
}

static fr_status compare(trial *t)
{
    memset(t->host, 0, (size_t)t->n * LONG);
    fr_device_get(t->device, t->host, t->memory, (int64_t)t->n * LONG);
    FR_TRY(fr_group_wait_device(t->group, t->device, fr_device_mark(t->device)));
    for (int i = 0; i < t->n; i++) {
        const attempt *a = &t->attempts[i];
        int64_t unlike = count_unlike(t->host + a->at, a->bytes, a->seed);
        if (unlike > 0) {
            return FR_FAIL(t->ctx, FR_ERR_COMM,
                           "%lld of %lld bytes %s stage %d are not what was sent",
                           (long long)unlike, (long long)a->bytes,
                           a->sends ? "to" : "from", a->peer);
        }
    }
    return FR_OK;
}

static fr_status exchange(trial *t)
{
    t->until_ms = fr_clock_ms() + (int64_t)t->seconds * 1000;
    FR_TRY(begin_all(t));
    fr_group_wait_until(t->group, "device", are_all_done, t);
    FR_TRY(t->status);
    FR_TRY(say_what_never_came(t));
    return compare(t);
}

/* What is received into holds something else. */
static fr_status prepare(trial *t)
{
    fr_link_params link = {
        .group = t->group, .device = t->device, .kind = FR_LINK_DIRECT};
    int64_t bytes = (int64_t)t->n * LONG;
    FR_TRY(fr_link_open(t->ctx, &link, &t->link));
    FR_TRY(fr_alloc(t->ctx, bytes, 1, &t->host));
    FR_TRY(fr_device_alloc(t->device, bytes, 1, &t->memory));
    for (int i = 0; i < t->n; i++) {
        const attempt *a = &t->attempts[i];
        if (a->sends) {
            fill(t->host + a->at, a->bytes, a->seed);
        }
    }
    return fr_device_load(t->device, t->memory, t->host, bytes);
}

static void finish(trial *t)
{
    bool is_over = true;
    for (int i = 0; i < t->n; i++) {
        is_over = is_over && t->attempts[i].transfer.handle == NULL;
    }
    fr_link_close(&t->link);
    if (is_over) {
        fr_device_free(t->device, t->memory);
    }
    free(t->host);
    fr_group_destroy(&t->group);
}

/* Whatever MPI did wrong is a reason against direct links. */
static fr_status judge(fr_ctx *ctx, fr_status status)
{
    enum { TEXT_BYTES = 512 };
    char text[TEXT_BYTES];
    if (status != FR_ERR_COMM) {
        return status;
    }
    (void)snprintf(text, sizeof text, "%s", fr_ctx_error(ctx));
    fr_ctx_clear_error(ctx);
    return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                   "MPI says that it takes the memory of GPUs, but a trial of messages "
                   "between them fails: %s; see how Open MPI and UCX are set up for "
                   "CUDA, or set run.links to staged",
                   text);
}

/* A rank that failed at once is the reason why its neighbours waited. */
static fr_status agree_on(const trial *t, fr_status status)
{
    FR_TRY(fr_group_agree(t->parent, t->is_late ? FR_OK : status));
    return fr_group_agree(t->parent, status);
}

fr_status fr_link_try(fr_ctx *ctx, fr_group *group, fr_device *device, int seconds)
{
    trial t = {.ctx = ctx, .parent = group, .device = device, .seconds = seconds};
    fr_status status = fr_group_agree(group, fr_group_split_trial(group, &t.group));
    if (status != FR_OK) {
        return status;
    }
    list_attempts(&t);
    status = fr_group_agree(group, prepare(&t));
    if (status == FR_OK) {
        status = agree_on(&t, judge(ctx, exchange(&t)));
    }
    finish(&t);
    return status;
}
