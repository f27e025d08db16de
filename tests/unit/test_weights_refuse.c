#include "device/quant.h"
#include "model/weights/weights.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void refuses(const char *path, fr_status status, const char *part)
{
    fr_weights *weights = NULL;
    FR_ASSERT_FAILS(fr_weights_open(fr_test_ctx(), path, &weights), status, part);
    CU_ASSERT_PTR_NULL(weights);
}

static void accepts(const char *path)
{
    fr_weights *weights = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), path, &weights));
    fr_weights_close(&weights);
}

/* Fields of config.json that are changed, and what is said about them. */
typedef struct config_case {
    const char *changes;
    fr_status status;
    const char *part;
} config_case;

static void check_configs(const char *model, const config_case *cases, int n)
{
    for (int i = 0; i < n; i++) {
        const char *folder = fr_test_model_folder(model, cases[i].changes);
        if (cases[i].status == FR_OK) {
            accepts(folder);
        } else {
            refuses(folder, cases[i].status, cases[i].part);
        }
    }
}

static void llama_settings_that_change_the_arithmetic_are_refused(void)
{
    static const config_case CASES[] = {
        {"{\"model_type\":\"gemma\"}", FR_ERR_UNSUPPORTED,
         "model_type is gemma: its layers have another form; give a model of a family "
         "that is taken; supported: llama, mistral, qwen2, qwen3, gemma2,"},
        {"{\"model_type\":\"mixtral\"}", FR_ERR_UNSUPPORTED,
         "model_type is mixtral: it is a mixture of experts; give a dense model"},
        {"{\"model_type\":\"t5\"}", FR_ERR_UNSUPPORTED,
         "model_type is t5: it has an encoder and a decoder"},
        {"{\"model_type\":\"mamba\"}", FR_ERR_UNSUPPORTED,
         "model_type is mamba: it keeps a recurrent state"},
        {"{\"model_type\":\"bert\"}", FR_ERR_UNSUPPORTED,
         "model_type is bert: it is an encoder"},
        {"{\"model_type\":\"unheard_of\"}", FR_ERR_UNSUPPORTED,
         "model_type is unheard_of; supported: llama"},
        {"{\"hidden_act\":\"gelu\"}", FR_ERR_UNSUPPORTED,
         "hidden_act is gelu, supported: silu"},
        {"{\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":8}}",
         FR_ERR_UNSUPPORTED,
         "rope_scaling type dynamic, supported: default, linear, llama3, yarn, "
         "longrope"},
        {"{\"rope_parameters\":{\"rope_type\":\"proportional\",\"rope_theta\":1e4}}",
         FR_ERR_UNSUPPORTED, "rope_parameters type proportional, supported: default"},
        {"{\"rope_scaling\":{\"factor\":2}}", FR_ERR_UNSUPPORTED,
         "rope_scaling has no rope_type"},
        {"{\"rope_scaling\":\"llama3\"}", FR_ERR_FORMAT, "must be an object or null"},
        {"{\"partial_rotary_factor\":0.5}", FR_ERR_UNSUPPORTED,
         "partial_rotary_factor is 0.5, supported: 1"},
        {"{\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1e4,"
         "\"partial_rotary_factor\":0.25}}",
         FR_ERR_UNSUPPORTED, "partial_rotary_factor is 0.25"},
        {"{\"layer_types\":[\"full_attention\",\"sliding_attention\"]}",
         FR_ERR_UNSUPPORTED, "layer_types has sliding_attention"},
        {"{\"layer_types\":[1]}", FR_ERR_UNSUPPORTED,
         "layer_types has a value that is not a string"},
        {"{\"quantization_config\":{}}", FR_ERR_UNSUPPORTED, "quantization_config"},
    };
    check_configs("tiny_llama", CASES, FR_N_CASES(CASES));
}

