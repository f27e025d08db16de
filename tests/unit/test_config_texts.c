/* Template and init text: one meaning however they are quoted, kept when they are written and read again. */
#include "support/model_files.h"
#include "train/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD                                                                           \
    "base: {path: m.gguf}\nrun: {dir: out, steps: 5}\ntasks:\n  - name: t\n    "       \
    "train: a\n"
#define INIT "    prefix: {init: {text: x}}\n"

static fr_config *parse(const char *text)
{
    fr_config *config = NULL;
    FR_ASSERT_OK(fr_config_parse(fr_test_ctx(), "x.yaml", text, &config));
    CU_ASSERT_PTR_NOT_NULL_FATAL(config);
    return config;
}

static void check_template(const char *text, const char *wanted)
{
    fr_config *c = parse(text);
    CU_ASSERT_STRING_EQUAL(c->tasks[0].template_text, wanted);
    fr_config_destroy(&c);
}

static void quoting_does_not_change_a_template(void)
{
    static const char WANTED[] = "{source}\nA:{target}";
    check_template(HEAD "    template: '{source}\\nA:{target}'\n" INIT, WANTED);
    check_template(HEAD "    template: \"{source}\\nA:{target}\"\n" INIT, WANTED);
    check_template(HEAD "    template: \"{source}\\\\nA:{target}\"\n" INIT, WANTED);
    check_template(HEAD "    template: |-\n      {source}\n      A:{target}\n" INIT,
                   WANTED);
    check_template(HEAD "    template: >-\n      {source}\\nA:{target}\n" INIT, WANTED);
    check_template(HEAD "    template: Q {source}\\nA:{target}\n" INIT,
                   "Q {source}\nA:{target}");
    check_template(HEAD "    template: '{source}\\\\nA:{target}'\n" INIT,
                   "{source}\\nA:{target}");
    check_template(HEAD "    template: \"{source}\\\\\\\\nA:{target}\"\n" INIT,
                   "{source}\\nA:{target}");
}

static void settings_mean_the_same(void)
{
    static const char *const SETS[] = {"tasks.t.template={{x}}\\n{source}\\t{target}",
                                       "tasks.t.prefix.init.text=a\\nb\\\\n {x}"};
    fr_config *c = NULL;
    const char *path = fr_test_path(fr_test_folder(), "x.yaml");
    fr_test_write_text(path, HEAD INIT);
    FR_ASSERT_OK(fr_config_read(fr_test_ctx(), path, SETS, 2, &c));
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    CU_ASSERT_STRING_EQUAL(c->tasks[0].template_text, "{x}\n{source}\t{target}");
    CU_ASSERT_STRING_EQUAL(c->tasks[0].prefix.text, "a\nb\\n {x}");
    fr_config_destroy(&c);
}

/* Names and paths are what they are. */
static void other_texts_have_no_escapes(void)
{
    fr_config *c =
        parse("base: {path: 'a\\nb'}\nrun: {dir: 'c\\td', steps: 1}\ntasks:\n"
              "  - {name: t, train: 'e\\\\f', prefix: {init: {file: 'g\\n'}}}\n");
    CU_ASSERT_STRING_EQUAL(c->base.path, "a\\nb");
    CU_ASSERT_STRING_EQUAL(c->run.dir, "c\\td");
    CU_ASSERT_STRING_EQUAL(c->tasks[0].train, "e\\\\f");
    CU_ASSERT_STRING_EQUAL(c->tasks[0].prefix.text, "g\\n");
    fr_config_destroy(&c);
}

static void sweeps_have_them_as_well(void)
{
    fr_config *c = parse(
        "base: {path: m}\nrun: {dir: out, steps: 5}\n"
        "sweep: {prefix.init: [{text: 'a\\nb'}, {text: 'a\\\\nb'}]}\n"
        "tasks:\n  - {name: t, train: a, prefix: {init: {zero: true}, length: 2}}\n");
    CU_ASSERT_EQUAL_FATAL(c->n_tasks, 2);
    CU_ASSERT_STRING_EQUAL(c->tasks[0].prefix.text, "a\nb");
    CU_ASSERT_STRING_EQUAL(c->tasks[1].prefix.text, "a\\nb");
    fr_config_destroy(&c);
}

