/*
 * The bits of a row of a product, whatever else is multiplied: for the matrices of whole models, in both directions, in calls of 1
 * to 300 rows at changing places, compared with the same rows among 4096; by the own kernels and by the algorithms of
 * cuBLASLt. On an emulated GPU: the smallest model, and few numbers of rows.
 */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "lt_case.h"
#include "product_rows.h"
#include "which_gpu.h"

#include "base/integer.h"
#include "device/cuda/runtime.h"

#include <stdio.h>
#include <string.h>

/* Rows of the one call and of those compared with it; numbers of either side that there are at most. */
enum { ROWS = 4096, MOST = 300, ROWS_EMULATED = 200, STEP_EMULATED = 37 };
enum { MOST_NUMBERS = 1 << 27, MATRICES = 5 };

typedef struct model {
    const char *name;
    bool in_f32; /* too */
    int64_t
        matrices[MATRICES]
                [2]; /* rows, columns: q with k and v, o, gate with up, down, tokens */
} model;

static const model TINY = {
    "tiny", true, {{128, 64}, {64, 64}, {192, 64}, {64, 96}, {256, 64}}};
static const model SMOLLM2 = {
    "SmolLM2-135M",
    true,
    {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}, {49152, 576}}};
static const model LLAMA_8B = {
    "Llama 3 8B",
    false,
    {{6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}, {128256, 4096}}};

/* What was seen of one kind of products. */
typedef struct seen {
    int products;
    int differing;
    int refused; /* to cuBLASLt, by the probe at the start */
} seen;

/* One line for the first number of rows that has other bits. */
static bool differs(fr_product_rows *p, const char *kind)
{
    int64_t step = fr_gpu_is_emulated ? STEP_EMULATED : 1;
    for (int64_t m = 1; m <= fr_min(MOST, p->rows); m += step) {
        int64_t first = m * 97 % (p->rows - m + 1);
        if (fr_product_rows_differ(p, first, m)) {
            (void)printf("  %s: rows %lld to %lld alone have other bits than among "
                         "%lld: %lld x %lld, %s, to %s\n",
                         kind, (long long)first, (long long)(first + m - 1),
                         (long long)p->rows, (long long)p->w.n_out,
                         (long long)p->w.n_in, p->back ? "backward" : "forward",
                         p->out.dtype == FR_BF16 ? "bf16" : "f32");
            return true;
        }
    }
    return false;
}

static void look_at(fr_device *device, const fr_matrix *w, bool back, fr_dtype out,
                    seen *to)
{
    int64_t wide = fr_max(w->n_out, w->n_in);
    int64_t rows =
        fr_min(fr_gpu_is_emulated ? ROWS_EMULATED : ROWS, MOST_NUMBERS / wide);
    fr_product_rows p = fr_product_rows_open(device, w, back, rows, out);
    p.left = fr_rubbish(device, w->dtype, rows * p.depth, 1);
    to->refused += fr_product_rows_force(device);
    fr_product_rows_subtract(&p);
    to->products++;
    to->differing +=
        differs(&p, fr_cuda_of(device)->lt != NULL ? "cuBLASLt" : "own kernels");
    fr_product_rows_close(&p);
}

/* Each matrix, direction and type. */
static seen look(const model *m, fr_device *device)
{
    seen out = {0, 0, 0};
    for (int i = 0; i < MATRICES * (m->in_f32 ? 2 : 1); i++) {
        const int64_t *sizes = m->matrices[i % MATRICES];
        fr_dtype dtype = i < MATRICES ? FR_BF16 : FR_F32;
        fr_view weights = fr_rubbish(device, dtype, sizes[0] * sizes[1], 2);
        fr_matrix w = fr_matrix_of(weights.at, dtype, sizes[0], sizes[1]);
        for (int back = 0; back < 2; back++) {
            look_at(device, &w, back == 1, FR_F32, &out);
            if (dtype == FR_BF16) {
                look_at(device, &w, back == 1, FR_BF16, &out);
            }
        }
        fr_product_rows_wait(device);
        fr_device_free(device, weights.at);
    }
    return out;
}

static void close_device(fr_device *device)
{
    FR_ASSERT_OK(fr_device_check(device));
    fr_device_destroy(&device);
}

static bool skips(const model *m)
{
    if (fr_gpu_is_emulated && m != &TINY) {
        fr_skip("too large for an emulated GPU");
        return true;
    }
    return false;
}

static void check_own(const model *m)
{
    fr_device *device = NULL;
    if (skips(m)) {
        return;
    }
    FR_ASSERT_OK(fr_cuda_create(fr_test_ctx(), 0, 1, &device));
    if (device == NULL) {
        exit(1);
    }
    seen found = look(m, device);
    (void)printf("  %s, own kernels: rows of %d of %d products have the same bits in "
                 "any call\n",
                 m->name, found.products - found.differing, found.products);
    CU_ASSERT_EQUAL(found.differing, 0);
    close_device(device);
}

