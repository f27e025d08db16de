#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/options.h"
#include "support/suite.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGUMENTS = 12, PATH_BYTES = 4096 };

static const fr_option OPTIONS[] = {
    {"model", "PATH", "the base"},
    {"json", NULL, "print one JSON object"},
    {"resume", "[=FILE]", "go on"},
    {"set", "a.b=c", "override a key (repeatable)"},
    {"seed", "N", "seed"},
    {"temperature", "X", "spread"},
    {NULL, NULL, NULL},
};
static const fr_command COMMAND = {"try", "A B", 2, "what it is for", OPTIONS, NULL};
static const fr_option NO_OPTIONS[] = {{NULL, NULL, NULL}};
static const fr_command BARE = {"bare", "", 0, "nothing", NO_OPTIONS, NULL};

static const fr_verb VERBS[] = {
    {"list", "FILE", 1, 1, "json", "print a line a part"},
    {"join", "FILE PART...", 2, INT_MAX, "seed model", "make one of several parts"},
    {"tidy", "", 0, 0, "", "remove what is left over"},
    {NULL, NULL, 0, 0, NULL, NULL},
};
static const fr_command WITH_VERBS = {"keep",       "WORD ...", 0,
                                      "keep parts", OPTIONS,    VERBS};

/* Parse the words of `line` (split at blanks; a word "@" is an empty argument) as arguments of `command`. */
static char words[512];
static char *arguments[MAX_ARGUMENTS + 1];

static fr_status parse(const fr_command *command, const char *line, fr_options **out)
{
    int n = 0;
    char *rest = NULL;
    static char name[] = "try";
    arguments[n++] = name;
    (void)snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok_r(words, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        CU_ASSERT_TRUE_FATAL(n < MAX_ARGUMENTS);
        if (strcmp(word, "@") == 0) {
            word[0] = '\0';
        }
        arguments[n++] = word;
    }
    return fr_options_parse(fr_test_ctx(), command, n, arguments, out);
}

static fr_options *parse_well(const char *line)
{
    fr_options *options = NULL;
    FR_ASSERT_OK(parse(&COMMAND, line, &options));
    CU_ASSERT_PTR_NOT_NULL_FATAL(options);
    return options;
}

static void assert_refused(const fr_command *command, const char *line,
                           const char *part)
{
    fr_options *options = NULL;
    FR_ASSERT_FAILS(parse(command, line, &options), FR_ERR_ARG, part);
    CU_ASSERT_PTR_NULL(options);
}

static void values_follow_or_stand_after_an_equals_sign(void)
{
    fr_options *o = parse_well("first --model m.gguf --seed=7 second --json");
    CU_ASSERT_STRING_EQUAL(fr_options_text(o, "model"), "m.gguf");
    CU_ASSERT_STRING_EQUAL(fr_options_text(o, "seed"), "7");
    CU_ASSERT_TRUE(fr_options_has(o, "json"));
    CU_ASSERT_FALSE(fr_options_has(o, "resume"));
    CU_ASSERT_PTR_NULL(fr_options_text(o, "json"));
    CU_ASSERT_STRING_EQUAL(fr_options_positional(o, 0), "first");
    CU_ASSERT_STRING_EQUAL(fr_options_positional(o, 1), "second");
    CU_ASSERT_PTR_NULL(fr_options_positional(o, 2));
    CU_ASSERT_FALSE(fr_options_help(o));
    fr_options_destroy(&o);
    CU_ASSERT_PTR_NULL(o);
    fr_options_destroy(&o);
}

static void values_may_hold_equals_signs_and_be_empty(void)
{
    fr_options *o = parse_well("a b --set=x.y=1=2 --model=");
    CU_ASSERT_STRING_EQUAL(fr_options_text(o, "set"), "x.y=1=2");
    CU_ASSERT_STRING_EQUAL(fr_options_text(o, "model"), "");
    fr_options_destroy(&o);
    o = parse_well("a b --model @");
    CU_ASSERT_STRING_EQUAL(fr_options_text(o, "model"), "");
    fr_options_destroy(&o);
}

static void optional_value_comes_only_after_an_equals_sign(void)
{
    fr_options *o = parse_well("--resume a b");
    CU_ASSERT_TRUE(fr_options_has(o, "resume"));
    CU_ASSERT_PTR_NULL(fr_options_text(o, "resume"));
    fr_options_destroy(&o);
    o = parse_well("--resume=c.h5 a b");
    CU_ASSERT_STRING_EQUAL(fr_options_text(o, "resume"), "c.h5");
    fr_options_destroy(&o);
}

