/*
 * row_set.h - which rows have been seen already, in bounded memory.
 *
 * A row is known by a hash of 64 bits with a key drawn at the start, so two different rows are taken for equal with a
 * probability of less than 1e-5 even in a full set.
 */
#ifndef FR_TRAIN_DATA_ROW_SET_H
#define FR_TRAIN_DATA_ROW_SET_H

#include "model/text/tokenizer.h"

/** Rows that a set holds; it takes 32 bytes a row. Later ones are looked for, but not entered. */
enum { FR_ROW_SET_MOST = 1 << 22 };

typedef struct fr_row_set fr_row_set;

FR_MUST_CHECK fr_status fr_row_set_create(fr_ctx *ctx, fr_row_set **out);
void fr_row_set_destroy(fr_row_set **set);

/** Enter a row. @param line  its line, at least 1
 * @param first  line of the first row that equals it; 0: it is the first */
FR_MUST_CHECK fr_status fr_row_set_add(fr_row_set *set, const fr_ids *ids,
                                       const fr_ids *counted, int64_t line,
                                       int64_t *first);
/** Line of the first row that equals this one; 0: none. */
int64_t fr_row_set_find(const fr_row_set *set, const fr_ids *ids,
                        const fr_ids *counted);
/** Whether a row was not entered for lack of space. */
bool fr_row_set_is_full(const fr_row_set *set);

#endif
