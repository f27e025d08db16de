/* Gemma 3 270M against transformers on the weights of the same GGUF file; make_gemma3.py made gemma3.json. Texts are
 * longer than the windows, without a prefix and with one that every token sees or that slides. Skipped visibly when
 * the model is not there. */
#include "base/file.h"
#include "base/mem.h"
#include "support/device_memory.h"
#include "support/model_cases.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { POSITIONS = 640 };

/* What a case is computed under. */
typedef struct prefixes {
    fr_f32 *values; /* K, then V; memory of the device */
    fr_stage_prefix none;
    fr_stage_prefix always;
    fr_stage_prefix slides;
} prefixes;

/* The path of the model: FORERUN_GEMMA, else models/ of the source tree; NULL if it is not there. */
static const char *find_model(void)
{
    const char *path = getenv("FORERUN_GEMMA");
    if (path == NULL) {
        path = fr_test_data("../models/gemma-3-270m-q4_k_m.gguf");
    }
    if (!fr_file_exists(path)) {
        fr_skip("Gemma 3 is not there: launch/fetch-gemma.sh gets it");
        return NULL;
    }
    return path;
}

/* slot_values of make_gemma3.py: the last steps of MurmurHash3 on the element's number, the upper 16 bits as a number
 * in [-1, 1). */
static float slot_value(uint32_t number)
{
    uint32_t h = number + 1;
    h = (h ^ (h >> 16)) * UINT32_C(0x85EBCA6B);
    h = (h ^ (h >> 13)) * UINT32_C(0xC2B2AE35);
    h ^= h >> 16;
    return (float)(h >> 16) / 32768.0F - 1.0F;
}

static prefixes make_prefixes(const fr_tiny *tiny, int64_t slots)
{
    prefixes p = {.values = NULL};
    int64_t n = tiny->arch->n_layers * fr_arch_prefix_elements(tiny->arch, slots);
    float *values = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * n, sizeof *values, &values));
    for (int64_t i = 0; i < 2 * n; i++) {
        values[i] = slot_value((uint32_t)i);
    }
    p.values = fr_test_bring(tiny->device, values, 2 * n, sizeof *values);
    free(values);
    p.always = (fr_stage_prefix){.length = slots, .k = p.values, .v = p.values + n};
    p.slides = p.always;
    p.slides.slides = true;
    return p;
}

static const fr_stage_prefix *prefix_of(const prefixes *p, const json_t *one)
{
    const char *window = json_string_value(json_object_get(one, "window"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(window);
    if (strcmp(window, "none") == 0) {
        return &p->none;
    }
    return strcmp(window, "slides") == 0 ? &p->slides : &p->always;
}

/* Open the model and the cases; the caller closes both. */
static json_t *begin(const char *path, fr_tiny *tiny, prefixes *p)
{
    json_t *root = fr_cases_read("gemma3.json");
    fr_tiny_open(path, FR_F32, POSITIONS, tiny);
    *p = make_prefixes(tiny, json_integer_value(json_object_get(root, "slots")));
    return root;
}

static void end(fr_tiny *tiny, prefixes *p, json_t *root)
{
    fr_device_free(tiny->device, p->values);
    fr_tiny_close(tiny);
    json_decref(root);
}

static void losses_match_transformers(void)
{
    fr_tiny tiny;
    prefixes p;
    size_t i = 0;
    json_t *one = NULL;
    const char *path = find_model();
    if (path == NULL) {
        return;
    }
    json_t *root = begin(path, &tiny, &p);
    json_array_foreach(json_object_get(root, "losses"), i, one)
    {
        fr_cases_check_nats(&tiny, prefix_of(&p, one), one);
    }
    end(&tiny, &p, root);
}

static void greedy_text_matches_transformers(void)
{
    fr_tiny tiny;
    prefixes p;
    size_t i = 0;
    json_t *one = NULL;
    fr_group *group = NULL;
    fr_generator *generator = NULL;
    const char *path = find_model();
    if (path == NULL) {
        return;
    }
    json_t *root = begin(path, &tiny, &p);
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &group));
    fr_generator_params params = {.pipeline = group, .stage = tiny.stage};
    FR_ASSERT_OK(fr_generator_create(fr_test_ctx(), &params, &generator));
    json_array_foreach(json_object_get(root, "greedy"), i, one)
    {
        fr_cases_check_greedy(generator, prefix_of(&p, one), one);
    }
    fr_generator_destroy(&generator);
    fr_group_destroy(&group);
    end(&tiny, &p, root);
}

static const fr_case CASES[] = {
    FR_CASE(losses_match_transformers),
    FR_CASE(greedy_text_matches_transformers),
};

int main(int argc, char **argv)
{
    return fr_suite_main("gemma3", CASES, FR_N_CASES(CASES), argc, argv);
}
