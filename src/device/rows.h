/*
 * rows.h - rows that move between buffers: picked, spread, added up, and put into a key/value cache.
 *
 * Words, shape letters and promises as in device.h. Lists of rows and segments are memory of the host, read during the call;
 * all other pointers are memory of the device. Counts may be 0. A source and a target never overlap. Views of a call have
 * one type.
 */
#ifndef FR_DEVICE_ROWS_H
#define FR_DEVICE_ROWS_H

#include "device/attention.h"

/** y[n] = x[rows[n]]: N rows of any, each as often as it is named. The way back of gradients is fr_add_rows. */
void fr_copy_rows(fr_device *device, int64_t n_rows, int64_t width,
                  const int32_t *rows_N, fr_view x, fr_view y_ND);

/** y[rows[s]] = x[s], and 0 in the other rows of y's n_tokens. @param rows_S  each row at most once */
void fr_scatter_rows(fr_device *device, int64_t n_tokens, int64_t width, int64_t n_rows,
                     const int32_t *rows_S, fr_view x_SD, fr_view y_TD);

/** x[t] += table[rows[t]]: a learned position for each token. */
void fr_add_table_rows(fr_device *device, int64_t n_tokens, int64_t width,
                       const int32_t *rows_T, const fr_f32 *table, fr_f32 *x_TD);

/** y[rows[n]] += x[n]. A row may be named many times: its sums come in ascending n, one after the other. */
void fr_add_rows(fr_device *device, int64_t n_rows, int64_t width,
                 const int32_t *rows_N, const fr_f32 *x_ND, fr_f32 *y);

/**
 * The keys and values of each segment's own tokens go to the rows of a cache that the segment calls its own (own_first and
 * those after it); other rows of the cache stay. No two segments have an own row in common.
 * @param params   its segments; k and v are as for fr_attention, with rows kv_stride apart
 * @param cache_k  dense [rows, G*K], as is cache_v
 */
void fr_fill_cache(fr_device *device, const fr_attention_params *params, fr_view k,
                   fr_view v, fr_view cache_k, fr_view cache_v);

#endif
