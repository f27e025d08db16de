#include "support/suite.h"
#include "train/config/written.h"
#include "train/data/text.h"

#include <stdlib.h>
#include <string.h>

typedef struct pair {
    const char *written;
    const char *text;
} pair;

/* Written so, and as it is meant. */
static const pair ESCAPES[] = {
    {"a\\nb", "a\nb"},    {"a\nb", "a\nb"},     {"\\t\\\\", "\t\\"},
    {"a\\\\nb", "a\\nb"}, {"\\\\\\n", "\\\n"},  {"\\x \\\" \\'", "\\x \\\" \\'"},
    {"end\\", "end\\"},   {"end\\\\", "end\\"}, {"", ""},
    {"\\r\\0", "\\r\\0"},
};

static const pair BRACES[] = {
    {"{source}\\nA:{target}", "{source}\nA:{target}"},
    {"{\"a\": 1} {source}{target}", "{\"a\": 1} {source}{target}"},
    {"{\"a\": {source}, \"b\": \"{target}\"}",
     "{\"a\": {source}, \"b\": \"{target}\"}"},
    {"{{word}} {target}", "{word} {target}"},
    {"{{{source}}}{target}", "{{source}}{target}"},
    {"{{{{word}}}} {target}", "{{word}} {target}"},
    {"{{{{{target}}}}}", "{{{target}}}"},
    {"{{{word}} {target}", "{{word} {target}"}, /* one brace stands alone */
    {"{{word}}} {target}", "{word}} {target}"},
    {"{} {} {3} {a b} {é} {-a} { word } {word {target}",
     "{} {} {3} {a b} {é} {-a} { word } {word {target}"},
    {"}{ {\\tsource} {target}", "}{ {\tsource} {target}"},
    {"[a-z]{3} {{ x }} {target}", "[a-z]{3} {{ x }} {target}"},
};

static void check_read(const pair *one, bool is_template)
{
    char *text = NULL;
    char *written = NULL;
    char *again = NULL;
    FR_ASSERT_OK(is_template
                     ? fr_written_read_template(fr_test_ctx(), "x", one->written, &text)
                     : fr_written_read(fr_test_ctx(), one->written, &text));
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_STRING_EQUAL(text, one->text);
    FR_ASSERT_OK(is_template ? fr_written_write_template(fr_test_ctx(), text, &written)
                             : fr_written_write(fr_test_ctx(), text, &written));
    FR_ASSERT_OK(is_template
                     ? fr_written_read_template(fr_test_ctx(), "x", written, &again)
                     : fr_written_read(fr_test_ctx(), written, &again));
    CU_ASSERT_STRING_EQUAL(again, one->text);
    free(text);
    free(written);
    free(again);
}

static void escapes_are_read_once(void)
{
    for (int i = 0; i < FR_N_CASES(ESCAPES); i++) {
        check_read(&ESCAPES[i], false);
        check_read(&ESCAPES[i], true);
    }
}

static void doubled_braces_are_text(void)
{
    for (int i = 0; i < FR_N_CASES(BRACES); i++) {
        check_read(&BRACES[i], true);
    }
}

/* What is read once is not read again: the text of a checkpoint stands as it is. */
static void braces_in_init_texts_are_text(void)
{
    static const pair TEXTS[] = {{"{word} {{source}}", "{word} {{source}}"}};
    check_read(&TEXTS[0], false);
}

static void other_names_are_refused(void)
{
    static const pair NAMES[] = {
        {"{prompt} {target}",
         "t.yaml holds {prompt}, but a row has only the fields {source} and "
         "{target}; did you mean {source}? ("},
        {"{source} {response}", "did you mean {target}?"},
        {"{sourec}{target}", "did you mean {source}?"},
        {"{Source}{target}", "did you mean {source}?"},
        {"{source}{target}{return}", "(write {{return}} for the text itself)"},
        {"{{{x_1-y}}}{target}", "{x_1-y}"},
        {"{{source}} {target}",
         "holds the field source in two braces; write {source}, or "
         "{{{source}}}"},
        {"{source} {{target}}", "the field target in two braces"},
        {"{source} {{ target }}", "the field target with blanks; write {target}"},
        {"{ source }{target}", "the field source with blanks; write {source}"},
    };
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        char *text = NULL;
        FR_ASSERT_FAILS(
            fr_written_read_template(fr_test_ctx(), "t.yaml", NAMES[i].written, &text),
            FR_ERR_CONFIG, NAMES[i].text);
        CU_ASSERT_PTR_NULL(text);
    }
}

/* Files written before names were checked hold such templates. */
static void a_kept_template_stands_as_it_is(void)
{
    fr_template parts;
    FR_ASSERT_OK(
        fr_template_parse(fr_test_ctx(), "template", "{prompt}\\n{target}", &parts));
    CU_ASSERT_FALSE(parts.has_source);
    CU_ASSERT_EQUAL(parts.between_bytes, 0);
    CU_ASSERT_EQUAL(parts.before_bytes, strlen("{prompt}\\n"));
}

static const fr_case CASES[] = {
    FR_CASE(escapes_are_read_once),           FR_CASE(doubled_braces_are_text),
    FR_CASE(braces_in_init_texts_are_text),   FR_CASE(other_names_are_refused),
    FR_CASE(a_kept_template_stands_as_it_is),
};

int main(int argc, char **argv)
{
    return fr_suite_main("written", CASES, FR_N_CASES(CASES), argc, argv);
}
