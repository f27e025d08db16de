#define _POSIX_C_SOURCE 200809L /* setenv */
#include "device/cpu/quant_kernels.h"
#include "device/device.h"
#include "model/weights/weights_impl.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

/* A context that found FORERUN_ISA so; NULL: not set. */
static fr_ctx *ctx_with(const char *value)
{
    if (value != NULL) {
        (void)setenv("FORERUN_ISA", value, 1);
    } else {
        (void)unsetenv("FORERUN_ISA");
    }
    fr_ctx *ctx = fr_ctx_create();
    (void)unsetenv("FORERUN_ISA");
    CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
    return ctx;
}

static void every_set_is_found_by_its_name(void)
{
    static const char *const NONE[] = {"", "avx", "AVX2", "avx2 ", "avx512_bf16"};
    for (int isa = 0; isa < FR_ISA_COUNT; isa++) {
        fr_isa found = FR_ISA_COUNT;
        CU_ASSERT_TRUE(fr_isa_find(fr_isa_name((fr_isa)isa), &found));
        CU_ASSERT_EQUAL((int)found, isa);
    }
    for (int i = 0; i < FR_N_CASES(NONE); i++) {
        fr_isa found = FR_ISA_AVX2;
        CU_ASSERT_FALSE(fr_isa_find(NONE[i], &found));
        CU_ASSERT_EQUAL(found, FR_ISA_AVX2);
    }
}

/* What the processor has is given, so that the verdict hangs on no processor. */
static void the_lower_of_what_there_is_and_what_is_asked_for_computes(void)
{
    for (int has = 0; has < FR_ISA_COUNT; has++) {
        for (int asked = 0; asked < FR_ISA_COUNT; asked++) {
            fr_isa_choice choice;
            fr_ctx *ctx = ctx_with(fr_isa_name((fr_isa)asked));
            FR_ASSERT_OK(fr_isa_choose(ctx, (fr_isa)has, &choice));
            CU_ASSERT_EQUAL((int)choice.asked, asked);
            CU_ASSERT_EQUAL((int)choice.isa, asked < has ? asked : has);
            fr_ctx_destroy(&ctx);
        }
    }
}

static void nothing_asked_for_is_what_there_is(void)
{
    static const char *const NOTHING[] = {NULL, ""};
    for (int i = 0; i < FR_N_CASES(NOTHING); i++) {
        fr_isa_choice choice;
        fr_ctx *ctx = ctx_with(NOTHING[i]);
        FR_ASSERT_OK(fr_isa_choose(ctx, FR_ISA_AVX512, &choice));
        CU_ASSERT_EQUAL(choice.isa, FR_ISA_AVX512);
        CU_ASSERT_EQUAL(choice.asked, FR_ISA_COUNT);
        fr_ctx_destroy(&ctx);
    }
}

static void an_unknown_set_is_refused_with_those_that_there_are(void)
{
    fr_isa_choice choice;
    fr_weights *weights = NULL;
    fr_ctx *ctx = ctx_with("avx1024");
    CU_ASSERT_EQUAL(fr_isa_choose(ctx, FR_ISA_AVX2, &choice), FR_ERR_ARG);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(ctx),
                           "FORERUN_ISA is \"avx1024\", but must be generic, avx2, "
                           "avx512 or avx512_vnni; unset it for the best that the "
                           "processor has");
    fr_ctx_clear_error(ctx);
    CU_ASSERT_EQUAL(fr_weights_open(ctx, fr_test_data("golden/tiny_llama"), &weights),
                    FR_ERR_ARG);
    CU_ASSERT_PTR_NULL(weights);
    fr_ctx_destroy(&ctx);
}

static void conversions_of_weights_obey(void)
{
    for (int asked = 0; asked < FR_ISA_COUNT; asked++) {
        fr_weights *weights = NULL;
        fr_ctx *ctx = ctx_with(fr_isa_name((fr_isa)asked));
        FR_ASSERT_OK(fr_weights_open(ctx, fr_test_data("golden/tiny_llama"), &weights));
        CU_ASSERT_PTR_NOT_NULL_FATAL(weights);
        int has = (int)fr_isa_detect();
        CU_ASSERT_PTR_EQUAL(weights->kernels, fr_quant_kernels_select(
                                                  (fr_isa)(asked < has ? asked : has)));
        fr_weights_close(&weights);
        fr_ctx_destroy(&ctx);
    }
}

/* No kernel of another set may run where that set is not allowed. */
static void each_set_has_its_own_table(void)
{
    static const fr_quant_kernels *const TABLES[FR_ISA_COUNT] = {
        &fr_quant_generic, &fr_quant_avx2, &fr_quant_avx512, &fr_quant_avx512};
    for (int isa = 0; isa < FR_ISA_COUNT; isa++) {
        CU_ASSERT_PTR_EQUAL(fr_quant_kernels_select((fr_isa)isa), TABLES[isa]);
    }
}

static const fr_case CASES[] = {
    FR_CASE(every_set_is_found_by_its_name),
    FR_CASE(the_lower_of_what_there_is_and_what_is_asked_for_computes),
    FR_CASE(nothing_asked_for_is_what_there_is),
    FR_CASE(an_unknown_set_is_refused_with_those_that_there_are),
    FR_CASE(conversions_of_weights_obey),
    FR_CASE(each_set_has_its_own_table),
};

int main(int argc, char **argv)
{
    return fr_suite_main("isa", CASES, FR_N_CASES(CASES), argc, argv);
}
