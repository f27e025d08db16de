/*
 * The choice of tokens: the same ids as on the CPU (cpu/sample.c), since all that decides is integers, sums in the order of the
 * candidates, and the exponential by the CPU's formula. A block has a row.
 *
 * Order of a row: look whether its logits are finite and which may come; with top-k find the key of the last candidate that is
 * kept, digit by digit from above; put the candidates into a list; sort it by digits from below; add up their weights; look up
 * the share that the uniform number names.
 */
#include "device/cuda/kernels_sample.h"

#include "device/cuda/sample_lists.cuh"
#include "device/cuda/sample_sums.cuh"

enum { NO_TOKEN = -1 };

/* What one look at the row shows, the same in all threads. */
typedef struct survey {
    uint64_t best; /* key, then id: the least is the likeliest with the lowest id */
    int64_t allowed;
    bool finite;
} survey;

FR_DEVICE survey survey_of_thread(const row_of &row, int64_t vocab)
{
    survey s = {~(uint64_t)0, 0, true};
    for (int64_t i = fr_thread(); i < vocab; i += fr_threads()) {
        float logit = row.logits[i];
        s.finite = s.finite && is_finite(logit);
        if (may_come(row, i)) {
            uint64_t own = (uint64_t)key_of(logit) << 32 | (uint64_t)i;
            s.best = own < s.best ? own : s.best;
            s.allowed++;
        }
    }
    return s;
}

FR_DEVICE survey survey_of(const row_of &row, int64_t vocab, fr_sample_shared *shared)
{
    survey s = survey_of_thread(row, vocab);
    int warp = fr_thread() / FR_WARP;
    for (int mask = FR_WARP / 2; mask > 0; mask /= 2) {
        uint64_t other = fr_from_xor(s.best, mask);
        s.best = other < s.best ? other : s.best;
        s.allowed += fr_from_xor(s.allowed, mask);
    }
    shared->best[warp] = s.best;
    shared->allowed[warp] = (int32_t)s.allowed;
    shared->finite[warp] = fr_ballot(!s.finite) == 0 ? 1 : 0;
    fr_sync();
    survey all = {~(uint64_t)0, 0, true};
    for (int i = 0; i < fr_threads() / FR_WARP; i++) {
        all.best = shared->best[i] < all.best ? shared->best[i] : all.best;
        all.allowed += shared->allowed[i];
        all.finite = all.finite && shared->finite[i] != 0;
    }
    fr_sync();
    return all;
}

/* ---- the choice ----------------------------------------------------------------------------------- */

/* The first of n ascending sums that is not below `limit`, or above it; n: none. */
FR_DEVICE int64_t first_sum(const double *sums, int64_t n, double limit, bool above)
{
    int64_t low = 0;
    int64_t high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        bool is = above ? limit < sums[middle] : !(sums[middle] < limit);
        low = is ? low : middle + 1;
        high = is ? middle : high;
    }
    return low;
}

/* How many of the first n candidates weigh at least `limit`; weights fall, and the first is 1. */
FR_DEVICE int64_t count_weights(const weighing &w, int64_t n, double limit)
{
    int64_t low = 1;
    int64_t high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        bool is = weight_of(w, middle) >= limit;
        low = is ? middle + 1 : low;
        high = is ? high : middle;
    }
    return low;
}

/* top_p holds within what top_k kept; the likeliest candidate always stays. The first candidate whose sum passes the wanted
 * share is chosen; uniform * mass may round up to mass itself. */
FR_DEVICE int32_t choose(const weighing &w, double top_p, double min_p, double uniform)
{
    double total = w.sums[w.kept - 1];
    int64_t last = first_sum(w.sums, w.kept, top_p * total, false);
    last = last < w.kept ? last : w.kept - 1;
    if (min_p > 0) {
        last = count_weights(w, last + 1, min_p) - 1;
    }
    int64_t at = first_sum(w.sums, last + 1, uniform * w.sums[last], true);
    return w.sorted[at <= last ? at : last].id;
}

FR_DEVICE void draw(const fr_sample_arguments &a, const row_of &row, int64_t n,
                    int64_t allowed, fr_sample_shared *shared)
{
    enum { KEY_BITS = 32 };
    char *room = a.room + fr_block() * 2 * a.candidates * (int64_t)sizeof(fr_candidate);
    fr_candidate *list = reinterpret_cast<fr_candidate *>(room);
    fr_candidate *other = list + a.candidates;
    int64_t kept = a.top_k > 0 && a.top_k < allowed ? a.top_k : allowed;
    up_to from = {row, ~(uint32_t)0};
    if (kept < allowed) {
        from.key = key_number(row, a.vocab, kept, shared);
    }
    place_by_digit(from, a.vocab, kept, list, shared);
    for (int shift = 0; shift < KEY_BITS; shift += FR_SAMPLE_DIGIT_BITS) {
        by_digit digit = {list, shift};
        place_by_digit(digit, kept, kept, other, shared);
        fr_candidate *sorted = other;
        other = list;
        list = sorted;
    }
    weighing w = {list, reinterpret_cast<double *>(other), kept,
                  (double)logit_of(list[0].key), a.temperature};
    weigh(w, shared);
    if (fr_thread() == 0) {
        a.ids_N[n] = choose(w, a.top_p, a.min_p, a.uniform_N[n]);
    }
    fr_sync();
}

FR_KERNEL(sample_draw, fr_sample_arguments, FR_SAMPLE_THREADS)
{
    fr_sample_shared *shared = fr_shared<fr_sample_shared>();
    for (int64_t n = fr_block(); n < a.n_rows; n += fr_blocks()) {
        row_of row = {a.logits_NV + n * a.vocab, a.never_V};
        survey s = survey_of(row, a.vocab, shared);
        if (s.finite && s.allowed > 0) {
            draw(a, row, n, s.allowed, shared);
        } else if (fr_thread() == 0) {
            a.ids_N[n] = NO_TOKEN;
        }
    }
}

FR_KERNEL(sample_greedy, fr_sample_arguments, FR_SAMPLE_THREADS)
{
    fr_sample_shared *shared = fr_shared<fr_sample_shared>();
    for (int64_t n = fr_block(); n < a.n_rows; n += fr_blocks()) {
        row_of row = {a.logits_NV + n * a.vocab, a.never_V};
        survey s = survey_of(row, a.vocab, shared);
        if (fr_thread() == 0) {
            a.ids_N[n] =
                s.finite && s.allowed > 0 ? (int32_t)(uint32_t)s.best : NO_TOKEN;
        }
    }
}
