/*
 * The tokens of a pass. The last stage makes logits and chooses; the others get the ids.
 *
 * Rows that want no more than a token are chosen together on the device, as many at a time as share one rule. A row with a
 * penalty or with probabilities is taken alone: its logits come to the host, its probabilities are those of what came, and
 * changed logits go back before the choice. A choice depends on its own row alone, so both ways give the same token.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/elementary.h"
#include "base/mem.h"
#include "base/rng.h"
#include "comm/device_wait.h"
#include "device/memory.h"
#include "device/sample.h"
#include "model/network/generate_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static fr_device *device_of(const fr_generation *c)
{
    return fr_stage_device(c->g->stage);
}

static int64_t vocab_of(const fr_generation *c)
{
    return fr_stage_arch(c->g->stage)->vocab_size;
}

static fr_sample_rule rule_of(const fr_generation *c, const fr_sample_params *sample)
{
    return (fr_sample_rule){.temperature = sample->temperature,
                            .top_k = sample->top_k,
                            .top_p = sample->top_p,
                            .never_V = c->never_V,
                            .min_p = sample->min_p};
}

/* One token for each of n rows of logits from `first` on. */
static fr_status sample(const fr_generation *c, int64_t first, int64_t n,
                        const fr_sample_rule *rule)
{
    int64_t vocab = vocab_of(c);
    return fr_sample_rows(device_of(c), n, vocab, c->logits + first * vocab, rule,
                          c->uniforms + first, c->chosen + first);
}

/* A choice from logits of 0 takes the operator's scratch as well, the most of any rule: where memory is short that must show
 * now, since in a pass the other ranks wait. */
fr_status fr_generate_alloc_choice(fr_generation *c)
{
    static const fr_sample_params DRAWN = {.temperature = 1.0, .top_p = 1.0};
    fr_device *device = device_of(c);
    const uint8_t *never = c->params.ids.never_V;
    int64_t n = c->n_places;
    int64_t vocab = vocab_of(c);
    FR_TRY(fr_alloc(c->g->ctx, n, sizeof *c->uniforms, &c->uniforms));
    FR_TRY(fr_device_alloc(device, n * vocab, sizeof *c->logits, &c->logits));
    FR_TRY(fr_device_alloc(device, n, sizeof *c->chosen, &c->chosen));
    FR_TRY(fr_host_alloc(device, vocab, sizeof *c->raw_V, &c->raw_V));
    FR_TRY(fr_host_alloc(device, vocab, sizeof *c->changed_V, &c->changed_V));
    FR_TRY(fr_alloc(c->g->ctx, vocab, sizeof *c->seen_V, &c->seen_V));
    if (never != NULL) {
        FR_TRY(fr_device_alloc(device, vocab, sizeof *never, &c->never_V));
        FR_TRY(fr_device_load(device, c->never_V, never, vocab));
    }
    fr_sample_rule rule = rule_of(c, &DRAWN);
    return sample(c, 0, n, &rule);
}

void fr_generate_free_choice(fr_generation *c)
{
    fr_device *device = device_of(c);
    free(c->uniforms);
    free(c->seen_V);
    fr_host_free(device, c->raw_V);
    fr_host_free(device, c->changed_V);
    fr_device_free(device, c->logits);
    fr_device_free(device, c->chosen);
    fr_device_free(device, c->never_V);
}

/* ---- a row alone ---------------------------------------------------------------------------------- */

static bool is_alone(const fr_generate_row *row)
{
    return row->n_logprobs > 0 || fr_sample_penalises(&row->sample);
}

/* Each id once, however often it came. */
static void penalise_ids(const fr_generation *c, const fr_ids *ids, float penalty)
{
    for (int64_t i = 0; i < ids->count; i++) {
        int32_t id = ids->data[i];
        float logit = c->changed_V[id];
        if (c->seen_V[id] == 0) {
            c->seen_V[id] = 1;
            c->changed_V[id] = logit > 0.0F ? logit / penalty : logit * penalty;
        }
    }
}

static void penalise(const fr_generation *c, const fr_generate_row *row, int64_t index)
{
    int64_t vocab = vocab_of(c);
    size_t bytes = (size_t)vocab * sizeof *c->raw_V;
    float penalty = (float)row->sample.repetition_penalty;
    memcpy(c->changed_V, c->raw_V, bytes);
    memset(c->seen_V, 0, (size_t)vocab);
    penalise_ids(c, &row->prompt, penalty);
    penalise_ids(c, &row->out, penalty);
    fr_device_put(device_of(c), c->logits + index * vocab, c->changed_V,
                  (int64_t)bytes);
}

