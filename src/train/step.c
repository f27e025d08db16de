#include "train/step.h"

#include "base/mem.h"
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The word that every rank agrees on in a step; the squared norm of each layer follows. */
enum { WORD_LOSS, WORD_BAD, WORD_STOP, WORD_NORMS };

/* Floats at the start of each layer's K (and V) that are never updated: the first slot, if frozen. */
static int64_t frozen_floats(const fr_arch *arch, const fr_task *task)
{
    return task->config->prefix.freeze_first ? fr_arch_prefix_elements(arch, 1) : 0;
}

/* g = exact sum / (2^E * target tokens), the gradient of the mean loss; a frozen slot has none. */
static void to_gradient(const fr_arch *arch, fr_task *task, int exponent,
                        int64_t n_counted)
{
    double scale = ldexp(1.0, -exponent) / (double)n_counted;
    int64_t frozen = frozen_floats(arch, task);
    for (int64_t i = 0; i < 2 * task->n_local; i++) {
        bool is_frozen = i % task->layer_floats < frozen;
        task->gradient[i] = is_frozen ? 0.0f : (float)((double)task->sum[i] * scale);
    }
}

static double squared_norm(const float *values, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)values[i] * (double)values[i];
    }
    return sum;
}

static double layer_norm(const fr_task *task, int64_t layer)
{
    int64_t at = layer * task->layer_floats;
    return task->reparam != NULL
               ? fr_reparam_layer_norm(task->reparam, layer)
               : squared_norm(task->gradient + at, task->layer_floats) +
                     squared_norm(task->gradient + task->n_local + at,
                                  task->layer_floats);
}

/* Each layer's squared norm as bits at its place: one replica contributes, so a sum is a gather. */
static void put_norms(const fr_task *task, int64_t first_layer, int64_t *words)
{
    int64_t n_layers = task->n_local / task->layer_floats;
    for (int64_t i = 0; i < n_layers; i++) {
        double norm = layer_norm(task, i);
        memcpy(&words[first_layer + i], &norm, sizeof norm);
    }
}

/* Layers in order, then what a reparam shares between them. */
static double add_norms(const fr_task *task, int64_t n_layers, const int64_t *words)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n_layers; i++) {
        double norm = 0.0;
        memcpy(&norm, &words[i], sizeof norm);
        sum += norm;
    }
    if (task->reparam != NULL) {
        sum += fr_reparam_shared_norm(task->reparam);
    }
    return sqrt(sum);
}

static fr_status update_prefix(const fr_arch *arch, fr_task *task, double learning_rate,
                               double scale)
{
    if (task->reparam != NULL) {
        return fr_reparam_update(task->reparam, task->step, learning_rate, scale,
                                 &task->state);
    }
    int64_t frozen = frozen_floats(arch, task);
    fr_prefix_state *s = &task->state;
    for (int64_t at = frozen; at < task->n_local; at += task->layer_floats) {
        int64_t n = task->layer_floats - frozen;
        fr_update k = {n, s->k + at, task->gradient + at, s->m_k + at, s->s_k + at};
        fr_update v = {n, s->v + at, task->gradient + task->n_local + at, s->m_v + at,
                       s->s_v + at};
        fr_optimizer_update(task->config, task->step, learning_rate, scale, &k);
        fr_optimizer_update(task->config, task->step, learning_rate, scale, &v);
    }
    return FR_OK;
}

/* Forward and backward of the step's microbatches, then the exact sum over the replicas. */
static fr_status gradient_of_step(const fr_task_env *env, fr_grid *grid,
                                  fr_engine *engine, fr_task *task, fr_pass *pass)
{
    fr_stage_prefix prefix = fr_task_prefix(task);
    fr_exact_sum sum = {.k = task->sum,
                        .v = task->sum + task->n_local,
                        .exponent = fr_exact_exponent(task->config->batch.examples)};
    memset(task->sum, 0, (size_t)(2 * task->n_local) * sizeof *task->sum);
    *pass = (fr_pass){.dataset = task->train,
                      .plan = &task->plan,
                      .prefix = &prefix,
                      .sum = &sum,
                      .loss_exponent = fr_exact_exponent(task->plan.n_counted)};
    FR_TRY(fr_engine_run(engine, pass));
    pass->n_bad += sum.n_bad;
    FR_TRY(fr_group_allreduce(grid->replicas, FR_SUM, task->sum, 2 * task->n_local));
    to_gradient(env->arch, task, sum.exponent, task->plan.n_counted);
    if (task->reparam != NULL) {
        return fr_reparam_backward(task->reparam, grid->pipeline, task->gradient,
                                   &pass->n_bad);
    }
    return FR_OK;
}

static fr_status agree_on_word(fr_grid *grid, const fr_task *task, int64_t first_layer,
                               int64_t n_layers, int64_t *words)
{
    if (grid->replica == 0) {
        put_norms(task, first_layer, words + WORD_NORMS);
    }
    return fr_group_allreduce(grid->world, FR_SUM, words, WORD_NORMS + n_layers);
}

static fr_status finish_step(const fr_task_env *env, fr_task *task,
                             const int64_t *words, int loss_exponent,
                             fr_step_result *out)
{
    double nats = fr_exact_value(words[WORD_LOSS], loss_exponent);
    out->n_counted = task->plan.n_counted;
    out->n_useful = task->plan.n_useful;
    out->learning_rate = fr_learning_rate(task->config, task->step, task->n_steps);
    out->skipped = words[WORD_BAD] != 0;
    out->stop_requested = words[WORD_STOP] != 0;
    out->loss = out->skipped ? (double)NAN : nats / (double)out->n_counted;
    out->gradient_norm = (double)NAN;
    if (out->skipped) {
        task->skipped++;
        task->skipped_in_row++;
    } else {
        out->gradient_norm = add_norms(task, env->arch->n_layers, words + WORD_NORMS);
        double scale = fr_clip_factor(out->gradient_norm, task->config->optimizer.clip);
        FR_TRY(update_prefix(env->arch, task, out->learning_rate, scale));
        task->skipped_in_row = 0;
        task->last_loss = out->loss;
    }
    task->step++;
    task->cursor += task->config->batch.examples;
    return FR_OK;
}

fr_status fr_step_run(const fr_task_env *env, fr_grid *grid, fr_engine *engine,
                      fr_task *task, bool stop, fr_step_result *out)
{
    int64_t n_layers = env->arch->n_layers;
    int64_t first_layer = fr_engine_first_layer(engine);
    int64_t *words = NULL;
    fr_pass pass;
    FR_TRY(fr_plan_step(env->ctx, task->train, &task->sampler, task->cursor,
                        task->config->batch.examples,
                        task->config->batch.microbatch_tokens, grid->n_replicas,
                        &task->plan));
    FR_TRY(gradient_of_step(env, grid, engine, task, &pass));
    FR_TRY(fr_alloc(env->ctx, WORD_NORMS + n_layers, sizeof *words, &words));
    words[WORD_LOSS] = pass.loss_sum;
    words[WORD_BAD] = pass.n_bad;
    words[WORD_STOP] = stop;
    fr_status status = agree_on_word(grid, task, first_layer, n_layers, words);
    if (status == FR_OK) {
        status = finish_step(env, task, words, pass.loss_exponent, out);
    }
    free(words);
    return status;
}
