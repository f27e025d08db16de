/* Clocks and links between ranks, measured by messages.
 *
 * Clocks: rank 0 exchanges the time of day with each rank in turn. Of PINGS exchanges that with the shortest round
 * trip counts; the other's clock is taken to be read in the middle of it, so the error is at most half of that trip.
 *
 * Links: every pair is measured once, in the rounds of a tournament, so that each rank has one partner a round and no
 * measurement disturbs another of the same rank. In a pair the lower rank leads: it measures the latency and sends
 * first, then the roles change, and at the end it measures the latency again: other load often lasts longer than the
 * exchanges of one time. The best counts, since load can only make it worse.
 *
 * Time is bounded twice: a transfer that has taken ENOUGH_S is not repeated, and after BUDGET_S no round begins. All
 * ranks agree on that after each round, for a rank that stopped alone would strand its next partner.
 */
#define _POSIX_C_SOURCE 200809L
#include "train/preflight/preflight_impl.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PINGS = 20, TRANSFERS = 3, TRANSFER_BYTES = 2 << 20 };
/* 2 MiB is far beyond the sizes that MPI sends eagerly; 20 exchanges and 3 transfers find a quiet moment. */
static const double ENOUGH_S = 0.25;
static const double BUDGET_S = 12.0;

static double wall_seconds(void)
{
    return 1e-9 * (double)fr_clock_wall_ns();
}

/* This side of `PINGS` exchanges of the time of day; the leader keeps the shortest round trip and, from the same
 * exchange, the peer's clock less its own. */
static fr_status exchange_times(fr_group *world, int peer, bool leads, double *trip_s,
                                double *offset_s)
{
    *trip_s = 1e300;
    for (int i = 0; i < PINGS; i++) {
        double theirs = 0.0;
        double sent = wall_seconds();
        double start = fr_clock_seconds();
        if (!leads) {
            FR_TRY(fr_group_receive(world, peer, FR_TAG_PREFLIGHT_LINK, &theirs,
                                    sizeof theirs));
            sent = wall_seconds();
        }
        FR_TRY(fr_group_send(world, peer, FR_TAG_PREFLIGHT_LINK, &sent, sizeof sent));
        if (leads) {
            FR_TRY(fr_group_receive(world, peer, FR_TAG_PREFLIGHT_LINK, &theirs,
                                    sizeof theirs));
            double trip = fr_clock_seconds() - start;
            if (trip < *trip_s) {
                *trip_s = trip;
                *offset_s = theirs - (sent + 0.5 * trip);
            }
        }
    }
    return FR_OK;
}

fr_status fr_preflight_clocks(fr_ctx *ctx, fr_group *world, fr_preflight_rank *mine)
{
    (void)ctx;
    int me = fr_group_rank(world);
    double trip = 0.0;
    mine->clock_s = 0.0;
    for (int peer = 1; peer < fr_group_size(world); peer++) {
        double offset = 0.0;
        if (me == 0) {
            FR_TRY(exchange_times(world, peer, true, &trip, &offset));
            FR_TRY(fr_group_send(world, peer, FR_TAG_PREFLIGHT_LINK, &offset,
                                 sizeof offset));
        } else if (me == peer) {
            FR_TRY(exchange_times(world, 0, false, &trip, &offset));
            FR_TRY(fr_group_receive(world, 0, FR_TAG_PREFLIGHT_LINK, &mine->clock_s,
                                    sizeof offset));
        }
    }
    return FR_OK;
}

