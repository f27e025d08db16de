/*
 * template.h - the rule for templates, and a template's parts.
 *
 * A template holds {target} once and {source} at most once before it; any other braces are text. written.h makes such a
 * text of what people write and refuses other names there.
 */
#ifndef FR_TRAIN_CONFIG_TEMPLATE_H
#define FR_TRAIN_CONFIG_TEMPLATE_H

#include "base/ctx.h"

/** A template around its two fields; the parts point into the text. */
typedef struct fr_template {
    const char *before; /* before {source} (all before {target} without one) */
    size_t before_bytes;
    bool has_source;
    const char *between; /* between {source} and {target} */
    size_t between_bytes;
    const char *after; /* after {target} */
    size_t after_bytes;
} fr_template;

/** Find the parts of `text`. FR_ERR_CONFIG, opening with `where`, unless it keeps the rule. */
FR_MUST_CHECK fr_status fr_template_parse(fr_ctx *ctx, const char *where,
                                          const char *text, fr_template *out);

#endif
