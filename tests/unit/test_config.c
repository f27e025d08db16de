#include "train/config/config.h"

#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "base: {path: m.gguf}\nrun: {dir: out, steps: 5}\ntasks:\n"
#define TASK "  - {name: t, train: a.jsonl, prefix: {init: {text: hello}}}\n"

static fr_config *parse(const char *text)
{
    fr_config *config = NULL;
    FR_ASSERT_OK(fr_config_parse(fr_test_ctx(), "x.yaml", text, &config));
    CU_ASSERT_PTR_NOT_NULL_FATAL(config);
    return config;
}

static fr_config *read_with(const char *text, const char *const *sets, int64_t n_sets)
{
    fr_config *config = NULL;
    const char *path = fr_test_path(fr_test_folder(), "x.yaml");
    fr_test_write_text(path, text);
    FR_ASSERT_OK(fr_config_read(fr_test_ctx(), path, sets, n_sets, &config));
    CU_ASSERT_PTR_NOT_NULL_FATAL(config);
    return config;
}

static void defaults_are_those_of_the_reference(void)
{
    fr_config *c = parse(HEAD TASK);
    const fr_task_config *t = &c->tasks[0];
    CU_ASSERT_FALSE(c->base.quantised);
    CU_ASSERT_EQUAL(c->base.offload, FR_AUTO);
    CU_ASSERT_EQUAL(c->run.seed, 1);
    CU_ASSERT_EQUAL(c->run.precision, FR_PRECISION_BF16);
    CU_ASSERT_EQUAL(c->run.stages, FR_AUTO);
    CU_ASSERT_EQUAL(c->run.replicas, FR_AUTO);
    CU_ASSERT_EQUAL(c->run.threads, FR_AUTO);
    CU_ASSERT_STRING_EQUAL(c->run.device, "auto");
    CU_ASSERT_STRING_EQUAL(c->run.links, "auto");
    CU_ASSERT_STRING_EQUAL(c->run.sums, "auto");
    CU_ASSERT_EQUAL(c->run.save_every, 50);
    CU_ASSERT_EQUAL(c->run.keep, 2);
    CU_ASSERT_EQUAL(c->run.valid_every, 50);
    CU_ASSERT_EQUAL(c->run.log_every, 1);
    CU_ASSERT_EQUAL(c->run.nonfinite_limit, 5);
    CU_ASSERT_EQUAL(c->run.timeout, 600);
    CU_ASSERT_EQUAL(c->n_tasks, 1);
    CU_ASSERT_PTR_NULL(t->valid);
    CU_ASSERT_PTR_NULL(t->template_text);
    CU_ASSERT_FALSE(t->chat);
    CU_ASSERT_TRUE(t->eos);
    CU_ASSERT_FALSE(t->special);
    CU_ASSERT_FALSE(t->loss_last);
    CU_ASSERT_EQUAL(t->long_rows, FR_LONG_DROP);
    CU_ASSERT_EQUAL(t->max_tokens, FR_AUTO);
    CU_ASSERT_EQUAL(t->valid_rows, FR_AUTO);
    CU_ASSERT_EQUAL(t->steps, FR_AUTO);
    CU_ASSERT_EQUAL(t->prefix.length, FR_AUTO);
    CU_ASSERT_FALSE(t->prefix.freeze_first);
    CU_ASSERT_FALSE(t->prefix.slides);
    CU_ASSERT_EQUAL(t->prefix.mlp_hidden, 0);
    CU_ASSERT_EQUAL(t->prefix.mlp_width, FR_AUTO);
    CU_ASSERT_EQUAL(t->prefix.first_layer, 0);
    CU_ASSERT_EQUAL(t->prefix.n_layers, FR_AUTO);
    CU_ASSERT_EQUAL(t->optimizer.kind, FR_ADAMW);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.lr, 5e-3, 0.0);
    CU_ASSERT_EQUAL(t->optimizer.warmup, 0);
    CU_ASSERT_EQUAL(t->optimizer.schedule, FR_SCHEDULE_CONSTANT);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.weight_decay, 0.0, 0.0);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.clip, 1.0, 0.0);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.beta1, 0.9, 0.0);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.beta2, 0.999, 0.0);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.eps, 1e-8, 0.0);
    CU_ASSERT_EQUAL(t->batch.examples, 16);
    CU_ASSERT_EQUAL(t->batch.order, FR_ORDER_SHUFFLED);
    CU_ASSERT_TRUE(t->batch.share_sources);
    CU_ASSERT_EQUAL(t->batch.share_prompt, 1);
    CU_ASSERT_EQUAL(t->batch.microbatch_tokens, FR_AUTO);
    fr_config_destroy(&c);
    CU_ASSERT_PTR_NULL(c);
}

