/*
 * gguf_keys.h - settings of a GGUF file, whose keys start with the architecture's name.
 *
 * A reader leaves *out as it is where the key is absent and not required. A value of another type gives FR_ERR_FORMAT.
 */
#ifndef FR_MODEL_FAMILIES_GGUF_KEYS_H
#define FR_MODEL_FAMILIES_GGUF_KEYS_H

#include "model/families/family.h"

/* Names of architectures that are taken stay below 20 bytes, and keys below 50. */
enum { FR_GGUF_KEY_BYTES = 96 };

/** "llama.block_count" from "block_count". */
typedef struct fr_gguf_key {
    char text[FR_GGUF_KEY_BYTES];
} fr_gguf_key;
fr_gguf_key fr_gguf_key_of(const char *architecture, const char *name);

/** A file, and the name that its keys start with. */
typedef struct fr_gguf_fields {
    fr_ctx *ctx;
    const fr_gguf *gguf;
    const char *architecture;
} fr_gguf_fields;

bool fr_gguf_has(const fr_gguf_fields *fields, const char *name);
FR_MUST_CHECK fr_status fr_gguf_count(const fr_gguf_fields *fields, const char *name,
                                      bool required, int64_t *out);
FR_MUST_CHECK fr_status fr_gguf_real(const fr_gguf_fields *fields, const char *name,
                                     bool required, double *out);
FR_MUST_CHECK fr_status fr_gguf_flag(const fr_gguf_fields *fields, const char *name,
                                     bool required, bool *out);

#endif
