/* Logits, losses, prefix gradients and greedy text against Hugging Face PEFT (f32, eager attention); README.md of this
 * folder says how the values were made. */
#include "support/golden_rows.h"
#include "support/suite.h"

#include <stdio.h>

/* The values of a model, opened, checked and closed. */
static void check(const char *model, const char *name, void (*checks)(fr_golden *))
{
    char folder[64];
    char values[128];
    fr_golden golden;
    (void)snprintf(folder, sizeof folder, "golden/%s", model);
    (void)snprintf(values, sizeof values, "golden/%s_%s_f32.safetensors", model, name);
    fr_golden_open(fr_test_data(folder), fr_test_data(values), &golden);
    checks(&golden);
    fr_golden_close(&golden);
}

static void llama_rows_match(void)
{
    check("tiny_llama", "right", fr_golden_check_rows);
    check("tiny_llama", "nopad_p1", fr_golden_check_rows);
}

static void gpt2_rows_match(void)
{
    check("tiny_gpt2", "right", fr_golden_check_rows);
    check("tiny_gpt2", "nopad_p1", fr_golden_check_rows);
}

static void llama_prefix_gradients_match(void)
{
    check("tiny_llama", "right", fr_golden_check_gradient);
    check("tiny_llama", "nopad_p1", fr_golden_check_gradient);
}

static void gpt2_prefix_gradients_match(void)
{
    check("tiny_gpt2", "right", fr_golden_check_gradient);
    check("tiny_gpt2", "nopad_p1", fr_golden_check_gradient);
}

static void greedy_generation_matches(void)
{
    check("tiny_llama", "left", fr_golden_check_generation);
    check("tiny_gpt2", "left", fr_golden_check_generation);
}

static const fr_case CASES[] = {
    FR_CASE(llama_rows_match),
    FR_CASE(gpt2_rows_match),
    FR_CASE(llama_prefix_gradients_match),
    FR_CASE(gpt2_prefix_gradients_match),
    FR_CASE(greedy_generation_matches),
};

int main(int argc, char **argv)
{
    return fr_suite_main("model", CASES, FR_N_CASES(CASES), argc, argv);
}
