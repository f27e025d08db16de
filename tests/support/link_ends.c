#include "support/link_ends.h"

#include "base/mem.h"
#include "device/kinds.h"

#include <stdlib.h>
#include <string.h>

/* ---- a device that is late -------------------------------------------------------------------- */

enum { MANY = 64 };

typedef struct late_copy {
    void *to;
    const void *from;
    int64_t bytes;
} late_copy;

/* The linker's --wrap gives no way to pass state. */
static struct {
    int delay; /* looks at marks until all pass; 0: as the device is */
    int looks;
    bool hangs; /* no mark passes */
    uint64_t n_asked;
    uint64_t n_done;
    late_copy copies[MANY]; /* ring */
} late;

void __real_fr_device_get(fr_device *device, void *to, const void *from, int64_t bytes);
void __wrap_fr_device_get(fr_device *device, void *to, const void *from, int64_t bytes);
fr_mark __wrap_fr_device_mark(fr_device *device);
bool __wrap_fr_device_passed(fr_device *device, fr_mark mark);

void __wrap_fr_device_get(fr_device *device, void *to, const void *from, int64_t bytes)
{
    if (late.delay == 0) {
        __real_fr_device_get(device, to, from, bytes);
        return;
    }
    CU_ASSERT_FATAL(late.n_asked - late.n_done < MANY);
    memset(to, 0xEE, (size_t)bytes);
    late.copies[late.n_asked++ % MANY] = (late_copy){to, from, bytes};
}

/* A mark is work of its own: there may be none before it. */
fr_mark __wrap_fr_device_mark(fr_device *device)
{
    (void)device;
    if (late.delay > 0) {
        CU_ASSERT_FATAL(late.n_asked - late.n_done < MANY);
        late.copies[late.n_asked++ % MANY] = (late_copy){NULL, NULL, 0};
    }
    return (fr_mark){late.n_asked};
}

bool __wrap_fr_device_passed(fr_device *device, fr_mark mark)
{
    bool is_time = mark.at > late.n_done && !late.hangs && ++late.looks >= late.delay;
    late.looks = is_time ? 0 : late.looks;
    while (is_time && late.n_done < late.n_asked) {
        late_copy next = late.copies[late.n_done++ % MANY];
        if (next.bytes > 0) {
            __real_fr_device_get(device, next.to, next.from, next.bytes);
        }
    }
    return mark.at <= late.n_done;
}

static void set_late(int delay)
{
    CU_ASSERT_EQUAL_FATAL(late.n_asked, late.n_done);
    late.delay = delay;
}

void fr_ends_hang(bool hangs)
{
    late.hangs = hangs;
}

bool fr_ends_is_hanging(void)
{
    return late.hangs;
}

void fr_ends_open(const fr_ends_mode *mode, fr_ends *out)
{
    fr_device_params device = {.kind = "cpu", .n_threads = 1};
    *out = (fr_ends){.world = fr_test_world(), .kind = mode->kind};
    out->rank = fr_group_rank(out->world);
    out->size = fr_group_size(out->world);
    FR_ASSERT_OK(fr_device_create(fr_test_ctx(), &device, &out->device));
    fr_link_params link = {.group = out->world,
                           .device = out->device,
                           .kind = mode->kind,
                           .n_streams = FR_ENDS_STREAMS,
                           .piece_bytes = mode->piece};
    FR_ASSERT_OK(fr_link_open(fr_test_ctx(), &link, &out->link));
    CU_ASSERT_PTR_NOT_NULL_FATAL(out->link);
    set_late(mode->delay);
}

void fr_ends_close(fr_ends *ends)
{
    set_late(0);
    fr_link_close(&ends->link);
    CU_ASSERT_PTR_NULL(ends->link);
    fr_link_close(&ends->link);
    FR_ASSERT_OK(fr_group_barrier(ends->world));
    fr_device_destroy(&ends->device);
    fr_group_destroy(&ends->world);
}

unsigned char *fr_ends_bytes(int64_t bytes)
{
    unsigned char *data = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), bytes, 1, &data));
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    return data;
}

void fr_ends_fill(unsigned char *data, int64_t bytes, int seed)
{
    uint32_t state = 2654435761u * (uint32_t)(seed + 1);
    for (int64_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (unsigned char)(state >> 24);
    }
}

int64_t fr_ends_unlike(const unsigned char *data, int64_t bytes, int seed)
{
    uint32_t state = 2654435761u * (uint32_t)(seed + 1);
    int64_t unlike = 0;
    for (int64_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        unlike += data[i] != (unsigned char)(state >> 24);
    }
    return unlike;
}

void fr_ends_join(const fr_ends *ends, fr_transfer *transfer)
{
    FR_ASSERT_OK(fr_link_join(ends->link, transfer));
    CU_ASSERT_PTR_NULL(transfer->handle);
}
