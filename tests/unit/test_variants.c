#include "support/suite.h"
#include "train/session/variants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_device_variant AVX2 = {"avx2", ""};
static const fr_device_variant WISHED = {"avx2", "FORERUN_ISA=avx2"};
static const fr_device_variant BEYOND = {
    "avx2", "FORERUN_ISA=avx512, which the processor lacks"};
static const fr_device_variant GENERIC = {"generic", "FORERUN_ISA=generic"};
static const fr_device_variant VNNI = {"avx512_vnni", ""};

static void check_text(const fr_device_variant *ranks, int64_t n, const char *names,
                       const char *text)
{
    char got_names[FR_VARIANT_NAMES];
    char got_text[FR_VARIANTS_TEXT];
    fr_variants_names(ranks, n, got_names);
    fr_variants_text(ranks, n, got_text);
    CU_ASSERT_STRING_EQUAL(got_names, names);
    CU_ASSERT_STRING_EQUAL(got_text, text);
}

static void ranks_that_are_alike_are_told_once(void)
{
    const fr_device_variant all[] = {AVX2, AVX2, AVX2, AVX2};
    const fr_device_variant wished[] = {WISHED, WISHED};
    const fr_device_variant beyond[] = {BEYOND};
    check_text(all, 4, "avx2", "avx2");
    check_text(wished, 2, "avx2", "avx2 (FORERUN_ISA=avx2)");
    check_text(beyond, 1, "avx2",
               "avx2 (FORERUN_ISA=avx512, which the processor lacks)");
}

static void ranks_that_differ_are_counted(void)
{
    const fr_device_variant ranks[] = {GENERIC, BEYOND, VNNI, BEYOND, AVX2, VNNI, VNNI};
    check_text(ranks, 7, "generic, avx2, avx512_vnni",
               "generic on 1 rank (FORERUN_ISA=generic), "
               "avx2 on 2 ranks (FORERUN_ISA=avx512, which the processor lacks), "
               "avx512_vnni on 3 ranks, avx2 on 1 rank");
}

/* A list that is too long ends early, and the names with it. */
static void what_has_no_room_is_left_out(void)
{
    enum { N = 200 };
    static fr_device_variant ranks[N];
    char text[FR_VARIANTS_TEXT];
    char names[FR_VARIANT_NAMES];
    for (int r = 0; r < N; r++) {
        (void)snprintf(ranks[r].name, sizeof ranks[r].name, "kind %d", r);
    }
    fr_variants_names(ranks, N, names);
    fr_variants_text(ranks, N, text);
    CU_ASSERT_EQUAL(strncmp(names, "kind 0, kind 1, ", 16), 0);
    CU_ASSERT_EQUAL(strlen(names), FR_VARIANT_NAMES - 1);
    CU_ASSERT_EQUAL(strlen(text), FR_VARIANTS_TEXT - 1);
}

static void one_rank_gathers_itself(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_group *world = NULL;
    fr_device_variant *all = NULL;
    FR_ASSERT_OK(fr_group_create_self(ctx, &world));
    FR_ASSERT_OK(fr_variants_gather(ctx, world, &BEYOND, &all));
    CU_ASSERT_EQUAL(memcmp(all, &BEYOND, sizeof BEYOND), 0);
    free(all);
    fr_group_destroy(&world);
}

static const fr_case CASES[] = {
    FR_CASE(ranks_that_are_alike_are_told_once),
    FR_CASE(ranks_that_differ_are_counted),
    FR_CASE(what_has_no_room_is_left_out),
    FR_CASE(one_rank_gathers_itself),
};

int main(int argc, char **argv)
{
    return fr_suite_main("variants", CASES, FR_N_CASES(CASES), argc, argv);
}
