#include "train/config/config.h"

#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "base: {path: m.gguf}\nrun: {dir: out, steps: 5}\ntasks:\n"
#define INIT "prefix: {init: {text: hello}}"

static void refuses(const char *text, const char *part)
{
    fr_config *config = NULL;
    FR_ASSERT_FAILS(fr_config_parse(fr_test_ctx(), "x.yaml", text, &config),
                    FR_ERR_CONFIG, part);
    CU_ASSERT_PTR_NULL(config);
}

/* `keys` in a task that is whole without them; they stand on line 5. */
static void refuses_task(const char *keys, const char *part)
{
    char text[2048];
    (void)snprintf(text, sizeof text, HEAD "- {name: t, train: a, " INIT ",\n   %s}\n",
                   keys);
    refuses(text, part);
    refuses(text, "x.yaml:5: ");
}

static void refuses_prefix(const char *prefix, const char *part)
{
    char text[2048];
    (void)snprintf(text, sizeof text, HEAD "- {name: t, train: a, prefix: %s}\n",
                   prefix);
    refuses(text, part);
    refuses(text, "x.yaml:4: ");
}

static void refuses_set(const char *set, const char *part)
{
    fr_config *config = NULL;
    const char *path = fr_test_path(fr_test_folder(), "x.yaml");
    fr_test_write_text(path, HEAD "- {name: first, train: a, " INIT "}\n"
                                  "- {name: second, train: a, " INIT "}\n");
    FR_ASSERT_FAILS(fr_config_read(fr_test_ctx(), path, &set, 1, &config),
                    FR_ERR_CONFIG, part);
    CU_ASSERT_PTR_NULL(config);
}

static void unknown_key_names_line_and_nearest(void)
{
    refuses_task("optimzer: {}",
                 "x.yaml:5: unknown key tasks[0].optimzer; did you mean optimizer?");
    refuses_task("optimizer: {Lr: 1}",
                 "x.yaml:5: unknown key tasks[0].optimizer.Lr; did you mean lr?");
    refuses("bass: {}\n", "x.yaml:1: unknown key bass; did you mean base?");
    refuses("base:\n  paht: x\n",
            "x.yaml:2: unknown key base.paht; did you mean path?");
    refuses_task("qqqqqqqqqqqqqqqqqqqqqqqqqq: 1", "known there: name, train, valid");
    refuses_task("\"a\\0b\": 1", "unknown key tasks[0].a");
    refuses_task("<<: {steps: 1}", "unknown key tasks[0].<<");
}

static void whole_numbers_are_strict(void)
{
    static const char *const VALUES[] = {
        "0",   "-1",    "1.0", "1e3",   "0x10", "010",  "+3",
        "3 4", "\"3\"", "ten", "1_000", "yes",  ".inf", "99999999999999999999"};
    for (size_t i = 0; i < sizeof VALUES / sizeof VALUES[0]; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "steps: %s", VALUES[i]);
        refuses_task(key, "must be a whole number from 1 to 1000000000, or auto");
    }
    refuses_task("batch: {examples: auto}",
                 "tasks[0].batch.examples is auto, must be a whole number");
    refuses_task("batch: {share_prompt: 0}",
                 "tasks[0].batch.share_prompt is 0, must be a whole number from 1");
    refuses_task("steps: \"3\"", "write it without quotes");
    refuses("run: {seed: -1}", "run.seed is -1, must be a whole number from 0 to");
    refuses("run: {seed: 18446744073709551616}", "run.seed is 18446744073709551616");
    refuses("run: {keep: 0}", "run.keep is 0, must be a whole number from 1 to");
}

static void reals_are_strict(void)
{
    static const char *const VALUES[] = {"-1",    "nan",   ".nan",  "inf", "0x1p3",
                                         "1e",    ".",     "1.2.3", "e5",  "2e3",
                                         "1e999", "\"1\"", "1 2",   "Auto"};
    for (size_t i = 0; i < sizeof VALUES / sizeof VALUES[0]; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "optimizer: {lr: %s}", VALUES[i]);
        refuses_task(key, "must be a number from 0 and up to 1000, or auto");
    }
    refuses_task("optimizer: {clip: auto}", "must be a number from 0 and up to 1e+09");
    refuses_task("optimizer: {beta1: 1}", "must be a number from 0 and below 1");
    refuses_task("optimizer: {eps: 0}", "must be a number above 0");
    refuses_prefix("{init: {random: 0}, length: 4}", "must be a number above 0");
}

