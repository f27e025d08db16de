/* Plain C: 16 lanes fill four registers of the x86-64 baseline, so one sum at a time. */
#include "device/bf16.h"
#include "device/device.h"

#include <math.h>
#include <string.h>

enum { LANES = 16, ROWS = 1, COLUMNS = 1 };

typedef struct v16 {
    float lane[LANES];
} v16;

static inline v16 v16_zero(void)
{
    return (v16){{0}};
}

static inline v16 v16_load(fr_dtype dtype, const void *p, int64_t at)
{
    v16 x;
    if (dtype == FR_F32) {
        memcpy(&x, (const float *)p + at, sizeof x);
        return x;
    }
    for (int i = 0; i < LANES; i++) {
        uint16_t half; /* the last ones lie in an array of floats */
        memcpy(&half, (const char *)p + (size_t)(at + i) * sizeof half, sizeof half);
        x.lane[i] = fr_bf16_widen(half);
    }
    return x;
}

/* fmaf rounds once, like the instructions of the other kernels; a product and a sum would give other bits. */
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    for (int i = 0; i < LANES; i++) {
        c.lane[i] = fmaf(a.lane[i], b.lane[i], c.lane[i]);
    }
    return c;
}

/* Halves are added to each other: 8, 4, 2, 1, the order that registers have. */
static inline float v16_sum(v16 x)
{
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) {
            x.lane[i] += x.lane[i + half];
        }
    }
    return x.lane[0];
}

#include "device/cpu/few_body.h"

void fr_few_generic(const fr_few *few)
{
    multiply_any(few);
}
