/*
 * A dataset is one block of memory: the table of data_impl.h. Opening a file goes through these steps:
 *
 *   row_files.c     which kind of file is it? Names those that are not read, with the way out
 *   data_cache.c    key = digest of the file, the tokenizer and the options; a cache of this key is checked and mapped
 *   data_table.c    no cache: read row by row (row_source.c, row.c), into a new block
 *   data_cache.c    write the block as a cache, then map it, so that the ranks of a node share its pages
 *
 * The accessors below read the block, wherever it came from: a cache and a new block have the same bytes.
 */
#include "train/data/data.h"

#include "base/mem.h"
#include "train/data/data_impl.h"
#include "train/data/row_files.h"
#include "train/data/row_lines.h"
#include "train/data/row_shape.h"

#include <stdlib.h>
#include <string.h>

struct fr_dataset {
    fr_store store; /* a new block; empty where `cache` is mapped or `block` is there */
    uint8_t *block; /* owned; a copy of a cache that could change; NULL otherwise */
    fr_map cache;
    fr_table table;
};

static fr_status build(fr_ctx *ctx, const fr_data_params *params, const fr_map *file,
                       const uint8_t key[FR_DIGEST_BYTES],
                       const uint8_t data[FR_DIGEST_BYTES], fr_dataset *dataset)
{
    /* of a sample little is read, and its run may never be started */
    const char *folder = params->sample ? NULL : params->cache_folder;
    FR_TRY(fr_table_build(ctx, params, file, folder, &dataset->store));
    fr_log_own(ctx, FR_LOG_DEBUG, "%s: tokenised", params->path);
    const uint8_t *block = dataset->store.data;
    fr_table_header *header = (void *)dataset->store.data;
    memcpy(header->key, key, sizeof header->key);
    memcpy(header->data, data, sizeof header->data);
    const fr_data_stats *s = &header->stats;
    size_t bytes = fr_table_bytes(s->n_rows, s->n_examples, header->n_ids);
    FR_TRY(fr_table_digest(ctx, block, bytes, header->content));
    if (params->cache_folder == NULL || params->sample) {
        return FR_OK;
    }
    fr_cache_write(ctx, params->cache_folder, key, block, bytes);
    /* Use the cache instead of the block: its pages are shared with the other ranks of the node. */
    uint8_t *copy = NULL;
    FR_TRY(fr_cache_open(ctx, params, key, data, &dataset->cache, &copy));
    free(copy); /* of a cache that other users may write to: the block serves as well */
    if (dataset->cache.data != NULL) {
        fr_store_close(&dataset->store);
    }
    return FR_OK;
}

static fr_status open_file(fr_ctx *ctx, const fr_data_params *params,
                           const fr_map *file, fr_dataset *dataset)
{
    uint8_t data[FR_DIGEST_BYTES] = {0};
    uint8_t key[FR_DIGEST_BYTES];
    fr_rows_kind kind;
    if (file->bytes == 0) {
        return FR_FAIL(ctx, FR_ERR_DATA, "%s: is empty", params->path);
    }
    FR_TRY(fr_rows_check_file(ctx, params->path, file->data, file->bytes, &kind));
    if (!params->sample) {
        FR_TRY(fr_digest_of(ctx, file->data, file->bytes, data));
    }
    FR_TRY(fr_table_key(ctx, params, data, key));
    if (params->cache_folder != NULL && !params->sample) {
        FR_TRY(fr_cache_open(ctx, params, key, data, &dataset->cache, &dataset->block));
    }
    if (dataset->cache.data == NULL && dataset->block == NULL) {
        FR_TRY(build(ctx, params, file, key, data, dataset));
    }
    dataset->table = fr_table_view(dataset->cache.data != NULL ? dataset->cache.data
                                   : dataset->block != NULL    ? dataset->block
                                                               : dataset->store.data);
    /* also for rows from the cache: the user must see it in every run */
    const fr_data_stats *stats = &dataset->table.header->stats;
    fr_row_report_forms(ctx, params->path, stats->forms);
    fr_row_report(ctx, params->path, stats->n_unusable, stats->n_unused);
    return FR_OK;
}

fr_status fr_dataset_open(fr_ctx *ctx, const fr_data_params *params, fr_dataset **out)
{
    fr_map file;
    fr_dataset *dataset = NULL;
    *out = NULL;
    if (params->max_tokens < 2) {
        return FR_FAIL(ctx, FR_ERR_ARG, "max_tokens is %lld, must be at least 2",
                       (long long)params->max_tokens);
    }
    FR_TRY(fr_map_open(ctx, params->path, &file));
    fr_status status = fr_alloc(ctx, 1, sizeof *dataset, &dataset);
    if (status == FR_OK) {
        status = open_file(ctx, params, &file, dataset);
    }
    if (status != FR_OK) {
        fr_dataset_close(&dataset);
    }
    fr_map_close(&file);
    *out = dataset;
    return status;
}

void fr_dataset_close(fr_dataset **dataset)
{
    if (*dataset != NULL) {
        fr_map_close(&(*dataset)->cache);
        free((*dataset)->block);
        fr_store_close(&(*dataset)->store);
        free(*dataset);
        *dataset = NULL;
    }
}

const fr_data_stats *fr_dataset_stats(const fr_dataset *dataset)
{
    return &dataset->table.header->stats;
}

void fr_dataset_example(const fr_dataset *dataset, int64_t example, int64_t *row,
                        int64_t *target)
{
    *row = dataset->table.examples[example].row;
    *target = example - dataset->table.rows[*row].first_example;
}

int64_t fr_dataset_n_targets(const fr_dataset *dataset, int64_t row)
{
    return dataset->table.rows[row].n_targets;
}

int64_t fr_dataset_source_row(const fr_dataset *dataset, int64_t example)
{
    return dataset->table.rows[dataset->table.examples[example].row].source_row;
}

static fr_sequence sequence_at(const fr_table *t, int64_t first, int64_t n)
{
    return (fr_sequence){t->ids + first, t->counted + first, n};
}

fr_sequence fr_dataset_source(const fr_dataset *dataset, int64_t row)
{
    const fr_table_row *r = &dataset->table.rows[row];
    return sequence_at(&dataset->table, r->source, r->n_source);
}

fr_sequence fr_dataset_target(const fr_dataset *dataset, int64_t row, int64_t target)
{
    return fr_dataset_example_target(dataset,
                                     dataset->table.rows[row].first_example + target);
}

fr_sequence fr_dataset_example_target(const fr_dataset *dataset, int64_t example)
{
    const fr_table_example *e = &dataset->table.examples[example];
    return sequence_at(&dataset->table, e->first, e->n);
}

int64_t fr_dataset_line(const fr_dataset *dataset, int64_t row)
{
    return dataset->table.rows[row].line;
}

void fr_dataset_digest(const fr_dataset *dataset, uint8_t out[FR_DIGEST_BYTES])
{
    memcpy(out, dataset->table.header->data, FR_DIGEST_BYTES);
}
