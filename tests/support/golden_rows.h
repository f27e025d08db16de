/*
 * golden_rows.h - rows behind a prefix, what a reference computed on them, and a model compared with it.
 *
 * A file of golden values holds input_ids [rows, T], perhaps attention_mask [rows, T] (absent: no padding), prefix_k and
 * prefix_v [layers, G, P, K], logits [rows, T, vocabulary], token_loss [rows, T - 1], loss, grad_k and grad_v of the loss
 * like the prefix, and perhaps generated [rows, n], the greedy continuation of prompt [rows, m] (absent: of input_ids).
 * Every check fails the test where the model differs.
 */
#ifndef FR_TESTS_GOLDEN_ROWS_H
#define FR_TESTS_GOLDEN_ROWS_H

#include "model/files/safetensors.h"
#include "support/tiny_model.h"

typedef struct fr_golden {
    fr_safetensors *file;
    fr_tiny tiny;
    int64_t n_rows;
    int64_t n_tokens; /* T, with padding */
    int64_t n_prefix; /* layers * P * G * K */
    fr_stage_prefix prefix;
    fr_f32 *k; /* of the prefix, [layers, P, G, K]; memory of the device */
    fr_f32 *v;
} fr_golden;

/** Open a model file or folder and the values for it; the model takes all positions of the file and no more. */
void fr_golden_open(const char *model, const char *values, fr_golden *out);
void fr_golden_close(fr_golden *golden);

/** Each row alone: logits, and the loss of each token. */
void fr_golden_check_rows(fr_golden *golden);
/** All rows as units of one batch: the mean loss, and its gradient. */
void fr_golden_check_gradient(fr_golden *golden);
/** Greedy generation with a cache, if the file has one. */
void fr_golden_check_generation(fr_golden *golden);

#endif
