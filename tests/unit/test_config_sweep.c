#include "train/config/config.h"

#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "base: {path: m.gguf}\nrun: {dir: out, seed: 3, steps: 5}\n"
#define PATTERN                                                                        \
    "tasks:\n- {name: p, train: a, valid: v, prefix: {init: {text: hello}},\n"         \
    "   optimizer: {lr: 0.5, warmup: 2}}\n"
#define OTHERS "- {name: q, train: b, prefix: {init: {text: bye}}}\n"

static fr_config *parse(const char *text)
{
    fr_config *config = NULL;
    FR_ASSERT_OK(fr_config_parse(fr_test_ctx(), "x.yaml", text, &config));
    CU_ASSERT_PTR_NOT_NULL_FATAL(config);
    return config;
}

static fr_config *read_with(const char *text, const char *const *sets, int64_t n)
{
    fr_config *config = NULL;
    const char *path = fr_test_path(fr_test_folder(), "x.yaml");
    fr_test_write_text(path, text);
    FR_ASSERT_OK(fr_config_read(fr_test_ctx(), path, sets, n, &config));
    CU_ASSERT_PTR_NOT_NULL_FATAL(config);
    return config;
}

/* `sweep` stands on line 3, before the tasks. */
static void refuses(const char *sweep, const char *part)
{
    fr_config *config = NULL;
    char text[4096];
    (void)snprintf(text, sizeof text, HEAD "sweep: %s\n" PATTERN, sweep);
    FR_ASSERT_FAILS(fr_config_parse(fr_test_ctx(), "x.yaml", text, &config),
                    FR_ERR_CONFIG, part);
    CU_ASSERT_PTR_NULL(config);
}

static void named(const fr_config *c, int64_t task, const char *name)
{
    CU_ASSERT_FATAL(task < c->n_tasks);
    CU_ASSERT_STRING_EQUAL(c->tasks[task].name, name);
}

static void every_combination_is_a_task_first_key_slowest(void)
{
    fr_config *c = parse(HEAD "sweep:\n  prefix.length: [8, 16]\n"
                              "  optimizer.lr: [1.0e-3, 0, 1e-7]\n" PATTERN);
    CU_ASSERT_EQUAL(c->n_tasks, 6);
    named(c, 0, "p.length-8.lr-0.001");
    named(c, 1, "p.length-8.lr-0");
    named(c, 2, "p.length-8.lr-1e-07");
    named(c, 3, "p.length-16.lr-0.001");
    named(c, 5, "p.length-16.lr-1e-07");
    for (int64_t i = 0; i < 6; i++) {
        const fr_task_config *t = &c->tasks[i];
        CU_ASSERT_TRUE(t->swept);
        CU_ASSERT_EQUAL(t->prefix.length, i < 3 ? 8 : 16);
        CU_ASSERT_DOUBLE_EQUAL(t->optimizer.lr,
                               i % 3 == 0   ? 1e-3
                               : i % 3 == 1 ? 0.0
                                            : 1e-7,
                               0.0);
        /* the rest is the pattern's */
        CU_ASSERT_STRING_EQUAL(t->train, "a");
        CU_ASSERT_STRING_EQUAL(t->valid, "v");
        CU_ASSERT_STRING_EQUAL(t->prefix.text, "hello");
        CU_ASSERT_EQUAL(t->optimizer.warmup, 2);
        CU_ASSERT_EQUAL(t->seed, 3);
    }
    fr_config_destroy(&c);
}

static void windows_can_be_swept(void)
{
    fr_config *c = parse(HEAD "sweep: {prefix.window: [slides, always]}\n" PATTERN);
    CU_ASSERT_EQUAL_FATAL(c->n_tasks, 2);
    named(c, 0, "p.window-slides");
    named(c, 1, "p.window-always");
    CU_ASSERT_TRUE(c->tasks[0].prefix.slides);
    CU_ASSERT_FALSE(c->tasks[1].prefix.slides);
    fr_config_destroy(&c);
}

