/*
 * Kernels of activations, over the CPU's formulas.
 *
 * Each thread reads all numbers of an item before it writes any, and no other thread reads them, so results may lie where
 * their arguments do. The activation is the same for a whole kernel: it is chosen once, outside of every loop.
 */
#include "device/cuda/kernels_activation.h"
#include "device/cuda/side.cuh"
#include "device/cuda/simd_one.cuh"

#include "device/cpu/kernels_activation_at.h"

enum { THREADS = 256 };

/* Call a function template whose first argument is the activation. */
#define WITH_ACTIVATION(function, ...)                                                 \
    switch (a.activation) {                                                            \
    case FR_ACTIVATION_SILU:                                                           \
        function<FR_ACTIVATION_SILU, __VA_ARGS__>(a);                                  \
        break;                                                                         \
    case FR_ACTIVATION_GELU_TANH:                                                      \
        function<FR_ACTIVATION_GELU_TANH, __VA_ARGS__>(a);                             \
        break;                                                                         \
    case FR_ACTIVATION_GELU_ERF:                                                       \
        function<FR_ACTIVATION_GELU_ERF, __VA_ARGS__>(a);                              \
        break;                                                                         \
    default:                                                                           \
        function<FR_ACTIVATION_RELU, __VA_ARGS__>(a);                                  \
        break;                                                                         \
    }

/* A thread's items of a row; `i` is the first number of one. */
#define FOR_ITEMS(N, i, width, step)                                                   \
    for (int64_t i = (N) * (fr_block_y() * fr_threads() + fr_thread()); i < (width);   \
         i += (N) * (step))

template <fr_activation KIND, int N>
FR_DEVICE fr_side<N> gated_of(const fr_side<N> &gate, const fr_side<N> &up)
{
    fr_side<N> y;
    for (int i = 0; i < N; i++) {
        y.at[i] = activation_of(KIND, v8_set(gate.at[i])).lane * up.at[i];
    }
    return y;
}

template <fr_activation KIND, typename X, int N>
FR_DEVICE void write_gradients(const fr_side<N> &dy, const fr_side<N> &gate,
                               const fr_side<N> &up, X *dgate_at, X *dup_at)
{
    fr_side<N> dgate;
    fr_side<N> dup;
    for (int i = 0; i < N; i++) {
        activation_point at = activation_at(KIND, v8_set(gate.at[i]));
        dgate.at[i] = dy.at[i] * up.at[i] * at.slope.lane;
        dup.at[i] = dy.at[i] * at.value.lane;
    }
    fr_write_side<N>(dgate_at, dgate);
    fr_write_side<N>(dup_at, dup);
}

template <fr_activation KIND, typename X, int N>
FR_DEVICE void gated_rows(const fr_gated_arguments &a)
{
    for (int64_t t = fr_block(); t < a.n_tokens; t += fr_blocks()) {
        const X *row = static_cast<const X *>(a.gate_up) + 2 * t * a.width;
        X *y = static_cast<X *>(a.out) + t * a.width;
        FOR_ITEMS(N, i, a.width, a.step)
        {
            fr_side<N> gate = fr_read_side<N>(row + i);
            fr_side<N> up = fr_read_side<N>(row + a.width + i);
            fr_write_side<N>(y + i, gated_of<KIND, N>(gate, up));
        }
    }
}

template <fr_activation KIND, typename X, int N>
FR_DEVICE void gated_back_rows(const fr_gated_arguments &a)
{
    for (int64_t t = fr_block(); t < a.n_tokens; t += fr_blocks()) {
        const X *row = static_cast<const X *>(a.gate_up) + 2 * t * a.width;
        const X *dy = static_cast<const X *>(a.dy) + t * a.width;
        X *to = static_cast<X *>(a.out) + 2 * t * a.width;
        X *to_up = to + a.width;
        FOR_ITEMS(N, i, a.width, a.step)
        {
            fr_side<N> gate = fr_read_side<N>(row + i);
            fr_side<N> up = fr_read_side<N>(row + a.width + i);
            write_gradients<KIND, X, N>(fr_read_side<N>(dy + i), gate, up, to + i,
                                        to_up + i);
        }
    }
}

/* Numbers as they are kept: rounded in their own place where that is narrower, and stored if anything is. */
template <typename X, typename S, int N>
FR_DEVICE fr_side<N> kept(const fr_side<N> &x, X *x_at, S *saved)
{
    fr_side<N> out = fr_rounded<S>(x);
    if (sizeof(S) < sizeof(X)) {
        fr_write_side<N>(x_at, out);
    }
    if (saved != nullptr) {
        fr_write_side<N>(saved, out);
    }
    return out;
}

template <fr_activation KIND, typename X, typename S, int N>
FR_DEVICE void save_gated_rows(const fr_gated_arguments &a)
{
    for (int64_t t = fr_block(); t < a.n_tokens; t += fr_blocks()) {
        X *row = static_cast<X *>(a.gate_up) + 2 * t * a.width;
        X *y = static_cast<X *>(a.out) + t * a.width;
        FOR_ITEMS(N, i, a.width, a.step)
        {
            S *to = a.saved != nullptr ? static_cast<S *>(a.saved) + 2 * t * a.width + i
                                       : nullptr;
            S *to_up = to != nullptr ? to + a.width : nullptr;
            fr_side<N> gate = fr_read_side<N>(row + i);
            fr_side<N> up = fr_read_side<N>(row + a.width + i);
            gate = kept<X, S, N>(gate, row + i, to);
            up = kept<X, S, N>(up, row + a.width + i, to_up);
            fr_write_side<N>(y + i, gated_of<KIND, N>(gate, up));
        }
    }
}