static void llama_settings_that_are_no_settings_are_refused(void)
{
    static const config_case CASES[] = {
        {"{\"model_type\":null}", FR_ERR_FORMAT, "model_type is missing"},
        {"{\"hidden_size\":null}", FR_ERR_FORMAT, "hidden_size is missing"},
        {"{\"vocab_size\":null}", FR_ERR_FORMAT, "vocab_size is missing"},
        {"{\"hidden_size\":\"64\"}", FR_ERR_FORMAT, "hidden_size must be an integer"},
        {"{\"hidden_size\":64.0}", FR_ERR_FORMAT, "hidden_size must be an integer"},
        {"{\"hidden_act\":7}", FR_ERR_FORMAT, "hidden_act must be a string"},
        {"{\"rms_norm_eps\":true}", FR_ERR_FORMAT, "rms_norm_eps must be a number"},
        {"{\"rms_norm_eps\":-1}", FR_ERR_FORMAT, "norm epsilon is -1"},
        {"{\"mlp_bias\":1}", FR_ERR_FORMAT, "mlp_bias must be true or false"},
        {"{\"num_hidden_layers\":0}", FR_ERR_FORMAT, "number of layers is 0"},
        {"{\"num_hidden_layers\":9223372036854775807}", FR_ERR_FORMAT,
         "number of layers is 9223372036854775807"},
        {"{\"num_attention_heads\":0}", FR_ERR_FORMAT, "number of heads is 0"},
        {"{\"num_attention_heads\":0,\"head_dim\":null}", FR_ERR_FORMAT,
         "0 heads do not divide"},
        {"{\"num_attention_heads\":7,\"head_dim\":null}", FR_ERR_FORMAT,
         "7 heads do not divide the model width 64"},
        {"{\"num_key_value_heads\":3}", FR_ERR_FORMAT, "not a multiple of 3"},
        {"{\"head_dim\":15}", FR_ERR_FORMAT, "head width 15 is odd"},
        {"{\"rope_parameters\":{\"rope_theta\":0.5}}", FR_ERR_FORMAT,
         "rope_theta is 0.5"},
        {"{\"num_key_value_heads\":0}", FR_ERR_FORMAT,
         "num_key_value_heads is 0, must be at least 1"},
        {"{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}", FR_ERR_FORMAT,
         "rope_scaling lacks low_freq_factor"},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}}", FR_ERR_FORMAT,
         "factor of rope_scaling is 0, must be in"},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}", FR_ERR_FORMAT,
         "rope_scaling and rope_parameters mean different rotations"},
        {"{\"rope_parameters\":null,\"rope_scaling\":{\"type\":\"longrope\","
         "\"short_factor\":[1],\"long_factor\":[1]}}",
         FR_ERR_FORMAT, "short_factor of rope_scaling must be a list of 8 numbers"},
        {"{\"rope_parameters\":null,\"rope_scaling\":{\"type\":\"longrope\","
         "\"short_factor\":[1,1,1,1,1,1,1,0],\"long_factor\":[1,1,1,1,1,1,1,1]}}",
         FR_ERR_FORMAT, "a RoPE divisor is 0"},
        {"{\"rope_parameters\":null,\"rope_scaling\":{\"type\":\"yarn\","
         "\"factor\":2,\"original_max_position_embeddings\":-4}}",
         FR_ERR_FORMAT, "original_max_position_embeddings of rope_scaling is -4"},
        {"{\"model_type\":\"mistral\",\"sliding_window\":0}", FR_ERR_FORMAT,
         "sliding_window is 0, must be at least 1"},
        {"{\"model_type\":\"mistral\",\"sliding_window\":8,\"layer_types\":"
         "[\"full_attention\",\"sliding_attention\"]}",
         FR_ERR_UNSUPPORTED, "layer_types has full_attention"},
        {"{\"model_type\":\"qwen2\",\"layer_types\":[\"full_attention\"]}",
         FR_ERR_FORMAT, "layer_types must be a list with one item for each of 2"},
        {"{\"max_position_embeddings\":-1}", FR_ERR_FORMAT, "context length is -1"},
    };
    check_configs("tiny_llama", CASES, FR_N_CASES(CASES));
}

static void settings_that_disagree_with_the_tensors_are_refused(void)
{
    static const config_case CASES[] = {
        {"{\"num_hidden_layers\":3}", FR_ERR_FORMAT,
         "tensor model.layers.2.input_layernorm.weight is missing"},
        {"{\"intermediate_size\":161}", FR_ERR_FORMAT,
         "tensor model.layers.0.mlp.gate_proj.weight has shape [160, 64], the model's "
         "settings ask for [161, 64]"},
        {"{\"vocab_size\":129}", FR_ERR_FORMAT,
         "tensor model.embed_tokens.weight has shape [128, 64]"},
        {"{\"head_dim\":32}", FR_ERR_FORMAT, "self_attn.q_proj.weight has shape"},
        {"{\"attention_bias\":true}", FR_ERR_FORMAT,
         "tensor model.layers.0.self_attn.q_proj.bias is missing"},
        {"{\"mlp_bias\":true}", FR_ERR_FORMAT,
         "tensor model.layers.0.mlp.gate_proj.bias is missing"},
        {"{\"model_type\":\"qwen2\"}", FR_ERR_FORMAT, "q_proj.bias is missing"},
    };
    check_configs("tiny_llama", CASES, FR_N_CASES(CASES));
}

