/*
 * memory.h - the memory of a device, and the order of its work.
 *
 * A device works on what it is asked in the order of the calls. An operator or a copy may return before its result is there:
 * later operators and copies see it all the same, the host only after a mark behind it has passed. On the CPU every call
 * returns with the result, and marks have always passed.
 *
 * Memory of the device is touched by operators, by the functions below and by links between ranks alone. Some devices work in
 * the host's memory; even there nothing else may look, since another device would differ. Its numbers have types of their
 * own, with which the host cannot compute by accident: `q[i] * 2` does not compile for an fr_f32.
 *
 * Not thread-safe, like the device.
 */
#ifndef FR_DEVICE_MEMORY_H
#define FR_DEVICE_MEMORY_H

#include "device/device.h"

/** Numbers in the memory of a device. Pointers to them may be moved (q + 1) and subtracted, never followed by the host. */
typedef struct fr_f32 {
    float in_device;
} fr_f32;
typedef struct fr_f64 {
    double in_device;
} fr_f64;
typedef struct fr_i32 {
    int32_t in_device;
} fr_i32;
typedef struct fr_i64 {
    int64_t in_device;
} fr_i64;
/** Of anything: numbers of a type that is known elsewhere, masks. */
typedef struct fr_byte {
    uint8_t in_device;
} fr_byte;

/** Numbers of the device in the type in which it works or keeps them: `at` points to the first. `at` NULL: none. */
typedef struct fr_view {
    fr_byte *at;
    fr_dtype dtype;
} fr_view;

static inline fr_view fr_view_of(fr_byte *at, fr_dtype dtype)
{
    return (fr_view){at, dtype};
}

/** No numbers: where an operator's header allows it. */
static inline fr_view fr_view_none(void)
{
    return (fr_view){NULL, FR_F32};
}

/** x, or none. */
static inline fr_view fr_view_if(bool wanted, fr_view x)
{
    return wanted ? x : fr_view_none();
}

/** f32 numbers as a view, which does not say whether an operator may write them. */
static inline fr_view fr_view_f32(const fr_f32 *x)
{
    return (fr_view){(fr_byte *)(uintptr_t)x, FR_F32};
}

/** The view n numbers further on; of none: none. */
static inline fr_view fr_view_at(fr_view x, int64_t n)
{
    int64_t bytes = n * (int64_t)fr_dtype_bytes(x.dtype);
    return (fr_view){x.at != NULL ? x.at + bytes : NULL, x.dtype};
}

/** Whether the device works in the host's memory, which it then shares where it can. A caller asks this only to spare a copy
 * (image.h) or to hand the device to code of the host. */
bool fr_device_in_host_memory(const fr_device *device);

/** A place in the order of the device's work: everything asked before it. {0}: the beginning, which has passed. */
typedef struct fr_mark {
    uint64_t at;
} fr_mark;

/**
 * Take so much of the device's memory at once, in one piece, for all that is allocated from it: at set-up, by forecast. What
 * a run needs beyond that is taken when it is asked for. Nothing is done for a device in the host's memory.
 * @return FR_OK; FR_ERR_NO_MEMORY, which names what was asked and what was free
 */
FR_MUST_CHECK fr_status fr_device_reserve(fr_device *device, int64_t bytes);

/** Bytes that can still be allocated; INT64_MAX for a device in the host's memory, whose limits are the host's. */
int64_t fr_device_room(const fr_device *device);

/** Of what is reserved, the most bytes that were allocated at a time; 0 for a device in the host's memory. */
int64_t fr_device_most_used(const fr_device *device);

/**
 * Memory of the device, zeroed, aligned to 64 bytes.
 * @param[out] out  address of a pointer of any type; NULL on failure
 * @return FR_OK; FR_ERR_NO_MEMORY, which names what was asked and what was free
 */
FR_MUST_CHECK fr_status fr_device_alloc(fr_device *device, int64_t count, size_t size,
                                        void *out);
/** Accepts NULL. Work on the memory that was asked before is done first. */
void fr_device_free(fr_device *device, void *memory);

/** Memory of the host from which and to which the device copies well; zeroed, aligned to 64 bytes. */
FR_MUST_CHECK fr_status fr_host_alloc(fr_device *device, int64_t count, size_t size,
                                      void *out);
void fr_host_free(fr_device *device, void *memory);

/** Copy from the host, which may use `from` again when the call returns. Its contents are used up by then: a device may have
 * left anything there. */
void fr_device_put(fr_device *device, void *to, void *from, int64_t bytes);

/** fr_device_put of memory that stays as it is. For set-up: it may take a small block of the host meanwhile.
 * FR_ERR_NO_MEMORY. */
FR_MUST_CHECK fr_status fr_device_load(fr_device *device, void *to, const void *from,
                                       int64_t bytes);

/** Copy to the host: `to` holds the bytes once a mark made after this call has passed; until then the host leaves it alone.
 * Later work may write `from`. */
void fr_device_get(fr_device *device, void *to, const void *from, int64_t bytes);

enum { FR_AHEAD_SLOTS = 2 };

/**
 * Copy from the host ahead of the work that needs it: the copy comes after everything that was asked so far, and what is asked
 * from here on does not wait for it, so the device copies while it computes. Nothing touches `to` until fr_device_await of the
 * slot, but for further copies ahead in that slot, which come in their order.
 * @param slot  0 .. FR_AHEAD_SLOTS - 1: what is awaited together
 * @param from  in memory from fr_host_alloc; it stays as it is until a mark behind fr_device_await has passed
 */
void fr_device_ahead(fr_device *device, int slot, void *to, const void *from,
                     int64_t bytes);

/** Everything that is asked from here on finds what was copied ahead in the slot, and so does fr_device_free. The host does not
 * wait. Nothing happens without such copies. */
void fr_device_await(fr_device *device, int slot);

/** Copy within the device; the two do not overlap. */
void fr_device_copy(fr_device *device, void *to, const void *from, int64_t bytes);

/** All bytes 0. */
void fr_device_zero(fr_device *device, void *to, int64_t bytes);

/** A mark behind everything asked so far. */
fr_mark fr_device_mark(fr_device *device);
/** Whether everything before the mark is done. Never blocks. */
bool fr_device_passed(fr_device *device, fr_mark mark);

#endif
