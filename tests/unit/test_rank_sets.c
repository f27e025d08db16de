#include "support/suite.h"
#include "train/session/rank_sets.h"

#include <string.h>

static void check_text(const fr_rank_sets *sets, const char *names, const char *text)
{
    char got_names[FR_SET_NAMES];
    char got_text[FR_SETS_TEXT];
    fr_rank_sets_names(sets, got_names);
    fr_rank_sets_text(sets, got_text);
    CU_ASSERT_STRING_EQUAL(got_names, names);
    CU_ASSERT_STRING_EQUAL(got_text, text);
}

static void ranks_that_are_alike_are_told_once(void)
{
    fr_rank_sets sets = {0};
    sets.ranks[FR_ISA_COUNT][FR_ISA_AVX2] = 4;
    check_text(&sets, "avx2", "avx2");
    sets = (fr_rank_sets){0};
    sets.ranks[FR_ISA_AVX2][FR_ISA_AVX2] = 4;
    check_text(&sets, "avx2", "avx2 (FORERUN_ISA=avx2)");
    sets = (fr_rank_sets){0};
    sets.ranks[FR_ISA_AVX512][FR_ISA_AVX2] = 4;
    check_text(&sets, "avx2", "avx2 (FORERUN_ISA=avx512, which the processor lacks)");
}

static void ranks_that_differ_are_counted(void)
{
    fr_rank_sets sets = {0};
    sets.ranks[FR_ISA_GENERIC][FR_ISA_GENERIC] = 1;
    sets.ranks[FR_ISA_COUNT][FR_ISA_AVX512_VNNI] = 3;
    sets.ranks[FR_ISA_AVX512][FR_ISA_AVX2] = 2;
    sets.ranks[FR_ISA_COUNT][FR_ISA_AVX2] = 1;
    check_text(&sets, "generic, avx2, avx512_vnni",
               "generic on 1 rank (FORERUN_ISA=generic), "
               "avx2 on 2 ranks (FORERUN_ISA=avx512, which the processor lacks), "
               "avx2 on 1 rank, avx512_vnni on 3 ranks");
}

static void all_that_can_be_told_has_room(void)
{
    fr_rank_sets sets;
    char text[FR_SETS_TEXT];
    char names[FR_SET_NAMES];
    for (int asked = 0; asked <= FR_ISA_COUNT; asked++) {
        for (int isa = 0; isa < FR_ISA_COUNT; isa++) {
            sets.ranks[asked][isa] = INT64_MAX / 32;
        }
    }
    fr_rank_sets_names(&sets, names);
    fr_rank_sets_text(&sets, text);
    CU_ASSERT_STRING_EQUAL(names, "generic, avx2, avx512, avx512_vnni");
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "avx512_vnni on 288230376151711743 ranks ("));
    CU_ASSERT_STRING_EQUAL(text + strlen(text) - 6, " ranks");
}

static const fr_case CASES[] = {
    FR_CASE(ranks_that_are_alike_are_told_once),
    FR_CASE(ranks_that_differ_are_counted),
    FR_CASE(all_that_can_be_told_has_room),
};

int main(int argc, char **argv)
{
    return fr_suite_main("rank_sets", CASES, FR_N_CASES(CASES), argc, argv);
}
