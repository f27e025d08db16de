/* The table of families: what it says of itself, and how tensors of each storage form are read. */
#include "device/cpu/quant_kernels.h"
#include "model/families/families.h"
#include "model/files/safetensors.h"
#include "model/weights/identity.h"
#include "model/weights/weights.h"
#include "support/devices.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fr_weights *open_model(const char *name)
{
    char path[128];
    fr_weights *weights = NULL;
    (void)snprintf(path, sizeof path, "golden/families/%s", name);
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), fr_test_data(path), &weights));
    CU_ASSERT_PTR_NOT_NULL_FATAL(weights);
    return weights;
}

/* ---- the table --------------------------------------------------------------------------------- */

static void every_family_is_found_by_its_names(void)
{
    int n = 0;
    for (const fr_family *f = fr_family_at(0); f != NULL; f = fr_family_at(++n)) {
        CU_ASSERT_PTR_NOT_NULL(f->title);
        CU_ASSERT_PTR_NOT_NULL(f->arch.family);
        CU_ASSERT((f->activations >> f->arch.activation & 1) == 1);
        CU_ASSERT_PTR_NOT_NULL(f->folder);
        CU_ASSERT_EQUAL(f->gguf == NULL, f->gguf_types[0] == NULL);
        for (int t = 0; f->hf_types[t] != NULL; t++) {
            CU_ASSERT_PTR_EQUAL(fr_family_of_hf(f->hf_types[t]), f);
            CU_ASSERT_PTR_NULL(fr_family_refusal(fr_text_of(f->hf_types[t])));
            CU_ASSERT_PTR_NOT_NULL(
                strstr(fr_families_supported(false).text, f->hf_types[t]));
        }
        for (int t = 0; f->gguf_types[t] != NULL; t++) {
            CU_ASSERT_PTR_EQUAL(fr_family_of_gguf(fr_text_of(f->gguf_types[t])), f);
            CU_ASSERT_PTR_NOT_NULL(
                strstr(fr_families_supported(true).text, f->gguf_types[t]));
        }
    }
    CU_ASSERT(n >= 14);
    CU_ASSERT_PTR_NULL(fr_family_at(-1));
}

/* A name that is cut off would be missing at the end. */
static void the_lists_of_names_are_whole(void)
{
    const char *names = fr_families_supported(false).text;
    CU_ASSERT_STRING_EQUAL(names + strlen(names) - 4, "gpt2");
    CU_ASSERT_STRING_EQUAL(fr_families_supported(true).text,
                           "llama, qwen2, qwen3, gemma2, gemma3, smollm3, granite, "
                           "olmo2, phi3, gptneox, gpt2");
}

