/*
 * text.h - from a template and a row's texts to token ids.
 *
 * Special tokens are recognised in the template and not in data, unless `special` asks for it. A special token of the
 * template cuts the text: everything between two of them, data included, is tokenised as one string.
 */
#ifndef FR_TRAIN_DATA_TEXT_H
#define FR_TRAIN_DATA_TEXT_H

#include "model/files/gguf.h"
#include "model/text/tokenizer.h"
#include "train/config/template.h"

/** A piece of text: of the template, or of the data. */
typedef struct fr_piece {
    const char *text;
    size_t bytes;
    bool is_template;
} fr_piece;

/**
 * Append the ids of the pieces, read as one text. `special`: recognise special tokens in data as well.
 * @param[in,out] own  NULL, or a list as long as ids that gets one flag per id: 1 if the id stands for data alone, 0 if
 *                     for some of the template. On failure both lists are as before.
 */
FR_MUST_CHECK fr_status fr_text_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                       const fr_piece *pieces, int n_pieces,
                                       bool special, fr_ids *ids, fr_ids *own);

/** The template up to {target}, with `source` in place of {source}. */
FR_MUST_CHECK fr_status fr_text_encode_source(fr_ctx *ctx,
                                              const fr_tokenizer *tokenizer,
                                              const fr_template *t, fr_text source,
                                              bool special, fr_ids *ids, fr_ids *own);

/** The target and the rest of the template. */
FR_MUST_CHECK fr_status fr_text_encode_target(fr_ctx *ctx,
                                              const fr_tokenizer *tokenizer,
                                              const fr_template *t, fr_text target,
                                              bool special, fr_ids *ids, fr_ids *own);

#endif