static void settings_without_effect_are_accepted(void)
{
    static const config_case CASES[] = {
        {NULL, FR_OK, NULL},
        {"{\"rope_scaling\":null,\"rope_parameters\":null}", FR_OK, NULL},
        {"{\"rope_scaling\":{\"type\":\"default\"},\"rope_theta\":5e5,"
         "\"rope_parameters\":null}",
         FR_OK, NULL},
        {"{\"head_dim\":null,\"hidden_act\":null}", FR_OK, NULL},
        {"{\"model_type\":\"mistral\",\"sliding_window\":null}", FR_OK, NULL},
        {"{\"model_type\":\"mistral\",\"sliding_window\":128}", FR_OK, NULL},
        {"{\"model_type\":\"mistral\"}", FR_OK, NULL},
        {"{\"layer_types\":[\"full_attention\",\"full_attention\"]}", FR_OK, NULL},
    };
    check_configs("tiny_llama", CASES, FR_N_CASES(CASES));
}

static void rope_theta_is_found_in_each_of_its_places(void)
{
    static const char *const CHANGES[] = {
        "{\"rope_parameters\":null,\"rope_theta\":500000.0}",
        "{\"rope_parameters\":null,\"rope_theta\":500000}",
        "{\"rope_parameters\":{\"rope_theta\":500000.0},\"rope_theta\":7}",
        "{\"rope_parameters\":null,\"rope_scaling\":{\"rope_theta\":500000.0}}",
    };
    for (int i = 0; i < FR_N_CASES(CHANGES); i++) {
        fr_weights *weights = NULL;
        const char *folder = fr_test_model_folder("tiny_llama", CHANGES[i]);
        FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), folder, &weights));
        CU_ASSERT_PTR_NOT_NULL_FATAL(weights);
        CU_ASSERT_EQUAL(fr_weights_arch(weights)->rotation.theta, 500000.0);
        fr_weights_close(&weights);
    }
}

static void gpt2_settings_are_checked(void)
{
    static const config_case CASES[] = {
        {"{\"activation_function\":\"relu\"}", FR_ERR_UNSUPPORTED,
         "activation_function is relu, supported: gelu_new"},
        {"{\"scale_attn_weights\":false}", FR_ERR_UNSUPPORTED,
         "scale_attn_weights is false, supported: true"},
        {"{\"scale_attn_by_inverse_layer_idx\":true}", FR_ERR_UNSUPPORTED,
         "scale_attn_by_inverse_layer_idx is true"},
        {"{\"add_cross_attention\":true}", FR_ERR_UNSUPPORTED,
         "add_cross_attention is true"},
        {"{\"n_inner\":128}", FR_ERR_FORMAT,
         "h.0.mlp.c_fc.weight has shape [64, 256], the model's settings ask for [64, "
         "128]"},
        {"{\"n_positions\":64}", FR_ERR_FORMAT, "wpe.weight has shape [128, 64]"},
        {"{\"n_embd\":9223372036854775804,\"n_head\":2}", FR_ERR_FORMAT,
         "model width is"},
        {"{\"n_head\":5}", FR_ERR_FORMAT, "5 heads do not divide"},
        {"{\"tie_word_embeddings\":false}", FR_ERR_FORMAT,
         "tensor lm_head.weight is missing"},
        {"{\"n_inner\":256,\"activation_function\":null}", FR_OK, NULL},
    };
    check_configs("tiny_gpt2", CASES, FR_N_CASES(CASES));
}

static const char *write_config(const char *text)
{
    const char *folder = fr_test_folder();
    fr_test_write_text(fr_test_path(folder, "config.json"), text);
    return folder;
}

static void broken_config_files_are_refused(void)
{
    refuses(fr_test_folder(), FR_ERR_DATA, "config.json");
    refuses(write_config(""), FR_ERR_FORMAT, "config.json:1: not valid JSON");
    refuses(write_config("{\"a\":\n}"), FR_ERR_FORMAT, "config.json:2: not valid JSON");
    refuses(write_config("[]"), FR_ERR_FORMAT, "must be a JSON object");
    refuses(write_config("{\"model_type\":\"llama\",\"model_type\":\"gpt2\"}"),
            FR_ERR_FORMAT, "duplicate");
}

static void other_paths_are_refused(void)
{
    const char *folder = fr_test_folder();
    const char *text = fr_test_path(folder, "notes.txt");
    refuses("/nowhere/model", FR_ERR_DATA, "/nowhere/model");
    fr_test_write_text(text, "Some words, and no model.");
    refuses(text, FR_ERR_FORMAT, "give a GGUF file or a Hugging Face folder");
}

