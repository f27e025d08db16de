/* The real SmolLM2 against transformers on the same GGUF file; make_smollm2.py made smollm2.json. Skipped
 * visibly when the model is not there. */
#include "support/model_cases.h"
#include "support/suite.h"

static const fr_stage_prefix NONE = {0};

static void losses_match_transformers(void)
{
    fr_tiny tiny;
    size_t i = 0;
    json_t *one = NULL;
    if (fr_real_model() == NULL) {
        fr_skip("SmolLM2 is not there: launch/fetch-model.sh gets it");
        return;
    }
    json_t *root = fr_cases_read("smollm2.json");
    fr_tiny_open(fr_real_model(), FR_F32, 256, &tiny);
    json_array_foreach(json_object_get(root, "cases"), i, one)
    {
        fr_cases_check_nats(&tiny, &NONE, one);
    }
    fr_tiny_close(&tiny);
    json_decref(root);
}

static void greedy_text_matches_transformers(void)
{
    fr_tiny tiny;
    size_t i = 0;
    json_t *one = NULL;
    fr_group *group = NULL;
    fr_generator *generator = NULL;
    if (fr_real_model() == NULL) {
        fr_skip("SmolLM2 is not there: launch/fetch-model.sh gets it");
        return;
    }
    json_t *root = fr_cases_read("smollm2.json");
    fr_tiny_open(fr_real_model(), FR_F32, 256, &tiny);
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &group));
    fr_generator_params params = {.pipeline = group, .stage = tiny.stage};
    FR_ASSERT_OK(fr_generator_create(fr_test_ctx(), &params, &generator));
    json_array_foreach(json_object_get(root, "cases"), i, one)
    {
        fr_cases_check_greedy(generator, &NONE, one);
    }
    fr_generator_destroy(&generator);
    fr_group_destroy(&group);
    fr_tiny_close(&tiny);
    json_decref(root);
}

static const fr_case CASES[] = {
    FR_CASE(losses_match_transformers),
    FR_CASE(greedy_text_matches_transformers),
};

int main(int argc, char **argv)
{
    return fr_suite_main("smollm2", CASES, FR_N_CASES(CASES), argc, argv);
}
