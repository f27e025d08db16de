/* A hash table with linear probing, at most half full; it doubles up to its bound. */
#include "train/data/row_set.h"

#include "base/mem.h"
#include "base/text_map.h"

#include <stdlib.h>

typedef struct entry {
    uint64_t hash;
    int64_t line; /* 0: free */
} entry;

struct fr_row_set {
    fr_ctx *ctx;
    uint64_t seed;
    entry *entries;
    int64_t capacity; /* a power of two */
    int64_t n;
    bool is_full;
};

fr_status fr_row_set_create(fr_ctx *ctx, fr_row_set **out)
{
    enum { FIRST = 1024 };
    *out = NULL;
    fr_row_set *set = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *set, &set));
    *set = (fr_row_set){.ctx = ctx, .seed = fr_hash_seed(), .capacity = FIRST};
    fr_status status = fr_alloc(ctx, FIRST, sizeof *set->entries, &set->entries);
    if (status != FR_OK) {
        fr_row_set_destroy(&set);
    }
    *out = set;
    return status;
}

void fr_row_set_destroy(fr_row_set **set)
{
    if (*set != NULL) {
        free((*set)->entries);
        free(*set);
        *set = NULL;
    }
}

/* The flags are part of a row: the same ids with another part in the loss are another row. */
static uint64_t hash_of(const fr_row_set *set, const fr_ids *ids, const fr_ids *counted)
{
    uint64_t hash = set->seed;
    for (int64_t i = 0; i < ids->count; i++) {
        uint64_t flag = counted->data[i] != 0 ? 1 : 0;
        hash = fr_hash_word(hash, (uint64_t)(uint32_t)ids->data[i] << 1 | flag);
    }
    return hash;
}

static entry *place_of(const fr_row_set *set, uint64_t hash)
{
    uint64_t mask = (uint64_t)set->capacity - 1;
    uint64_t at = hash & mask;
    while (set->entries[at].line != 0 && set->entries[at].hash != hash) {
        at = (at + 1) & mask;
    }
    return &set->entries[at];
}

static fr_status grow(fr_row_set *set)
{
    entry *old = set->entries;
    entry *fresh = NULL;
    int64_t n = set->capacity;
    FR_TRY(fr_alloc(set->ctx, 2 * n, sizeof *fresh, &fresh));
    set->entries = fresh;
    set->capacity = 2 * n;
    for (int64_t i = 0; i < n; i++) {
        if (old[i].line != 0) {
            *place_of(set, old[i].hash) = old[i];
        }
    }
    free(old);
    return FR_OK;
}

fr_status fr_row_set_add(fr_row_set *set, const fr_ids *ids, const fr_ids *counted,
                         int64_t line, int64_t *first)
{
    uint64_t hash = hash_of(set, ids, counted);
    entry *at = place_of(set, hash);
    *first = at->line;
    if (at->line != 0) {
        return FR_OK;
    }
    if (set->n >= FR_ROW_SET_MOST) {
        set->is_full = true;
        return FR_OK;
    }
    if (2 * (set->n + 1) > set->capacity) {
        FR_TRY(grow(set));
        at = place_of(set, hash);
    }
    *at = (entry){hash, line};
    set->n++;
    return FR_OK;
}

int64_t fr_row_set_find(const fr_row_set *set, const fr_ids *ids, const fr_ids *counted)
{
    return place_of(set, hash_of(set, ids, counted))->line;
}

bool fr_row_set_is_full(const fr_row_set *set)
{
    return set->is_full;
}
