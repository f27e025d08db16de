/* From a field to text: a value is written so that config_value.c reads it back as the same value. */
#define _POSIX_C_SOURCE 200809L
#include "train/config/config_impl.h"

#include "base/mem.h"
#include "base/print.h"
#include "train/config/written.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int load_choice(const fr_config_key *key, const void *field)
{
    unsigned as_enum = 0;
    bool as_bool = false;
    if (key->bytes == sizeof as_bool) {
        memcpy(&as_bool, field, sizeof as_bool);
        return as_bool;
    }
    memcpy(&as_enum, field, sizeof as_enum);
    return (int)as_enum;
}

/* A number of 0 that is neither allowed nor `auto` means that the key was not given, as with run.steps. */
bool fr_config_has_value(const fr_config_key *key, fr_key_view view)
{
    const char *text = NULL;
    int64_t number = 0;
    const void *field = fr_key_look(view, key);
    if (key->section == FR_SECTION_INIT && view.task->prefix.init != key->init) {
        return false;
    }
    switch (key->type) {
    case FR_KEY_TEXT:
        memcpy(&text, field, sizeof text);
        return text != NULL;
    case FR_KEY_INT:
        memcpy(&number, field, sizeof number);
        return number != 0 || key->automatic || key->low <= 0;
    default:
        return true;
    }
}

/* Printable ASCII and most of Unicode are written as they are, the rest as escapes, so that libyaml reads the same back. */
static void print_quoted(FILE *out, const char *text)
{
    size_t bytes = strlen(text);
    (void)fputc('"', out);
    for (size_t at = 0; at < bytes;) {
        uint32_t code = 0;
        size_t step = fr_utf8_next(text + at, bytes - at, &code);
        step += step == 0; /* set_text lets no broken text in */
        bool odd = (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 ||
                   code == 0xFEFF || code == 0xFFFE || code == 0xFFFF;
        if (code == '\n') {
            (void)fputs("\\n", out);
        } else if (code == '"' || code == '\\') {
            (void)fprintf(out, "\\%c", (int)code);
        } else if (code < ' ' || odd) {
            (void)fprintf(out, "\\U%08lX", (unsigned long)code);
        } else {
            (void)fwrite(text + at, 1, step, out);
        }
        at += step;
    }
    (void)fputc('"', out);
}

/* The shortest decimal that reads back as the same double. */
static void print_real(FILE *out, double value)
{
    char text[64];
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (!(fabs(strtod(text, NULL) - value) > 0.0)) {
            break;
        }
    }
    (void)fputs(text, out);
}

/* A text as read_text takes it. */
static fr_status print_text(fr_ctx *ctx, FILE *out, const fr_config_key *key,
                            const char *text)
{
    char *written = NULL;
    if (key->choices[0] != NULL) {
        (void)fputs(text, out);
        return FR_OK;
    }
    if (key->form == FR_TEXT_TEMPLATE) {
        FR_TRY(fr_written_write_template(ctx, text, &written));
    } else if (key->form == FR_TEXT_PROSE) {
        FR_TRY(fr_written_write(ctx, text, &written));
    }
    print_quoted(out, written != NULL ? written : text);
    free(written);
    return FR_OK;
}

fr_status fr_config_print_value(fr_ctx *ctx, FILE *out, const fr_config_key *key,
                                fr_key_view view)
{
    const void *field = fr_key_look(view, key);
    const char *text = NULL;
    int64_t number = 0;
    switch (key->type) {
    case FR_KEY_TEXT:
        memcpy(&text, field, sizeof text);
        return print_text(ctx, out, key, text);
    case FR_KEY_INT:
        memcpy(&number, field, sizeof number);
        if (number == FR_AUTO && key->automatic) {
            (void)fputs("auto", out);
        } else if (number == FR_NONE && key->no_number) {
            (void)fputs("none", out);
        } else {
            (void)fprintf(out, "%lld", (long long)number);
        }
        break;
    case FR_KEY_SEED:
        if (key->automatic && *(const uint64_t *)field == FR_SEED_AUTO) {
            (void)fputs("auto", out);
        } else {
            (void)fprintf(out, "%llu", (unsigned long long)*(const uint64_t *)field);
        }
        break;
    case FR_KEY_REAL:
        print_real(out, *(const double *)field);
        break;
    case FR_KEY_BOOL:
        (void)fputs(*(const bool *)field ? "true" : "false", out);
        break;
    case FR_KEY_CHOICE:
        (void)fputs(key->choices[load_choice(key, field)], out);
        break;
    case FR_KEY_TRUE:
    default:
        (void)fputs("true", out);
        break;
    }
    return FR_OK;
}

/* Writes to a memory stream fail only for lack of memory, and only the stream's error flag tells. The number of bytes
 * that the message names is then unknown; it says 1. */
fr_status fr_config_end_text(fr_ctx *ctx, FILE *stream, fr_status status, char **out)
{
    enum { AT_MIN = 1 };
    bool failed = ferror(stream) != 0;
    failed = fclose(stream) != 0 || failed;
    if (status == FR_OK) {
        status = fr_check_memory(ctx, !failed, AT_MIN);
    }
    if (status != FR_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

fr_status fr_config_value_text(fr_ctx *ctx, const fr_config_key *key, fr_key_view view,
                               char **out)
{
    size_t bytes = 0;
    *out = NULL;
    FILE *stream = open_memstream(out, &bytes);
    FR_TRY(fr_check_memory(ctx, stream != NULL, sizeof *key));
    fr_status status = FR_OK;
    if (fr_config_has_value(key, view)) {
        status = fr_config_print_value(ctx, stream, key, view);
    } else {
        (void)fputs("(not set)", stream);
    }
    return fr_config_end_text(ctx, stream, status, out);
}
