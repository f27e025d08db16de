#define _GNU_SOURCE /* memmem */
#include "base/rng.h"
#include "support/checkpoints.h"
#include "support/mutate.h"
#include "support/sealed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROUNDS = 12000 };

/* A file's raw bytes; its sealed ones are in `file`. */
static uint8_t *make_raw(size_t *n_raw, uint8_t **file, size_t *n_file)
{
    fr_checkpoint *checkpoint = fr_fixture_checkpoint(2, true, 5);
    fr_fixture_add_mlp(&checkpoint->tasks[1]);
    FR_ASSERT_OK(fr_checkpoint_image(fr_test_ctx(), "x", checkpoint, file, n_file));
    CU_ASSERT_PTR_NOT_NULL_FATAL(*file);
    uint8_t *raw = fr_test_unseal(*file, *n_file, n_raw);
    CU_ASSERT_PTR_NOT_NULL_FATAL(raw);
    fr_checkpoint_destroy(&checkpoint);
    return raw;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Another number in place of one of the index. */
static uint8_t *replace_number(const uint8_t *raw, size_t n_raw, uint64_t round,
                               size_t *n_out)
{
    static const char *const NUMBERS[] = {"0",
                                          "1",
                                          "-1",
                                          "2",
                                          "7",
                                          "1048576",
                                          "1048577",
                                          "2147483648",
                                          "4294967296",
                                          "1000000000",
                                          "9007199254740992",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "-9223372036854775808",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "4096",
                                          "8192",
                                          "8196",
                                          "8193",
                                          "8200",
                                          "1e9",
                                          "0.5",
                                          "null",
                                          "\"\"",
                                          "[]",
                                          ""};
    const uint8_t *hdf = memmem(raw, n_raw, "\x89HDF", 4);
    size_t n_index = hdf != NULL ? (size_t)(hdf - raw) : n_raw;
    size_t from = (size_t)(fr_rng_u64(3, FR_RNG_TEST, round, 0) % n_index);
    const char *put = NUMBERS[fr_rng_u64(3, FR_RNG_TEST, round, 1) %
                              (sizeof NUMBERS / sizeof NUMBERS[0])];
    while (from < n_index && !is_digit(raw[from])) {
        from++;
    }
    size_t to = from;
    while (to < n_index && is_digit(raw[to])) {
        to++;
    }
    *n_out = n_raw - (to - from) + strlen(put);
    uint8_t *out = malloc(*n_out + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    memcpy(out, raw, from);
    memcpy(out + from, put, strlen(put));
    memcpy(out + from + strlen(put), raw + to, n_raw - to);
    return out;
}

/* Read a damaged copy under a right seal. @return whether it is accepted, or refused with a clear word */
static bool read_damaged(uint8_t *damaged, size_t bytes, int *n_accepted)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_checkpoint *read = NULL;
    size_t n_sealed = 0;
    uint8_t *image = fr_test_seal(ctx, damaged, bytes, &n_sealed);
    CU_ASSERT_PTR_NOT_NULL_FATAL(image);
    fr_status status = fr_checkpoint_parse(ctx, "x", image, n_sealed, &read);
    bool clear =
        status == FR_OK || ((status == FR_ERR_CHECKPOINT || status == FR_ERR_NUMERIC) &&
                            strlen(fr_ctx_error(ctx)) > 0);
    *n_accepted += status == FR_OK ? 1 : 0;
    fr_checkpoint_destroy(&read);
    free(image);
    free(damaged);
    return clear;
}

static void damaged_files_under_a_right_seal_are_read_or_refused(void)
{
    uint8_t *file = NULL;
    size_t n_file = 0;
    size_t n_raw = 0;
    int n_unclear = 0;
    int n_accepted[3] = {0, 0, 0};
    uint8_t *raw = make_raw(&n_raw, &file, &n_file);
    for (uint64_t round = 0; round < N_ROUNDS; round++) {
        size_t n = 0;
        int way = (int)(round % 3);
        uint8_t *damaged = way == 0   ? fr_test_mutate(raw, n_raw, round, &n)
                           : way == 1 ? fr_test_mutate(file, n_file, round, &n)
                                      : replace_number(raw, n_raw, round, &n);
        n_unclear += read_damaged(damaged, n, &n_accepted[way]) ? 0 : 1;
    }
    CU_ASSERT_EQUAL(n_unclear, 0);
    for (int way = 0; way < 3; way++) {
        (void)printf("    way %d: %d of %d accepted\n", way, n_accepted[way],
                     N_ROUNDS / 3);
        CU_ASSERT_TRUE(n_accepted[way] > 0 && n_accepted[way] < N_ROUNDS / 3);
    }
    free(raw);
    free(file);
}

/* Whatever is sealed comes back, so that damages are the only ones. */
static void sealing_gives_the_file_back(void)
{
    uint8_t *file = NULL;
    size_t n_file = 0;
    size_t n_raw = 0;
    size_t n_again = 0;
    uint8_t *raw = make_raw(&n_raw, &file, &n_file);
    uint8_t *again = fr_test_seal(fr_test_ctx(), raw, n_raw, &n_again);
    CU_ASSERT_EQUAL_FATAL(n_again, n_file);
    fr_assert_same_bytes("file", again, file, n_file);
    free(again);
    free(raw);
    free(file);
}

static const fr_case CASES[] = {
    FR_CASE(sealing_gives_the_file_back),
    FR_CASE(damaged_files_under_a_right_seal_are_read_or_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fuzz_sealed", CASES, FR_N_CASES(CASES), argc, argv);
}
