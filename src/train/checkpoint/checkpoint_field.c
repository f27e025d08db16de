#include "train/checkpoint/checkpoint_impl.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
