#include "support/golden_rows.h"

#include "base/mem.h"
#include "model/network/generate.h"
#include "support/device_memory.h"
#include "support/model_files.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 4, MAX_TOKENS = 64 };

static const double VALUE_TOLERANCE = 4e-5;
static const double GRADIENT_TOLERANCE = 1e-3;

static float *read_floats(const fr_golden *g, const char *name, int64_t n)
{
    float *out = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), n, sizeof *out, &out));
    fr_test_copy_tensor(g->file, name, "F32", n, out);
    return out;
}

static int64_t *read_ints(const fr_golden *g, const char *name, int64_t n)
{
    int64_t *out = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), n, sizeof *out, &out));
    fr_test_copy_tensor(g->file, name, "I64", n, out);
    return out;
}

/* [layers, G, P, K] of the file -> [layers, P, G, K]. */
static float *read_slots(const fr_golden *g, const char *name)
{
    const fr_arch *a = g->tiny.arch;
    int64_t length = g->prefix.length;
    float *from = read_floats(g, name, g->n_prefix);
    float *to = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), g->n_prefix, sizeof *to, &to));
    for (int64_t l = 0; l < a->n_layers; l++) {
        for (int64_t h = 0; h < a->n_kv_heads; h++) {
            for (int64_t p = 0; p < length; p++) {
                int64_t source = ((l * a->n_kv_heads + h) * length + p) * a->head_dim;
                int64_t target = ((l * length + p) * a->n_kv_heads + h) * a->head_dim;
                memcpy(to + target, from + source, (size_t)a->head_dim * sizeof *to);
            }
        }
    }
    free(from);
    return to;
}

/* The same in the device. */
static fr_f32 *bring_slots(const fr_golden *g, const char *name)
{
    float *slots = read_slots(g, name);
    fr_f32 *brought = fr_test_bring(g->tiny.device, slots, g->n_prefix, sizeof *slots);
    free(slots);
    return brought;
}

static const fr_safetensor *prompts(const fr_golden *g)
{
    const fr_safetensor *prompt = fr_safetensors_find(g->file, "prompt");
    return prompt != NULL ? prompt : fr_safetensors_find(g->file, "input_ids");
}

static int64_t n_generated(const fr_golden *g)
{
    const fr_safetensor *generated = fr_safetensors_find(g->file, "generated");
    return generated == NULL ? 0 : generated->shape[1];
}

void fr_golden_open(const char *model, const char *values, fr_golden *out)
{
    *out = (fr_golden){0};
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), values, &out->file));
    const fr_safetensor *ids = fr_safetensors_find(out->file, "input_ids");
    const fr_safetensor *k = fr_safetensors_find(out->file, "prefix_k");
    CU_ASSERT_FATAL(ids != NULL && k != NULL);
    out->n_rows = ids->shape[0];
    out->n_tokens = ids->shape[1];
    out->n_prefix = k->n;
    out->prefix.length = k->shape[2];
    int64_t longest = prompts(out)->shape[1] + n_generated(out);
    longest = longest > out->n_tokens ? longest : out->n_tokens;
    fr_tiny_open(model, FR_F32, out->prefix.length + longest, &out->tiny);
    const fr_arch *a = out->tiny.arch;
    CU_ASSERT_FATAL(k->shape[0] == a->n_layers && k->shape[1] == a->n_kv_heads &&
                    k->shape[3] == a->head_dim);
    CU_ASSERT_FATAL(out->n_rows <= MAX_ROWS && longest <= MAX_TOKENS);
    out->k = bring_slots(out, "prefix_k");
    out->v = bring_slots(out, "prefix_v");
    out->prefix.k = out->k;
    out->prefix.v = out->v;
}

void fr_golden_close(fr_golden *golden)
{
    fr_device_free(golden->tiny.device, golden->k);
    fr_device_free(golden->tiny.device, golden->v);
    fr_tiny_close(&golden->tiny);
    fr_safetensors_close(&golden->file);
}

/* The real tokens of row r of such a tensor; returns their number. */
static int64_t row_ids(const fr_golden *g, const fr_safetensor *tensor, int64_t r,
                       int32_t *out)
{
    int64_t n_tokens = tensor->shape[1];
    int64_t *ids = read_ints(g, tensor->name.data, tensor->n);
    bool padded = fr_text_is(tensor->name, "input_ids") &&
                  fr_safetensors_find(g->file, "attention_mask") != NULL;
    int64_t *mask = padded ? read_ints(g, "attention_mask", tensor->n) : NULL;
    int64_t n = 0;
    for (int64_t t = r * n_tokens; t < (r + 1) * n_tokens; t++) {
        if (mask == NULL || mask[t] != 0) {
            out[n++] = (int32_t)ids[t];
        }
    }
    free(ids);
    free(mask);
    return n;
}

static int64_t input_ids(const fr_golden *g, int64_t r, int32_t *out)
{
    return row_ids(g, fr_safetensors_find(g->file, "input_ids"), r, out);
}

