/*
 * sample_lists.cuh - the candidates of a row, and lists of them by the digits of their keys: selected and sorted by a block.
 *
 * Lists are walked by warps: each has a part of its own, of which it takes 32 at a time in order. So places of equal digits are
 * in the order of the list without a sum over the block for each step.
 */
#ifndef FR_DEVICE_CUDA_SAMPLE_LISTS_CUH
#define FR_DEVICE_CUDA_SAMPLE_LISTS_CUH

#include "device/cuda/kernels_sample.h"

#include "device/cuda/numbers.cuh"

/* The bits of floats ascend with their size where the sign is 0 and fall where it is 1. */
FR_DEVICE uint32_t key_of(float logit)
{
    uint32_t bits = fr_bits(logit + 0.0F); /* -0 becomes 0, which it equals */
    return (bits & 0x80000000U) != 0 ? bits : ~bits & 0x7fffffffU;
}

FR_DEVICE float logit_of(uint32_t key)
{
    return fr_of_bits((key & 0x80000000U) != 0 ? key : ~key & 0x7fffffffU);
}

FR_DEVICE bool is_finite(float x)
{
    return (fr_bits(x) & 0x7f800000U) != 0x7f800000U;
}

typedef struct row_of {
    const float *logits;
    const uint8_t *never;
} row_of;

FR_DEVICE bool may_come(const row_of &row, int64_t id)
{
    return row.never == NULL || row.never[id] == 0;
}

/* What a list is made from. Each kind says of number i whether it takes part, what it is and which digit it goes by. */

/* The candidates of a row whose first digits are those of `prefix`, by the next digit. */
typedef struct by_prefix {
    row_of row;
    uint32_t prefix;
    int shift; /* of the digit */
} by_prefix;

FR_DEVICE bool take(const by_prefix &from, int64_t i, fr_candidate *out,
                    uint32_t *digit)
{
    out->key = key_of(from.row.logits[i]);
    out->id = (int32_t)i;
    *digit = out->key >> from.shift & (FR_SAMPLE_DIGITS - 1);
    uint64_t above = (uint64_t)out->key >> (from.shift + FR_SAMPLE_DIGIT_BITS);
    return above == from.prefix && may_come(from.row, i);
}

/* The candidates of a row up to a key: those of the key itself come last. */
typedef struct up_to {
    row_of row;
    uint32_t key;
} up_to;

FR_DEVICE bool take(const up_to &from, int64_t i, fr_candidate *out, uint32_t *digit)
{
    out->key = key_of(from.row.logits[i]);
    out->id = (int32_t)i;
    *digit = out->key < from.key ? 0 : 1;
    return out->key <= from.key && may_come(from.row, i);
}

/* All of a list, by a digit. */
typedef struct by_digit {
    const fr_candidate *list;
    int shift;
} by_digit;

FR_DEVICE bool take(const by_digit &from, int64_t i, fr_candidate *out, uint32_t *digit)
{
    *out = from.list[i];
    *digit = out->key >> from.shift & (FR_SAMPLE_DIGITS - 1);
    return true;
}

/* This warp's part of n. */
typedef struct span {
    int64_t first;
    int64_t end;
} span;

FR_DEVICE span span_of_warp(int64_t n)
{
    int64_t warps = fr_threads() / FR_WARP;
    int64_t length = (n + warps * FR_WARP - 1) / (warps * FR_WARP) * FR_WARP;
    int64_t first = fr_thread() / FR_WARP * length;
    span out = {first, first + length < n ? first + length : n};
    return out;
}

/* One of 32 that a warp takes at a time. */
typedef struct taken {
    fr_candidate candidate;
    uint32_t digit;
    uint32_t peers; /* lanes with the same digit */
    bool is;        /* there is one, and it takes part */
} taken;

template <typename S> FR_DEVICE taken take_one(const S &from, int64_t i, int64_t end)
{
    taken t = {{0, 0}, 0, 0, false};
    t.is = i < end && take(from, i, &t.candidate, &t.digit);
    t.peers = fr_ballot(t.is);
    for (int bit = 0; bit < FR_SAMPLE_DIGIT_BITS; bit++) {
        bool set = (t.digit >> bit & 1) != 0;
        uint32_t lanes = fr_ballot(set);
        t.peers &= set ? lanes : ~lanes;
    }
    return t;
}

/* How many of its peers are in lanes below. */
FR_DEVICE int32_t rank_of(const taken &t)
{
    uint32_t below = ((uint32_t)1 << (fr_thread() % FR_WARP)) - 1;
    return fr_count_bits(t.peers & below);
}

