/* What goes over links of all kinds, also on a device that is late. */
#include "device/host.h"
#include "support/link_ends.h"

#include <stdlib.h>
#include <string.h>

static const fr_ends_mode MODES[] = {{FR_LINK_HOST, 0, 0},
                                     {FR_LINK_STAGED, 0, FR_ENDS_PIECE},
                                     {FR_LINK_STAGED, 8, FR_ENDS_PIECE},
                                     {FR_LINK_STAGED, 0, 0},
                                     {FR_LINK_DIRECT, 0, 0},
                                     {FR_LINK_DIRECT, 8, 0}};

/* ---- messages --------------------------------------------------------------------------------- */

/* The byte behind the message stays as it is. */
static void pass_along(const fr_ends *e, unsigned char *data, int64_t bytes)
{
    fr_transfer transfer = {NULL};
    memset(data, 0x55, (size_t)bytes + 1);
    if (e->rank > 0) {
        FR_ASSERT_OK(fr_link_receive_begin(e->link, e->rank - 1, FR_TAG_FORWARD, data,
                                           bytes, &transfer));
        fr_ends_join(e, &transfer);
        CU_ASSERT_EQUAL(fr_ends_unlike(data, bytes, (int)bytes), 0);
        CU_ASSERT_EQUAL(data[bytes], 0x55);
    } else {
        fr_ends_fill(data, bytes, (int)bytes);
    }
    if (e->rank + 1 < e->size) {
        FR_ASSERT_OK(fr_link_send_begin(e->link, e->rank + 1, FR_TAG_FORWARD, data,
                                        bytes, &transfer));
        fr_ends_join(e, &transfer);
    }
}

static void messages_of_all_sizes_go_through_all_ranks(void)
{
    static const int64_t SIZES[] = {0,
                                    1,
                                    FR_ENDS_PIECE - 1,
                                    FR_ENDS_PIECE,
                                    FR_ENDS_PIECE + 1,
                                    2 * FR_ENDS_PIECE,
                                    5 * FR_ENDS_PIECE + FR_ENDS_PIECE / 2};
    for (int m = 0; m < FR_N_CASES(MODES); m++) {
        fr_ends e;
        fr_ends_open(&MODES[m], &e);
        unsigned char *data = fr_ends_bytes(FR_ENDS_MAX_BYTES + 1);
        for (int i = 0; i < FR_N_CASES(SIZES); i++) {
            pass_along(&e, data, SIZES[i]);
        }
        if (MODES[m].piece == 0) {
            pass_along(&e, data, FR_LINK_PIECE_BYTES);
            pass_along(&e, data, FR_ENDS_MAX_BYTES);
        }
        free(data);
        fr_ends_close(&e);
    }
}

enum { N_AT_ONCE = 6, MOST = 1000 };

/* Of the n-th message of a direction: none is as long as another, and one is empty. */
static int64_t length_of(int n)
{
    return n * 173 % MOST;
}

/* All messages between this rank and a neighbour. */
typedef struct crowd {
    unsigned char *sent[N_AT_ONCE];
    unsigned char *got[N_AT_ONCE];
    fr_transfer sends[N_AT_ONCE];
    fr_transfer receives[N_AT_ONCE];
} crowd;

/* Sends go out before receives on one rank and after them on its neighbour. */
static void begin_crowd(const fr_ends *e, int peer, crowd *c)
{
    fr_tag out = peer > e->rank ? FR_TAG_FORWARD : FR_TAG_BACKWARD;
    fr_tag in = peer > e->rank ? FR_TAG_BACKWARD : FR_TAG_FORWARD;
    for (int i = 0; i < 2 * N_AT_ONCE; i++) {
        int n = i / 2;
        if ((i + e->rank) % 2 == 0) {
            c->sent[n] = fr_ends_bytes(MOST);
            fr_ends_fill(c->sent[n], MOST, 100 * e->rank + n);
            FR_ASSERT_OK(fr_link_send_begin(e->link, peer, out, c->sent[n],
                                            length_of(n), &c->sends[n]));
        } else {
            c->got[n] = fr_ends_bytes(MOST);
            FR_ASSERT_OK(fr_link_receive_begin(e->link, peer, in, c->got[n],
                                               length_of(n), &c->receives[n]));
        }
    }
}

