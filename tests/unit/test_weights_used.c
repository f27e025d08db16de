/* Every tensor of a folder is used, or harmless, or the folder is refused by its name. */
#include "model/weights/weights.h"
#include "support/model_files.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX = 96 };

static fr_safetensor vector(const char *name)
{
    static const float ONES[4] = {1, 1, 1, 1};
    return (fr_safetensor){.name = {name, strlen(name)},
                           .dtype = "F32",
                           .item_bytes = 4,
                           .n_dims = 1,
                           .shape = {4},
                           .n = 4,
                           .data = (const uint8_t *)ONES,
                           .bytes = sizeof ONES};
}

/* A folder with the tensors of `model` and one more, in its one file or in a shard whose index leaves that one out. */
static const char *folder_with(const char *model, const char *config,
                               const fr_safetensor *extra, bool shard)
{
    static char index[16384];
    const char *folder = fr_test_model_folder(model, config);
    const char *path = fr_test_path(folder, "model.safetensors");
    const fr_safetensor *list[MAX];
    fr_safetensors *file = NULL;
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), path, &file));
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    int64_t n = fr_safetensors_n_tensors(file);
    CU_ASSERT_FATAL(n < MAX);
    size_t at = (size_t)snprintf(index, sizeof index, "{\"weight_map\":{");
    for (int64_t i = 0; i < n; i++) {
        list[i] = fr_safetensors_tensor_at(file, i);
        at += (size_t)snprintf(index + at, sizeof index - at,
                               "%s\"%s\":\"a.safetensors\"", i > 0 ? "," : "",
                               list[i]->name.data);
    }
    (void)snprintf(index + at, sizeof index - at, "}}");
    list[n] = extra;
    CU_ASSERT_EQUAL(unlink(path), 0);
    if (shard) {
        path = fr_test_path(folder, "a.safetensors");
        fr_test_write_text(fr_test_path(folder, "model.safetensors.index.json"), index);
    }
    fr_test_write_tensors(path, list, n + 1);
    fr_safetensors_close(&file);
    return folder;
}

static void refuses(const char *folder, const char *part)
{
    fr_weights *weights = NULL;
    FR_ASSERT_FAILS(fr_weights_open(fr_test_ctx(), folder, &weights),
                    FR_ERR_UNSUPPORTED, part);
    CU_ASSERT_PTR_NULL(weights);
}

static void accepts(const char *folder)
{
    fr_weights *weights = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), folder, &weights));
    fr_weights_close(&weights);
}

/* A tensor that is added, and what is said of it besides its name. */
typedef struct extra_case {
    const char *name;
    const char *part;
} extra_case;

static void check_refused(const char *model, const extra_case *cases, int n)
{
    for (int i = 0; i < n; i++) {
        fr_safetensor extra = vector(cases[i].name);
        char part[256];
        (void)snprintf(part, sizeof part, "tensor %s%s", cases[i].name, cases[i].part);
        refuses(folder_with(model, NULL, &extra, false), part);
    }
}

static void llama_tensors_that_nothing_reads_are_refused(void)
{
    static const char NO_PART[] = " is not part of the supported llama architecture";
    const extra_case cases[] = {
        {"model.layers.0.self_attn.q_norm.weight", NO_PART},
        {"model.layers.0.self_attn.sinks", NO_PART},
        {"model.layers.0.post_feedforward_layernorm.weight", NO_PART},
        {"model.layers.0.input_layernorm.bias", NO_PART},
        {"model.layers.1.self_attn.q_proj.bias", NO_PART},
        {"model.layers.1.self_attn.o_proj.bias", NO_PART},
        {"model.layers.1.mlp.down_proj.bias", NO_PART},
        {"model.layers.2.input_layernorm.weight", NO_PART},
        {"model.layers.01.input_layernorm.weight", NO_PART},
        {"model.norm.bias", NO_PART},
        {"norm.weight", NO_PART},
        {"lm_head.bias", NO_PART},
        {"model.layers.0.attn.bias", NO_PART},
        {"model.xposition_ids", NO_PART},
        {"model.layers.0.mlp.experts.0.gate_proj.weight", ", so it is a mixture"},
        {"vision_tower.patch.weight", ", so it takes pictures"},
        {"model.layers.0.self_attn.q_proj.lora_A.default.weight",
         ", so it is an adapter"},
        {"model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4",
         ", so it is quantised (bitsandbytes)"},
        {"model.layers.0.mlp.up_proj.g_idx", ", so it is quantised (GPTQ)"},
        {"model.layers.0.mlp.up_proj.input_scale", ", so it is quantised (FP8"},
    };
    check_refused("tiny_llama", cases, FR_N_CASES(cases));
}