/* The row's logits for all but its last token, [n, vocabulary]. */
static void check_logits(fr_golden *g, int64_t r, int64_t n, const float *wanted)
{
    int64_t vocabulary = g->tiny.arch->vocab_size;
    int32_t rows[MAX_TOKENS];
    float *got = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), n * vocabulary, sizeof *got, &got));
    fr_f32 *logits = fr_test_room(g->tiny.device, n * vocabulary, sizeof *logits);
    for (int32_t t = 0; t < n; t++) {
        rows[t] = t;
    }
    FR_ASSERT_OK(fr_stage_logits(g->tiny.stage, g->tiny.activations, n, rows, logits));
    fr_test_fetch_last(g->tiny.device, got, logits,
                       n * vocabulary * (int64_t)sizeof *got);
    fr_assert_close("logits", got, wanted + r * g->n_tokens * vocabulary,
                    n * vocabulary, VALUE_TOLERANCE);
    free(got);
}

static void check_token_losses(fr_golden *g, int64_t r, int64_t n, const float *wanted)
{
    double nll[MAX_TOKENS];
    float got[MAX_TOKENS];
    fr_tiny_nats(&g->tiny, nll);
    for (int64_t t = 0; t < n; t++) {
        got[t] = (float)nll[t];
    }
    fr_assert_close("token loss", got, wanted + r * (g->n_tokens - 1), n,
                    VALUE_TOLERANCE);
}

void fr_golden_check_rows(fr_golden *golden)
{
    int64_t vocabulary = golden->tiny.arch->vocab_size;
    float *logits =
        read_floats(golden, "logits", golden->n_rows * golden->n_tokens * vocabulary);
    float *losses =
        read_floats(golden, "token_loss", golden->n_rows * (golden->n_tokens - 1));
    for (int64_t r = 0; r < golden->n_rows; r++) {
        int32_t ids[MAX_TOKENS];
        int64_t n = input_ids(golden, r, ids);
        fr_tiny_one_row(&golden->tiny, golden->prefix.length, ids, n);
        (void)fr_tiny_loss(&golden->tiny, &golden->prefix, NULL);
        check_logits(golden, r, n - 1, logits);
        check_token_losses(golden, r, n - 1, losses);
    }
    free(logits);
    free(losses);
}

static void add_rows(fr_golden *g, int32_t ids[MAX_ROWS][MAX_TOKENS],
                     const uint8_t *counted)
{
    fr_batch_clear(&g->tiny.batch);
    for (int64_t r = 0; r < g->n_rows; r++) {
        int64_t n = input_ids(g, r, ids[r]);
        fr_sequence source = {ids[r], NULL, 1};
        fr_sequence target = {ids[r] + 1, counted, n - 1};
        FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &g->tiny.batch, g->prefix.length,
                                  &source, &target, 1));
    }
}

void fr_golden_check_gradient(fr_golden *golden)
{
    int32_t ids[MAX_ROWS][MAX_TOKENS];
    uint8_t counted[MAX_TOKENS];
    int64_t n = golden->n_prefix;
    double *sum = NULL;
    float *mean = NULL;
    float loss = 0.0f;
    memset(counted, 1, sizeof counted);
    add_rows(golden, ids, counted);
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * n, sizeof *sum, &sum));
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * n, sizeof *mean, &mean));
    double n_targets = (double)golden->tiny.batch.n_targets;
    double nats = fr_tiny_loss(&golden->tiny, &golden->prefix, sum);
    for (int64_t i = 0; i < 2 * n; i++) {
        mean[i] = (float)(sum[i] / n_targets);
    }
    float got_loss = (float)(nats / n_targets);
    float *wanted_k = read_slots(golden, "grad_k");
    float *wanted_v = read_slots(golden, "grad_v");
    fr_test_copy_tensor(golden->file, "loss", "F32", 1, &loss);
    fr_assert_close("loss", &got_loss, &loss, 1, VALUE_TOLERANCE);
    fr_assert_close("dP_K", mean, wanted_k, n, GRADIENT_TOLERANCE);
    fr_assert_close("dP_V", mean + n, wanted_v, n, GRADIENT_TOLERANCE);
    free(wanted_k);
    free(wanted_v);
    free(sum);
    free(mean);
}

void fr_golden_check_generation(fr_golden *golden)
{
    int32_t ids[MAX_TOKENS];
    fr_group *group = NULL;
    fr_generator *generator = NULL;
    int64_t n_new = n_generated(golden);
    if (n_new == 0) {
        return;
    }
    int64_t *wanted = read_ints(golden, "generated", golden->n_rows * n_new);
    fr_generate_params params = {.batch = 1};
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &group));
    fr_generator_params create = {.pipeline = group, .stage = golden->tiny.stage};
    FR_ASSERT_OK(fr_generator_create(fr_test_ctx(), &create, &generator));
    for (int64_t r = 0; r < golden->n_rows; r++) {
        fr_generate_row row = {.prefix = &golden->prefix,
                               .prompt = {.data = ids},
                               .max_new_tokens = n_new};
        row.prompt.count = row_ids(golden, prompts(golden), r, ids);
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
}
