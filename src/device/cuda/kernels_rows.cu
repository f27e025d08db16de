/*
 * Kernels of rows that move, of sums, and of values that are kept. All are bound by memory: each number is read once and
 * written once.
 */
#include "device/cuda/kernels_rows.h"
#include "device/cuda/side.cuh"

enum { THREADS = 256 };

/* Groups of N first, then the numbers that are left: `item`<N, types>(a, first number). */
#define RUN(N, item, ...)                                                              \
    for (int64_t i = fr_first_item(); i < a.n_groups; i += fr_item_step()) {           \
        item<N, __VA_ARGS__>(a, i * (N));                                              \
    }                                                                                  \
    for (int64_t i = a.n_groups * (N) + fr_first_item(); i < a.n;                      \
         i += fr_item_step()) {                                                        \
        item<1, __VA_ARGS__>(a, i);                                                    \
    }

template <int N, typename X, typename S>
FR_DEVICE void save_item(const fr_run_arguments &a, int64_t i)
{
    X *x = static_cast<X *>(a.x) + i;
    fr_side<N> kept = fr_rounded<S>(fr_read_side<N>(x));
    if (sizeof(S) < sizeof(X)) {
        fr_write_side<N>(x, kept);
    }
    if (a.y != nullptr) {
        fr_write_side<N>(static_cast<S *>(a.y) + i, kept);
    }
}

template <typename X, typename S> FR_DEVICE void save_body(const fr_run_arguments &a)
{
    constexpr int N = fr_side_of<X, S>::N;
    RUN(N, save_item, X, S)
}

template <int N, typename S, typename X>
FR_DEVICE void restore_item(const fr_run_arguments &a, int64_t i)
{
    fr_write_side<N>(static_cast<X *>(a.x) + i,
                     fr_read_side<N>(static_cast<const S *>(a.y) + i));
}

template <typename S, typename X> FR_DEVICE void restore_body(const fr_run_arguments &a)
{
    constexpr int N = fr_side_of<S, X>::N;
    RUN(N, restore_item, S, X)
}

template <int N, typename X>
FR_DEVICE void add_scaled_item(const fr_run_arguments &a, int64_t i)
{
    float *y = static_cast<float *>(a.y) + i;
    fr_side<N> x = fr_read_side<N>(static_cast<const X *>(a.x) + i);
    fr_side<N> sum = fr_read_side<N>(y);
    for (int j = 0; j < N; j++) {
        sum.at[j] = fr_fma(x.at[j], a.factor, sum.at[j]);
    }
    fr_write_side<N>(y, sum);
}

template <typename X> FR_DEVICE void add_scaled_body(const fr_run_arguments &a)
{
    constexpr int N = fr_side_of<X>::N;
    RUN(N, add_scaled_item, X)
}

template <int N, typename X>
FR_DEVICE void scale_item(const fr_run_arguments &a, int64_t i)
{
    X *at = static_cast<X *>(a.x) + i;
    fr_side<N> x = fr_read_side<N>(at);
    for (int j = 0; j < N; j++) {
        x.at[j] *= a.factor;
    }
    fr_write_side<N>(at, x);
}

FR_KERNEL_2(save, fr_run_arguments, THREADS)
FR_KERNEL_2(restore, fr_run_arguments, THREADS)
FR_KERNEL_1(add_scaled, fr_run_arguments, THREADS)

FR_KERNEL(scale, fr_run_arguments, THREADS)
{
    constexpr int N = fr_side_of<float>::N;
    RUN(N, scale_item, float)
}

/* A thread's first item of a row. */
FR_DEVICE int64_t first_in_row(void)
{
    return fr_block_y() * fr_threads() + fr_thread();
}

struct alignas(16) unit_16 {
    uint32_t at[4];
};

template <typename U> FR_DEVICE void copy_units(const fr_copy_rows_arguments &a)
{
    for (int64_t n = fr_block(); n < a.n_rows; n += fr_blocks()) {
        int64_t row = a.rows_N[n];
        const U *x = static_cast<const U *>(a.x);
        U *to = static_cast<U *>(a.y_ND) + n * a.width;
        for (int64_t i = first_in_row(); i < a.width; i += a.step) {
            U unit = {};
            if (row >= 0) {
                unit = x[row * a.width + i];
            }
            to[i] = unit;
        }
    }
}

FR_KERNEL(copy_rows, fr_copy_rows_arguments, THREADS)
{
    if (a.unit == 16) {
        copy_units<unit_16>(a);
    } else if (a.unit == 4) {
        copy_units<uint32_t>(a);
    } else {
        copy_units<uint16_t>(a);
    }
}

template <int N> FR_DEVICE void add_to(fr_side<N> *sum, const fr_side<N> &x)
{
    for (int j = 0; j < N; j++) {
        sum->at[j] += x.at[j];
    }
}

template <int N> FR_DEVICE void add_table_items(const fr_add_table_rows_arguments &a)
{
    for (int64_t t = fr_block(); t < a.n_tokens; t += fr_blocks()) {
        const float *from = a.table + a.rows_T[t] * a.width;
        float *to = a.x_TD + t * a.width;
        for (int64_t i = N * first_in_row(); i < a.width; i += N * a.step) {
            fr_side<N> sum = fr_read_side<N>(to + i);
            add_to(&sum, fr_read_side<N>(from + i));
            fr_write_side<N>(to + i, sum);
        }
    }
}

FR_KERNEL(add_table_rows, fr_add_table_rows_arguments, THREADS)
{
    if (a.wide != 0) {
        add_table_items<fr_side_of<float>::N>(a);
    } else {
        add_table_items<1>(a);
    }
}

/* y's numbers from i on plus those of the rows that the list names from `first` to `end`. Four rows are read before their
 * numbers are added: the sum waits for memory a quarter as often. */
template <int N>
FR_DEVICE fr_side<N> sum_of_rows(const fr_add_rows_arguments &a, int64_t first,
                                 int64_t end, int64_t i, fr_side<N> sum)
{
    const float *x = a.x_ND + i;
    int64_t n = first;
    for (; n + 4 <= end; n += 4) {
        fr_side<N> x0 = fr_read_side<N>(x + a.order[n] * a.width);
        fr_side<N> x1 = fr_read_side<N>(x + a.order[n + 1] * a.width);
        fr_side<N> x2 = fr_read_side<N>(x + a.order[n + 2] * a.width);
        fr_side<N> x3 = fr_read_side<N>(x + a.order[n + 3] * a.width);
        add_to(&sum, x0);
        add_to(&sum, x1);
        add_to(&sum, x2);
        add_to(&sum, x3);
    }
    for (; n < end; n++) {
        add_to(&sum, fr_read_side<N>(x + a.order[n] * a.width));
    }
    return sum;
}

template <int N> FR_DEVICE void add_items(const fr_add_rows_arguments &a)
{
    for (int64_t u = fr_block(); u < a.n_rows; u += fr_blocks()) {
        float *to = a.y + a.rows[u] * a.width;
        int64_t first = a.begins[u];
        int64_t end = a.begins[u + 1];
        for (int64_t i = N * first_in_row(); i < a.width; i += N * a.step) {
            fr_side<N> before = fr_read_side<N>(to + i);
            fr_write_side<N>(to + i, sum_of_rows<N>(a, first, end, i, before));
        }
    }
}

FR_KERNEL(add_rows, fr_add_rows_arguments, THREADS)
{
    if (a.wide != 0) {
        add_items<fr_side_of<float>::N>(a);
    } else {
        add_items<1>(a);
    }
}
