/*
 * kernels_attention_tensor.cu - attention on tensor cores, forward: the algorithm of kernels_attention.cu, in the order that
 * attention_tensor.cuh describes.
 *
 * A block passes once over the keys that its query rows see, with a running softmax. Four lanes have a row: all know its maximum m so far, and
 * each the sum l of its own weights. Steps are counted from the first key of a run, so a row's bits depend on its segment
 * alone. A step that hides all its keys from a row leaves m, l and o as they are.
 */
#include "device/cuda/attention_tensor.cuh"

namespace
{

enum { LANES = 4 }; /* threads that have a row */

template <int DIM> struct forward {
    enum {
        ROWS = FR_ATTEND_TENSOR_ROWS(DIM),
        STEP = FR_ATTEND_TENSOR_STEP(DIM),
        TILES = ROWS / (16 * ATTEND_WARPS),
        CHUNKS = DIM / FR_CHUNK,
        N = STEP / 8
    };
    attend_query query;
    const fr_bf16 *q; /* the warp's rows */
    const fr_attend_row *rows;
    float largest[TILES][2];
    float sum[TILES][2];
    float o[TILES][CHUNKS][4];
};

/* Of capped or sloping scores one is computed after the other, as the numbers take turns at the first place: all at once
 * would take more registers and much more code. */
template <int N>
FR_DEVICE void score_in_turn(const fr_attend &a, int distance, float slope, int half,
                             float (&products)[N][4])
{
    float unused = 1.0F;
    FR_ROLLED
    for (int i = 0; i < 2 * N; i++) {
        float score = attend_score(a, products[0][2 * half], slope,
                                   distance + i / 2 * 8 + i % 2, &unused);
        FR_UNROLL
        for (int j = 0; j < 2 * N - 1; j++) {
            products[j / 2][2 * half + j % 2] =
                products[(j + 1) / 2][2 * half + (j + 1) % 2];
        }
        products[N - 1][2 * half + 1] = score;
    }
}

/* Products of a row become scores, -infinity for the keys that it does not see. `distance`: of the step's first key. Returns the
 * largest of this lane's. */
template <int N>
FR_DEVICE float score_row(const fr_attend &a, const attend_range &seen, int distance,
                          float slope, int half, float (&products)[N][4])
{
    float largest = -INFINITY;
    FR_UNROLL
    for (int i = 0; i < 2 * N; i++) {
        products[i / 2][2 * half + i % 2] *= a.scale;
    }
    if (a.cap != 0.0F || a.slopes_H != nullptr) {
        score_in_turn(a, distance + attend_tensor_column(), slope, half, products);
    }
    FR_UNROLL
    for (int i = 0; i < 2 * N; i++) {
        int column = i / 2 * 8 + attend_tensor_column() + i % 2;
        float *score = &products[i / 2][2 * half + i % 2];
        *score = column >= seen.low && column < seen.high ? *score : -INFINITY;
        largest = v8_max(v8_set(*score), v8_set(largest)).lane;
    }
    return largest;
}

/* The step's products become weights, and what was summed before is scaled down to the new maximum. */
template <int DIM>
FR_DEVICE void soften(const fr_attend &a, const attend_walk &walk, int tile, int half,
                      float (&products)[forward<DIM>::N][4], forward<DIM> &state)
{
    const fr_attend_run &run = state.query.segment->runs[walk.run];
    fr_attend_row row = state.rows[16 * tile + 8 * half];
    attend_range seen = attend_range_of(run, row.token);
    seen.low -= walk.start;
    seen.high -= walk.start;
    float largest = score_row(a, seen, walk.start - run.lead - row.token, row.slope,
                              half, products);
    float before = state.largest[tile][half];
    float now = v8_max(v8_set(before), v8_set(attend_largest<LANES>(largest))).lane;
    /* as long as a row has seen no key, its maximum is -infinity */
    float base = now > -INFINITY ? now : 0.0F;
    float factor = fr_exp2_near(before - base);
    float total = 0.0F;
    FR_UNROLL
    for (int i = 0; i < 2 * forward<DIM>::N; i++) {
        float *product = &products[i / 2][2 * half + i % 2];
        *product = fr_exp2_near(*product - base);
        total += *product;
    }
    state.largest[tile][half] = now;
    state.sum[tile][half] = fr_fma(state.sum[tile][half], factor, total);
    FR_UNROLL
    for (int i = 0; i < 2 * forward<DIM>::CHUNKS; i++) {
        state.o[tile][i / 2][2 * half + i % 2] *= factor;
    }
}

template <int DIM>
FR_DEVICE void take_step(const fr_attend &a, const attend_walk &walk,
                         const fr_bf16 *stage, forward<DIM> &state)
{
    typedef forward<DIM> S;
    float products[S::TILES][S::N][4] = {};
    attend_tensor_multiply<S::CHUNKS>(state.q, stage, products);
    FR_UNROLL
    for (int i = 0; i < 2 * S::TILES; i++) {
        soften<DIM>(a, walk, i / 2, i % 2, products[i / 2], state);
    }
    attend_tensor_add<S::CHUNKS>(products, stage + S::STEP * DIM, 0, state.o);
}

/* o / l and m ln 2 + ln l. */
template <int DIM>
FR_DEVICE void finish(const fr_attend &a, const forward<DIM> &state, int row, int tile,
                      int half)
{
    const attend_query &query = state.query;
    bool is_row = row < query.n;
    attend_pair pair = attend_pair_within(a, query, row);
    int64_t at = (query.segment->q_first + query.token + pair.token) * a.n_heads +
                 attend_kv_head() * a.group + pair.head;
    float sum = attend_sum<LANES>(state.sum[tile][half]);
    attend_tensor_write(a, state.o[tile], half, 1.0F / sum, 0, is_row,
                        static_cast<fr_bf16 *>(a.o_THK) + at * DIM);
    if (is_row && a.lse_TH != nullptr && attend_tensor_column() == 0) {
        a.lse_TH[at] = attend_lse(state.largest[tile][half], sum);
    }
}

template <int DIM> FR_DEVICE void attend(const fr_attend &a)
{
    typedef forward<DIM> S;
    fr_attend_tile tile = a.tiles[fr_block()];
    S state = {};
    fr_bf16 *shared = fr_shared<fr_bf16>();
    int first = attend_warp() * S::TILES * 16;
    state.query =
        attend_query_of(a, a.segments + tile.segment, tile.index * S::ROWS, S::ROWS);
    state.q = shared + first * DIM;
    attend_bring<S::CHUNKS>(a, attend_rows_of<fr_bf16>(a, state.query, a.q, a.q_stride),
                            S::ROWS, shared);
    fr_attend_row *rows =
        reinterpret_cast<fr_attend_row *>(shared + (S::ROWS + 4 * S::STEP) * DIM);
    if (fr_thread() < S::ROWS) {
        attend_pair pair = attend_pair_within(a, state.query, fr_thread());
        fr_attend_row fact = {state.query.token + pair.token,
                              attend_slope(a, attend_kv_head() * a.group + pair.head)};
        rows[fr_thread()] = fact;
    }
    state.rows = rows + first + attend_tensor_row();
    FR_UNROLL
    for (int i = 0; i < 2 * S::TILES; i++) {
        state.largest[i / 2][i % 2] = -INFINITY;
    }
    bool has_rows = first < state.query.n;
    attend_over_keys<S::CHUNKS, S::STEP>(
        a, state.query, has_rows, shared + S::ROWS * DIM,
        [&](const attend_walk &walk, const fr_bf16 *stage) {
            take_step<DIM>(a, walk, stage, state);
        });
    if (has_rows) {
        FR_UNROLL
        for (int i = 0; i < 2 * S::TILES; i++) {
            finish<DIM>(a, state, first + 8 * i + attend_tensor_row(), i / 2, i % 2);
        }
    }
}

} // namespace

/* The query rows of two blocks and their sums leave 255 registers a thread. */
#define ATTEND_TENSOR_KERNEL(dim)                                                      \
    FR_KERNEL_SHARING(attend_tensor_##dim, fr_attend, FR_ATTEND_THREADS, 2)            \
    {                                                                                  \
        attend<dim>(a);                                                                \
    }
ATTEND_TENSOR_KERNEL(64)
ATTEND_TENSOR_KERNEL(96)
ATTEND_TENSOR_KERNEL(128)
ATTEND_TENSOR_KERNEL(256)
