/* What a stage refuses before its tables are indexed by it. */
#include "device/host.h"
#include "support/model_files.h"
#include "support/tiny_model.h"

static const int32_t IDS[] = {5, 17, 99, 3};
static const char *const MODELS[] = {"golden/tiny_llama", "golden/tiny_gpt2"};

/* Ids that no reader has checked, e.g. from a token cache of somebody else. */
static void a_stage_takes_no_batch_with_ids_outside_its_tables(void)
{
    static const int32_t BAD[] = {-1, 128, INT32_MAX, INT32_MIN};
    static const fr_stage_prefix NONE = {0};
    for (size_t i = 0; i < 2 * sizeof BAD / sizeof BAD[0]; i++) {
        fr_tiny tiny;
        double nll[8];
        int32_t ids[] = {5, 6, 7};
        fr_tiny_open(fr_test_data(MODELS[i % 2]), FR_F32, 16, &tiny);
        ids[1] = BAD[i / 2];
        fr_tiny_one_row(&tiny, 0, ids, 3); /* read and predicted */
        FR_ASSERT_FAILS(
            fr_activations_prepare(tiny.stage, tiny.activations, &tiny.batch, &NONE),
            FR_ERR_DATA, "a token of a batch: the id");
        FR_ASSERT_FAILS(
            fr_activations_prepare(tiny.stage, tiny.activations, &tiny.batch, &NONE),
            FR_ERR_DATA, "is outside the model's vocabulary, 0 to 127");
        FR_ASSERT_FAILS(
            fr_stage_forward(tiny.stage, &tiny.batch, &NONE, NULL, tiny.activations),
            FR_ERR_INTERNAL, "without activations prepared for them");
        fr_tiny_one_row(&tiny, 0, IDS, 3);
        FR_ASSERT_OK(
            fr_activations_prepare(tiny.stage, tiny.activations, &tiny.batch, &NONE));
        FR_ASSERT_OK(
            fr_stage_forward(tiny.stage, &tiny.batch, &NONE, NULL, tiny.activations));
        tiny.batch.target_ids_R[1] = BAD[i / 2]; /* the loss writes a gradient there */
        FR_ASSERT_FAILS(fr_stage_loss(tiny.stage, &tiny.batch, tiny.activations, true,
                                      fr_host_f64(nll)),
                        FR_ERR_DATA, "a target of a batch: the id");
        fr_tiny_one_row(&tiny, 14, IDS, 4);
        FR_ASSERT_FAILS(
            fr_activations_prepare(tiny.stage, tiny.activations, &tiny.batch, &NONE),
            FR_ERR_DATA, "stands at position 16");
        fr_tiny_close(&tiny);
    }
}

/* A batch may have been filled anew since the last pass. */
static void each_pass_needs_activations_prepared_for_its_batch(void)
{
    static const fr_stage_prefix NONE = {0};
    fr_tiny tiny;
    fr_batch other = {0};
    fr_tiny_open(fr_test_data(MODELS[0]), FR_F32, 16, &tiny);
    fr_tiny_one_row(&tiny, 0, IDS, 3);
    FR_ASSERT_OK(
        fr_activations_prepare(tiny.stage, tiny.activations, &tiny.batch, &NONE));
    FR_ASSERT_OK(
        fr_stage_forward(tiny.stage, &tiny.batch, &NONE, NULL, tiny.activations));
    FR_ASSERT_FAILS(
        fr_stage_forward(tiny.stage, &tiny.batch, &NONE, NULL, tiny.activations),
        FR_ERR_INTERNAL, "2 token rows without activations");
    FR_ASSERT_OK(
        fr_activations_prepare(tiny.stage, tiny.activations, &tiny.batch, &NONE));
    FR_ASSERT_FAILS(fr_stage_forward(tiny.stage, &other, &NONE, NULL, tiny.activations),
                    FR_ERR_INTERNAL, "without activations prepared");
    fr_tiny_close(&tiny);
}

static const fr_case CASES[] = {
    FR_CASE(a_stage_takes_no_batch_with_ids_outside_its_tables),
    FR_CASE(each_pass_needs_activations_prepared_for_its_batch),
};

int main(int argc, char **argv)
{
    return fr_suite_main("stage_bad", CASES, FR_N_CASES(CASES), argc, argv);
}
