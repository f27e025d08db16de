/* Products on a CUDA device do not depend on how a matrix is stored: in how many parts, in which number formats and order of rows,
 * and in slices of which size it is read. The emulated tensor cores add 16 products together, so that bits tell where a depth is
 * cut. */
#define _GNU_SOURCE
#include "product_case.h"

#include "device/bf16.h"
#include "device/matrix.h"
#include "support/devices.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { PARTS_IN = 64, PARTS_OUT = 42, Q8_BYTES = 34 };

/* The same matrix three times: in the host's memory and on the device as its parts are stored, and dense on the device. */
typedef struct stored {
    fr_matrix host;
    fr_matrix device;
    fr_matrix dense;
    void *host_memory[FR_MATRIX_PARTS];
    void *memory[FR_MATRIX_PARTS];
    void *dense_memory;
} stored;

/* n numbers in [-1, 1], or around that. */
static void *numbers_of_format(uint32_t format, int64_t n, uint64_t stream)
{
    float *numbers = fr_test_numbers(n, stream, 1.0);
    uint8_t *bytes = calloc((size_t)n, sizeof(float));
    if (format == FR_QUANT_F32) {
        memcpy(bytes, numbers, (size_t)n * sizeof *numbers);
    } else if (format == FR_QUANT_BF16) {
        for (int64_t i = 0; i < n; i++) {
            ((uint16_t *)(void *)bytes)[i] = fr_bf16_round(numbers[i]);
        }
    } else { /* Q8_0: a scale of 2^-7 in f16, 32 signed bytes */
        for (int64_t i = 0; i < n; i++) {
            int64_t at = i / 32 * Q8_BYTES;
            bytes[at] = 0;
            bytes[at + 1] = 0x20;
            bytes[at + 2 + i % 32] = (uint8_t)(int8_t)(127.0F * numbers[i]);
        }
    }
    free(numbers);
    return bytes;
}

/* @param offset  bytes by which the rows lie off an aligned address */
static void add_part(const fr_two *two, stored *to, fr_matrix_part part, int offset)
{
    int i = to->host.n_parts++;
    int64_t rows = part.head > 0 ? part.n_rows / part.head * part.step : part.n_rows;
    int64_t n = rows * to->host.n_in;
    int64_t bytes = (int64_t)fr_quant_bytes(fr_quant_find(part.format), n);
    to->host_memory[i] = numbers_of_format(part.format, n, 20 + (uint64_t)i);
    to->memory[i] = fr_test_to_device(two, to->host_memory[i], bytes, offset);
    to->host.parts[i] = part;
    to->host.parts[i].rows = to->host_memory[i];
    to->device.n_parts = to->host.n_parts;
    to->device.parts[i] = part;
    to->device.parts[i].rows = (char *)to->memory[i] + offset;
    to->host.n_out += part.n_rows;
    to->device.n_out += part.n_rows;
}

static void add_dense(const fr_two *two, stored *to)
{
    const fr_matrix *w = &to->host;
    const fr_quant_kernels *kernels = NULL;
    int64_t bytes = w->n_out * w->n_in * (int64_t)fr_dtype_bytes(w->dtype);
    void *rows = calloc((size_t)bytes, 1);
    FR_ASSERT_OK(fr_quant_choose(fr_test_ctx(), &kernels));
    fr_matrix_read(kernels, w, 0, w->n_out, rows);
    to->dense_memory = fr_test_to_device(two, rows, bytes, 0);
    to->dense = fr_matrix_of(to->dense_memory, w->dtype, w->n_out, w->n_in);
    free(rows);
}

