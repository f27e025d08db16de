/*
 * Tokenises a data file into one block of memory: header, rows, examples, ids, flags.
 *
 * row_source.c gives the rows one after another, and fr_row_read_text makes each a row of ids. add_row appends it: first the source, cut if the row is too long, then each
 * target as an example. A row without a remaining example is taken back. The arrays grow in stores (base/store.h), so they may be larger than memory; at the
 * end make_block copies them into one block, and data_sources.c finds equal sources in it.
 */
#include "base/mem.h"
#include "train/data/data_impl.h"
#include "train/data/data_scan.h"
#include "train/data/row.h"
#include "train/data/row_lines.h"
#include "train/data/row_source.h"

#include <stdlib.h>
#include <string.h>

/* The arrays of the block while they grow. */
typedef struct builder {
    fr_ctx *ctx;
    const fr_data_params *params;
    const fr_data_scan *scan; /* NULL: a block is made */
    fr_data_stats stats;
    int64_t n_other; /* rows whose answers a prompt opens otherwise */
    fr_store row_store;
    fr_table_row *rows; /* in its store, as the others */
    int64_t n_rows;     /* held in `rows`; a scan holds one at a time */
    fr_store example_store;
    fr_table_example *examples;
    int64_t n_examples; /* likewise */
    fr_store id_store;
    fr_ids ids;
    fr_store flag_store;
    fr_ids counted;
} builder;

