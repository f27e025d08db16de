/*
 * hf_json.h - JSON files of a Hugging Face folder, and typed access to their fields.
 *
 * A field that is null counts as absent.
 */
#ifndef FR_MODEL_FILES_HF_JSON_H
#define FR_MODEL_FILES_HF_JSON_H

#include "base/ctx.h"

#include <jansson.h>
#include <stdint.h>

/** A JSON object, and what messages about its fields need. */
typedef struct fr_hf_fields {
    fr_ctx *ctx;
    const char *path;
    const json_t *object;
} fr_hf_fields;

/** Parse a file.
 * @return FR_OK; FR_ERR_DATA (missing); FR_ERR_FORMAT (not valid JSON, or a key occurs twice); FR_ERR_UNSUPPORTED (too
 *         large) */
FR_MUST_CHECK fr_status fr_hf_load(fr_ctx *ctx, const char *path, json_t **out);

/** The value of a field; NULL if the field is absent or null. */
const json_t *fr_hf_get(const fr_hf_fields *fields, const char *name);

/* Readers of one field. An absent field leaves *out as it is; a field of another type gives FR_ERR_FORMAT. */

/** Read an integer; an absent one gives FR_ERR_FORMAT if `required`. */
FR_MUST_CHECK fr_status fr_hf_count(const fr_hf_fields *fields, const char *name,
                                    bool required, int64_t *out);
FR_MUST_CHECK fr_status fr_hf_real(const fr_hf_fields *fields, const char *name,
                                   double *out);
FR_MUST_CHECK fr_status fr_hf_flag(const fr_hf_fields *fields, const char *name,
                                   bool *out);
/** Read a string, as a view that lives as long as the object. */
FR_MUST_CHECK fr_status fr_hf_text(const fr_hf_fields *fields, const char *name,
                                   const char **out);

#endif
