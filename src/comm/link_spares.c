/* Transfers that kinds of link use again, so that the steps of a run allocate none. */
#include "comm/link_impl.h"

#include "base/mem.h"

#include <stdlib.h>

fr_status fr_link_take(fr_ctx *ctx, fr_link_spares *spares, size_t bytes,
                       fr_link_spare **out)
{
    *out = spares->first;
    if (*out != NULL) {
        spares->first = (*out)->next;
        return FR_OK;
    }
    FR_TRY(fr_alloc(ctx, 1, bytes, out));
    (*out)->older = spares->all;
    spares->all = *out;
    return FR_OK;
}

void fr_link_give_back(fr_link_spares *spares, fr_link_spare *one)
{
    one->next = spares->first;
    spares->first = one;
}

void fr_link_free_spares(fr_link_spares *spares)
{
    while (spares->all != NULL) {
        fr_link_spare *older = spares->all->older;
        free(spares->all);
        spares->all = older;
    }
    spares->first = NULL;
}