static void folder_without_weights_is_refused(void)
{
    const char *folder = fr_test_model_folder("tiny_llama", NULL);
    CU_ASSERT_EQUAL(unlink(fr_test_path(folder, "model.safetensors")), 0);
    refuses(folder, FR_ERR_DATA, "has neither model.safetensors nor");
}

static void integer_weights_are_refused(void)
{
    const char *folder = fr_test_model_folder("tiny_llama", NULL);
    const char *path = fr_test_path(folder, "model.safetensors");
    fr_safetensors *file = NULL;
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), path, &file));
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    const fr_safetensor *list[64];
    fr_safetensor changed = *fr_safetensors_find(file, "model.norm.weight");
    changed.dtype = "I32";
    int64_t n = fr_safetensors_n_tensors(file);
    for (int64_t i = 0; i < n; i++) {
        list[i] = fr_safetensors_tensor_at(file, i);
        list[i] = list[i]->data == changed.data ? &changed : list[i];
    }
    const char *other = fr_test_model_folder("tiny_llama", NULL);
    CU_ASSERT_EQUAL(unlink(fr_test_path(other, "model.safetensors")), 0);
    fr_test_write_tensors(fr_test_path(other, "model.safetensors"), list, n);
    refuses(other, FR_ERR_UNSUPPORTED,
            "tensor model.norm.weight has type I32, supported: F32, F16, BF16");
    fr_safetensors_close(&file);
}

static void refuses_index(const char *index, fr_status status, const char *part)
{
    const char *folder = fr_test_model_folder("tiny_llama", NULL);
    const char *old = fr_test_path(folder, "model.safetensors");
    CU_ASSERT_EQUAL(rename(old, fr_test_path(folder, "a.safetensors")), 0);
    fr_test_write_text(fr_test_path(folder, "model.safetensors.index.json"), index);
    refuses(folder, status, part);
}

static void bad_shard_indices_are_refused(void)
{
    refuses_index("{", FR_ERR_FORMAT, "index.json:1: not valid JSON");
    refuses_index("{}", FR_ERR_FORMAT, "lacks the object weight_map");
    refuses_index("[]", FR_ERR_FORMAT, "lacks the object weight_map");
    refuses_index("{\"weight_map\":{\"x\":\"../a.safetensors\"}}", FR_ERR_FORMAT,
                  "tensor x is in '../a.safetensors', must be a file of the same");
    refuses_index("{\"weight_map\":{\"x\":\"/etc/passwd\"}}", FR_ERR_FORMAT,
                  "is in '/etc/passwd'");
    refuses_index("{\"weight_map\":{\"x\":\"..\"}}", FR_ERR_FORMAT, "is in '..'");
    refuses_index("{\"weight_map\":{\"x\":\"\"}}", FR_ERR_FORMAT, "is in ''");
    refuses_index("{\"weight_map\":{\"x\":7}}", FR_ERR_FORMAT,
                  "is in '(not a string)'");
    refuses_index("{\"weight_map\":{\"x\":\"b.safetensors\"}}", FR_ERR_DATA,
                  "b.safetensors");
    refuses_index("{\"weight_map\":{\"x\":\"a.safetensors\"}}", FR_ERR_FORMAT,
                  "tensor x is not in");
    refuses_index("{\"weight_map\":{\"lm_head.weight\":\"a.safetensors\","
                  "\"lm_head.weight\":\"a.safetensors\"}}",
                  FR_ERR_FORMAT, "duplicate");
    refuses_index("{\"weight_map\":{\"lm_head.weight\":\"a.safetensors\"}}",
                  FR_ERR_FORMAT, "tensor model.embed_tokens.weight is missing");
}

static const fr_case CASES[] = {
    FR_CASE(llama_settings_that_change_the_arithmetic_are_refused),
    FR_CASE(llama_settings_that_are_no_settings_are_refused),
    FR_CASE(settings_that_disagree_with_the_tensors_are_refused),
    FR_CASE(settings_without_effect_are_accepted),
    FR_CASE(rope_theta_is_found_in_each_of_its_places),
    FR_CASE(gpt2_settings_are_checked),
    FR_CASE(broken_config_files_are_refused),
    FR_CASE(other_paths_are_refused),
    FR_CASE(folder_without_weights_is_refused),
    FR_CASE(integer_weights_are_refused),
    FR_CASE(bad_shard_indices_are_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("weights_refuse", CASES, FR_N_CASES(CASES), argc, argv);
}