static const char FULL[] =
    "base: {path: \"a b.gguf\", weights: quantised, offload: none}\n"
    "run:\n"
    "  {dir: out, seed: 18446744073709551615, steps: 60, precision: f32, stages: 2,\n"
    "   replicas: auto, threads: 3, device: cpu, links: direct, sums: nccl, "
    "save_every: 7, "
    "keep: 4,\n"
    "   valid_every: 0, log_every: 9, nonfinite_limit: 11, timeout: 0}\n"
    "tasks:\n"
    "  - name: first.task-1\n"
    "    train: t.jsonl\n"
    "    valid: v.jsonl\n"
    "    valid_rows: 200\n"
    "    template: \"{source}\\nSynopsis:\\t{target} "
    "\\\"\\u00e9\\u2028\\U0001F600\\x07\"\n"
    "    eos: false\n"
    "    special: true\n"
    "    long_rows: cut\n"
    "    max_tokens: 99\n"
    "    steps: 13\n"
    "    prefix: {init: {random: 0.02}, length: 16, freeze_first: true,\n"
    "             window: slides,\n"
    "             mlp: {hidden: 512, width: 48},\n"
    "             layers: {first: 4, count: 2}}\n"
    "    optimizer: {kind: sgd, lr: 1e-2, warmup: 10, schedule: cosine, clip: 0,\n"
    "                weight_decay: .5, beta1: 0, beta2: 0.98, eps: 1.0e-6}\n"
    "    batch: {examples: 3, microbatch_tokens: 77, order: by_source,\n"
    "            share_sources: false, share_prompt: 4}\n"
    "  - {name: b, train: t, chat: true, loss: last, prefix: {init: {file: p.h5:b}}}\n"
    "  - {name: c, train: t, prefix: {init: {zero: true}, length: 1}}\n";

