/*
 * Norms: the threads that have a row read it once, keep it in shared memory if it fits, sum, and write.
 *
 * Formulas and their order are those of cpu/kernels_rowwise.h. A thread reads its numbers before it writes them and no thread
 * looks at another's, so y may be x, and dx may be dy, as may what gets dx once more.
 */
#include "device/cuda/kernels_norms.h"
#include "device/cuda/rows.cuh"

template <typename X>
FR_DEVICE fr_four<float> again(const fr_row_shape &shape, const float *kept, const X *x,
                               int64_t i)
{
    return shape.n_kept > 0 ? fr_kept_four(kept, i)
                            : fr_read_four(x + i, shape.width - i);
}

template <typename X, typename Y>
FR_DEVICE void rmsnorm_body(const fr_norm_arguments &a)
{
    const fr_row_part part = fr_row_part_of(a.shape);
    const int64_t width = a.shape.width;
    for (int64_t r = part.first; r < a.shape.n_rows; r += part.step) {
        const int64_t at = fr_row_at(a.shape, r);
        const X *x = static_cast<const X *>(a.x) + at;
        Y *y = static_cast<Y *>(a.y) + at;
        fr_four<float> squares = {{0, 0, 0, 0}};
        for (int64_t i = part.begin; i < width; i += part.skip) {
            const fr_four<float> v = fr_read_four(x + i, width - i);
            if (a.shape.n_kept > 0) {
                fr_keep_four(part.kept, i, v);
            }
            for (int j = 0; j < FR_FOUR; j++) {
                squares.at[j] = fr_fma(v.at[j], v.at[j], squares.at[j]);
            }
        }
        const float sum = fr_row_sum(part, squares);
        const float rstd = 1.0F / fr_sqrt(sum / static_cast<float>(width) + a.eps);
        for (int64_t i = part.begin; i < width; i += part.skip) {
            fr_four<float> v = again(a.shape, part.kept, x, i);
            const fr_four<float> w = fr_read_four(a.w + i, width - i);
            for (int j = 0; j < FR_FOUR; j++) {
                v.at[j] = (v.at[j] * rstd) * w.at[j];
            }
            fr_write_four(y + i, width - i, v);
        }
        if (a.stats != nullptr && fr_row_is_first(part)) {
            a.stats[r] = rstd;
        }
    }
}

/* The gradient of the output, times w. */
template <typename DY>
FR_DEVICE fr_four<float> weighted(const float *w, const DY *dy, int64_t count)
{
    fr_four<float> g = fr_read_four(dy, count);
    const fr_four<float> weight = fr_read_four(w, count);
    for (int j = 0; j < FR_FOUR; j++) {
        g.at[j] = weight.at[j] * g.at[j];
    }
    return g;
}

/* Where a row of dx goes once more. */
template <typename DY>
FR_DEVICE DY *again_of(const fr_norm_back_arguments &a, int64_t at)
{
    return a.again != nullptr ? static_cast<DY *>(a.again) + at : nullptr;
}

