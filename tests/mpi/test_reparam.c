/* Stages that hold some of the layers each leave with the bits of one stage that holds all. */
#include "support/devices.h"
#include "support/reparam_case.h"
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 7 };

/* The first layer of a stage: uneven where the stages do not divide the layers. */
static int64_t first_of(const fr_group *world, int stage)
{
    return LAYERS * (int64_t)stage / fr_group_size(world);
}

/* Two steps of layers [first, first + n) over `pipeline`, gradient and tensors included. */
static void run_layers(fr_group *pipeline, fr_device *device, int64_t first, int64_t n,
                       fr_reparam_case *out)
{
    int64_t n_nonfinite = 0;
    float *gradient = fr_reparam_case_gradient(first, n, 1e-4);
    fr_reparam_case_open(device, first, n, LAYERS, false, out);
    fr_reparam_case_fill(first, out);
    for (int64_t step = 0; step < 2; step++) {
        FR_ASSERT_OK(
            fr_reparam_backward(out->reparam, pipeline, gradient, &n_nonfinite));
        FR_ASSERT_OK(fr_reparam_update(out->reparam, step, 1e-2, 1.0, &out->prefix));
    }
    CU_ASSERT_EQUAL(n_nonfinite, 0);
    free(gradient);
}

static void every_split_of_the_layers_gives_the_same_bits(void)
{
    fr_reparam_case part;
    fr_reparam_case whole;
    fr_group *self = NULL;
    fr_group *world = fr_test_world();
    fr_device *device = fr_test_device(fr_isa_detect(), 1);
    int64_t first = first_of(world, fr_group_rank(world));
    int64_t n = first_of(world, fr_group_rank(world) + 1) - first;
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &self));
    run_layers(self, device, 0, LAYERS, &whole);
    run_layers(world, device, first, n, &part);
    const fr_mlp_state *got = fr_reparam_state(part.reparam);
    const fr_mlp_state *wanted = fr_reparam_state(whole.reparam);
    for (int i = 0; i < FR_MLP_ARRAYS; i++) {
        fr_mlp_array array = fr_mlp_describe(&got->shape, i);
        int64_t skipped = array.shared ? 0 : first * array.floats;
        int64_t floats = array.floats * (array.shared ? 1 : n);
        fr_assert_same_bytes(array.name, got->arrays[i], wanted->arrays[i] + skipped,
                             (size_t)floats * sizeof(float));
    }
    fr_assert_same_bytes("k", part.prefix.k, whole.prefix.k + first * FR_CASE_LAYER,
                         (size_t)(n * FR_CASE_LAYER) * sizeof(float));
    double shared = fr_reparam_shared_norm(whole.reparam);
    CU_ASSERT_TRUE(shared > 0.0);
    CU_ASSERT_EQUAL(fr_reparam_shared_norm(part.reparam), shared);
    fr_reparam_case_close(&part);
    fr_reparam_case_close(&whole);
    fr_device_destroy(&device);
    fr_group_destroy(&self);
    fr_group_destroy(&world);
}

/* A contribution that one stage alone sees stops the step on all. */
static void bad_number_of_one_stage_counts_on_all(void)
{
    static const float BAD[] = {INFINITY, NAN, 1e9f};
    fr_reparam_case c;
    fr_group *world = fr_test_world();
    fr_device *device = fr_test_device(fr_isa_detect(), 1);
    float *gradient = fr_reparam_case_gradient(0, 1, 1.0);
    int last = fr_group_size(world) - 1;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        int64_t n_nonfinite = 0;
        fr_reparam_case_open(device, 0, 1, LAYERS, false, &c);
        if (fr_group_rank(world) == last) {
            fr_mlp_values(fr_reparam_state(c.reparam), FR_MLP_W2, 0)[0] = BAD[i];
        }
        FR_ASSERT_OK(fr_reparam_backward(c.reparam, world, gradient, &n_nonfinite));
        CU_ASSERT_EQUAL(n_nonfinite, 1);
        fr_reparam_case_close(&c);
    }
    free(gradient);
    fr_device_destroy(&device);
    fr_group_destroy(&world);
}

static const fr_case CASES[] = {
    FR_CASE(every_split_of_the_layers_gives_the_same_bits),
    FR_CASE(bad_number_of_one_stage_counts_on_all),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("reparam", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
