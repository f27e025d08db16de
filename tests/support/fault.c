#include "support/fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 1 << 15, MAX_BLOCKS = SLOTS / 2, EVERY_ONE = 100 };

/* The linker's --wrap gives no way to pass state: the record of the running sweep is file-local. Blocks
 * are kept in a hash table with linear probing. */
static struct {
    atomic_flag busy;
    bool active;
    bool fired;
    bool overfull;
    int64_t until_failure;
    int64_t n_blocks;
    const void *blocks[SLOTS];
} fault = {.busy = ATOMIC_FLAG_INIT};

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);

static void lock(void)
{
    while (atomic_flag_test_and_set(&fault.busy)) {
    }
}

static void unlock(void)
{
    atomic_flag_clear(&fault.busy);
}

static size_t home_of(const void *block)
{
    return (size_t)(((uintptr_t)block >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 49) %
           SLOTS;
}

static void track(const void *block)
{
    lock();
    if (block != NULL && fault.active) {
        fault.overfull = fault.overfull || fault.n_blocks >= MAX_BLOCKS;
    }
    if (block != NULL && fault.active && !fault.overfull) {
        size_t slot = home_of(block);
        while (fault.blocks[slot] != NULL) {
            slot = (slot + 1) % SLOTS;
        }
        fault.blocks[slot] = block;
        fault.n_blocks++;
    }
    unlock();
}

/* Close the gap at `slot`: a later entry moves up unless its home lies behind the gap. */
static void close_gap(size_t slot)
{
    size_t gap = slot;
    for (size_t next = (gap + 1) % SLOTS; fault.blocks[next] != NULL;
         next = (next + 1) % SLOTS) {
        size_t home = home_of(fault.blocks[next]);
        if ((next + SLOTS - home) % SLOTS >= (next + SLOTS - gap) % SLOTS) {
            fault.blocks[gap] = fault.blocks[next];
            gap = next;
        }
    }
    fault.blocks[gap] = NULL;
}

static void forget(const void *block)
{
    lock();
    if (block != NULL && fault.active) {
        size_t slot = home_of(block);
        while (fault.blocks[slot] != NULL && fault.blocks[slot] != block) {
            slot = (slot + 1) % SLOTS;
        }
        if (fault.blocks[slot] == block) {
            close_gap(slot);
            fault.n_blocks--;
        }
    }
    unlock();
}

static bool must_fail(void)
{
    lock();
    bool fails = fault.active && !fault.fired && --fault.until_failure == 0;
    fault.fired = fault.fired || fails;
    unlock();
    if (fails) {
        errno = ENOMEM;
    }
    return fails;
}

void *__wrap_malloc(size_t bytes)
{
    void *block = must_fail() ? NULL : __real_malloc(bytes);
    track(block);
    return block;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    void *block = must_fail() ? NULL : __real_calloc(count, bytes);
    track(block);
    return block;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    void *block = must_fail() ? NULL : __real_aligned_alloc(alignment, bytes);
    track(block);
    return block;
}

void *__wrap_realloc(void *block, size_t bytes)
{
    if (must_fail()) {
        return NULL;
    }
    forget(block);
    void *moved = __real_realloc(block, bytes);
    track(moved);
    return moved;
}

char *__wrap_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = __wrap_malloc(bytes);
    if (copy != NULL) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

void __wrap_free(void *block)
{
    forget(block);
    __real_free(block);
}

fr_fault_outcome fr_fault_run(fr_ctx *ctx, int64_t failing, fr_fault_action action,
                              void *argument)
{
    fr_fault_outcome result;
    memset(fault.blocks, 0, sizeof fault.blocks);
    fault.until_failure = failing;
    fault.n_blocks = 0;
    fault.fired = false;
    fault.overfull = false;
    fault.active = true;
    result.status = action(ctx, argument);
    fault.active = false;
    result.fired = fault.fired;
    result.overfull = fault.overfull;
    result.n_kept = fault.n_blocks;
    return result;
}

static bool is_memory_failure(const fr_ctx *ctx, fr_status status)
{
    const char *message = fr_ctx_error(ctx);
    return (status == FR_ERR_NO_MEMORY && message[0] != '\0') ||
           (status == FR_ERR_IO && strstr(message, strerror(ENOMEM)) != NULL);
}

static bool check_run(const char *what, int64_t failing, const fr_ctx *ctx,
                      const fr_fault_outcome *result)
{
    char text[512];
    bool as_wanted = result->fired ? is_memory_failure(ctx, result->status)
                                   : result->status == FR_OK;
    bool right = as_wanted && (result->n_kept == 0 || result->overfull);
    (void)snprintf(text, sizeof text,
                   "allocation %lld %s: status '%s', message '%s', %lld blocks kept",
                   (long long)failing, result->fired ? "failing" : "not reached",
                   fr_status_text(result->status), fr_ctx_error(ctx),
                   (long long)result->n_kept);
    CU_assertImplementation(right, 0, text, what, "", CU_FALSE);
    return right;
}

int fr_fault_sweep(const char *what, fr_fault_action action, void *argument)
{
    int n_disturbed = 0;
    for (int64_t failing = 1;; failing += 1 + (failing > EVERY_ONE ? failing / 8 : 0)) {
        fr_ctx *ctx = fr_test_ctx();
        fr_fault_outcome result = fr_fault_run(ctx, failing, action, argument);
        bool right = check_run(what, failing, ctx, &result);
        fr_ctx_clear_error(ctx);
        if (!right || !result.fired) {
            break;
        }
        n_disturbed++;
    }
    return n_disturbed;
}
