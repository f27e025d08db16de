/*
 * model_cases.h - what a real model computes, compared with cases that another program made: JSON objects with `ids`, and
 * with `nats` or `greedy`.
 */
#ifndef FR_TESTS_MODEL_CASES_H
#define FR_TESTS_MODEL_CASES_H

#include "model/network/generate.h"
#include "support/tiny_model.h"

#include <jansson.h>

/** The cases in a file of tests/golden. The caller frees them. */
json_t *fr_cases_read(const char *name);

/** Assert the nats of the ids from `from` on (absent: from the second) under a prefix. */
void fr_cases_check_nats(fr_tiny *tiny, const fr_stage_prefix *prefix,
                         const json_t *one);

/** Assert the ids that greedy decoding adds under a prefix. */
void fr_cases_check_greedy(fr_generator *generator, const fr_stage_prefix *prefix,
                           const json_t *one);

#endif
