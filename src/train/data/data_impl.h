/*
 * data_impl.h - the table of a file's rows, shared by data.c and data_*.c.
 */
#ifndef FR_TRAIN_DATA_DATA_IMPL_H
#define FR_TRAIN_DATA_DATA_IMPL_H

#include "base/file.h"
#include "base/store.h"
#include "train/data/data.h"

/* The table: a header and four arrays in one block of memory, the same in a cache file (docs/format-token-cache.md). */
enum { FR_TABLE_MAJOR = 4, FR_TABLE_MINOR = 0 };

typedef struct fr_table_header {
    char magic[8];
    int32_t major;
    int32_t minor;
    int64_t n_ids;
    fr_data_stats stats;
    uint8_t key[FR_DIGEST_BYTES];     /* of everything that determines the content */
    uint8_t data[FR_DIGEST_BYTES];    /* of the data file */
    uint8_t content[FR_DIGEST_BYTES]; /* of the whole block except this field */
} fr_table_header;

typedef struct fr_table_row {
    int64_t source;
    int64_t n_source;
    int64_t first_example;
    int64_t n_targets;
    int64_t line;
    /* first row with an equal source; the row itself if its source is empty */
    int64_t source_row;
} fr_table_row;

typedef struct fr_table_example {
    int64_t row;
    int64_t first;
    int64_t n;
} fr_table_example;

/** Views of the arrays in a block. */
typedef struct fr_table {
    const fr_table_header *header;
    const fr_table_row *rows;
    const fr_table_example *examples;
    const int32_t *ids;
    const uint8_t *counted;
} fr_table;

/** Bytes of a block with these counts. */
size_t fr_table_bytes(int64_t n_rows, int64_t n_examples, int64_t n_ids);
/** The views of a block whose header is filled. */
fr_table fr_table_view(const uint8_t *block);

/** Set source_row in every row of a block. */
FR_MUST_CHECK fr_status fr_table_find_sources(fr_ctx *ctx, const fr_store *block);

/** Tokenise the whole file into one block without digests; the caller closes it.
 * @param folder  of a disk with space for what is larger than memory; NULL: in memory */
FR_MUST_CHECK fr_status fr_table_build(fr_ctx *ctx, const fr_data_params *params,
                                       const fr_map *file, const char *folder,
                                       fr_store *out);

/** Digest of data, tokenizer and options: the key of a cache. */
FR_MUST_CHECK fr_status fr_table_key(fr_ctx *ctx, const fr_data_params *params,
                                     const uint8_t data[FR_DIGEST_BYTES],
                                     uint8_t out[FR_DIGEST_BYTES]);

/** Digest of a block (header, statistics and arrays) except the field that holds this digest. */
FR_MUST_CHECK fr_status fr_table_digest(fr_ctx *ctx, const uint8_t *block, size_t bytes,
                                        uint8_t out[FR_DIGEST_BYTES]);

/** Whether fr_table_build could have made this block of `bytes` with these parameters: sizes, offsets, order, ids,
 * flags and statistics. The digest does not prove this, because whoever makes a file can make its digest too. After this
 * check every index in the block can be used without another check. Linear in the block's size. */
bool fr_table_is_sound(const fr_data_params *params, const uint8_t *block,
                       size_t bytes);

/**
 * Open and check the cache with this key of the data file with this digest.
 * @param[out] map    the mapped cache; empty if there is no usable cache, or a copy
 * @param[out] block  instead of *map where another user could change the file: a copy, which the caller frees; NULL
 * @return FR_OK also if there is no usable cache
 */
FR_MUST_CHECK fr_status fr_cache_open(fr_ctx *ctx, const fr_data_params *params,
                                      const uint8_t key[FR_DIGEST_BYTES],
                                      const uint8_t file[FR_DIGEST_BYTES], fr_map *map,
                                      uint8_t **block);
/** Write a cache. A failure is a warning: the cache saves time only. */
void fr_cache_write(fr_ctx *ctx, const char *folder, const uint8_t key[FR_DIGEST_BYTES],
                    const uint8_t *block, size_t bytes);

#endif