/* dx += r (w dy) - x r^3 / D * sum(x w dy), or = without `ADDS`. */
template <bool ADDS, typename X, typename DY, typename DX>
FR_DEVICE void rmsnorm_gradient(const fr_norm_back_arguments &a)
{
    const fr_row_part part = fr_row_part_of(a.shape);
    const int64_t width = a.shape.width;
    float *kept_g = part.kept + a.shape.n_kept / 2;
    for (int64_t r = part.first; r < a.shape.n_rows; r += part.step) {
        const int64_t at = fr_row_at(a.shape, r);
        const X *x = static_cast<const X *>(a.x) + at;
        const DY *dy = static_cast<const DY *>(a.dy) + at;
        DX *dx = static_cast<DX *>(a.dx) + at;
        DY *again_at = again_of<DY>(a, at);
        const float rstd = a.stats[r];
        fr_four<float> sums = {{0, 0, 0, 0}};
        for (int64_t i = part.begin; i < width; i += part.skip) {
            const fr_four<float> v = fr_read_four(x + i, width - i);
            const fr_four<float> g = weighted(a.w + i, dy + i, width - i);
            if (a.shape.n_kept > 0) {
                fr_keep_four(part.kept, i, v);
                fr_keep_four(kept_g, i, g);
            }
            for (int j = 0; j < FR_FOUR; j++) {
                sums.at[j] = fr_fma(v.at[j], g.at[j], sums.at[j]);
            }
        }
        const float mean = fr_row_sum(part, sums) / static_cast<float>(width);
        const float along = (rstd * rstd) * (rstd * mean);
        for (int64_t i = part.begin; i < width; i += part.skip) {
            const fr_four<float> v = again(a.shape, part.kept, x, i);
            const fr_four<float> g = a.shape.n_kept > 0
                                         ? fr_kept_four(kept_g, i)
                                         : weighted(a.w + i, dy + i, width - i);
            fr_four<float> d = {{0, 0, 0, 0}};
            if (ADDS) {
                d = fr_read_four(dx + i, width - i);
            }
            for (int j = 0; j < FR_FOUR; j++) {
                const float turned =
                    ADDS ? fr_fma(rstd, g.at[j], d.at[j]) : rstd * g.at[j];
                d.at[j] = fr_fma(-along, v.at[j], turned);
            }
            fr_write_four(dx + i, width - i, d);
            if (again_at != nullptr) {
                fr_write_four(again_at + i, width - i, d);
            }
        }
    }
}

template <typename X, typename DY>
FR_DEVICE void rmsnorm_back_body(const fr_norm_back_arguments &a)
{
    rmsnorm_gradient<true, X, DY, float>(a);
}

template <typename X> FR_DEVICE void rmsnorm_turn_body(const fr_norm_back_arguments &a)
{
    rmsnorm_gradient<false, X, X, X>(a);
}

/* Reads the row, too. */
template <typename X>
FR_DEVICE float row_mean(const fr_row_shape &shape, const fr_row_part &part, const X *x)
{
    fr_four<float> sums = {{0, 0, 0, 0}};
    for (int64_t i = part.begin; i < shape.width; i += part.skip) {
        const fr_four<float> v = fr_read_four(x + i, shape.width - i);
        if (shape.n_kept > 0) {
            fr_keep_four(part.kept, i, v);
        }
        for (int j = 0; j < FR_FOUR; j++) {
            sums.at[j] = sums.at[j] + v.at[j];
        }
    }
    return fr_row_sum(part, sums) / static_cast<float>(shape.width);
}

template <typename X>
FR_DEVICE float row_rstd(const fr_norm_arguments &a, const fr_row_part &part,
                         const X *x, float mean)
{
    const int64_t width = a.shape.width;
    fr_four<float> squares = {{0, 0, 0, 0}};
    for (int64_t i = part.begin; i < width; i += part.skip) {
        const fr_four<float> v = again(a.shape, part.kept, x, i);
        for (int j = 0; j < FR_FOUR; j++) {
            const float centred = i + j < width ? v.at[j] - mean : 0.0F;
            squares.at[j] = fr_fma(centred, centred, squares.at[j]);
        }
    }
    const float sum = fr_row_sum(part, squares);
    return 1.0F / fr_sqrt(sum / static_cast<float>(width) + a.eps);
}

template <typename X, typename Y>
FR_DEVICE void layernorm_body(const fr_norm_arguments &a)
{
    const fr_row_part part = fr_row_part_of(a.shape);
    const int64_t width = a.shape.width;
    for (int64_t r = part.first; r < a.shape.n_rows; r += part.step) {
        const int64_t at = fr_row_at(a.shape, r);
        const X *x = static_cast<const X *>(a.x) + at;
        Y *y = static_cast<Y *>(a.y) + at;
        const float mean = row_mean(a.shape, part, x);
        const float rstd = row_rstd(a, part, x, mean);
        for (int64_t i = part.begin; i < width; i += part.skip) {
            fr_four<float> v = again(a.shape, part.kept, x, i);
            const fr_four<float> w = fr_read_four(a.w + i, width - i);
            const fr_four<float> b = fr_read_four(a.b + i, width - i);
            for (int j = 0; j < FR_FOUR; j++) {
                const float scaled = (v.at[j] - mean) * rstd;
                v.at[j] = fr_fma(scaled, w.at[j], b.at[j]);
            }
            fr_write_four(y + i, width - i, v);
        }
        if (a.stats != nullptr && fr_row_is_first(part)) {
            a.stats[2 * r] = mean;
            a.stats[2 * r + 1] = rstd;
        }
    }
}