static void bools_are_true_or_false(void)
{
    static const char *const VALUES[] = {"yes",   "no", "on",       "True",
                                         "FALSE", "1",  "\"true\"", "auto"};
    for (size_t i = 0; i < sizeof VALUES / sizeof VALUES[0]; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "eos: %s", VALUES[i]);
        refuses_task(key, "must be true or false");
    }
    refuses_task("eos: yes", "yes, no, on and off are not allowed");
}

static void choices_are_listed(void)
{
    refuses("run: {precision: fp16}",
            "run.precision is fp16, must be one of f32, bf16");
    refuses("run: {device: tpu}", "run.device is tpu, must be one of auto, cpu, cuda");
    refuses("run: {links: host}",
            "run.links is host, must be one of auto, staged, direct");
    refuses("run: {sums: direct}",
            "run.sums is direct, must be one of auto, staged, nccl");
    refuses("base: {weights: q4}", "must be one of auto, quantised");
    refuses("base: {offload: 0}",
            "must be a whole number from 1 to 1000000, auto or none");
    refuses("base: {offload: some}", "1000000, auto or none");
    refuses("run: {stages: none}", "1000000, or auto");
    refuses_task("optimizer: {schedule: Cosine}",
                 "must be one of constant, linear, cosine");
    refuses_task("loss: first", "must be one of all, last");
    refuses_task("long_rows: keep", "must be one of drop, cut");
}

static void kinds_of_nodes_are_checked(void)
{
    refuses("[1, 2]", "the config is a list, must be a map of keys");
    refuses("hello", "the config is a single value");
    refuses("base: m.gguf", "x.yaml:1: base is a single value, must be a map");
    refuses("tasks: {name: t}", "x.yaml:1: tasks is a map, must be a list");
    refuses("tasks: []", "tasks has 0 entries");
    refuses("tasks:\n- hello\n", "x.yaml:2: tasks[0] is a single value");
    refuses_task("valid: [a]", "tasks[0].valid is a list, must be text");
    refuses_task("template: {source}{target}", "x.yaml:5: ");
    refuses_task("template: {source}", "tasks[0].template is a map, must be text");
    refuses_task("[a]: 1", "a key is a list, must be a word");
    refuses_task("valid: !file x", "tags are not allowed");
}

static void texts_must_hold_something(void)
{
    refuses_task("valid: ", "tasks[0].valid has no value");
    refuses_task("valid: ~", "has no value");
    refuses_task("valid: null", "has no value");
    refuses_task("valid: \"\"", "has no value");
    refuses_task("valid: \"a\\0b\"", "NUL");
}

static void duplicates_are_refused(void)
{
    refuses_task("train: b", "tasks[0].train is given twice");
    refuses_task("prefix: {init: {zero: true}}", "tasks[0].prefix is given twice");
    refuses("base: {path: a}\nbase: {path: b}\n", "x.yaml:2: base is given twice");
    refuses("tasks: [{name: a}]\ntasks: [{name: b}]\n",
            "x.yaml:2: tasks is given twice");
    refuses(HEAD "- {name: t, train: a, " INIT "}\n- {name: t, train: a, " INIT "}\n",
            "x.yaml:5: tasks[1].name 't' is the name of tasks[0] too");
}