static void written_texts_read_back_the_same(void)
{
    static const char TEXT[] =
        HEAD "    template: '\\\\\\\\n\\\\n\\n{{x}} {{{source}}} \\\\{a b}\\ {target} "
             "\\\\'\n"
             "    prefix: {init: {text: 'C:\\\\new\\\\table \\\\\\\\ {{y}}\\n'}}\n";
    fr_config *config = parse(TEXT);
    fr_config *again = NULL;
    char *text = NULL;
    static const char WANTED[] = "\\\\n\\n\n{x} {{source}} \\{a b}\\ {target} \\";
    CU_ASSERT_STRING_EQUAL(config->tasks[0].template_text, WANTED);
    CU_ASSERT_STRING_EQUAL(config->tasks[0].prefix.text, "C:\\new\\table \\\\ {{y}}\n");
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), config, &text));
    fr_config *saved = NULL;
    again = parse(text);
    FR_ASSERT_OK(fr_config_parse_saved(fr_test_ctx(), "c.h5", text, &saved));
    CU_ASSERT_PTR_NOT_NULL_FATAL(saved);
    CU_ASSERT_STRING_EQUAL(again->tasks[0].template_text, WANTED);
    CU_ASSERT_STRING_EQUAL(saved->tasks[0].template_text, WANTED);
    CU_ASSERT_STRING_EQUAL(again->tasks[0].prefix.text, config->tasks[0].prefix.text);
    FR_ASSERT_OK(fr_config_check_resume(fr_test_ctx(), saved, config));
    fr_config_destroy(&config);
    fr_config_destroy(&again);
    fr_config_destroy(&saved);
    free(text);
}

/* What programs before wrote into checkpoints: the two characters were meant, and any name was text. */
static void older_saved_texts_stand_as_they_are(void)
{
    static const char OLD[] =
        HEAD "    template: \"{x}{source}\\\\n{{target}}\"\n"
             "    prefix:\n      init:\n        text: \"a\\\\nb\"\n";
    fr_config *c = NULL;
    fr_config *now = NULL;
    FR_ASSERT_OK(fr_config_parse_saved(fr_test_ctx(), "c.h5", OLD, &c));
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    CU_ASSERT_STRING_EQUAL(c->tasks[0].template_text, "{x}{source}\\n{{target}}");
    CU_ASSERT_STRING_EQUAL(c->tasks[0].prefix.text, "a\\nb");
    now = parse(HEAD "    template: '{{x}}{source}\\\\n{{{target}}}'\n"
                     "    prefix: {init: {text: 'a\\\\nb'}}\n");
    FR_ASSERT_OK(fr_config_check_resume(fr_test_ctx(), c, now));
    fr_config_destroy(&now);
    now = parse(HEAD "    template: '{{x}}{source}\\n{{{target}}}'\n"
                     "    prefix: {init: {text: 'a\\\\nb'}}\n");
    FR_ASSERT_FAILS(fr_config_check_resume(fr_test_ctx(), c, now), FR_ERR_CHECKPOINT,
                    "template");
    fr_config_destroy(&now);
    fr_config_destroy(&c);
}

static void check_refused(const char *text, const char *part)
{
    fr_config *c = NULL;
    FR_ASSERT_FAILS(fr_config_parse(fr_test_ctx(), "x.yaml", text, &c), FR_ERR_CONFIG,
                    part);
    CU_ASSERT_PTR_NULL(c);
}

static void names_that_are_not_fields_are_refused(void)
{
    check_refused(HEAD "    template: '{prompt} {target}'\n" INIT,
                  "x.yaml:6: tasks[0].template holds {prompt}, but a row has "
                  "only the fields {source} and {target}; did you mean {source}?");
    check_refused(HEAD "    template: '{source} {{target}}'\n" INIT,
                  "x.yaml:6: tasks[0].template holds the field target in two braces");
    check_refused(HEAD "    template: '{source}'\n" INIT, "holds {target} nowhere");
}

static const fr_case CASES[] = {
    FR_CASE(quoting_does_not_change_a_template),
    FR_CASE(settings_mean_the_same),
    FR_CASE(other_texts_have_no_escapes),
    FR_CASE(sweeps_have_them_as_well),
    FR_CASE(written_texts_read_back_the_same),
    FR_CASE(older_saved_texts_stand_as_they_are),
    FR_CASE(names_that_are_not_fields_are_refused),
};

int main(int argc, char **argv)
{
    return fr_suite_main("config_texts", CASES, FR_N_CASES(CASES), argc, argv);
}
