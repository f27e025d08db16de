#include "device/cpu/quant_kernels.h"
#include "device/matrix.h"
#include "model/weights/frozen.h"
#include "support/suite.h"

#include <stdlib.h>

/* The stack as a lone reader gets it, held in memory or left in the file. */
static void check_stack(fr_frozen *frozen, const fr_holding *holding,
                        const fr_stack *stack, int64_t layer)
{
    fr_matrix w = fr_frozen_matrix(frozen, stack, layer);
    size_t row_bytes = (size_t)w.n_in * fr_dtype_bytes(w.dtype);
    char *wanted = malloc((size_t)w.n_out * row_bytes);
    char *got = malloc((size_t)w.n_out * row_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wanted);
    CU_ASSERT_PTR_NOT_NULL_FATAL(got);
    char *next = wanted;
    for (int i = 0; i < stack->n_roles; i++) {
        int64_t rows = 0;
        int64_t columns = 0;
        fr_weights_shape(holding->weights, stack->roles[i], layer, &rows, &columns);
        FR_ASSERT_OK(fr_weights_read(fr_test_ctx(), holding->weights, stack->roles[i],
                                     layer, holding->dtype, next));
        next += (size_t)rows * row_bytes;
    }
    CU_ASSERT_EQUAL(next - wanted, w.n_out * (int64_t)row_bytes);
    fr_matrix_read(&fr_quant_generic, &w, 0, w.n_out, got);
    fr_assert_same_bytes("matrix", got, wanted, (size_t)w.n_out * row_bytes);
    free(wanted);
    free(got);
}

static void check_share(const fr_frozen_params *p)
{
    const fr_arch *arch = fr_weights_arch(p->holding.weights);
    bool gated = arch->gated;
    fr_frozen *frozen = NULL;
    FR_ASSERT_OK(fr_frozen_create(fr_test_ctx(), p, &frozen));
    CU_ASSERT_PTR_NOT_NULL_FATAL(frozen);
    for (int64_t i = p->first_layer; i < p->first_layer + p->n_layers; i++) {
        check_stack(frozen, &p->holding, &FR_STACK_QKV, i);
        check_stack(frozen, &p->holding, &FR_STACK_O, i);
        check_stack(frozen, &p->holding, gated ? &FR_STACK_GATE_UP : &FR_STACK_UP, i);
        check_stack(frozen, &p->holding, &FR_STACK_DOWN, i);
    }
    if (p->first_layer == 0) {
        check_stack(frozen, &p->holding, &FR_STACK_TOKENS, -1);
    }
    if (p->first_layer + p->n_layers == arch->n_layers) {
        check_stack(frozen, &p->holding, &FR_STACK_HEAD, -1);
    }
    fr_frozen_destroy(&frozen);
}

/* The ranks as replicas of all layers, then as stages of one pipeline. */
static void check_model(const char *path, fr_dtype dtype, bool in_file,
                        const char *proc)
{
    fr_group *world = fr_test_world();
    int rank = fr_group_rank(world);
    int size = fr_group_size(world);
    fr_weights *weights = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), fr_test_data(path), &weights));
    int64_t n_layers = fr_weights_arch(weights)->n_layers;
    fr_frozen_params p = {.holding = {weights, dtype, in_file},
                          .node = world,
                          .n_threads = 1 + rank,
                          .n_layers = n_layers,
                          .proc = proc};
    check_share(&p);
    p.first_layer = n_layers * rank / size;
    p.n_layers = n_layers * (rank + 1) / size - p.first_layer;
    check_share(&p);
    fr_weights_close(&weights);
    fr_group_destroy(&world);
}

static void check_models(const char *proc)
{
    static const char *const MODELS[] = {"golden/tiny_llama", "golden/tiny_gpt2"};
    for (int i = 0; i < FR_N_CASES(MODELS); i++) {
        check_model(MODELS[i], FR_F32, false, proc);
        check_model(MODELS[i], FR_BF16, false, proc);
        check_model(MODELS[i], FR_BF16, true, proc);
    }
}

static void shared_matrices_are_those_of_the_file(void)
{
    check_models(NULL);
}

static void ranks_that_cannot_share_convert_for_themselves(void)
{
    fr_group *world = fr_test_world();
    bool is_second = fr_group_rank(world) == 1;
    fr_group_destroy(&world);
    check_models(is_second ? "/nonexistent" : NULL);
}

static const fr_case CASES[] = {
    FR_CASE(shared_matrices_are_those_of_the_file),
    FR_CASE(ranks_that_cannot_share_convert_for_themselves),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("frozen", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
