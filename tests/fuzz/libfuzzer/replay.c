/*
 * replay_NAME FILE...: a fuzzer without libFuzzer: every file, and ROUNDS damaged copies of it (FUZZ_ROUNDS; 0: none).
 * The bytes lie in a block of exactly their size, so that address sanitizers see what is read behind them.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "fuzz/libfuzzer/fuzz.h"
#include "support/mutate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 1000 };

static void run_one(const uint8_t *bytes, size_t n)
{
    uint8_t *block = malloc(n);
    fuzz_check(block != NULL || n == 0, "memory for an input");
    if (n > 0) {
        memcpy(block, bytes, n);
    }
    fuzz_check(LLVMFuzzerTestOneInput(block, n) == 0, "an input is no failure");
    free(block);
}

static void replay(const char *path, uint64_t rounds)
{
    fr_ctx *ctx = fuzz_ctx();
    char *bytes = NULL;
    size_t n = 0;
    fuzz_check(fuzz_answer(ctx, fr_file_read(ctx, path, &bytes, &n)),
               "a file can be read");
    run_one((const uint8_t *)bytes, n);
    for (uint64_t round = 0; n > 0 && round < rounds; round++) {
        size_t n_mutated = 0;
        uint8_t *mutated = fr_test_mutate((const uint8_t *)bytes, n, round, &n_mutated);
        run_one(mutated, n_mutated);
        free(mutated);
    }
    free(bytes);
}

int main(int argc, char **argv)
{
    const char *text = getenv("FUZZ_ROUNDS");
    uint64_t rounds = text != NULL ? strtoull(text, NULL, 10) : ROUNDS;
    for (int i = 1; i < argc; i++) {
        replay(argv[i], rounds);
    }
    (void)printf("%d files, %llu damaged copies of each\n", argc - 1,
                 (unsigned long long)rounds);
    return argc > 1 ? 0 : 1;
}
