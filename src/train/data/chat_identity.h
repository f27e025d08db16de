/*
 * chat_identity.h - in which chat template a task's dialogues are written: where it comes from, and whether it is still the same.
 *
 * A model's chat template can change while its weights stay: files are converted again, repositories are repaired. Then
 * dialogues get other token ids, which the digest of the weights does not show. A prefix therefore keeps the template
 * itself, if it is short enough, and its digest in any case.
 */
#ifndef FR_TRAIN_DATA_CHAT_IDENTITY_H
#define FR_TRAIN_DATA_CHAT_IDENTITY_H

#include "model/text/tokenizer.h"
#include "train/checkpoint/checkpoint.h"

/** What a user or a prefix says of a chat; NULL: nothing. */
typedef struct fr_chat_source {
    const char *file; /* of the template; comes before the settings' own */
    fr_chat_settings settings;
} fr_chat_source;

/**
 * The chat of a source; where it names no template, with the model's own. Local: each rank reads the file.
 * @param tokenizer  NULL: none; then *out is NULL, and rows say why they cannot be encoded   @param[out] out  caller closes
 * @return FR_OK; FR_ERR_DATA, FR_ERR_CONFIG naming the file (missing; a template that cannot be used); as fr_chat_open
 */
FR_MUST_CHECK fr_status fr_chat_source_open(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                            const fr_chat_source *source,
                                            fr_chat **out);

/** Writes what a checkpoint keeps of a chat into a task of it. @param chat  NULL: nothing */
FR_MUST_CHECK fr_status fr_chat_keep(fr_ctx *ctx, const fr_chat *chat,
                                     fr_checkpoint_task *task);
/**
 * The chat in which a task's dialogues are written: what `given` says, for the rest what the task keeps.
 * @param tokenizer  NULL: none; then *out is NULL   @param file  of the task, for messages   @param[out] out  caller closes
 * @return as fr_chat_source_open; FR_ERR_CHECKPOINT naming the file if what it keeps cannot be used
 */
FR_MUST_CHECK fr_status fr_chat_open_kept(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                          const char *file,
                                          const fr_checkpoint_task *task,
                                          const fr_chat_source *given, fr_chat **out);

/**
 * Compare the chat template that a task was trained with and the one that is used now. Tasks without dialogues and files older than
 * format 2.1 always match.
 * @param file  for the message   @param chat  NULL: none
 * @return FR_OK, after a warning if they differ; with `strict` FR_ERR_CHECKPOINT instead
 */
FR_MUST_CHECK fr_status fr_chat_identity_check(fr_ctx *ctx, const char *file,
                                               const fr_checkpoint_task *task,
                                               const fr_chat *chat, bool strict);

#endif
