/*
 * attention_tensor.cuh - what the kernels of attention on tensor cores have in common.
 *
 * A block has a tile of rows of its own, 16 TILES for each of its four warps, while rows of the other side pass by, STEP at a
 * time, through two stages of shared memory: as a step is computed, the next one is on its way. One barrier a step is enough:
 * the stage that is filled behind it was read before it.
 *
 * A warp computes products of its own rows with those that pass by, makes weights of them, which become the left side of a second product
 * without leaving their registers, and adds what passed by with these weights to sums of its own rows. Lane 4 g + t has rows g and
 * g + 8 of each 16, of each 8 columns 2 t and 2 t + 1.
 *
 * Both sides enter in bf16: prefixes, which are f32, are rounded, and so are weights. Sums are f32 and have one order: 16 rows that
 * pass by at a time, from the first on, and 16 numbers of a head at a time. What a row gets depends on no other row of its tile.
 */
#ifndef FR_DEVICE_CUDA_ATTENTION_TENSOR_CUH
#define FR_DEVICE_CUDA_ATTENTION_TENSOR_CUH

#include "device/cuda/attention_sees.cuh"
#include "device/cuda/attention_tensor_products.cuh"
#include "device/cuda/kernels_attention_tensor.h"

/* ---- rows to shared memory --------------------------------------------------------------------- */

template <typename T>
FR_DEVICE void attend_round_chunk(const T *from, bool wide, bool wanted, fr_bf16 *to)
{
    fr_chunk out = {};
    FR_UNROLL
    for (int half = 0; half < 2; half++) {
        if (wanted) {
            attend_four x = attend_read(from + 4 * half, 4, wide, 1.0F);
            FR_UNROLL
            for (int i = 0; i < 4; i++) {
                fr_write(&out.at[4 * half + i], x.at[i]);
            }
        }
    }
    *reinterpret_cast<fr_chunk *>(to) = out;
}
FR_DEVICE void attend_bring_chunk(const float *from, bool wide, bool wanted,
                                  fr_bf16 *to)
{
    attend_round_chunk(from, wide, wanted, to);
}
FR_DEVICE void attend_bring_chunk(const fr_bf16 *from, bool wide, bool wanted,
                                  fr_bf16 *to)
{
    if (wide) {
        fr_copy_ahead_16(to, from, wanted);
    } else {
        attend_round_chunk(from, false, wanted, to);
    }
}

/** n_rows rows begin to come to a tile, zeros for those beyond rows.n. */
template <int CHUNKS, typename T>
FR_DEVICE void attend_bring(const fr_attend &a, const attend_rows<T> &rows, int n_rows,
                            fr_bf16 *tile)
{
    FR_ROLLED
    for (int i = fr_thread(); i < n_rows * CHUNKS; i += FR_ATTEND_THREADS) {
        int row = i / CHUNKS;
        int chunk = i % CHUNKS;
        bool wanted = row < rows.n;
        attend_pair pair = {wanted ? row : 0, 0};
        if (rows.group > 1) {
            pair = attend_pair_of(rows.group, rows.head, pair.token);
        }
        attend_bring_chunk(rows.at + pair.token * rows.stride +
                               pair.head * CHUNKS * FR_CHUNK + chunk * FR_CHUNK,
                           a.wide != 0, wanted,
                           tile + fr_chunk_place<CHUNKS>(row, chunk));
    }
}

/** Keys and values of a step of a run, to two tiles that follow each other. */
template <int CHUNKS, int STEP>
FR_DEVICE void attend_bring_keys(const fr_attend &a, const fr_attend_run &run,
                                 int start, int end, fr_bf16 *tiles)
{
    int n = attend_least(STEP, end - start);
    fr_bf16 *values = tiles + STEP * CHUNKS * FR_CHUNK;
    if (run.prefix_k != nullptr) {
        int64_t width = static_cast<int64_t>(a.n_kv_heads) * a.head_dim;
        attend_bring<CHUNKS>(a, attend_keys_of<float>(a, run.prefix_k, width, start, n),
                             STEP, tiles);
        attend_bring<CHUNKS>(a, attend_keys_of<float>(a, run.prefix_v, width, start, n),
                             STEP, values);
    } else {
        int64_t first = run.first + start;
        attend_bring<CHUNKS>(a, attend_keys_of<fr_bf16>(a, a.k, a.kv_stride, first, n),
                             STEP, tiles);
        attend_bring<CHUNKS>(a, attend_keys_of<fr_bf16>(a, a.v, a.kv_stride, first, n),
                             STEP, values);
    }
}

/* ---- steps of keys ----------------------------------------------------------------------------- */

/** A step of a tile's keys: keys [start, end) of the run, STEP of them at most. */
struct attend_walk {
    int run; /* of the segment; n_runs: no more */
    int start;
    int end;
};

template <int STEP>
FR_DEVICE attend_walk attend_enter(const attend_query &query, int run)
{
    attend_walk out = {run, 0, 0};
    for (; out.run < query.segment->n_runs; out.run++) {
        attend_steps steps = attend_steps_of<STEP>(query.segment->runs[out.run], query);
        out.start = steps.begin;
        out.end = steps.end;
        if (out.start < out.end) {
            break;
        }
    }
    return out;
}
template <int STEP>
FR_DEVICE attend_walk attend_go_on(const attend_query &query, attend_walk walk)
{
    walk.start += STEP;
    return walk.start < walk.end ? walk : attend_enter<STEP>(query, walk.run + 1);
}

/** All threads pass over the tile's keys: those whose warp has rows take each step with take(walk, stage), where a stage
 * is keys and then values. The tile's own rows, which have begun to come, are there by then. Of this thread no copy is left under way. */
template <int CHUNKS, int STEP, typename Take>
FR_DEVICE void attend_over_keys(const fr_attend &a, const attend_query &query,
                                bool has_rows, fr_bf16 *stages, const Take &take)
{
    enum { STAGE = 2 * STEP * CHUNKS * FR_CHUNK };
    const fr_attend_run *runs = query.segment->runs;
    int n_runs = query.segment->n_runs;
    attend_walk walk = {n_runs, 0, 0};
    attend_walk next = attend_enter<STEP>(query, 0);
    bool goes_on = next.run < n_runs;
    FR_ROLLED
    for (int step = 0; goes_on; step++) {
        fr_copies_await<0>();
        fr_sync();
        if (next.run < n_runs) {
            attend_bring_keys<CHUNKS, STEP>(a, runs[next.run], next.start, next.end,
                                            stages + step % 2 * STAGE);
        }
        fr_copies_close();
        if (walk.run < n_runs && has_rows) {
            take(walk, stages + (step + 1) % 2 * STAGE);
        }
        walk = next;
        if (next.run < n_runs) {
            next = attend_go_on<STEP>(query, next);
        }
        goes_on = walk.run < n_runs;
    }
    fr_copies_close(); /* of the tile's own rows, if there was no step */
    fr_copies_await<0>();
}

/** Keys of a run that a query sees: [low, high), none if low >= high. A tile's steps end behind those of its last row. */
struct attend_range {
    int low;
    int high;
};
FR_DEVICE attend_range attend_range_of(const fr_attend_run &run, int token)
{
    int end = run.lead + token + 1;
    attend_range out = {0, run.count};
    if (run.window > 0 && end > run.window) {
        out.low = end - run.window;
    }
    if (run.causal != 0 && end < run.count) {
        out.high = end;
    }
    return out;
}

#endif