static void missing_keys_are_named(void)
{
    refuses("run: {dir: o, steps: 1}\ntasks: [{name: t, train: a, " INIT "}]",
            "base.path is missing");
    refuses("base: {path: m}\nrun: {steps: 1}\ntasks: [{name: t, train: a, " INIT "}]",
            "run.dir is missing");
    refuses("base: {path: m}\nrun: {dir: o, steps: 1}\n", "tasks is missing");
    refuses(HEAD "- {train: a, " INIT "}\n", "x.yaml:4: tasks[0].name is missing");
    refuses(HEAD "- {name: t, " INIT "}\n", "x.yaml:4: tasks[0].train is missing");
    refuses(HEAD "- {name: t, train: a}\n", "tasks[0].prefix.init is missing");
    refuses(
        "base: {path: m}\nrun: {dir: o}\ntasks:\n- {name: t, train: a, steps: 2, " INIT
        "}\n- {name: u, train: a, " INIT "}\n",
        "x.yaml:5: tasks[1].steps is auto, and run.steps is missing");
    refuses("base: {path: m}\nrun: {dir: o, steps: 1, epochs: 1}\ntasks:\n- {name: t, "
            "train: a, " INIT "}\n",
            "run has steps and epochs; give one of them");
    refuses("base: {path: m}\nrun: {dir: o, steps: 1}\ntasks:\n- {name: t, train: a, "
            "steps: 2, epochs: 2, " INIT "}\n",
            "x.yaml:4: tasks[0].epochs: the task has steps and epochs");
    refuses(
        "base: {path: m}\nrun: {dir: o, epochs: 0}\ntasks:\n- {name: t, train: a, " INIT
        "}\n",
        "run.epochs is 0, must be");
}

static void inits_are_exactly_one(void)
{
    refuses_prefix("{init: {}}", "has 0 keys, must have exactly one of text, random");
    refuses_prefix("{init: {text: a, zero: true}}", "has 2 keys");
    refuses_prefix("{init: hello}", "init is a single value");
    refuses_prefix("{init: {zero: false}, length: 3}", "zero is false, must be true");
    refuses_prefix("{init: {txt: a}}", "did you mean text?");
    refuses_prefix("{init: {zero: true}}", "prefix.length is auto, but the init zero");
    refuses_prefix("{init: {random: 1}}", "but the init random has no length");
    refuses_prefix("{init: {text: a}, length: 1, freeze_first: true}", "freeze_first");
    refuses_prefix("{init: {text: a}, window: never}", "window");
    refuses_prefix("{length: 4}", "tasks[0].prefix.init is missing");
}

static void layers_are_checked(void)
{
    refuses_prefix(
        "{init: {text: a}, layers: {first: -1}}",
        "tasks[0].prefix.layers.first is -1, must be a whole number from 0 to");
    refuses_prefix("{init: {text: a}, layers: {first: 1, count: 0}}",
                   "tasks[0].prefix.layers.count is 0, must be");
    refuses_prefix("{init: {text: a}, layers: {first: auto}}",
                   "first is auto, must be");
    refuses_prefix("{init: {text: a}, layers: 15}",
                   "layers is a single value, must be a map");
    refuses_prefix("{init: {text: a}, layers: {frist: 4}}", "did you mean first?");
}

static void mlp_sizes_are_checked(void)
{
    refuses_prefix(
        "{init: {text: a}, mlp: {hidden: -1}}",
        "tasks[0].prefix.mlp.hidden is -1, must be a whole number from 0 to");
    refuses_prefix("{init: {text: a}, mlp: {hidden: auto}}", "hidden is auto, must be");
    refuses_prefix("{init: {text: a}, mlp: {hidden: 4, width: 0}}",
                   "width is 0, must be a whole number from 1 to 1000000, or auto");
    refuses_prefix("{init: {text: a}, mlp: {width: 8}}",
                   "mlp.width is 8, but mlp.hidden is 0");
    refuses_prefix("{init: {text: a}, mlp: 512}",
                   "mlp is a single value, must be a map");
    refuses_prefix("{init: {text: a}, mlp: {hiden: 4}}", "did you mean hidden?");
}

static void names_are_plain(void)
{
    static const char *const NAMES[] = {"a/b", "a b", "\"\\u00e9\"", ".",
                                        "..",  "...", "a:b"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char text[512];
        (void)snprintf(text, sizeof text, HEAD "- {name: %s, train: a, " INIT "}\n",
                       NAMES[i]);
        refuses(text, "x.yaml:4: tasks[0].name is '");
    }
}

