/* Conversion on a CUDA device has the CPU's bits: every format, place of rows, address and type, whatever the bytes. */
#include "device/cuda/widen.h"
#include "device/host.h"
#include "stored_case.h"

static const fr_dtype TYPES[] = {FR_F32, FR_BF16};

/* Rows on the device, `offset` numbers into memory; what lies before and behind them stays. */
static void check_rows(const stored_case *c, int64_t first, int64_t count, fr_dtype to,
                       int offset)
{
    char what[96];
    size_t size = fr_dtype_bytes(to);
    int64_t n = count * c->on_cpu.n_in;
    size_t bytes = (size_t)(n + offset + 8) * size;
    uint8_t *got = calloc(bytes, 1);
    uint8_t *wanted = calloc(bytes, 1);
    void *read = stored_read(c, first, count, to);
    void *out = NULL;
    FR_ASSERT_OK(fr_device_alloc(c->two->cuda, (int64_t)bytes, 1, &out));
    memset(wanted, 0x5a, bytes);
    FR_ASSERT_OK(fr_device_load(c->two->cuda, out, wanted, (int64_t)bytes));
    memcpy(wanted + (size_t)offset * size, read, (size_t)n * size);
    FR_ASSERT_OK(fr_cuda_widen(c->two->cuda, &c->on_cuda, first, count, to,
                               (char *)out + (size_t)offset * size));
    fr_device_get(c->two->cuda, got, out, (int64_t)bytes);
    fr_two_finish(c->two);
    (void)snprintf(what, sizeof what, "%s, %lld wide, rows %lld + %lld, to %s",
                   fr_quant_find(c->on_cpu.parts[0].format)->name,
                   (long long)c->on_cpu.n_in, (long long)first, (long long)count,
                   to == FR_BF16 ? "bf16" : "f32");
    assert_same_numbers(what, to, got, wanted, (int64_t)(bytes / size));
    fr_device_free(c->two->cuda, out);
    free(got);
    free(wanted);
    free(read);
}

/* Runs inside a part, over each seam and over all of them. */
static void rows_of_every_format_and_order_have_the_bits_of_the_cpu(void)
{
    static const int64_t RUNS[][2] = {{0, CASE_ROWS},
                                      {1, 3},
                                      {CASE_PAIRS - 1, 2},
                                      {CASE_PAIRS, CASE_HEADS},
                                      {CASE_PAIRS - 3, CASE_HEADS + 5},
                                      {CASE_ROWS - 1, 1},
                                      {CASE_ROWS, 0},
                                      {7, 0}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(STORED_FORMATS); i++) {
        const uint32_t formats[] = {
            STORED_FORMATS[i], STORED_FORMATS[(i + 7) % FR_N_CASES(STORED_FORMATS)],
            STORED_FORMATS[(i + 3) % FR_N_CASES(STORED_FORMATS)]};
        stored_case c = stored_parts(&two, formats, TYPES[i % 2], 256, i % 3 != 0);
        for (int k = 0; k < 2 * FR_N_CASES(RUNS); k++) {
            check_rows(&c, RUNS[k / 2][0], RUNS[k / 2][1], TYPES[k % 2],
                       k % 3 == 0 ? 1 : 0);
        }
        stored_free(&c);
    }
    fr_two_close(&two);
}

/* Every byte at every place: 64 blocks and more of all values. */
static void blocks_of_all_bytes_have_the_bits_of_the_cpu(void)
{
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(STORED_FORMATS); i++) {
        for (int offset = 0; offset < 4; offset++) {
            stored_case c =
                stored_plain(&two, STORED_FORMATS[i], FR_F32, 16, 1024, offset, true);
            check_rows(&c, 0, 16, TYPES[offset % 2], 0);
            check_rows(&c, 3, 5, TYPES[(offset + 1) % 2], 0);
            stored_free(&c);
        }
    }
    fr_two_close(&two);
}

/* More than a block of threads has at a time, and rows that end anywhere. */
static void widths_and_addresses_may_be_odd(void)
{
    static const int64_t WIDTHS[] = {1, 3, 7, 8, 9, 31, 33, 257, 2049, 4104};
    static const uint32_t FLOATS[] = {FR_QUANT_F32, FR_QUANT_F16, FR_QUANT_BF16};
    fr_two two = fr_two_open();
    for (int i = 0; i < 3 * FR_N_CASES(WIDTHS); i++) {
        for (int offset = 0; offset < 20; offset += 4 + i % 3) {
            stored_case c = stored_plain(&two, FLOATS[i % 3], FR_F32, 3, WIDTHS[i / 3],
                                         offset, offset == 0);
            check_rows(&c, 0, 3, FR_F32, offset % 3);
            check_rows(&c, 1, 2, FR_BF16, offset % 3);
            stored_free(&c);
        }
    }
    stored_case wide =
        stored_plain(&two, FR_QUANT_Q4_K, FR_BF16, 3, 17 * 256, 1, false);
    check_rows(&wide, 0, 3, FR_BF16, 0);
    check_rows(&wide, 1, 2, FR_F32, 3);
    stored_free(&wide);
    fr_two_close(&two);
}

