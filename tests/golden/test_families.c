/* Every family of models against Transformers (f32, eager attention), from its folder and its GGUF: logits, losses, prefix
 * gradients and greedy text, behind prefixes shorter and longer than the windows. README.md of this folder says how the
 * values were made. */
#include "support/golden_rows.h"
#include "support/model_files.h"
#include "support/suite.h"

#include <stdio.h>

enum { GGUF = 1, WINDOW = 2 };

static const int LENGTHS[] = {1, 32};

static void check_model(const char *model, const char *values, bool slides)
{
    fr_golden golden;
    fr_golden_open(fr_test_data(model), fr_test_data(values), &golden);
    golden.prefix.slides = slides;
    fr_golden_check_rows(&golden);
    fr_golden_check_gradient(&golden);
    fr_golden_check_generation(&golden);
    fr_golden_close(&golden);
}

/* The values of one case, of a folder and perhaps of the GGUF in it. */
static void check_family(const char *folder, const char *name, int features)
{
    for (int i = 0; i < FR_N_CASES(LENGTHS); i++) {
        for (int slides = 0; slides <= ((features & WINDOW) != 0); slides++) {
            char values[96];
            char model[64];
            (void)snprintf(values, sizeof values,
                           "golden/families/%s.p%d.%s.safetensors", name, LENGTHS[i],
                           slides ? "slides" : "always");
            (void)snprintf(model, sizeof model, "golden/families/%s", folder);
            check_model(model, values, slides);
            if ((features & GGUF) != 0) {
                (void)snprintf(model, sizeof model, "golden/families/%s/model.gguf",
                               folder);
                check_model(model, values, slides);
            }
        }
    }
}

/* folder, whose values, features */
#define FAMILIES(FAMILY)                                                               \
    FAMILY(llama, llama, GGUF)                                                         \
    FAMILY(llama3, llama3, GGUF)                                                       \
    FAMILY(llama_linear, llama_linear, GGUF)                                           \
    FAMILY(llama_yarn, llama_yarn, GGUF)                                               \
    FAMILY(llama_bias, llama_bias, GGUF)                                               \
    FAMILY(qwen2, qwen2, GGUF)                                                         \
    FAMILY(qwen2_window, qwen2_window, WINDOW)                                         \
    FAMILY(mistral, mistral, WINDOW)                                                   \
    FAMILY(qwen3, qwen3, GGUF)                                                         \
    FAMILY(gemma2, gemma2, GGUF | WINDOW)                                              \
    FAMILY(gemma2_scale, gemma2_scale, WINDOW)                                         \
    FAMILY(gemma3, gemma3, GGUF | WINDOW)                                              \
    FAMILY(gemma3_mm, gemma3, WINDOW)                                                  \
    FAMILY(smollm3, smollm3, GGUF)                                                     \
    FAMILY(granite, granite, GGUF)                                                     \
    FAMILY(olmo2, olmo2, GGUF)                                                         \
    FAMILY(phi3, phi3, GGUF | WINDOW)                                                  \
    FAMILY(phi3_longrope, phi3_longrope, GGUF)                                         \
    FAMILY(gpt_neox, gpt_neox, 0)                                                      \
    FAMILY(gpt_neox_seq, gpt_neox_seq, 0)                                              \
    FAMILY(opt, opt, 0)                                                                \
    FAMILY(bloom, bloom, 0)                                                            \
    FAMILY(bloom_6, bloom_6, 0)

#define DEFINE(folder, name, features)                                                 \
    static void folder(void)                                                           \
    {                                                                                  \
        check_family(#folder, #name, features);                                        \
    }
FAMILIES(DEFINE)

/* Folders of older versions of the library: other keys, and lists that follow from a number or a default. */
static const struct {
    const char *folder;
    const char *changes;
} OLDER[] = {
    {"llama3",
     "{\"rope_parameters\": null, \"rope_theta\": 10000.0, \"rope_scaling\": {"
     "\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
     "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}}"},
    {"llama_linear", "{\"rope_parameters\": null, \"rope_theta\": 10000.0, "
                     "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 3.0}}"},
    {"llama_yarn",
     "{\"rope_parameters\": null, \"rope_theta\": 10000.0, \"rope_scaling\": {"
     "\"type\": \"yarn\", \"factor\": 4.0, "
     "\"original_max_position_embeddings\": 1024}}"},
    {"qwen2_window", "{\"layer_types\": null}"},
    {"gemma2", "{\"layer_types\": null, \"rope_parameters\": null}"},
    {"gemma3", "{\"layer_types\": null, \"sliding_window_pattern\": 6, "
               "\"rope_parameters\": null, "
               "\"rope_theta\": 100000.0, \"rope_local_base_freq\": 1000.0, "
               "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 4.0}}"},
    {"smollm3",
     "{\"layer_types\": null, \"no_rope_layers\": null, \"rope_parameters\": null}"},
    {"phi3_longrope", "{\"rope_parameters\": null, \"rope_theta\": 10000.0, "
                      "\"partial_rotary_factor\": 0.75, "
                      "\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": "
                      "[1.0, 1.02, 1.1, 1.2, 1.5, "
                      "1.8], \"long_factor\": [1.1, 1.5, 2.5, 4.0, 7.0, 12.0]}}"},
    {"gpt_neox",
     "{\"rope_parameters\": null, \"rotary_pct\": 0.25, \"rotary_emb_base\": 10000}"},
};

static void older_folders_mean_the_same(void)
{
    for (int i = 0; i < FR_N_CASES(OLDER); i++) {
        char values[96];
        char model[64];
        fr_golden golden;
        (void)snprintf(values, sizeof values,
                       "golden/families/%s.p32.always.safetensors", OLDER[i].folder);
        (void)snprintf(model, sizeof model, "families/%s", OLDER[i].folder);
        fr_golden_open(fr_test_model_folder(model, OLDER[i].changes),
                       fr_test_data(values), &golden);
        fr_golden_check_rows(&golden);
        fr_golden_close(&golden);
    }
}

#define LIST(folder, name, features) FR_CASE(folder),
static const fr_case CASES[] = {FAMILIES(LIST) FR_CASE(older_folders_mean_the_same)};

int main(int argc, char **argv)
{
    return fr_suite_main("families", CASES, FR_N_CASES(CASES), argc, argv);
}