static void repeated_options_keep_their_order_and_the_last_counts(void)
{
    fr_options *o = parse_well("--set a=1 x --set=b=2 y --seed 1 --set c=3 --seed 2");
    CU_ASSERT_STRING_EQUAL(fr_options_nth(o, "set", 0), "a=1");
    CU_ASSERT_STRING_EQUAL(fr_options_nth(o, "set", 1), "b=2");
    CU_ASSERT_STRING_EQUAL(fr_options_nth(o, "set", 2), "c=3");
    CU_ASSERT_PTR_NULL(fr_options_nth(o, "set", 3));
    CU_ASSERT_STRING_EQUAL(fr_options_text(o, "seed"), "2");
    fr_options_destroy(&o);
}

static void two_dashes_end_the_options(void)
{
    fr_options *o = parse_well("--json -- --model --help");
    CU_ASSERT_STRING_EQUAL(fr_options_positional(o, 0), "--model");
    CU_ASSERT_STRING_EQUAL(fr_options_positional(o, 1), "--help");
    CU_ASSERT_FALSE(fr_options_help(o));
    fr_options_destroy(&o);
}

static void dash_and_negative_number_are_positionals(void)
{
    fr_options *o = parse_well("- -1");
    CU_ASSERT_STRING_EQUAL(fr_options_positional(o, 0), "-");
    CU_ASSERT_STRING_EQUAL(fr_options_positional(o, 1), "-1");
    fr_options_destroy(&o);
}

static void unknown_option_names_the_nearest(void)
{
    assert_refused(&COMMAND, "a b --modle x",
                   "unknown option --modle; did you mean --model?");
    assert_refused(&COMMAND, "a b --temprature=0.5", "did you mean --temperature?");
    assert_refused(&COMMAND, "a b --sed=some/long/path/to/a/file.h5",
                   "unknown option --sed; did you mean --se");
    assert_refused(&COMMAND, "a b --completely-else", "forerun try --help lists all");
    assert_refused(&COMMAND, "a b --mode", "did you mean --model?");
}

static void long_unknown_option_is_refused(void)
{
    char line[400] = "a b --";
    memset(line + strlen(line), 'x', 300);
    assert_refused(&COMMAND, line, "unknown option --xxx");
    assert_refused(&BARE, "--xxx", "forerun bare --help lists all");
}

static void missing_and_unexpected_values_are_refused(void)
{
    assert_refused(&COMMAND, "a b --model", "--model needs a value (PATH)");
    assert_refused(&COMMAND, "a b --json=yes", "--json takes no value, got yes");
    assert_refused(&COMMAND, "a b --json=", "--json takes no value");
}

static void wrong_number_of_positionals_is_refused(void)
{
    assert_refused(&COMMAND, "", "forerun try takes 2 arguments (A B), got 0");
    assert_refused(&COMMAND, "a --json", "got 1");
    assert_refused(&COMMAND, "a b c", "got 3");
    assert_refused(&BARE, "a", "got 1");
}

static fr_options *parse_verb(const char *line)
{
    fr_options *options = NULL;
    FR_ASSERT_OK(parse(&WITH_VERBS, line, &options));
    CU_ASSERT_PTR_NOT_NULL_FATAL(options);
    return options;
}

static void verb_is_the_first_positional(void)
{
    fr_options *o = parse_verb("list a --json");
    CU_ASSERT_EQUAL(fr_options_verb(o), 0);
    CU_ASSERT_EQUAL(fr_options_n_positionals(o), 1);
    CU_ASSERT_STRING_EQUAL(fr_options_positional(o, 0), "a");
    CU_ASSERT_PTR_NULL(fr_options_positional(o, 1));
    CU_ASSERT_TRUE(fr_options_has(o, "json"));
    fr_options_destroy(&o);
    o = parse_verb("--seed 3 join a b --model m c list");
    CU_ASSERT_EQUAL(fr_options_verb(o), 1);
    CU_ASSERT_EQUAL(fr_options_n_positionals(o), 4);
    CU_ASSERT_STRING_EQUAL(fr_options_positional(o, 0), "a");
    CU_ASSERT_STRING_EQUAL(fr_options_positional(o, 3), "list");
    fr_options_destroy(&o);
    o = parse_verb("-- join --seed b");
    CU_ASSERT_EQUAL(fr_options_verb(o), 1);
    CU_ASSERT_STRING_EQUAL(fr_options_positional(o, 0), "--seed");
    fr_options_destroy(&o);
    o = parse_verb("tidy");
    CU_ASSERT_EQUAL(fr_options_verb(o), 2);
    CU_ASSERT_EQUAL(fr_options_n_positionals(o), 0);
    fr_options_destroy(&o);
    o = parse_well("a b");
    CU_ASSERT_EQUAL(fr_options_verb(o), -1);
    CU_ASSERT_EQUAL(fr_options_n_positionals(o), 2);
    fr_options_destroy(&o);
}

