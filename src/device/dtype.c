#include "device/matrix.h"

#include <string.h>

size_t fr_dtype_bytes(fr_dtype dtype)
{
    return dtype == FR_BF16 ? 2 : 4;
}

void fr_matrix_read(const fr_matrix *w, int64_t first, int64_t count, void *out)
{
    if (w->read != NULL) {
        w->read(w, first, count, out);
        return;
    }
    size_t row_bytes = (size_t)w->n_in * fr_dtype_bytes(w->dtype);
    memcpy(out, (const char *)w->data + (size_t)first * row_bytes,
           (size_t)count * row_bytes);
}
