/*
 * store.h - a block of bytes that grows and may be larger than memory: its pages lie in a file without a name.
 *
 * The system writes pages out when memory is needed, and nothing is left behind by a process that is killed. Without a folder,
 * or where its disk has no space, the block lies in memory alone.
 */
#ifndef FR_BASE_STORE_H
#define FR_BASE_STORE_H

#include "base/ctx.h"

#include <stddef.h>
#include <stdint.h>

/** Zero-initialise except for `folder`; release with fr_store_close. */
typedef struct fr_store {
    const char *folder; /* borrowed; NULL: in memory */
    uint8_t *data;      /* NULL: empty; moves when the store grows */
    size_t bytes;       /* that may be used */
    int file;           /* + 1; 0: in memory */
} fr_store;

/** Make at least `bytes` usable; new ones are zero. @return FR_OK; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_store_grow(fr_ctx *ctx, fr_store *store, size_t bytes);
/** Keeps `folder`. */
void fr_store_close(fr_store *store);

#endif
