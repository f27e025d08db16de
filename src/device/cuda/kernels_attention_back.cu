/*
 * kernels_attention_back.cu - attention, backward: the formulas of cpu/attention_back.c.
 *
 * attend_stats gives each row of queries its log-sum-exp to base 2 and delta = sum dO * O. Then two kernels compute the
 * probabilities P and dS = P (dP - delta) anew, each for sums of its own, so that each number has one writer:
 * attend_query_back has a tile of query rows and passes over the keys that they see, for dQ; attend_key_back has a tile of keys (rows
 * of k and v, or slots of a prefix for one unit) and passes over the query rows that see them, for dK and dV: segments in
 * the order of the list, runs in the segment's, then row by row.
 *
 * Packed queries carry log2(e) scale and dS is multiplied by ln 2: then dK takes the packed queries as they are and dQ one factor
 * at the end. The first product of a step is that with dO or values, so that the last chunk of queries or keys is still
 * there for the sums.
 */
#include "device/cuda/attention_sees.cuh"

namespace
{

/** Shared memory of a block. `own_a` are queries or keys, `own_b` dO or values; with R rows each. */
struct back_parts {
    float *own_a;
    float *own_b;
    float *passing;
    float *ds;
    float *p; /* of keys alone */
    float *stats_R2;
    float *slopes;
    int *tokens;
};

template <int CHUNKS> FR_DEVICE back_parts parts_of(bool keys)
{
    enum { ROWS = FR_ATTEND_ROWS_BACK(CHUNKS), LD = FR_ATTEND_ROW_LD(CHUNKS) };
    back_parts out;
    out.own_a = fr_shared<float>();
    out.own_b = out.own_a + ROWS * LD;
    out.passing = out.own_b + ROWS * LD;
    out.ds = out.passing + FR_ATTEND_STEP * FR_ATTEND_CHUNK_LD;
    out.p = out.ds + ROWS * FR_ATTEND_STEP_LD;
    out.stats_R2 = keys ? out.p + ROWS * FR_ATTEND_STEP_LD : out.p;
    out.slopes = out.stats_R2 + 2 * ROWS;
    out.tokens = reinterpret_cast<int *>(out.slopes + ROWS);
    return out;
}

/** What P and dS of a query and a key are made from. */
struct back_pair {
    float product; /* of query and key */
    float dp;      /* of dO and value */
    float lse;
    float delta;
    float slope;
};
struct back_weights {
    float p;
    float ds; /* times ln 2 */
};

FR_DEVICE back_weights weights_of(const fr_attend &a, const back_pair &pair,
                                  int distance)
{
    float derivative = 1.0F;
    float score = attend_score(a, pair.product, pair.slope, distance, &derivative);
    back_weights out;
    out.p = v8_exp2(v8_set(score - pair.lse)).lane;
    out.ds = out.p * 0.69314718F * (pair.dp - pair.delta) * derivative;
    return out;
}

template <int CHUNKS> struct query_state {
    enum { ROWS = FR_ATTEND_ROWS_BACK(CHUNKS), N = ROWS / 8 };
    attend_query query;
    back_parts parts;
    float dq[CHUNKS][N][4];
};

/* dS of the thread's rows and columns. */
template <int CHUNKS>
FR_DEVICE void weigh_keys(const fr_attend &a, const attend_step &step,
                          const float (&products)[query_state<CHUNKS>::N][2],
                          const float (&dp)[query_state<CHUNKS>::N][2],
                          const query_state<CHUNKS> &state)
{
    const back_parts &parts = state.parts;
    FR_UNROLL
    for (int i = 0; i < state.N; i++) {
        int row = attend_first_row(state.N) + i;
        int token = state.query.token + parts.tokens[row];
        FR_UNROLL
        for (int e = 0; e < 2; e++) {
            int column = attend_lane() + 16 * e;
            int index = step.start + column;
            float ds = 0.0F;
            if (column < step.n && attend_sees(*step.run, token, index)) {
                back_pair pair = {products[i][e], dp[i][e], parts.stats_R2[2 * row],
                                  parts.stats_R2[2 * row + 1], parts.slopes[row]};
                ds = weights_of(a, pair, index - step.run->lead - token).ds;
            }
            parts.ds[row * FR_ATTEND_STEP_LD + column] = ds;
        }
    }
    fr_sync_warp();
}

template <typename T, int CHUNKS>
FR_DEVICE void take_keys(const fr_attend &a, const attend_step &step,
                         query_state<CHUNKS> &state)
{
    enum { N = query_state<CHUNKS>::N, LD = FR_ATTEND_ROW_LD(CHUNKS) };
    const back_parts &parts = state.parts;
    float products[N][2] = {};
    float dp[N][2] = {};
    int last = (a.head_dim - 1) / FR_ATTEND_CHUNK;
    bool has_rows = attend_has_rows(N, state.query.n);
    for (int c = 0; c <= last; c++) {
        attend_pass_keys<T>(a, step, true, c, parts.passing);
        if (has_rows) {
            attend_multiply<N>(attend_depth(a, c), parts.own_b + c * FR_ATTEND_CHUNK,
                               LD, parts.passing, dp);
        }
    }
    for (int c = 0; c <= last; c++) {
        attend_pass_keys<T>(a, step, false, c, parts.passing);
        if (has_rows) {
            attend_multiply<N>(attend_depth(a, c), parts.own_a + c * FR_ATTEND_CHUNK,
                               LD, parts.passing, products);
        }
    }
    if (has_rows) {
        weigh_keys<CHUNKS>(a, step, products, dp, state);
    }
    for (int c = last; c >= 0; c--) {
        if (c < last) {
            attend_pass_keys<T>(a, step, false, c, parts.passing);
        }
        if (has_rows && 4 * attend_lane() < attend_depth(a, c)) {
            attend_add_chunk<N, CHUNKS>(c, step.n, parts.ds, parts.passing, state.dq);
        }
    }
}

/* What the tile's rows are, and their numbers. */
template <typename T, int CHUNKS>
FR_DEVICE query_state<CHUNKS> query_start(const fr_attend_back &all)
{
    const fr_attend &a = all.base;
    query_state<CHUNKS> state = {};
    fr_attend_tile tile = a.tiles[fr_block()];
    int first = tile.index * state.ROWS;
    state.parts = parts_of<CHUNKS>(false);
    state.query = attend_query_of(a, a.segments + tile.segment, first, state.ROWS);
    attend_keep<CHUNKS>(a, attend_rows_of<T>(a, state.query, a.q, a.q_stride),
                        state.ROWS, a.scale, state.parts.own_a);
    attend_keep<CHUNKS>(a,
                        attend_rows_of<T>(a, state.query, all.do_THK,
                                          static_cast<int64_t>(a.n_heads) * a.head_dim),
                        state.ROWS, 1.0F, state.parts.own_b);
    if (fr_thread() < state.ROWS) {
        int row = fr_thread();
        attend_pair pair = attend_pair_within(a, state.query, row);
        int head = attend_kv_head() * a.group + pair.head;
        int64_t token = state.query.segment->q_first + state.query.token + pair.token;
        const float *stats = all.stats_TH2 + 2 * (token * a.n_heads + head);
        state.parts.tokens[row] = pair.token;
        state.parts.slopes[row] = attend_slope(a, head);
        state.parts.stats_R2[2 * row] = stats[0];
        state.parts.stats_R2[2 * row + 1] = stats[1];
    }
    return state;
}

template <typename T, int CHUNKS> FR_DEVICE void query_back(const fr_attend_back &all)
{
    const fr_attend &a = all.base;
    query_state<CHUNKS> state = query_start<T, CHUNKS>(all);
    const fr_attend_segment *segment = state.query.segment;
    for (int r = 0; r < segment->n_runs; r++) {
        const fr_attend_run &run = segment->runs[r];
        attend_steps steps = attend_steps_of<FR_ATTEND_STEP>(run, state.query);
        for (int start = steps.begin; start < steps.end; start += FR_ATTEND_STEP) {
            take_keys<T, CHUNKS>(a, attend_step_of(run, start, steps.end), state);
        }
    }
    FR_UNROLL
    for (int i = 0; i < state.N; i++) {
        int row = attend_first_row(state.N) + i;
        if (row < state.query.n) {
            attend_pair pair = attend_pair_of(a.group, state.query.head, row);
            T *to = static_cast<T *>(all.dq) +
                    (segment->q_first + state.query.token + pair.token) * a.q_stride +
                    (attend_kv_head() * a.group + pair.head) * a.head_dim;
            FR_UNROLL
            for (int c = 0; c < CHUNKS; c++) {
                attend_write(a, state.dq[c][i], a.scale,
                             c * FR_ATTEND_CHUNK + 4 * attend_lane(), to);
            }
        }
    }
}

template <int CHUNKS> struct key_state {
    enum { ROWS = FR_ATTEND_ROWS_BACK(CHUNKS), N = ROWS / 8 };
    const fr_attend_keys *keys;
    back_parts parts;
    float dk[CHUNKS][N][4];
    float dv[CHUNKS][N][4];
};

/** Query rows that pass by a tile of keys, which are keys `index` on of the run. */
struct back_step {
    const fr_attend_run *run;
    attend_query query;
    int index;
};

/* The thread's products lie where P and dS replace them. */
template <int N>
FR_DEVICE void put_products(const float (&products)[N][2], float *weights)
{
    float *at = weights + attend_first_row(N) * FR_ATTEND_STEP_LD + attend_lane();
    FR_UNROLL
    for (int i = 0; i < N; i++) {
        at[i * FR_ATTEND_STEP_LD] = products[i][0];
        at[i * FR_ATTEND_STEP_LD + 16] = products[i][1];
    }
}

/* P and dS of the thread's keys and query rows. Of rows beyond the tile's keys nothing is used. */
template <int CHUNKS>
FR_DEVICE void weigh_queries(const fr_attend_back &all, const back_step &step,
                             const key_state<CHUNKS> &state)
{
    const fr_attend &a = all.base;
    int first = attend_first_row(state.N);
    int end = attend_least(first + state.N, state.keys->count);
    FR_ROLLED
    for (int column = attend_lane(); column < FR_ATTEND_STEP; column += 16) {
        attend_pair at = attend_pair_within(a, step.query, column);
        int token = step.query.token + at.token;
        int head = attend_kv_head() * a.group + at.head;
        const float *stats =
            all.stats_TH2 +
            2 * ((step.query.segment->q_first + token) * a.n_heads + head);
        back_pair pair = {0.0F, 0.0F, stats[0], stats[1], attend_slope(a, head)};
        FR_ROLLED
        for (int row = first; row < end; row++) {
            int index = step.index + row;
            float *p = state.parts.p + row * FR_ATTEND_STEP_LD + column;
            float *ds = state.parts.ds + row * FR_ATTEND_STEP_LD + column;
            back_weights weights = {0.0F, 0.0F};
            if (column < step.query.n && index >= 0 && index < step.run->count &&
                attend_sees(*step.run, token, index)) {
                pair.product = *p;
                pair.dp = *ds;
                weights = weights_of(a, pair, index - step.run->lead - token);
            }
            *p = weights.p;
            *ds = weights.ds;
        }
    }
    fr_sync_warp();
}

/* A chunk of the step's packed queries, or of its dO, passes by. */
template <typename T>
FR_DEVICE void pass_queries(const fr_attend_back &all, const back_step &step,
                            bool gradients, int chunk, float *to)
{
    const fr_attend &a = all.base;
    int64_t width = static_cast<int64_t>(a.n_heads) * a.head_dim;
    fr_sync();
    attend_fill(a,
                attend_rows_of<T>(a, step.query, gradients ? all.do_THK : a.q,
                                  gradients ? width : a.q_stride),
                chunk, FR_ATTEND_STEP, gradients ? 1.0F : a.scale, to,
                FR_ATTEND_CHUNK_LD);
    fr_sync();
}

/* The thread's products of keys and queries, or of values and dO. */
template <typename T, int CHUNKS>
FR_DEVICE void multiply_queries(const fr_attend_back &all, const back_step &step,
                                const key_state<CHUNKS> &state, bool gradients)
{
    enum { N = key_state<CHUNKS>::N };
    const fr_attend &a = all.base;
    const back_parts &parts = state.parts;
    float products[N][2] = {};
    bool has_rows = attend_has_rows(N, state.keys->count);
    for (int c = 0; c * FR_ATTEND_CHUNK < a.head_dim; c++) {
        pass_queries<T>(all, step, gradients, c, parts.passing);
        if (has_rows) {
            attend_multiply<N>(attend_depth(a, c),
                               (gradients ? parts.own_b : parts.own_a) +
                                   c * FR_ATTEND_CHUNK,
                               FR_ATTEND_ROW_LD(CHUNKS), parts.passing, products);
        }
    }
    put_products<N>(products, gradients ? parts.ds : parts.p);
}

template <typename T, int CHUNKS>
FR_DEVICE void take_queries(const fr_attend_back &all, const back_step &step,
                            key_state<CHUNKS> &state)
{
    enum { N = key_state<CHUNKS>::N };
    const fr_attend &a = all.base;
    const back_parts &parts = state.parts;
    int last = (a.head_dim - 1) / FR_ATTEND_CHUNK;
    bool has_rows = attend_has_rows(N, state.keys->count);
    multiply_queries<T, CHUNKS>(all, step, state, true);
    multiply_queries<T, CHUNKS>(all, step, state, false);
    if (has_rows) {
        weigh_queries<CHUNKS>(all, step, state);
    }
    for (int c = last; c >= 0; c--) {
        bool adds = has_rows && 4 * attend_lane() < attend_depth(a, c);
        if (c < last) {
            pass_queries<T>(all, step, false, c, parts.passing);
        }
        if (adds) {
            attend_add_chunk<N, CHUNKS>(c, step.query.n, parts.ds, parts.passing,
                                        state.dk);
        }
        pass_queries<T>(all, step, true, c, parts.passing);
        if (adds) {
            attend_add_chunk<N, CHUNKS>(c, step.query.n, parts.p, parts.passing,
                                        state.dv);
        }
    }
}

/* The rows of a segment that see keys of the tile, in steps counted from the segment's first row. */
template <typename T, int CHUNKS>
FR_DEVICE void take_view(const fr_attend_back &all, const fr_attend_view &view,
                         key_state<CHUNKS> &state)
{
    const fr_attend &a = all.base;
    back_step step;
    const fr_attend_segment *segment = a.segments + view.segment;
    step.run = segment->runs + view.run;
    step.index = state.keys->index + view.shift;
    attend_steps rows = attend_view_steps<FR_ATTEND_STEP>(a, *state.keys, view);
    for (int row = rows.begin; row < rows.end; row += FR_ATTEND_STEP) {
        step.query = attend_query_of(a, segment, row, FR_ATTEND_STEP);
        take_queries<T, CHUNKS>(all, step, state);
    }
}

template <int CHUNKS, typename T>
FR_DEVICE void write_keys(const fr_attend &a, const key_state<CHUNKS> &state,
                          int64_t stride, T *dk, T *dv)
{
    FR_UNROLL
    for (int i = 0; i < state.N; i++) {
        int row = attend_first_row(state.N) + i;
        if (row < state.keys->count) {
            int64_t at =
                (state.keys->out + row) * stride + attend_kv_head() * a.head_dim;
            FR_UNROLL
            for (int c = 0; c < CHUNKS; c++) {
                int column = c * FR_ATTEND_CHUNK + 4 * attend_lane();
                attend_write(a, state.dk[c][i], 1.0F, column, dk + at);
                attend_write(a, state.dv[c][i], 1.0F, column, dv + at);
            }
        }
    }
}

template <typename T, int CHUNKS> FR_DEVICE void key_back(const fr_attend_back &all)
{
    const fr_attend &a = all.base;
    key_state<CHUNKS> state = {};
    state.keys = all.keys + fr_block();
    state.parts = parts_of<CHUNKS>(true);
    int64_t width = static_cast<int64_t>(a.n_kv_heads) * a.head_dim;
    if (state.keys->is_prefix != 0 && state.keys->n_views > 0) {
        const fr_attend_view &view = all.views[state.keys->first_view];
        const fr_attend_run &run = a.segments[view.segment].runs[view.run];
        attend_keep<CHUNKS>(a,
                            attend_keys_of<float>(a, run.prefix_k, width,
                                                  state.keys->first, state.keys->count),
                            state.ROWS, 1.0F, state.parts.own_a);
        attend_keep<CHUNKS>(a,
                            attend_keys_of<float>(a, run.prefix_v, width,
                                                  state.keys->first, state.keys->count),
                            state.ROWS, 1.0F, state.parts.own_b);
    } else if (state.keys->is_prefix == 0) {
        attend_keep<CHUNKS>(a,
                            attend_keys_of<T>(a, a.k, a.kv_stride, state.keys->first,
                                              state.keys->count),
                            state.ROWS, 1.0F, state.parts.own_a);
        attend_keep<CHUNKS>(a,
                            attend_keys_of<T>(a, a.v, a.kv_stride, state.keys->first,
                                              state.keys->count),
                            state.ROWS, 1.0F, state.parts.own_b);
    }
    for (int i = 0; i < state.keys->n_views; i++) {
        take_view<T, CHUNKS>(all, all.views[state.keys->first_view + i], state);
    }
    if (state.keys->is_prefix != 0) {
        write_keys(a, state, width, all.dprefix_k_UPGK, all.dprefix_v_UPGK);
    } else {
        write_keys(a, state, a.kv_stride, static_cast<T *>(all.dk),
                   static_cast<T *>(all.dv));
    }
}

/* A warp has a row; lanes take turns along it, and their sums meet in a fixed tree. */
template <typename T> FR_DEVICE void attend_stats_body(const fr_attend_back &all)
{
    const fr_attend &a = all.base;
    int warps = fr_threads() / FR_WARP;
    int lane = fr_thread() % FR_WARP;
    for (int64_t row = fr_block() * warps + fr_thread() / FR_WARP; row < all.n_rows;
         row += fr_blocks() * warps) {
        const T *o = static_cast<const T *>(a.o_THK) + row * a.head_dim;
        const T *d_o = static_cast<const T *>(all.do_THK) + row * a.head_dim;
        float sum = 0.0F;
        for (int i = lane; i < a.head_dim; i += FR_WARP) {
            sum = fr_fma(fr_read(d_o + i), fr_read(o + i), sum);
        }
        FR_UNROLL
        for (int mask = FR_WARP / 2; mask > 0; mask /= 2) {
            sum += fr_from_xor(sum, mask);
        }
        if (lane == 0) {
            all.stats_TH2[2 * row] =
                static_cast<float>(static_cast<double>(all.lse_TH[row]) * ATTEND_LOG2E);
            all.stats_TH2[2 * row + 1] = sum;
        }
    }
}

#define ATTEND_BACK_BODIES(numbers, chunks)                                            \
    template <typename T>                                                              \
    FR_DEVICE void attend_query_back_##numbers##_body(const fr_attend_back &a)         \
    {                                                                                  \
        query_back<T, chunks>(a);                                                      \
    }                                                                                  \
    template <typename T>                                                              \
    FR_DEVICE void attend_key_back_##numbers##_body(const fr_attend_back &a)           \
    {                                                                                  \
        key_back<T, chunks>(a);                                                        \
    }
ATTEND_BACK_BODIES(64, 1)
ATTEND_BACK_BODIES(128, 2)
ATTEND_BACK_BODIES(256, 4)
ATTEND_BACK_BODIES(512, 8)

} // namespace

ATTEND_KERNEL(attend_stats, fr_attend_back, 4)
ATTEND_KERNEL(attend_query_back_64, fr_attend_back, 4)
ATTEND_KERNEL(attend_query_back_128, fr_attend_back, 4)
ATTEND_KERNEL(attend_query_back_256, fr_attend_back, 4)
ATTEND_KERNEL(attend_query_back_512, fr_attend_back, 4)
ATTEND_KERNEL(attend_key_back_64, fr_attend_back, 3)
ATTEND_KERNEL(attend_key_back_128, fr_attend_back, 3)
ATTEND_KERNEL(attend_key_back_256, fr_attend_back, 3)
ATTEND_KERNEL(attend_key_back_512, fr_attend_back, 3)
