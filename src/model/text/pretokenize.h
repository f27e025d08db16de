/*
 * pretokenize.h - split a text into the pieces within which tokens are merged.
 *
 * Layer L3; PCRE2 (its JIT where the platform has one).
 *
 *   gpt-2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   smollm   each \p{N} alone; the gpt-2 rule on what lies between
 *
 * The pieces joined are the text, byte for byte. Bytes that are no part of well-formed UTF-8 belong to no
 * class of characters: each longest run of them is a piece, and the text on either side is split as if it
 * began and ended there.
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

/** Called with each piece (never empty) in order; a failure ends the splitting. */
typedef fr_status (*fr_piece_visit)(void *user, const char *piece, size_t bytes);

/** Time linear in the text. @return FR_OK; what `visit` returned; FR_ERR_INTERNAL */
FR_MUST_CHECK fr_status fr_splitter_run(fr_ctx *ctx, const fr_splitter *splitter,
                                        const char *text, size_t bytes,
                                        fr_piece_visit visit, void *user);

#endif
