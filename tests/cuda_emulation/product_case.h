/*
 * product_case.h - products for tests of a CUDA device: their types, weights on both sides, and the sums that are documented.
 */
#ifndef FR_CUDA_EMULATION_PRODUCT_CASE_H
#define FR_CUDA_EMULATION_PRODUCT_CASE_H

#include "pair.h"

#include "support/linear_case.h"

enum { FR_PRODUCT_TYPES = 8, FR_PRODUCT_DIRECTIONS = 2 };

typedef struct fr_product_setting {
    bool back;
    int types; /* bf16: 4 for the left operand, 2 for the weights, 1 for the result; 0 .. FR_PRODUCT_TYPES - 1 */
    bool accumulate;
    int shift;           /* numbers by which all operands lie off an aligned address */
    int64_t slice_bytes; /* 0: the operator's */
    bool is_plain;       /* without tensor cores */
} fr_product_setting;

static inline fr_dtype fr_product_left(const fr_product_setting *s)
{
    return fr_digit_type(s->types / 4);
}
static inline fr_dtype fr_product_weights(const fr_product_setting *s)
{
    return fr_digit_type(s->types / 2 % 2);
}
static inline fr_dtype fr_product_out(const fr_product_setting *s)
{
    return fr_digit_type(s->types % 2);
}

typedef struct fr_product_map {
    int64_t n_out;
    int64_t n_in;
} fr_product_map;

/** Weights of the host and the device's copy. */
typedef struct fr_product_case {
    fr_linear_case linear;
    fr_matrix w; /* on the device */
    void *memory;
} fr_product_case;

/** With weights of that type; the device has tried both directions of it (device/products.h). */
fr_product_case fr_product_case_init(const fr_two *two, const fr_product_setting *s,
                                     int64_t n_out, int64_t n_in);
/** The same, which the device has not tried. */
fr_product_case fr_product_case_untried(const fr_two *two, const fr_product_setting *s,
                                        int64_t n_out, int64_t n_in);
void fr_product_case_fini(const fr_two *two, fr_product_case *p);

/** The device's copy again, after fr_linear_case_set. */
void fr_product_case_renew(const fr_two *two, const fr_product_setting *s,
                           fr_product_case *p);

/** fr_linear or fr_linear_back of the CUDA device, by slices of that size. */
void fr_product_case_run(const fr_two *two, const fr_product_setting *s, int64_t m,
                         fr_view left, const fr_matrix *w, fr_view out);

/** One call of the operator with a matrix: its numbers on both sides, of which the CPU's results are for the caller to make. */
typedef struct fr_product_call {
    char what[160]; /* for messages */
    int64_t n;      /* of results */
    fr_pair left;
    fr_pair out;    /* one number more behind the results */
    const float *x; /* [m, depth] of left.cpu, behind the shift */
    float *wanted; /* [n] of out.cpu, behind the shift: what the results are added to */
} fr_product_call;

/** Make numbers and call. @param[out] out  stays where it is until fr_product_call_fini */
void fr_product_call_run(const fr_two *two, const fr_product_case *p,
                         const fr_product_setting *s, int64_t m, fr_product_call *out);
void fr_product_call_fini(fr_product_call *call);

enum { FR_PRODUCT_ROWS_MOST = 300 };

/** The last rows of a call of FR_PRODUCT_ROWS_MOST, in calls of so many: each has the bits that it has among all.
 * @param rows  [n], each 1 .. FR_PRODUCT_ROWS_MOST */
void fr_product_case_assert_rows(const fr_two *two, const fr_product_setting *s,
                                 int64_t n_out, int64_t n_in, const int64_t *rows,
                                 int n);

/** The sums as they are documented (kernels_product.cu); `out` holds what they are added to. */
void fr_product_case_sums(const fr_linear_case *linear, const fr_product_setting *s,
                          int64_t m, const float *left, float *out);

/** Memory of the CUDA device with these bytes behind the first `offset`; freed by the caller. */
void *fr_test_to_device(const fr_two *two, const void *from, int64_t bytes,
                        int64_t offset);

#endif