size_t fr_table_bytes(int64_t n_rows, int64_t n_examples, int64_t n_ids)
{
    return sizeof(fr_table_header) + (size_t)n_rows * sizeof(fr_table_row) +
           (size_t)n_examples * sizeof(fr_table_example) +
           (size_t)n_ids * (sizeof(int32_t) + sizeof(uint8_t)); /* id and flag */
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

/* Room for `n` more ids and flags, which lie in stores. */
static fr_status reserve_ids(builder *b, int64_t n)
{
    size_t bytes = (size_t)(b->ids.count + n) * sizeof *b->ids.data;
    FR_TRY(fr_store_grow(b->ctx, &b->id_store, bytes));
    FR_TRY(fr_store_grow(b->ctx, &b->flag_store, bytes));
    b->ids.data = (int32_t *)(void *)b->id_store.data;
    b->counted.data = (int32_t *)(void *)b->flag_store.data;
    return FR_OK;
}

static void add_id(builder *b, int32_t id, bool counted)
{
    b->ids.data[b->ids.count++] = id;
    b->counted.data[b->counted.count++] = counted ? 1 : 0;
}

/* Ids of one sequence of a row. */
typedef struct span {
    const fr_row_ids *of;
    int64_t first;
    int64_t n;
} span;

/* target_ends holds the end of each target in row->targets, so a target begins where the one before it ends. */
static span source_of(const fr_row *row)
{
    return (span){&row->source, 0, row->source.ids.count};
}

static span target_of(const fr_row *row, int64_t t)
{
    int64_t first = t == 0 ? 0 : row->target_ends.data[t - 1];
    return (span){&row->targets, first, row->target_ends.data[t] - first};
}

/* Ids of the row's own text: only these may be cut. The ids of template, BOS and end of sequence stay whole. */
static int64_t count_own(span s)
{
    int64_t n = 0;
    for (int64_t i = s.first; i < s.first + s.n; i++) {
        n += s.of->own.data[i] != 0;
    }
    return n;
}

/* Append a span without the last `n_cut` of its own ids. `counted`: a flag for each id; NULL: `all_counted` for all. */
static fr_status add_tokens(builder *b, span s, int64_t n_cut, const int32_t *counted,
                            bool all_counted)
{
    int64_t left = count_own(s) - n_cut;
    FR_TRY(reserve_ids(b, s.n));
    for (int64_t i = s.first; i < s.first + s.n; i++) {
        bool own = s.of->own.data[i] != 0;
        left -= own;
        if (own && left < 0) {
            continue;
        }
        add_id(b, s.of->ids.data[i], counted != NULL ? counted[i] != 0 : all_counted);
    }
    return FR_OK;
}

/* Number of ids to cut from the source: as many as the longest target needs, but only ids of the row's own text. At
 * least one id of the source stays, so that the first token of the target has a predecessor. */
static int64_t cut_of_source(const builder *b, const fr_row *row)
{
    int64_t longest = 0;
    for (int64_t t = 0; t < row->n_targets; t++) {
        int64_t n = target_of(row, t).n;
        longest = n > longest ? n : longest;
    }
    span source = source_of(row);
    int64_t wanted = source.n + longest - b->params->max_tokens;
    int64_t own = count_own(source);
    int64_t max = own - (own == source.n && own > 0);
    wanted = wanted < max ? wanted : max;
    return b->params->cut_long_rows && wanted > 0 ? wanted : 0;
}

/* Number of ids in the loss among the ids [first, first + n) of the table. */
static int64_t count_flags(const builder *b, int64_t first, int64_t n)
{
    int64_t flags = 0;
    for (int64_t i = first; i < first + n; i++) {
        flags += b->counted.data[i] != 0;
    }
    return flags;
}

/* Count an example of `n` target tokens in the statistics. Tokens of the source that are in the loss count once a row,
 * with its first example. The very first token of a sequence has no predecessor and so is not predicted. */
static void count_example(builder *b, int64_t n_source, int64_t n)
{
    fr_table_row *now = &b->rows[b->n_rows];
    if (now->n_targets == 0 && n_source > 0) {
        b->stats.n_target_tokens += count_flags(b, now->source + 1, n_source - 1);
    }
    now->n_targets++;
    b->stats.n_target_tokens += n_source > 0 ? n : n - 1;
    b->stats.longest =
        n_source + n > b->stats.longest ? n_source + n : b->stats.longest;
}

/* Append target t of the row as an example, unless it is too long and cannot be cut. */
static fr_status add_target(builder *b, const fr_row *row, int64_t t, int64_t n_source)
{
    span target = target_of(row, t);
    int64_t n_cut = n_source + target.n - b->params->max_tokens;
    bool too_long = row->source.ids.count + target.n > b->params->max_tokens;
    if (n_cut > 0 && (!b->params->cut_long_rows || n_cut >= count_own(target))) {
        b->stats.n_dropped++;
        return FR_OK;
    }
    n_cut = n_cut > 0 ? n_cut : 0;
    FR_TRY(fr_store_grow(b->ctx, &b->example_store,
                         (size_t)(b->n_examples + 1) * sizeof *b->examples));
    b->examples = (void *)b->example_store.data;
    b->examples[b->n_examples++] =
        (fr_table_example){b->n_rows, b->ids.count, target.n - n_cut};
    b->stats.n_examples++;
    b->stats.n_cut += too_long;
    count_example(b, n_source, target.n - n_cut);
    return add_tokens(b, target, n_cut, NULL, true);
}

/* A target may be dropped, so whether the row stays is known only at its end. The row's entry counts as part of the
 * table from the moment n_rows is raised; without an example its ids are taken back. */
static fr_status add_row(builder *b, const fr_row *row, int64_t line)
{
    int64_t n_cut = cut_of_source(b, row);
    int64_t n_source = row->source.ids.count - n_cut;
    FR_TRY(fr_store_grow(b->ctx, &b->row_store,
                         (size_t)(b->n_rows + 1) * sizeof *b->rows));
    b->rows = (void *)b->row_store.data;
    int64_t first_id = b->ids.count;
    b->rows[b->n_rows] = (fr_table_row){first_id, n_source, b->n_examples, 0, line, 0};
    const int32_t *counted =
        row->source_counted.count > 0 ? row->source_counted.data : NULL;
    FR_TRY(add_tokens(b, source_of(row), n_cut, counted, false));
    for (int64_t t = 0; t < row->n_targets; t++) {
        FR_TRY(add_target(b, row, t, n_source));
    }
    if (b->rows[b->n_rows].n_targets == 0) {
        b->ids.count = b->counted.count = first_id;
        return FR_OK;
    }
    b->stats.n_unused += row->has_unused_source;
    b->n_other += row->opens_otherwise;
    b->stats.n_source_tokens += n_source;
    b->stats.n_rows++;
    b->n_rows++;
    return FR_OK;
}

/* A scan shows each row and holds it no longer. */
static fr_status see_row(builder *b, const fr_row *row, int64_t line)
{
    const fr_data_stats before = b->stats;
    fr_row_seen seen = {.line = line, .ids = &b->ids, .counted = &b->counted};
    FR_TRY(add_row(b, row, line));
    for (int64_t t = 0; t < row->n_targets; t++) {
        int64_t n = row->source.ids.count + target_of(row, t).n;
        seen.longest = n > seen.longest ? n : seen.longest;
    }
    seen.n_kept = b->stats.n_examples - before.n_examples;
    seen.n_dropped = b->stats.n_dropped - before.n_dropped;
    seen.n_cut = b->stats.n_cut - before.n_cut;
    if (seen.n_kept > 0) {
        seen.n_source = b->rows[0].n_source;
        seen.first_end = b->examples[0].first + b->examples[0].n;
    }
    fr_status status = b->scan->see(b->scan->of, &seen);
    b->n_rows = b->n_examples = b->ids.count = b->counted.count = 0;
    return status;
}

/* row_lines.c collects the rows that cannot be used and decides whether reading goes on. max_rows counts unusable lines
 * too, so that it means the same rows with on_error: stop and skip. */
static fr_status read_rows(builder *b, fr_row_reader *reader, fr_bad_rows *bad,
                           fr_row_source *source)
{
    fr_row row = {0};
    fr_row_text text = {0};
    int64_t max = b->params->max_rows;
    fr_status status = FR_OK;
    for (int64_t n_read = 0; status == FR_OK && (max == 0 || n_read < max); n_read++) {
        status = fr_row_source_next(source, &text);
        if (status != FR_OK || text.text == NULL) {
            break;
        }
        do {
            fr_status read = fr_row_read_text(reader, &text, &row);
            status = fr_bad_rows_add(b->ctx, bad, read);
            if (status == FR_OK && read == FR_OK) {
                status = b->scan != NULL ? see_row(b, &row, reader->line)
                                         : add_row(b, &row, reader->line);
            }
        } while (fr_row_next_part(reader, &row) && status == FR_OK);
    }
    fr_row_fini(&row);
    return status;
}

/* After the rows: what is told of all of them. */
static fr_status end_rows(builder *b, const fr_row_reader *reader,
                          const fr_bad_rows *bad, const fr_row_source *source)
{
    b->stats.n_unusable = bad->n;
    b->stats.forms = reader->forms | fr_row_source_kind(source);
    if (b->n_other > 0) {
        fr_log(
            b->ctx, FR_LOG_WARN,
            "%s: the chat template opens an answer with more than it writes before a "
            "finished one, in %lld rows: prompts of `generate` end otherwise than "
            "what is learned begins (tokenize --chat FILE shows both, with and "
            "without --prompts); use a template that writes the same in both places",
            b->params->path, (long long)b->n_other);
    }
    return fr_bad_rows_end(b->ctx, bad, b->params->path);
}

/* A data set without a single token in the loss cannot train. The message names the most likely cause. */
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
        return FR_FAIL(b->ctx, FR_ERR_DATA,
                       "%s: all %lld examples are longer than %lld tokens; %s",
                       b->params->path, (long long)b->stats.n_dropped,
                       (long long)b->params->max_tokens,
                       b->params->cut_long_rows
                           ? "the template alone is too long: shorten it or the prefix"
                           : "shorten them, or in a config set long_rows: cut or a "
                             "shorter prefix");
    }
    if (b->stats.n_unusable > 0) {
        return FR_FAIL(b->ctx, FR_ERR_DATA, "%s: no row can be used (see above)",
                       b->params->path);
    }
    return FR_FAIL(b->ctx, FR_ERR_DATA, "%s: holds no rows", b->params->path);
}

