/*
 * inline.h - how kernels are inlined.
 *
 * Kernels take constants (rows, formats, whether to mask) as arguments of functions that must be inlined: then loops unroll
 * and accumulators stay in registers. `inline` alone is a hint that compilers decline for bodies of this size.
 */
#ifndef FR_DEVICE_CPU_INLINE_H
#define FR_DEVICE_CPU_INLINE_H

#define FR_INLINE static inline __attribute__((always_inline))

#endif