static seen look_with_lt(const model *m, const char *words)
{
    seen found = {0, 0, 0};
    fr_device *device = fr_lt_case_open_or_skip(words);
    if (device != NULL) {
        found = look(m, device);
        (void)printf("  %s, %s: rows of %d of %d products have the same bits in any "
                     "call; %d shapes are pinned, of which the probe at the start "
                     "refused %d\n",
                     m->name, fr_device_arithmetic(device),
                     found.products - found.differing, found.products,
                     fr_product_rows_pinned(device), found.refused);
        close_device(device);
    }
    return found;
}

static void check_lt(const model *m)
{
    if (!skips(m)) {
        CU_ASSERT_EQUAL(look_with_lt(m, "").differing, 0);
    }
}

static void tiny_by_own_kernels(void)
{
    check_own(&TINY);
}

static void tiny_by_cublaslt(void)
{
    check_lt(&TINY);
}

static void smollm2_by_own_kernels(void)
{
    check_own(&SMOLLM2);
}

static void smollm2_by_cublaslt(void)
{
    check_lt(&SMOLLM2);
}

static void llama_8b_by_own_kernels(void)
{
    check_own(&LLAMA_8B);
}

static void llama_8b_by_cublaslt(void)
{
    check_lt(&LLAMA_8B);
}

/* ---- under load ------------------------------------------------------------------------------------ */

/* Two devices in turn, so that each computes while the other does. */
static void products_repeat_under_load(void)
{
    const int64_t *sizes = fr_gpu_is_emulated ? TINY.matrices[2] : LLAMA_8B.matrices[2];
    const int repeats = fr_gpu_is_emulated ? 3 : 100;
    const int64_t rows = fr_gpu_is_emulated ? 100 : 2000;
    fr_device *devices[2] = {fr_lt_case_open_or_skip(""), NULL};
    if (devices[0] == NULL) { /* then own kernels meet own kernels */
        FR_ASSERT_OK(fr_cuda_create(fr_test_ctx(), 0, 1, &devices[0]));
    }
    FR_ASSERT_OK(fr_cuda_create(fr_test_ctx(), 0, 1, &devices[1]));
    fr_product_rows products[2];
    fr_matrix w[2];
    for (int k = 0; k < 2; k++) {
        fr_view weights = fr_rubbish(devices[k], FR_BF16, sizes[0] * sizes[1], 3);
        w[k] = fr_matrix_of(weights.at, FR_BF16, sizes[0], sizes[1]);
        products[k] = fr_product_rows_open(devices[k], &w[k], false, rows, FR_F32);
        products[k].left = fr_rubbish(devices[k], FR_BF16, rows * sizes[1], 4);
        CU_ASSERT_TRUE(fr_product_rows_run(&products[k], 0, rows, products[k].all));
    }
    int differing = 0;
    for (int i = 0; i < 2 * repeats; i++) {
        const fr_product_rows *load = &products[(i + 1) % 2];
        for (int k = 0; k < 2; k++) { /* twice as long as what it disturbs, or longer */
            FR_ASSERT_OK(fr_linear(load->device, rows, load->left, &load->w,
                                   fr_view_none(), load->out));
        }
        differing += fr_product_rows_differ(&products[i % 2], 0, rows);
    }
    (void)printf(
        "  %d of %d repeats of a product of %lld x %lld x %lld under load have "
        "other bits\n",
        differing, 2 * repeats, (long long)rows, (long long)sizes[0],
        (long long)sizes[1]);
    CU_ASSERT_EQUAL(differing, 0);
    for (int k = 0; k < 2; k++) {
        fr_product_rows_close(&products[k]);
        fr_device_free(devices[k], (void *)(uintptr_t)w[k].parts[0].rows);
        close_device(devices[k]);
    }
}

/* ---- the test itself ------------------------------------------------------------------------------- */

static void a_row_that_depends_on_the_number_of_rows_is_seen(void)
{
    if (!fr_gpu_is_emulated) {
        fr_skip("only the emulated cuBLASLt can be told to");
        return;
    }
    seen found = look_with_lt(&TINY, "rows");
    CU_ASSERT_EQUAL(found.differing, found.products);
    CU_ASSERT_EQUAL(found.refused, found.products);
}

static const fr_case CASES[] = {
    FR_CASE(tiny_by_own_kernels),
    FR_CASE(tiny_by_cublaslt),
    FR_CASE(smollm2_by_own_kernels),
    FR_CASE(smollm2_by_cublaslt),
    FR_CASE(llama_8b_by_own_kernels),
    FR_CASE(llama_8b_by_cublaslt),
    FR_CASE(products_repeat_under_load),
    FR_CASE(a_row_that_depends_on_the_number_of_rows_is_seen),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_row_bits", CASES, FR_N_CASES(CASES), argc, argv);
}
