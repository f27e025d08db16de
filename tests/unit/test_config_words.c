/* Unknown keys lead to the right one: words of other trainers, and our own in the wrong place. */
#include "train/config/config_impl.h"

#include "support/model_files.h"

#include <stdio.h>
#include <string.h>

#define TASK "{name: t, train: a, prefix: {init: {text: hello}}"

static void refuses(const char *run, const char *task, const char *rest,
                    const char *part)
{
    char text[2048];
    fr_config *config = NULL;
    (void)snprintf(text, sizeof text,
                   "base: {path: m.gguf}\nrun: {dir: out, steps: 5%s}\n"
                   "tasks:\n- " TASK "%s}\n%s",
                   run, task, rest);
    FR_ASSERT_FAILS(fr_config_parse(fr_test_ctx(), "x.yaml", text, &config),
                    FR_ERR_CONFIG, part);
    CU_ASSERT_PTR_NULL(config);
}

static void words_of_others_are_known(void)
{
    refuses(", num_epochs: 3", "", "",
            "x.yaml:2: unknown key run.num_epochs; write run.epochs");
    refuses("", ", num_train_epochs: 3", "",
            "x.yaml:4: unknown key tasks[0].num_train_epochs; write run.epochs");
    refuses("", ", num_virtual_tokens: 20", "",
            "unknown key tasks[0].num_virtual_tokens; write tasks[].prefix.length");
    refuses(", max_steps: 3", "", "", "write run.steps");
    refuses("", ", learning_rate: 1", "", "write tasks[].optimizer.lr");
    refuses("", ", per_device_train_batch_size: 4", "",
            "write tasks[].batch.examples; batch.examples is the whole step");
    refuses("", ", optimizer: {warmup-steps: 4}", "", "write tasks[].optimizer.warmup");
    refuses("", "", "output_dir: x\n", "unknown key output_dir; write run.dir");
    refuses("", "", "Model_Name_Or_Path: x\n", "write base.path");
    refuses("", "", "model: {}\n", "unknown key model; write base.path");
    refuses("", "", "sweep: {learning_rate: [1]}\n",
            "unknown key sweep.learning_rate; write tasks[].optimizer.lr; a sweep can "
            "vary");
}

static void own_words_elsewhere_are_known(void)
{
    refuses("", "", "steps: 7\n",
            "unknown key steps; write run.steps or tasks[].steps");
    refuses("", ", optimizer: {steps: 7}", "", "write run.steps or tasks[].steps");
    refuses("", ", lr: 7", "", "unknown key tasks[0].lr; write tasks[].optimizer.lr");
    refuses("", "", "optimizer: {lr: 1}\n",
            "unknown key optimizer; write tasks[].optimizer");
    refuses(", length: 5", "", "", "write tasks[].prefix.length");
    /* slips of the pen stay what they were */
    refuses(", stpes: 5", "", "", "did you mean steps?");
}

static void sets_are_told_alike(void)
{
    fr_config *config = NULL;
    const char *path = fr_test_path(fr_test_folder(), "x.yaml");
    fr_test_write_text(path, "base: {path: m.gguf}\nrun: {dir: out, steps: 5}\n"
                             "tasks:\n- " TASK "}\n");
    static const char *const SETS[][2] = {
        {"run.n_epochs=3",
         "--set run.n_epochs: unknown key n_epochs; write run.epochs"},
        {"steps=3", "write run.steps or tasks[].steps"},
        {"tasks.t.lr=3", "write tasks[].optimizer.lr"},
        {"tasks.t.num_virtual_tokens=3", "write tasks[].prefix.length"},
        {"base.sliding_window=64",
         "tasks[].prefix.window says whether they hide slots"},
        {"model.path=x", "write base.path"},
        {"run.steps.more=5", "did you mean steps?"}};
    for (size_t i = 0; i < sizeof SETS / sizeof SETS[0]; i++) {
        FR_ASSERT_FAILS(fr_config_read(fr_test_ctx(), path, &SETS[i][0], 1, &config),
                        FR_ERR_CONFIG, SETS[i][1]);
    }
}

/* Whether the path that advice names, if it names one, is a key's or a section's. */
static bool names_a_key(const char *advice)
{
    char path[FR_ALLOWED_BYTES];
    const char *at = strstr(advice, "write ");
    if (at == NULL) {
        return true;
    }
    size_t n = strspn(at + 6, "abcdefghijklmnopqrstuvwxyz12_.[]");
    (void)snprintf(path, sizeof path, "%.*s", (int)n, at + 6);
    bool found = false;
    for (int k = 0; k < FR_CONFIG_N_KEYS; k++) {
        char whole[FR_ALLOWED_BYTES];
        (void)snprintf(whole, sizeof whole, "%s.%s",
                       FR_CONFIG_SECTIONS[FR_CONFIG_KEYS[k].section].path,
                       FR_CONFIG_KEYS[k].name);
        found = found || strcmp(whole, path) == 0;
    }
    for (int s = 0; s < FR_SECTION_COUNT; s++) {
        found = found || strcmp(FR_CONFIG_SECTIONS[s].path, path) == 0;
    }
    return found;
}

/* A word is no key of our own (it would never be looked up), and every key that advice names is one. */
static void advice_names_keys_that_exist(void)
{
    static const char *const WORDS[] = {"num_epochs",
                                        "max_steps",
                                        "batch_size",
                                        "micro_batch_size",
                                        "warmup_steps",
                                        "lr_scheduler",
                                        "optim",
                                        "adam_beta1",
                                        "adam_beta2",
                                        "epsilon",
                                        "grad_clip",
                                        "max_length",
                                        "prefix_length",
                                        "prefix_projection",
                                        "model",
                                        "output_dir",
                                        "logging_steps",
                                        "save_steps",
                                        "eval_steps",
                                        "save_total_limit",
                                        "early_stopping",
                                        "dataset",
                                        "validation",
                                        "eval_samples",
                                        "bf16",
                                        "load_in_4bit",
                                        "gradient_checkpointing",
                                        "random_seed",
                                        "prompt_template",
                                        "chat_template",
                                        "pp",
                                        "dp"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        const char *advice = fr_config_foreign(WORDS[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(advice);
        CU_ASSERT_PTR_NULL(fr_config_foreign(advice));
        if (!names_a_key(advice)) {
            CU_FAIL("advice names no key");
            (void)fprintf(stderr, "%s: %s\n", WORDS[i], advice);
        }
    }
    for (int k = 0; k < FR_CONFIG_N_KEYS; k++) {
        CU_ASSERT_PTR_NULL(fr_config_foreign(FR_CONFIG_KEYS[k].name));
    }
    CU_ASSERT_PTR_NULL(fr_config_foreign(""));
    CU_ASSERT_PTR_NULL(fr_config_foreign("epoch s"));
    CU_ASSERT_PTR_NULL(fr_config_foreign("num_epochs num_train_epochs"));
}

static const fr_case CASES[] = {
    FR_CASE(words_of_others_are_known),
    FR_CASE(own_words_elsewhere_are_known),
    FR_CASE(sets_are_told_alike),
    FR_CASE(advice_names_keys_that_exist),
};

int main(int argc, char **argv)
{
    return fr_suite_main("config_words", CASES, FR_N_CASES(CASES), argc, argv);
}
