/*
 * attention.h - attention over spans of keys, forward and backward.
 *
 * Words, shape letters and promises as in device.h. Views of a call have one type, those of the gradients too.
 */
#ifndef FR_DEVICE_ATTENTION_H
#define FR_DEVICE_ATTENTION_H

#include "device/memory.h"

enum { FR_MAX_SPANS = 3 };

/** Rows [first, first + count) of the key/value buffers. Their positions in the sequence ascend by one. */
typedef struct fr_span {
    int64_t first;
    int64_t count;
    int64_t position; /* of row `first` */
} fr_span;

/**
 * A run of query rows [q_first, q_first + q_count) that sees, in this order: the prefix (if
 * sees_prefix), each of its spans whole, and itself causally: query i (from 0) sees own keys
 * own_first .. own_first + i. In generation the cached keys of the same sequence are a span.
 * Segments of one unit are neighbours in the list, a source before its targets; spans name rows of
 * segments of the same unit (training) or of the cache (generation). No key stands at a later position than a query that
 * sees it. Only a window and slopes look at positions.
 */
typedef struct fr_segment {
    int64_t q_first;
    int64_t q_count;
    int64_t own_first; /* key row of query q_first */
    int64_t position;  /* of query q_first and of key own_first */
    int64_t unit;      /* ascending from 0, for the prefix gradient */
    bool sees_prefix;
    int n_spans;
    fr_span spans[FR_MAX_SPANS];
} fr_segment;

/** Keys and values before a sequence's own; slot j stands at position j. Length 0: none. */
typedef struct fr_attention_prefix {
    int64_t length;
    const fr_f32 *k_PGK;
    const fr_f32 *v_PGK;
    bool slides; /* the window hides slots, too; else every row sees all of them */
} fr_attention_prefix;

typedef struct fr_attention_params {
    int64_t n_heads;    /* H */
    int64_t n_kv_heads; /* G, divides H; query head h uses key head h / (H/G) */
    int64_t head_dim;   /* K */
    int64_t q_stride;  /* numbers between query rows; heads lie side by side in a row */
    int64_t kv_stride; /* numbers between rows of k and of v */
    int64_t n_tokens;  /* query rows in all: rows of o and lse */
    int64_t prefix_length; /* P, may be 0 */
    const fr_f32 *prefix_k_PGK;
    const fr_f32 *prefix_v_PGK;
    /* forward only: each unit's own prefix in place of the one above; NULL: that one */
    const fr_attention_prefix *prefixes_U;
    int64_t n_segments;
    const fr_segment *segments;

    /* factor of the products of queries and keys: mostly 1 / sqrt(K) */
    double scale;
    /* c: scores s become c tanh(s / c) (Gemma 2, arXiv:2408.00118, section 2.3); 0: as they are */
    float cap;
    /* a query at t sees a key at s only if t - s < window (Mistral, arXiv:2310.06825); 0: all */
    int64_t window;
    bool prefix_slides; /* of the prefix above, see fr_attention_prefix */
    /* ALiBi (arXiv:2108.12409): slope[h] * (s - t) is added to a score, after the cap, for slots too. NULL: none */
    const fr_f32 *slopes_H;
} fr_attention_params;

/**
 * o = softmax(score(q [P_K; spans; own]^T)) [P_V; spans; own]. The T x T scores are never
 * materialised, and keys that no row of a tile sees are not read: time is linear in the rows for a window much shorter than
 * the sequence. o_THK is dense [n_tokens, H*K]; lse_TH = log-sum-exp of the scores (may be
 * NULL). Rows that no segment covers are left alone.
 *
 * score(x) of a query at t and a key at s: y = scale x; c tanh(y / c) in place of y if there is a cap c; then slope[h] (s - t)
 * more if there are slopes; -infinity if the window hides s from t. Without cap, window and slopes bits depend on the scale
 * alone, not on positions.
 */
FR_MUST_CHECK fr_status fr_attention(fr_device *device,
                                     const fr_attention_params *params, fr_view q,
                                     fr_view k, fr_view v, fr_view o_THK,
                                     fr_f32 *lse_TH);

/** Gradients of fr_attention. Without dq only the prefix gradient is computed (first layer). */
typedef struct fr_attention_gradients {
    fr_view
        dq; /* rows q_stride apart, overwritten; none: not wanted (then no dk, dv either) */
    fr_view dk; /* rows kv_stride apart, overwritten for rows of the segments */
    fr_view dv;
    fr_f32 *dprefix_k_UPGK; /* per unit, overwritten; NULL when prefix_length is 0 */
    fr_f32 *dprefix_v_UPGK;
    int64_t n_units;
} fr_attention_gradients;

FR_MUST_CHECK fr_status fr_attention_back(fr_device *device,
                                          const fr_attention_params *params, fr_view q,
                                          fr_view k, fr_view v, fr_view o_THK,
                                          const fr_f32 *lse_TH, fr_view do_THK,
                                          const fr_attention_gradients *gradients);

#endif
