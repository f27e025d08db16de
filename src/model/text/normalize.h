/*
 * normalize.h - changes a text before it is split: Unicode forms, lower case, replacements.
 *
 * A normalizer is a list of steps, each on the result of the one before, as the "normalizer" of a tokenizer.json has them.
 * Bytes outside well-formed UTF-8 stay as they are; the text on either side is normalized as if it began and ended there.
 * Time is linear in the text, but for a factor of log n within a run of combining marks, and for replacements by a regular
 * expression, whose work has a limit (pattern.h). Immutable, so threads may share it.
 */
#ifndef FR_MODEL_TEXT_NORMALIZE_H
#define FR_MODEL_TEXT_NORMALIZE_H

#include "base/ctx.h"
#include "base/digest.h"
#include "base/text.h"

#include <stdint.h>

typedef enum fr_normal_kind {
    FR_NORMAL_NFC,
    FR_NORMAL_NFD,
    FR_NORMAL_NFKC,
    FR_NORMAL_NFKD,
    FR_NORMAL_LOWERCASE, /* each character by itself, so final sigma is not special */
    FR_NORMAL_STRIP_ACCENTS, /* removes combining marks */
    FR_NORMAL_STRIP,         /* removes white space at the ends: `left`, `right` */
    FR_NORMAL_REPLACE,       /* every `pattern` by `content` */
    FR_NORMAL_PREPEND,       /* puts `content` in front of a text that is not empty */
    FR_NORMAL_NMT,     /* removes control characters, other white space becomes " " */
    FR_NORMAL_CHARSMAP /* SentencePiece's table: `content` holds its bytes */
} fr_normal_kind;

typedef struct fr_normal_step {
    fr_normal_kind kind;
    fr_text pattern;
    fr_text content;
    bool is_regex; /* `pattern` is a regular expression, in Oniguruma's syntax */
    bool left;
    bool right;
    bool
        by_grapheme; /* CHARSMAP: as Hugging Face's tokenizers use the table; else as SentencePiece */
} fr_normal_step;

typedef struct fr_normalizer fr_normalizer;

/**
 * @param path   for messages; copied, as all texts
 * @param n      0 to FR_MAX_NORMAL_STEPS; 0: the text stays as it is
 * @return FR_OK; FR_ERR_UNSUPPORTED (a pattern that cannot be used, too many steps); FR_ERR_FORMAT (a damaged table);
 *         FR_ERR_NO_MEMORY
 */
enum { FR_MAX_NORMAL_STEPS = 64 };
FR_MUST_CHECK fr_status fr_normalizer_create(fr_ctx *ctx, const char *path,
                                             const fr_normal_step *steps, int64_t n,
                                             fr_normalizer **out);
void fr_normalizer_destroy(fr_normalizer **normalizer);

/** Whether it can change a text: false for NULL and for no steps. */
bool fr_normalizer_any(const fr_normalizer *normalizer);

/**
 * @param[out] out        the normalized text; the caller frees
 * @param[out] out_bytes  its length
 * @return FR_OK; FR_ERR_DATA: a replacement takes too much work on this text, or the result is too long; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_normalizer_run(fr_ctx *ctx, const fr_normalizer *normalizer,
                                          fr_text text, char **out, size_t *out_bytes);

/** Adds all steps to a digest; nothing for NULL and for no steps. */
FR_MUST_CHECK fr_status fr_normalizer_hash(fr_ctx *ctx, const fr_normalizer *normalizer,
                                           fr_digest *digest);

#endif