/* Copy an array (NULL if it is empty); returns the address behind the copy. */
static uint8_t *append(uint8_t *to, const void *from, size_t bytes)
{
    if (from != NULL) {
        memcpy(to, from, bytes);
    }
    return to + bytes;
}

/* Copy the grown arrays into one block. Its order is that of fr_table_view. A flag takes one byte here, though it grew
 * as an id. The digests in the header stay zero; the caller of fr_table_build fills them. */
static fr_status make_block(const builder *b, fr_store *out)
{
    size_t bytes = fr_table_bytes(b->stats.n_rows, b->stats.n_examples, b->ids.count);
    FR_TRY(fr_store_grow(b->ctx, out, bytes));
    fr_table_header *header = (void *)out->data;
    memcpy(header->magic, "FRTOKENS", sizeof header->magic);
    header->major = FR_TABLE_MAJOR;
    header->minor = FR_TABLE_MINOR;
    header->n_ids = b->ids.count;
    header->stats = b->stats;
    uint8_t *next = out->data + sizeof *header;
    next = append(next, b->rows, (size_t)b->stats.n_rows * sizeof *b->rows);
    next = append(next, b->examples, (size_t)b->stats.n_examples * sizeof *b->examples);
    next = append(next, b->ids.data, (size_t)b->ids.count * sizeof *b->ids.data);
    for (int64_t i = 0; i < b->counted.count; i++) {
        next[i] = (uint8_t)b->counted.data[i];
    }
    return FR_OK;
}

