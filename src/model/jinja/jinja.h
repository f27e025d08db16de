/*
 * jinja.h - the template language Jinja, as chat templates use it: parsed once, rendered any number of times.
 *
 * Layer L3; uses base. Written for templates that come from strangers: a template sees the variables that it is given and
 * nothing else (no file, no environment, no clock), and whatever it is, parsing and rendering end within the limits below.
 *
 * The meaning is that of Python's jinja2 as transformers sets it up: a sandbox with immutable values, trim_blocks and
 * lstrip_blocks on, keep_trailing_newline off, no escaping, the plain Undefined, break and continue, the `generation` block,
 * `tojson` as json.dumps(ensure_ascii=False). What is written is what jinja2 writes, or the template is refused by the
 * line and the name of what is not supported. All statements and expressions are parsed, so that a template is not
 * refused for a branch that is not taken.
 */
#ifndef FR_MODEL_JINJA_JINJA_H
#define FR_MODEL_JINJA_JINJA_H

#include "base/ctx.h"

#include <jansson.h>

/** Limits of a template and of one rendering. */
enum {
    FR_JINJA_MAX_SOURCE = 1 << 20, /* bytes of a template */
    FR_JINJA_MAX_TREE = 16 << 20,  /* of what is kept of it */
    FR_JINJA_MAX_NESTING = 100,    /* brackets, tags */
    FR_JINJA_MAX_MEMORY =
        16 << 20, /* bytes of values that a rendering makes, output among them */
    FR_JINJA_MAX_STEPS = 2000000, /* evaluated parts; scanning 64 bytes counts as one */
    FR_JINJA_MAX_DEPTH = 400      /* parts within parts, through macros as well */
};

typedef struct fr_jinja fr_jinja;

/**
 * Parse a template. The text is copied.
 * @return FR_OK; FR_ERR_UNSUPPORTED naming the line: no template, or a statement that is not known, or beyond the limits;
 *         FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_jinja_parse(fr_ctx *ctx, const char *text, size_t bytes,
                                       fr_jinja **out);
void fr_jinja_destroy(fr_jinja **jinja);

/**
 * Render it.
 * @param variables  an object; its members are the variables, null is None. A name that is missing is undefined.
 * @param[out] out   NUL-terminated, the caller frees; its length is `bytes` (a template may write NUL characters)
 * @return FR_OK; FR_ERR_UNSUPPORTED naming line and construct: what jinja2 would raise, what is not supported, what
 *         depends on the clock, or beyond the limits; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_jinja_render(fr_ctx *ctx, const fr_jinja *jinja,
                                        json_t *variables, char **out, size_t *bytes);

#endif
