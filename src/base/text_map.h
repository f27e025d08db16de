/*
 * text_map.h - a hash map of fixed capacity from texts (borrowed) to small numbers.
 *
 * Keys may hold any bytes; they must live as long as the map. The capacity is given once and
 * the map never grows; a lookup costs a constant number of probes on average.
 */
#ifndef FR_BASE_TEXT_MAP_H
#define FR_BASE_TEXT_MAP_H

#include "base/ctx.h"
#include "base/text.h"

#include <stdint.h>

typedef struct fr_text_slot {
    fr_text key; /* data NULL: free */
    uint32_t hash;
    int32_t value;
} fr_text_slot;

typedef struct fr_text_map {
    fr_text_slot *slots;
    uint64_t
        mask; /* slots - 1; slots are a power of two, at least twice the capacity */
    uint64_t seed;
} fr_text_map;

/** A number that differs from call to call. Hash tables start from it: keys come from files, and the author of a file who
 * knew the hash could make all keys collide. Nothing but positions in a table may depend on it. */
uint64_t fr_hash_seed(void);

/** A word mixed with a seed: every bit of both influences every bit of the result. */
uint64_t fr_hash_word(uint64_t seed, uint64_t word);

/** An empty map for up to `capacity` keys. */
FR_MUST_CHECK fr_status fr_text_map_init(fr_ctx *ctx, fr_text_map *map,
                                         int64_t capacity);
void fr_text_map_fini(fr_text_map *map);

/** Add a key and return `value` (>= 0); if the key is there already, leave the map alone and return the
 * value that it has. At most `capacity` different keys may be added. */
int32_t fr_text_map_add(fr_text_map *map, fr_text key, int32_t value);

/** Value of a key, -1 if it is absent. */
int32_t fr_text_map_find(const fr_text_map *map, fr_text key);

#endif