static void check_full(const fr_config *c)
{
    const fr_task_config *t = &c->tasks[0];
    CU_ASSERT(c->base.quantised);
    CU_ASSERT_EQUAL(c->base.offload, FR_NONE);
    CU_ASSERT_STRING_EQUAL(c->base.path, "a b.gguf");
    CU_ASSERT_EQUAL(c->run.seed, UINT64_MAX);
    CU_ASSERT_EQUAL(c->run.precision, FR_PRECISION_F32);
    CU_ASSERT_EQUAL(c->run.stages, 2);
    CU_ASSERT_EQUAL(c->run.threads, 3);
    CU_ASSERT_STRING_EQUAL(c->run.device, "cpu");
    CU_ASSERT_STRING_EQUAL(c->run.links, "direct");
    CU_ASSERT_STRING_EQUAL(c->run.sums, "nccl");
    CU_ASSERT_EQUAL(c->run.valid_every, 0);
    CU_ASSERT_EQUAL(c->run.nonfinite_limit, 11);
    CU_ASSERT_EQUAL(c->run.timeout, 0);
    CU_ASSERT_EQUAL_FATAL(c->n_tasks, 3);
    CU_ASSERT_STRING_EQUAL(t->name, "first.task-1");
    CU_ASSERT_STRING_EQUAL(t->valid, "v.jsonl");
    CU_ASSERT_EQUAL(t->valid_rows, 200);
    CU_ASSERT_STRING_EQUAL(t->template_text,
                           "{source}\nSynopsis:\t{target} \"\xC3\xA9\xE2\x80\xA8"
                           "\xF0\x9F\x98\x80\x07");
    CU_ASSERT_FALSE(t->eos);
    CU_ASSERT_TRUE(t->special);
    CU_ASSERT_EQUAL(t->long_rows, FR_LONG_CUT);
    CU_ASSERT_EQUAL(t->max_tokens, 99);
    CU_ASSERT_EQUAL(t->steps, 13);
    CU_ASSERT_EQUAL(t->prefix.init, FR_INIT_RANDOM);
    CU_ASSERT_DOUBLE_EQUAL(t->prefix.random_std, 0.02, 0.0);
    CU_ASSERT_EQUAL(t->prefix.length, 16);
    CU_ASSERT_TRUE(t->prefix.freeze_first);
    CU_ASSERT_TRUE(t->prefix.slides);
    CU_ASSERT_EQUAL(t->prefix.mlp_hidden, 512);
    CU_ASSERT_EQUAL(t->prefix.mlp_width, 48);
    CU_ASSERT_EQUAL(t->prefix.first_layer, 4);
    CU_ASSERT_EQUAL(t->prefix.n_layers, 2);
    CU_ASSERT_EQUAL(t->optimizer.kind, FR_SGD);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.lr, 0.01, 0.0);
    CU_ASSERT_EQUAL(t->optimizer.schedule, FR_SCHEDULE_COSINE);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.weight_decay, 0.5, 0.0);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.eps, 1e-6, 0.0);
    CU_ASSERT_EQUAL(t->batch.examples, 3);
    CU_ASSERT_EQUAL(t->batch.order, FR_ORDER_BY_SOURCE);
    CU_ASSERT_FALSE(t->batch.share_sources);
    CU_ASSERT_EQUAL(t->batch.share_prompt, 4);
    CU_ASSERT_EQUAL(t->batch.microbatch_tokens, 77);
    CU_ASSERT_TRUE(c->tasks[1].chat);
    CU_ASSERT_TRUE(c->tasks[1].loss_last);
    CU_ASSERT_EQUAL(c->tasks[1].prefix.init, FR_INIT_FILE);
    CU_ASSERT_STRING_EQUAL(c->tasks[1].prefix.text, "p.h5:b");
    CU_ASSERT_EQUAL(c->tasks[2].prefix.init, FR_INIT_ZERO);
}

static void every_key_is_read(void)
{
    fr_config *config = parse(FULL);
    check_full(config);
    fr_config_destroy(&config);
}

static void written_config_reads_back_the_same(void)
{
    fr_config *config = parse(FULL);
    char *first = NULL;
    char *second = NULL;
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), config, &first));
    fr_config_destroy(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    config = parse(first);
    check_full(config);
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), config, &second));
    CU_ASSERT_PTR_NOT_NULL_FATAL(second);
    CU_ASSERT_STRING_EQUAL(first, second);
    /* the control character is escaped, the letter is not */
    CU_ASSERT_PTR_NOT_NULL(strstr(first, "\xC3\xA9\\U00002028"));
    CU_ASSERT_PTR_NOT_NULL(strstr(first, "\\U00000007"));
    fr_config_destroy(&config);
    free(first);
    free(second);
}

static void reals_are_written_shortest_and_exact(void)
{
    static const char *const REALS[] = {"0.1", "1e-300", "0.30000000000000004", "999"};
    for (size_t i = 0; i < sizeof REALS / sizeof REALS[0]; i++) {
        char set[64];
        char line[64];
        char *text = NULL;
        const char *sets[] = {set};
        (void)snprintf(set, sizeof set, "tasks.t.optimizer.lr=%s", REALS[i]);
        (void)snprintf(line, sizeof line, "lr: %s\n", REALS[i]);
        fr_config *config = read_with(HEAD TASK, sets, 1);
        FR_ASSERT_OK(fr_config_write(fr_test_ctx(), config, &text));
        CU_ASSERT_PTR_NOT_NULL_FATAL(text);
        CU_ASSERT_PTR_NOT_NULL(strstr(text, line));
        fr_config_destroy(&config);
        free(text);
    }
}

