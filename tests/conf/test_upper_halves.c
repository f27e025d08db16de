/* Operators leave the upper halves of the vector registers clear. Processors that keep both halves busy work on plain code
 * after that several times slower, and nothing else shows it. A compiler does it behind vectors of 256 bits, if it is told. */
#include "device/activation.h"
#include "device/cpu/quant_kernels.h"
#include "device/host.h"
#include "device/loss.h"
#include "device/rowwise.h"
#include "support/attention_case.h"
#include "support/devices.h"
#include "support/linear_case.h"
#include "support/suite.h"

#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 256, ROWS = 9, UPPER = 1U << 2 };

/* Whether upper halves are in use, as far as the processor says. */
static bool in_use(void)
{
    unsigned low = 0;
    unsigned high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return (low & UPPER) != 0;
}

static bool has_instruction(void)
{
    enum { LEAF = 0xd, USED = 1U << 2 };
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return fr_isa_detect() >= FR_ISA_AVX2 &&
           __get_cpuid_count(LEAF, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & USED) != 0;
}

/* A processor may say more than is true: it is asked about cases whose answers are known. */
static bool says_what_is_used(void)
{
    if (!has_instruction()) {
        return false;
    }
    __asm__ volatile("vpcmpeqd %%ymm1, %%ymm1, %%ymm1" ::: "xmm1");
    bool after_whole = in_use();
    __asm__ volatile("vzeroupper" ::: "xmm1");
    bool after_clearing = in_use();
    __asm__ volatile("vaddss %%xmm1, %%xmm1, %%xmm1" ::: "xmm1");
    bool after_lower = in_use();
    return after_whole && !after_clearing && !after_lower;
}

static void check_clear(const char *what, fr_isa isa)
{
    bool used = in_use();
    if (used) {
        printf("    %s on %s leaves upper halves in use\n", what, fr_isa_name(isa));
        __asm__ volatile("vzeroupper");
    }
    CU_ASSERT_FALSE(used);
}

static void check_products(fr_device *device, fr_isa isa)
{
    float *x = fr_test_numbers((int64_t)ROWS * WIDTH, 1, 1);
    float *y = fr_test_zeros((int64_t)ROWS * WIDTH);
    for (int dtype = FR_F32; dtype <= FR_BF16; dtype++) {
        fr_linear_case c = fr_linear_case_init(WIDTH, WIDTH, (fr_dtype)dtype);
        FR_ASSERT_OK(fr_linear_case_run(device, &c, false, ROWS, x, false, y));
        check_clear("a product", isa);
        FR_ASSERT_OK(fr_linear_case_run(device, &c, true, ROWS, x, false, y));
        check_clear("a product backwards", isa);
        FR_ASSERT_OK(fr_linear_few(device, 1, fr_host_view(x), &c.w, fr_view_none(),
                                   fr_host_view(y)));
        check_clear("a product of a row", isa);
        fr_linear_case_fini(&c);
    }
    free(x);
    free(y);
}

static void check_rows(fr_device *device, fr_isa isa)
{
    int64_t n = (int64_t)ROWS * WIDTH;
    float *x = fr_test_numbers(n, 2, 1);
    float *y = fr_test_zeros(n);
    float *rstd = fr_test_zeros(ROWS);
    fr_rmsnorm(device, ROWS, WIDTH, fr_host_view(x), fr_host_f32(x), 1, fr_host_view(y),
               fr_host_f32(rstd));
    check_clear("a norm", isa);
    for (int kind = 0; kind < FR_ACTIVATIONS; kind++) {
        fr_activate(device, (fr_activation)kind, n, fr_host_view(x), fr_host_view(y));
        check_clear("an activation", isa);
    }
    fr_save(device, n, fr_host_view(x), fr_view_of(fr_host_bytes(y), FR_BF16));
    check_clear("keeping", isa);
    free(x);
    free(y);
    free(rstd);
}

static void check_attention(fr_device *device, fr_isa isa)
{
    fr_segment segments[FR_UNIT_SEGMENTS];
    fr_attention_unit(0, 0, segments);
    fr_attention_case *c =
        fr_attention_case_create(&fr_attention_shapes[0], FR_UNIT_SEGMENTS, segments);
    fr_attention_case_forward(device, c);
    check_clear("attention", isa);
    fr_attention_case_backward(device, c, false);
    check_clear("attention backwards", isa);
    fr_attention_case_destroy(&c);
}

static void check_loss(fr_device *device, fr_isa isa)
{
    static const int32_t TARGETS[ROWS] = {0};
    double nll[ROWS];
    float *logits = fr_test_numbers((int64_t)ROWS * WIDTH, 3, 1);
    fr_cross_entropy(device, ROWS, WIDTH, NULL, fr_host_f32(logits), TARGETS, true,
                     fr_host_f64(nll));
    check_clear("a loss", isa);
    free(logits);
}

static void operators_leave_upper_halves_clear(void)
{
    if (!says_what_is_used()) {
        fr_skip("the processor does not say which registers are in use");
        return;
    }
    for (int isa = FR_ISA_GENERIC; isa <= (int)fr_isa_detect(); isa++) {
        fr_device *device = fr_test_device((fr_isa)isa, 1);
        check_products(device, (fr_isa)isa);
        check_rows(device, (fr_isa)isa);
        check_attention(device, (fr_isa)isa);
        check_loss(device, (fr_isa)isa);
        fr_device_destroy(&device);
    }
}

static void conversions_leave_upper_halves_clear(void)
{
    static const fr_quant_kernels *const TABLES[] = {&fr_quant_generic, &fr_quant_avx2,
                                                     &fr_quant_avx512};
    static const uint8_t BYTES[1024];
    float out[FR_QUANT_MAX_BLOCK];
    uint16_t narrow[FR_QUANT_MAX_BLOCK];
    if (!says_what_is_used()) {
        fr_skip("the processor does not say which registers are in use");
        return;
    }
    for (int isa = FR_ISA_GENERIC; isa <= FR_ISA_AVX512 && isa <= (int)fr_isa_detect();
         isa++) {
        for (uint32_t type = 0; type <= FR_QUANT_Q2_0; type++) {
            const fr_quant_type *t = fr_quant_find(type);
            if (t != NULL && t->widens) {
                fr_quant_widen(TABLES[isa], t, BYTES, FR_QUANT_MAX_BLOCK, out);
                check_clear(t->name, (fr_isa)isa);
                fr_quant_to_bf16(TABLES[isa], t, BYTES, FR_QUANT_MAX_BLOCK, narrow);
                check_clear(t->name, (fr_isa)isa);
            }
        }
    }
}

static const fr_case CASES[] = {
    FR_CASE(operators_leave_upper_halves_clear),
    FR_CASE(conversions_leave_upper_halves_clear),
};

int main(int argc, char **argv)
{
    return fr_suite_main("upper_halves", CASES, FR_N_CASES(CASES), argc, argv);
}
