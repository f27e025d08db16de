/*
 * sample.h - the choice of tokens from logits: greedy, or temperature, then top-k, then top-p, then min-p, then one uniform
 * number.
 *
 * Words, shape letters and promises as in device.h.
 */
#ifndef FR_DEVICE_SAMPLE_H
#define FR_DEVICE_SAMPLE_H

#include "device/memory.h"

/** How a token is chosen. */
typedef struct fr_sample_rule {
    double temperature; /* >= 0; 0: greedy (the lowest id among equals) */
    int64_t top_k;      /* keep the k likeliest; 0: all */
    double
        top_p; /* in (0, 1]: keep the smallest set with this much probability; 1: all */
    const fr_byte
        *never_V; /* memory of the device; not 0: never chosen; NULL: all may be */
    double
        min_p; /* keep what has at least this share of the likeliest one's weight; 0: all */
} fr_sample_rule;

/** The id where nothing can be chosen: no token has it. */
enum { FR_NO_TOKEN = -1 };

/**
 * ids[n] = one token of row n. A choice is a function of the row, the rule and the row's uniform number alone, the same on
 * every machine: candidates have one order (falling logit, equal ones by rising id, -0 equals 0), and their weights
 * e^((logit - highest) / temperature), made by fr_exp in f64, are summed in that order. The likeliest weighs 1, so min_p bounds
 * the weights themselves.
 *
 * FR_NO_TOKEN if a logit of the row is not finite, whatever the rule, or if no id may be chosen.
 * @param uniform_N  in [0, 1), memory of the host, read during the call: picks from the kept distribution
 * @param ids_N      memory of the device
 * @return FR_OK; FR_ERR_NO_MEMORY (scratch)
 */
FR_MUST_CHECK fr_status fr_sample_rows(fr_device *device, int64_t n_rows, int64_t vocab,
                                       const fr_f32 *logits_NV,
                                       const fr_sample_rule *rule,
                                       const double *uniform_N, fr_i32 *ids_N);

#endif