/* What a task says comes before what run says, whichever of the two it is. */
static void epochs_stand_in_place_of_steps(void)
{
    fr_config *c =
        parse("base: {path: m}\nrun: {dir: o, epochs: 4}\ntasks:\n"
              "- {name: a, train: a, prefix: {init: {text: x}}}\n"
              "- {name: b, train: a, steps: 3, prefix: {init: {text: x}}}\n"
              "- {name: c, train: a, epochs: 2, prefix: {init: {text: x}}}\n");
    char *text = NULL;
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), c, &text));
    fr_config_destroy(&c);
    c = parse(text);
    CU_ASSERT_EQUAL(fr_task_epochs(c, &c->tasks[0]), 4);
    CU_ASSERT_EQUAL(fr_task_epochs(c, &c->tasks[1]), 0);
    CU_ASSERT_EQUAL(fr_task_steps(c, &c->tasks[1]), 3);
    CU_ASSERT_EQUAL(fr_task_epochs(c, &c->tasks[2]), 2);
    fr_config_destroy(&c);
    free(text);
}

static void steps_may_stand_with_the_tasks(void)
{
    fr_config *c =
        parse("base: {path: m}\nrun: {dir: o}\ntasks:\n"
              "- {name: t, train: a, steps: 3, prefix: {init: {text: x}}}\n");
    char *text = NULL;
    CU_ASSERT_EQUAL(c->tasks[0].steps, 3);
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), c, &text));
    fr_config_destroy(&c);
    c = parse(text);
    CU_ASSERT_EQUAL(c->tasks[0].steps, 3);
    fr_config_destroy(&c);
    free(text);
}

static void a_task_has_its_own_seed_or_the_runs(void)
{
    static const char *const SETS[] = {"run.seed=18446744073709551615",
                                       "tasks.t.seed=auto"};
    fr_config *c = read_with(
        HEAD TASK "  - {name: u, train: a, seed: 0, prefix: {init: {text: x}}}\n", SETS,
        2);
    fr_config *again = NULL;
    char *text = NULL;
    CU_ASSERT_EQUAL(c->tasks[0].seed, UINT64_MAX);
    CU_ASSERT_EQUAL(c->tasks[1].seed, 0);
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), c, &text));
    again = parse(text);
    CU_ASSERT_EQUAL(again->tasks[0].seed, UINT64_MAX);
    CU_ASSERT_EQUAL(again->tasks[1].seed, 0);
    fr_config_destroy(&again);
    fr_config_destroy(&c);
    free(text);
}

static void stopping_rules_are_read(void)
{
    static const char *const SETS[] = {"tasks.t.valid=v", "tasks.t.patience=3",
                                       "tasks.t.stop_below=1.25", "run.warmup_depth=2"};
    static const char *const NONE[] = {"tasks.t.patience=auto", "tasks.t.stop_below=0"};
    fr_config *c = read_with(HEAD TASK, SETS, 4);
    CU_ASSERT_EQUAL(c->tasks[0].patience, 3);
    CU_ASSERT_DOUBLE_EQUAL(c->tasks[0].stop_below, 1.25, 0.0);
    CU_ASSERT_EQUAL(c->run.warmup_depth, 2);
    fr_config_destroy(&c);
    c = read_with(HEAD TASK, NONE, 2);
    CU_ASSERT_EQUAL(c->tasks[0].patience, 0);
    CU_ASSERT_EQUAL(c->run.warmup_depth, 1);
    fr_config_destroy(&c);
}

