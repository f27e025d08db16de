/*
 * json_size.h - how much memory a JSON text will take once it is parsed.
 *
 * A parsed value takes far more than its text: an empty list of two bytes takes about 140. Every JSON text from outside
 * is measured before it is parsed, so that a small file cannot fill the memory.
 */
#ifndef FR_BASE_JSON_SIZE_H
#define FR_BASE_JSON_SIZE_H

#include <stdbool.h>
#include <stddef.h>

/** What a text and its values may take together. Header and index of a model of 100,000 tensors, or a vocabulary of
 * 500,000 tokens with as many merges, take less. */
enum { FR_JSON_MAX_MIB = 192 };

/** What a message says of a text that does not fit, behind its name. */
#define FR_JSON_TOO_LARGE                                                              \
    "its JSON values would take more than 192 MiB of memory; give a smaller one"

/** Whether it fits; broken JSON is measured like any other. Time linear in the text. */
bool fr_json_fits(const char *text, size_t bytes);

#endif
