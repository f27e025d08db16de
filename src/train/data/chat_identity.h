/*
 * chat_identity.h - which chat template a prefix was trained with.
 *
 * A model's chat template can change while its weights stay: files are converted again, repositories are repaired. Then
 * dialogues get other token ids, which the digest of the weights does not show.
 */
#ifndef FR_TRAIN_DATA_CHAT_IDENTITY_H
#define FR_TRAIN_DATA_CHAT_IDENTITY_H

#include "model/text/tokenizer.h"
#include "train/checkpoint/checkpoint.h"

/** The digest of a model's chat template in hexadecimal, as checkpoints store it (chat_template_digest).
 * @param tokenizer  may be NULL   @param[out] out  caller frees; NULL: no template */
FR_MUST_CHECK fr_status fr_chat_identity(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                         char **out);

/**
 * Compare the chat template that a task was trained with and the model's. Tasks without dialogues and files older than
 * format 2.1 always match.
 * @param file  for the message
 * @return FR_OK, after a warning if they differ; with `strict` FR_ERR_CHECKPOINT instead
 */
FR_MUST_CHECK fr_status fr_chat_identity_check(fr_ctx *ctx, const char *file,
                                               const fr_checkpoint_task *task,
                                               const fr_tokenizer *tokenizer,
                                               bool strict);

#endif
