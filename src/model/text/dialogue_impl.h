/*
 * dialogue_impl.h - what dialogue*.c share.
 */
#ifndef FR_MODEL_TEXT_DIALOGUE_IMPL_H
#define FR_MODEL_TEXT_DIALOGUE_IMPL_H

#include "model/text/chat.h"
#include "model/text/dialogue.h"

/* An answer that is learned. */
typedef struct fr_answer {
    size_t message;
    fr_text_span span; /* in the text */
} fr_answer;

/* One call of fr_dialogue_encode. */
typedef struct fr_dialogue_encoding {
    fr_ctx *ctx;
    const fr_tokenizer *tokenizer;
    const fr_chat *chat;
    const fr_dialogue *dialogue;
    size_t n;           /* messages that are rendered */
    fr_answer *answers; /* in order */
    int64_t n_answers;
    fr_jinja_rendered text;
    fr_text_span *contents; /* of each message; empty: it is not there as it is */
    int64_t steps_left;     /* of the template */
    fr_dialogue_ids *out;
} fr_dialogue_encoding;

/** Renders the first `n` messages of the dialogue. */
FR_MUST_CHECK fr_status fr_dialogue_render(fr_dialogue_encoding *e, size_t n,
                                           bool opens, fr_jinja_rendered *out);
/** How many bytes of two texts are the same from their beginnings. */
size_t fr_rendered_same(const fr_jinja_rendered *a, const fr_jinja_rendered *b);

/** The last place in a text up to `end` where a message's content stands as it is but for white space at its ends; empty: nowhere. */
fr_text_span fr_dialogue_find_content(const fr_dialogue_encoding *e,
                                      const fr_jinja_rendered *in, size_t end,
                                      size_t message);

/**
 * Fills e->contents. Unless special tokens in contents count, each content that holds one's text has its place for certain.
 * @return FR_OK; FR_ERR_DATA: a special token's text stands where it cannot be told from the template's
 */
FR_MUST_CHECK fr_status fr_dialogue_place_contents(fr_dialogue_encoding *e);

#endif