static void sets_override_the_file(void)
{
    static const char *const SETS[] = {"run.steps=70",
                                       "run.steps=80",
                                       "tasks.t.optimizer.lr=1e-2",
                                       "run.dir=a=b:c",
                                       "tasks.t.prefix.init.random=0.5",
                                       "tasks.t.prefix.length=4",
                                       "run.stages=auto",
                                       "tasks.t.template={source} {target}"};
    fr_config *c = read_with(HEAD TASK, SETS, 8);
    CU_ASSERT_EQUAL(c->run.steps, 80);
    CU_ASSERT_STRING_EQUAL(c->run.dir, "a=b:c");
    CU_ASSERT_DOUBLE_EQUAL(c->tasks[0].optimizer.lr, 0.01, 0.0);
    CU_ASSERT_EQUAL(c->tasks[0].prefix.init, FR_INIT_RANDOM);
    CU_ASSERT_PTR_NULL(c->tasks[0].prefix.text);
    CU_ASSERT_EQUAL(c->tasks[0].prefix.length, 4);
    CU_ASSERT_STRING_EQUAL(c->tasks[0].template_text, "{source} {target}");
    fr_config_destroy(&c);
}

/* The rate in effect, and written and read again, under two settings. */
static void check_rate(const char *first, const char *second, double wanted)
{
    const char *sets[] = {first, second};
    fr_config *c = read_with(HEAD TASK, sets, 2);
    char *text = NULL;
    CU_ASSERT_DOUBLE_EQUAL(c->tasks[0].optimizer.lr, wanted, 0.0);
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), c, &text));
    fr_config_destroy(&c);
    c = parse(text);
    CU_ASSERT_DOUBLE_EQUAL(c->tasks[0].optimizer.lr, wanted, 0.0);
    fr_config_destroy(&c);
    free(text);
}

static void rate_of_itself_depends_on_the_mlp(void)
{
    static const char HIDDEN[] = "tasks.t.prefix.mlp.hidden=8";
    static const char NONE[] = "tasks.t.prefix.mlp.hidden=0";
    check_rate(NONE, "tasks.t.optimizer.lr=auto", 5e-3);
    check_rate(HIDDEN, "run.steps=3", 5e-5);
    check_rate("tasks.t.optimizer.lr=auto", HIDDEN, 5e-5);
    check_rate(HIDDEN, "tasks.t.optimizer.lr=2e-4", 2e-4);
    check_rate(HIDDEN, "tasks.t.optimizer.lr=0", 0.0);
}

static void sets_take_lists_where_the_file_does(void)
{
    static const char *const FORMS[][2] = {
        {"[a, b]", "a, b"}, {"[ 'a' , \"b\" ]", "a, b"},
        {" [a,b]", "a, b"}, {"a, b", "a, b"},
        {"[one]", "one"},   {"a", "a"},
        {"['[x]']", "[x]"}, {"[]", NULL}};
    for (int i = 0; i < FR_N_CASES(FORMS); i++) {
        char set[64];
        const char *sets[] = {"tasks.t.data.ignore=before", set};
        (void)snprintf(set, sizeof set, "tasks.t.data.ignore=%s", FORMS[i][0]);
        fr_config *c = read_with(HEAD TASK, sets, 2);
        if (FORMS[i][1] == NULL) {
            CU_ASSERT_PTR_NULL(c->tasks[0].ignore);
        } else {
            CU_ASSERT_PTR_NOT_NULL_FATAL(c->tasks[0].ignore);
            CU_ASSERT_STRING_EQUAL(c->tasks[0].ignore, FORMS[i][1]);
        }
        fr_config_destroy(&c);
    }
}

static void sets_give_what_the_file_lacks(void)
{
    static const char *const SETS[] = {"base.path=m", "run.dir=o", "run.steps=2",
                                       "tasks.t.train=a", "tasks.t.prefix.init.text=x"};
    fr_config *c = read_with("tasks: [{name: t}]\n", SETS, 5);
    CU_ASSERT_STRING_EQUAL(c->tasks[0].train, "a");
    CU_ASSERT_STRING_EQUAL(c->tasks[0].prefix.text, "x");
    fr_config_destroy(&c);
}

static void sets_find_tasks_with_dots(void)
{
    static const char *const SETS[] = {"tasks.t.x.steps=7", "tasks.t.steps=8"};
    fr_config *c = read_with(
        HEAD TASK "  - {name: t.x, train: a, prefix: {init: {text: x}}}\n", SETS, 2);
    CU_ASSERT_EQUAL(c->tasks[0].steps, 8);
    CU_ASSERT_EQUAL(c->tasks[1].steps, 7);
    fr_config_destroy(&c);
}

