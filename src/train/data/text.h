/*
 * text.h - from a template and a row's texts to token ids.
 *
 * Special tokens are parsed in template text and never in data (unless asked): a
 * template's special tokens cut the text, what lies between two of them is tokenised as one string.
 */
#ifndef FR_TRAIN_DATA_TEXT_H
#define FR_TRAIN_DATA_TEXT_H

#include "model/files/gguf.h"
#include "model/text/tokenizer.h"
#include "train/config/template.h"

/** A run of text: part of the template, or data. */
typedef struct fr_piece {
    const char *text;
    size_t bytes;
    bool is_template;
} fr_piece;

/**
 * Append the ids of the pieces read as one text. `special`: parse special tokens in data as well.
 * @param[in,out] own  NULL, or a list that grows in step with ids, both of one length before: 1 for an id that holds
 *                     nothing but data, 0 for one that holds some of the template. On failure both are as before.
 */
FR_MUST_CHECK fr_status fr_text_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                       const fr_piece *pieces, int n_pieces,
                                       bool special, fr_ids *ids, fr_ids *own);

/** The string before {target}, with `source` at its place. */
FR_MUST_CHECK fr_status fr_text_encode_source(fr_ctx *ctx,
                                              const fr_tokenizer *tokenizer,
                                              const fr_template *t, fr_text source,
                                              bool special, fr_ids *ids, fr_ids *own);

/** The target and the string after it. */
FR_MUST_CHECK fr_status fr_text_encode_target(fr_ctx *ctx,
                                              const fr_tokenizer *tokenizer,
                                              const fr_template *t, fr_text target,
                                              bool special, fr_ids *ids, fr_ids *own);

#endif