/* Halves of all bits; of bf16 a NaN keeps its bits, as where it lies in place. */
static void all_halves_and_scales_are_converted(void)
{
    enum { N = 1 << 16 };
    static const uint32_t FORMATS[] = {FR_QUANT_F16, FR_QUANT_BF16};
    uint16_t *halves = calloc(N, sizeof *halves);
    uint16_t *got = calloc(N, sizeof *got);
    fr_two two = fr_two_open();
    for (int i = 0; i < N; i++) {
        halves[i] = (uint16_t)i;
    }
    for (int i = 0; i < 2; i++) {
        stored_case c = stored_plain(&two, FORMATS[i], FR_BF16, 16, N / 16, i, true);
        memcpy(c.cpu[0] + i, halves, N * sizeof *halves);
        FR_ASSERT_OK(fr_device_load(two.cuda, c.cuda[0], c.cpu[0], 2 * N + i));
        check_rows(&c, 0, 16, FR_F32, 0);
        check_rows(&c, 0, 16, FR_BF16, 0);
        fr_pair out = fr_pair_bytes(&two, "bf16", N, sizeof *halves, NULL);
        FR_ASSERT_OK(fr_cuda_widen(two.cuda, &c.on_cuda, 0, 16, FR_BF16, out.cuda));
        fr_device_get(two.cuda, got, out.cuda, 2 * N);
        fr_two_finish(&two);
        if (FORMATS[i] == FR_QUANT_BF16) {
            fr_assert_same_bytes("bf16", got, halves, N * sizeof *halves);
        }
        fr_pair_free(&out);
        stored_free(&c);
    }
    stored_case powers =
        stored_plain(&two, FR_QUANT_MXFP4, FR_F32, 1, 256 * 32, 0, true);
    for (int i = 0; i < 256; i++) {
        powers.cpu[0][17 * i] = (uint8_t)i;
    }
    FR_ASSERT_OK(fr_device_load(two.cuda, powers.cuda[0], powers.cpu[0], 17 * 256));
    check_rows(&powers, 0, 1, FR_F32, 0);
    stored_free(&powers);
    fr_two_close(&two);
    free(halves);
    free(got);
}

static void check_gather(const stored_case *c, int64_t n, const int32_t *ids)
{
    const fr_two *two = c->two;
    int64_t width = c->on_cpu.n_in;
    fr_pair y = fr_pair_bytes(two, "gathered", n * width, sizeof(float), NULL);
    FR_ASSERT_OK(fr_gather_rows(two->cpu, n, ids, &c->on_cpu, y.cpu));
    FR_ASSERT_OK(fr_gather_rows(two->cuda, n, ids, &c->on_cuda, y.cuda));
    void *got = fr_pair_fetch(&y);
    assert_same_numbers(fr_quant_find(c->on_cpu.parts[0].format)->name, FR_F32, got,
                        y.cpu, n * width);
    free(got);
    fr_pair_free(&y);
}

static void gathered_rows_have_the_bits_of_the_cpu(void)
{
    int32_t ids[CASE_ROWS + 2] = {0};
    fr_two two = fr_two_open();
    for (int32_t i = 0; i < CASE_ROWS; i++) {
        ids[i] = CASE_ROWS - 1 - i;
    }
    for (int i = 0; i < 2 * FR_N_CASES(STORED_FORMATS); i++) {
        const uint32_t formats[] = {
            STORED_FORMATS[i / 2], STORED_FORMATS[i / 2],
            STORED_FORMATS[(i + 3) % FR_N_CASES(STORED_FORMATS)]};
        stored_case c = stored_parts(&two, formats, TYPES[i % 2], 256, true);
        check_gather(&c, CASE_ROWS + 2, ids);
        check_gather(&c, 1, ids + 4);
        check_gather(&c, 0, ids);
        stored_free(&c);
    }
    for (int i = 0; i < 4; i++) { /* rows in place */
        stored_case c = stored_plain(&two, fr_dtype_format(TYPES[i % 2]), TYPES[i % 2],
                                     CASE_ROWS, 33, i / 2 * 64, false);
        check_gather(&c, CASE_ROWS, ids);
        stored_free(&c);
    }
    fr_two_close(&two);
}

static const fr_case CASES[] = {
    FR_CASE(rows_of_every_format_and_order_have_the_bits_of_the_cpu),
    FR_CASE(blocks_of_all_bytes_have_the_bits_of_the_cpu),
    FR_CASE(widths_and_addresses_may_be_odd),
    FR_CASE(all_halves_and_scales_are_converted),
    FR_CASE(gathered_rows_have_the_bits_of_the_cpu),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_widen", CASES, FR_N_CASES(CASES), argc, argv);
}
