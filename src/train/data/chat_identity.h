/*
 * chat_identity.h - which chat template a prefix learned dialogues with.
 *
 * Layer L4; uses tokenizer, checkpoint. A model's chat template changes while its weights stay (files are converted anew,
 * repositories are mended); dialogues then have other ids, which no look at the weights tells.
 */
#ifndef FR_TRAIN_DATA_CHAT_IDENTITY_H
#define FR_TRAIN_DATA_CHAT_IDENTITY_H

#include "model/text/tokenizer.h"
#include "train/checkpoint/checkpoint.h"

/** The digest of a model's chat template, hexadecimal, as files keep it (chat_template_digest).
 * @param tokenizer  may be NULL   @param[out] out  caller frees; NULL: no template */
FR_MUST_CHECK fr_status fr_chat_identity(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                         char **out);

/**
 * Compare what a task was trained with and what the model has now. Nothing is said of tasks without dialogues and of files
 * from before format 2.1.
 * @param file  for the message
 * @return FR_OK, after a warning where they differ; with `strict` FR_ERR_CHECKPOINT then
 */
FR_MUST_CHECK fr_status fr_chat_identity_check(fr_ctx *ctx, const char *file,
                                               const fr_checkpoint_task *task,
                                               const fr_tokenizer *tokenizer,
                                               bool strict);

#endif
