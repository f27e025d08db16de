/* Mutated configs end with FR_OK or a clear error: never a crash, a leak or an empty message. */
#include "train/config/config.h"

#include "base/rng.h"
#include "support/model_files.h"

#include <stdlib.h>
#include <string.h>

enum { N_ROUNDS = 1000, MAX_BYTES = 4096, SEED = 20 };

static const char WHOLE[] =
    "base: {path: m.gguf, weights: auto}\n"
    "run:\n"
    "  {dir: out, seed: 3, steps: 60, precision: f32, stages: 2, replicas: auto}\n"
    "sweep:\n"
    "  task: c\n"
    "  prefix.length: [2, 3]\n"
    "  prefix.init: [{random: 0.02}, {text: \"a b\"}]\n"
    "  optimizer.lr: [1e-3, 0.5]\n"
    "  seed: [1, auto]\n"
    "tasks:\n"
    "  - name: &n first\n"
    "    train: t.jsonl\n"
    "    template: \"{source}\\nSynopsis:{target} \\u00e9\"\n"
    "    eos: false\n"
    "    max_tokens: 99\n"
    "    prefix: {init: {random: 0.02}, length: 16, mlp: {hidden: 8, width: 4}}\n"
    "    optimizer: {lr: 1e-2, warmup: 10, schedule: cosine, clip: 0}\n"
    "    batch:\n"
    "      examples: 3\n"
    "  - name: b\n"
    "    train: *n\n"
    "    chat: true\n"
    "    prefix:\n"
    "      init:\n"
    "        text: |-\n"
    "          x\n"
    "  - {name: c, train: t, prefix: {init: {zero: true}, length: 1}}\n";

static const char *const PIECES[] = {"[",
                                     "]",
                                     "{",
                                     "}",
                                     ": ",
                                     "- ",
                                     "? ",
                                     "\n",
                                     "\t",
                                     "&n ",
                                     "*n",
                                     "!!x ",
                                     "\"",
                                     "'",
                                     "#",
                                     "---\n",
                                     "...\n",
                                     "|\n",
                                     ">\n",
                                     "<<: ",
                                     "\\x00",
                                     "auto",
                                     "null",
                                     "true",
                                     "1e999",
                                     "-0",
                                     "\xFF",
                                     "\xC3",
                                     "%TAG ",
                                     "@",
                                     "name: b",
                                     "    ",
                                     "tasks:",
                                     "prefix:",
                                     "init: ",
                                     ", ",
                                     "99999999999999999999999999"};
enum { N_PIECES = sizeof PIECES / sizeof PIECES[0] };

static uint32_t draw(uint64_t round, uint64_t step, uint32_t below)
{
    return (uint32_t)(fr_rng_uniform(SEED, FR_RNG_TEST, round, step) * below);
}

/* Replace [at, at + n) of the text by `put`. */
static void splice(char *text, size_t at, size_t n, const char *put)
{
    char copy[MAX_BYTES];
    size_t length = strlen(text);
    n = n > length - at ? length - at : n;
    if (length - n + strlen(put) < MAX_BYTES) {
        memcpy(copy, text + at + n, length - at - n + 1);
        memcpy(text + at, put, strlen(put));
        memcpy(text + at + strlen(put), copy, length - at - n + 1);
    }
}

static void mutate(uint64_t round, char *text)
{
    static const char LETTERS[] = "0123456789abcdefnrstuxyE.-_";
    uint32_t n_changes = 1 + draw(round, 0, 2);
    for (uint32_t i = 0; i < n_changes; i++) {
        uint64_t step = 1 + 4 * (uint64_t)i;
        size_t at = draw(round, step, (uint32_t)strlen(text) + 1);
        uint32_t kind = draw(round, step + 1, 10);
        char byte[] = {(char)(1 + draw(round, step + 2, 255)), '\0'};
        if (kind < 5) {
            byte[0] = LETTERS[draw(round, step + 2, sizeof LETTERS - 1)];
            splice(text, at, kind < 4, byte);
        } else if (kind == 5) {
            splice(text, at, 1, byte);
        } else if (kind == 6) {
            splice(text, at, draw(round, step + 2, 40), "");
        } else if (kind == 7 && draw(round, step + 2, 4) == 0) {
            text[at] = '\0';
        } else {
            splice(text, at, draw(round, step + 3, 12),
                   PIECES[draw(round, step + 2, N_PIECES)]);
        }
    }
}