/* docs/models.md has the table's lines, so that what it promises is what the program takes. */
static void the_documentation_lists_every_family(void)
{
    static char text[1 << 16];
    FILE *file = fopen(fr_test_data("../docs/models.md"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    int n = 0;
    for (const fr_family *f = fr_family_at(0); f != NULL; f = fr_family_at(++n)) {
        char line[512];
        (void)snprintf(line, sizeof line, "%s\n", fr_family_describe(f).text);
        if (strstr(text, line) == NULL) {
            (void)printf("docs/models.md lacks the line\n%s", line);
        }
        CU_ASSERT_PTR_NOT_NULL(strstr(text, line));
    }
}

/* ---- storage forms ----------------------------------------------------------------------------- */

static float *read_role(const fr_weights *weights, fr_weight role, int64_t layer,
                        int64_t *n)
{
    int64_t rows = 0;
    int64_t columns = 0;
    fr_weights_shape(weights, role, layer, &rows, &columns);
    *n = rows * columns;
    float *values = fr_test_zeros(*n);
    FR_ASSERT_OK(fr_weights_read(fr_test_ctx(), weights, role, layer, FR_F32, values));
    return values;
}

static void check_same(const fr_weights *a, const fr_weights *b, fr_weight role)
{
    int64_t n = 0;
    int64_t m = 0;
    int64_t layer = role < FR_W_ATTN_NORM ? 0 : 1;
    CU_ASSERT_EQUAL(fr_weights_has(a, role, layer), fr_weights_has(b, role, layer));
    if (!fr_weights_has(a, role, layer)) {
        return;
    }
    float *x = read_role(a, role, layer, &n);
    float *y = read_role(b, role, layer, &m);
    CU_ASSERT_EQUAL_FATAL(n, m);
    CU_ASSERT_EQUAL(memcmp(x, y, (size_t)n * sizeof *x), 0);
    free(x);
    free(y);
}

/* Folders and the converter's files store Q, K and V, gate and up, and norms in different forms. */
static void folder_and_gguf_hold_the_same_weights(void)
{
    static const char *const MODELS[] = {"llama",   "qwen2",  "qwen3",
                                         "gemma2",  "gemma3", "smollm3",
                                         "granite", "olmo2",  "phi3"};
    for (int i = 0; i < FR_N_CASES(MODELS); i++) {
        char file[64];
        char *shapes[2] = {NULL, NULL};
        (void)snprintf(file, sizeof file, "%s/model.gguf", MODELS[i]);
        fr_weights *folder = open_model(MODELS[i]);
        fr_weights *gguf = open_model(file);
        for (int role = 0; role < FR_W_COUNT; role++) {
            check_same(folder, gguf, (fr_weight)role);
        }
        FR_ASSERT_OK(fr_identity_shape(fr_test_ctx(), folder, NULL, &shapes[0]));
        FR_ASSERT_OK(fr_identity_shape(fr_test_ctx(), gguf, NULL, &shapes[1]));
        CU_ASSERT_STRING_EQUAL(shapes[0], shapes[1]);
        free(shapes[0]);
        free(shapes[1]);
        fr_weights_close(&folder);
        fr_weights_close(&gguf);
    }
}

/* Q, K and V by head: [H, 3, K] rows of bf16. */
static void heads_of_a_fused_tensor_are_sorted(void)
{
    static const fr_weight ROLES[] = {FR_W_Q, FR_W_K, FR_W_V};
    fr_ctx *ctx = fr_test_ctx();
    fr_safetensors *file = NULL;
    fr_weights *weights = open_model("gpt_neox");
    const fr_arch *arch = fr_weights_arch(weights);
    FR_ASSERT_OK(fr_safetensors_open(
        ctx, fr_test_data("golden/families/gpt_neox/model.safetensors"), &file));
    const fr_safetensor *fused =
        fr_safetensors_find(file, "gpt_neox.layers.1.attention.query_key_value.weight");
    CU_ASSERT_PTR_NOT_NULL_FATAL(fused);
    size_t row = fr_quant_bytes(fused->type, arch->d_model);
    float *wanted = fr_test_zeros(arch->d_model);
    float *got = fr_test_zeros(arch->d_model);
    for (int part = 0; part < 3; part++) {
        for (int64_t r = 0; r < arch->n_heads * arch->head_dim; r++) {
            int64_t head = r / arch->head_dim;
            int64_t at = (3 * head + part) * arch->head_dim + r % arch->head_dim;
            fr_quant_widen(&fr_quant_generic, fused->type,
                           fused->data + (size_t)at * row, arch->d_model, wanted);
            fr_weights_read_rows(weights, ROLES[part], 1, FR_F32, r, 1, got);
            CU_ASSERT_EQUAL(memcmp(got, wanted, (size_t)arch->d_model * sizeof *got),
                            0);
        }
    }
    free(wanted);
    free(got);
    fr_safetensors_close(&file);
    fr_weights_close(&weights);
}

/* ---- the identity of a base -------------------------------------------------------------------- */

static void check_shape(const char *path, const char *wanted)
{
    fr_weights *weights = NULL;
    char *shape = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), path, &weights));
    FR_ASSERT_OK(fr_identity_shape(fr_test_ctx(), weights, NULL, &shape));
    CU_ASSERT_STRING_EQUAL(shape, wanted);
    free(shape);
    fr_weights_close(&weights);
}

