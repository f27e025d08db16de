/*
 * tokenizer_pieces.h - turns a piece of text into ids, by the model of the tokenizer (fr_token_model). Private to tokenizer*.c.
 *
 * A character without a token becomes the tokens of its bytes (byte_fallback, if all of them are there), else the unknown token,
 * else it is an error. A byte outside well-formed UTF-8 is such a character by itself.
 */
#ifndef FR_MODEL_TEXT_TOKENIZER_PIECES_H
#define FR_MODEL_TEXT_TOKENIZER_PIECES_H

#include "model/text/bpe.h"
#include "model/text/tokenizer_impl.h"
#include "model/text/unigram.h"

enum {
    FR_N_BYTES = 256,
    FR_N_CODES = 0x110000,
    FR_PAGE_CODES = 256, /* code points that share a page of fr_pieces.characters */
    /* bytes of a token that SPM or UNIGRAM may choose; some 16 characters are usual */
    FR_MAX_CHARACTER_TOKEN = 512
};

/** Two tokens; left -1: none. */
typedef struct fr_halves {
    int32_t left;
    int32_t right;
} fr_halves;

/** Immutable. Ids from n_tokens on are characters that occur within tokens but are none themselves: SPM merges them all the
 * same, as SentencePiece merges texts and not ids. */
struct fr_pieces {
    fr_token_model model;
    bool byte_fallback;
    bool fuse_unknown;
    bool ignore_merges;
    int32_t unknown; /* -1: none */
    int32_t n_tokens;
    int32_t bytes[FR_N_BYTES]; /* tokens of single bytes; -1: none */
    int32_t **characters; /* [FR_N_CODES / FR_PAGE_CODES][FR_PAGE_CODES]: id + 1; 0: no
                             token; NULL: a page without tokens. Of CHAR_BPE and SPM */
    int32_t n_parts;
    uint32_t *parts; /* [n_parts]: code points of the ids from n_tokens on */
    fr_halves
        *halves; /* [n_tokens]: what an unused token of SPM comes apart into; NULL:
                          no token does */
    fr_text_map whole;   /* tokens by their text; only with ignore_merges */
    char *texts;         /* of `whole` */
    fr_bpe *bpe;         /* NULL for UNIGRAM */
    fr_unigram *unigram; /* else NULL */
};

/** Reads the draft, which must be checked; `map` has the ids of all texts that merges may name. The draft may go afterwards.
 * @return FR_OK; FR_ERR_FORMAT; FR_ERR_UNSUPPORTED; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_pieces_create(fr_ctx *ctx, const fr_token_draft *draft,
                                         const fr_text_map *map, fr_pieces **out);
void fr_pieces_destroy(fr_pieces **pieces);

/** The token that is one character; -1: none. */
int32_t fr_pieces_character(const fr_pieces *pieces, uint32_t code);
FR_MUST_CHECK fr_status fr_pieces_set_character(fr_ctx *ctx, fr_pieces *pieces,
                                                uint32_t code, int32_t id);

/** The part of fr_pieces_create for SPM (tokenizer_spm.c): parts, halves and merges; `characters` has the tokens that are one
 * character. */
FR_MUST_CHECK fr_status fr_pieces_create_spm(fr_ctx *ctx, const fr_token_draft *draft,
                                             const fr_text_map *map, fr_pieces *made);

/** Whether SPM may merge to this token. An unused one comes apart afterwards. */
bool fr_pieces_is_spm_token(const fr_token_draft *draft, int64_t id);

/** The byte that "<0x0A>" stands for; -1: the text has another form. */
int fr_byte_token(fr_text text);

/** Working memory that calls reuse. Zero-initialise it; release it with fr_pieces_scratch_fini. */
typedef struct fr_pieces_scratch {
    fr_bpe_scratch bpe;
    fr_unigram_scratch unigram;
} fr_pieces_scratch;

void fr_pieces_scratch_fini(fr_pieces_scratch *scratch);

/** Appends the ids of a piece.
 * @return FR_OK; FR_ERR_DATA: a character or byte has no token (it is named), or the piece is too long */
FR_MUST_CHECK fr_status fr_pieces_encode(fr_ctx *ctx, const fr_pieces *pieces,
                                         fr_pieces_scratch *scratch, fr_text piece,
                                         fr_ids *ids);

#endif
