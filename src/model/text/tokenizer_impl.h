/*
 * tokenizer_impl.h - the body of a tokenizer, and the draft that the readers of the two file formats hand to the one builder
 * (tokenizer_build.c). Private to tokenizer*.c.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_IMPL_H
#define FR_MODEL_TEXT_TOKENIZER_IMPL_H

#include "base/text_map.h"
#include "model/text/normalize.h"
#include "model/text/pretokenize.h"
#include "model/text/special_tokens.h"
#include "model/text/tokenizer.h"

typedef enum fr_token_kind {
    FR_TOKEN_MISSING, /* no entry has this id: it becomes UNUSED */
    FR_TOKEN_NORMAL,  /* of the model itself */
    FR_TOKEN_SPECIAL, /* control: its text is not mapped; found only on request */
    FR_TOKEN_UNUSED,  /* fills up the vocabulary: never found, decodes to nothing */
    FR_TOKEN_ADDED,   /* added or user defined, not special: always found */
    FR_TOKEN_BYTE     /* one byte, written <0x0A>; the model uses it for characters that
                         have no token */
} fr_token_kind;

/** How a piece of text becomes ids. All but BYTE_BPE read a piece as characters. */
typedef enum fr_token_model {
    FR_MODEL_BYTE_BPE, /* merges over bytes; texts are in the characters of byte_table.h */
    FR_MODEL_CHAR_BPE, /* merges over characters of the text, by rank */
    FR_MODEL_SPM,      /* SentencePiece's BPE: merges by the score of their result */
    FR_MODEL_UNIGRAM   /* the tokens with the highest sum of scores */
} fr_token_model;

/** What decoding takes from the beginning of a text, where encoding put a space in front. */
typedef enum fr_lead {
    FR_LEAD_KEEP,  /* nothing */
    FR_LEAD_SPACE, /* one space */
    FR_LEAD_TOKEN  /* all spaces of the first token */
} fr_lead;

/** The merge of two tokens, as written in the file. */
typedef struct fr_merge_text {
    fr_text left;
    fr_text right;
} fr_merge_text;

/** The contents of a file, not yet checked as a whole. Texts are views; their memory must outlive the draft. */
typedef struct fr_token_draft {
    const char *path; /* borrowed, for messages */
    fr_token_model model;
    int64_t n_tokens;
    fr_text *texts; /* owned, [n_tokens], as written */
    uint8_t *kinds; /* owned, [n_tokens], fr_token_kind */
    uint8_t *late;  /* owned, [n_tokens], 1: searched in the second pass; NULL: none */
    uint8_t *how;   /* owned, [n_tokens], FR_SPECIAL_*, of added tokens; NULL: 0 */
    double *scores; /* owned, [n_tokens]; of SPM and UNIGRAM, else NULL */
    int64_t n_merges;
    fr_merge_text *merges; /* owned, [n_merges] in rank order; of the two BPE models */
    fr_normalizer *normalizer; /* owned, until the tokenizer takes it; NULL: none */
    fr_splitter *splitter;     /* likewise; NULL: a text is one piece */
    int64_t unknown; /* id for characters without a token; -1: they are an error */
    bool
        byte_fallback; /* such a character becomes the BYTE tokens of its bytes, if all of
                           them are there */
    bool fuse_unknown;  /* neighbours that are unknown become one id */
    bool ignore_merges; /* a piece that is a token is not merged */
    bool single_sums;   /* UNIGRAM: sums of scores are rounded to 32 bits, as
                           SentencePiece does; else 64 bits */
    bool marks_spaces;  /* U+2581 in a token decodes to a space */
    bool late_plain; /* texts of the second pass are written as they stand in normalized
                        text; else they are normalized, too */
    fr_lead lead;
    int64_t
        bos; /* as the file says, unchecked; -1: not named. Read only with add_bos */
    bool add_bos;
    char *chat_template; /* owned; NULL: none */
    fr_text bos_token;   /* as a chat template sees them; data NULL: not named */
    fr_text eos_token;
} fr_token_draft;

/** What SentencePiece does to spaces, in this order. */
typedef struct fr_spaces {
    fr_text charsmap;  /* SentencePiece's table of characters; 0 bytes: none */
    bool remove_extra; /* spaces at the ends, and all but one of several */
    bool escape;       /* a space is written as U+2581 */
    bool add_prefix;   /* one more in front of each text */
} fr_spaces;

/** Sets the draft's normalizer, and what decoding does to spaces. FR_ERR_FORMAT: a damaged table. */
FR_MUST_CHECK fr_status fr_spaces_normalizer(fr_ctx *ctx, const fr_spaces *spaces,
                                             fr_token_draft *draft);

void fr_token_draft_fini(fr_token_draft *draft);

/** Checks a draft and builds its tokenizer. @return FR_OK; FR_ERR_FORMAT; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_tokenizer_build(fr_ctx *ctx, fr_token_draft *draft,
                                           fr_tokenizer **out);

/** Writes the text of a token, which is never longer than in the file; returns its bytes. BYTE_BPE: the bytes that the
 * characters of a normal token stand for, or these characters if one of them stands for none.
 * @param decoded  as it decodes: the byte of a BYTE token, spaces for their marks; else as it stands in a piece */
size_t fr_token_text_write(const fr_token_draft *draft, int64_t id, bool decoded,
                           char *out);

/** Opens the draft's chat template. One that cannot be used is not a failure (chat.h). */
FR_MUST_CHECK fr_status fr_tokenizer_build_chat(fr_ctx *ctx,
                                                const fr_token_draft *draft,
                                                fr_tokenizer *made);

/** A token as it decodes. */
typedef struct fr_token {
    const char *text; /* into fr_tokenizer.arena */
    int32_t bytes;
    uint8_t kind;
    bool late;
    uint8_t how; /* FR_SPECIAL_* */
} fr_token;

/** Special and added tokens are searched in two passes, as in Hugging Face's tokenizers: those with "normalized" come second,
 * in the text that the first pass left. Each pass has two sets: with and without special tokens. */
enum { FR_N_PASSES = 2, FR_N_PARSED = 2 };

/** How a piece becomes ids (tokenizer_pieces.h). */
typedef struct fr_pieces fr_pieces;

struct fr_tokenizer {
    int64_t n_tokens;
    fr_token *tokens;
    char *arena;
    fr_specials *found[FR_N_PASSES][FR_N_PARSED]; /* [pass][1: special ones too] */
    fr_normalizer *normalizer;                    /* NULL: none */
    fr_splitter *splitter;                        /* NULL: a text is one piece */
    fr_pieces *pieces;
    fr_lead lead;
    int32_t eos;
    int32_t leading_bos;
    fr_chat *chat;
    uint8_t digest[FR_DIGEST_BYTES];
    uint8_t vocabulary_digest[FR_DIGEST_BYTES];
};

#endif
