/*
 * attention_impl.h - how attention is cut into tiles, shared by its two directions.
 *
 * For attention*.c alone. A query tile is up to FR_TILE_ROWS rows (token, head) of one segment whose heads share one key/value
 * head; tokens count from the segment's first query. The tile's keys are runs: the prefix, each span, the segment's own keys, in
 * this order. Each run is cut into key tiles from its own first key. So the structure of a segment alone fixes the order of a
 * row's sums. Key tiles that no row of a query tile sees, because all lie before its window, are left out, as are own keys
 * beyond its last token: they would add zeros.
 *
 * Scores are kept in units of log 2: q carries log2(e) times the scale when its tile is packed, and so do cap and slopes. What
 * the product of q and k is not yet a score for - a cap, slopes, a window's beginning - is put on a row by a kernel of its own
 * before the softmax, only where there is such a thing.
 */
#ifndef FR_DEVICE_CPU_ATTENTION_IMPL_H
#define FR_DEVICE_CPU_ATTENTION_IMPL_H

#include "device/attention.h"
#include "device/cpu/cpu.h"
#include "device/cpu/kernels.h"

/* 48 rows are a whole number of blocks of 6 rows (AVX2) and 12 rows (AVX-512), and of groups of 1, 2, 3, 4, 6 or 8 heads. The
 * two score tiles of 48 x 64 take 24 of the 32 KiB of a small first cache; keys and queries pass by beside them. */
enum { FR_TILE_ROWS = 48, FR_TILE_KEYS = 64, FR_MAX_RUNS = FR_MAX_SPANS + 2 };

/** Keys and values of one key/value head that lie one after the other. */
typedef struct fr_key_run {
    const float *k;
    const float *v;
    int64_t stride;
    int64_t count;
    int64_t begin; /* of the first key tile that a row sees */
    int64_t
        lead; /* the key at the position of the tile's first token, were it in this run */
    int64_t window; /* 0: none for these keys */
    bool causal;    /* query i sees keys 0 .. i */
    bool is_prefix;
    float *dk; /* gradients, rows `stride` apart; NULL in the forward pass */
    float *dv;
} fr_key_run;

/** One call, as every tile sees it. */
typedef struct fr_attention_call {
    const fr_kernels *kernels;
    const fr_attention_params *params;
    const float *q;
    const float *k;
    const float *v;
    int64_t padded_dim;     /* head_dim up to a multiple of 16: floats a packed row */
    int64_t group;          /* query heads that share a key/value head */
    int64_t heads_per_tile; /* of one group */
    int64_t tokens_per_tile;
    int64_t n_chunks; /* head chunks of a group */
    bool shapes;      /* whether there is a cap or slopes */
} fr_attention_call;

/** Keys [first, end) of a key tile. */
typedef struct fr_key_range {
    int64_t first;
    int64_t end;
} fr_key_range;

typedef struct fr_query_tile {
    const fr_segment *segment;
    int64_t kv_head;
    int64_t first_head; /* among the query heads */
    int64_t n_heads;
    int64_t first_token; /* within the segment */
    int64_t n_tokens;
    int64_t n_rows; /* n_tokens * n_heads, token-major */
} fr_query_tile;

fr_attention_call fr_attention_call_make(const fr_device *device,
                                         const fr_attention_params *params, fr_view q,
                                         fr_view k, fr_view v);

/** The prefix that the segment sees; length 0: none. */
fr_attention_prefix fr_attention_prefix_of(const fr_attention_params *params,
                                           const fr_segment *segment);

/** Query tiles of a segment, for one head chunk. */
int64_t fr_attention_tiles(const fr_attention_call *call, const fr_segment *segment);

fr_query_tile fr_attention_tile(const fr_attention_call *call,
                                const fr_segment *segment, int64_t kv_head,
                                int64_t chunk, int64_t index);

/** Element 0 of row `row` of the tile in a buffer of query rows `stride` apart. */
int64_t fr_attention_row_offset(const fr_attention_call *call,
                                const fr_query_tile *tile, int64_t row, int64_t stride);

/** The runs that the tile sees, without empty ones and without gradients; returns their number. */
int fr_attention_runs(const fr_attention_call *call, const fr_query_tile *tile,
                      fr_key_run runs[FR_MAX_RUNS]);

/** Keys of the key tile at `start` of the run, of n_keys, that row `row` sees; an empty range is {0, 0}. */
fr_key_range fr_attention_visible(const fr_query_tile *tile, const fr_key_run *run,
                                  int64_t row, int64_t start, int64_t n_keys);

/** Whether products of that row are not yet its scores. */
bool fr_attention_has_shape(const fr_attention_call *call, fr_key_range range);

/** What makes them scores. */
fr_score_shape fr_attention_shape(const fr_attention_call *call,
                                  const fr_query_tile *tile, const fr_key_run *run,
                                  int64_t row, int64_t start, fr_key_range range);

/** Copy the tile's rows, scaled, to `packed` rows of padded_dim floats. */
void fr_attention_pack(const fr_attention_call *call, const fr_query_tile *tile,
                       const float *rows, int64_t stride, float factor, float *packed);

/**
 * Rows of K or V as the right side of a product over keys: in place if their width allows it, else
 * padded into `buffer` [FR_TILE_KEYS, padded_dim].
 */
const float *fr_attention_key_rows(const fr_attention_call *call, const float *rows,
                                   int64_t stride, int64_t n_keys, float *buffer,
                                   int64_t *ld);

/** log2(e) times the scale, rounded once */
float fr_attention_scale(const fr_attention_call *call);

/** Threads for the call: 1 if it is too small for more. */
int fr_attention_threads(const fr_device *device, const fr_attention_params *params);

#endif