/* Messages of one direction: a length (0: no more), as many bytes, an answer. */
static fr_status send_some(fr_group *world, int peer, char *buffer, double *mb_per_s)
{
    double begin = fr_clock_seconds();
    for (int i = 0; i < TRANSFERS && fr_clock_seconds() - begin < ENOUGH_S; i++) {
        int64_t bytes = TRANSFER_BYTES;
        char answer = 0;
        FR_TRY(fr_group_send(world, peer, FR_TAG_PREFLIGHT_LINK, &bytes, sizeof bytes));
        double start = fr_clock_seconds();
        FR_TRY(fr_group_send(world, peer, FR_TAG_PREFLIGHT_LINK, buffer, bytes));
        FR_TRY(fr_group_receive(world, peer, FR_TAG_PREFLIGHT_LINK, &answer,
                                sizeof answer));
        double rate = (double)bytes / 1e6 / (fr_clock_seconds() - start);
        *mb_per_s = rate > *mb_per_s ? rate : *mb_per_s;
    }
    int64_t none = 0;
    return fr_group_send(world, peer, FR_TAG_PREFLIGHT_LINK, &none, sizeof none);
}

/* The sender alone decides when to stop, by a length of 0, so both sides always agree on the number of messages. */
static fr_status receive_some(fr_group *world, int peer, char *buffer)
{
    for (;;) {
        int64_t bytes = 0;
        char answer = 1;
        FR_TRY(
            fr_group_receive(world, peer, FR_TAG_PREFLIGHT_LINK, &bytes, sizeof bytes));
        if (bytes == 0) {
            return FR_OK;
        }
        FR_TRY(fr_group_receive(world, peer, FR_TAG_PREFLIGHT_LINK, buffer, bytes));
        FR_TRY(
            fr_group_send(world, peer, FR_TAG_PREFLIGHT_LINK, &answer, sizeof answer));
    }
}

/* Both ways, the leader's first. */
static fr_status measure_rates(fr_group *world, int peer, bool leads, char *buffer,
                               double *mb_per_s)
{
    if (leads) {
        FR_TRY(send_some(world, peer, buffer, mb_per_s));
        return receive_some(world, peer, buffer);
    }
    FR_TRY(receive_some(world, peer, buffer));
    return send_some(world, peer, buffer, mb_per_s);
}

static fr_status measure_pair(fr_group *world, int peer, char *buffer,
                              fr_preflight_link *link)
{
    bool leads = fr_group_rank(world) < peer;
    double before = 0.0;
    double after = 0.0;
    double offset = 0.0;
    FR_TRY(exchange_times(world, peer, leads, &before, &offset));
    FR_TRY(measure_rates(world, peer, leads, buffer, &link->mb_per_s));
    FR_TRY(exchange_times(world, peer, leads, &after, &offset));
    if (leads) {
        link->latency_us = 0.5e6 * fmin(before, after);
    }
    return FR_OK;
}

/* Partner of `me` in a round of a round-robin tournament of n players (even): the last player keeps its seat, the
 * others move around a circle. */
static int partner_of(int me, int round, int n)
{
    int circle = n - 1;
    if (me == circle) {
        for (int i = 0; i < circle; i++) {
            if (2 * i % circle == round) {
                return i;
            }
        }
    }
    int partner = (round - me + circle) % circle;
    return partner == me ? circle : partner;
}

/* With an odd number of ranks one player more is added; its partner pauses in that round. */
fr_status fr_preflight_links(fr_ctx *ctx, fr_group *world, fr_preflight_link *links,
                             bool *all)
{
    int n_ranks = fr_group_size(world);
    int n = n_ranks + n_ranks % 2;
    double begin = fr_clock_seconds();
    char *buffer = NULL;
    fr_status status = fr_alloc(ctx, TRANSFER_BYTES, 1, &buffer);
    int64_t go_on = 1;
    status = fr_group_agree(world, status);
    for (int round = 0; round < n - 1 && status == FR_OK && go_on; round++) {
        int peer = partner_of(fr_group_rank(world), round, n);
        if (peer < n_ranks) { /* else: no partner in this round */
            status = measure_pair(world, peer, buffer, &links[peer]);
        }
        go_on = fr_clock_seconds() - begin < BUDGET_S || round == n - 2;
        if (status == FR_OK) {
            status = fr_group_allreduce(world, FR_MIN, &go_on, 1);
        }
    }
    *all = go_on == 1;
    free(buffer);
    return status;
}