static void anchors_and_block_texts_are_fine(void)
{
    fr_config *c =
        parse("base: {path: m}\nrun: {dir: o, steps: 1}\ntasks:\n"
              "- name: t\n  train: &file a.jsonl\n  valid: *file\n"
              "  prefix:\n    init:\n      text: |\n        two\n        lines\n"
              "  optimizer: &opt {lr: 0.25}\n"
              "- {name: u, train: *file, prefix: {init: {text: x}}, "
              "optimizer: *opt}\n");
    CU_ASSERT_STRING_EQUAL(c->tasks[0].valid, "a.jsonl");
    CU_ASSERT_STRING_EQUAL(c->tasks[0].prefix.text, "two\nlines\n");
    CU_ASSERT_DOUBLE_EQUAL(c->tasks[1].optimizer.lr, 0.25, 0.0);
    fr_config_destroy(&c);
}

static void comments_markers_and_line_ends_are_fine(void)
{
    fr_config *c = parse("\xEF\xBB\xBF# a comment\r\n---\r\nbase: {path: m} # more\r\n"
                         "run: {dir: o, steps: 1}\r\ntasks:\r\n"
                         "- {name: t, train: a, prefix: {init: {text: x}}}\r\n...\r\n");
    CU_ASSERT_STRING_EQUAL(c->run.dir, "o");
    fr_config_destroy(&c);
}

static void shipped_configs_are_valid(void)
{
    static const char *const NAMES[] = {
        "../configs/debdesc.yaml", "../configs/tiny_cpu.yaml",  "../configs/chat.yaml",
        "../configs/sweep.yaml",   "../configs/multitask.yaml", "../configs/gpu_8.yaml",
        "../configs/gpu_4x8.yaml"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        fr_config *c = NULL;
        FR_ASSERT_OK(
            fr_config_read(fr_test_ctx(), fr_test_data(NAMES[i]), NULL, 0, &c));
        fr_config_destroy(&c);
    }
}

static void help_is_the_shipped_reference(void)
{
    enum { MAX = 65536 };
    char *help = fr_test_memory(calloc(MAX, 1));
    char *shipped = fr_test_memory(calloc(MAX, 1));
    FILE *stream = tmpfile();
    FILE *file = fopen(fr_test_data("../configs/README.md"), "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fr_config_print_help(stream);
    rewind(stream);
    size_t n = fread(help, 1, MAX - 1, stream);
    CU_ASSERT_EQUAL(fread(shipped, 1, MAX - 1, file), n);
    CU_ASSERT_STRING_EQUAL(help, shipped);
    CU_ASSERT_PTR_NOT_NULL(strstr(help, "`microbatch_tokens`"));
    (void)fclose(stream);
    (void)fclose(file);
    free(help);
    free(shipped);
}

static const fr_case CASES[] = {
    FR_CASE(defaults_are_those_of_the_reference),
    FR_CASE(every_key_is_read),
    FR_CASE(written_config_reads_back_the_same),
    FR_CASE(reals_are_written_shortest_and_exact),
    FR_CASE(steps_may_stand_with_the_tasks),
    FR_CASE(epochs_stand_in_place_of_steps),
    FR_CASE(a_task_has_its_own_seed_or_the_runs),
    FR_CASE(stopping_rules_are_read),
    FR_CASE(sets_override_the_file),
    FR_CASE(rate_of_itself_depends_on_the_mlp),
    FR_CASE(sets_take_lists_where_the_file_does),
    FR_CASE(sets_give_what_the_file_lacks),
    FR_CASE(sets_find_tasks_with_dots),
    FR_CASE(anchors_and_block_texts_are_fine),
    FR_CASE(comments_markers_and_line_ends_are_fine),
    FR_CASE(shipped_configs_are_valid),
    FR_CASE(help_is_the_shipped_reference),
};

int main(int argc, char **argv)
{
    return fr_suite_main("config", CASES, FR_N_CASES(CASES), argc, argv);
}