/* What was saved is first rounded to X, as fr_restore does. */
template <fr_activation KIND, typename S, typename X, int N>
FR_DEVICE void restore_gated_back_rows(const fr_gated_arguments &a)
{
    for (int64_t t = fr_block(); t < a.n_tokens; t += fr_blocks()) {
        const S *row = static_cast<const S *>(a.saved) + 2 * t * a.width;
        const X *dy = static_cast<const X *>(a.dy) + t * a.width;
        X *to = static_cast<X *>(a.out) + 2 * t * a.width;
        X *to_up = to + a.width;
        FOR_ITEMS(N, i, a.width, a.step)
        {
            fr_side<N> gate = fr_rounded<X>(fr_read_side<N>(row + i));
            fr_side<N> up = fr_rounded<X>(fr_read_side<N>(row + a.width + i));
            write_gradients<KIND, X, N>(fr_read_side<N>(dy + i), gate, up, to + i,
                                        to_up + i);
        }
    }
}

template <fr_activation KIND, typename X, int N>
FR_DEVICE void activate_item(const fr_activate_arguments &a, int64_t i)
{
    fr_side<N> x = fr_read_side<N>(static_cast<const X *>(a.x) + i);
    for (int j = 0; j < N; j++) {
        x.at[j] = activation_of(KIND, v8_set(x.at[j])).lane;
    }
    fr_write_side<N>(static_cast<X *>(a.out) + i, x);
}

template <fr_activation KIND, typename X, int N>
FR_DEVICE void activate_run(const fr_activate_arguments &a)
{
    for (int64_t i = fr_first_item(); i < a.n_groups; i += fr_item_step()) {
        activate_item<KIND, X, N>(a, i * N);
    }
    for (int64_t i = a.n_groups * N + fr_first_item(); i < a.n; i += fr_item_step()) {
        activate_item<KIND, X, 1>(a, i);
    }
}

template <fr_activation KIND, typename X, int N>
FR_DEVICE void activate_back_item(const fr_activate_arguments &a, int64_t i)
{
    fr_side<N> x = fr_read_side<N>(static_cast<const X *>(a.x) + i);
    fr_side<N> dy = fr_read_side<N>(static_cast<const X *>(a.dy) + i);
    for (int j = 0; j < N; j++) {
        x.at[j] = dy.at[j] * activation_at(KIND, v8_set(x.at[j])).slope.lane;
    }
    fr_write_side<N>(static_cast<X *>(a.out) + i, x);
}

template <fr_activation KIND, typename X, int N>
FR_DEVICE void activate_back_run(const fr_activate_arguments &a)
{
    for (int64_t i = fr_first_item(); i < a.n_groups; i += fr_item_step()) {
        activate_back_item<KIND, X, N>(a, i * N);
    }
    for (int64_t i = a.n_groups * N + fr_first_item(); i < a.n; i += fr_item_step()) {
        activate_back_item<KIND, X, 1>(a, i);
    }
}

template <typename X> FR_DEVICE void gated_body(const fr_gated_arguments &a)
{
    if (a.wide != 0) {
        WITH_ACTIVATION(gated_rows, X, fr_side_of<X>::N)
    } else {
        WITH_ACTIVATION(gated_rows, X, 1)
    }
}

template <typename X> FR_DEVICE void gated_back_body(const fr_gated_arguments &a)
{
    if (a.wide != 0) {
        WITH_ACTIVATION(gated_back_rows, X, fr_side_of<X>::N)
    } else {
        WITH_ACTIVATION(gated_back_rows, X, 1)
    }
}

template <typename X, typename S>
FR_DEVICE void save_gated_body(const fr_gated_arguments &a)
{
    if (a.wide != 0) {
        WITH_ACTIVATION(save_gated_rows, X, S, fr_side_of<X, S>::N)
    } else {
        WITH_ACTIVATION(save_gated_rows, X, S, 1)
    }
}

template <typename S, typename X>
FR_DEVICE void restore_gated_back_body(const fr_gated_arguments &a)
{
    if (a.wide != 0) {
        WITH_ACTIVATION(restore_gated_back_rows, S, X, fr_side_of<S, X>::N)
    } else {
        WITH_ACTIVATION(restore_gated_back_rows, S, X, 1)
    }
}

template <typename X> FR_DEVICE void activate_body(const fr_activate_arguments &a)
{
    WITH_ACTIVATION(activate_run, X, fr_side_of<X>::N)
}

template <typename X>
FR_DEVICE void activate_back_body(const fr_activate_arguments &a){
    WITH_ACTIVATION(activate_back_run, X, fr_side_of<X>::N)}

FR_KERNEL_1(gated, fr_gated_arguments, THREADS)
    FR_KERNEL_1(gated_back, fr_gated_arguments, THREADS)
        FR_KERNEL_2(save_gated, fr_gated_arguments, THREADS)
            FR_KERNEL_2(restore_gated_back, fr_gated_arguments, THREADS)
                FR_KERNEL_1(activate, fr_activate_arguments, THREADS)
                    FR_KERNEL_1(activate_back, fr_activate_arguments, THREADS)
