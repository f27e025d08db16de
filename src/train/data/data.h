/*
 * data.h - the rows of a data file as token ids: tokenised once, then mapped by all ranks of a node from a cache.
 *
 * A dataset does not change after it is opened. docs/data.md describes the forms of rows, row.h how they become ids.
 *
 * A row (one line of the file) has one source and one or more targets; an example is one (row, target). Two sources
 * are equal if they have the same ids and the same ids in the loss. A token is `counted` if its prediction is in the
 * loss; the first token of a sequence has no predecessor and is never counted.
 */
#ifndef FR_TRAIN_DATA_DATA_H
#define FR_TRAIN_DATA_DATA_H

#include "base/digest.h"
#include "model/network/batch.h"
#include "model/text/tokenizer.h"

#include <stdint.h>

typedef struct fr_dataset fr_dataset;

typedef struct fr_data_params {
    const char *path;
    const fr_tokenizer *tokenizer; /* NULL: only rows of token ids can be read */
    /* a sentence with its remedy; NULL: the model has none */
    const char *why_no_tokenizer;
    int64_t vocab_size; /* ids must lie below */
    /* must hold {target} once, {source} at most once; NULL: none */
    const char *template_text;
    bool chat; /* rows of text are dialogues too */
    /* how dialogues are written; NULL: in the model's own template */
    const fr_chat *chat_template;
    bool eos;
    int32_t eos_id; /* used where tokenizer is NULL; -1: not known */
    bool special;
    bool loss_last;
    bool cut_long_rows; /* false: they are dropped */
    bool without_bos;   /* the prefix text begins with the BOS */
    int64_t max_tokens; /* longest source + one target */
    int64_t max_rows;   /* read only the first rows; 0: all */
    /* only max_rows rows are needed: the file is not hashed (its digest is zero) and no cache is used */
    bool sample;
    const char *cache_folder; /* folder of the cache; NULL: in memory only */
    /* names of members of rows and messages to ignore, separated by commas; NULL: none */
    const char *ignore;
    /* which members of rows stand for ours, as fr_row_fields_read takes it; NULL: rows have the names of a known form */
    const char *fields;
    /* leave out rows that cannot be used; false: they are an error */
    bool skip_bad_rows;
} fr_data_params;

typedef struct fr_data_stats {
    int64_t n_rows;          /* kept */
    int64_t n_examples;      /* kept (row, target) pairs */
    int64_t n_dropped;       /* examples longer than max_tokens, dropped */
    int64_t n_cut;           /* examples cut to max_tokens */
    int64_t n_unusable;      /* rows left out because they cannot be used */
    int64_t n_unused;        /* rows with a source that the template does not use */
    int64_t n_source_tokens; /* each row's source once */
    int64_t n_target_tokens; /* counted tokens */
    int64_t longest;         /* tokens of the longest kept source + target */
    int64_t forms;           /* of the rows and the file, bits of fr_row_forms */
} fr_data_stats;

/**
 * Map the cache if its key (data bytes, tokenizer, every option above) matches. Otherwise tokenise the file, write
 * the cache atomically and map it. A cache folder that cannot be written is a warning, not an error.
 * `cut_long_rows` shortens the row's own text: first the end of the source, then the end of the target. Template,
 * frames of turns, BOS and end of sequence stay whole. An example whose own text would vanish is dropped.
 * Before the call fails, the log names the first bad rows by file and line.
 *
 * @return FR_OK; FR_ERR_DATA with "FILE:LINE: ..." (broken JSON, wrong type, missing field, empty target,
 *         target that tokenises to nothing, id out of range), "FILE: is empty", missing file, no tokenizer
 *         for text rows, no end-of-sequence id although eos is asked; no row left after dropping
 */
FR_MUST_CHECK fr_status fr_dataset_open(fr_ctx *ctx, const fr_data_params *params,
                                        fr_dataset **out);
void fr_dataset_close(fr_dataset **dataset);

const fr_data_stats *fr_dataset_stats(const fr_dataset *dataset);
/** Row and target number of example e, 0 <= e < n_examples. */
void fr_dataset_example(const fr_dataset *dataset, int64_t example, int64_t *row,
                        int64_t *target);
int64_t fr_dataset_n_targets(const fr_dataset *dataset, int64_t row);
/** First row whose source equals that of example e; an empty source equals none but its own. */
int64_t fr_dataset_source_row(const fr_dataset *dataset, int64_t example);
fr_sequence fr_dataset_source(const fr_dataset *dataset, int64_t row);
fr_sequence fr_dataset_target(const fr_dataset *dataset, int64_t row, int64_t target);
/** Target of example e. */
fr_sequence fr_dataset_example_target(const fr_dataset *dataset, int64_t example);
/** Line of the file that holds the row, from 1. */
int64_t fr_dataset_line(const fr_dataset *dataset, int64_t row);
/** SHA-256 of the contents of the first n examples: their ids in order, and which of them are in the loss. Two
 * datasets with equal digests give equal losses; names, paths and formats of the files have no influence. */
FR_MUST_CHECK fr_status fr_dataset_digest_first(fr_ctx *ctx, const fr_dataset *dataset,
                                                int64_t n,
                                                uint8_t out[FR_DIGEST_BYTES]);
/** SHA-256 of the data file. */
void fr_dataset_digest(const fr_dataset *dataset, uint8_t out[FR_DIGEST_BYTES]);

#endif
