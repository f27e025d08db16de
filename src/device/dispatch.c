/* The public functions of a device but for its operators (operators*.c): what all kinds share, and the way to each kind's own. */
#include "base/integer.h"
#include "base/mem.h"
#include "device/backend.h"

#include <assert.h>
#include <string.h>

void fr_device_destroy(fr_device **device)
{
    if (*device != NULL) {
        (*device)->ops->destroy(*device);
        *device = NULL;
    }
}

const char *fr_device_arithmetic(const fr_device *device)
{
    return device->ops->arithmetic(device);
}

fr_device_variant fr_device_variant_of(const fr_device *device)
{
    return device->ops->variant(device);
}

fr_dtype fr_device_work(const fr_device *device, fr_dtype precision)
{
    return device->ops->work(device, precision);
}

fr_dtype fr_device_kept(const fr_device *device, fr_dtype precision)
{
    return device->ops->kept(device, precision);
}

int fr_device_threads(const fr_device *device)
{
    return device->n_threads;
}

const char *fr_device_products(const fr_device *device)
{
    return device->ops->products != NULL ? device->ops->products(device) : "";
}

fr_status fr_products_try(fr_device *device, int n, const fr_product_shape *shapes,
                          int64_t *refused_N)
{
    for (int i = 0; i < n; i++) {
        refused_N[i] = 0;
    }
    return device->ops->products_try != NULL
               ? device->ops->products_try(device, n, shapes, refused_N)
               : FR_OK;
}

fr_status fr_products_settle(fr_device *device, int n, const fr_product_shape *shapes,
                             const int64_t *refused_N)
{
    return device->ops->products_settle != NULL
               ? device->ops->products_settle(device, n, shapes, refused_N)
               : FR_OK;
}

/* Called by long operators, so that messages advance while this rank computes. */
void fr_device_set_progress(fr_device *device, void (*progress)(void *argument),
                            void *argument)
{
    device->progress = progress;
    device->progress_argument = argument;
}

void fr_device_progress(const fr_device *device)
{
    if (device->progress != NULL) {
        device->progress(device->progress_argument);
    }
}

fr_status fr_device_check(const fr_device *device)
{
    if (!device->has_failed) {
        return device->ops->check != NULL ? device->ops->check(device) : FR_OK;
    }
    return FR_FAIL(device->ctx, FR_ERR_INTERNAL,
                   "the operator \"%s\" was called with arguments that no device can "
                   "take; this is a bug in Forerun, report it",
                   fr_operator_name(device->failed));
}

/* ---- times ----------------------------------------------------------------------------------- */

void fr_device_profile_start(fr_device *device)
{
    memset(device->times, 0, sizeof device->times);
    device->is_profiled = true;
}

const fr_operator_time *fr_device_profile(const fr_device *device)
{
    return device->times;
}

/* ---- memory ----------------------------------------------------------------------------------- */

/* `which` device function takes bytes; a count and a size that overflow are no memory. */
static fr_status take(fr_device *device, int64_t count, size_t size,
                      fr_status (*which)(fr_device *, int64_t, void **), void *out)
{
    int64_t bytes = 0;
    void *memory = NULL;
    fr_status status = FR_OK;
    if (fr_mul_i64(count, (int64_t)size, &bytes)) {
        status = which(device, bytes, &memory);
    } else {
        status = FR_FAIL(device->ctx, FR_ERR_NO_MEMORY,
                         "cannot allocate %lld elements of %lld bytes",
                         (long long)count, (long long)size);
    }
    memcpy(out, &memory, sizeof memory);
    return status;
}

fr_status fr_device_alloc(fr_device *device, int64_t count, size_t size, void *out)
{
    return take(device, count, size, device->ops->alloc, out);
}

fr_status fr_device_reserve(fr_device *device, int64_t bytes)
{
    return device->ops->in_host_memory ? FR_OK : device->ops->reserve(device, bytes);
}

int64_t fr_device_room(const fr_device *device)
{
    return device->ops->in_host_memory ? INT64_MAX : device->ops->room(device);
}

int64_t fr_device_most_used(const fr_device *device)
{
    return device->ops->in_host_memory ? 0 : device->ops->most_used(device);
}

bool fr_device_in_host_memory(const fr_device *device)
{
    return device->ops->in_host_memory;
}

void fr_device_free(fr_device *device, void *memory)
{
    device->ops->free(device, memory);
}

fr_status fr_host_alloc(fr_device *device, int64_t count, size_t size, void *out)
{
    return take(device, count, size, device->ops->host_alloc, out);
}

void fr_host_free(fr_device *device, void *memory)
{
    device->ops->host_free(device, memory);
}

/* Nothing is asked of a device for no bytes: their pointers may be NULL. */
void fr_device_put(fr_device *device, void *to, void *from, int64_t bytes)
{
    if (bytes > 0) {
        device->ops->put(device, to, from, bytes);
    }
}

/* A put may use up its source, so the bytes go through a block in pieces, unless this device's does not. */
fr_status fr_device_load(fr_device *device, void *to, const void *from, int64_t bytes)
{
    enum { PIECE = 4 << 20 };
    void *block = NULL;
    if (device->ops->put_keeps || bytes == 0) {
        fr_device_put(device, to, (void *)(uintptr_t)from, bytes);
        return FR_OK;
    }
    FR_TRY(fr_host_alloc(device, fr_min(bytes, PIECE), 1, &block));
    for (int64_t at = 0; at < bytes; at += PIECE) {
        int64_t piece = fr_min(bytes - at, PIECE);
        memcpy(block, (const char *)from + at, (size_t)piece);
        fr_device_put(device, (char *)to + at, block, piece);
    }
    fr_host_free(device, block);
    return FR_OK;
}

void fr_device_get(fr_device *device, void *to, const void *from, int64_t bytes)
{
    if (bytes > 0) {
        device->ops->get(device, to, from, bytes);
    }
}

void fr_device_ahead(fr_device *device, int slot, void *to, const void *from,
                     int64_t bytes)
{
    assert(slot >= 0 && slot < FR_AHEAD_SLOTS);
    if (bytes > 0 && device->ops->in_host_memory) {
        memcpy(to, from, (size_t)bytes);
    } else if (bytes > 0) {
        device->ops->ahead(device, slot, to, from, bytes);
    }
}

void fr_device_await(fr_device *device, int slot)
{
    assert(slot >= 0 && slot < FR_AHEAD_SLOTS);
    if (!device->ops->in_host_memory) {
        device->ops->await(device, slot);
    }
}

fr_mark fr_device_mark(fr_device *device)
{
    return device->ops->mark(device);
}

bool fr_device_passed(fr_device *device, fr_mark mark)
{
    return device->ops->passed(device, mark);
}

fr_status fr_lane_open(fr_device *device, fr_lane **out)
{
    *out = NULL;
    return device->ops->lane_open != NULL
               ? device->ops->lane_open(device, out)
               : FR_FAIL(device->ctx, FR_ERR_UNSUPPORTED,
                         "a device without streams has no second order of work; "
                         "choose another device");
}

void fr_lane_close(fr_lane **lane)
{
    if (*lane != NULL) {
        (*lane)->device->ops->lane_close(*lane);
        *lane = NULL;
    }
}

void *fr_lane_stream(const fr_lane *lane)
{
    return lane->device->ops->lane_stream(lane);
}

void fr_lane_mark(fr_lane *lane)
{
    lane->device->ops->lane_mark(lane);
}

bool fr_lane_passed(fr_lane *lane)
{
    return lane->device->ops->lane_passed(lane);
}
