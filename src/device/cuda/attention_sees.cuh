/*
 * attention_sees.cuh - what a query sees in the kernels of attention: runs of keys, their scores, and tiles of query rows.
 */
#ifndef FR_DEVICE_CUDA_ATTENTION_SEES_CUH
#define FR_DEVICE_CUDA_ATTENTION_SEES_CUH

#include "device/cuda/attention_tile.cuh"
#include "device/cuda/simd_one.cuh"

#include "base/elementary_formula.h"

static const double ATTEND_LOG2E = 1.44269504088896340736;

/** The score of a product: capped, and with what its distance s - t adds. */
FR_DEVICE float attend_score(const fr_attend &a, float product, float slope,
                             int distance, float *derivative)
{
    float score = product;
    if (a.cap != 0.0F) {
        float t = v8_tanh(v8_set(product * (1.0F / a.cap))).lane;
        score = a.cap * t;
        *derivative = fr_fma(-t, t, 1.0F);
    }
    if (a.slopes_H != nullptr) {
        score = fr_fma(slope, static_cast<float>(distance), score);
    }
    return score;
}

/** log2(e) times the slope of a head. */
FR_DEVICE float attend_slope(const fr_attend &a, int head)
{
    return a.slopes_H == nullptr
               ? 0.0F
               : static_cast<float>(ATTEND_LOG2E *
                                    static_cast<double>(a.slopes_H[head]));
}

/* Between the LANES threads of a row, which are neighbours in a warp. */
template <int LANES> FR_DEVICE float attend_largest(float x)
{
    FR_UNROLL
    for (int mask = LANES / 2; mask > 0; mask /= 2) {
        x = v8_max(v8_set(x), v8_set(fr_from_xor(x, mask))).lane;
    }
    return x;
}
template <int LANES> FR_DEVICE float attend_sum(float x)
{
    FR_UNROLL
    for (int mask = LANES / 2; mask > 0; mask /= 2) {
        x += fr_from_xor(x, mask);
    }
    return x;
}

/** m ln 2 + ln l, by the CPU's formula; l >= 1, infinite or NaN. */
FR_DEVICE float attend_lse(float largest, float sum)
{
    double l = static_cast<double>(sum);
    return static_cast<float>(static_cast<double>(largest) * 0.69314718055994530942 +
                              (sum < INFINITY ? fr_ln_of_positive(l) : l));
}

/** Whether the query `token` of the segment sees key `index` of the run. */
FR_DEVICE bool attend_sees(const fr_attend_run &run, int token, int index)
{
    int back = run.lead + token - index;
    return (run.causal == 0 || back >= 0) && (run.window == 0 || back < run.window);
}

/** A tile of query rows as a block has it. */
struct attend_query {
    const fr_attend_segment *segment;
    int token; /* of the first row, in the segment */
    int last;  /* token of the last row */
    int head;  /* of the first row, in the group */
    int n;     /* rows */
};

FR_DEVICE attend_query attend_query_of(const fr_attend &a,
                                       const fr_attend_segment *segment, int first,
                                       int rows)
{
    attend_query out;
    out.segment = segment;
    out.token = first / a.group;
    out.head = first % a.group;
    out.n = attend_least(rows, segment->q_count * a.group - first);
    out.last = out.token + (out.head + out.n - 1) / a.group;
    return out;
}

/** The token, from the tile's first one on, and the head of a row; of the last row for those beyond. */
FR_DEVICE attend_pair attend_pair_within(const fr_attend &a, const attend_query &query,
                                         int row)
{
    return attend_pair_of(a.group, query.head, attend_least(row, query.n - 1));
}

/** The tile's rows in a buffer of query rows. */
template <typename T>
FR_DEVICE attend_rows<T> attend_rows_of(const fr_attend &a, const attend_query &query,
                                        const void *buffer, int64_t stride)
{
    attend_rows<T> out;
    out.at = static_cast<const T *>(buffer) +
             (query.segment->q_first + query.token) * stride +
             attend_kv_head() * a.group * a.head_dim;
    out.stride = stride;
    out.group = a.group;
    out.head = query.head;
    out.n = query.n;
    return out;
}

/** n keys from row `first` of a buffer on, for the block's head. */
template <typename T>
FR_DEVICE attend_rows<T> attend_keys_of(const fr_attend &a, const void *buffer,
                                        int64_t stride, int64_t first, int n)
{
    attend_rows<T> out;
    out.at =
        static_cast<const T *>(buffer) + first * stride + attend_kv_head() * a.head_dim;
    out.stride = stride;
    out.group = 1;
    out.head = 0;
    out.n = n;
    return out;
}

/** Steps [begin, end) of what passes by a tile, none if begin >= end. */
struct attend_steps {
    int begin;
    int end;
};
/** Of a run's keys that a query tile sees: counted from the run's first key. */
template <int STEP>
FR_DEVICE attend_steps attend_steps_of(const fr_attend_run &run,
                                       const attend_query &query)
{
    attend_steps out = {0, run.count};
    int first = run.lead + query.token - run.window + 1;
    if (run.window > 0 && first > 0) {
        out.begin = first / STEP * STEP;
    }
    if (run.causal != 0 && run.lead + query.last + 1 < run.count) {
        out.end = run.lead + query.last + 1;
    }
    return out;
}

/** Of a segment's query rows that see keys of a tile: counted from the segment's first row. */
template <int STEP>
FR_DEVICE attend_steps attend_view_steps(const fr_attend &a, const fr_attend_keys &keys,
                                         const fr_attend_view &view)
{
    const fr_attend_segment *segment = a.segments + view.segment;
    const fr_attend_run &run = segment->runs[view.run];
    int index = keys.index + view.shift;
    int first = index > 0 ? index : 0;
    int end = attend_least(index + keys.count, run.count);
    int token = run.causal != 0 && first > run.lead ? first - run.lead : 0;
    int tokens = first < end ? segment->q_count : 0;
    if (run.window > 0) {
        tokens = attend_least(tokens, end - 1 - run.lead + run.window);
    }
    attend_steps out = {token * a.group / STEP * STEP, tokens * a.group};
    return out;
}

/** n keys of a run from `start` on. */
struct attend_step {
    const fr_attend_run *run;
    int start;
    int n;
};
FR_DEVICE attend_step attend_step_of(const fr_attend_run &run, int start, int end)
{
    attend_step out = {&run, start, attend_least(FR_ATTEND_STEP, end - start)};
    return out;
}

/** A chunk of a step's keys (or values) passes by. */
template <typename T>
FR_DEVICE void attend_pass_keys(const fr_attend &a, const attend_step &step,
                                bool values, int chunk, float *to)
{
    const fr_attend_run &run = *step.run;
    if (run.prefix_k != nullptr) {
        int64_t stride = static_cast<int64_t>(a.n_kv_heads) * a.head_dim;
        attend_pass(a,
                    attend_keys_of<float>(a, values ? run.prefix_v : run.prefix_k,
                                          stride, step.start, step.n),
                    chunk, to);
    } else {
        attend_pass(a,
                    attend_keys_of<T>(a, values ? a.v : a.k, a.kv_stride,
                                      run.first + step.start, step.n),
                    chunk, to);
    }
}

#endif
