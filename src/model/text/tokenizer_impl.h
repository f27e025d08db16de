/*
 * tokenizer_impl.h - the body of a tokenizer, and the draft that the readers of the two file formats
 * hand to the one builder. Shared by tokenizer*.c.
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
    FR_TOKEN_SPECIAL, /* control: written as it is, found only on request */
    FR_TOKEN_UNUSED,  /* fills up the vocabulary: has no text, never found */
    FR_TOKEN_ADDED /* added or user defined, not special: a word of texts, always found */
} fr_token_kind;

/** The merge of two tokens, as written in the file. */
typedef struct fr_merge_text {
    fr_text left;
    fr_text right;
} fr_merge_text;

/** What a file says, not yet checked as a whole. Texts are views that must outlive the draft. */
typedef struct fr_token_draft {
    const char *path; /* borrowed, for messages */
    int64_t n_tokens;
    fr_text *texts; /* owned, [n_tokens], as written */
    uint8_t *kinds; /* owned, [n_tokens], fr_token_kind */
    uint8_t *late;  /* owned, [n_tokens], 1: found after the others; NULL: none */
    int64_t n_merges;
    fr_merge_text *merges; /* owned, [n_merges] in rank order */
    fr_split_rule rule;
    int64_t bos; /* -1: none named; else to be checked; read only for add_bos */
    bool add_bos;
    char *chat_template; /* owned; NULL: none. Moves to the tokenizer */
    fr_text bos_token;   /* as a chat template sees them; data NULL: not named */
    fr_text eos_token;
} fr_token_draft;

void fr_token_draft_fini(fr_token_draft *draft);

/** Check a draft and build its tokenizer. @return FR_OK; FR_ERR_FORMAT; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_tokenizer_build(fr_ctx *ctx, fr_token_draft *draft,
                                           fr_tokenizer **out);

/** Take the draft's chat template and find out what it is, once: a row of a dialogue takes that as it is. A template that
 * cannot be used is no failure. */
FR_MUST_CHECK fr_status fr_tokenizer_build_chat(fr_ctx *ctx, fr_token_draft *draft,
                                                fr_tokenizer *made);

/** A token as it decodes. */
typedef struct fr_token {
    const char *text; /* into fr_tokenizer.arena */
    int32_t bytes;
    uint8_t kind;
    bool late;
} fr_token;

/** Which tokens are looked for in a text: in two goes, as the reference does (tokens that it would look for in normalised
 * text come second, in what the first ones left), and with or without the special ones. */
enum { FR_N_GOES = 2, FR_N_PARSED = 2 };

struct fr_tokenizer {
    int64_t n_tokens;
    fr_token *tokens;
    char *arena;
    int32_t byte_ids[FR_N_BYTES]; /* id of each byte's own token, -1: none */
    fr_specials *found[FR_N_GOES][FR_N_PARSED]; /* [go][1: special ones too] */
    fr_splitter *splitter;
    fr_bpe *bpe;
    int32_t eos;
    int32_t leading_bos;
    char *chat_template;
    fr_chat_frame chat; /* what is read out of it, once */
    uint8_t digest[FR_DIGEST_BYTES];
};

#endif