/* Prefix files of plain models stay valid: their line has not changed. */
static void plain_models_keep_their_identity(void)
{
    check_shape(fr_test_data("golden/tiny_llama"),
                "llama layers=2 width=64 ff=160 heads=4 kv_heads=2 head_dim=16 "
                "rope_theta=10000 vocabulary=128:-");
    check_shape(fr_test_data("golden/tiny_gpt2"),
                "gpt2 layers=2 width=64 ff=256 heads=4 kv_heads=4 head_dim=16 "
                "rope_theta=0 vocabulary=128:-");
    check_shape(fr_test_model_folder("tiny_llama", "{\"model_type\":\"mistral\"}"),
                "llama layers=2 width=64 ff=160 heads=4 kv_heads=2 head_dim=16 "
                "rope_theta=10000 vocabulary=128:-");
}

static void features_are_part_of_the_identity(void)
{
    static const char *const CHANGES[] = {
        "{\"model_type\":\"mistral\",\"sliding_window\":8}",
        "{\"model_type\":\"mistral\",\"sliding_window\":9}",
        "{\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":"
        "1e4}}",
        "{\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":2,\"rope_theta\":1e4}"
        "}",
        "{\"model_type\":\"granite\",\"logits_scaling\":2.0}",
        "{\"model_type\":\"granite\",\"residual_multiplier\":2.0}",
        "{\"model_type\":\"smollm3\",\"tie_word_embeddings\":false}",
        "{}",
    };
    enum { N = sizeof CHANGES / sizeof CHANGES[0] };
    char *shapes[N];
    for (int i = 0; i < N; i++) {
        fr_weights *weights = NULL;
        FR_ASSERT_OK(fr_weights_open(
            fr_test_ctx(), fr_test_model_folder("tiny_llama", CHANGES[i]), &weights));
        FR_ASSERT_OK(fr_identity_shape(fr_test_ctx(), weights, NULL, &shapes[i]));
        fr_weights_close(&weights);
        for (int j = 0; j < i; j++) {
            CU_ASSERT_STRING_NOT_EQUAL(shapes[i], shapes[j]);
        }
    }
    for (int i = 0; i < N; i++) {
        free(shapes[i]);
    }
}

/* ---- several parts ----------------------------------------------------------------------------- */

