/* The real SmolLM2 against transformers on the same GGUF file; make_smollm2.py made smollm2.json. Skipped
 * visibly when the model is not there. */
#include "model/network/generate.h"
#include "support/suite.h"
#include "support/tiny_model.h"

#include <jansson.h>
#include <string.h>

enum { MAX = 128 };
static const fr_stage_prefix NONE = {0};

static json_t *read_cases(void)
{
    json_t *root = json_load_file(fr_test_data("golden/smollm2.json"), 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    return root;
}

static int64_t read_ids(const json_t *array, int32_t *out)
{
    int64_t n = (int64_t)json_array_size(array);
    for (int64_t i = 0; i < n; i++) {
        out[i] = (int32_t)json_integer_value(json_array_get(array, (size_t)i));
    }
    return n;
}

static void check_losses(fr_tiny *tiny, const json_t *one)
{
    int32_t ids[MAX];
    double nll[MAX];
    float got[MAX];
    float wanted[MAX];
    int64_t n = read_ids(json_object_get(one, "ids"), ids);
    fr_tiny_one_row(tiny, 0, ids, n);
    (void)fr_tiny_loss(tiny, &NONE, NULL);
    FR_ASSERT_OK(
        fr_stage_loss(tiny->stage, &tiny->batch, tiny->activations, false, nll));
    for (int64_t i = 0; i < n - 1; i++) {
        got[i] = (float)nll[i];
        wanted[i] = (float)json_real_value(
            json_array_get(json_object_get(one, "nats"), (size_t)i));
    }
    fr_assert_close("nats", got, wanted, n - 1, 2e-4);
}

static void losses_match_transformers(void)
{
    fr_tiny tiny;
    size_t i = 0;
    json_t *one = NULL;
    if (fr_real_model() == NULL) {
        fr_skip("SmolLM2 is not there: launch/fetch-model.sh gets it");
        return;
    }
    json_t *root = read_cases();
    fr_tiny_open(fr_real_model(), FR_F32, 256, &tiny);
    json_array_foreach(json_object_get(root, "cases"), i, one)
    {
        check_losses(&tiny, one);
    }
    fr_tiny_close(&tiny);
    json_decref(root);
}

static void check_text(fr_generator *generator, const json_t *one)
{
    int32_t ids[MAX];
    int32_t wanted[MAX];
    fr_generate_row row = {.prefix = &NONE, .prompt = {.data = ids}};
    int64_t n_new = read_ids(json_object_get(one, "greedy"), wanted);
    fr_generate_params params = {
        .sample = {.top_p = 1.0}, .max_new_tokens = n_new, .batch = 1};
    row.prompt.count = read_ids(json_object_get(one, "ids"), ids);
    FR_ASSERT_OK(fr_generate(generator, &row, 1, &params));
    CU_ASSERT_EQUAL_FATAL(row.out.count, n_new);
    fr_assert_same_bytes("greedy ids", row.out.data, wanted,
                         (size_t)n_new * sizeof *wanted);
    fr_ids_fini(&row.out);
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
    json_t *root = read_cases();
    fr_tiny_open(fr_real_model(), FR_F32, 256, &tiny);
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &group));
    FR_ASSERT_OK(fr_generator_create(fr_test_ctx(), group, tiny.stage, &generator));
    json_array_foreach(json_object_get(root, "cases"), i, one)
    {
        check_text(generator, one);
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
