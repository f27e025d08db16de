/*
 * jinja.h - the template language Jinja, as chat templates use it: a template is parsed once and rendered any number of times.
 *
 * Templates are untrusted input. A template sees the variables and the time that it is given and nothing else (no file, no
 * environment, no clock), and parsing and rendering end within the limits below, whatever it contains.
 *
 * The meaning is that of Python's jinja2 as transformers sets it up: a sandbox with immutable values, trim_blocks and
 * lstrip_blocks on, keep_trailing_newline off, no escaping, the plain Undefined, break and continue, the `generation` block,
 * `tojson` as json.dumps(ensure_ascii=False). The output is what jinja2 writes, or the template is refused with the line and
 * the name of what is not supported. A branch that is not taken may use anything that can be parsed: filters, methods and
 * functions are looked up only when they are evaluated.
 */
#ifndef FR_MODEL_JINJA_JINJA_H
#define FR_MODEL_JINJA_JINJA_H

#include "base/ctx.h"
#include "base/text.h"

#include <jansson.h>
#include <stdint.h>
#include <time.h>

/** Limits of a template and of one rendering: many times what known templates need (some KiB of source, some thousand
 * steps), and little enough that the worst template ends within a second or two and the stack holds the deepest. */
enum {
    FR_JINJA_MAX_SOURCE = 1 << 20, /* bytes of a template */
    FR_JINJA_MAX_TREE = 16 << 20,  /* bytes of the parsed tree */
    FR_JINJA_MAX_NESTING = 100,    /* brackets, tags */
    FR_JINJA_MAX_MEMORY =
        16 << 20, /* bytes of the values that a rendering makes, with the output */
    FR_JINJA_MAX_STEPS = 2000000, /* evaluated nodes; scanning 64 bytes counts as one */
    FR_JINJA_MAX_DEPTH = 400      /* nested evaluations, through macros as well */
};

typedef struct fr_jinja fr_jinja;

/**
 * Parses a template. The text is copied.
 * @return FR_OK; FR_ERR_UNSUPPORTED naming the line: a syntax error, an unknown statement, or beyond the limits;
 *         FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_jinja_parse(fr_ctx *ctx, const char *text, size_t bytes,
                                       fr_jinja **out);
void fr_jinja_destroy(fr_jinja **jinja);

/** What a template sees. */
typedef struct fr_jinja_given {
    /* an object; its members are the variables, null is None. A name that is missing is undefined */
    json_t *variables;
    /* the time that strftime_now tells, as gmtime fills it; NULL: a template that asks for it is refused */
    const struct tm *clock;
    /* steps that several renderings may take together, each at most FR_JINJA_MAX_STEPS; those that are taken are
     * subtracted. NULL: this rendering stands alone */
    int64_t *steps_left;
} fr_jinja_given;

typedef struct fr_jinja_rendered {
    char *text;   /* NUL-terminated */
    size_t bytes; /* a template may write NUL characters */
    /* what each `generation` block wrote, in the order of the text */
    fr_text_span *generated;
    int64_t n_generated;
    /* a `generation` block stands in a macro or in another captured text, so that it is not known where its text lies */
    bool has_lost_marks;
} fr_jinja_rendered;

/**
 * Renders a template.
 * @param[out] out  release with fr_jinja_rendered_fini; empty on failure
 * @return FR_OK; FR_ERR_UNSUPPORTED naming line and construct: what jinja2 would raise, what is not supported,
 *         the time where none is given, or beyond the limits; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_jinja_render(fr_ctx *ctx, const fr_jinja *jinja,
                                        const fr_jinja_given *given,
                                        fr_jinja_rendered *out);
void fr_jinja_rendered_fini(fr_jinja_rendered *rendered);

#endif