FR_DEVICE int32_t *count_of_warp(fr_sample_shared *shared)
{
    return shared->count + fr_thread() / FR_WARP * FR_SAMPLE_DIGITS;
}

/* How often each digit comes, in each warp's part. */
template <typename S>
FR_DEVICE void count_digits(const S &from, int64_t n, fr_sample_shared *shared)
{
    int lane = fr_thread() % FR_WARP;
    int32_t *count = count_of_warp(shared);
    span own = span_of_warp(n);
    for (int d = lane; d < FR_SAMPLE_DIGITS; d += FR_WARP) {
        count[d] = 0;
    }
    fr_sync_warp();
    for (int64_t at = own.first; at < own.end; at += FR_WARP) {
        taken t = take_one(from, at + lane, own.end);
        if (t.is && rank_of(t) == 0) {
            count[t.digit] += fr_count_bits(t.peers);
        }
        fr_sync_warp();
    }
    fr_sync();
}

/* What comes before each digit, into `total`; by a warp, whose lanes have 8 digits each. */
FR_DEVICE void sum_totals(int32_t *total)
{
    enum { A_LANE = FR_SAMPLE_DIGITS / FR_WARP };
    int lane = fr_thread() % FR_WARP;
    int32_t own = 0;
    for (int i = 0; i < A_LANE; i++) {
        own += total[lane * A_LANE + i];
    }
    int32_t before = own;
    for (int step = 1; step < FR_WARP; step *= 2) {
        int32_t other = fr_from_lane(before, lane - step);
        before += lane >= step ? other : 0;
    }
    before -= own;
    for (int i = 0; i < A_LANE; i++) {
        int32_t here = total[lane * A_LANE + i];
        total[lane * A_LANE + i] = before;
        before += here;
    }
}

/* From counts to places: `total` holds what comes before a digit, `count` what comes before a warp's part of that. */
FR_DEVICE void count_to_places(fr_sample_shared *shared)
{
    int warps = fr_threads() / FR_WARP;
    for (int d = fr_thread(); d < FR_SAMPLE_DIGITS; d += fr_threads()) {
        int32_t sum = 0;
        for (int warp = 0; warp < warps; warp++) {
            int32_t *count = shared->count + warp * FR_SAMPLE_DIGITS + d;
            int32_t here = *count;
            *count = sum;
            sum += here;
        }
        shared->total[d] = sum;
    }
    fr_sync();
    if (fr_thread() < FR_WARP) {
        sum_totals(shared->total);
    }
    fr_sync();
}

/* All of `from` by their digits, those of a digit in their order; only the first `room` of them. */
template <typename S>
FR_DEVICE void place_by_digit(const S &from, int64_t n, int64_t room, fr_candidate *to,
                              fr_sample_shared *shared)
{
    int lane = fr_thread() % FR_WARP;
    int32_t *count = count_of_warp(shared);
    span own = span_of_warp(n);
    count_digits(from, n, shared);
    count_to_places(shared);
    for (int64_t at = own.first; at < own.end; at += FR_WARP) {
        taken t = take_one(from, at + lane, own.end);
        int32_t rank = rank_of(t);
        int64_t place = (int64_t)shared->total[t.digit] + count[t.digit] + rank;
        if (t.is && place < room) {
            to[place] = t.candidate;
        }
        fr_sync_warp();
        if (t.is && rank == 0) {
            count[t.digit] += fr_count_bits(t.peers);
        }
        fr_sync_warp();
    }
    fr_sync();
}

/* The key of the candidate number `kept`, from 1 on, in the order of keys. */
FR_DEVICE uint32_t key_number(const row_of &row, int64_t vocab, int64_t kept,
                              fr_sample_shared *shared)
{
    by_prefix from = {row, 0, 32};
    while (from.shift > 0) {
        from.shift -= FR_SAMPLE_DIGIT_BITS;
        count_digits(from, vocab, shared);
        count_to_places(shared);
        for (int d = fr_thread(); d < FR_SAMPLE_DIGITS; d += fr_threads()) {
            bool last = d == FR_SAMPLE_DIGITS - 1;
            if (shared->total[d] < kept && (last || kept <= shared->total[d + 1])) {
                shared->digit = d;
                shared->below = shared->total[d];
            }
        }
        fr_sync();
        from.prefix = from.prefix << FR_SAMPLE_DIGIT_BITS | (uint32_t)shared->digit;
        kept -= shared->below;
        fr_sync();
    }
    return from.prefix;
}

#endif