static void end_crowd(const fr_ends *e, int peer, crowd *c)
{
    for (int n = N_AT_ONCE - 1; n >= 0; n--) {
        fr_ends_join(e, &c->receives[n]);
        CU_ASSERT_EQUAL(fr_ends_unlike(c->got[n], length_of(n), 100 * peer + n), 0);
        CU_ASSERT_EQUAL(c->got[n][length_of(n)], 0);
    }
    for (int n = 0; n < N_AT_ONCE; n++) {
        fr_ends_join(e, &c->sends[n]);
        free(c->sent[n]);
        free(c->got[n]);
    }
}

/* Forward and backward messages of both neighbours, all begun before the first is joined, and received last first. */
static void messages_under_way_at_once_keep_their_order(void)
{
    for (int m = 0; m < FR_N_CASES(MODES); m++) {
        for (int round = 0; round < 3; round++) {
            fr_ends e;
            crowd lower = {.sends = {{NULL}}};
            crowd upper = {.sends = {{NULL}}};
            fr_ends_open(&MODES[m], &e);
            if (e.rank > 0) {
                begin_crowd(&e, e.rank - 1, &lower);
            }
            if (e.rank + 1 < e.size) {
                begin_crowd(&e, e.rank + 1, &upper);
                end_crowd(&e, e.rank + 1, &upper);
            }
            if (e.rank > 0) {
                end_crowd(&e, e.rank - 1, &lower);
            }
            fr_ends_close(&e);
        }
    }
}

/* ---- sums ------------------------------------------------------------------------------------- */

static void begin_sum(const fr_ends *e, int64_t *values, int64_t n,
                      fr_transfer *transfer)
{
    for (int64_t i = 0; i < n; i++) {
        values[i] = (i + 1) * (e->rank + 1) + ((int64_t)1 << 58);
    }
    FR_ASSERT_OK(fr_link_sum_begin(e->link, fr_host_i64(values), n, transfer));
}

static int64_t count_wrong(const fr_ends *e, const int64_t *values, int64_t n)
{
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        wrong += values[i] !=
                 (i + 1) * e->size * (e->size + 1) / 2 + e->size * ((int64_t)1 << 58);
    }
    return wrong;
}

/* Two at once, tested and joined in turn. */
static void sums_are_exact_however_many_are_under_way(void)
{
    static const int64_t SIZES[] = {0, 1, 8, 9, 1001};
    static const fr_ends_mode *const LAST = &MODES[FR_N_CASES(MODES) - 1];
    int64_t *values = (int64_t *)(void *)fr_ends_bytes(2 * FR_ENDS_MAX_BYTES);
    for (const fr_ends_mode *m = MODES; m <= LAST; m++) {
        fr_ends e;
        fr_ends_mode mode = *m;
        mode.kind = fr_link_kind_of_sums(m->kind);
        fr_ends_open(&mode, &e);
        for (int i = 0; i < FR_N_CASES(SIZES); i++) {
            int64_t n = SIZES[i] * (m->piece == 0 ? 1000 : 1);
            int64_t *other = values + n;
            fr_transfer sums[2];
            bool is_done = false;
            begin_sum(&e, values, n, &sums[0]);
            begin_sum(&e, other, 3, &sums[1]);
            while (!is_done) {
                FR_ASSERT_OK(fr_link_test(e.link, &sums[1], &is_done));
            }
            CU_ASSERT_PTR_NULL(sums[1].handle);
            fr_ends_join(&e, &sums[0]);
            CU_ASSERT_EQUAL(count_wrong(&e, values, n), 0);
            CU_ASSERT_EQUAL(count_wrong(&e, other, 3), 0);
        }
        fr_ends_close(&e);
    }
    free(values);
}

static const fr_case CASES[] = {
    FR_CASE(messages_of_all_sizes_go_through_all_ranks),
    FR_CASE(messages_under_way_at_once_keep_their_order),
    FR_CASE(sums_are_exact_however_many_are_under_way),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("link", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