static void all_other_keys_can_be_swept(void)
{
    fr_config *c = parse(HEAD "sweep:\n  prefix.length: [4]\n"
                              "  prefix.init: [{random: 0.02}, {zero: true}]\n"
                              "  prefix.layers.first: [3]\n"
                              "  optimizer.lr: [0.25]\n  optimizer.warmup: [7]\n"
                              "  optimizer.weight_decay: [0.125]\n"
                              "  batch.examples: [9]\n  seed: [11]\n" PATTERN);
    CU_ASSERT_EQUAL_FATAL(c->n_tasks, 2);
    const fr_task_config *t = &c->tasks[0];
    named(c, 0,
          "p.length-4.init-random-0.02.first-3.lr-0.25.warmup-7.weight_"
          "decay-0.125."
          "examples-9."
          "seed-11");
    CU_ASSERT_EQUAL(t->prefix.length, 4);
    CU_ASSERT_EQUAL(t->prefix.init, FR_INIT_RANDOM);
    CU_ASSERT_DOUBLE_EQUAL(t->prefix.random_std, 0.02, 0.0);
    CU_ASSERT_PTR_NULL(t->prefix.text);
    CU_ASSERT_EQUAL(t->prefix.first_layer, 3);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.lr, 0.25, 0.0);
    CU_ASSERT_EQUAL(t->optimizer.warmup, 7);
    CU_ASSERT_DOUBLE_EQUAL(t->optimizer.weight_decay, 0.125, 0.0);
    CU_ASSERT_EQUAL(t->batch.examples, 9);
    CU_ASSERT_EQUAL(t->seed, 11);
    CU_ASSERT_EQUAL(c->tasks[1].prefix.init, FR_INIT_ZERO);
    fr_config_destroy(&c);
}

static void made_tasks_take_the_patterns_place(void)
{
    fr_config *c =
        parse(HEAD PATTERN OTHERS "- {name: r, train: b, prefix: {init: {text: so}}}\n"
                                  "sweep: {task: q, seed: [1, 2, auto]}\n");
    CU_ASSERT_EQUAL(c->n_tasks, 5);
    named(c, 0, "p");
    named(c, 1, "q.seed-1");
    named(c, 2, "q.seed-2");
    named(c, 3, "q.seed-auto");
    named(c, 4, "r");
    CU_ASSERT_EQUAL(c->tasks[3].seed, 3);
    CU_ASSERT_FALSE(c->tasks[0].swept);
    CU_ASSERT_TRUE(c->tasks[1].swept);
    CU_ASSERT_FALSE(c->tasks[4].swept);
    CU_ASSERT_STRING_EQUAL(c->tasks[4].prefix.text, "so");
    fr_config_destroy(&c);
}

static void names_are_valid_short_and_unique(void)
{
    fr_config *c = parse(HEAD "sweep:\n  prefix.init:\n"
                              "  - {text: \"Write a title, please: short\"}\n"
                              "  - {text: \"Write a title, please: long\"}\n"
                              "  - {text: \"\\u4f60\\u597d\"}\n"
                              "  - {file: runs/x/prefix.h5}\n" PATTERN);
    named(c, 0, "p.init-text-Write-a-title-please-sho");
    named(c, 1, "p.init-text-Write-a-title-please-lon");
    named(c, 2, "p.init-text");
    named(c, 3, "p.init-file-runs-x-prefix.h5");
    fr_config_destroy(&c);
    c = parse(HEAD "sweep: {optimizer.lr: [1000, 1.0e-3]}\n" PATTERN);
    named(c, 0, "p.lr-1e03");
    named(c, 1, "p.lr-0.001");
    fr_config_destroy(&c);
    c = parse(HEAD "sweep:\n  prefix.init:\n  - {text: \"The same beginning of two "
                   "texts, one\"}\n  - {text: \"The same beginning of two texts, "
                   "two\"}\n" PATTERN);
    named(c, 0, "p.init-text-The-same-beginning-of-tw");
    named(c, 1, "p.init-text-The-same-beginning-of-tw-2");
    fr_config_destroy(&c);
}

static void long_names_end_in_a_digest(void)
{
    char text[1024];
    char name[91];
    memset(name, 'n', 90);
    name[90] = '\0';
    (void)snprintf(text, sizeof text,
                   HEAD "sweep: {prefix.length: [123456, 123457]}\ntasks:\n"
                        "- {name: %s, train: a, prefix: {init: {text: x}}}\n",
                   name);
    fr_config *c = parse(text);
    CU_ASSERT_EQUAL_FATAL(c->n_tasks, 2);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(strlen(c->tasks[i].name), 100);
        CU_ASSERT_EQUAL(strncmp(c->tasks[i].name, name, 90), 0);
    }
    CU_ASSERT_STRING_NOT_EQUAL(c->tasks[0].name, c->tasks[1].name);
    fr_config_destroy(&c);
}