static void gpt2_tensors_that_nothing_reads_are_refused(void)
{
    static const char NO_PART[] = " is not part of the supported gpt2 architecture";
    const extra_case cases[] = {
        {"transformer.h.0.attn.bias", NO_PART}, /* a vector, and no mask */
        {"transformer.h.0.attn.masked_bias", NO_PART},
        {"transformer.h.0.crossattention.bias", NO_PART},
        {"transformer.h.0.attn.rotary_emb.inv_freq", NO_PART},
        {"lm_head.bias", NO_PART},
        {"score.weight", NO_PART},
    };
    check_refused("tiny_gpt2", cases, FR_N_CASES(cases));
}

static void layers_beyond_the_config_are_refused(void)
{
    refuses(fr_test_model_folder("tiny_llama", "{\"num_hidden_layers\":1}"),
            "tensor model.layers.1.");
    refuses(fr_test_model_folder("tiny_gpt2", "{\"n_layer\":1}"),
            "tensor transformer.h.1.");
}

static void buffers_are_harmless(void)
{
    static const char *const LLAMA[] = {
        "rotary_emb.inv_freq", "model.rotary_emb.inv_freq",
        "model.layers.0.self_attn.rotary_emb.inv_freq", "model.position_ids"};
    static const char *const MASKS[] = {"h.0.attn.bias", "transformer.h.1.attn.bias"};
    for (int i = 0; i < FR_N_CASES(LLAMA); i++) {
        fr_safetensor extra = vector(LLAMA[i]);
        accepts(folder_with("tiny_llama", NULL, &extra, i % 2 == 1));
    }
    for (int i = 0; i < FR_N_CASES(MASKS); i++) {
        fr_safetensor mask = vector(MASKS[i]);
        mask.n_dims = 4;
        memcpy(mask.shape, (int64_t[]){1, 1, 2, 2}, 4 * sizeof(int64_t));
        accepts(folder_with("tiny_gpt2", NULL, &mask, false));
    }
    fr_safetensor masked = vector("transformer.h.0.attn.masked_bias");
    masked.n_dims = 0;
    masked.n = 1;
    masked.bytes = 4;
    accepts(folder_with("tiny_gpt2", NULL, &masked, false));
    fr_safetensor ids = vector("transformer.position_ids");
    accepts(folder_with("tiny_gpt2", NULL, &ids, false));
}

static void what_an_index_leaves_out_is_refused(void)
{
    fr_safetensor extra = vector("model.layers.0.self_attn.q_norm.weight");
    refuses(folder_with("tiny_llama", NULL, &extra, true),
            "a.safetensors: the file holds tensor "
            "model.layers.0.self_attn.q_norm.weight, which "
            "model.safetensors.index.json does not name");
}

static const fr_case CASES[] = {
    FR_CASE(llama_tensors_that_nothing_reads_are_refused),
    FR_CASE(gpt2_tensors_that_nothing_reads_are_refused),
    FR_CASE(layers_beyond_the_config_are_refused),
    FR_CASE(buffers_are_harmless),
    FR_CASE(what_an_index_leaves_out_is_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("weights_used", CASES, FR_N_CASES(CASES), argc, argv);
}
