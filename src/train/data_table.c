/* Tokenise a file into one block of memory: header, rows, examples, ids, flags. */
#include "base/mem.h"
#include "train/data_impl.h"

#include <stdlib.h>
#include <string.h>

/* The block's arrays while they grow. */
typedef struct builder {
    fr_ctx *ctx;
    const fr_data_params *params;
    fr_data_stats stats;
    fr_table_row *rows;
    int64_t row_room;
    fr_table_example *examples;
    int64_t example_room;
    fr_ids ids;
    fr_ids counted;
} builder;

size_t fr_table_bytes(int64_t n_rows, int64_t n_examples, int64_t n_ids)
{
    return sizeof(fr_table_header) + (size_t)n_rows * sizeof(fr_table_row) +
           (size_t)n_examples * sizeof(fr_table_example) + (size_t)n_ids * 5;
}

fr_table fr_table_view(const uint8_t *block)
{
    fr_table t;
    t.header = (const void *)block;
    const fr_data_stats *stats = &t.header->stats;
    const uint8_t *next = block + sizeof *t.header;
    t.rows = (const void *)next;
    next += (size_t)stats->n_rows * sizeof *t.rows;
    t.examples = (const void *)next;
    next += (size_t)stats->n_examples * sizeof *t.examples;
    t.ids = (const void *)next;
    t.counted = next + (size_t)t.header->n_ids * sizeof *t.ids;
    return t;
}

/* Room for one more item of an array that doubles. */
static fr_status grow(fr_ctx *ctx, void **array, size_t size, int64_t used,
                      int64_t *room)
{
    if (used < *room) {
        return FR_OK;
    }
    int64_t wanted = *room == 0 ? 1024 : 2 * *room;
    void *fresh = realloc(*array, (size_t)wanted * size);
    if (fresh == NULL) {
        fr_status status = fr_check_memory(ctx, false, (size_t)wanted * size);
        return status != FR_OK ? status : FR_ERR_NO_MEMORY;
    }
    *array = fresh;
    *room = wanted;
    return FR_OK;
}

static fr_status add_tokens(builder *b, const int32_t *ids, const int32_t *counted,
                            bool all_counted, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int32_t flag = counted != NULL ? counted[i] : all_counted;
        FR_TRY(fr_ids_add(b->ctx, &b->ids, ids[i]));
        FR_TRY(fr_ids_add(b->ctx, &b->counted, flag));
    }
    return FR_OK;
}

static int64_t target_first(const fr_row *row, int64_t t)
{
    return t == 0 ? 0 : row->target_ends.data[t - 1];
}

static int64_t target_count(const fr_row *row, int64_t t)
{
    return row->target_ends.data[t] - target_first(row, t);
}

/* Shorten source and targets of a row that is to be cut; counts the examples that lose tokens. */
static int64_t cut_source(builder *b, const fr_row *row, int64_t *target_most)
{
    int64_t most = b->params->max_tokens;
    int64_t longest = 0;
    for (int64_t t = 0; t < row->n_targets; t++) {
        int64_t n = target_count(row, t);
        longest = n > longest ? n : longest;
        b->stats.n_cut += row->source.count + n > most;
    }
    int64_t source = row->source.count;
    if (source + longest > most) {
        source = most - longest > 1 ? most - longest : 1;
        source = source < row->source.count ? source : row->source.count;
    }
    *target_most = most - source;
    return source;
}

static int64_t count_flags(const builder *b, int64_t first, int64_t n)
{
    int64_t flags = 0;
    for (int64_t i = first; i < first + n; i++) {
        flags += b->counted.data[i] != 0;
    }
    return flags;
}

/* Target t of the row as an example, or nothing if it is too long and not to be cut. */
static fr_status add_target(builder *b, const fr_row *row, int64_t t, int64_t n_source,
                            int64_t most)
{
    int64_t n = target_count(row, t);
    bool counted_source = b->rows[b->stats.n_rows].n_targets == 0;
    if (n > most && !b->params->cut_long_rows) {
        b->stats.n_dropped++;
        return FR_OK;
    }
    n = n < most ? n : most;
    void *array = b->examples;
    FR_TRY(grow(b->ctx, &array, sizeof *b->examples, b->stats.n_examples,
                &b->example_room));
    b->examples = array;
    b->examples[b->stats.n_examples++] =
        (fr_table_example){b->stats.n_rows, b->ids.count, n};
    FR_TRY(add_tokens(b, row->target_ids.data + target_first(row, t), NULL, true, n));
    fr_table_row *now = &b->rows[b->stats.n_rows];
    now->n_targets++;
    b->stats.n_target_tokens += n_source > 0 ? n : n - 1;
    if (counted_source && n_source > 0) {
        b->stats.n_target_tokens += count_flags(b, now->source + 1, n_source - 1);
    }
    b->stats.longest =
        n_source + n > b->stats.longest ? n_source + n : b->stats.longest;
    return FR_OK;
}

