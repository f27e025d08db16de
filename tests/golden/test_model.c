/* Logits, losses and prefix gradients against Hugging Face PEFT (f32, eager attention); README.md of this
 * folder says how the values were made. */
#include "base/mem.h"
#include "model/files/safetensors.h"
#include "model/network/generate.h"
#include "support/model_files.h"
#include "support/suite.h"
#include "support/tiny_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double VALUE_TOLERANCE = 2e-4;
static const double GRADIENT_TOLERANCE = 1e-3;

/* One golden case in Forerun's layout. */
typedef struct golden {
    fr_safetensors *file;
    fr_tiny tiny;
    int64_t n_rows;
    int64_t n_tokens; /* padded */
    int64_t length;   /* P */
    int64_t n_prefix; /* layers * P * G * K */
    int64_t *ids;
    int64_t *mask;
    float *k;
    float *v;
} golden;

static float *read_floats(const golden *g, const char *name, int64_t n)
{
    float *out = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), n, sizeof *out, &out));
    fr_test_copy_tensor(g->file, name, "F32", n, out);
    return out;
}

static int64_t *read_ints(const golden *g, const char *name, int64_t n)
{
    int64_t *out = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), n, sizeof *out, &out));
    fr_test_copy_tensor(g->file, name, "I64", n, out);
    return out;
}

/* [layers, G, P, K] of the file -> [layers, P, G, K]. */
static void to_slots(const golden *g, const float *from, float *to)
{
    const fr_arch *a = g->tiny.arch;
    for (int64_t l = 0; l < a->n_layers; l++) {
        for (int64_t h = 0; h < a->n_kv_heads; h++) {
            for (int64_t p = 0; p < g->length; p++) {
                int64_t source =
                    ((l * a->n_kv_heads + h) * g->length + p) * a->head_dim;
                int64_t target =
                    ((l * g->length + p) * a->n_kv_heads + h) * a->head_dim;
                memcpy(to + target, from + source, (size_t)a->head_dim * sizeof(float));
            }
        }
    }
}

static float *read_slots(const golden *g, const char *name)
{
    float *raw = read_floats(g, name, g->n_prefix);
    float *out = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), g->n_prefix, sizeof *out, &out));
    to_slots(g, raw, out);
    free(raw);
    return out;
}

static void golden_open(const char *model, const char *name, golden *g)
{
    char path[128];
    *g = (golden){0};
    (void)snprintf(path, sizeof path, "golden/%s_%s_f32.safetensors", model, name);
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), fr_test_data(path), &g->file));
    (void)snprintf(path, sizeof path, "golden/%s", model);
    fr_tiny_open(fr_test_data(path), FR_F32, 64, &g->tiny);
    const fr_safetensor *ids = fr_safetensors_find(g->file, "input_ids");
    const fr_safetensor *k = fr_safetensors_find(g->file, "prefix_k");
    CU_ASSERT_FATAL(ids != NULL && k != NULL);
    g->n_rows = ids->shape[0];
    g->n_tokens = ids->shape[1];
    g->length = k->shape[2];
    g->n_prefix = k->n;
    g->ids = read_ints(g, "input_ids", ids->n);
    g->mask = read_ints(g, "attention_mask", ids->n);
    g->k = read_slots(g, "prefix_k");
    g->v = read_slots(g, "prefix_v");
}

static void golden_close(golden *g)
{
    fr_tiny_close(&g->tiny);
    fr_safetensors_close(&g->file);
    free(g->ids);
    free(g->mask);
    free(g->k);
    free(g->v);
}

/* The real tokens of row r. */
static int64_t row_ids(const golden *g, int64_t r, int32_t *out)
{
    int64_t n = 0;
    for (int64_t t = 0; t < g->n_tokens; t++) {
        if (g->mask[r * g->n_tokens + t] != 0) {
            out[n++] = (int32_t)g->ids[r * g->n_tokens + t];
        }
    }
    return n;
}

static void check_row_logits(golden *g, int64_t r, const float *wanted, float *got)
{
    int32_t ids[64];
    int32_t rows[64];
    int64_t vocab = g->tiny.arch->vocab_size;
    int64_t n = row_ids(g, r, ids);
    fr_stage_prefix prefix = {.length = g->length, .k = g->k, .v = g->v};
    fr_tiny_one_row(&g->tiny, g->length, ids, n);
    (void)fr_tiny_loss(&g->tiny, &prefix, NULL);
    for (int32_t t = 0; t < n - 1; t++) {
        rows[t] = t;
    }
    FR_ASSERT_OK(fr_stage_logits(g->tiny.stage, g->tiny.activations, n - 1, rows, got));
    fr_assert_close("logits", got, wanted + r * g->n_tokens * vocab, (n - 1) * vocab,
                    VALUE_TOLERANCE);
}

static void check_logits(const char *model, const char *name)
{
    golden g;
    golden_open(model, name, &g);
    int64_t n = g.n_rows * g.n_tokens * g.tiny.arch->vocab_size;
    float *wanted = read_floats(&g, "logits", n);
    float *got = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), n, sizeof *got, &got));
    for (int64_t r = 0; r < g.n_rows; r++) {
        check_row_logits(&g, r, wanted, got);
    }
    free(wanted);
    free(got);
    golden_close(&g);
}

