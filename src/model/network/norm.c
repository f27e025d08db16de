#include "model/network/norm.h"

#include "device/rowwise.h"

void fr_norm_forward(fr_device *device, const fr_arch *arch,
                     const fr_norm_weights *norm, int64_t n, fr_view x, fr_view y,
                     fr_f32 *statistics_N2)
{
    float eps = (float)arch->norm_eps;
    if (arch->norm == FR_NORM_RMS) {
        fr_rmsnorm(device, n, arch->d_model, x, norm->w, eps, y, statistics_N2);
    } else {
        fr_layernorm(device, n, arch->d_model, x, norm->w, norm->b, eps, y,
                     statistics_N2);
    }
}

void fr_norm_backward(fr_device *device, const fr_arch *arch,
                      const fr_norm_weights *norm, int64_t n, fr_view x,
                      const fr_f32 *statistics_N2, fr_view dy, fr_f32 *dx,
                      fr_view again)
{
    if (arch->norm == FR_NORM_RMS) {
        fr_rmsnorm_back(device, n, arch->d_model, x, norm->w, statistics_N2, dy, dx,
                        again);
    } else {
        fr_layernorm_back(device, n, arch->d_model, x, norm->w, statistics_N2, dy, dx,
                          again);
    }
}
