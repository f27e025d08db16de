/*
 * kernels_lanes.h - sums over the lanes of either 8-lane vector.
 *
 * Included after one of the kernels_simd headers.
 */
#ifndef FR_DEVICE_CPU_KERNELS_LANES_H
#define FR_DEVICE_CPU_KERNELS_LANES_H

/** Lanes added as ((0+4)+(2+6)) + ((1+5)+(3+7)). */
static inline float v8_sum(v8 x)
{
    float t[8];
    v8_store(t, x);
    return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

/** Largest lane. */
static inline float v8_largest(v8 x)
{
    float t[8];
    v8_store(t, x);
    for (int width = 4; width > 0; width /= 2) {
        for (int i = 0; i < width; i++) {
            t[i] = t[i] > t[i + width] ? t[i] : t[i + width];
        }
    }
    return t[0];
}

#endif