/* Every row as a unit of one batch: per-token losses in order, and the gradient of their mean. */
static void check_loss_and_gradient(const char *model, const char *name)
{
    golden g;
    int32_t ids[4][64];
    uint8_t counted[64];
    golden_open(model, name, &g);
    memset(counted, 1, sizeof counted);
    for (int64_t r = 0; r < g.n_rows; r++) {
        int64_t n = row_ids(&g, r, ids[r]);
        fr_sequence source = {ids[r], NULL, 1};
        fr_sequence target = {ids[r] + 1, counted, n - 1};
        FR_ASSERT_OK(
            fr_batch_add(fr_test_ctx(), &g.tiny.batch, g.length, &source, &target, 1));
    }
    double *gradient = NULL;
    float *mean = NULL;
    float loss = 0.0f;
    fr_stage_prefix prefix = {.length = g.length, .k = g.k, .v = g.v};
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * g.n_prefix, sizeof *gradient, &gradient));
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * g.n_prefix, sizeof *mean, &mean));
    double n_targets = (double)g.tiny.batch.n_targets;
    double nats = fr_tiny_loss(&g.tiny, &prefix, gradient);
    for (int64_t i = 0; i < 2 * g.n_prefix; i++) {
        mean[i] = (float)(gradient[i] / n_targets);
    }
    float got_loss = (float)(nats / n_targets);
    float *wanted_k = read_slots(&g, "grad_k");
    float *wanted_v = read_slots(&g, "grad_v");
    fr_test_copy_tensor(g.file, "loss", "F32", 1, &loss);
    fr_assert_close("loss", &got_loss, &loss, 1, VALUE_TOLERANCE);
    fr_assert_close("dP_K", mean, wanted_k, g.n_prefix, GRADIENT_TOLERANCE);
    fr_assert_close("dP_V", mean + g.n_prefix, wanted_v, g.n_prefix,
                    GRADIENT_TOLERANCE);
    free(wanted_k);
    free(wanted_v);
    free(gradient);
    free(mean);
    golden_close(&g);
}

static void check_token_losses(const char *model, const char *name)
{
    golden g;
    int32_t ids[64];
    double nll[64];
    float got[64];
    golden_open(model, name, &g);
    fr_stage_prefix prefix = {.length = g.length, .k = g.k, .v = g.v};
    float *wanted = read_floats(&g, "token_loss", g.n_rows * (g.n_tokens - 1));
    for (int64_t r = 0; r < g.n_rows; r++) {
        int64_t n = row_ids(&g, r, ids);
        fr_tiny_one_row(&g.tiny, g.length, ids, n);
        (void)fr_tiny_loss(&g.tiny, &prefix, NULL);
        FR_ASSERT_OK(
            fr_stage_loss(g.tiny.stage, &g.tiny.batch, g.tiny.activations, false, nll));
        for (int64_t t = 0; t < n - 1; t++) {
            got[t] = (float)nll[t];
        }
        fr_assert_close("token loss", got, wanted + r * (g.n_tokens - 1), n - 1,
                        VALUE_TOLERANCE);
    }
    free(wanted);
    golden_close(&g);
}

static void check_generation(const char *model)
{
    golden g;
    int32_t ids[64];
    fr_group *group = NULL;
    fr_generator *generator = NULL;
    golden_open(model, "left", &g);
    fr_stage_prefix prefix = {.length = g.length, .k = g.k, .v = g.v};
    int64_t n_new = fr_safetensors_find(g.file, "generated")->shape[1];
    int64_t *wanted = read_ints(&g, "generated", g.n_rows * n_new);
    fr_generate_params params = {
        .sample = {.top_p = 1.0}, .max_new_tokens = n_new, .batch = 1};
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &group));
    FR_ASSERT_OK(fr_generator_create(fr_test_ctx(), group, g.tiny.stage, &generator));
    for (int64_t r = 0; r < g.n_rows; r++) {
        fr_generate_row row = {.prefix = &prefix, .prompt = {.data = ids}};
        row.prompt.count = row_ids(&g, r, ids);
        FR_ASSERT_OK(fr_generate(generator, &row, 1, &params));
        CU_ASSERT_EQUAL_FATAL(row.out.count, n_new);
        for (int64_t t = 0; t < n_new; t++) {
            CU_ASSERT_EQUAL(row.out.data[t], wanted[r * n_new + t]);
        }
        fr_ids_fini(&row.out);
    }
    fr_generator_destroy(&generator);
    fr_group_destroy(&group);
    free(wanted);
    golden_close(&g);
}

static void llama_logits_match(void)
{
    check_logits("tiny_llama", "right");
    check_logits("tiny_llama", "nopad_p1");
}

static void gpt2_logits_match(void)
{
    check_logits("tiny_gpt2", "right");
    check_logits("tiny_gpt2", "nopad_p1");
}

static void llama_token_losses_match(void)
{
    check_token_losses("tiny_llama", "right");
    check_token_losses("tiny_llama", "nopad_p1");
}

static void gpt2_token_losses_match(void)
{
    check_token_losses("tiny_gpt2", "right");
    check_token_losses("tiny_gpt2", "nopad_p1");
}

static void llama_prefix_gradients_match(void)
{
    check_loss_and_gradient("tiny_llama", "right");
    check_loss_and_gradient("tiny_llama", "nopad_p1");
}

static void gpt2_prefix_gradients_match(void)
{
    check_loss_and_gradient("tiny_gpt2", "right");
    check_loss_and_gradient("tiny_gpt2", "nopad_p1");
}

static void greedy_generation_matches(void)
{
    check_generation("tiny_llama");
    check_generation("tiny_gpt2");
}

static const fr_case CASES[] = {
    FR_CASE(llama_logits_match),           FR_CASE(gpt2_logits_match),
    FR_CASE(llama_token_losses_match),     FR_CASE(gpt2_token_losses_match),
    FR_CASE(llama_prefix_gradients_match), FR_CASE(gpt2_prefix_gradients_match),
    FR_CASE(greedy_generation_matches),
};

int main(int argc, char **argv)
{
    return fr_suite_main("model", CASES, FR_N_CASES(CASES), argc, argv);
}
