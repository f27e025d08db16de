#include "model/frozen.h"
#include "support/suite.h"

#include <stdlib.h>

/* The matrix as a lone reader gets it. */
static void check_matrix(const fr_frozen *frozen, const fr_frozen_params *p,
                         fr_weight role, int64_t layer)
{
    int64_t rows = 0;
    int64_t columns = 0;
    fr_weights_shape(p->weights, role, layer, &rows, &columns);
    size_t bytes = (size_t)(rows * columns) * fr_dtype_bytes(p->dtype);
    void *wanted = malloc(bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wanted);
    FR_ASSERT_OK(
        fr_weights_read(fr_test_ctx(), p->weights, role, layer, p->dtype, wanted));
    fr_assert_same_bytes("matrix", fr_frozen_matrix(frozen, role, layer), wanted,
                         bytes);
    free(wanted);
}

static void check_layer(const fr_frozen *frozen, const fr_frozen_params *p,
                        int64_t layer)
{
    static const fr_weight ROLES[] = {FR_W_Q,    FR_W_K,  FR_W_V,   FR_W_O,
                                      FR_W_GATE, FR_W_UP, FR_W_DOWN};
    int64_t rows = 0;
    int64_t columns = 0;
    for (int r = 0; r < FR_N_CASES(ROLES); r++) {
        if (fr_weights_has(p->weights, ROLES[r], layer)) {
            check_matrix(frozen, p, ROLES[r], layer);
        }
    }
    fr_weights_shape(p->weights, FR_W_Q, layer, &rows, &columns);
    const char *q = fr_frozen_matrix(frozen, FR_W_Q, layer);
    const char *k = fr_frozen_matrix(frozen, FR_W_K, layer);
    CU_ASSERT_EQUAL(k - q, (int64_t)fr_dtype_bytes(p->dtype) * rows * columns);
}

static void check_share(const fr_frozen_params *p)
{
    const fr_arch *arch = fr_weights_arch(p->weights);
    fr_frozen *frozen = NULL;
    FR_ASSERT_OK(fr_frozen_create(fr_test_ctx(), p, &frozen));
    for (int64_t i = p->first_layer; i < p->first_layer + p->n_layers; i++) {
        check_layer(frozen, p, i);
    }
    if (p->first_layer == 0) {
        check_matrix(frozen, p, FR_W_TOKENS, -1);
    }
    if (p->first_layer + p->n_layers == arch->n_layers) {
        check_matrix(frozen, p, arch->tied_head ? FR_W_TOKENS : FR_W_HEAD, -1);
    }
    fr_frozen_destroy(&frozen);
}

/* The ranks as replicas of all layers, then as stages of one pipeline. */
static void check_model(const char *path, fr_dtype dtype, const char *proc)
{
    fr_group *world = fr_test_world();
    int rank = fr_group_rank(world);
    int size = fr_group_size(world);
    fr_weights *weights = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), fr_test_data(path), &weights));
    int64_t n_layers = fr_weights_arch(weights)->n_layers;
    fr_frozen_params p = {.weights = weights,
                          .node = world,
                          .n_threads = 1 + rank,
                          .dtype = dtype,
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
        check_model(MODELS[i], FR_F32, proc);
        check_model(MODELS[i], FR_BF16, proc);
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
