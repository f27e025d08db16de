/*
 * json_object.h - a JSON object that users write as a text.
 */
#ifndef FR_BASE_JSON_OBJECT_H
#define FR_BASE_JSON_OBJECT_H

#include "base/ctx.h"

#include <jansson.h>

/** Parses an object, measured before (json_size.h); a key must not occur twice in an object. The caller releases *out.
 * @param where  begins the messages   @return FR_OK; FR_ERR_CONFIG; *out is then NULL */
FR_MUST_CHECK fr_status fr_json_object_read(fr_ctx *ctx, const char *where,
                                            const char *text, json_t **out);

/** The one text of all objects with the same content: sorted, without blanks. The caller frees *out. FR_ERR_NO_MEMORY. */
FR_MUST_CHECK fr_status fr_json_object_write(fr_ctx *ctx, const json_t *object,
                                             char **out);

#endif
