#define _GNU_SOURCE /* getrandom */
#include "base/text_map.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

/* A secret seed keeps a prepared file from filling the map with keys of one hash. Early in the boot the kernel may
 * have no random numbers yet; an address and the time must then do. */
uint64_t fr_hash_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        seed = fr_hash_word((uintptr_t)&seed, (uint64_t)fr_clock_ns());
    }
    return seed;
}

/* The finaliser of MurmurHash3. */
uint64_t fr_hash_word(uint64_t seed, uint64_t word)
{
    uint64_t hash = word ^ seed;
    hash = (hash ^ (hash >> 33)) * 0xFF51AFD7ED558CCDU;
    hash = (hash ^ (hash >> 33)) * 0xC4CEB9FE1A85EC53U;
    return hash ^ (hash >> 33);
}

/* FNV-1a from a secret start, mixed because slots are picked by low bits. */
static uint32_t hash_of(const fr_text_map *map, fr_text key)
{
    uint64_t hash = map->seed;
    for (size_t i = 0; i < key.bytes; i++) {
        hash = (hash ^ (unsigned char)key.data[i]) * 0x100000001B3U;
    }
    return (uint32_t)fr_hash_word(map->seed, hash);
}

/* At most half of the slots are used, so probes stay short and always meet a free slot. */
fr_status fr_text_map_init(fr_ctx *ctx, fr_text_map *map, int64_t capacity)
{
    enum { SMALLEST = 16 };
    int64_t n_slots = SMALLEST;
    while (n_slots / 2 < capacity) {
        n_slots *= 2;
    }
    *map = (fr_text_map){NULL, (uint64_t)n_slots - 1, fr_hash_seed()};
    return fr_alloc(ctx, n_slots, sizeof *map->slots, &map->slots);
}

void fr_text_map_fini(fr_text_map *map)
{
    free(map->slots);
    *map = (fr_text_map){NULL, 0, 0};
}

/* The slot of the key, or the free slot where it belongs. */
static fr_text_slot *probe(const fr_text_map *map, fr_text key, uint32_t hash)
{
    uint64_t at = hash & map->mask;
    for (;;) {
        fr_text_slot *slot = &map->slots[at];
        if (slot->key.data == NULL ||
            (slot->hash == hash && slot->key.bytes == key.bytes &&
             memcmp(slot->key.data, key.data, key.bytes) == 0)) {
            return slot;
        }
        at = (at + 1) & map->mask;
    }
}

/* The value of the first key holds: a second one with the same text gets that value back. */
int32_t fr_text_map_add(fr_text_map *map, fr_text key, int32_t value)
{
    uint32_t hash = hash_of(map, key);
    fr_text_slot *slot = probe(map, key, hash);
    if (slot->key.data == NULL) {
        *slot = (fr_text_slot){key, hash, value};
    }
    return slot->value;
}

int32_t fr_text_map_find(const fr_text_map *map, fr_text key)
{
    const fr_text_slot *slot = probe(map, key, hash_of(map, key));
    return slot->key.data == NULL ? -1 : slot->value;
}
