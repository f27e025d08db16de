/*
 * row_impl.h - what the files row_*.c share.
 */
#ifndef FR_TRAIN_DATA_ROW_IMPL_H
#define FR_TRAIN_DATA_ROW_IMPL_H

#include "model/text/vocabulary.h"
#include "train/data/row.h"

/** FR_ERR_DATA "FILE:LINE: WHAT DETAIL"; without LINE for a row that does not come from a file. */
fr_status fr_row_fail(const fr_row_reader *reader, int source_line, const char *what,
                      const char *detail);
#define FAIL_ROW(reader, what, detail) fr_row_fail((reader), __LINE__, (what), (detail))

/** Where the row stands. */
fr_place fr_row_place(const fr_row_reader *reader);

/** Make a row of any form one of our forms, and note its form in the reader. Members that are not used stay, except with
 * `fields`. @return FR_OK; FR_ERR_DATA "FILE:LINE: ..." */
FR_MUST_CHECK fr_status fr_row_settle(fr_row_reader *reader, json_t *row);

/** Whether a row or a message may have this member although it is not used. */
bool fr_row_is_ignored(const fr_row_reader *reader, const char *key);
/** Whether data.ignore lists it. */
bool fr_row_is_listed(const fr_row_reader *reader, const char *key);
/** FR_ERR_DATA: the member is unknown; suggests the nearest of `known`, which ends with NULL. */
FR_MUST_CHECK fr_status fr_row_fail_unknown(const fr_row_reader *reader,
                                            const char *of_what, const char *key,
                                            const char *const *known);

/** Give the ids of `to` that have no flag yet the flag `own`. */
FR_MUST_CHECK fr_status fr_row_flag(const fr_row_reader *reader, fr_row_ids *to,
                                    bool own);
/** Append the BOS to the source if the model's files ask for one. */
FR_MUST_CHECK fr_status fr_row_add_bos(const fr_row_reader *reader, fr_row *row);
/** Complete a target: the ids appended since `began`, and the EOS unless the target has an end of its own. */
FR_MUST_CHECK fr_status fr_row_end_target(const fr_row_reader *reader, fr_row *row,
                                          int64_t began, bool own_end);

/** FR_ERR_DATA "WHAT, but ..." unless there is a tokenizer. */
FR_MUST_CHECK fr_status fr_row_need_tokenizer(const fr_row_reader *reader,
                                              const char *what);

/** FR_ERR_DATA if a row that is not of messages has tools. */
FR_MUST_CHECK fr_status fr_row_check_no_tools(const fr_row_reader *reader,
                                              const json_t *object);
/** Encode the dialogue of a row. */
FR_MUST_CHECK fr_status fr_row_encode_messages(const fr_row_reader *reader,
                                               const json_t *object, fr_row *row);
/** Encode a row of text as a dialogue: the source is the user's turn, each target an answer. */
FR_MUST_CHECK fr_status fr_row_encode_turns(const fr_row_reader *reader,
                                            const json_t *source, const json_t *target,
                                            fr_row *row);

#endif
