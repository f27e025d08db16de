/*
 * operators.h - the operators of the walled device: those of the CPU, with the wall open. For walled.c.
 */
#ifndef FR_TESTS_WALLED_OPERATORS_H
#define FR_TESTS_WALLED_OPERATORS_H

#include "narrow.h"
#include "sides.h"

#define USE(view, n) narrow_use_of(&(view), n)
#define NO_VIEW narrow_use_of(NULL, 0)
#define LIST(...) __VA_ARGS__
#define N_USES(uses) (int)(sizeof(uses) / sizeof *(uses))

/* Before the CPU's operator, and behind it. */
#define START(name, args, uses)                                                        \
    of(device)->wall.call = #name;                                                     \
    CHECK_ALL args;                                                                    \
    enter(device);                                                                     \
    narrow_begin(&of(device)->narrow, N_USES(uses), uses)
#define FINISH(uses)                                                                   \
    narrow_end(&of(device)->narrow, N_USES(uses), uses);                               \
    leave(device);                                                                     \
    of(device)->clock++

#define WALLED(name, params, args, views)                                              \
    static void walled_##name params                                                   \
    {                                                                                  \
        narrow_use uses[] = {LIST views};                                              \
        START(name, args, uses);                                                       \
        cpu_of(device)->ops->name args;                                                \
        FINISH(uses);                                                                  \
    }

#define WALLED_STATUS(name, params, args, views)                                       \
    static fr_status walled_##name params                                              \
    {                                                                                  \
        narrow_use uses[] = {LIST views};                                              \
        START(name, args, uses);                                                       \
        fr_status status = cpu_of(device)->ops->name args;                             \
        FINISH(uses);                                                                  \
        return status;                                                                 \
    }

WALLED(copy, (fr_device * device, void *to, const void *from, int64_t bytes),
       (cpu_of(device), to, from, bytes), (NO_VIEW))
WALLED(zero, (fr_device * device, void *to, int64_t bytes), (cpu_of(device), to, bytes),
       (NO_VIEW))
WALLED_STATUS(linear,
              (fr_device * device, int64_t m, fr_view x, const fr_matrix *w,
               fr_view add, fr_view y),
              (cpu_of(device), m, x, w, add, y),
              (USE(x, m * w->n_in), USE(add, m * w->n_out), USE(y, m * w->n_out)))
WALLED_STATUS(linear_few,
              (fr_device * device, int64_t m, fr_view x, const fr_matrix *w,
               fr_view add, fr_view y),
              (cpu_of(device), m, x, w, add, y),
              (USE(x, m * w->n_in), USE(add, m * w->n_out), USE(y, m * w->n_out)))
WALLED_STATUS(linear_back,
              (fr_device * device, int64_t m, fr_view dy, const fr_matrix *w,
               bool accumulate, fr_view dx),
              (cpu_of(device), m, dy, w, accumulate, dx),
              (USE(dy, m * w->n_out), USE(dx, m * w->n_in)))
WALLED_STATUS(gather_rows,
              (fr_device * device, int64_t n_tokens, const int32_t *ids,
               const fr_matrix *table, float *y_TD),
              (cpu_of(device), n_tokens, ids, table, y_TD), (NO_VIEW))
WALLED(rmsnorm,
       (fr_device * device, int64_t n_tokens, int64_t width, fr_view x_TD,
        const float *w_D, float eps, fr_view y_TD, float *rstd_T),
       (cpu_of(device), n_tokens, width, x_TD, w_D, eps, y_TD, rstd_T),
       (USE(x_TD, n_tokens *width), USE(y_TD, n_tokens *width)))
WALLED(rmsnorm_back,
       (fr_device * device, int64_t n_tokens, int64_t width, fr_view x_TD,
        const float *w_D, const float *rstd_T, fr_view dy_TD, float *dx_TD,
        fr_view again_TD),
       (cpu_of(device), n_tokens, width, x_TD, w_D, rstd_T, dy_TD, dx_TD, again_TD),
       (USE(x_TD, n_tokens *width), USE(dy_TD, n_tokens *width),
        USE(again_TD, n_tokens *width)))
WALLED(layernorm,
       (fr_device * device, int64_t n_tokens, int64_t width, fr_view x_TD,
        const float *w_D, const float *b_D, float eps, fr_view y_TD, float *stats_T2),
       (cpu_of(device), n_tokens, width, x_TD, w_D, b_D, eps, y_TD, stats_T2),
       (USE(x_TD, n_tokens *width), USE(y_TD, n_tokens *width)))
WALLED(layernorm_back,
       (fr_device * device, int64_t n_tokens, int64_t width, fr_view x_TD,
        const float *w_D, const float *stats_T2, fr_view dy_TD, float *dx_TD,
        fr_view again_TD),
       (cpu_of(device), n_tokens, width, x_TD, w_D, stats_T2, dy_TD, dx_TD, again_TD),
       (USE(x_TD, n_tokens *width), USE(dy_TD, n_tokens *width),
        USE(again_TD, n_tokens *width)))
