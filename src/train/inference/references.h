/*
 * references.h - the texts that a row expects as its answer.
 *
 *   {"target"}       the text, or each of a list of texts
 *   {"target_ids"}   what the ids decode to, special tokens left out, as with answers; or each of a list of lists
 *   {"messages"}     the content of the last turn, which must be the assistant's
 */
#ifndef FR_TRAIN_INFERENCE_REFERENCES_H
#define FR_TRAIN_INFERENCE_REFERENCES_H

#include "train/inference/prompts.h"

/** Bytes that the references of a row may have together: what scoring them may cost is known before anything is computed. */
enum { FR_REFERENCES_BYTES = 1 << 20 };

/** References of one row. */
typedef struct fr_references {
    const char *row; /* fr_prompt.text of the row, by which it is known */
    json_t *texts;   /* a list of strings, at least one */
} fr_references;

/** References of the rows of a file, in their order. */
typedef struct fr_reference_list {
    int64_t n;
    fr_references *rows;
} fr_reference_list;

/**
 * Read those of all rows, after fr_prompts_read and fr_inference_open, before fr_prompts_encode. Rows without are removed from the
 * prompts and added to their account of bad rows. Not collective.
 * @param max_rows  rows behind that many are removed; 0: none are
 * @param[out] out  release with fr_references_fini, after a failure too
 * @return FR_OK; FR_ERR_UNSUPPORTED (no tokenizer); FR_ERR_DATA (too many bad rows) ...
 */
FR_MUST_CHECK fr_status fr_references_read(fr_prompts *prompts,
                                           const fr_inference *inference,
                                           int64_t max_rows, fr_reference_list *out);

/** After fr_prompts_encode, which may have removed rows: those of rows[i] are those of prompts->rows[i]. */
void fr_references_follow(fr_reference_list *list, const fr_prompts *prompts);

void fr_references_fini(fr_reference_list *list);

#endif