static void parts_for_pictures_are_left_out_only_where_config_has_them(void)
{
    fr_weights *weights = open_model("gemma3_mm");
    CU_ASSERT_STRING_EQUAL(fr_weights_arch(weights)->family, "gemma3");
    fr_weights_close(&weights);
    char changes[4096];
    FILE *file = fopen(fr_test_data("golden/families/gemma3/config.json"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    changes[fread(changes, 1, sizeof changes - 1, file)] = '\0';
    (void)fclose(file);
    const char *folder = fr_test_model_folder("families/gemma3_mm", changes);
    FR_ASSERT_FAILS(fr_weights_open(fr_test_ctx(), folder, &weights),
                    FR_ERR_UNSUPPORTED, "so it takes pictures as well");
}

/* Published files leave out what is the class's default, and name the base of one rotation alone. */
static void absent_settings_have_the_defaults_of_their_class(void)
{
    static const char CONFIG[] =
        "{\"model_type\":\"gemma3\",\"vision_config\":{\"hidden_size\":1152},"
        "\"text_config\":{\"hidden_size\":2560,\"intermediate_size\":10240,"
        "\"num_hidden_layers\":34,\"sliding_window\":1024,"
        "\"rope_scaling\":{\"factor\":8.0,\"rope_type\":\"linear\"}}}";
    fr_arch arch;
    const char *folder = fr_test_folder();
    fr_test_write_text(fr_test_path(folder, "config.json"), CONFIG);
    FR_ASSERT_OK(fr_arch_read(fr_test_ctx(), folder, &arch));
    CU_ASSERT(arch.n_heads == 8 && arch.n_kv_heads == 4 && arch.head_dim == 256);
    CU_ASSERT(arch.vocab_size == 262208 && arch.context_length == 131072);
    CU_ASSERT(arch.tied_head && arch.attention_scale == 0.0);
    CU_ASSERT(arch.rotation.theta == 1e6 && arch.rotation.divisors[127] == 8.0);
    CU_ASSERT(arch.local_rotation.theta == 1e4 &&
              arch.local_rotation.divisors[127] == 1.0);
    CU_ASSERT_EQUAL(arch.layers[4], FR_LAYER_WINDOW | FR_LAYER_LOCAL_ROTATION);
    CU_ASSERT_EQUAL(arch.layers[5], 0);
    CU_ASSERT_EQUAL(fr_arch_window(&arch, 33), 1024);
}

/* A file that names its base by `saved`, over a model that is `shape`. */
static void check_bases(const char *saved, const char *shape, const char *message)
{
    static const uint8_t DIGEST[FR_DIGEST_BYTES] = {1};
    fr_ctx *ctx = fr_test_ctx();
    fr_status status =
        fr_identity_check(ctx, "p.h5", saved, DIGEST, shape, DIGEST, false);
    CU_ASSERT_EQUAL(status, message == NULL ? FR_OK : FR_ERR_CHECKPOINT);
    if (message != NULL) {
        CU_ASSERT_PTR_NOT_NULL(strstr(fr_ctx_error(ctx), message));
    }
}

static void what_differs_between_bases_is_named(void)
{
    check_bases("llama layers=2 vocabulary=9:-", "llama layers=2 vocabulary=9:-", NULL);
    check_bases("llama layers=2 vocabulary=9:a window=8",
                "llama layers=3 vocabulary=9:a activation=2",
                "it names [layers=2 window=8], the model is [layers=3 activation=2];");
    check_bases("gemma3 locals=1 rope_divisor=8 local_theta=1",
                "gemma3 locals=1 local_theta=1 rope_divisor=8",
                "the model is [gemma3 locals=1 local_theta=1 rope_divisor=8];");
    check_bases("llama vocabulary=9:a", "llama vocabulary=9:a window=8",
                "it names [nothing else], the model is [window=8];");
}

/* A tokenizer that one side could not read says nothing against the other's. */
static void an_unknown_vocabulary_fits_one_of_its_size(void)
{
    check_bases("llama vocabulary=9:- window=8", "llama vocabulary=9:a window=8", NULL);
    check_bases("llama vocabulary=9:a", "llama vocabulary=9:-", NULL);
    check_bases("llama vocabulary=9:a", "llama vocabulary=9:b", "[vocabulary=9:b]");
    check_bases("llama vocabulary=9:-", "llama vocabulary=8:a", "[vocabulary=8:a]");
    check_bases("llama vocabulary=9:-a", "llama vocabulary=9:a", "[vocabulary=9:-a]");
}

static const fr_case CASES[] = {
    FR_CASE(every_family_is_found_by_its_names),
    FR_CASE(the_lists_of_names_are_whole),
    FR_CASE(the_documentation_lists_every_family),
    FR_CASE(folder_and_gguf_hold_the_same_weights),
    FR_CASE(heads_of_a_fused_tensor_are_sorted),
    FR_CASE(plain_models_keep_their_identity),
    FR_CASE(features_are_part_of_the_identity),
    FR_CASE(what_differs_between_bases_is_named),
    FR_CASE(an_unknown_vocabulary_fits_one_of_its_size),
    FR_CASE(absent_settings_have_the_defaults_of_their_class),
    FR_CASE(parts_for_pictures_are_left_out_only_where_config_has_them),
};

int main(int argc, char **argv)
{
    return fr_suite_main("families", CASES, FR_N_CASES(CASES), argc, argv);
}
