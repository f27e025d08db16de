/*
 * written.h - texts that the model reads, as people write them in configs and on the command line.
 *
 * Layer L4; uses base. In a written text \n, \t and \\ stand for a newline, a tab and a backslash; a backslash before
 * anything else is itself. In a written template {source} and {target} are places and any other {name} (a letter or _,
 * then letters, digits, _ and -) is a mistake; braces right around a name are doubled where they are text: {{name}}
 * is the text {name}, {{{source}}} the place in braces. All other braces are themselves. Everything behind these
 * functions - struct fields, checkpoints, caches - holds what they give, which is not read a second time.
 */
#ifndef FR_TRAIN_CONFIG_WRITTEN_H
#define FR_TRAIN_CONFIG_WRITTEN_H

#include "base/ctx.h"

/** Read a written text; the caller frees *out. */
FR_MUST_CHECK fr_status fr_written_read(fr_ctx *ctx, const char *written, char **out);

/** Read a written template into what fr_template_parse takes; the caller frees *out. FR_ERR_CONFIG beginning with
 * `where`: a name that is no place, a place with blanks or with doubled braces. That {target} is there is not checked. */
FR_MUST_CHECK fr_status fr_written_read_template(fr_ctx *ctx, const char *where,
                                                 const char *written, char **out);

/** The way back: written so that reading gives `text`, a newline and a tab as they are. The caller frees *out. */
FR_MUST_CHECK fr_status fr_written_write(fr_ctx *ctx, const char *text, char **out);
FR_MUST_CHECK fr_status fr_written_write_template(fr_ctx *ctx, const char *text,
                                                  char **out);

#endif