static void sets_change_the_pattern_before(void)
{
    static const char *const SETS[] = {
        "tasks.p.optimizer.warmup=9", "tasks.p.optimizer.lr=9",
        "tasks.p.prefix.init.random=0.5", "tasks.p.prefix.length=6", "run.seed=12"};
    fr_config *c = read_with(HEAD "sweep: {optimizer.lr: [1, 2]}\n" PATTERN, SETS, 5);
    CU_ASSERT_EQUAL_FATAL(c->n_tasks, 2);
    CU_ASSERT_EQUAL(c->tasks[1].optimizer.warmup, 9);
    CU_ASSERT_DOUBLE_EQUAL(c->tasks[1].optimizer.lr, 2.0, 0.0);
    CU_ASSERT_EQUAL(c->tasks[1].prefix.init, FR_INIT_RANDOM);
    CU_ASSERT_EQUAL(c->tasks[1].seed, 12);
    fr_config_destroy(&c);
}

static void a_swept_init_need_not_stand_in_the_pattern(void)
{
    fr_config *c =
        parse(HEAD "sweep: {prefix.init: [{zero: true}], prefix.length: [2]}\n"
                   "tasks: [{name: p, train: a}]\n");
    CU_ASSERT_EQUAL(c->tasks[0].prefix.length, 2);
    CU_ASSERT_EQUAL(c->tasks[0].prefix.init, FR_INIT_ZERO);
    fr_config_destroy(&c);
}

/* The resolved config lists the made tasks and no sweep; either resumes the other. */
static void written_config_resumes(void)
{
    fr_config *c =
        parse(HEAD "sweep: {prefix.init: [{random: 0.5}, {text: \"a \\\"b\\\"\"}], "
                   "prefix.length: [2, 3]}\n" PATTERN);
    char *text = NULL;
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), c, &text));
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_PTR_NULL(strstr(text, "sweep"));
    fr_config *plain = parse(text);
    CU_ASSERT_EQUAL(plain->n_tasks, 4);
    CU_ASSERT_EQUAL(plain->n_swept, 0);
    FR_ASSERT_OK(fr_config_check_resume(fr_test_ctx(), c, plain));
    FR_ASSERT_OK(fr_config_check_resume(fr_test_ctx(), plain, c));
    fr_config_destroy(&plain);
    fr_config_destroy(&c);
    free(text);
}

static void value_is(const fr_config *c, int64_t task, int index, const char *key,
                     const char *text, bool is_text)
{
    fr_swept_value value = {0};
    FR_ASSERT_OK(
        fr_config_swept_value(fr_test_ctx(), c, &c->tasks[task], index, &value));
    CU_ASSERT_STRING_EQUAL(value.key, key);
    CU_ASSERT_STRING_EQUAL(value.text, text);
    CU_ASSERT_EQUAL(value.is_text, is_text);
    free(value.text);
}

static void values_of_made_tasks_are_told(void)
{
    fr_config *c = parse(
        HEAD "sweep: {prefix.init: [{random: 0.50}, {text: \"a\\nb\"}, {zero: true}],\n"
             "  seed: [1], prefix.length: [2]}\n" PATTERN);
    CU_ASSERT_EQUAL_FATAL(c->n_swept, 3);
    CU_ASSERT_STRING_EQUAL(fr_config_swept_name(c, 0), "prefix.init");
    CU_ASSERT_STRING_EQUAL(fr_config_swept_name(c, 1), "seed");
    value_is(c, 0, 0, "prefix.init.random", "0.5", false);
    value_is(c, 1, 0, "prefix.init.text", "a\nb", true);
    value_is(c, 2, 0, "prefix.init.zero", "true", false);
    value_is(c, 0, 1, "seed", "1", false);
    value_is(c, 0, 2, "prefix.length", "2", false);
    fr_config_destroy(&c);
}

