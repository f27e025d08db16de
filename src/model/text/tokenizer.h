/*
 * tokenizer.h - byte-level BPE with the gpt-2 and smollm splitting rules, special tokens and added ones.
 *
 * Layer L3; uses base, gguf. Immutable after open; exact round trip for any bytes.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_H
#define FR_MODEL_TEXT_TOKENIZER_H

#include "base/ctx.h"
#include "base/digest.h"
#include "model/text/chat_template.h"

#include <stdint.h>

typedef struct fr_tokenizer fr_tokenizer;

/** A growing list of token ids; zero-initialise, release with fr_ids_fini. */
typedef struct fr_ids {
    int32_t *data;
    int64_t count;
    int64_t capacity;
} fr_ids;

FR_MUST_CHECK fr_status fr_ids_add(fr_ctx *ctx, fr_ids *ids, int32_t id);
void fr_ids_fini(fr_ids *ids);

void fr_tokenizer_close(fr_tokenizer **tokenizer);

/** What training puts behind a target (ends.h), -1 if the model's files name none. It may lie beyond the vocabulary. */
int32_t fr_tokenizer_eos(const fr_tokenizer *tokenizer);
/** The id to put before every text, or -1 if the model's files ask for none. */
int32_t fr_tokenizer_leading_bos(const fr_tokenizer *tokenizer);
bool fr_tokenizer_is_special(const fr_tokenizer *tokenizer, int32_t id);
/** Bytes of text that a token stands for; 0 for an id that is out of range. */
size_t fr_tokenizer_token_bytes(const fr_tokenizer *tokenizer, int32_t id);
/** Id of a special or added token by its text, such as "<|im_end|>"; -1 if the tokenizer has none with this text. */
int32_t fr_tokenizer_marker(const fr_tokenizer *tokenizer, const char *text);
/** Whether it is an added token that is not special: part of texts, matched whole wherever it stands. */
bool fr_tokenizer_is_added(const fr_tokenizer *tokenizer, int32_t id);
/** False for ids beyond the vocabulary and those that only fill it up. */
bool fr_tokenizer_has_text(const fr_tokenizer *tokenizer, int32_t id);

/** The model's chat template text (Jinja) or NULL. */
const char *fr_tokenizer_chat_template(const fr_tokenizer *tokenizer);

/** What dialogues need of it, read when the tokenizer was opened. */
const fr_chat_frame *fr_tokenizer_chat_frame(const fr_tokenizer *tokenizer);

/** SHA-256 over everything that decides the ids: vocabulary, merges, rule, special and added tokens. */
void fr_tokenizer_digest(const fr_tokenizer *tokenizer, uint8_t out[FR_DIGEST_BYTES]);

/**
 * Append the ids of `text`. Special tokens are recognised only with `parse_special`, added ones that are not special
 * always; the leftmost counts, the longest of those that begin there. No BOS or EOS is added. Any bytes are accepted.
 * @return FR_OK; FR_ERR_DATA if a byte has no token in this vocabulary (the byte is named)
 */
FR_MUST_CHECK fr_status fr_tokenizer_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                            const char *text, size_t bytes,
                                            bool parse_special, fr_ids *ids);

/** Text of ids as NUL-terminated bytes that the caller frees; special tokens are left out with
 * `skip_special`. Ids without a text (fr_tokenizer_has_text) add nothing; FR_ERR_ARG if one is negative. */
FR_MUST_CHECK fr_status fr_tokenizer_decode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                            const int32_t *ids, int64_t n,
                                            bool skip_special, char **out,
                                            size_t *out_bytes);

#endif
