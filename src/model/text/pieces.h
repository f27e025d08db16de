/*
 * pieces.h - turns a piece of text into ids: the models of tokenizers, each built once and then immutable.
 *
 * All but BYTE_BPE read a piece as characters. A character without a token becomes the tokens of its bytes (byte_fallback, if
 * all of them are there), else the unknown token, else it is an error. Bytes outside well-formed UTF-8 are such characters,
 * each byte by itself.
 */
#ifndef FR_MODEL_TEXT_PIECES_H
#define FR_MODEL_TEXT_PIECES_H

#include "base/text.h"
#include "model/text/bpe.h"
#include "model/text/tokenizer.h"

typedef enum fr_token_model {
    FR_MODEL_BYTE_BPE, /* merges over bytes; texts are in the characters of byte_table.h */
    FR_MODEL_CHAR_BPE, /* merges over characters of the text, by rank */
    FR_MODEL_SPM,      /* SentencePiece's BPE: merges by the score of their result */
    FR_MODEL_UNIGRAM   /* the tokens with the highest sum of scores */
} fr_token_model;

typedef struct fr_pieces fr_pieces;

#endif
