/*
 * chat.h - dialogues in the base's own chat template (ChatML).
 *
 * Layer L3; uses tokenizer.
 */
#ifndef FR_MODEL_CHAT_H
#define FR_MODEL_CHAT_H

#include "model/tokenizer.h"

typedef struct fr_message {
    const char *role;    /* "system", "user" or "assistant" */
    const char *content; /* NUL-terminated */
} fr_message;

/**
 * Append the ids of a dialogue and, in step with them, whether each id is counted in the loss
 * (assistant content and its end token). Role markers are special tokens; content is plain text unless
 * `special_in_content`. If the first message is no system message the template's own default system
 * message opens the dialogue (read from the model's template text, as is its presence).
 *
 * @param last_only          count only the last assistant turn
 * @param open_assistant     end with the opening of an assistant turn (for generation)
 * @param[in,out] counted    grows with ids: same count (int32 0 or 1)
 * @return FR_OK; FR_ERR_DATA (role unknown, no assistant turn although not open_assistant, no messages);
 *         FR_ERR_UNSUPPORTED if the model has no ChatML template
 */
FR_MUST_CHECK fr_status fr_chat_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                       const fr_message *messages, int64_t n_messages,
                                       bool last_only, bool open_assistant,
                                       bool special_in_content, fr_ids *ids,
                                       fr_ids *counted);

/** The token that ends an assistant turn (<|im_end|>), -1 if the model has no ChatML. */
int32_t fr_chat_end_token(const fr_tokenizer *tokenizer);

#endif
