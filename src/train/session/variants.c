#include "train/session/variants.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fr_status fr_variants_gather(fr_ctx *ctx, fr_group *world,
                             const fr_device_variant *mine, fr_device_variant **out)
{
    enum { WORDS = sizeof(fr_device_variant) / sizeof(int64_t) };
    _Static_assert(sizeof(fr_device_variant) % sizeof(int64_t) == 0,
                   "a variant must be whole words");
    int64_t n = fr_group_size(world);
    int64_t own[WORDS];
    int64_t *words = NULL;
    *out = NULL;
    fr_status status = fr_alloc(ctx, n * WORDS, sizeof *words, &words);
    if (status == FR_OK) {
        status = fr_alloc(ctx, n, sizeof **out, out);
    }
    status = fr_group_agree(world, status);
    if (status == FR_OK) {
        memcpy(own, mine, sizeof own);
        status = fr_group_gather(world, own, WORDS, words);
    }
    if (status == FR_OK) {
        memcpy(*out, words, (size_t)n * sizeof **out);
    } else {
        free(*out);
        *out = NULL;
    }
    free(words);
    return status;
}

static void add(char *out, size_t capacity, const char *text)
{
    size_t used = strlen(out);
    (void)snprintf(out + used, capacity - used, "%s", text);
}

static void add_name(char *out, size_t capacity, const char *name)
{
    if (out[0] != '\0') {
        add(out, capacity, ", ");
    }
    add(out, capacity, name);
}

static bool are_same(const fr_device_variant *a, const fr_device_variant *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->wish, b->wish) == 0;
}

/* Quadratic in the kinds that there are, of which there are few: a rank is compared with the first of each kind. */
static bool is_first(const fr_device_variant *ranks, int64_t rank, bool names_alone)
{
    for (int64_t r = 0; r < rank; r++) {
        if (names_alone ? strcmp(ranks[r].name, ranks[rank].name) == 0
                        : are_same(&ranks[r], &ranks[rank])) {
            return false;
        }
    }
    return true;
}

static int64_t count_alike(const fr_device_variant *ranks, int64_t n, int64_t rank)
{
    int64_t count = 0;
    for (int64_t r = rank; r < n; r++) {
        count += are_same(&ranks[r], &ranks[rank]);
    }
    return count;
}

void fr_variants_names(const fr_device_variant *ranks, int64_t n,
                       char out[FR_VARIANT_NAMES])
{
    out[0] = '\0';
    for (int64_t r = 0; r < n; r++) {
        if (is_first(ranks, r, true)) {
            add_name(out, FR_VARIANT_NAMES, ranks[r].name);
        }
    }
}

/* The number of ranks is left out if all are alike, which is the usual case. */
void fr_variants_text(const fr_device_variant *ranks, int64_t n,
                      char out[FR_VARIANTS_TEXT])
{
    enum { PIECE_BYTES = 96 };
    char piece[PIECE_BYTES];
    out[0] = '\0';
    for (int64_t r = 0; r < n; r++) {
        if (!is_first(ranks, r, false)) {
            continue;
        }
        int64_t alike = count_alike(ranks, n, r);
        add_name(out, FR_VARIANTS_TEXT, ranks[r].name);
        if (alike < n) {
            (void)snprintf(piece, sizeof piece, " on %lld rank%s", (long long)alike,
                           alike == 1 ? "" : "s");
            add(out, FR_VARIANTS_TEXT, piece);
        }
        if (ranks[r].wish[0] != '\0') {
            (void)snprintf(piece, sizeof piece, " (%s)", ranks[r].wish);
            add(out, FR_VARIANTS_TEXT, piece);
        }
    }
}
