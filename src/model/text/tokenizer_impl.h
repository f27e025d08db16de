/*
 * tokenizer_impl.h - the body of a tokenizer, and the draft that the readers of the two file formats hand to the one builder
 * (tokenizer_build.c). Private to tokenizer*.c.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_IMPL_H
#define FR_MODEL_TEXT_TOKENIZER_IMPL_H

#include "base/text_map.h"
#include "model/text/bpe.h"
#include "model/text/pretokenize.h"
#include "model/text/special_tokens.h"
#include "model/text/tokenizer.h"

enum { FR_N_BYTES = 256 };

typedef enum fr_token_kind {
    FR_TOKEN_MISSING, /* no entry has this id */
    FR_TOKEN_NORMAL,  /* written in the characters of byte_table.h */
    FR_TOKEN_SPECIAL, /* control: its text is not mapped; found only on request */
    FR_TOKEN_UNUSED,  /* fills up the vocabulary: never found, decodes to nothing */
    FR_TOKEN_ADDED    /* added or user defined, not special: always found */
} fr_token_kind;

/** The merge of two tokens, as written in the file. */
typedef struct fr_merge_text {
    fr_text left;
    fr_text right;
} fr_merge_text;

/** The contents of a file, not yet checked as a whole. Texts are views; their memory must outlive the draft. */
typedef struct fr_token_draft {
    const char *path; /* borrowed, for messages */
    int64_t n_tokens;
    fr_text *texts; /* owned, [n_tokens], as written */
    uint8_t *kinds; /* owned, [n_tokens], fr_token_kind */
    uint8_t *late;  /* owned, [n_tokens], 1: searched in the second pass; NULL: none */
    int64_t n_merges;
    fr_merge_text *merges; /* owned, [n_merges] in rank order */
    fr_split_rule rule;
    int64_t
        bos; /* as the file says, unchecked; -1: not named. Read only with add_bos */
    bool add_bos;
    char *chat_template; /* owned, until the tokenizer takes it; NULL: none */
    fr_text bos_token;   /* as a chat template sees them; data NULL: not named */
    fr_text eos_token;
} fr_token_draft;

void fr_token_draft_fini(fr_token_draft *draft);

/** Checks a draft and builds its tokenizer. @return FR_OK; FR_ERR_FORMAT; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_tokenizer_build(fr_ctx *ctx, fr_token_draft *draft,
                                           fr_tokenizer **out);

/** Moves the draft's chat template to the tokenizer and fills its frame. A template that cannot be used is not a failure:
 * the frame keeps the reason. */
FR_MUST_CHECK fr_status fr_tokenizer_build_chat(fr_ctx *ctx, fr_token_draft *draft,
                                                fr_tokenizer *made);

/** A token as it decodes. */
typedef struct fr_token {
    const char *text; /* into fr_tokenizer.arena */
    int32_t bytes;
    uint8_t kind;
    bool late;
} fr_token;

/** Special and added tokens are searched in two passes, as in Hugging Face's tokenizers: those with "normalized" come second,
 * in the text that the first pass left. Each pass has two sets: with and without special tokens. */
enum { FR_N_PASSES = 2, FR_N_PARSED = 2 };

struct fr_tokenizer {
    int64_t n_tokens;
    fr_token *tokens;
    char *arena;
    int32_t byte_ids[FR_N_BYTES]; /* id of each byte's token; -1: the byte has none */
    fr_specials *found[FR_N_PASSES][FR_N_PARSED]; /* [pass][1: special ones too] */
    fr_splitter *splitter;
    fr_bpe *bpe;
    int32_t eos;
    int32_t leading_bos;
    char *chat_template;
    fr_chat_frame chat; /* what dialogues need to know of it */
    uint8_t digest[FR_DIGEST_BYTES];
};

#endif
