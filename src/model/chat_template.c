#define _GNU_SOURCE /* memmem, memrchr */
#include "model/chat_template.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Stands in the written text for what only running the template can tell. */
enum { UNKNOWN = '\x01' };

/* What a template writes, all branches one after the other. */
typedef struct writer {
    const char *at;
    char *
        out; /* room for the whole template: nothing written is longer than its source */
    size_t n;
} writer;

static bool begins(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

static void put(writer *w, char character)
{
    w->out[w->n++] = character;
}

static bool is_space(char character)
{
    return isspace((unsigned char)character) != 0;
}

/* The string literal at w->at, with the escapes that templates use. */
static void write_literal(writer *w)
{
    char quote = *w->at++;
    while (*w->at != '\0' && *w->at != quote) {
        char character = *w->at++;
        if (character == '\\' && *w->at != '\0') {
            character = *w->at++;
            character = character == 'n' ? '\n' : character == 't' ? '\t' : character;
        }
        put(w, character);
    }
    w->at += *w->at == quote;
}

/* A "{{ ... }}": literals joined by + are written, all else is unknown. */
static void write_expression(writer *w)
{
    while (*w->at != '\0' && !begins(w->at, "}}") && !begins(w->at, "-}}")) {
        if (*w->at == '\'' || *w->at == '"') {
            write_literal(w);
            continue;
        }
        if (!is_space(*w->at) && *w->at != '+') {
            put(w, UNKNOWN);
        }
        w->at++;
    }
}

/* A "{% ... %}" or "{# ... #}" writes nothing itself, but decides what is written next to it. */
static void skip_statement(writer *w, char kind)
{
    while (*w->at != '\0' && !(w->at[0] == kind && w->at[1] == '}') &&
           !(w->at[0] == '-' && w->at[1] == kind && w->at[2] == '}')) {
        w->at++;
    }
    if (kind == '%') {
        put(w, UNKNOWN);
    }
}

/* From the opening brace to behind the closing one. A '-' inside either takes the white space of the plain
 * text next to it away. */
static void write_tag(writer *w, size_t *plain)
{
    char kind = w->at[1];
    w->at += 2;
    if (*w->at == '-') {
        w->at++;
        while (w->n > *plain && is_space(w->out[w->n - 1])) {
            w->n--;
        }
    }
    if (kind == '{') {
        write_expression(w);
    } else {
        skip_statement(w, kind);
    }
    bool trims = *w->at == '-';
    for (int i = 0; i < 2 + trims && *w->at != '\0'; i++) {
        w->at++;
    }
    while (trims && is_space(*w->at)) {
        w->at++;
    }
    *plain = w->n;
}

static void write_all(writer *w)
{
    size_t plain = 0; /* where the plain text since the last tag begins */
    while (*w->at != '\0') {
        if (begins(w->at, "{{") || begins(w->at, "{%") || begins(w->at, "{#")) {
            write_tag(w, &plain);
        } else {
            put(w, *w->at++);
        }
    }
    put(w, '\0');
}

/* The first constant system message in what is written; it is cut out in place. Each end marker is looked at once, with
 * the openings between the one before it, or what is not constant, and it. */
static char *find_system(char *written)
{
    static const char OPENING[] = FR_CHATML_START "system\n";
    char *from = written;
    for (char *end; (end = strstr(from, FR_CHATML_END)) != NULL;
         from = end + sizeof FR_CHATML_END - 1) {
        char *unknown = memrchr(from, UNKNOWN, (size_t)(end - from));
        from = unknown != NULL ? unknown + 1 : from;
        char *opening = memmem(from, (size_t)(end - from), OPENING, sizeof OPENING - 1);
        if (opening != NULL) {
            *end = '\0';
            return opening + sizeof OPENING - 1;
        }
    }
    return NULL;
}

static fr_status find_default_system(fr_ctx *ctx, const char *text, char **out)
{
    char *written = NULL;
    FR_TRY(fr_alloc(ctx, (int64_t)strlen(text) + 1, 1, &written));
    writer w = {text, written, 0};
    write_all(&w);
    char *found = find_system(written);
    fr_status status = found != NULL ? fr_copy_string(ctx, found, out) : FR_OK;
    free(written);
    return status;
}

fr_status fr_template_read(fr_ctx *ctx, const char *text, fr_chat_frame *out)
{
    *out = (fr_chat_frame){.start = -1, .end = -1};
    out->is_chatml = text != NULL && strstr(text, FR_CHATML_START) != NULL &&
                     strstr(text, FR_CHATML_END) != NULL;
    return out->is_chatml ? find_default_system(ctx, text, &out->default_system)
                          : FR_OK;
}