static void templates_are_checked(void)
{
    refuses_task("template: \"{source}\"", "{target} nowhere");
    refuses_task("template: \"{target} {target}\"", "{target} more than once");
    refuses_task("template: \"{target}{source}\"", "{source} after {target}");
    refuses_task("template: \"{source}{source}{target}\"", "{source} twice");
    refuses_task("template: \"{target}\", chat: true", "exclude each other");
    refuses_task("loss: last", "set chat: true");
}

static void broken_yaml_is_named_by_line(void)
{
    refuses("", "x.yaml: the config is empty");
    refuses("# nothing\n", "x.yaml: the config is empty");
    refuses("base:\n\tpath: m\n", "x.yaml:2: broken YAML");
    refuses("base: {path: m\nrun: {}\n", "broken YAML");
    refuses("base: {path: \"m}\n", "broken YAML");
    refuses("base: *nobody\n", "broken YAML: found undefined alias");
    refuses("base: {}\n\nrun: {dir: \xFF}\n", "x.yaml:3: broken YAML");
    refuses("a: b: c\n", "x.yaml:1: broken YAML");
    refuses(HEAD "- {name: t, train: a, " INIT "}\n---\nbase: {}\n",
            "x.yaml:5: a second document starts here");
}

static void hostile_nesting_ends_soon(void)
{
    static const char *const OPENERS[] = {"[", "{", "- ", "? ", "a: [\"]\", "};
    enum { DEPTH = 100000 };
    for (size_t i = 0; i < sizeof OPENERS / sizeof OPENERS[0]; i++) {
        size_t bytes = strlen(OPENERS[i]);
        char *text = fr_test_memory(calloc(DEPTH, bytes + 1));
        for (size_t n = 0; n < DEPTH; n++) {
            memcpy(text + n * bytes, OPENERS[i], bytes);
        }
        refuses(text, "x.yaml:1: ");
        free(text);
    }
}

static void aliases_neither_loop_nor_explode(void)
{
    refuses("tasks: &a [*a]\n", "tasks[0] is a list");
    refuses("base: &a {base: *a}\n", "unknown key base.base");
    refuses("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", "unknown key a");
}

static void bad_sets_are_named(void)
{
    refuses_set("run.stesp=5",
                "--set run.stesp: unknown key stesp; did you mean steps?");
    refuses_set("rum.steps=5", "--set rum.steps: unknown key rum; did you mean run?");
    refuses_set("run.steps=many", "--set run.steps is many, must be a whole number");
    refuses_set("run.steps", "must be KEY=VALUE");
    refuses_set("=5", "must be KEY=VALUE");
    refuses_set("", "must be KEY=VALUE");
    refuses_set("run=5", "unknown key run");
    refuses_set("run.steps=", "has no value");
    refuses_set("tasks.first.data.ignore=[a, b",
                "--set tasks.first.data.ignore:2: broken YAML");
    refuses_set("tasks.first.data.ignore=[a] b", "--set tasks.first.data.ignore:1: ");
    refuses_set("tasks.first.data.ignore=[a, [b]]",
                "--set tasks.first.data.ignore:1: an entry of ignore is a list");
    refuses_set("tasks.first.data.ignore=[&a a, *a",
                "--set tasks.first.data.ignore:2: broken YAML");
    refuses_set("tasks.frist.steps=5", "no task 'frist'");
    refuses_set("tasks.frist.steps=5", "did you mean 'first'?");
    refuses_set("tasks=5", "unknown key tasks");
    refuses_set("tasks.first=5", "no task 'first' followed by a key");
    refuses_set("tasks.first.optimizer.rl=5", "unknown key rl; did you mean lr?");
    refuses_set("tasks.second.name=first", "tasks[1].name 'first' is the name of");
    refuses_set("tasks.first.train=\xFF", "not UTF-8");
    refuses_set("tasks.first.prefix.init.zero=true", "prefix.length is auto");
    refuses_set("run.steps.more=5", "unknown key steps");
}