/* A row's sums of g and of g n; n = (x - mean) r and dy are kept. */
template <typename X, typename DY>
FR_DEVICE void layernorm_sums(const fr_norm_back_arguments &a, const fr_row_part &part,
                              const X *x, const DY *dy, const float *stats,
                              float *means)
{
    const int64_t width = a.shape.width;
    fr_four<float> sum = {{0, 0, 0, 0}};
    fr_four<float> sum_n = {{0, 0, 0, 0}};
    for (int64_t i = part.begin; i < width; i += part.skip) {
        fr_four<float> n = fr_read_four(x + i, width - i);
        const fr_four<float> w = fr_read_four(a.w + i, width - i);
        const fr_four<float> upper = fr_read_four(dy + i, width - i);
        for (int j = 0; j < FR_FOUR; j++) {
            n.at[j] = (n.at[j] - stats[0]) * stats[1];
            sum.at[j] = fr_fma(w.at[j], upper.at[j], sum.at[j]);
            sum_n.at[j] = fr_fma(n.at[j], w.at[j] * upper.at[j], sum_n.at[j]);
        }
        if (a.shape.n_kept > 0) {
            fr_keep_four(part.kept, i, n);
            fr_keep_four(part.kept + a.shape.n_kept / 2, i, upper);
        }
    }
    means[0] = fr_row_sum(part, sum) / static_cast<float>(width);
    means[1] = fr_row_sum(part, sum_n) / static_cast<float>(width);
}

/* With n = (x - mean) r and g = w dy: dx += r (g - mean(g) - n mean(g n)) */
template <typename X, typename DY>
FR_DEVICE void layernorm_back_body(const fr_norm_back_arguments &a)
{
    const fr_row_part part = fr_row_part_of(a.shape);
    const int64_t width = a.shape.width;
    for (int64_t r = part.first; r < a.shape.n_rows; r += part.step) {
        const int64_t at = fr_row_at(a.shape, r);
        const X *x = static_cast<const X *>(a.x) + at;
        const DY *dy = static_cast<const DY *>(a.dy) + at;
        float *dx = static_cast<float *>(a.dx) + at;
        DY *again_at = again_of<DY>(a, at);
        const float stats[2] = {a.stats[2 * r], a.stats[2 * r + 1]};
        float means[2];
        layernorm_sums(a, part, x, dy, stats, means);
        for (int64_t i = part.begin; i < width; i += part.skip) {
            fr_four<float> n = again(a.shape, part.kept, x, i);
            const fr_four<float> upper =
                again(a.shape, part.kept + a.shape.n_kept / 2, dy, i);
            const fr_four<float> w = fr_read_four(a.w + i, width - i);
            fr_four<float> d = fr_read_four(dx + i, width - i);
            for (int j = 0; j < FR_FOUR; j++) {
                const float normal =
                    a.shape.n_kept > 0 ? n.at[j] : (n.at[j] - stats[0]) * stats[1];
                float g = fr_fma(w.at[j], upper.at[j], 0.0F - means[0]);
                g = fr_fma(-normal, means[1], g);
                d.at[j] = fr_fma(stats[1], g, d.at[j]);
            }
            fr_write_four(dx + i, width - i, d);
            if (again_at != nullptr) {
                fr_write_four(again_at + i, width - i, d);
            }
        }
    }
}

FR_KERNEL_2(rmsnorm, fr_norm_arguments, FR_ROW_BLOCK)
FR_KERNEL_2(rmsnorm_back, fr_norm_back_arguments, FR_ROW_BLOCK)
FR_KERNEL_1(rmsnorm_turn, fr_norm_back_arguments, FR_ROW_BLOCK)
FR_KERNEL_2(layernorm, fr_norm_arguments, FR_ROW_BLOCK)
FR_KERNEL_2(layernorm_back, fr_norm_back_arguments, FR_ROW_BLOCK)