enum { STORAGES = 4 };
static stored stored_init(const fr_two *two, fr_dtype dtype, int storage)
{
    uint32_t own = fr_dtype_format(dtype);
    uint32_t other = fr_dtype_format(dtype == FR_F32 ? FR_BF16 : FR_F32);
    stored out = {.host = {.dtype = dtype, .n_in = PARTS_IN}};
    out.device = out.host;
    fr_matrix_part in_place = {.n_rows = 12, .format = own};
    fr_matrix_part converted = {.n_rows = 13, .format = other};
    fr_matrix_part blocks = {.n_rows = 17, .format = FR_QUANT_Q8_0};
    fr_matrix_part heads = {
        .n_rows = 12, .head = 4, .step = 5, .pairs = true, .format = own};
    const fr_matrix_part parts[STORAGES][FR_MATRIX_PARTS] = {
        {in_place, in_place, in_place},
        {in_place, blocks, converted},
        {heads, converted, blocks},
        {blocks, in_place, converted}};
    for (int i = 0; i < FR_MATRIX_PARTS; i++) {
        /* the last one at an odd address in one storage: numbers that no kernel can read where they lie */
        add_part(two, &out, parts[storage][i], storage == 1 && i == 2 ? 1 : 0);
    }
    add_dense(two, &out);
    return out;
}

static void stored_fini(const fr_two *two, stored *w)
{
    for (int i = 0; i < FR_MATRIX_PARTS; i++) {
        free(w->host_memory[i]);
        fr_device_free(two->cuda, w->memory[i]);
    }
    fr_device_free(two->cuda, w->dense_memory);
}

static void check_storage(const fr_two *two, const fr_product_setting *s,
                          const stored *w)
{
    enum { M = 5 };
    int64_t depth = s->back ? w->host.n_out : PARTS_IN;
    int64_t columns = s->back ? PARTS_IN : w->host.n_out;
    fr_pair left = fr_pair_numbers(two, "left", M * depth, fr_product_left(s), 5, 1.0);
    fr_pair of_dense =
        fr_pair_numbers(two, "of dense", M * columns, fr_product_out(s), 11, 1.0);
    fr_pair of_parts =
        fr_pair_numbers(two, "of parts", M * columns, fr_product_out(s), 11, 1.0);
    fr_product_setting plain = *s;
    plain.slice_bytes = 0;
    fr_product_case_run(two, &plain, M, left.on_cuda, &w->dense, of_dense.on_cuda);
    fr_product_case_run(two, s, M, left.on_cuda, &w->device, of_parts.on_cuda);
    float *wanted = fr_pair_fetch(&of_dense);
    float *got = fr_pair_fetch(&of_parts);
    fr_assert_same_bytes("parts", got, wanted, (size_t)(M * columns) * sizeof *got);
    free(wanted);
    free(got);
    fr_pair_free(&left);
    fr_pair_free(&of_dense);
    fr_pair_free(&of_parts);
}

/* A row at a time, slices that end within parts and that reach over some, all at once. */
static void check_storages(const fr_two *two, int storage)
{
    static const int64_t SLICES[] = {1, 5 * PARTS_IN * 4, 14 * PARTS_IN * 4, 0};
    for (int i = 0; i < 2 * FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        fr_product_setting s = {.back = i / FR_PRODUCT_TYPES % 2 == 1,
                                .types = i % FR_PRODUCT_TYPES,
                                .is_plain = i / FR_PRODUCT_TYPES / 2 == 1};
        stored w = stored_init(two, fr_product_weights(&s), storage);
        for (int j = 0; j < 2 * FR_N_CASES(SLICES); j++) {
            s.slice_bytes = SLICES[j / 2];
            s.accumulate = j % 2 == 1;
            check_storage(two, &s, &w);
        }
        stored_fini(two, &w);
    }
}

static void products_do_not_depend_on_how_a_matrix_is_stored(void)
{
    fr_two two = fr_two_open();
    for (int storage = 0; storage < STORAGES; storage++) {
        check_storages(&two, storage);
    }
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(products_do_not_depend_on_how_a_matrix_is_stored),
};

int main(int argc, char **argv)
{
    (void)setenv("FR_EMULATED_MMA", "together", 1);
    return fr_suite_main("cuda_product_parts", CASES, FR_N_CASES(CASES), argc, argv);
}
