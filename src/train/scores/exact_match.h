/*
 * exact_match.h - whether an answer is what was expected, character by character.
 */
#ifndef FR_TRAIN_SCORES_EXACT_MATCH_H
#define FR_TRAIN_SCORES_EXACT_MATCH_H

#include "base/text.h"

#include <stdint.h>

/** Whether the answer equals one of the references, white space at the ends of both left out (fr_text_strip). */
bool fr_exact_match(fr_text answer, const fr_text *references, int64_t n);

#endif