static void wrong_verbs_and_what_they_do_not_take_are_refused(void)
{
    assert_refused(&WITH_VERBS, "", "forerun keep needs a word that says what to do");
    assert_refused(&WITH_VERBS, "--json", "needs a word");
    assert_refused(&WITH_VERBS, "lst a",
                   "forerun keep does not know the word lst; did you mean list?");
    assert_refused(&WITH_VERBS, "@", "does not know the word");
    assert_refused(&WITH_VERBS, "completely-else", "forerun keep --help lists all");
    assert_refused(&WITH_VERBS, "list",
                   "forerun keep list takes 1 argument (FILE), got 0");
    assert_refused(&WITH_VERBS, "list a b", "got 2");
    assert_refused(&WITH_VERBS, "join a",
                   "forerun keep join takes at least 2 arguments (FILE PART...), got "
                   "1");
    assert_refused(&WITH_VERBS, "tidy a", "forerun keep tidy takes 0 arguments");
    assert_refused(&WITH_VERBS, "join a b --json",
                   "forerun keep join does not take --json; see forerun keep --help");
    assert_refused(&WITH_VERBS, "tidy --seed 1", "does not take --seed");
    assert_refused(&WITH_VERBS, "join a b --modle x", "did you mean --model?");
}

static void help_needs_nothing_else(void)
{
    fr_options *o = parse_well("--help");
    CU_ASSERT_TRUE(fr_options_help(o));
    fr_options_destroy(&o);
    o = parse_well("a b c d --json --help");
    CU_ASSERT_TRUE(fr_options_help(o));
    fr_options_destroy(&o);
    o = parse_verb("--help");
    CU_ASSERT_TRUE(fr_options_help(o));
    CU_ASSERT_EQUAL(fr_options_verb(o), -1);
    fr_options_destroy(&o);
    o = parse_verb("nothing known --json --help");
    CU_ASSERT_TRUE(fr_options_help(o));
    fr_options_destroy(&o);
}

/* The caller frees it. */
static char *help_of(const fr_command *command)
{
    char path[PATH_BYTES];
    char *text = NULL;
    size_t n = 0;
    (void)snprintf(path, sizeof path, "%s/help", fr_test_folder());
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fr_command_help(command, file);
    CU_ASSERT_EQUAL(fclose(file), 0);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &text, &n));
    return text;
}

static void help_text_lists_every_verb(void)
{
    char *text = help_of(&WITH_VERBS);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "usage: forerun keep WORD ... [options]\n"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text, "\n  join FILE PART... [options]\n        make one of"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  --seed N "));
    for (const fr_verb *v = VERBS; v->name != NULL; v++) {
        CU_ASSERT_PTR_NOT_NULL(strstr(text, v->help));
    }
    free(text);
}

static void help_text_lists_every_option(void)
{
    char *text = help_of(&COMMAND);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "usage: forerun try A B [options]\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nwhat it is for\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  --model PATH            the base\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  --resume[=FILE]         go on\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  --help                  print this"));
    for (const fr_option *o = OPTIONS; o->name != NULL; o++) {
        CU_ASSERT_PTR_NOT_NULL(strstr(text, o->help));
    }
    free(text);
}

static void needed_option_is_named_when_absent(void)
{
    const char *value = NULL;
    fr_options *o = parse_well("a b --model m");
    FR_ASSERT_OK(fr_options_need(fr_test_ctx(), o, "model", &value));
    CU_ASSERT_STRING_EQUAL(value, "m");
    FR_ASSERT_FAILS(fr_options_need(fr_test_ctx(), o, "seed", &value), FR_ERR_ARG,
                    "--seed is missing");
    fr_options_destroy(&o);
}

