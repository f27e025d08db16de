#include "product_case.h"

#include "device/cuda/product.h"
#include "device/products.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void *fr_test_to_device(const fr_two *two, const void *from, int64_t bytes,
                        int64_t offset)
{
    void *memory = NULL;
    FR_ASSERT_OK(fr_device_alloc(two->cuda, bytes + offset + 1, 1, &memory));
    FR_ASSERT_OK(fr_device_load(two->cuda, (char *)memory + offset, from, bytes));
    return memory;
}

static void put_weights(const fr_two *two, int shift, fr_product_case *p)
{
    const fr_matrix *w = &p->linear.w;
    int64_t size = (int64_t)fr_dtype_bytes(w->dtype);
    p->memory = fr_test_to_device(two, w->parts[0].rows, w->n_out * w->n_in * size,
                                  shift * size);
    p->w = fr_matrix_of((char *)p->memory + shift * size, w->dtype, w->n_out, w->n_in);
}

fr_product_case fr_product_case_untried(const fr_two *two, const fr_product_setting *s,
                                        int64_t n_out, int64_t n_in)
{
    fr_product_case p = {.linear =
                             fr_linear_case_init(n_out, n_in, fr_product_weights(s))};
    put_weights(two, s->shift, &p);
    return p;
}

fr_product_case fr_product_case_init(const fr_two *two, const fr_product_setting *s,
                                     int64_t n_out, int64_t n_in)
{
    enum { SHAPES = 4 }; /* both directions, both types of results */
    fr_product_shape shapes[SHAPES];
    int64_t refused[SHAPES];
    for (int i = 0; i < SHAPES; i++) {
        shapes[i] = (fr_product_shape){.n_out = n_out,
                                       .n_in = n_in,
                                       .back = i / 2 == 1,
                                       .in = fr_product_weights(s),
                                       .out = fr_digit_type(i % 2)};
    }
    FR_ASSERT_OK(fr_products_try(two->cuda, SHAPES, shapes, refused));
    return fr_product_case_untried(two, s, n_out, n_in);
}

void fr_product_case_fini(const fr_two *two, fr_product_case *p)
{
    fr_device_free(two->cuda, p->memory);
    fr_linear_case_fini(&p->linear);
}

void fr_product_case_renew(const fr_two *two, const fr_product_setting *s,
                           fr_product_case *p)
{
    fr_device_free(two->cuda, p->memory);
    put_weights(two, s->shift, p);
}

void fr_product_case_run(const fr_two *two, const fr_product_setting *s, int64_t m,
                         fr_view left, const fr_matrix *w, fr_view out)
{
    fr_device *device = two->cuda;
    fr_cuda_product_way way = {
        s->slice_bytes > 0 ? s->slice_bytes : FR_CUDA_SLICE_BYTES, s->is_plain};
    if (s->slice_bytes == 0 && !s->is_plain) {
        FR_ASSERT_OK(s->back ? fr_linear_back(device, m, left, w, s->accumulate, out)
                             : fr_linear(device, m, left, w,
                                         fr_view_if(s->accumulate, out), out));
    } else {
        FR_ASSERT_OK(
            s->back
                ? fr_cuda_linear_back_by(device, m, left, w, s->accumulate, out, &way)
                : fr_cuda_linear_by(device, m, left, w, fr_view_if(s->accumulate, out),
                                    out, &way));
    }
}

void fr_product_call_run(const fr_two *two, const fr_product_case *p,
                         const fr_product_setting *s, int64_t m, fr_product_call *out)
{
    fr_product_call *c = out;
    int64_t depth = fr_linear_case_depth(&p->linear, s->back);
    c->n = m * fr_linear_case_columns(&p->linear, s->back);
    (void)snprintf(c->what, sizeof c->what, "%s %d%d%d %lldx%lld m %lld%s, shift %d",
                   s->back ? "backward" : "forward", s->types / 4, s->types / 2 % 2,
                   s->types % 2, (long long)p->w.n_out, (long long)p->w.n_in,
                   (long long)m, s->accumulate ? " accumulating" : "", s->shift);
    c->left =
        fr_pair_numbers(two, c->what, s->shift + m * depth, fr_product_left(s), 5, 1);
    c->out =
        fr_pair_numbers(two, c->what, s->shift + c->n + 1, fr_product_out(s), 11, 1);
    c->x = (const float *)c->left.cpu + s->shift;
    c->wanted = (float *)c->out.cpu + s->shift;
    fr_product_case_run(two, s, m, fr_view_at(c->left.on_cuda, s->shift), &p->w,
                        fr_view_at(c->out.on_cuda, s->shift));
}

void fr_product_call_fini(fr_product_call *call)
{
    fr_pair_free(&call->left);
    fr_pair_free(&call->out);
}

void fr_product_case_assert_rows(const fr_two *two, const fr_product_setting *s,
                                 int64_t n_out, int64_t n_in, const int64_t *rows,
                                 int n)
{
    enum { MOST = FR_PRODUCT_ROWS_MOST };
    fr_product_case p = fr_product_case_init(two, s, n_out, n_in);
    int64_t depth = fr_linear_case_depth(&p.linear, s->back);
    int64_t columns = fr_linear_case_columns(&p.linear, s->back);
    fr_pair left = fr_pair_numbers(two, "left", MOST * depth, fr_product_left(s), 5, 1);
    fr_pair all = fr_pair_numbers(two, "all", MOST * columns, fr_product_out(s), 11, 1);
    fr_product_case_run(two, s, MOST, left.on_cuda, &p.w, all.on_cuda);
    float *wanted = fr_pair_fetch(&all);
    for (int r = 0; r < n; r++) {
        int64_t first = MOST - rows[r];
        fr_pair some = fr_pair_of(two, "some", rows[r] * columns, fr_product_out(s),
                                  (const float *)all.cpu + first * columns);
        fr_product_case_run(two, s, rows[r], fr_view_at(left.on_cuda, first * depth),
                            &p.w, some.on_cuda);
        float *got = fr_pair_fetch(&some);
        fr_assert_same_bytes("rows in a call of their own", got,
                             wanted + first * columns,
                             (size_t)(rows[r] * columns) * sizeof *got);
        free(got);
        fr_pair_free(&some);
    }
    free(wanted);
    fr_pair_free(&left);
    fr_pair_free(&all);
    fr_product_case_fini(two, &p);
}

/* ---- the documented sum ---------------------------------------------------------------------- */

static float sum_in_order(const fr_linear_case *linear, bool back, const float *left,
                          int64_t column)
{
    int64_t n_in = linear->w.n_in;
    int64_t depth = fr_linear_case_depth(linear, back);
    const float *w = linear->wide + (back ? column : column * n_in);
    float sum = 0.0F;
    for (int64_t d = 0; d < depth; d++) {
        float x = fr_linear_case_round(linear->w.dtype, left[d]);
        sum = fmaf(x, w[d * (back ? n_in : 1)], sum);
    }
    return sum;
}

void fr_product_case_sums(const fr_linear_case *linear, const fr_product_setting *s,
                          int64_t m, const float *left, float *out)
{
    int64_t depth = fr_linear_case_depth(linear, s->back);
    int64_t columns = fr_linear_case_columns(linear, s->back);
    for (int64_t i = 0; i < m * columns; i++) {
        float sum =
            sum_in_order(linear, s->back, left + i / columns * depth, i % columns);
        out[i] = s->accumulate ? out[i] + sum : sum;
    }
}
