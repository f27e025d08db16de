#include "device/matrix.h"

#include "base/integer.h"

#include <assert.h>

size_t fr_dtype_bytes(fr_dtype dtype)
{
    return dtype == FR_BF16 ? 2 : 4;
}

const fr_matrix_part *fr_matrix_find(const fr_matrix *w, int64_t *row)
{
    const fr_matrix_part *part = w->parts;
    while (*row >= part->n_rows) {
        *row -= part->n_rows;
        part++;
        assert(part < w->parts + w->n_parts);
    }
    return part;
}

/* A file may store numbers at an odd address, where only conversions can read them. */
const void *fr_matrix_part_in_place(const fr_matrix *w, const fr_matrix_part *part)
{
    bool is_in_place = part->head == 0 && part->format == fr_dtype_format(w->dtype) &&
                       (uintptr_t)part->rows % fr_dtype_bytes(w->dtype) == 0;
    return is_in_place ? part->rows : NULL;
}

const void *fr_matrix_in_place(const fr_matrix *w)
{
    return w->n_parts == 1 ? fr_matrix_part_in_place(w, w->parts) : NULL;
}

/* n numbers of whole blocks. */
static void convert(const fr_quant_kernels *kernels, const fr_quant_type *type,
                    const uint8_t *blocks, int64_t n, fr_dtype dtype, void *out)
{
    if (dtype == FR_BF16) {
        fr_quant_to_bf16(kernels, type, blocks, n, out);
    } else {
        fr_quant_widen(kernels, type, blocks, n, out);
    }
}

/* Rows that lie in order are one run of blocks. */
static void read_part(const fr_quant_kernels *kernels, const fr_matrix *w,
                      const fr_matrix_part *part, int64_t first, int64_t count,
                      char *out)
{
    const fr_quant_type *type = fr_quant_find(part->format);
    size_t stored_bytes = fr_quant_bytes(type, w->n_in);
    size_t row_bytes = (size_t)w->n_in * fr_dtype_bytes(w->dtype);
    int64_t run = part->head == 0 ? count : 1;
    for (int64_t r = 0; r < count; r += run) {
        size_t stored = (size_t)fr_matrix_stored_row(part, first + r);
        convert(kernels, type, (const uint8_t *)part->rows + stored * stored_bytes,
                run * w->n_in, w->dtype, out + (size_t)r * row_bytes);
    }
}

void fr_matrix_read(const fr_quant_kernels *kernels, const fr_matrix *w, int64_t first,
                    int64_t count, void *out)
{
    size_t row_bytes = (size_t)w->n_in * fr_dtype_bytes(w->dtype);
    int64_t n = 0;
    for (int64_t done = 0; done < count; done += n) {
        int64_t row = first + done;
        const fr_matrix_part *part = fr_matrix_find(w, &row);
        n = fr_min(part->n_rows - row, count - done);
        read_part(kernels, w, part, row, n, (char *)out + (size_t)done * row_bytes);
    }
}
