/* What a model is, from the header alone. */
#include "support/model_files.h"
#include "support/suite.h"
#include "support/tiny_model.h"

#include <stdlib.h>
#include <string.h>

static void check_same(const fr_arch *got, const fr_arch *wanted)
{
    CU_ASSERT_EQUAL(got->family, wanted->family);
    CU_ASSERT_EQUAL(got->n_layers, wanted->n_layers);
    CU_ASSERT_EQUAL(got->d_model, wanted->d_model);
    CU_ASSERT_EQUAL(got->d_ff, wanted->d_ff);
    CU_ASSERT_EQUAL(got->n_heads, wanted->n_heads);
    CU_ASSERT_EQUAL(got->n_kv_heads, wanted->n_kv_heads);
    CU_ASSERT_EQUAL(got->head_dim, wanted->head_dim);
    CU_ASSERT_EQUAL(got->vocab_size, wanted->vocab_size);
    CU_ASSERT_EQUAL(got->context_length, wanted->context_length);
    CU_ASSERT_EQUAL(got->tied_head, wanted->tied_head);
    CU_ASSERT_EQUAL(got->qkv_bias, wanted->qkv_bias);
    CU_ASSERT_EQUAL(got->mlp_bias, wanted->mlp_bias);
}

static void check_model(const char *path)
{
    fr_weights *weights = NULL;
    fr_arch arch;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), path, &weights));
    CU_ASSERT_PTR_NOT_NULL_FATAL(weights);
    FR_ASSERT_OK(fr_arch_read(fr_test_ctx(), path, &arch));
    check_same(&arch, fr_weights_arch(weights));
    fr_weights_close(&weights);
}

static void the_header_says_what_the_weights_say(void)
{
    check_model(fr_test_data("golden/tiny_llama"));
    check_model(fr_test_data("golden/tiny_gpt2"));
}

static void a_gguf_header_says_what_the_weights_say(void)
{
    if (fr_real_model() == NULL) {
        fr_skip("SmolLM2 is not there");
        return;
    }
    check_model(fr_real_model());
}

static const char CONFIG[] =
    "{\"model_type\":\"llama\",\"hidden_act\":\"silu\",\"hidden_size\":8192,"
    "\"intermediate_size\":28672,\"num_hidden_layers\":80,\"num_attention_heads\":64,"
    "\"num_key_value_heads\":8,\"vocab_size\":128256,\"max_position_embeddings\":8192,"
    "\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":false}";

static void a_config_alone_is_enough(void)
{
    const char *folder = fr_test_folder();
    fr_weights *weights = NULL;
    fr_arch arch;
    fr_test_write_text(fr_test_path(folder, "config.json"), CONFIG);
    FR_ASSERT_FAILS(fr_weights_open(fr_test_ctx(), folder, &weights), FR_ERR_DATA,
                    "neither model.safetensors");
    FR_ASSERT_OK(fr_arch_read(fr_test_ctx(), folder, &arch));
    CU_ASSERT_EQUAL(arch.n_layers, 80);
    CU_ASSERT_EQUAL(arch.head_dim, 128);
}

static void bad_headers_are_refused(void)
{
    const char *folder = fr_test_folder();
    fr_arch arch;
    FR_ASSERT_FAILS(fr_arch_read(fr_test_ctx(), "nowhere/model.gguf", &arch),
                    FR_ERR_DATA, "nowhere/model.gguf");
    FR_ASSERT_FAILS(fr_arch_read(fr_test_ctx(), folder, &arch), FR_ERR_DATA,
                    "config.json");
    fr_test_write_text(fr_test_path(folder, "config.json"), "{\"model_type\":");
    FR_ASSERT_FAILS(fr_arch_read(fr_test_ctx(), folder, &arch), FR_ERR_FORMAT,
                    "config.json");
    fr_test_write_text(fr_test_path(folder, "a.gguf"), "GGUF\x03");
    FR_ASSERT_FAILS(fr_arch_read(fr_test_ctx(), fr_test_path(folder, "a.gguf"), &arch),
                    FR_ERR_FORMAT, "a.gguf");
}

static const fr_case CASES[] = {
    FR_CASE(the_header_says_what_the_weights_say),
    FR_CASE(a_gguf_header_says_what_the_weights_say),
    FR_CASE(a_config_alone_is_enough),
    FR_CASE(bad_headers_are_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("weights_arch", CASES, FR_N_CASES(CASES), argc, argv);
}