/* What was accepted can be written, read back, and resumes itself. */
static void check_accepted(fr_config *config)
{
    char *text = NULL;
    fr_config *again = NULL;
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), config, &text));
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    FR_ASSERT_OK(fr_config_parse(fr_test_ctx(), "again", text, &again));
    if (again != NULL) {
        FR_ASSERT_OK(fr_config_check_resume(fr_test_ctx(), config, again));
    }
    fr_config_destroy(&again);
    free(text);
}

static void unmutated_config_is_good(void)
{
    fr_config *config = NULL;
    FR_ASSERT_OK(fr_config_parse(fr_test_ctx(), "x.yaml", WHOLE, &config));
    CU_ASSERT_PTR_NOT_NULL_FATAL(config);
    check_accepted(config);
    fr_config_destroy(&config);
}

static void mutated_configs_end_clearly(void)
{
    int n_accepted = 0;
    int n_refused = 0;
    for (uint64_t round = 0; round < N_ROUNDS; round++) {
        char text[MAX_BYTES] = "";
        fr_config *config = NULL;
        fr_ctx *ctx = fr_test_ctx();
        memcpy(text, WHOLE, sizeof WHOLE);
        mutate(round, text);
        fr_status status = fr_config_parse(ctx, "x.yaml", text, &config);
        if (status == FR_OK) {
            check_accepted(config);
            n_accepted++;
        } else {
            n_refused++;
            CU_ASSERT_EQUAL(status, FR_ERR_CONFIG);
            CU_ASSERT_PTR_NULL(config);
            CU_ASSERT_EQUAL(strncmp(fr_ctx_error(ctx), "x.yaml:", 7), 0);
            fr_ctx_clear_error(ctx);
        }
        fr_config_destroy(&config);
    }
    /* the mutations reach both outcomes */
    CU_ASSERT(n_accepted > N_ROUNDS / 50);
    CU_ASSERT(n_refused > N_ROUNDS / 4);
}

static void mutated_sets_end_clearly(void)
{
    static const char *const SETS[] = {"run.steps=70", "tasks.first.optimizer.lr=1e-2",
                                       "tasks.c.prefix.init.text=hello"};
    int n_accepted = 0;
    const char *path = fr_test_path(fr_test_folder(), "x.yaml");
    fr_test_write_text(path, WHOLE);
    for (uint64_t round = 0; round < N_ROUNDS / 4; round++) {
        char set[MAX_BYTES] = "";
        const char *sets[] = {set};
        fr_config *config = NULL;
        fr_ctx *ctx = fr_test_ctx();
        memcpy(set, SETS[round % 3], strlen(SETS[round % 3]) + 1);
        mutate(N_ROUNDS + round, set);
        fr_status status = fr_config_read(ctx, path, sets, 1, &config);
        if (status == FR_OK) {
            check_accepted(config);
            n_accepted++;
        } else {
            CU_ASSERT_EQUAL(status, FR_ERR_CONFIG);
            CU_ASSERT(fr_ctx_error(ctx)[0] != '\0');
            fr_ctx_clear_error(ctx);
        }
        fr_config_destroy(&config);
    }
    CU_ASSERT(n_accepted > N_ROUNDS / 200);
    CU_ASSERT(n_accepted < N_ROUNDS / 4);
}

static const fr_case CASES[] = {
    FR_CASE(unmutated_config_is_good),
    FR_CASE(mutated_configs_end_clearly),
    FR_CASE(mutated_sets_end_clearly),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fuzz_config", CASES, FR_N_CASES(CASES), argc, argv);
}