/* ln of the sum of e^logit, in the order of the ids. */
static double log_sum(const float *logits, int64_t n)
{
    double highest = -(double)INFINITY;
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        highest = fmax(highest, (double)logits[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        sum += fr_exp((double)logits[i] - highest);
    }
    return highest + fr_ln(sum);
}

/* Put an id into the list of the n likeliest, where its logit is above the last of them or the list has room. */
static void offer(fr_logprobs *out, int64_t n, int32_t id, const float *logits)
{
    int64_t at = out->n;
    while (at > 0 && logits[id] > logits[out->ids[at - 1]]) {
        at--;
    }
    if (at >= n) {
        return;
    }
    int64_t moved = (out->n < n ? out->n : n - 1) - at;
    memmove(out->ids + at + 1, out->ids + at, (size_t)moved * sizeof *out->ids);
    out->ids[at] = id;
    out->n += out->n < n;
}

/* Of a row that had a choice, so its logits are finite. */
static fr_logprobs probabilities(const fr_generation *c, int64_t n_likeliest,
                                 int32_t chosen)
{
    int64_t vocab = vocab_of(c);
    double sum = log_sum(c->raw_V, vocab);
    fr_logprobs out = {.chosen = (double)c->raw_V[chosen] - sum};
    for (int64_t id = 0; id < vocab && n_likeliest > 0; id++) {
        offer(&out, n_likeliest, (int32_t)id, c->raw_V);
    }
    for (int32_t i = 0; i < out.n; i++) {
        out.values[i] = (double)c->raw_V[out.ids[i]] - sum;
    }
    return out;
}

static fr_status wait_for(const fr_generation *c)
{
    return fr_group_wait_device(c->g->pipeline, device_of(c),
                                fr_device_mark(device_of(c)));
}

static fr_status choose_alone(const fr_generation *c, int64_t index)
{
    fr_device *device = device_of(c);
    const fr_generate_row *row = c->choosers[index]->row;
    int64_t vocab = vocab_of(c);
    fr_sample_rule rule = rule_of(c, &row->sample);
    fr_device_get(device, c->raw_V, c->logits + index * vocab,
                  vocab * (int64_t)sizeof *c->raw_V);
    FR_TRY(wait_for(c));
    if (fr_sample_penalises(&row->sample)) {
        penalise(c, row, index);
    }
    FR_TRY(sample(c, index, 1, &rule));
    fr_device_get(device, c->ids + index, c->chosen + index, sizeof *c->ids);
    FR_TRY(wait_for(c));
    if (row->n_logprobs > 0 && c->ids[index] != FR_NO_TOKEN) {
        c->logprobs[index] = probabilities(c, row->n_logprobs - 1, c->ids[index]);
    }
    return FR_OK;
}

/* ---- all rows of a pass --------------------------------------------------------------------------- */

static bool is_same_rule(const fr_sample_params *a, const fr_sample_params *b)
{
    bool greedy = a->temperature <= 0.0 && b->temperature <= 0.0;
    return greedy || (a->temperature == b->temperature && a->top_k == b->top_k &&
                      a->top_p == b->top_p && a->min_p == b->min_p);
}

/* The rows from `first` on that one call can choose for. */
static int64_t run_of(const fr_generation *c, int64_t first)
{
    const fr_sample_params *rule = &c->choosers[first]->row->sample;
    int64_t end = first;
    while (end < c->n_chosen && !is_alone(c->choosers[end]->row) &&
           is_same_rule(rule, &c->choosers[end]->row->sample)) {
        end++;
    }
    return end - first;
}

static fr_status choose_together(const fr_generation *c, int64_t first, int64_t n)
{
    fr_sample_rule rule = rule_of(c, &c->choosers[first]->row->sample);
    FR_TRY(sample(c, first, n, &rule));
    fr_device_get(device_of(c), c->ids + first, c->chosen + first,
                  n * (int64_t)sizeof *c->ids);
    return FR_OK;
}

static fr_status choose_here(const fr_generation *c)
{
    const fr_generator *g = c->g;
    for (int64_t i = 0; i < c->n_chosen; i++) {
        const fr_generate_row *row = c->choosers[i]->row;
        /* by row and number of the token, not by pass: what else is in the batch cannot change the draw */
        c->uniforms[i] = fr_rng_uniform(row->sample.seed, FR_RNG_SAMPLE, row->number,
                                        (uint64_t)row->out.count);
    }
    FR_TRY(fr_stage_logits(g->stage, g->activations, c->n_chosen, c->reads, c->logits));
    for (int64_t i = 0; i < c->n_chosen;) {
        int64_t n = run_of(c, i);
        FR_TRY(n == 0 ? choose_alone(c, i) : choose_together(c, i, n));
        i += n > 0 ? n : 1;
    }
    return wait_for(c);
}

static bool any_logprobs(const fr_generation *c)
{
    for (int64_t i = 0; i < c->n_chosen; i++) {
        if (c->choosers[i]->row->n_logprobs > 0) {
            return true;
        }
    }
    return false;
}

fr_status fr_generate_choose(fr_generation *c)
{
    fr_group *pipeline = c->g->pipeline;
    int last = fr_group_size(pipeline) - 1;
    if (c->n_chosen == 0) {
        return FR_OK;
    }
    if (fr_stage_is_last(c->g->stage)) {
        FR_TRY(choose_here(c));
    }
    FR_TRY(fr_group_broadcast(pipeline, last, c->ids,
                              c->n_chosen * (int64_t)sizeof *c->ids));
    return any_logprobs(c)
               ? fr_group_broadcast(pipeline, last, c->logprobs,
                                    c->n_chosen * (int64_t)sizeof *c->logprobs)
               : FR_OK;
}
