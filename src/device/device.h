/*
 * device.h - the compute device of a rank. Its operators, which the transformer is made of, are in matrix.h, rowwise.h,
 * rows.h, qkv.h, activation.h, attention.h, loss.h and sample.h; its memory is in memory.h; kinds.h makes one.
 *
 * Every operator is dispatched through the table of the device's kind (backend.h, operators*.c). Operators work in the order
 * of the calls and never wait for a result: later operators see it at once, the host as memory.h says. What the host passes
 * besides device memory (structures, lists of segments, ids) is read during the call. Not thread-safe: one thread per handle.
 *
 * Repeatable: every operator gives a row (or a unit) the same bits independent of the other rows of the
 * call, of its position in the buffer, and of the number of threads. Sums run in a fixed order.
 * The bits depend on the device's arithmetic alone (fr_device_arithmetic), not on the processor or the compiler. A NaN is a NaN
 * everywhere, but its sign and payload may differ.
 *
 * Shape letters: T token rows of a packed buffer, D model width, F feed-forward width, V vocabulary,
 * R rows that carry a target, H query heads, G key/value heads, K head width, P prefix slots,
 * U units (one source with its targets), M N K matrix sizes. Buffers are row-major, dense
 * unless a stride is named; strides count numbers. Arguments are valid by contract (checked by the caller).
 *
 * Types: what operators pass to each other is a view (memory.h), in f32 or in the device's work type (fr_device_work);
 * all other numbers are f32. Operators compute in f32 and round a number once, when they store it in a narrower view.
 * A call takes any mix of the two types, but for what its header says has one type. What is kept for the backward pass is
 * in the device's kept type (fr_device_kept), and only fr_save, fr_restore and their fused forms go between the two.
 */
#ifndef FR_DEVICE_DEVICE_H
#define FR_DEVICE_DEVICE_H

#include "base/ctx.h"

#include <stdint.h>

typedef enum fr_dtype { FR_F32, FR_BF16 } fr_dtype;

/** Bytes of one element. */
size_t fr_dtype_bytes(fr_dtype dtype);

typedef struct fr_device fr_device;

void fr_device_destroy(fr_device **device);

/** The type in which the device has numbers between operators, for a model of that precision. FR_F32 for FR_F32; the CPU:
 * always FR_F32. */
fr_dtype fr_device_work(const fr_device *device, fr_dtype precision);

/** The type in which it keeps what the backward pass needs. FR_F32 for FR_F32; the CPU: `precision` itself. */
fr_dtype fr_device_kept(const fr_device *device, fr_dtype precision);

/** A short text that names what the results' bits depend on: devices with equal texts give the same bits. Lives as long as the
 * device. */
const char *fr_device_arithmetic(const fr_device *device);

/** The threads of the host that this rank has for work of its own, too: as many as the device was made with. */
int fr_device_threads(const fr_device *device);

/** What a rank computes with, for people; no result depends on it. */
typedef struct fr_device_variant {
    char name[24]; /* "avx512" */
    char wish
        [72]; /* what the user asked for instead: "FORERUN_ISA=avx512, which the processor lacks"; "": nothing */
} fr_device_variant;
fr_device_variant fr_device_variant_of(const fr_device *device);

/**
 * Call `progress` on the calling thread every few milliseconds while matrix products are computed: MPI advances messages only
 * inside its own calls. It must be short and call no operator; it may copy (a link does). NULL: none.
 */
void fr_device_set_progress(fr_device *device, void (*progress)(void *argument),
                            void *argument);

/**
 * What went wrong in the device since it was made: operators without a status leave their failure there, and later ones do
 * nothing. To be asked at the end of a pass.
 * @return FR_OK; FR_ERR_INTERNAL naming the first operator whose arguments no device can take; FR_ERR_DEVICE or
 *         FR_ERR_NO_MEMORY: a GPU's work failed
 */
FR_MUST_CHECK fr_status fr_device_check(const fr_device *device);

#endif
