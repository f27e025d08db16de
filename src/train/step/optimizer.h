/*
 * optimizer.h - learning-rate schedules, gradient clipping, AdamW and plain SGD.
 *
 * Pure functions over float arrays. Every rank that holds a layer computes
 * the same update, so nothing is broadcast. N = number of values.
 */
#ifndef FR_TRAIN_STEP_OPTIMIZER_H
#define FR_TRAIN_STEP_OPTIMIZER_H

#include "train/config/config.h"

/**
 * Learning rate of update `step` (0 = the first) of `n_steps`: linear warm-up over `warmup` updates
 * ((step + 1) / warmup of lr), then constant, linear to 0, or cosine to 0 at n_steps.
 */
double fr_learning_rate(const fr_task_config *task, int64_t step, int64_t n_steps);

/** Sum of the squares of n values, in f64 and in index order. */
double fr_squared_norm(const float *values, int64_t n);

/** Factor for a gradient of this norm: min(1, clip / norm); 1 when clip is 0. */
double fr_clip_factor(double norm, double clip);

/** One tensor and its moments; m and s may be NULL for SGD. */
typedef struct fr_update {
    int64_t n;
    float *value_N;
    const float *gradient_N;
    float *m_N;
    float *s_N;
} fr_update;

/**
 * One update. AdamW (Loshchilov & Hutter 2019), decoupled decay, bias correction by `step` + 1:
 *   m = b1 m + (1-b1) g;  s = b2 s + (1-b2) g^2;  v -= lr (mhat / (sqrt(shat) + eps) + decay v)
 * SGD: v -= lr (g + decay v). The gradient is multiplied by `scale` (clipping) first.
 */
void fr_optimizer_update(const fr_task_config *task, int64_t step, double learning_rate,
                         double scale, const fr_update *update);

#endif