static void unknown_keys_name_line_and_nearest(void)
{
    refuses("{optimizer.rl: [1]}",
            "x.yaml:3: unknown key sweep.optimizer.rl; did you mean optimizer.lr?");
    refuses("{lr: [1]}", "x.yaml:3: unknown key sweep.lr; did you mean optimizer.lr?");
    refuses("{length: [1]}", "did you mean prefix.length?");
    refuses("{tsk: p, seed: [1]}", "unknown key sweep.tsk; did you mean task?");
    refuses(
        "{optimizer.schedule: [linear]}",
        "x.yaml:3: unknown key sweep.optimizer.schedule; a sweep can vary "
        "prefix.length, prefix.window, prefix.init, prefix.layers.first, optimizer.lr, "
        "optimizer.warmup, "
        "optimizer.weight_decay, batch.examples, seed");
    refuses("{\n  seed: [1],\n  train: [a, b]}", "x.yaml:5: unknown key sweep.train");
    refuses("{prefix.init: [{zero: true}, {txt: a}]}",
            "x.yaml:3: unknown key sweep.prefix.init[1].txt; did you mean text?");
    fr_config *config = NULL;
    FR_ASSERT_FAILS(
        fr_config_parse(fr_test_ctx(), "x.yaml", HEAD "sweeep: {}\n" PATTERN, &config),
        FR_ERR_CONFIG, "x.yaml:3: unknown key sweeep; did you mean sweep?");
}

static void values_are_checked_where_they_stand(void)
{
    refuses("\n  prefix.length: [8,\n    many]",
            "x.yaml:5: sweep.prefix.length[1] is many, must be a whole number");
    refuses("{optimizer.lr: [-1]}",
            "x.yaml:3: sweep.optimizer.lr[0] is -1, must be a number");
    refuses("{optimizer.lr: [\"1\"]}", "write it without quotes");
    refuses("{optimizer.lr: [1, ~]}", "sweep.optimizer.lr[1] has no value");
    refuses("{prefix.init: [{zero: false}]}",
            "sweep.prefix.init[0] is false, must be true");
    refuses("{batch.examples: [0]}", "must be a whole number from 1");
    refuses("{seed: [1.5]}", "must be a whole number from 0");
    /* the rules over several keys hold for each made task */
    refuses("{prefix.init: [{text: a}, {zero: true}]}",
            "prefix.length is auto, but the init zero");
}

static void kinds_of_nodes_are_checked(void)
{
    refuses("[1]", "x.yaml:3: sweep is a list, must be a map");
    refuses("", "x.yaml:3: sweep is a single value, must be a map");
    refuses("{}", "x.yaml:3: sweep varies nothing; list values");
    refuses("{task: p}", "sweep varies nothing");
    refuses("{seed: 1}", "x.yaml:3: sweep.seed is a single value, must be a list");
    refuses("{seed: {a: 1}}", "sweep.seed is a map, must be a list");
    refuses("{seed: []}", "x.yaml:3: sweep.seed is an empty list");
    refuses("{seed: [[1]]}", "sweep.seed[0] is a list, must be a whole number");
    refuses("{seed: !x [1]}", "tags are not allowed");
    refuses("{prefix.init: [zero]}",
            "sweep.prefix.init[0] is a single value, must be a map");
    refuses("{prefix.init: [{}]}",
            "sweep.prefix.init[0] has 0 keys, must have exactly one");
    refuses("{prefix.init: [{zero: true, random: 1}]}", "has 2 keys");
    refuses("{prefix.init: [{zero: [1]}]}",
            "sweep.prefix.init[0] is a list, must be true");
    refuses("{task: [p], seed: [1]}", "sweep.task is a list");
    refuses("{[a]: 1}", "a key of sweep is a list");
    refuses("{prefix: {length: [1]}}", "unknown key sweep.prefix");
}

static void what_is_twice_is_refused(void)
{
    refuses("{seed: [1, 2, 1]}",
            "x.yaml:3: sweep.seed[2] is 1, equal to value [0]; two equal combinations");
    refuses("{optimizer.lr: [0.1, 1.0e-1]}", "sweep.optimizer.lr[1] is 0.1");
    refuses("{prefix.init: [{text: a}, {text: \"a\"}]}",
            "sweep.prefix.init[1] is \"a\"");
    refuses("{seed: [1], seed: [2]}", "sweep.seed is given twice");
    refuses("{task: p, task: p}", "sweep.task is given twice");
    refuses("{seed: [1]}\nsweep: {seed: [2]}", "x.yaml:4: sweep is given twice");
}

