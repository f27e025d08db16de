/*
 * init_text.h - the tokens that a prefix starts from where its init is a text.
 */
#ifndef FR_TRAIN_STEP_INIT_TEXT_H
#define FR_TRAIN_STEP_INIT_TEXT_H

#include "train/step/task.h"

/**
 * Read the init text as a row's template is read, behind the BOS of a base that wants one, and fit it to the prefix:
 * a longer text is cut, a shorter one repeated without its BOS where prefix.repeat_text asks for it.
 * @param[out] ids   one a slot; the caller owns them, also on failure
 * @param[out] note  for people, how much of the text was used; NULL: all of it, once. The caller frees it. May be
 *                   NULL itself; else what was cut or repeated is logged
 * @return FR_OK; FR_ERR_CONFIG (no tokenizer; a text that is too short or gives no token); FR_ERR_DATA (ids beyond the
 *         base's vocabulary)
 */
FR_MUST_CHECK fr_status fr_init_text_ids(const fr_task_env *env,
                                         const fr_task_config *config, fr_ids *ids,
                                         char **note);

#endif
