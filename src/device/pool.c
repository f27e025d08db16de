/*
 * The places of a pool lie side by side in one array, in the order of their addresses, used and free: some hundreds in a run,
 * so they are searched one by one. What always holds: they cover the pool without a gap, and no two free ones touch.
 */
#include "device/pool.h"

#include "base/integer.h"
#include "base/mem.h"
#include "base/quantity.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
    int64_t offset;
    int64_t bytes;
    bool is_used;
} place;

struct fr_pool {
    fr_ctx *ctx;
    fr_pool_source source;
    int64_t bytes;
    int64_t used;
    int64_t most_used;
    place *places; /* [n] of room for `capacity` */
    int64_t n;
    int64_t capacity;
};

fr_status fr_pool_create(fr_ctx *ctx, const fr_pool_source *source, fr_pool **out)
{
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    (*out)->ctx = ctx;
    (*out)->source = *source;
    return FR_OK;
}

void fr_pool_destroy(fr_pool **pool)
{
    if (*pool != NULL) {
        free((*pool)->places);
        free(*pool);
        *pool = NULL;
    }
}

/* Room for one more place: a block splits at most one free place, growing adds one. */
static fr_status make_room(fr_pool *pool)
{
    enum { FIRST = 64 };
    if (pool->n < pool->capacity) {
        return FR_OK;
    }
    place *larger = NULL;
    int64_t capacity = fr_max(FIRST, 2 * pool->capacity);
    FR_TRY(fr_alloc(pool->ctx, capacity, sizeof *larger, &larger));
    if (pool->n > 0) {
        memcpy(larger, pool->places, (size_t)pool->n * sizeof *larger);
    }
    free(pool->places);
    pool->places = larger;
    pool->capacity = capacity;
    return FR_OK;
}

static void insert(fr_pool *pool, int64_t at, place fresh)
{
    memmove(pool->places + at + 1, pool->places + at,
            (size_t)(pool->n - at) * sizeof fresh);
    pool->places[at] = fresh;
    pool->n++;
}

static void remove_place(fr_pool *pool, int64_t at)
{
    pool->n--;
    memmove(pool->places + at, pool->places + at + 1,
            (size_t)(pool->n - at) * sizeof *pool->places);
}

/* The free place at the pool's end; NULL: the end is used. */
static place *free_end(const fr_pool *pool)
{
    place *last = pool->n > 0 ? &pool->places[pool->n - 1] : NULL;
    return last != NULL && !last->is_used ? last : NULL;
}

static fr_status refuse(const fr_pool *pool, int64_t asked, int64_t available)
{
    char asked_text[FR_SIZE_BYTES];
    char free_text[FR_SIZE_BYTES];
    char pool_text[FR_SIZE_BYTES];
    char more_text[FR_SIZE_BYTES];
    fr_size_text((double)asked, asked_text);
    fr_size_text((double)(pool->bytes - pool->used), free_text);
    fr_size_text((double)pool->bytes, pool_text);
    fr_size_text((double)available, more_text);
    return FR_FAIL(
        pool->ctx, FR_ERR_NO_MEMORY,
        "too little memory of the device: %s are asked for, %s of the %s that "
        "this rank has reserved are free, and the device has %s more; " FR_POOL_REMEDY
        " (`forerun plan` shows what would fit)",
        asked_text, free_text, pool_text, more_text);
}

static int64_t available(const fr_pool *pool)
{
    return pool->source.available(pool->source.context);
}

/* By so many bytes at least, which `asked` needs. */
static fr_status grow(fr_pool *pool, int64_t more, int64_t asked)
{
    int64_t most = available(pool);
    if (more > most) {
        return refuse(pool, asked, most);
    }
    more = fr_min(fr_round_up(more, FR_POOL_GRAIN_BYTES), most);
    FR_TRY(make_room(pool));
    FR_TRY(pool->source.grow(pool->source.context, pool->bytes + more));
    place *end = free_end(pool);
    if (end != NULL) {
        end->bytes += more;
    } else {
        insert(pool, pool->n, (place){pool->bytes, more, false});
    }
    pool->bytes += more;
    return FR_OK;
}

fr_status fr_pool_reserve(fr_pool *pool, int64_t bytes)
{
    return bytes > pool->bytes ? grow(pool, bytes - pool->bytes, bytes) : FR_OK;
}

/* The smallest free place of so many bytes; -1: there is none. */
static int64_t find_free(const fr_pool *pool, int64_t bytes)
{
    int64_t best = -1;
    for (int64_t i = 0; i < pool->n; i++) {
        const place *p = &pool->places[i];
        if (!p->is_used && p->bytes >= bytes &&
            (best < 0 || p->bytes < pool->places[best].bytes)) {
            best = i;
        }
    }
    return best;
}

fr_status fr_pool_take(fr_pool *pool, int64_t bytes, void **out)
{
    *out = NULL;
    if (bytes > INT64_MAX - FR_POOL_ALIGNMENT) { /* its size would overflow */
        return refuse(pool, bytes, available(pool));
    }
    int64_t size = fr_round_up(fr_max(bytes, 1), FR_POOL_ALIGNMENT);
    if (find_free(pool, size) < 0) {
        const place *end = free_end(pool);
        FR_TRY(grow(pool, size - (end != NULL ? end->bytes : 0), size));
    }
    FR_TRY(make_room(pool));
    int64_t at = find_free(pool, size);
    place rest = pool->places[at];
    pool->places[at] = (place){rest.offset, size, true};
    if (rest.bytes > size) {
        insert(pool, at + 1, (place){rest.offset + size, rest.bytes - size, false});
    }
    pool->used += size;
    pool->most_used = fr_max(pool->most_used, pool->used);
    *out = pool->source.base + pool->places[at].offset;
    return FR_OK;
}

static int64_t find_block(const fr_pool *pool, const void *block)
{
    int64_t offset = (const char *)block - pool->source.base;
    int64_t at = 0;
    while (pool->places[at].offset != offset) {
        at++;
        assert(at < pool->n);
    }
    assert(pool->places[at].is_used);
    return at;
}

int64_t fr_pool_block_bytes(const fr_pool *pool, const void *block)
{
    return pool->places[find_block(pool, block)].bytes;
}

int64_t fr_pool_give(fr_pool *pool, void *block)
{
    int64_t at = find_block(pool, block);
    int64_t bytes = pool->places[at].bytes;
    pool->places[at].is_used = false;
    pool->used -= bytes;
    if (at + 1 < pool->n && !pool->places[at + 1].is_used) {
        pool->places[at].bytes += pool->places[at + 1].bytes;
        remove_place(pool, at + 1);
    }
    if (at > 0 && !pool->places[at - 1].is_used) {
        pool->places[at - 1].bytes += pool->places[at].bytes;
        remove_place(pool, at);
    }
    return bytes;
}

int64_t fr_pool_bytes(const fr_pool *pool)
{
    return pool->bytes;
}

int64_t fr_pool_used(const fr_pool *pool)
{
    return pool->used;
}

int64_t fr_pool_most_used(const fr_pool *pool)
{
    return pool->most_used;
}
