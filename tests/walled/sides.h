/*
 * sides.h - which side of the wall the arguments of a call lie on. For walled.c.
 */
#ifndef FR_TESTS_WALLED_SIDES_H
#define FR_TESTS_WALLED_SIDES_H

#include "device/backend.h"

#include <stdio.h>
#include <stdlib.h>

/** The memory behind it. */
typedef struct wall {
    char *region;
    int64_t used;     /* bytes of the region */
    const char *call; /* the last one */
} wall;

static inline bool is_behind(const wall *w, const void *memory)
{
    const char *at = memory;
    return at >= w->region && at < w->region + w->used;
}

_Noreturn static inline void refuse(const wall *w, const char *needs)
{
    (void)fprintf(stderr, "walled device: %s needs memory of the %s\n", w->call, needs);
    abort();
}

/* Each takes NULL, or memory of the right side. */
static inline void check_device(const wall *w, const void *memory)
{
    if (memory != NULL && !is_behind(w, memory)) {
        refuse(w, "device");
    }
}

static inline void check_view(const wall *w, fr_view x)
{
    check_device(w, x.at);
}

static inline void check_host(const wall *w, const void *memory)
{
    if (is_behind(w, memory)) {
        refuse(w, "host");
    }
}

static inline void check_matrix(const wall *w, const fr_matrix *matrix)
{
    check_host(w, matrix);
    for (int i = 0; i < matrix->n_parts; i++) {
        check_device(w, matrix->parts[i].rows);
    }
}

static inline void check_attention(const wall *w, const fr_attention_params *params)
{
    check_host(w, params->segments);
    check_host(w, params->prefixes_U);
    check_device(w, params->prefix_k_PGK);
    check_device(w, params->prefix_v_PGK);
    check_device(w, params->slopes_H);
}

static inline void check_gradients(const wall *w,
                                   const fr_attention_gradients *gradients)
{
    check_view(w, gradients->dq);
    check_view(w, gradients->dk);
    check_view(w, gradients->dv);
    check_device(w, gradients->dprefix_k_UPGK);
    check_device(w, gradients->dprefix_v_UPGK);
}

static inline void check_qkv(const wall *w, const fr_qkv *qkv)
{
    check_host(w, qkv->positions_T);
    check_host(w, qkv->segments);
    check_device(w, qkv->bias_W);
    check_device(w, qkv->table);
    check_view(w, qkv->cache_k);
    check_view(w, qkv->cache_v);
}

static inline void check_rule(const wall *w, const fr_sample_rule *rule)
{
    check_device(w, rule->never_V);
}

/* A number, or a description without pointers. */
static inline void check_nothing(const wall *w, ...)
{
    (void)w;
}

/* Apart, since "..." would make it a double. */
static inline void check_number(const wall *w, float number)
{
    (void)w;
    (void)number;
}

/* By its type: lists of indices and uniform numbers are the host's, all else is the device's. */
#define CHECK(x)                                                                       \
    _Generic((x),                                                                      \
        float: check_number,                                                           \
        fr_view: check_view,                                                           \
        float *: check_device,                                                         \
        const float *: check_device,                                                   \
        double *: check_device,                                                        \
        int64_t *: check_device,                                                       \
        int32_t *: check_device,                                                       \
        void *: check_device,                                                          \
        const void *: check_device,                                                    \
        const int32_t *: check_host,                                                   \
        const double *: check_host,                                                    \
        const fr_matrix *: check_matrix,                                               \
        const fr_attention_params *: check_attention,                                  \
        const fr_attention_gradients *: check_gradients,                               \
        const fr_qkv *: check_qkv,                                                     \
        const fr_sample_rule *: check_rule,                                            \
        default: check_nothing)(&of(device)->wall, x)
#define CHECK_1(x) CHECK(x)
#define CHECK_2(x, ...)                                                                \
    CHECK(x);                                                                          \
    CHECK_1(__VA_ARGS__)
#define CHECK_3(x, ...)                                                                \
    CHECK(x);                                                                          \
    CHECK_2(__VA_ARGS__)
#define CHECK_4(x, ...)                                                                \
    CHECK(x);                                                                          \
    CHECK_3(__VA_ARGS__)
#define CHECK_5(x, ...)                                                                \
    CHECK(x);                                                                          \
    CHECK_4(__VA_ARGS__)
#define CHECK_6(x, ...)                                                                \
    CHECK(x);                                                                          \
    CHECK_5(__VA_ARGS__)
#define CHECK_7(x, ...)                                                                \
    CHECK(x);                                                                          \
    CHECK_6(__VA_ARGS__)
#define CHECK_8(x, ...)                                                                \
    CHECK(x);                                                                          \
    CHECK_7(__VA_ARGS__)
#define CHECK_9(x, ...)                                                                \
    CHECK(x);                                                                          \
    CHECK_8(__VA_ARGS__)
#define TENTH(a, b, c, d, e, f, g, h, i, tenth, ...) tenth
/** All arguments of an operator of `device`. */
#define CHECK_ALL(...)                                                                 \
    TENTH(__VA_ARGS__, CHECK_9, CHECK_8, CHECK_7, CHECK_6, CHECK_5, CHECK_4, CHECK_3,  \
          CHECK_2, CHECK_1, 0)                                                         \
    (__VA_ARGS__)

#endif