static void whole_numbers_stay_within_their_range(void)
{
    static const char *const BAD[] = {
        "x", "1.5", "1e3", "-1", "11", "0x5", "99999999999999999999"};
    char line[64];
    int64_t value = 42;
    fr_options *o = parse_well("a b");
    FR_ASSERT_OK(fr_options_int(fr_test_ctx(), o, "seed", 0, 10, &value));
    CU_ASSERT_EQUAL(value, 42);
    fr_options_destroy(&o);
    o = parse_well("a b --seed 10");
    FR_ASSERT_OK(fr_options_int(fr_test_ctx(), o, "seed", 0, 10, &value));
    CU_ASSERT_EQUAL(value, 10);
    fr_options_destroy(&o);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        (void)snprintf(line, sizeof line, "a b --seed=%s", BAD[i]);
        o = parse_well(line);
        FR_ASSERT_FAILS(fr_options_int(fr_test_ctx(), o, "seed", 0, 10, &value),
                        FR_ERR_ARG, "must be a whole number from 0 to 10");
        fr_options_destroy(&o);
    }
    o = parse_well("a b --seed=");
    FR_ASSERT_FAILS(fr_options_int(fr_test_ctx(), o, "seed", 0, 10, &value), FR_ERR_ARG,
                    "--seed ");
    CU_ASSERT_EQUAL(value, 10);
    fr_options_destroy(&o);
}

static void numbers_are_finite(void)
{
    static const char *const BAD[] = {"", "x", "1.5x", "nan", "inf", "1e999"};
    char line[64];
    double value = 42;
    fr_options *o = parse_well("a b");
    FR_ASSERT_OK(fr_options_real(fr_test_ctx(), o, "temperature", &value));
    CU_ASSERT_EQUAL(value, 42.0);
    fr_options_destroy(&o);
    o = parse_well("a b --temperature -2.5e-1");
    FR_ASSERT_OK(fr_options_real(fr_test_ctx(), o, "temperature", &value));
    CU_ASSERT_EQUAL(value, -0.25);
    fr_options_destroy(&o);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        (void)snprintf(line, sizeof line, "a b --temperature=%s", BAD[i]);
        o = parse_well(line);
        FR_ASSERT_FAILS(fr_options_real(fr_test_ctx(), o, "temperature", &value),
                        FR_ERR_ARG, "must be a number");
        fr_options_destroy(&o);
    }
    CU_ASSERT_EQUAL(value, -0.25);
}

static void nearest_word_is_near_or_none(void)
{
    static const char *const WORDS[] = {"alpha", "beta", "gamma"};
    CU_ASSERT_STRING_EQUAL(fr_nearest_word("bta", WORDS, 3, sizeof WORDS[0]), "beta");
    CU_ASSERT_STRING_EQUAL(fr_nearest_word("gama", WORDS, 3, sizeof WORDS[0]), "gamma");
    CU_ASSERT_PTR_NULL(fr_nearest_word("zzzzzzz", WORDS, 3, sizeof WORDS[0]));
    CU_ASSERT_PTR_NULL(fr_nearest_word("alpha", WORDS, 0, sizeof WORDS[0]));
}

static const fr_case CASES[] = {
    FR_CASE(values_follow_or_stand_after_an_equals_sign),
    FR_CASE(values_may_hold_equals_signs_and_be_empty),
    FR_CASE(optional_value_comes_only_after_an_equals_sign),
    FR_CASE(repeated_options_keep_their_order_and_the_last_counts),
    FR_CASE(two_dashes_end_the_options),
    FR_CASE(dash_and_negative_number_are_positionals),
    FR_CASE(unknown_option_names_the_nearest),
    FR_CASE(long_unknown_option_is_refused),
    FR_CASE(missing_and_unexpected_values_are_refused),
    FR_CASE(wrong_number_of_positionals_is_refused),
    FR_CASE(verb_is_the_first_positional),
    FR_CASE(wrong_verbs_and_what_they_do_not_take_are_refused),
    FR_CASE(help_needs_nothing_else),
    FR_CASE(help_text_lists_every_option),
    FR_CASE(help_text_lists_every_verb),
    FR_CASE(needed_option_is_named_when_absent),
    FR_CASE(whole_numbers_stay_within_their_range),
    FR_CASE(numbers_are_finite),
    FR_CASE(nearest_word_is_near_or_none),
};

int main(int argc, char **argv)
{
    return fr_suite_main("options", CASES, FR_N_CASES(CASES), argc, argv);
}
