/*
 * pretokenize.h - splits a text into pieces; tokens are merged only within a piece.
 *
 *   gpt-2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   smollm   each \p{N} alone; the gpt-2 rule for the text between
 *
 * The pieces joined are the text, byte for byte. Bytes outside well-formed UTF-8 do not belong to a class of characters: each
 * longest run of them is a piece, and the text on either side is split as if it began and ended there.
 */
#ifndef FR_MODEL_TEXT_PRETOKENIZE_H
#define FR_MODEL_TEXT_PRETOKENIZE_H

#include "base/ctx.h"

typedef enum fr_split_rule { FR_SPLIT_GPT2, FR_SPLIT_SMOLLM } fr_split_rule;

/** "gpt-2" or "smollm". */
const char *fr_split_rule_name(fr_split_rule rule);

/** A compiled rule; immutable. */
typedef struct fr_splitter fr_splitter;

FR_MUST_CHECK fr_status fr_splitter_create(fr_ctx *ctx, fr_split_rule rule,
                                           fr_splitter **out);
void fr_splitter_destroy(fr_splitter **splitter);

/** Receives each piece (never empty) in order; a failure ends the splitting. */
typedef fr_status (*fr_piece_visit)(void *user, const char *piece, size_t bytes);

/** Takes time linear in the text. @return FR_OK; what `visit` returned; FR_ERR_INTERNAL */
FR_MUST_CHECK fr_status fr_splitter_run(fr_ctx *ctx, const fr_splitter *splitter,
                                        const char *text, size_t bytes,
                                        fr_piece_visit visit, void *user);

#endif
