/*
 * dialogue.h - dialogues in the base's own chat template, where that is ChatML (chat_template.h finds out).
 *
 * Layer L3; uses tokenizer.
 */
#ifndef FR_MODEL_TEXT_DIALOGUE_H
#define FR_MODEL_TEXT_DIALOGUE_H

#include "model/text/tokenizer.h"

typedef struct fr_dialogue {
    const fr_message *messages;
    int64_t n_messages;
    bool last_only; /* count only the last assistant turn that is not skipped */
    bool
        open_assistant; /* end with the opening of an assistant turn (for generation) */
    bool special_in_content; /* content is plain text otherwise */
} fr_dialogue;

/**
 * Append the ids of a dialogue and, in step with them, whether each id is counted in the loss
 * (assistant content and its end token, unless the turn is skipped). Role markers are special tokens. If the first
 * message is no system message the template's own default system message opens the dialogue, special tokens in it
 * parsed. A BOS in front is the caller's: exactly one where the template writes it (fr_chat_frame.bos) or the tokenizer puts
 * it before texts.
 *
 * @param[in,out] counted    grows with ids: same count (int32 0 or 1)
 * @param[in,out] own        the same for the ids that hold nothing but a message's content: 1; markers, roles, the
 *                           default system message and tokens that span content and role: 0. NULL: not wanted
 * @return FR_OK; FR_ERR_DATA (role unknown, no assistant turn that is counted although not open_assistant, no
 *         messages); FR_ERR_UNSUPPORTED if the model has no chat template, or one that writes dialogues in
 *         another way (what and where is named). On failure the lists are as before
 */
FR_MUST_CHECK fr_status fr_dialogue_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                           const fr_dialogue *dialogue, fr_ids *ids,
                                           fr_ids *counted, fr_ids *own);

#endif