WALLED(add_bias,
       (fr_device * device, int64_t n_tokens, int64_t width, int64_t stride,
        const float *b, fr_view x),
       (cpu_of(device), n_tokens, width, stride, b, x),
       (USE(x, numbers_of_rows(n_tokens, width, stride))))
WALLED(rope,
       (fr_device * device, const fr_heads *heads, int64_t rotary,
        const int32_t *positions_T, const float *table, bool inverse, fr_view x),
       (cpu_of(device), heads, rotary, positions_T, table, inverse, x),
       (USE(x, numbers_of_heads(heads))))
WALLED(rmsnorm_heads,
       (fr_device * device, const fr_heads *heads, fr_view x, const float *w_K,
        float eps, fr_view y, float *rstd_TN),
       (cpu_of(device), heads, x, w_K, eps, y, rstd_TN),
       (USE(x, numbers_of_heads(heads)), USE(y, numbers_of_heads(heads))))
WALLED(rmsnorm_heads_back,
       (fr_device * device, const fr_heads *heads, fr_view x, const float *w_K,
        const float *rstd_TN, fr_view dy, fr_view dx),
       (cpu_of(device), heads, x, w_K, rstd_TN, dy, dx),
       (USE(x, numbers_of_heads(heads)), USE(dy, numbers_of_heads(heads)),
        USE(dx, numbers_of_heads(heads))))
WALLED(save, (fr_device * device, int64_t n, fr_view x, fr_view saved),
       (cpu_of(device), n, x, saved), (USE(x, n)))
WALLED(restore, (fr_device * device, int64_t n, fr_view saved, fr_view x),
       (cpu_of(device), n, saved, x), (USE(x, n)))
WALLED(add, (fr_device * device, int64_t n, fr_view x, float *y),
       (cpu_of(device), n, x, y), (USE(x, n)))
WALLED(add_scaled, (fr_device * device, int64_t n, float factor, fr_view x, float *y),
       (cpu_of(device), n, factor, x, y), (USE(x, n)))
WALLED(scale, (fr_device * device, int64_t n, float factor, float *x),
       (cpu_of(device), n, factor, x), (NO_VIEW))
WALLED(gated,
       (fr_device * device, fr_activation activation, int64_t n_tokens, int64_t width,
        fr_view gate_up_T2F, fr_view y_TF),
       (cpu_of(device), activation, n_tokens, width, gate_up_T2F, y_TF),
       (USE(gate_up_T2F, 2 * n_tokens * width), USE(y_TF, n_tokens *width)))
WALLED(gated_back,
       (fr_device * device, fr_activation activation, int64_t n_tokens, int64_t width,
        fr_view gate_up_T2F, fr_view dy_TF, fr_view dgate_up_T2F),
       (cpu_of(device), activation, n_tokens, width, gate_up_T2F, dy_TF, dgate_up_T2F),
       (USE(gate_up_T2F, 2 * n_tokens * width), USE(dy_TF, n_tokens *width),
        USE(dgate_up_T2F, 2 * n_tokens * width)))
WALLED(save_gated,
       (fr_device * device, fr_activation activation, int64_t n_tokens, int64_t width,
        fr_view gate_up_T2F, fr_view saved, fr_view y_TF),
       (cpu_of(device), activation, n_tokens, width, gate_up_T2F, saved, y_TF),
       (USE(gate_up_T2F, 2 * n_tokens * width), USE(y_TF, n_tokens *width)))
WALLED(restore_gated_back,
       (fr_device * device, fr_activation activation, int64_t n_tokens, int64_t width,
        fr_view saved, fr_view dy_TF, fr_view dgate_up_T2F),
       (cpu_of(device), activation, n_tokens, width, saved, dy_TF, dgate_up_T2F),
       (USE(dy_TF, n_tokens *width), USE(dgate_up_T2F, 2 * n_tokens * width)))
WALLED(activate,
       (fr_device * device, fr_activation activation, int64_t n, fr_view x, fr_view y),
       (cpu_of(device), activation, n, x, y), (USE(x, n), USE(y, n)))
WALLED(activate_back,
       (fr_device * device, fr_activation activation, int64_t n, fr_view x, fr_view dy,
        fr_view dx),
       (cpu_of(device), activation, n, x, dy, dx), (USE(x, n), USE(dy, n), USE(dx, n)))
WALLED_STATUS(attention,
              (fr_device * device, const fr_attention_params *params, fr_view q,
               fr_view k, fr_view v, fr_view o_THK, float *lse_TH),
              (cpu_of(device), params, q, k, v, o_THK, lse_TH),
              (USE(q, numbers_of_queries(params)), USE(k, numbers_of_keys(params)),
               USE(v, numbers_of_keys(params)), USE(o_THK, numbers_of_outputs(params))))

