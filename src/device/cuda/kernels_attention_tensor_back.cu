/*
 * kernels_attention_tensor_back.cu - attention on tensor cores, backward: the formulas of kernels_attention_back.cu, in the order that
 * attention_tensor.cuh describes. attend_stats of that file goes first.
 *
 * attend_tensor_query_back has a tile of query rows and their dO, and passes over the keys and values that they see, for dQ.
 * attend_tensor_key_back has a tile of keys and values (rows of k and v, or slots of a prefix for one unit) and passes over the query rows that see them and
 * their dO, for dK and dV: segments in the order of the list, runs in the segment's, then row by row. Its sums of heads of
 * 256 numbers do not fit in registers: two blocks compute a half each, and P and dS both.
 *
 * The scale of the products, which scores have with a factor log2(e), comes to dQ and dK at the end.
 */
#include "device/cuda/attention_tensor.cuh"

namespace
{

template <int DIM> struct back {
    enum {
        ROWS = FR_ATTEND_TENSOR_ROWS_BACK(DIM),
        STEP = FR_ATTEND_TENSOR_STEP_BACK(DIM),
        CHUNKS = DIM / FR_CHUNK,
        N = STEP / 8,
        OWN = ROWS * DIM, /* numbers of one of two tiles */
        STAGE = 2 * STEP * DIM,
        PART = FR_ATTEND_TENSOR_PART(DIM),
        PARTS = DIM / PART
    };
    static_assert(static_cast<int>(ROWS) == 16 * ATTEND_WARPS, "a warp has 16 rows");
};

/* What dQ and dK are multiplied with. */
FR_DEVICE float scale_of(const fr_attend &a)
{
    return a.scale * 0.69314718F;
}

/** What a row of queries brings along. */
struct row_fact {
    float slope;
    float lse;
    float delta;
};

/** What P and dS of a query and a key are made from, beside their products. */
struct pair_fact {
    row_fact row;
    int distance;
    bool seen;
};

/* A score becomes P, and the product of dO with the value dS: both 0 where the query does not see the key. */
FR_DEVICE void weigh(const pair_fact &pair, float score, float derivative,
                     float *product, float *dp)
{
    float p = fr_exp2_near(score - pair.row.lse);
    *product = pair.seen ? p : 0.0F;
    *dp = pair.seen ? p * (*dp - pair.row.delta) * derivative : 0.0F;
}

/* All of this thread's products. at(j, r) is what number r of tile j stands for. Capped or sloping scores are computed one after the
 * other, as the numbers take turns at the first place: all at once would be much more code. */
template <int N, typename At>
FR_DEVICE void weigh_all(const fr_attend &a, const At &at, float (&products)[N][4],
                         float (&dp)[N][4])
{
    if (a.cap == 0.0F && a.slopes_H == nullptr) {
        FR_UNROLL
        for (int i = 0; i < 4 * N; i++) {
            float *product = &products[i / 4][i % 4];
            weigh(at(i / 4, i % 4), *product * a.scale, 1.0F, product,
                  &dp[i / 4][i % 4]);
        }
        return;
    }
    FR_ROLLED
    for (int i = 0; i < 4 * N; i++) {
        pair_fact pair = at(i / 4, i % 4);
        float derivative = 1.0F;
        float product = products[0][0];
        float d = dp[0][0];
        float score = attend_score(a, product * a.scale, pair.row.slope, pair.distance,
                                   &derivative);
        weigh(pair, score, derivative, &product, &d);
        FR_UNROLL
        for (int j = 0; j < 4 * N - 1; j++) {
            products[j / 4][j % 4] = products[(j + 1) / 4][(j + 1) % 4];
            dp[j / 4][j % 4] = dp[(j + 1) / 4][(j + 1) % 4];
        }
        products[N - 1][3] = product;
        dp[N - 1][3] = d;
    }
}

/* The head that a row of the query belongs to, and its statistics. */
FR_DEVICE row_fact fact_of(const fr_attend_back &all, const attend_query &query,
                           const attend_pair &pair)
{
    int head = attend_kv_head() * all.base.group + pair.head;
    int64_t token = query.segment->q_first + query.token + pair.token;
    const float *stats = all.stats_TH2 + 2 * (token * all.base.n_heads + head);
    row_fact out = {attend_slope(all.base, head), stats[0], stats[1]};
    return out;
}

/* So many query rows and their dO begin to come, to two tiles that follow each other. */
template <int DIM>
FR_DEVICE void bring_rows(const fr_attend_back &all, const attend_query &query, int n,
                          fr_bf16 *tiles)
{
    const fr_attend &a = all.base;
    int64_t width = static_cast<int64_t>(a.n_heads) * a.head_dim;
    attend_bring<back<DIM>::CHUNKS>(
        a, attend_rows_of<fr_bf16>(a, query, a.q, a.q_stride), n, tiles);
    attend_bring<back<DIM>::CHUNKS>(
        a, attend_rows_of<fr_bf16>(a, query, all.do_THK, width), n, tiles + n * DIM);
}

/* ---- dQ ---------------------------------------------------------------------------------------- */

template <int DIM> struct query_state {
    attend_query query;
    const fr_bf16 *q; /* the warp's rows; those of dO are back<DIM>::OWN further on */
    attend_pair pair[2];
    row_fact row[2];
    float dq[1][back<DIM>::CHUNKS][4];
};

template <int DIM>
FR_DEVICE void take_keys(const fr_attend &a, const attend_walk &walk,
                         const fr_bf16 *stage, query_state<DIM> &state)
{
    typedef back<DIM> S;
    float products[1][S::N][4] = {};
    float dp[1][S::N][4] = {};
    attend_tensor_multiply<S::CHUNKS>(state.q, stage, products);
    attend_tensor_multiply<S::CHUNKS>(state.q + S::OWN, stage + S::STEP * DIM, dp);
    const fr_attend_run &run = state.query.segment->runs[walk.run];
    weigh_all(
        a,
        [&](int j, int r) {
            int token =
                state.query.token + (r < 2 ? state.pair[0].token : state.pair[1].token);
            int index = walk.start + 8 * j + attend_tensor_column() + r % 2;
            attend_range seen = attend_range_of(run, token);
            pair_fact pair = {r < 2 ? state.row[0] : state.row[1],
                              index - run.lead - token,
                              index >= seen.low && index < seen.high};
            return pair;
        },
        products[0], dp[0]);
    attend_tensor_add<S::CHUNKS>(dp, stage, 0, state.dq);
}

template <int DIM>
FR_DEVICE query_state<DIM> query_start(const fr_attend_back &all, fr_bf16 *shared)
{
    typedef back<DIM> S;
    const fr_attend &a = all.base;
    fr_attend_tile tile = a.tiles[fr_block()];
    query_state<DIM> state = {};
    int first = attend_warp() * 16;
    state.query =
        attend_query_of(a, a.segments + tile.segment, tile.index * S::ROWS, S::ROWS);
    state.q = shared + first * DIM;
    bring_rows<DIM>(all, state.query, S::ROWS, shared);
    FR_UNROLL
    for (int half = 0; half < 2; half++) {
        int row = first + 8 * half + attend_tensor_row();
        state.pair[half] = attend_pair_within(a, state.query, row);
        state.row[half] = fact_of(all, state.query, state.pair[half]);
    }
    return state;
}

template <int DIM> FR_DEVICE void query_back(const fr_attend_back &all)
{
    typedef back<DIM> S;
    const fr_attend &a = all.base;
    fr_bf16 *shared = fr_shared<fr_bf16>();
    query_state<DIM> state = query_start<DIM>(all, shared);
    const fr_attend_segment *segment = state.query.segment;
    int first = attend_warp() * 16;
    bool has_rows = first < state.query.n;
    attend_over_keys<S::CHUNKS, S::STEP>(
        a, state.query, has_rows, shared + 2 * S::OWN,
        [&](const attend_walk &walk, const fr_bf16 *stage) {
            take_keys<DIM>(a, walk, stage, state);
        });
    if (has_rows) {
        FR_UNROLL
        for (int half = 0; half < 2; half++) {
            const attend_pair &pair = state.pair[half];
            fr_bf16 *to =
                static_cast<fr_bf16 *>(all.dq) +
                (segment->q_first + state.query.token + pair.token) * a.q_stride +
                (attend_kv_head() * a.group + pair.head) * DIM;
            attend_tensor_write(a, state.dq[0], half, scale_of(a), 0,
                                first + 8 * half + attend_tensor_row() < state.query.n,
                                to);
        }
    }
}

/* ---- dK and dV --------------------------------------------------------------------------------- */

template <int DIM> struct key_state {
    const fr_attend_keys *keys;
    const fr_bf16 *k; /* the warp's rows; those of v are back<DIM>::OWN further on */
    int part;
    float dk[1][back<DIM>::PART / 8][4];
    float dv[1][back<DIM>::PART / 8][4];
};

/** A step of the query rows that see a tile of keys: rows of a segment in steps counted from its first. */
struct query_walk {
    int view; /* of the tile; n_views: no more */
    int row;
    int end;
};

/* The first step of the first view from `view` on that has one. */
template <int STEP>
FR_DEVICE query_walk enter_view(const fr_attend_back &all, const fr_attend_keys &keys,
                                int view)
{
    query_walk out = {view, 0, 0};
    for (; out.view < keys.n_views; out.view++) {
        const fr_attend_view &of = all.views[keys.first_view + out.view];
        attend_steps rows = attend_view_steps<STEP>(all.base, keys, of);
        out.row = rows.begin;
        out.end = rows.end;
        if (out.row < out.end) {
            break;
        }
    }
    return out;
}
template <int STEP>
FR_DEVICE query_walk next_queries(const fr_attend_back &all, const fr_attend_keys &keys,
                                  query_walk walk)
{
    walk.row += STEP;
    return walk.row < walk.end ? walk : enter_view<STEP>(all, keys, walk.view + 1);
}

/* Query rows and dO of a step, to two tiles that follow each other, and what each row is. */
template <int DIM>
FR_DEVICE void bring_queries(const fr_attend_back &all, const fr_attend_keys &keys,
                             const query_walk &walk, fr_bf16 *tiles,
                             fr_attend_fact *facts)
{
    typedef back<DIM> S;
    const fr_attend &a = all.base;
    const fr_attend_view &view = all.views[keys.first_view + walk.view];
    const fr_attend_segment *segment = a.segments + view.segment;
    attend_query query = attend_query_of(a, segment, walk.row, S::STEP);
    bring_rows<DIM>(all, query, S::STEP, tiles);
    if (fr_thread() < S::STEP) {
        attend_pair pair = attend_pair_within(a, query, fr_thread());
        row_fact row = fact_of(all, query, pair);
        int token = query.token + pair.token;
        attend_range seen = attend_range_of(segment->runs[view.run], token);
        fr_attend_fact fact = {seen.low, fr_thread() < query.n ? seen.high : 0,
                               token,    row.slope,
                               row.lse,  row.delta};
        facts[fr_thread()] = fact;
    }
}

template <int DIM>
FR_DEVICE void take_queries(const fr_attend_back &all, const query_walk &walk,
                            const fr_bf16 *stage, const fr_attend_fact *facts,
                            key_state<DIM> &state)
{
    typedef back<DIM> S;
    const fr_attend &a = all.base;
    const fr_attend_view &view = all.views[state.keys->first_view + walk.view];
    int lead = a.segments[view.segment].runs[view.run].lead;
    int first =
        state.keys->index + view.shift + attend_warp() * 16 + attend_tensor_row();
    float products[1][S::N][4] = {};
    float dp[1][S::N][4] = {};
    attend_tensor_multiply<S::CHUNKS>(state.k, stage, products);
    attend_tensor_multiply<S::CHUNKS>(state.k + S::OWN, stage + S::STEP * DIM, dp);
    weigh_all(
        a,
        [&](int j, int r) {
            fr_attend_fact fact = facts[8 * j + attend_tensor_column() + r % 2];
            int index = first + r / 2 * 8;
            pair_fact pair = {{fact.slope, fact.lse, fact.delta},
                              index - lead - fact.token,
                              index >= fact.low && index < fact.high};
            return pair;
        },
        products[0], dp[0]);
    int chunk = state.part * S::PART / FR_CHUNK;
    attend_tensor_add<S::CHUNKS>(products, stage + S::STEP * DIM, chunk, state.dv);
    attend_tensor_add<S::CHUNKS>(dp, stage, chunk, state.dk);
}

/* The tile's own rows of the gradients. */
template <int DIM, typename T>
FR_DEVICE void write_keys(const fr_attend &a, const key_state<DIM> &state,
                          int64_t stride, T *dk, T *dv)
{
    FR_UNROLL
    for (int half = 0; half < 2; half++) {
        int row = attend_warp() * 16 + 8 * half + attend_tensor_row();
        bool is_key = row < state.keys->count;
        int column = state.part * back<DIM>::PART;
        int64_t at = (state.keys->out + row) * stride + attend_kv_head() * DIM;
        attend_tensor_write(a, state.dk[0], half, scale_of(a), column, is_key, dk + at);
        attend_tensor_write(a, state.dv[0], half, 1.0F, column, is_key, dv + at);
    }
}

/* Keys and values of the tile. Slots that nobody sees are not looked at. */
template <int DIM>
FR_DEVICE void bring_keys(const fr_attend_back &all, const fr_attend_keys &keys,
                          fr_bf16 *tiles)
{
    typedef back<DIM> S;
    if (keys.is_prefix == 0) {
        fr_attend_run own = {nullptr, nullptr, keys.first, keys.count, 0, 0, 0};
        attend_bring_keys<S::CHUNKS, S::ROWS>(all.base, own, 0, keys.count, tiles);
    } else if (keys.n_views > 0) {
        const fr_attend_view &view = all.views[keys.first_view];
        int start = static_cast<int>(keys.first);
        attend_bring_keys<S::CHUNKS, S::ROWS>(
            all.base, all.base.segments[view.segment].runs[view.run], start,
            start + keys.count, tiles);
    }
}

template <int DIM> FR_DEVICE void key_back(const fr_attend_back &all)
{
    typedef back<DIM> S;
    const fr_attend &a = all.base;
    fr_bf16 *shared = fr_shared<fr_bf16>();
    fr_bf16 *stages = shared + 2 * S::OWN;
    fr_attend_fact *facts = reinterpret_cast<fr_attend_fact *>(stages + 2 * S::STAGE);
    int first = attend_warp() * 16;
    key_state<DIM> state = {};
    state.keys = all.keys + fr_block() / S::PARTS;
    state.part = static_cast<int>(fr_block() % S::PARTS);
    state.k = shared + first * DIM;
    const fr_attend_keys &keys = *state.keys;
    bring_keys<DIM>(all, keys, shared);
    query_walk walk = {keys.n_views, 0, 0};
    query_walk next = enter_view<S::STEP>(all, keys, 0);
    bool goes_on = next.view < keys.n_views;
    FR_ROLLED
    for (int step = 0; goes_on; step++) {
        int now = (step + 1) % 2;
        fr_copies_await<0>();
        fr_sync();
        if (next.view < keys.n_views) {
            bring_queries<DIM>(all, keys, next, stages + step % 2 * S::STAGE,
                               facts + step % 2 * S::STEP);
        }
        fr_copies_close();
        if (walk.view < keys.n_views && first < keys.count) {
            take_queries<DIM>(all, walk, stages + now * S::STAGE, facts + now * S::STEP,
                              state);
        }
        walk = next;
        if (next.view < keys.n_views) {
            next = next_queries<S::STEP>(all, keys, next);
        }
        goes_on = walk.view < keys.n_views;
    }
    fr_copies_close(); /* of the tile's own rows, if there was no step */
    fr_copies_await<0>();
    if (first < keys.count && keys.is_prefix != 0) {
        write_keys(a, state, static_cast<int64_t>(a.n_kv_heads) * DIM,
                   all.dprefix_k_UPGK, all.dprefix_v_UPGK);
    } else if (first < keys.count) {
        write_keys(a, state, a.kv_stride, static_cast<fr_bf16 *>(all.dk),
                   static_cast<fr_bf16 *>(all.dv));
    }
}

} // namespace

#define ATTEND_TENSOR_BACK_KERNELS(dim)                                                \
    FR_KERNEL_SHARING(attend_tensor_query_back_##dim, fr_attend_back,                  \
                      FR_ATTEND_THREADS, 2)                                            \
    {                                                                                  \
        query_back<dim>(a);                                                            \
    }                                                                                  \
    FR_KERNEL_SHARING(attend_tensor_key_back_##dim, fr_attend_back, FR_ATTEND_THREADS, \
                      2)                                                               \
    {                                                                                  \
        key_back<dim>(a);                                                              \
    }
ATTEND_TENSOR_BACK_KERNELS(64)
ATTEND_TENSOR_BACK_KERNELS(96)
ATTEND_TENSOR_BACK_KERNELS(128)
ATTEND_TENSOR_BACK_KERNELS(256)
