/* The network of a reparametrised prefix against Hugging Face PEFT's prefix projection: same tensors, P0 = 0. */
#include "comm/group.h"
#include "device/kinds.h"
#include "model/files/safetensors.h"
#include "support/device_memory.h"
#include "support/devices.h"
#include "support/model_files.h"
#include "support/reparam_case.h"
#include "support/suite.h"
#include "support/tiny_model.h"
#include "train/step/reparam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HIDDEN = 48, MAX_TOKENS = 64, MAX_ROWS = 4 };

static const double VALUE_TOLERANCE = 1e-5;
static const double LOSS_TOLERANCE = 2e-4;
static const double GRADIENT_TOLERANCE = 1e-3;

static const char *const NAMES[FR_MLP_TENSORS] = {
    "transform.2.weight", "transform.2.bias", "embedding.weight", "transform.0.weight",
    "transform.0.bias"};

typedef struct golden {
    fr_safetensors *file;
    fr_tiny tiny;
    fr_device *host; /* of the network, which is computed by the host */
    fr_task_config config;
    fr_reparam *reparam;
    fr_prefix_state prefix;
    int64_t length;
    int64_t n_prefix; /* layers * P * G * K */
} golden;

static void read_tensor(const golden *g, const char *kind, int tensor, float *out)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s.%s", kind, NAMES[tensor]);
    const fr_safetensor *found = fr_safetensors_find(g->file, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    fr_test_copy_tensor(g->file, name, "F32", found->n, out);
}

static int64_t count(const golden *g, int tensor)
{
    const fr_mlp_state *state = fr_reparam_state(g->reparam);
    fr_mlp_array array =
        fr_mlp_describe(&state->shape, FR_MLP_FIRST_TENSOR + 3 * tensor);
    return array.floats * (array.shared ? 1 : state->n_layers);
}

static void golden_open(const char *model, golden *g)
{
    char path[128];
    *g = (golden){0};
    (void)snprintf(path, sizeof path, "golden/%s_proj_f32.safetensors", model);
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), fr_test_data(path), &g->file));
    (void)snprintf(path, sizeof path, "golden/%s", model);
    fr_tiny_open(fr_test_data(path), FR_F32, MAX_TOKENS, &g->tiny);
    const fr_arch *a = g->tiny.arch;
    const fr_safetensor *e = fr_safetensors_find(g->file, "param.embedding.weight");
    CU_ASSERT_PTR_NOT_NULL_FATAL(e);
    g->length = e->shape[0];
    g->n_prefix = a->n_layers * fr_arch_prefix_elements(a, g->length);
    FR_ASSERT_OK(fr_device_create_host(fr_test_ctx(), 2, &g->host));
    fr_reparam_params params = {
        g->host,
        &g->config,
        {g->length, a->n_kv_heads, a->head_dim, HIDDEN, e->shape[1]},
        a->n_layers,
        a->n_layers};
    FR_ASSERT_OK(fr_reparam_create(fr_test_ctx(), &params, &g->reparam));
    g->prefix.k = fr_test_zeros(g->n_prefix);
    g->prefix.v = fr_test_zeros(g->n_prefix);
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        read_tensor(g, "param", t,
                    fr_mlp_values(fr_reparam_state(g->reparam), (fr_mlp_tensor)t, 0));
    }
    FR_ASSERT_OK(fr_reparam_hidden(g->reparam));
    FR_ASSERT_OK(fr_reparam_apply(g->reparam, &g->prefix));
}

static void golden_close(golden *g)
{
    fr_reparam_destroy(&g->reparam);
    fr_device_destroy(&g->host);
    fr_tiny_close(&g->tiny);
    fr_safetensors_close(&g->file);
    free(g->prefix.k);
    free(g->prefix.v);
}

/* The file's [layers, G, P, K] as [layers, P, G, K]. */
static void check_prefix(const golden *g, const char *name, const float *got)
{
    const fr_arch *a = g->tiny.arch;
    float *raw = fr_test_zeros(g->n_prefix);
    float *wanted = fr_test_zeros(g->n_prefix);
    fr_test_copy_tensor(g->file, name, "F32", g->n_prefix, raw);
    for (int64_t i = 0; i < g->n_prefix; i++) {
        int64_t row = i / a->head_dim; /* (layer, head, slot) */
        int64_t slot = row % g->length;
        int64_t head = row / g->length % a->n_kv_heads;
        int64_t layer = row / g->length / a->n_kv_heads;
        int64_t to = (layer * g->length + slot) * a->n_kv_heads + head;
        wanted[to * a->head_dim + i % a->head_dim] = raw[i];
    }
    fr_assert_close(name, got, wanted, g->n_prefix, VALUE_TOLERANCE);
    free(raw);
    free(wanted);
}