/* The gradients are a structure of the caller's, so their views are changed in a copy. */
static fr_status walled_attention_back(fr_device *device,
                                       const fr_attention_params *params, fr_view q,
                                       fr_view k, fr_view v, fr_view o_THK,
                                       const float *lse_TH, fr_view do_THK,
                                       const fr_attention_gradients *gradients)
{
    fr_attention_gradients own = *gradients;
    narrow_use uses[] = {USE(q, numbers_of_queries(params)),
                         USE(k, numbers_of_keys(params)),
                         USE(v, numbers_of_keys(params)),
                         USE(o_THK, numbers_of_outputs(params)),
                         USE(do_THK, numbers_of_outputs(params)),
                         USE(own.dq, numbers_of_queries(params)),
                         USE(own.dk, numbers_of_keys(params)),
                         USE(own.dv, numbers_of_keys(params))};
    START(attention_back,
          (cpu_of(device), params, q, k, v, o_THK, lse_TH, do_THK, gradients), uses);
    fr_status status = cpu_of(device)->ops->attention_back(
        cpu_of(device), params, q, k, v, o_THK, lse_TH, do_THK, &own);
    FINISH(uses);
    return status;
}

/* The cache's views are in a structure of the caller's, too. */
static void walled_qkv_finish(fr_device *device, const fr_qkv *qkv, fr_view x_TW,
                              fr_view saved_TW)
{
    fr_qkv own = *qkv;
    narrow_use uses[] = {USE(x_TW, numbers_of_qkv(qkv)),
                         USE(own.cache_k, numbers_of_qkv_cache(qkv)),
                         USE(own.cache_v, numbers_of_qkv_cache(qkv))};
    START(qkv_finish, (cpu_of(device), qkv, x_TW, saved_TW), uses);
    cpu_of(device)->ops->qkv_finish(cpu_of(device), &own, x_TW, saved_TW);
    FINISH(uses);
}

WALLED(shape_logits,
       (fr_device * device, int64_t n, const fr_logit_shape *shape, float *logits),
       (cpu_of(device), n, shape, logits), (NO_VIEW))
WALLED(cross_entropy,
       (fr_device * device, int64_t n_rows, int64_t vocab, const fr_logit_shape *shape,
        float *logits_RV, const int32_t *targets_R, bool want_gradient, double *nll_R),
       (cpu_of(device), n_rows, vocab, shape, logits_RV, targets_R, want_gradient,
        nll_R),
       (NO_VIEW))
WALLED(exact_add,
       (fr_device * device, int64_t n_units, int64_t n, int exponent, const float *g_Un,
        int64_t *sum_n, int64_t *n_refused),
       (cpu_of(device), n_units, n, exponent, g_Un, sum_n, n_refused), (NO_VIEW))
WALLED(exact_add_numbers,
       (fr_device * device, int64_t n, int exponent, const double *x_n, int64_t *sum,
        int64_t *n_refused),
       (cpu_of(device), n, exponent, (const void *)x_n, sum, n_refused), (NO_VIEW))
WALLED(copy_rows,
       (fr_device * device, int64_t n_rows, int64_t width, const int32_t *rows_N,
        fr_view x, fr_view y_ND),
       (cpu_of(device), n_rows, width, rows_N, x, y_ND),
       (USE(x, rows_of_list(n_rows, rows_N) * width), USE(y_ND, n_rows *width)))
WALLED(scatter_rows,
       (fr_device * device, int64_t n_tokens, int64_t width, int64_t n_rows,
        const int32_t *rows_S, fr_view x_SD, fr_view y_TD),
       (cpu_of(device), n_tokens, width, n_rows, rows_S, x_SD, y_TD),
       (USE(x_SD, n_rows *width), USE(y_TD, n_tokens *width)))
WALLED(add_table_rows,
       (fr_device * device, int64_t n_tokens, int64_t width, const int32_t *rows_T,
        const float *table, float *x_TD),
       (cpu_of(device), n_tokens, width, rows_T, table, x_TD), (NO_VIEW))
WALLED(add_rows,
       (fr_device * device, int64_t n_rows, int64_t width, const int32_t *rows_N,
        const float *x_ND, float *y),
       (cpu_of(device), n_rows, width, rows_N, x_ND, y), (NO_VIEW))
WALLED(fill_cache,
       (fr_device * device, const fr_attention_params *params, fr_view k, fr_view v,
        fr_view cache_k, fr_view cache_v),
       (cpu_of(device), params, k, v, cache_k, cache_v),
       (USE(k, numbers_of_new_keys(params)), USE(v, numbers_of_new_keys(params)),
        USE(cache_k, numbers_of_cache(params)), USE(cache_v, numbers_of_cache(params))))
WALLED_STATUS(sample_rows,
              (fr_device * device, int64_t n_rows, int64_t vocab,
               const float *logits_NV, const fr_sample_rule *rule,
               const double *uniform_N, int32_t *ids_N),
              (cpu_of(device), n_rows, vocab, logits_NV, rule, uniform_N, ids_N),
              (NO_VIEW))

#endif
