/*
 * sentencepiece.h - reads SentencePiece's file (tokenizer.model): a protocol buffer, of which a few fields matter.
 *
 * The fields are those of sentencepiece_model.proto: pieces with score and type, and of the settings of training and
 * normalization those that decide how a text is encoded. Other fields are stepped over.
 */
#ifndef FR_MODEL_TEXT_SENTENCEPIECE_H
#define FR_MODEL_TEXT_SENTENCEPIECE_H

#include "base/ctx.h"
#include "base/text.h"

#include <stdint.h>

/** The types of pieces and of models, by their numbers in the file. */
typedef enum fr_piece_type {
    FR_PIECE_NORMAL = 1,
    FR_PIECE_UNKNOWN,
    FR_PIECE_CONTROL,
    FR_PIECE_USER_DEFINED,
    FR_PIECE_UNUSED,
    FR_PIECE_BYTE
} fr_piece_type;

typedef enum fr_piece_model {
    FR_PIECES_UNIGRAM = 1,
    FR_PIECES_BPE,
    FR_PIECES_WORD,
    FR_PIECES_CHAR
} fr_piece_model;

typedef struct fr_sentence_piece {
    fr_text text; /* into the bytes that were read */
    float score;
    uint8_t type;
} fr_sentence_piece;

typedef struct fr_sentencepiece {
    int64_t n;
    fr_sentence_piece *pieces; /* [n], owned */
    int64_t model;             /* fr_piece_model, or another number */
    int64_t bos;               /* -1: none */
    int64_t eos;
    bool byte_fallback;
    bool suffix; /* white space stands behind words */
    bool add_prefix;
    bool remove_extra;
    bool escape;
    fr_text charsmap;
    fr_text decoding; /* a charsmap for decoded texts */
} fr_sentencepiece;

/**
 * @param path  for messages
 * @param data  must outlive `out`
 * @return FR_OK; FR_ERR_FORMAT: damaged; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_sentencepiece_read(fr_ctx *ctx, const char *path,
                                              fr_text data, fr_sentencepiece *out);
void fr_sentencepiece_fini(fr_sentencepiece *model);

#endif