static void task_seeds_and_stopping_rules_are_checked(void)
{
    refuses_task("seed: -1", "tasks[0].seed is -1, must be a whole number from 0 to "
                             "18446744073709551614, or auto");
    refuses_task("seed: 18446744073709551615", "tasks[0].seed is 18446744073709551615");
    refuses("run: {seed: auto}", "run.seed is auto, must be a whole number from 0 to "
                                 "18446744073709551615");
    refuses("run: {recompute: all}",
            "run.recompute is all, must be one of none, mlp, layer");
    refuses("run: {warmup_depth: 3}",
            "run.warmup_depth is 3, must be a whole number from "
            "1 to 2");
    refuses_task("patience: -1",
                 "tasks[0].patience is -1, must be a whole number from 0");
    refuses_task("stop_below: -0.5",
                 "tasks[0].stop_below is -0.5, must be a number from 0");
    refuses_task("patience: 2", "tasks[0].patience needs validations, but the task has "
                                "no valid");
    refuses_task("stop_below: 2", "tasks[0].stop_below needs validations");
    refuses("base: {path: m}\nrun: {dir: o, steps: 1, valid_every: 0}\ntasks:\n"
            "- {name: t, train: a, valid: v, " INIT ", patience: 1}\n",
            "x.yaml:4: tasks[0].patience needs validations, but run.valid_every is 0");
}

static void missing_file_is_bad_data(void)
{
    fr_config *config = NULL;
    FR_ASSERT_FAILS(fr_config_read(fr_test_ctx(), "no/such.yaml", NULL, 0, &config),
                    FR_ERR_DATA, "no/such.yaml");
    CU_ASSERT_PTR_NULL(config);
}

/* Paths and names go through scripts and terminals; what the model reads may hold anything. */
static void names_and_paths_hold_no_control_characters(void)
{
    refuses("run: {dir: \"a\\nb\"}\n",
            "x.yaml:1: run.dir holds the control character U+000A");
    refuses("run: {dir: \"a\\e[2Jb\"}\n", "run.dir holds the control character U+001B");
    refuses("run: {dir: \"a\\x9bb\"}\n", "run.dir holds the control character U+009B");
    refuses("run: {dir: \"a\\u202eb\"}\n",
            "run.dir holds the control character U+202E");
    refuses("base: {path: \"a\\x7f\"}\n",
            "base.path holds the control character U+007F");
    refuses_set("tasks.first.train=a\r",
                "tasks.first.train holds the control character U+000D");
    refuses_task("valid: \"a\\tb\"",
                 "tasks[0].valid holds the control character U+0009");
    refuses_prefix("{init: {file: \"a\\n\"}}",
                   "init.file holds the control character U+000A");
    refuses_set("run.dir=a\nb", "run.dir holds the control character U+000A");
    fr_config *config = NULL;
    const char *path = fr_test_path(fr_test_folder(), "x.yaml");
    fr_test_write_text(path, HEAD
                       "- {name: t, train: a, template: \"{source}\\n\\t{target}\", "
                       "prefix: {init: {text: \"a\\nb\\e\"}}}\n");
    FR_ASSERT_OK(fr_config_read(fr_test_ctx(), path, NULL, 0, &config));
    fr_config_destroy(&config);
}

static const fr_case CASES[] = {
    FR_CASE(names_and_paths_hold_no_control_characters),
    FR_CASE(unknown_key_names_line_and_nearest),
    FR_CASE(whole_numbers_are_strict),
    FR_CASE(reals_are_strict),
    FR_CASE(bools_are_true_or_false),
    FR_CASE(choices_are_listed),
    FR_CASE(kinds_of_nodes_are_checked),
    FR_CASE(texts_must_hold_something),
    FR_CASE(duplicates_are_refused),
    FR_CASE(missing_keys_are_named),
    FR_CASE(inits_are_exactly_one),
    FR_CASE(layers_are_checked),
    FR_CASE(mlp_sizes_are_checked),
    FR_CASE(names_are_plain),
    FR_CASE(templates_are_checked),
    FR_CASE(broken_yaml_is_named_by_line),
    FR_CASE(hostile_nesting_ends_soon),
    FR_CASE(aliases_neither_loop_nor_explode),
    FR_CASE(bad_sets_are_named),
    FR_CASE(task_seeds_and_stopping_rules_are_checked),
    FR_CASE(missing_file_is_bad_data),
};

int main(int argc, char **argv)
{
    return fr_suite_main("config_bad", CASES, FR_N_CASES(CASES), argc, argv);
}
