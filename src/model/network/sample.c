/*
 * Choice of one token: greedy, or temperature, then top-k, then top-p, then one uniform number.
 *
 * Sums run over sorted candidates with the library's own exponential (base/elementary.h), so the same logits give the
 * same token on every machine.
 */
#include "model/network/sample.h"

#include "base/elementary.h"
#include "base/mem.h"

#include <stdlib.h>

fr_status fr_sample_check(fr_ctx *ctx, const fr_sample_params *params)
{
    if (!(params->temperature >= 0.0 && params->temperature <= 100.0)) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--temperature %g, must be 0 to 100",
                       params->temperature);
    }
    if (params->top_k < 0) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--top-k %lld, must be at least 0 (0: all)",
                       (long long)params->top_k);
    }
    if (!(params->top_p > 0.0 && params->top_p <= 1.0)) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--top-p %g, must be in (0, 1]", params->top_p);
    }
    return FR_OK;
}

/* Some ids of a vocabulary have no text or must not be generated; the mask keeps them out of every choice. */
static bool may_come(const fr_sample_params *params, int64_t id)
{
    return params->never_V == NULL || params->never_V[id] == 0;
}

/* The lowest id wins among equal logits. FR_NO_TOKEN if no id is allowed. */
static int32_t likeliest(const float *logits, int64_t vocab,
                         const fr_sample_params *params)
{
    int32_t best = FR_NO_TOKEN;
    for (int64_t i = 0; i < vocab; i++) {
        if (may_come(params, i) && (best < 0 || logits[i] > logits[best])) {
            best = (int32_t)i;
        }
    }
    return best;
}

/* Falling logit, equal ones by rising id: a total order, so the result depends on nothing else. */
static int compare_candidates(const void *left, const void *right)
{
    const fr_candidate *a = left;
    const fr_candidate *b = right;
    if (a->logit != b->logit) {
        return a->logit > b->logit ? -1 : 1;
    }
    return (a->id > b->id) - (a->id < b->id);
}

/* Relative to the highest logit no exponent is above 0: nothing overflows, and the first weight is exactly 1. */
static double weight(const fr_candidate *candidate, float highest, double temperature)
{
    return fr_exp(((double)candidate->logit - (double)highest) / temperature);
}

int32_t fr_sample(const float *logits_V, int64_t vocab, const fr_sample_params *params,
                  double uniform, fr_candidate *scratch_V)
{
    /* With a NaN among them logits have no order, and nothing can be weighed against an infinite one. */
    if (!fr_all_finite(logits_V, vocab)) {
        return FR_NO_TOKEN;
    }
    if (params->temperature <= 0.0) {
        return likeliest(logits_V, vocab, params);
    }
    int64_t n = 0;
    for (int64_t i = 0; i < vocab; i++) {
        if (may_come(params, i)) {
            scratch_V[n++] = (fr_candidate){(int32_t)i, logits_V[i]};
        }
    }
    if (n == 0) {
        return FR_NO_TOKEN;
    }
    qsort(scratch_V, (size_t)n, sizeof *scratch_V, compare_candidates);
    int64_t kept = params->top_k > 0 && params->top_k < n ? params->top_k : n;
    float highest = scratch_V[0].logit;
    double total = 0.0;
    for (int64_t i = 0; i < kept; i++) {
        total += weight(&scratch_V[i], highest, params->temperature);
    }
    /* top_p holds within what top_k kept; the likeliest candidate always stays */
    double mass = 0.0;
    int64_t nucleus = 0;
    while (nucleus < kept && (nucleus == 0 || mass < params->top_p * total)) {
        mass += weight(&scratch_V[nucleus], highest, params->temperature);
        nucleus++;
    }
    /* invert the distribution: the first candidate whose running sum passes the wanted share */
    double wanted = uniform * mass;
    double sum = 0.0;
    for (int64_t i = 0; i < nucleus; i++) {
        sum += weight(&scratch_V[i], highest, params->temperature);
        if (wanted < sum) {
            return scratch_V[i].id;
        }
    }
    /* uniform * mass may round up to mass itself */
    return scratch_V[nucleus - 1].id;
}