static void check_forward(const char *model)
{
    golden g;
    golden_open(model, &g);
    check_prefix(&g, "prefix_k", g.prefix.k);
    check_prefix(&g, "prefix_v", g.prefix.v);
    golden_close(&g);
}

/* Every row of the file as a unit of the batch; all its tokens but the first are targets. The batch borrows. */
static void add_rows(golden *g, int32_t ids[MAX_ROWS][MAX_TOKENS],
                     const uint8_t *counted)
{
    const fr_safetensor *shape = fr_safetensors_find(g->file, "input_ids");
    int64_t all[2][MAX_ROWS * MAX_TOKENS];
    fr_test_copy_tensor(g->file, "input_ids", "I64", shape->n, all[0]);
    fr_test_copy_tensor(g->file, "attention_mask", "I64", shape->n, all[1]);
    for (int64_t r = 0; r < shape->shape[0]; r++) {
        int64_t n = 0;
        for (int64_t t = r * shape->shape[1]; t < (r + 1) * shape->shape[1]; t++) {
            if (all[1][t] != 0) {
                ids[r][n++] = (int32_t)all[0][t];
            }
        }
        fr_sequence source = {ids[r], NULL, 1};
        fr_sequence target = {ids[r] + 1, counted, n - 1};
        FR_ASSERT_OK(fr_batch_add(fr_test_ctx(), &g->tiny.batch, g->length, &source,
                                  &target, 1));
    }
}

static void check_gradients(const char *model)
{
    golden g;
    int32_t ids[MAX_ROWS][MAX_TOKENS];
    uint8_t counted[MAX_TOKENS];
    int64_t n_nonfinite = 0;
    float loss = 0.0f;
    fr_group *self = NULL;
    golden_open(model, &g);
    memset(counted, 1, sizeof counted);
    add_rows(&g, ids, counted);
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &self));
    fr_device *device = g.tiny.device;
    fr_f32 *k = fr_test_bring(device, g.prefix.k, g.n_prefix, sizeof *g.prefix.k);
    fr_f32 *v = fr_test_bring(device, g.prefix.v, g.n_prefix, sizeof *g.prefix.v);
    fr_stage_prefix prefix = {.length = g.length, .k = k, .v = v};
    double *nats = calloc((size_t)(2 * g.n_prefix), sizeof *nats);
    float *mean = fr_test_zeros(2 * g.n_prefix);
    CU_ASSERT_PTR_NOT_NULL_FATAL(nats);
    double n_targets = (double)g.tiny.batch.n_targets;
    float got = (float)(fr_tiny_loss(&g.tiny, &prefix, nats) / n_targets);
    for (int64_t i = 0; i < 2 * g.n_prefix; i++) {
        mean[i] = (float)(nats[i] / n_targets);
    }
    fr_device_free(device, k);
    fr_device_free(device, v);
    fr_test_copy_tensor(g.file, "loss", "F32", 1, &loss);
    fr_assert_close("loss", &got, &loss, 1, LOSS_TOLERANCE);
    FR_ASSERT_OK(fr_reparam_backward(g.reparam, self, mean, &n_nonfinite));
    CU_ASSERT_EQUAL(n_nonfinite, 0);
    for (int t = 0; t < FR_MLP_TENSORS; t++) {
        float *wanted = fr_test_zeros(count(&g, t));
        read_tensor(&g, "grad", t, wanted);
        fr_assert_close(NAMES[t], fr_reparam_gradient(g.reparam, (fr_mlp_tensor)t),
                        wanted, count(&g, t), GRADIENT_TOLERANCE);
        free(wanted);
    }
    free(nats);
    free(mean);
    fr_group_destroy(&self);
    golden_close(&g);
}

static void llama_prefix_matches(void)
{
    check_forward("tiny_llama");
}

static void gpt2_prefix_matches(void)
{
    check_forward("tiny_gpt2");
}

static void llama_gradients_match(void)
{
    check_gradients("tiny_llama");
}

static void gpt2_gradients_match(void)
{
    check_gradients("tiny_gpt2");
}

static const fr_case CASES[] = {
    FR_CASE(llama_prefix_matches),
    FR_CASE(gpt2_prefix_matches),
    FR_CASE(llama_gradients_match),
    FR_CASE(gpt2_gradients_match),
};

int main(int argc, char **argv)
{
    return fr_suite_main("golden_reparam", CASES, FR_N_CASES(CASES), argc, argv);
}
