#include "support/mutate.h"

#include "base/rng.h"
#include "support/model_files.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 1024, MAX_PIECE = 64 };

/* Random numbers of one round, in order. */
typedef struct dice {
    uint64_t round;
    uint64_t next;
} dice;

static uint64_t roll(dice *d, uint64_t sides)
{
    return fr_rng_u64(11, FR_RNG_TEST, d->round, d->next++) % sides;
}

static size_t choose_place(dice *d, size_t n_bytes)
{
    size_t max = roll(d, 4) != 0 && n_bytes > HEADER ? HEADER : n_bytes;
    return (size_t)roll(d, max);
}

static void overwrite_field(dice *d, uint8_t *bytes, size_t n_bytes)
{
    static const uint64_t EXTREME[] = {0,
                                       1,
                                       2,
                                       7,
                                       13,
                                       31,
                                       255,
                                       65535,
                                       0x7fffffffU,
                                       0x80000000U,
                                       0xffffffffU,
                                       (uint64_t)1 << 32,
                                       1ULL << 40,
                                       1ULL << 61,
                                       1ULL << 62,
                                       INT64_MAX,
                                       1ULL << 63,
                                       UINT64_MAX,
                                       UINT64_MAX - 7,
                                       UINT64_MAX - 31};
    uint64_t value = EXTREME[roll(d, sizeof EXTREME / sizeof *EXTREME)];
    size_t width = (size_t)2 << roll(d, 3);
    size_t at = choose_place(d, n_bytes);
    if (width <= n_bytes - at) {
        memcpy(bytes + at, &value, width);
    }
}

static void copy_piece(dice *d, uint8_t *bytes, size_t n_bytes)
{
    size_t from = choose_place(d, n_bytes);
    size_t to = choose_place(d, n_bytes);
    size_t piece = 1 + (size_t)roll(d, MAX_PIECE);
    size_t last = from > to ? from : to;
    piece = piece < n_bytes - last ? piece : n_bytes - last;
    memmove(bytes + to, bytes + from, piece);
}

static void damage(dice *d, uint8_t *bytes, size_t *n_bytes)
{
    static const char TELLING[] = "0123456789{}[]\",:-.eE\\ \x00\xff";
    switch (roll(d, 8)) {
    case 0:
    case 1:
        bytes[choose_place(d, *n_bytes)] ^= (uint8_t)(1U << roll(d, 8));
        break;
    case 2:
    case 3:
    case 4:
        overwrite_field(d, bytes, *n_bytes);
        break;
    case 5:
        bytes[choose_place(d, *n_bytes)] =
            (uint8_t)TELLING[roll(d, sizeof TELLING - 1)];
        break;
    case 6:
        copy_piece(d, bytes, *n_bytes);
        break;
    default:
        if (roll(d, 4) == 0) {
            *n_bytes = 1 + (size_t)roll(d, *n_bytes);
        }
        break;
    }
}

uint8_t *fr_test_mutate(const uint8_t *bytes, size_t n_bytes, uint64_t round,
                        size_t *n_mutated)
{
    dice d = {round, 0};
    uint8_t *copy = fr_test_memory(malloc(n_bytes));
    memcpy(copy, bytes, n_bytes);
    *n_mutated = n_bytes;
    uint64_t n_damages = 1 + roll(&d, 4);
    for (uint64_t i = 0; i < n_damages; i++) {
        damage(&d, copy, n_mutated);
    }
    return fr_test_memory(realloc(copy, *n_mutated));
}

uint64_t fr_test_sum(const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint64_t sum = 1;
    for (size_t i = 0; i < bytes; i++) {
        sum += at[i];
    }
    return sum;
}
