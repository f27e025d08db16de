/*
 * dialogue.h - encodes dialogues in the base's own chat template, if that is ChatML (chat_template.h finds out).
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
    bool
        special_in_content; /* parse special tokens in content; else it is plain text */
} fr_dialogue;

/**
 * Appends the ids of a dialogue, and a flag for each id: whether the loss counts it. Counted are assistant contents and their
 * end tokens, except in turns with `skip`. Role markers become special tokens. If the first message is not a system
 * message, the template's default system message opens the dialogue; special tokens in it are parsed.
 *
 * The caller adds a BOS in front: exactly one, if the template writes it (fr_chat_frame.bos) or the tokenizer puts it before
 * every text.
 *
 * @param[in,out] counted    one flag for each id (int32 0 or 1); must have as many entries as `ids`
 * @param[in,out] own        likewise: 1 for ids that hold message content alone; 0 for markers, roles, the default system
 *                           message and tokens that span a role and content. NULL: not wanted
 * @return FR_OK; FR_ERR_DATA (unknown role, no messages, no counted assistant turn although not open_assistant, or the
 *         template writes this dialogue otherwise); FR_ERR_UNSUPPORTED if the model has no chat template or one that is not
 *         ChatML (the difference is named). On failure the lists are as before
 */
FR_MUST_CHECK fr_status fr_dialogue_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                           const fr_dialogue *dialogue, fr_ids *ids,
                                           fr_ids *counted, fr_ids *own);

#endif