/* Read all rows of the file and turn them into a block. */
static fr_status build(builder *b, fr_row_source *source, fr_bad_rows *bad,
                       fr_store *out)
{
    fr_row_reader reader;
    FR_TRY(fr_row_reader_init(b->ctx, b->params, FR_ROW_LEARN, &reader));
    FR_TRY(read_rows(b, &reader, bad, source));
    FR_TRY(end_rows(b, &reader, bad, source));
    FR_TRY(check_result(b));
    FR_TRY(make_block(b, out));
    return fr_table_find_sources(b->ctx, out);
}

static void fini(builder *b)
{
    fr_store_close(&b->row_store);
    fr_store_close(&b->example_store);
    fr_store_close(&b->id_store);
    fr_store_close(&b->flag_store);
}

static fr_status scan(builder *b, fr_row_source *source, fr_bad_rows *bad)
{
    fr_row_reader reader;
    FR_TRY(fr_row_reader_init(b->ctx, b->params, FR_ROW_LEARN, &reader));
    FR_TRY(read_rows(b, &reader, bad, source));
    return end_rows(b, &reader, bad, source);
}

fr_status fr_dataset_scan(fr_ctx *ctx, const fr_data_params *params,
                          const fr_data_scan *how, fr_data_stats *out)
{
    builder b = {.ctx = ctx, .params = params, .scan = how};
    fr_bad_rows bad = {.skip = params->skip_bad_rows};
    fr_row_source *source = NULL;
    fr_map file;
    FR_TRY(fr_map_open(ctx, params->path, &file));
    fr_status status = fr_row_source_open(ctx, params->path, (const char *)file.data,
                                          file.bytes, &source);
    if (status == FR_OK) {
        status = scan(&b, source, &bad);
    }
    *out = b.stats;
    fr_row_source_close(&source);
    fr_bad_rows_fini(&bad);
    fini(&b);
    fr_map_close(&file);
    return status;
}

fr_status fr_table_build(fr_ctx *ctx, const fr_data_params *params, const fr_map *file,
                         const char *folder, fr_store *out)
{
    builder b = {.ctx = ctx,
                 .params = params,
                 .row_store = {.folder = folder},
                 .example_store = {.folder = folder},
                 .id_store = {.folder = folder},
                 .flag_store = {.folder = folder}};
    fr_bad_rows bad = {.skip = params->skip_bad_rows};
    fr_row_source *source = NULL;
    *out = (fr_store){.folder = folder};
    FR_TRY(fr_row_source_open(ctx, params->path, (const char *)file->data, file->bytes,
                              &source));
    fr_status status = build(&b, source, &bad, out);
    if (status != FR_OK) {
        fr_store_close(out);
    }
    fr_row_source_close(&source);
    fr_bad_rows_fini(&bad);
    fini(&b);
    return status;
}
