/*
 * written.h - texts that the model reads, as people write them in configs and on the command line.
 *
 * In a written text \n, \t and \\ stand for a newline, a tab and a backslash; a backslash before anything else stands for
 * itself. In a written template {source} and {target} are the fields of a row, and any other {name} (a letter or _, then
 * letters, digits, _ and -) is a mistake. Braces right around a name are doubled where they are text: {{name}} is the text
 * {name}, and {{{source}}} is the field in braces. All other braces stand for themselves. Struct fields, checkpoints and
 * caches hold the texts that these functions return; nobody reads such a text a second time.
 */
#ifndef FR_TRAIN_CONFIG_WRITTEN_H
#define FR_TRAIN_CONFIG_WRITTEN_H

#include "base/ctx.h"

/** Read a written text; the caller frees *out. */
FR_MUST_CHECK fr_status fr_written_read(fr_ctx *ctx, const char *written, char **out);

/** Read a written template into what fr_template_parse takes; the caller frees *out. FR_ERR_CONFIG beginning with
 * `where`: a name that is not a field, a field with blanks or with doubled braces. The presence of {target} is not checked. */
FR_MUST_CHECK fr_status fr_written_read_template(fr_ctx *ctx, const char *where,
                                                 const char *written, char **out);

/** The inverse: write `text` so that reading returns it; newlines and tabs stay as they are. The caller frees *out. */
FR_MUST_CHECK fr_status fr_written_write(fr_ctx *ctx, const char *text, char **out);
FR_MUST_CHECK fr_status fr_written_write_template(fr_ctx *ctx, const char *text,
                                                  char **out);

#endif
