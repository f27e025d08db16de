/* A protocol buffer is a list of fields: a number and a kind in one varint, then a varint, 4 or 8 bytes, or a length and bytes.
 * A message within a message is such bytes. Every length is checked against what is left, so reading never leaves the file; it
 * takes two walks, the first of which counts the pieces. */
#include "model/text/sentencepiece.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The kinds of fields that are in use. */
enum { VARINT = 0, EIGHT_BYTES = 1, BYTES = 2, FOUR_BYTES = 5 };

/* Several times what any known model has. */
enum { MAX_PIECES = 1 << 20 };

typedef struct field {
    uint64_t number;
    int kind;
    uint64_t value; /* of VARINT, EIGHT_BYTES, FOUR_BYTES */
    fr_text bytes;  /* of BYTES */
} field;

/* False: the text ends first, or the number has more than 64 bits. */
static bool next_varint(fr_text *rest, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && rest->bytes > 0; shift += 7) {
        uint64_t byte = (unsigned char)*rest->data++;
        rest->bytes--;
        *out |= (byte & 0x7F) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

static bool next_fixed(fr_text *rest, size_t bytes, uint64_t *out)
{
    *out = 0;
    if (rest->bytes < bytes) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        *out |= (uint64_t)(unsigned char)rest->data[i] << (8 * i);
    }
    rest->data += bytes;
    rest->bytes -= bytes;
    return true;
}

static bool next_field(fr_text *rest, field *out)
{
    uint64_t key = 0;
    uint64_t length = 0;
    if (!next_varint(rest, &key)) {
        return false;
    }
    out->number = key >> 3;
    out->kind = (int)(key & 7);
    out->bytes = (fr_text){"", 0};
    out->value = 0;
    switch (out->kind) {
    case VARINT:
        return next_varint(rest, &out->value);
    case EIGHT_BYTES:
        return next_fixed(rest, 8, &out->value);
    case FOUR_BYTES:
        return next_fixed(rest, 4, &out->value);
    case BYTES:
        if (!next_varint(rest, &length) || length > rest->bytes) {
            return false;
        }
        out->bytes = (fr_text){rest->data, (size_t)length};
        rest->data += length;
        rest->bytes -= (size_t)length;
        return true;
    default:
        return false;
    }
}

static bool read_piece(fr_text message, fr_sentence_piece *out)
{
    enum { TEXT = 1, SCORE = 2, TYPE = 3 };
    field f;
    *out = (fr_sentence_piece){{"", 0}, 0.0F, FR_PIECE_NORMAL};
    while (message.bytes > 0) {
        if (!next_field(&message, &f)) {
            return false;
        }
        if (f.number == TEXT && f.kind == BYTES) {
            out->text = f.bytes;
        } else if (f.number == SCORE && f.kind == FOUR_BYTES) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&out->score, &bits, sizeof bits);
        } else if (f.number == TYPE && f.kind == VARINT) {
            out->type = f.value <= FR_PIECE_BYTE ? (uint8_t)f.value : 0;
        }
    }
    return out->type != 0;
}

/* A negative id is written as its 64 bits. */
static int64_t id_of(uint64_t value)
{
    return value <= INT32_MAX ? (int64_t)value : -1;
}

static bool read_training(fr_text message, fr_sentencepiece *out)
{
    enum { MODEL = 3, SUFFIX = 24, BYTE_FALLBACK = 35, BOS = 41, EOS = 42 };
    field f;
    while (message.bytes > 0) {
        if (!next_field(&message, &f)) {
            return false;
        }
        if (f.kind != VARINT) {
            continue;
        }
        switch (f.number) {
        case MODEL:
            out->model = f.value <= INT32_MAX ? (int64_t)f.value : 0;
            break;
        case SUFFIX:
            out->suffix = f.value != 0;
            break;
        case BYTE_FALLBACK:
            out->byte_fallback = f.value != 0;
            break;
        case BOS:
            out->bos = id_of(f.value);
            break;
        case EOS:
            out->eos = id_of(f.value);
            break;
        default:
            break;
        }
    }
    return true;
}

/* The settings of normalization; those of decoded texts have the same form. */
static bool read_normalization(fr_text message, fr_sentencepiece *out,
                               fr_text *charsmap)
{
    enum { CHARSMAP = 2, ADD_PREFIX = 3, REMOVE_EXTRA = 4, ESCAPE = 5 };
    field f;
    while (message.bytes > 0) {
        if (!next_field(&message, &f)) {
            return false;
        }
        if (f.number == CHARSMAP && f.kind == BYTES) {
            *charsmap = f.bytes;
        } else if (f.number == ADD_PREFIX && f.kind == VARINT) {
            out->add_prefix = f.value != 0;
        } else if (f.number == REMOVE_EXTRA && f.kind == VARINT) {
            out->remove_extra = f.value != 0;
        } else if (f.number == ESCAPE && f.kind == VARINT) {
            out->escape = f.value != 0;
        }
    }
    return true;
}

/* One of the file's own fields. Where `out` has no pieces yet, they are only counted. */
static bool read_field(const field *f, fr_sentencepiece *out)
{
    enum { PIECE = 1, TRAINING = 2, NORMALIZATION = 3, DENORMALIZATION = 5 };
    if (f->kind != BYTES) {
        return true;
    }
    switch (f->number) {
    case PIECE:
        return (out->pieces == NULL || read_piece(f->bytes, &out->pieces[out->n])) &&
               ++out->n <= MAX_PIECES;
    case TRAINING:
        return read_training(f->bytes, out);
    case NORMALIZATION:
        return read_normalization(f->bytes, out, &out->charsmap);
    case DENORMALIZATION: {
        fr_sentencepiece other;
        return read_normalization(f->bytes, &other, &out->decoding);
    }
    default:
        return true;
    }
}

static bool walk(fr_text data, fr_sentencepiece *out)
{
    field f;
    out->n = 0;
    while (data.bytes > 0) {
        if (!next_field(&data, &f) || !read_field(&f, out)) {
            return false;
        }
    }
    return out->n > 0;
}

fr_status fr_sentencepiece_read(fr_ctx *ctx, const char *path, fr_text data,
                                fr_sentencepiece *out)
{
    *out = (fr_sentencepiece){.model = FR_PIECES_UNIGRAM,
                              .bos = 1,
                              .eos = 2,
                              .add_prefix = true,
                              .remove_extra = true,
                              .escape = true,
                              .charsmap = {"", 0},
                              .decoding = {"", 0}};
    bool whole = walk(data, out);
    if (whole) {
        FR_TRY(fr_alloc(ctx, out->n, sizeof *out->pieces, &out->pieces));
        whole = walk(data, out);
    }
    if (!whole) {
        fr_sentencepiece_fini(out);
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s is damaged: it is not a whole SentencePiece model with 1 to "
                       "%d pieces; get the file again",
                       path, MAX_PIECES);
    }
    return FR_OK;
}

void fr_sentencepiece_fini(fr_sentencepiece *model)
{
    free(model->pieces);
    *model = (fr_sentencepiece){0};
}
