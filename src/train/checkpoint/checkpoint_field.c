/*
 * One attribute of a checkpoint: what its table allows, and between the text of the index and the member of a struct.
 *
 * The tables in checkpoint.c give kind, offset and limits; no function here knows an attribute by name. fr_field_parse
 * reads one value from the index and then checks its limits with fr_field_allows. The writer and the reader of format 1
 * call that check too, so that all three accept the same values.
 *
 * Each value has exactly one text: real numbers and digests are printed again and compared with what was read. Without
 * this, two files of equal content could differ in their bytes, and strtod would accept texts such as 0x1p3 or nan(1).
 *
 * A value that is not allowed is not a failure here: `what` then says why, and the caller adds the file and the place.
 * The status reports other failures only, such as lack of memory.
 */
#include "train/checkpoint/checkpoint_impl.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Infinity stands for none, as for a loss that was not measured; NaN and -infinity are never written. The other kinds
 * have no limits beyond what their parser accepts. */
bool fr_field_allows(const fr_field *field, const void *owner,
                     char what[FR_FIELD_BYTES])
{
    const char *member = (const char *)owner + field->offset;
    int64_t integer = 0;
    double real = 0;
    what[0] = '\0';
    if (field->kind == FR_FIELD_I64) {
        memcpy(&integer, member, sizeof integer);
        if (integer < field->min || integer > field->max) {
            (void)snprintf(what, FR_FIELD_BYTES, "is %lld, must be %lld to %lld",
                           (long long)integer, (long long)field->min,
                           (long long)field->max);
        }
    } else if (field->kind == FR_FIELD_F64) {
        memcpy(&real, member, sizeof real);
        if (isnan(real) || (isinf(real) && real < 0)) {
            (void)snprintf(what, FR_FIELD_BYTES,
                           "is %f, must be a number, or infinite for none", real);
        }
    }
    return what[0] == '\0';
}

/* 17 digits determine a double. The program keeps the locale C, so the decimal point is a point. */
void fr_field_print_real(double value, char out[FR_REAL_BYTES])
{
    (void)snprintf(out, FR_REAL_BYTES, "%.17g", value);
}

/* Only the text that fr_field_print_real prints is accepted, so that each number has one text. */
static bool parse_real(fr_json value, double *out)
{
    char text[FR_REAL_BYTES];
    char again[FR_REAL_BYTES];
    if (value.bytes > sizeof text || !fr_json_text(value, text)) {
        return false;
    }
    *out = strtod(text, NULL);
    fr_field_print_real(*out, again);
    return strcmp(text, again) == 0;
}

static bool parse_truth(fr_json value, bool *out)
{
    int64_t number = 0;
    bool good = fr_json_i64(value, &number) && (number == 0 || number == 1);
    *out = number == 1;
    return good;
}

/* A text of another length leaves `out` as it was; its hex form then cannot equal the text. */
static bool parse_digest(fr_json value, uint8_t out[FR_DIGEST_BYTES])
{
    char text[FR_DIGEST_HEX + 1];
    char again[FR_DIGEST_HEX];
    if (value.bytes > sizeof text || !fr_json_text(value, text)) {
        return false;
    }
    for (size_t i = 0; i < FR_DIGEST_BYTES && strlen(text) == FR_DIGEST_HEX - 1; i++) {
        const char pair[] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    fr_digest_hex(out, again);
    return strcmp(text, again) == 0;
}

/* The raw JSON is at least as long as the text, so its length is enough memory. The owner frees the text. */
static fr_status parse_text(fr_ctx *ctx, fr_json value, char **out, bool *good)
{
    char *text = NULL;
    FR_TRY(fr_alloc_large(ctx, (int64_t)value.bytes + 1, &text));
    *good = fr_json_text(value, text);
    if (!*good) {
        free(text);
        text = NULL;
    }
    *out = text;
    return FR_OK;
}

fr_status fr_field_parse(fr_ctx *ctx, const fr_field *field, fr_json value, void *owner,
                         char what[FR_FIELD_BYTES])
{
    static const char *const KINDS[] = {
        [FR_FIELD_I64] = "is not a whole number",
        [FR_FIELD_U64] = "is not a whole number from 0 to 2^64 - 1",
        [FR_FIELD_F64] = "is not a real number in quotes",
        [FR_FIELD_BOOL] = "is neither 0 nor 1",
        [FR_FIELD_TEXT] = "is not a text",
        [FR_FIELD_DIGEST] = "is not a digest of 64 digits"};
    void *member = (char *)owner + field->offset;
    bool good = false;
    fr_status status = FR_OK;
    switch (field->kind) {
    case FR_FIELD_I64:
        good = fr_json_i64(value, member);
        break;
    case FR_FIELD_U64:
        good = fr_json_u64(value, member);
        break;
    case FR_FIELD_F64:
        good = parse_real(value, member);
        break;
    case FR_FIELD_BOOL:
        good = parse_truth(value, member);
        break;
    case FR_FIELD_TEXT:
        status = parse_text(ctx, value, member, &good);
        break;
    case FR_FIELD_DIGEST:
    default:
        good = parse_digest(value, member);
        break;
    }
    what[0] = '\0';
    if (!good) {
        (void)snprintf(what, FR_FIELD_BYTES, "%s", KINDS[field->kind]);
    } else {
        (void)fr_field_allows(field, owner, what);
    }
    return status;
}
