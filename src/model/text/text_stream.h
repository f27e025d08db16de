/*
 * text_stream.h - the text of ids as they come: whole characters, and texts at which it stops.
 *
 * All pieces together are what all ids decode to (special tokens left out), repaired as base/utf8.h says, up to the first place
 * where a stop text is complete. A stop text is not part of them. Each piece is valid UTF-8: bytes that may still become a character, and a text that may
 * still become a stop text, are held back.
 *
 * Pieces and stop do not depend on how the text is divided into ids. Time is linear in the text, times the number of stops.
 */
#ifndef FR_MODEL_TEXT_TEXT_STREAM_H
#define FR_MODEL_TEXT_TEXT_STREAM_H

#include "model/text/tokenizer.h"

typedef struct fr_text_stream fr_text_stream;

/** Most stop texts, and most bytes of one. */
enum { FR_MAX_STOPS = 64, FR_MAX_STOP_BYTES = 4096 };

/**
 * @param tokenizer  borrowed
 * @param stops      copied; n_stops may be 0
 * @return FR_OK; FR_ERR_ARG (a stop text is empty, too long or not UTF-8; too many); FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_text_stream_open(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                            const char *const *stops, int64_t n_stops,
                                            fr_text_stream **out);

/**
 * The next id.
 * @param[out] piece    new text, NUL-terminated, valid until the next call; it may be empty
 * @param[out] stopped  a stop text has appeared; what stands before it has been given, later ids add nothing
 * @return FR_OK; FR_ERR_ARG (a negative id); FR_ERR_NO_MEMORY, after which the stream can only be closed
 */
FR_MUST_CHECK fr_status fr_text_stream_add(fr_text_stream *stream, int32_t id,
                                           fr_text *piece, bool *stopped);

/** No id follows: what was held back. A character that was not completed may even complete a stop text, as U+FFFD. */
FR_MUST_CHECK fr_status fr_text_stream_end(fr_text_stream *stream, fr_text *piece);

/** Accepts NULL inside, nulls the pointer. */
void fr_text_stream_close(fr_text_stream **stream);

#endif
