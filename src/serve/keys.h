/*
 * keys.h - the keys that let a client in: one on each line of a file.
 */
#ifndef FR_SERVE_KEYS_H
#define FR_SERVE_KEYS_H

#include "base/ctx.h"

typedef struct fr_keys fr_keys;

/**
 * Read a file of keys. Only their digests are kept. Empty lines are left out; white space around a key is not part of it.
 * @return FR_OK; FR_ERR_DATA (the file cannot be read); FR_ERR_ARG (it holds no key, or too many, or others may read it)
 */
FR_MUST_CHECK fr_status fr_keys_read(fr_ctx *ctx, const char *path, fr_keys **out);
void fr_keys_destroy(fr_keys **keys);

/** Whether the value of a header "Authorization" is "Bearer KEY" with one of the keys. The time does not depend on how much of a
 * key is right. NULL keys let everybody in; a NULL header has no key. */
bool fr_keys_fit(const fr_keys *keys, const char *authorization);

#endif
