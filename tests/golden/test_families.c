/* Every family of models against Transformers (f32, eager attention), from its folder and its GGUF: logits, losses, prefix
 * gradients and greedy text, behind prefixes shorter and longer than the windows. README.md of this folder says how the
 * values were made. */
#include "support/golden_rows.h"
#include "support/suite.h"

#include <stdio.h>

enum { GGUF = 1, WINDOW = 2 };

static const int LENGTHS[] = {1, 32};

static void check_model(const char *model, const char *values, bool slides)
{
    fr_golden golden;
    fr_golden_open(model, values, &golden);
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
            (void)snprintf(values, sizeof values, "families/%s.p%d.%s.safetensors",
                           name, LENGTHS[i], slides ? "slides" : "always");
            (void)snprintf(model, sizeof model, "families/%s", folder);
            check_model(model, values, slides);
            if ((features & GGUF) != 0) {
                (void)snprintf(model, sizeof model, "families/%s/model.gguf", folder);
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

#define LIST(folder, name, features) FR_CASE(folder),
static const fr_case CASES[] = {FAMILIES(LIST)};

int main(int argc, char **argv)
{
    return fr_suite_main("families", CASES, FR_N_CASES(CASES), argc, argv);
}
