/*
 * pretokenize_impl.h - the table of named rules. Private to pretokenize*.c.
 */
#ifndef FR_MODEL_TEXT_PRETOKENIZE_IMPL_H
#define FR_MODEL_TEXT_PRETOKENIZE_IMPL_H

#include "model/text/pretokenize.h"

/** The most steps of a named rule. */
enum { FR_MAX_RULE_STEPS = 8 };

typedef struct fr_split_rule {
    const char *name; /* the best known of its names; the digest of tokenizers has it */
    int64_t n;
    fr_split_step steps[FR_MAX_RULE_STEPS];
} fr_split_rule;

/** The name of the rule with these steps; NULL: none has them. */
const char *fr_split_rule_with(const fr_split_step *steps, int64_t n);

/** The rule with a name. False: there is none. */
bool fr_split_rule_find(fr_text name, fr_split_rule *out);

#endif
