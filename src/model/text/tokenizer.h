/*
 * tokenizer.h - texts to ids and back: byte-level BPE, BPE over characters, SentencePiece BPE and Unigram, with special tokens and
 * added tokens.
 *
 * tokens.h opens one. A tokenizer is immutable. Decoding gives back any bytes that were encoded, unless the tokenizer normalizes
 * texts or has an unknown token; then it gives the text that the reference decodes to.
 *
 * A special token is recognised in a text only on request; an added token that is not special always is. Both are matched
 * whole before the rest is split and merged.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_H
#define FR_MODEL_TEXT_TOKENIZER_H

#include "base/ctx.h"
#include "base/digest.h"
#include "model/text/chat.h"

#include <stdint.h>

typedef struct fr_tokenizer fr_tokenizer;

/** A growing list of token ids. Zero-initialise it; release it with fr_ids_fini. */
typedef struct fr_ids {
    int32_t *data;
    int64_t count;
    int64_t capacity;
} fr_ids;

FR_MUST_CHECK fr_status fr_ids_add(fr_ctx *ctx, fr_ids *ids, int32_t id);
void fr_ids_fini(fr_ids *ids);

void fr_tokenizer_close(fr_tokenizer **tokenizer);

/** The id that training puts behind a target (ends.h); -1 if the model's files name none. It may lie beyond the vocabulary. */
int32_t fr_tokenizer_eos(const fr_tokenizer *tokenizer);
/** The BOS to put before every text; -1 if the model's files do not ask for one. */
int32_t fr_tokenizer_leading_bos(const fr_tokenizer *tokenizer);
bool fr_tokenizer_is_special(const fr_tokenizer *tokenizer, int32_t id);
/** Bytes of a token's text; 0 for an id out of range. */
size_t fr_tokenizer_token_bytes(const fr_tokenizer *tokenizer, int32_t id);
/** Id of a special or added token by its text, such as "<|im_end|>"; -1 if the tokenizer has none with this text. */
int32_t fr_tokenizer_marker(const fr_tokenizer *tokenizer, const char *text);
/** Whether an id is an added token that is not special: it belongs to texts and is always matched whole. */
bool fr_tokenizer_is_added(const fr_tokenizer *tokenizer, int32_t id);
/** False for ids beyond the vocabulary, and for ids that only fill it up. */
bool fr_tokenizer_has_text(const fr_tokenizer *tokenizer, int32_t id);

/** Whether encoding puts a space in front of each text: then a text encoded in two parts has other ids than in one. */
bool fr_tokenizer_adds_space(const fr_tokenizer *tokenizer);

/** The text of the model's chat template (Jinja); NULL: none. */
const char *fr_tokenizer_chat_template(const fr_tokenizer *tokenizer);

/** The chat template, parsed when the tokenizer was opened. */
const fr_chat *fr_tokenizer_chat(const fr_tokenizer *tokenizer);

/** A chat with this tokenizer's tokens and other settings; without a template in them, with the model's own. The caller closes
 * it. @return as fr_chat_open */
FR_MUST_CHECK fr_status fr_tokenizer_open_chat(fr_ctx *ctx,
                                               const fr_tokenizer *tokenizer,
                                               const fr_chat_settings *settings,
                                               fr_chat **out);

/** SHA-256 of everything that determines the ids: vocabulary, merges or scores, normalizer, splitter, special and added tokens. */
void fr_tokenizer_digest(const fr_tokenizer *tokenizer, uint8_t out[FR_DIGEST_BYTES]);

/** What a prefix keeps of its base's tokenizer: the same for all files of one model. Of byte-level BPE it is
 * fr_tokenizer_digest without what only folders tell: which added tokens are special, how they are found, ignore_merges. Of
 * other models, which GGUF files describe by scores and folders by merges, and whose special tokens
 * they mark differently, it is SHA-256 of the ids and texts of ordinary tokens. */
void fr_tokenizer_vocabulary_digest(const fr_tokenizer *tokenizer,
                                    uint8_t out[FR_DIGEST_BYTES]);

/**
 * Appends the ids of `text`, without BOS and EOS. Any bytes are accepted. Special tokens are recognised only with
 * `parse_special`. Where special or added tokens overlap, the leftmost counts, and of those that begin there the longest.
 * @return FR_OK; FR_ERR_DATA if a byte or a character has no token in this vocabulary (it is named)
 */
FR_MUST_CHECK fr_status fr_tokenizer_encode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                            const char *text, size_t bytes,
                                            bool parse_special, fr_ids *ids);

/** A place in a text that is encoded. */
typedef struct fr_id_mark {
    size_t at; /* a byte of the text */
    /* no id may reach across it: what stands before is encoded as if the text ended here. Tokenizers that put a space in front
     * of each text do not cut */
    bool cuts;
    int64_t before; /* out: how many ids of the call end there or before */
    bool inside;    /* out: an id reaches across it */
} fr_id_mark;

/**
 * Appends the ids of a rendered dialogue: like fr_tokenizer_encode with special tokens, which are not recognised where they
 * begin in a span of `plain`, and finds where marks fall among the ids.
 * @param marks  in the order of their places, none beyond the text
 * @return as fr_tokenizer_encode
 */
FR_MUST_CHECK fr_status fr_tokenizer_encode_marked(
    fr_ctx *ctx, const fr_tokenizer *tokenizer, fr_text text, const fr_text_span *plain,
    int64_t n_plain, fr_id_mark *marks, int64_t n_marks, fr_ids *ids);

/** Whether a text holds that of a special token. *late: one that is looked for in normalized text, which `plain` above does
 * not keep from being recognised. */
FR_MUST_CHECK fr_status fr_tokenizer_find_special(fr_ctx *ctx,
                                                  const fr_tokenizer *tokenizer,
                                                  fr_text text, bool *found,
                                                  bool *late);

/** The text that an id (>= 0) adds to the ids before it, borrowed; decoding ids is one call for each.
 * @param[in,out] is_first  true before the first id: no text has come yet */
fr_text fr_tokenizer_piece(const fr_tokenizer *tokenizer, int32_t id, bool skip_special,
                           bool *is_first);

/** The text of ids as NUL-terminated bytes; the caller frees. `skip_special` leaves special tokens out. Ids without a text
 * (fr_tokenizer_has_text) add nothing. FR_ERR_ARG if an id is negative. */
FR_MUST_CHECK fr_status fr_tokenizer_decode(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                            const int32_t *ids, int64_t n,
                                            bool skip_special, char **out,
                                            size_t *out_bytes);

#endif
