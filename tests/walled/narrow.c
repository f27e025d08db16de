#define _GNU_SOURCE
#include "narrow.h"

#include "device/bf16.h"

#include <sys/mman.h>

bool narrow_open(narrow *w, const char *memory, int64_t bytes)
{
    void *places = mmap(NULL, (size_t)(2 * bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *w = (narrow){memory, places != MAP_FAILED ? places : NULL};
    return w->places != NULL;
}

void narrow_close(narrow *w, int64_t bytes)
{
    if (w->places != NULL) {
        (void)munmap(w->places, (size_t)(2 * bytes));
    }
    *w = (narrow){0};
}

static float *places_of(const narrow *w, fr_view x)
{
    void *at = w->places + 2 * ((const char *)(const void *)x.at - w->memory);
    return at;
}

static bool is_narrow(fr_view x)
{
    return x.dtype == FR_BF16 && x.at != NULL;
}

void narrow_begin(const narrow *w, int n_uses, const narrow_use *uses)
{
    for (int u = 0; u < n_uses; u++) {
        const narrow_use *use = &uses[u];
        if (is_narrow(use->given)) {
            const uint16_t *from = (const void *)use->given.at;
            float *to = places_of(w, use->given);
            for (int64_t i = 0; i < use->n; i++) {
                to[i] = fr_bf16_widen(from[i]);
            }
            *use->view = fr_view_of((fr_byte *)(void *)to, FR_F32);
        }
    }
}

/* What an operator only reads comes back as it was. */
void narrow_end(const narrow *w, int n_uses, const narrow_use *uses)
{
    for (int u = 0; u < n_uses; u++) {
        if (is_narrow(uses[u].given)) {
            const float *from = places_of(w, uses[u].given);
            uint16_t *to = (void *)uses[u].given.at;
            for (int64_t i = 0; i < uses[u].n; i++) {
                to[i] = fr_bf16_round(from[i]);
            }
        }
    }
}
