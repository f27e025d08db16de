/*
 * device.h - the compute device. Its operators, which the transformer is made of, are in matrix.h, rowwise.h, activation.h,
 * attention.h and loss.h.
 *
 * One device a rank; operators run on its threads and return when the result is complete. Not thread-safe: one thread per
 * handle.
 *
 * There is one backend, the CPU (src/device/cpu), and this interface assumes it in three ways: every operator is a
 * function of that backend, without a table between; all pointers are host memory, which callers read and write directly; and a
 * device is made from threads and an instruction set. A second backend needs an operator table behind these functions, and copies
 * where callers touch buffers.
 *
 * Repeatable: every operator gives a row (or a unit) the same bits independent of the other rows of the
 * call, of its position in the buffer, and of the number of threads. Sums run in a fixed order.
 * The bits depend on the device's arithmetic alone (fr_device_arithmetic), not on the processor or the compiler. A NaN is a NaN
 * everywhere, but its sign and payload may differ.
 *
 * Shape letters: T token rows of a packed buffer, D model width, F feed-forward width, V vocabulary,
 * R rows that carry a target, H query heads, G key/value heads, K head width, P prefix slots,
 * U units (one source with its targets), M N K matrix sizes. Buffers are row-major f32, dense
 * unless a stride is named. Arguments are valid by contract (checked by the caller).
 */
#ifndef FR_DEVICE_DEVICE_H
#define FR_DEVICE_DEVICE_H

#include "base/ctx.h"

#include <stdint.h>

typedef enum fr_dtype { FR_F32, FR_BF16 } fr_dtype;

/** Bytes of one element. */
size_t fr_dtype_bytes(fr_dtype dtype);

/** Instruction sets of the CPU in ascending order; a rank may be limited to a lower one than its processor has. All give the
 * same bits, except for those of a NaN. */
typedef enum fr_isa {
    FR_ISA_GENERIC,
    FR_ISA_AVX2,
    FR_ISA_AVX512,
    FR_ISA_AVX512_VNNI, /* products of 16-bit integers */
    FR_ISA_COUNT
} fr_isa;

/** Highest instruction set of this processor. */
fr_isa fr_isa_detect(void);
const char *fr_isa_name(fr_isa isa);

/** The set with this name; false, and *out unchanged, if there is none. */
bool fr_isa_find(const char *name, fr_isa *out);

/** The set to compute with, and the one that the user asked for. */
typedef struct fr_isa_choice {
    fr_isa isa;
    fr_isa asked; /* FR_ISA_COUNT: nothing */
} fr_isa_choice;

/**
 * The highest of the sets up to `has` (fr_isa_detect()) that FORERUN_ISA allows.
 * @return FR_OK; FR_ERR_ARG if FORERUN_ISA names no set
 */
FR_MUST_CHECK fr_status fr_isa_choose(fr_ctx *ctx, fr_isa has, fr_isa_choice *out);

typedef struct fr_device fr_device;

typedef struct fr_device_params {
    int n_threads; /* >= 1 */
    fr_isa isa;    /* <= fr_isa_detect() */
} fr_device_params;

FR_MUST_CHECK fr_status fr_device_create(fr_ctx *ctx, const fr_device_params *params,
                                         fr_device **out);
void fr_device_destroy(fr_device **device);

/** A short text that names what the results' bits depend on: devices with equal texts give the same bits. Static. */
const char *fr_device_arithmetic(const fr_device *device);
int fr_device_threads(const fr_device *device);

/**
 * Call `progress` on the calling thread every few milliseconds while matrix products are computed: MPI advances messages only
 * inside its own calls. It must be short and must not use the device. NULL: none.
 */
void fr_device_set_progress(fr_device *device, void (*progress)(void *argument),
                            void *argument);

#endif