static fr_status add_row(builder *b, const fr_row *row, int64_t line)
{
    int64_t n_source = row->source.count;
    int64_t most = b->params->max_tokens - n_source;
    if (b->params->cut_long_rows) {
        n_source = cut_source(b, row, &most);
    }
    void *array = b->rows;
    FR_TRY(grow(b->ctx, &array, sizeof *b->rows, b->stats.n_rows, &b->row_room));
    b->rows = array;
    int64_t first_id = b->ids.count;
    b->rows[b->stats.n_rows] =
        (fr_table_row){first_id, n_source, b->stats.n_examples, 0, line, 0};
    const int32_t *counted =
        row->source_counted.count > 0 ? row->source_counted.data : NULL;
    FR_TRY(add_tokens(b, row->source.data, counted, false, n_source));
    for (int64_t t = 0; t < row->n_targets; t++) {
        FR_TRY(add_target(b, row, t, n_source, most));
    }
    if (b->rows[b->stats.n_rows].n_targets == 0) {
        b->ids.count = b->counted.count = first_id;
        return FR_OK;
    }
    b->stats.n_source_tokens += n_source;
    b->stats.n_rows++;
    return FR_OK;
}

static bool is_blank(const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (strchr(" \t\r\n", line[i]) == NULL || line[i] == '\0') {
            return false;
        }
    }
    return true;
}

static fr_status read_lines(builder *b, fr_row_reader *reader, const fr_map *file)
{
    const char *next = (const char *)file->data;
    size_t left = file->bytes;
    fr_row row = {0};
    int64_t n_read = 0;
    fr_status status = FR_OK;
    if (left >= 3 && memcmp(next, "\xef\xbb\xbf", 3) == 0) {
        next += 3;
        left -= 3;
    }
    while (left > 0 && status == FR_OK) {
        const char *end = memchr(next, '\n', left);
        size_t bytes = end != NULL ? (size_t)(end - next) + 1 : left;
        reader->line++;
        if (!is_blank(next, bytes)) {
            n_read++;
            status = fr_row_read(reader, next, bytes, &row);
            if (status == FR_OK) {
                status = add_row(b, &row, reader->line);
            }
        }
        next += bytes;
        left -= bytes;
        if (b->params->max_rows > 0 && n_read == b->params->max_rows) {
            break;
        }
    }
    fr_row_fini(&row);
    return status;
}

static fr_status check_result(const builder *b)
{
    if (b->stats.n_target_tokens > 0) {
        return FR_OK;
    }
    if (b->stats.n_rows > 0) {
        return FR_FAIL(b->ctx, FR_ERR_DATA,
                       "%s: no token is in the loss: every target is one token with "
                       "nothing before it",
                       b->params->path);
    }
    if (b->stats.n_dropped > 0) {
        return FR_FAIL(
            b->ctx, FR_ERR_DATA,
            "%s: all %lld examples are longer than %lld tokens; set long_rows: "
            "cut, or a shorter prefix",
            b->params->path, (long long)b->stats.n_dropped,
            (long long)b->params->max_tokens);
    }
    return FR_FAIL(b->ctx, FR_ERR_DATA, "%s: holds no rows", b->params->path);
}

/* Copy an array, NULL if it is empty; returns the place behind it. */
static uint8_t *append(uint8_t *to, const void *from, size_t bytes)
{
    if (from != NULL) {
        memcpy(to, from, bytes);
    }
    return to + bytes;
}

/* Copy the grown arrays into one block. */
static fr_status make_block(const builder *b, uint8_t **out)
{
    size_t bytes = fr_table_bytes(b->stats.n_rows, b->stats.n_examples, b->ids.count);
    FR_TRY(fr_alloc(b->ctx, (int64_t)bytes, 1, out));
    fr_table_header *header = (void *)*out;
    memcpy(header->magic, "FRTOKENS", sizeof header->magic);
    header->major = FR_TABLE_MAJOR;
    header->minor = FR_TABLE_MINOR;
    header->n_ids = b->ids.count;
    header->stats = b->stats;
    uint8_t *next = *out + sizeof *header;
    next = append(next, b->rows, (size_t)b->stats.n_rows * sizeof *b->rows);
    next = append(next, b->examples, (size_t)b->stats.n_examples * sizeof *b->examples);
    next = append(next, b->ids.data, (size_t)b->ids.count * sizeof *b->ids.data);
    for (int64_t i = 0; i < b->counted.count; i++) {
        next[i] = (uint8_t)b->counted.data[i];
    }
    return FR_OK;
}

fr_status fr_table_build(fr_ctx *ctx, const fr_data_params *params, const fr_map *file,
                         uint8_t **out)
{
    builder b = {.ctx = ctx, .params = params};
    fr_row_reader reader = {.ctx = ctx, .params = params};
    fr_status status = FR_OK;
    *out = NULL;
    if (params->template_text != NULL) {
        status = fr_template_parse(ctx, params->template_text, &reader.template_parts);
    }
    if (status == FR_OK) {
        status = read_lines(&b, &reader, file);
    }
    if (status == FR_OK) {
        status = check_result(&b);
    }
    if (status == FR_OK) {
        status = make_block(&b, out);
    }
    if (status == FR_OK) {
        status = fr_table_find_sources(ctx, *out);
    }
    if (status != FR_OK) {
        free(*out);
        *out = NULL;
    }
    free(b.rows);
    free(b.examples);
    fr_ids_fini(&b.ids);
    fr_ids_fini(&b.counted);
    return status;
}
