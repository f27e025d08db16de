/*
 * dialogue.h - dialogues as token ids, as a chat template writes them (chat.h).
 *
 * The ids are those of the rendered text, special tokens in it included, with a BOS where the template writes one: what
 * transformers' apply_chat_template gives, with one difference, without which a generation would not continue what was
 * learned: no id reaches from what opens an answer into the answer.
 *
 * What the assistant says is marked by the template's `generation` blocks, where it has them. Else each answer lies between what
 * is rendered before it, with add_generation_prompt, and what is rendered up to it. Where a template writes an answer
 * otherwise once more turns follow (it may leave out old thoughts), each answer is an example of its own, which ends
 * with it. A template for which none of this finds the answers is refused.
 */
#ifndef FR_MODEL_TEXT_DIALOGUE_H
#define FR_MODEL_TEXT_DIALOGUE_H

#include "model/text/tokenizer.h"

typedef struct fr_dialogue {
    json_t *messages;    /* a list of objects, each with a string "role" */
    json_t *tools;       /* as in fr_chat_said */
    const fr_chat *chat; /* NULL: the tokenizer's own */
    /* for each message: an answer that is not learned; NULL: all are */
    const bool *skip;
    bool last_only;          /* learn only the last answer that is not skipped */
    bool open_assistant;     /* end with the opening of an answer (for generation) */
    bool special_in_content; /* special tokens in contents count; else they are text */
    int64_t part;            /* which example of n_parts, from 0 */
} fr_dialogue;

/** Ids with two flags each (int32 0 or 1). Zero-initialise; release with fr_dialogue_ids_fini. */
typedef struct fr_dialogue_ids {
    fr_ids ids;
    fr_ids counted;  /* in the loss: an answer up to its end token */
    fr_ids own;      /* of a message's content alone, which may be cut */
    int64_t n_parts; /* examples that the dialogue gives */
    /* the template opens an answer with more than it writes of a finished one ("<think>"), so that a prompt ends
     * otherwise than what is learned begins */
    bool opens_otherwise;
} fr_dialogue_ids;

void fr_dialogue_ids_fini(fr_dialogue_ids *ids);

/**
 * Encodes a dialogue, or the part of it that is asked for. A content counts as own where the template writes it as it is but for
 * white space at its ends. White space behind an answer's end token is not counted.
 *
 * @return FR_OK; FR_ERR_DATA (no messages, no answer to learn although not open_assistant, the template refuses this dialogue or does
 *         not show where its answers lie, a special token's text in something else than a content);
 *         FR_ERR_UNSUPPORTED if the model has no chat template or one that is refused. On failure `out` is empty
 */
FR_MUST_CHECK fr_status fr_dialogue_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                           const fr_dialogue *dialogue,
                                           fr_dialogue_ids *out);

#endif
