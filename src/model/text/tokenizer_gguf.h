/*
 * tokenizer_gguf.h - the parts of reading a GGUF file's tokenizer. Private to tokenizer_gguf*.c.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_GGUF_H
#define FR_MODEL_TEXT_TOKENIZER_GGUF_H

#include "model/files/gguf.h"
#include "model/text/tokenizer_impl.h"

/* tokenizer.ggml.token_type */
enum {
    FR_GGUF_NORMAL = 1,
    FR_GGUF_UNKNOWN,
    FR_GGUF_CONTROL,
    FR_GGUF_USER_DEFINED,
    FR_GGUF_UNUSED,
    FR_GGUF_BYTE
};

/** Absent: data NULL. FR_ERR_FORMAT if the key has another type. */
FR_MUST_CHECK fr_status fr_gguf_optional_text(fr_ctx *ctx, const fr_gguf *gguf,
                                              const char *key, fr_text *out);
/** Absent: *out stays as it is. FR_ERR_FORMAT if the key has another type. */
FR_MUST_CHECK fr_status fr_gguf_optional_bool(fr_ctx *ctx, const fr_gguf *gguf,
                                              const char *key, bool *out);

/** Reads tokenizer.ggml.tokens and token_type. */
FR_MUST_CHECK fr_status fr_gguf_read_tokens(fr_ctx *ctx, const fr_gguf *gguf,
                                            fr_token_draft *draft);
/** Reads tokenizer.ggml.merges. */
FR_MUST_CHECK fr_status fr_gguf_read_merges(fr_ctx *ctx, const fr_gguf *gguf,
                                            fr_token_draft *draft);

/** Reads what models over characters have besides tokens and merges: scores, what is done to spaces, the table of characters,
 * and the token for what is unknown. */
FR_MUST_CHECK fr_status fr_gguf_read_characters(fr_ctx *ctx, const fr_gguf *gguf,
                                                fr_token_draft *draft);

#endif
