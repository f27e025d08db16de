/* Finds rows with equal sources (the same ids, the same of them in the loss) by a hash table over the rows. */
#include "base/text_map.h"
#include "train/data/data_impl.h"

#include <string.h>

static bool are_equal(const fr_table *t, const fr_table_row *a, const fr_table_row *b)
{
    size_t n = (size_t)a->n_source;
    return a->n_source == b->n_source &&
           memcmp(t->ids + a->source, t->ids + b->source, n * sizeof *t->ids) == 0 &&
           memcmp(t->counted + a->source, t->counted + b->source, n) == 0;
}

static uint64_t hash_of(const fr_table *t, const fr_table_row *row, uint64_t seed)
{
    uint64_t hash = seed;
    for (int64_t i = 0; i < row->n_source; i++) {
        hash = fr_hash_word(hash, (uint32_t)t->ids[row->source + i]);
    }
    return hash;
}

/* The first row whose source equals that of `row`; enters `row` if it is the first. `entries` is a hash table with linear
 * probing; its entries are row numbers + 1, 0 for none. */
static int64_t first_with(const fr_table *t, int64_t row, int64_t *entries,
                          uint64_t mask, uint64_t seed)
{
    uint64_t at = hash_of(t, &t->rows[row], seed) & mask;
    while (entries[at] != 0 &&
           !are_equal(t, &t->rows[entries[at] - 1], &t->rows[row])) {
        at = (at + 1) & mask;
    }
    if (entries[at] == 0) {
        entries[at] = row + 1;
    }
    return entries[at] - 1;
}

fr_status fr_table_find_sources(fr_ctx *ctx, const fr_store *block)
{
    fr_table table = fr_table_view(block->data);
    fr_table_row *rows = (void *)(block->data + sizeof *table.header);
    int64_t n = table.header->stats.n_rows;
    int64_t capacity = 16; /* a power of two, at most half full: probes stay short */
    fr_store store = {.folder = block->folder};
    uint64_t seed = fr_hash_seed();
    while (capacity < 2 * n) {
        capacity *= 2;
    }
    FR_TRY(fr_store_grow(ctx, &store, (size_t)capacity * sizeof(int64_t)));
    int64_t *entries = (void *)store.data;
    for (int64_t r = 0; r < n; r++) {
        bool is_empty = rows[r].n_source == 0;
        rows[r].source_row =
            is_empty ? r : first_with(&table, r, entries, (uint64_t)capacity - 1, seed);
    }
    fr_store_close(&store);
    return FR_OK;
}
