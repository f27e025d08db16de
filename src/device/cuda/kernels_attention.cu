/*
 * kernels_attention.cu - attention, forward: the algorithm of cpu/attention.c.
 *
 * A block has a tile of query rows and passes once over the keys that they see, FR_ATTEND_STEP at a time, with a running softmax.
 * For a row, each of its 16 threads has the maximum m and the sum l, and four numbers of each chunk of the weighted
 * sum o of values; the weights of a step lie in shared memory. Steps are counted from the first key of a run, so a row's
 * bits depend on its segment alone. A step that hides all its keys from a row leaves m, l and o as they are.
 */
#include "device/cuda/attention_sees.cuh"

namespace
{

enum { LANES = 16 }; /* threads that have a row */

/** Shared memory of a block; `passing` is a chunk of keys or of values. */
struct forward_parts {
    float *q;
    float *passing;
    float *weights;
    float *slopes;
    int *tokens;
};

template <int CHUNKS> FR_DEVICE forward_parts parts_of(void)
{
    enum { ROWS = FR_ATTEND_ROWS(CHUNKS) };
    forward_parts out;
    out.q = fr_shared<float>();
    out.passing = out.q + ROWS * FR_ATTEND_ROW_LD(CHUNKS);
    out.weights = out.passing + FR_ATTEND_STEP * FR_ATTEND_CHUNK_LD;
    out.slopes = out.weights + ROWS * FR_ATTEND_STEP_LD;
    out.tokens = reinterpret_cast<int *>(out.slopes + ROWS);
    return out;
}

/** The tile, and what a thread knows of its N rows. */
template <int CHUNKS> struct forward_state {
    enum { N = FR_ATTEND_ROWS(CHUNKS) / 8 };
    attend_query query;
    forward_parts parts;
    float largest[N];
    float sum[N];
    float o[CHUNKS][N][4];
};

/* Products of a row with the keys `lane` and `lane` + 16 become weights, relative to the row's maximum so far. Returns the factor
 * by which what was summed before has to be scaled down to it. */
template <int CHUNKS>
FR_DEVICE float soften_row(const fr_attend &a, const attend_step &step, int i,
                           float (&product)[2], forward_state<CHUNKS> &state)
{
    const fr_attend_run &run = *step.run;
    int row = attend_first_row(state.N) + i;
    int token = state.query.token + state.parts.tokens[row];
    float unused = 1.0F;
    bool seen[2];
    FR_UNROLL
    for (int e = 0; e < 2; e++) {
        int column = attend_lane() + 16 * e;
        int index = step.start + column;
        seen[e] = column < step.n && attend_sees(run, token, index);
        product[e] = seen[e] ? attend_score(a, product[e], state.parts.slopes[row],
                                            index - run.lead - token, &unused)
                             : -INFINITY;
    }
    float before = state.largest[i];
    float now = v8_max(v8_set(product[0]), v8_set(product[1])).lane;
    now = v8_max(v8_set(before), v8_set(attend_largest<LANES>(now))).lane;
    float total = 0.0F;
    FR_UNROLL
    for (int e = 0; e < 2; e++) {
        float weight = seen[e] ? v8_exp2(v8_set(product[e] - now)).lane : 0.0F;
        state.parts.weights[row * FR_ATTEND_STEP_LD + attend_lane() + 16 * e] = weight;
        total += weight;
    }
    /* as long as a row has seen no key, both are -infinity */
    float factor = now == before ? 1.0F : v8_exp2(v8_set(before - now)).lane;
    state.largest[i] = now;
    state.sum[i] = state.sum[i] * factor + attend_sum<LANES>(total);
    return factor;
}

/* Weights of the step, and o scaled down to the new maxima. */
template <int CHUNKS>
FR_DEVICE void soften(const fr_attend &a, const attend_step &step,
                      float (&products)[forward_state<CHUNKS>::N][2],
                      forward_state<CHUNKS> &state)
{
    FR_UNROLL
    for (int i = 0; i < state.N; i++) {
        float factor = soften_row<CHUNKS>(a, step, i, products[i], state);
        FR_UNROLL
        for (int c = 0; c < CHUNKS; c++) {
            FR_UNROLL
            for (int e = 0; e < 4; e++) {
                state.o[c][i][e] *= factor;
            }
        }
    }
    fr_sync_warp();
}

/* Products with the keys, weights, weighted values on top of o. */
template <typename T, int CHUNKS>
FR_DEVICE void take_step(const fr_attend &a, const attend_step &step,
                         forward_state<CHUNKS> &state)
{
    enum { N = forward_state<CHUNKS>::N };
    const forward_parts &parts = state.parts;
    float products[N][2] = {};
    bool has_rows = attend_has_rows(N, state.query.n);
    for (int c = 0; c < CHUNKS && c * FR_ATTEND_CHUNK < a.head_dim; c++) {
        attend_pass_keys<T>(a, step, false, c, parts.passing);
        if (has_rows) {
            attend_multiply<N>(attend_depth(a, c), parts.q + c * FR_ATTEND_CHUNK,
                               FR_ATTEND_ROW_LD(CHUNKS), parts.passing, products);
        }
    }
    if (has_rows) {
        soften<CHUNKS>(a, step, products, state);
    }
    for (int c = 0; c < CHUNKS && c * FR_ATTEND_CHUNK < a.head_dim; c++) {
        attend_pass_keys<T>(a, step, true, c, parts.passing);
        if (has_rows && 4 * attend_lane() < attend_depth(a, c)) {
            attend_add_chunk<N, CHUNKS>(c, step.n, parts.weights, parts.passing,
                                        state.o);
        }
    }
}

/* o / l and m ln 2 + ln l. */
template <typename T, int CHUNKS>
FR_DEVICE void finish(const fr_attend &a, const forward_state<CHUNKS> &state)
{
    const attend_query &query = state.query;
    FR_UNROLL
    for (int i = 0; i < state.N; i++) {
        int row = attend_first_row(state.N) + i;
        if (row < query.n) {
            attend_pair pair = attend_pair_of(a.group, query.head, row);
            int64_t at =
                (query.segment->q_first + query.token + pair.token) * a.n_heads +
                attend_kv_head() * a.group + pair.head;
            float factor = 1.0F / state.sum[i];
            FR_UNROLL
            for (int c = 0; c < CHUNKS; c++) {
                attend_write(a, state.o[c][i], factor,
                             c * FR_ATTEND_CHUNK + 4 * attend_lane(),
                             static_cast<T *>(a.o_THK) + at * a.head_dim);
            }
            if (a.lse_TH != nullptr && attend_lane() == 0) {
                a.lse_TH[at] = attend_lse(state.largest[i], state.sum[i]);
            }
        }
    }
}

template <typename T, int CHUNKS> FR_DEVICE void attend(const fr_attend &a)
{
    enum { ROWS = FR_ATTEND_ROWS(CHUNKS) };
    fr_attend_tile tile = a.tiles[fr_block()];
    forward_state<CHUNKS> state = {};
    state.parts = parts_of<CHUNKS>();
    state.query =
        attend_query_of(a, a.segments + tile.segment, tile.index * ROWS, ROWS);
    attend_keep<CHUNKS>(a, attend_rows_of<T>(a, state.query, a.q, a.q_stride), ROWS,
                        a.scale, state.parts.q);
    if (fr_thread() < ROWS) {
        attend_pair pair = attend_pair_within(a, state.query, fr_thread());
        state.parts.tokens[fr_thread()] = pair.token;
        state.parts.slopes[fr_thread()] =
            attend_slope(a, attend_kv_head() * a.group + pair.head);
    }
    FR_UNROLL
    for (int i = 0; i < state.N; i++) {
        state.largest[i] = -INFINITY;
    }
    for (int r = 0; r < state.query.segment->n_runs; r++) {
        const fr_attend_run &run = state.query.segment->runs[r];
        attend_steps steps = attend_steps_of<FR_ATTEND_STEP>(run, state.query);
        for (int start = steps.begin; start < steps.end; start += FR_ATTEND_STEP) {
            take_step<T, CHUNKS>(a, attend_step_of(run, start, steps.end), state);
        }
    }
    finish<T, CHUNKS>(a, state);
}

template <typename T> FR_DEVICE void attend_64_body(const fr_attend &a)
{
    attend<T, 1>(a);
}
template <typename T> FR_DEVICE void attend_128_body(const fr_attend &a)
{
    attend<T, 2>(a);
}
template <typename T> FR_DEVICE void attend_256_body(const fr_attend &a)
{
    attend<T, 4>(a);
}
template <typename T> FR_DEVICE void attend_512_body(const fr_attend &a)
{
    attend<T, 8>(a);
}

} // namespace

ATTEND_KERNEL(attend_64, fr_attend, 4)
ATTEND_KERNEL(attend_128, fr_attend, 3)
ATTEND_KERNEL(attend_256, fr_attend, 4)
ATTEND_KERNEL(attend_512, fr_attend, 4)
