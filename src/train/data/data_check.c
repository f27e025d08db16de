/*
 * Whether a token cache that somebody made can be used without checking its numbers again.
 *
 * One pass in the order in which fr_table_build lays the block out: the ids of a row's source, then those of its targets,
 * row by row. So every offset must equal the running sum before it, and nothing can overlap or be left over. The
 * statistics are counted again on the way and must agree.
 */
#include "train/data/data_impl.h"
#include "train/data/row_shape.h"

#include <string.h>

/* Position in the arrays, and the statistics counted so far. */
typedef struct walk {
    const fr_data_params *params;
    fr_table table;
    int64_t next_id;
    int64_t next_example;
    fr_data_stats found;
} walk;

/* The sizes first: after this check all arrays of fr_table_view lie within the block. */
static bool counts_fit(const fr_table_header *h, size_t bytes)
{
    int64_t max = (int64_t)bytes; /* limit of any count, so that no product overflows */
    const fr_data_stats *s = &h->stats;
    return s->n_rows > 0 && s->n_rows < max && s->n_examples > 0 &&
           s->n_examples < max && h->n_ids > 0 && h->n_ids < max && s->n_dropped >= 0 &&
           s->n_unusable >= 0 && s->n_unused >= 0 && s->n_cut >= 0 &&
           s->n_cut <= s->n_examples && s->forms > 0 && s->forms < FR_FORMS_END &&
           fr_table_bytes(s->n_rows, s->n_examples, h->n_ids) == bytes;
}

static bool ids_and_flags_are_allowed(const walk *w)
{
    bool good = true;
    for (int64_t i = 0; i < w->table.header->n_ids; i++) {
        good = good && w->table.ids[i] >= 0 &&
               w->table.ids[i] < w->params->vocab_size && w->table.counted[i] <= 1;
    }
    return good;
}

/* Step over the next n ids, which must begin at `first`. */
static bool take_ids(walk *w, int64_t first, int64_t n)
{
    if (first != w->next_id || n < 0 || n > w->table.header->n_ids - first) {
        return false;
    }
    w->next_id += n;
    return true;
}

static int64_t sum_flags(const walk *w, int64_t first, int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = first; i < first + n; i++) {
        sum += w->table.counted[i];
    }
    return sum;
}

/* An example is at least one token, all of its tokens are in the loss, and with its source it is not too long. */
static bool take_example(walk *w, int64_t row, int64_t n_source)
{
    const fr_table_example *e = &w->table.examples[w->next_example];
    if (e->row != row || e->n < 1 || !take_ids(w, e->first, e->n) ||
        n_source + e->n > w->params->max_tokens ||
        sum_flags(w, e->first, e->n) != e->n) {
        return false;
    }
    int64_t length = n_source + e->n;
    w->next_example++;
    w->found.n_target_tokens += n_source > 0 ? e->n : e->n - 1;
    w->found.longest = length > w->found.longest ? length : w->found.longest;
    return true;
}

/* source_row must be the row itself, or an earlier row with an equal source that is the first of its kind. */
static bool source_row_fits(const walk *w, int64_t row)
{
    const fr_table *t = &w->table;
    const fr_table_row *r = &t->rows[row];
    if (r->source_row == row) {
        return true;
    }
    if (r->source_row < 0 || r->source_row > row || r->n_source == 0) {
        return false;
    }
    const fr_table_row *first = &t->rows[r->source_row];
    size_t n = (size_t)r->n_source;
    return first->source_row == r->source_row && first->n_source == r->n_source &&
           memcmp(t->ids + first->source, t->ids + r->source, n * sizeof *t->ids) ==
               0 &&
           memcmp(t->counted + first->source, t->counted + r->source, n) == 0;
}

/* The order of these checks matters: take_ids must accept the source before anything reads its ids. */
static bool take_row(walk *w, int64_t row)
{
    const fr_table_row *r = &w->table.rows[row];
    int64_t line_before = row > 0 ? w->table.rows[row - 1].line : 0;
    int64_t left = w->table.header->stats.n_examples - w->next_example;
    if (!take_ids(w, r->source, r->n_source) || r->first_example != w->next_example ||
        r->n_targets < 1 || r->n_targets > left || r->line < line_before ||
        r->line < 1 || !source_row_fits(w, row)) {
        return false;
    }
    for (int64_t i = 0; i < r->n_targets; i++) {
        if (!take_example(w, row, r->n_source)) {
            return false;
        }
    }
    w->found.n_source_tokens += r->n_source;
    if (r->n_source > 1) {
        w->found.n_target_tokens += sum_flags(w, r->source + 1, r->n_source - 1);
    }
    return true;
}

bool fr_table_is_sound(const fr_data_params *params, const uint8_t *block, size_t bytes)
{
    if (bytes < sizeof(fr_table_header) || !counts_fit((const void *)block, bytes)) {
        return false;
    }
    walk w = {.params = params, .table = fr_table_view(block)};
    const fr_data_stats *stats = &w.table.header->stats;
    bool good = ids_and_flags_are_allowed(&w);
    for (int64_t row = 0; row < stats->n_rows && good; row++) {
        good = take_row(&w, row);
    }
    return good && w.next_id == w.table.header->n_ids &&
           w.next_example == stats->n_examples &&
           w.found.n_source_tokens == stats->n_source_tokens &&
           w.found.n_target_tokens == stats->n_target_tokens &&
           w.found.longest == stats->longest && stats->n_target_tokens > 0;
}