static void too_many_tasks_are_refused(void)
{
    char text[4096] = "{seed: [";
    size_t used = strlen(text);
    for (int i = 0; i < 256; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%d, ", i);
    }
    (void)snprintf(text + used, sizeof text - used, "256]}");
    refuses(text,
            "x.yaml:3: with sweep.seed the sweep makes 257 tasks or more, at most "
            "256 are allowed");
    refuses("{optimizer.lr: [1,2,3,4,5,6,7], seed: [1,2,3,4,5,6,7], prefix.length: "
            "[1,2,3,4,5,6]}",
            "with sweep.prefix.length the sweep makes 294 tasks");
}

static void refuses_whole(const char *text, const char *part)
{
    fr_config *config = NULL;
    FR_ASSERT_FAILS(fr_config_parse(fr_test_ctx(), "x.yaml", text, &config),
                    FR_ERR_CONFIG, part);
    CU_ASSERT_PTR_NULL(config);
}

static void patterns_must_be_named_and_there(void)
{
    refuses_whole(HEAD PATTERN OTHERS "sweep: {seed: [1]}\n",
                  "x.yaml:7: sweep.task is missing; there are 2 tasks");
    refuses_whole(HEAD "sweep: {seed: [1]}\n", "x.yaml: tasks is missing");
    refuses_whole(HEAD "sweep: {seed: [1]}\ntasks: [{train: a}]\n",
                  "x.yaml:4: tasks[0].name is missing");
    refuses_whole(
        HEAD "sweep: {task: pattren, seed: [1]}\n"
             "tasks: [{name: pattern, train: a}]\n",
        "x.yaml:3: sweep.task is 'pattren', but no task has this name; did you "
        "mean 'pattern'?");
    refuses_whole(HEAD "sweep: {seed: [1]}\n"
                       "tasks: [{name: a/b, train: a, prefix: {init: {text: x}}}]\n",
                  "tasks[0].name is 'a/b.seed-1'");
    /* a made name that another task has */
    refuses_whole(HEAD PATTERN
                  "- {name: p.seed-1, train: b, prefix: {init: {text: bye}}}\n"
                  "sweep: {task: p, seed: [1]}\n",
                  "'p.seed-1' is the name of tasks[0] too");
}

static void sets_do_not_reach_the_sweep(void)
{
    static const char *const SETS[] = {"sweep.seed=1", "sweep=1"};
    const char *path = fr_test_path(fr_test_folder(), "x.yaml");
    fr_test_write_text(path, HEAD "sweep: {seed: [1]}\n" PATTERN);
    for (int i = 0; i < 2; i++) {
        fr_config *config = NULL;
        FR_ASSERT_FAILS(fr_config_read(fr_test_ctx(), path, &SETS[i], 1, &config),
                        FR_ERR_CONFIG, "a sweep is written in the file");
    }
}

static const fr_case CASES[] = {
    FR_CASE(every_combination_is_a_task_first_key_slowest),
    FR_CASE(windows_can_be_swept),
    FR_CASE(all_other_keys_can_be_swept),
    FR_CASE(made_tasks_take_the_patterns_place),
    FR_CASE(names_are_valid_short_and_unique),
    FR_CASE(long_names_end_in_a_digest),
    FR_CASE(sets_change_the_pattern_before),
    FR_CASE(a_swept_init_need_not_stand_in_the_pattern),
    FR_CASE(written_config_resumes),
    FR_CASE(values_of_made_tasks_are_told),
    FR_CASE(unknown_keys_name_line_and_nearest),
    FR_CASE(values_are_checked_where_they_stand),
    FR_CASE(kinds_of_nodes_are_checked),
    FR_CASE(what_is_twice_is_refused),
    FR_CASE(too_many_tasks_are_refused),
    FR_CASE(patterns_must_be_named_and_there),
    FR_CASE(sets_do_not_reach_the_sweep),
};

int main(int argc, char **argv)
{
    return fr_suite_main("config_sweep", CASES, FR_N_CASES(CASES), argc, argv);
}
