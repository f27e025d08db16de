/*
 * row_impl.h - what row.c and row_chat.c share.
 *
 * Layer L4; private to row*.c.
 */
#ifndef FR_TRAIN_DATA_ROW_IMPL_H
#define FR_TRAIN_DATA_ROW_IMPL_H

#include "train/data/row.h"

/** FR_ERR_DATA "FILE:LINE: ..."; without "LINE" for a row that comes from no file. */
fr_status fr_row_fail(const fr_row_reader *reader, int source_line, const char *what,
                      const char *detail);
#define FAIL_ROW(reader, what, detail) fr_row_fail((reader), __LINE__, (what), (detail))

/** Whether a member may stand in a row or a message without being used. */
bool fr_row_is_ignored(const fr_row_reader *reader, const char *key);
/** Whether the user lists it in data.ignore. */
bool fr_row_is_listed(const fr_row_reader *reader, const char *key);
/** FR_ERR_DATA: nobody knows this member; `known` ends with NULL. */
FR_MUST_CHECK fr_status fr_row_fail_unknown(const fr_row_reader *reader,
                                            const char *of_what, const char *key,
                                            const char *const *known);

/** Append ids that all are, or are not, the row's own. */
FR_MUST_CHECK fr_status fr_row_flag(const fr_row_reader *reader, fr_row_ids *to,
                                    bool own);
/** The BOS where the base's files ask for one. */
FR_MUST_CHECK fr_status fr_row_add_bos(const fr_row_reader *reader, fr_row *row);
/** What was appended to the targets since `began` is one. `own_end`: it has an end of its own, and needs no EOS. */
FR_MUST_CHECK fr_status fr_row_end_target(const fr_row_reader *reader, fr_row *row,
                                          int64_t began, bool own_end);

/** FR_ERR_DATA unless there is a tokenizer. */
FR_MUST_CHECK fr_status fr_row_need_tokenizer(const fr_row_reader *reader,
                                              const char *what);

/** A dialogue. */
FR_MUST_CHECK fr_status fr_row_encode_messages(const fr_row_reader *reader,
                                               const json_t *array, fr_row *row);
/** A row of text as a dialogue: the source is the user's turn, each target an answer. */
FR_MUST_CHECK fr_status fr_row_encode_turns(const fr_row_reader *reader,
                                            const json_t *source, const json_t *target,
                                            fr_row *row);

#endif
