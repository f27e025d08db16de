/*
 * pretokenize.h - splits a text into pieces; tokens are merged only within a piece.
 *
 * A splitter is a list of steps, each on every piece that the step before left, as the "pre_tokenizer" of a tokenizer.json has
 * them. GGUF files name a rule instead; fr_splitter_create_named has the steps of the rules by name, for example
 *
 *   gpt-2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   smollm   each \p{N} alone; the gpt-2 rule for the text between
 *
 * Without REPLACE, PREFIX and REMOVED the pieces joined are the text, byte for byte. Bytes outside well-formed UTF-8 do not
 * belong to a class of characters: each longest run of them is a piece, and the text on either side is split as if it began
 * and ended there (but a PREFIX is put only where the text itself begins).
 */
#ifndef FR_MODEL_TEXT_PRETOKENIZE_H
#define FR_MODEL_TEXT_PRETOKENIZE_H

#include "base/ctx.h"
#include "base/digest.h"
#include "base/text.h"

#include <stdint.h>

typedef enum fr_split_kind {
    FR_SPLIT_AT,      /* at the matches of `pattern` */
    FR_SPLIT_REPLACE, /* every `pattern` (a plain text) by `content` */
    FR_SPLIT_PREFIX,  /* `content` in front of each piece that does not begin with it */
    FR_SPLIT_BYTES    /* the pieces are bytes of a byte-level vocabulary */
} fr_split_kind;

/** What becomes of a match and of the text between matches. */
typedef enum fr_split_behavior {
    FR_SPLIT_ISOLATED,
    FR_SPLIT_REMOVED,
    FR_SPLIT_WITH_PREVIOUS, /* a match is joined to the text before it */
    FR_SPLIT_WITH_NEXT,
    FR_SPLIT_CONTIGUOUS /* matches that touch are one piece */
} fr_split_behavior;

typedef struct fr_split_step {
    fr_split_kind kind;
    fr_text pattern;
    fr_text content;
    bool is_regex; /* `pattern` is a regular expression, in Oniguruma's syntax */
    fr_split_behavior behavior;
    bool invert;     /* matches and the text between them change roles */
    bool first_only; /* PREFIX: only where the whole text begins (fr_splitter_run) */
} fr_split_step;

/** Compiled steps; immutable, so threads may share them. */
typedef struct fr_splitter fr_splitter;

/**
 * @param path  for messages; copied, as all texts
 * @param n     0 to FR_MAX_SPLIT_STEPS; 0: a text is one piece
 * @return FR_OK; FR_ERR_UNSUPPORTED (a pattern that cannot be used, too many steps); FR_ERR_NO_MEMORY
 */
enum { FR_MAX_SPLIT_STEPS = 64 };
FR_MUST_CHECK fr_status fr_splitter_create(fr_ctx *ctx, const char *path,
                                           const fr_split_step *steps, int64_t n,
                                           fr_splitter **out);

/** The steps of a rule by the name that GGUF files give it (tokenizer.ggml.pre), such as "llama-bpe".
 * @param[out] out  NULL: no rule has this name (fr_split_names lists them)
 * @return FR_OK, also for an unknown name; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_splitter_create_named(fr_ctx *ctx, fr_text name,
                                                 fr_splitter **out);
/** All names, with commas between, for messages. */
const char *fr_split_names(void);
/** The regular expression of a rule with one, such as "gpt-2" or "qwen2"; NULL: none has this name. */
const char *fr_split_name_regex(const char *name);
/** Whether models with this named rule take a piece that is a token as it is, without merging (`ignore_merges`). */
bool fr_split_name_ignores_merges(fr_text name);
/** Whether texts of models with this named rule are put into Unicode's form NFC first. */
bool fr_split_name_composes(fr_text name);

void fr_splitter_destroy(fr_splitter **splitter);

/** Whether there is a BYTES step: pieces are then any bytes, and a vocabulary is written in the characters of byte_table.h.
 * Otherwise pieces are characters as they stand in the vocabulary, and malformed bytes. */
bool fr_splitter_is_byte_level(const fr_splitter *splitter);

/** Adds to a digest what decides the pieces: the name, if a named rule has the same steps, else all steps. */
FR_MUST_CHECK fr_status fr_splitter_hash(fr_ctx *ctx, const fr_splitter *splitter,
                                         fr_digest *digest);

/** Receives each piece (never empty) in order; a failure ends the splitting. The bytes are the callee's until it returns. */
typedef fr_status (*fr_piece_visit)(void *user, const char *piece, size_t bytes);

/**
 * Time is linear in the text for the named rules and for the patterns of known models; other patterns have a limit that is
 * linear in the text (pattern.h).
 * @param first  the text stands at the beginning of the whole text that is encoded
 * @return FR_OK; what `visit` returned; FR_ERR_DATA: a pattern takes too much work on this text; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_splitter_run(fr_ctx *ctx, const fr_splitter *splitter,
                                        fr_text text, bool first, fr_piece_visit visit,
                                        void *user);

#endif
