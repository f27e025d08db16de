/* Templates against what jinja2 renders (golden/jinja.json, by golden/make_jinja.py), refusals, and limits. */
#include "model/jinja/jinja.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parse and render; `part`: of the message where that must fail, else NULL. *out is freed by the caller. */
static void render(const char *template, json_t *variables, const char *part,
                   char **out)
{
    fr_jinja *jinja = NULL;
    fr_jinja_rendered rendered = {0};
    /* a Saturday, with numbers of one digit */
    const fr_jinja_given given = {variables, gmtime(&(time_t){1770445145}), NULL};
    fr_status status =
        fr_jinja_parse(fr_test_ctx(), template, strlen(template), &jinja);
    if (status == FR_OK) {
        status = fr_jinja_render(fr_test_ctx(), jinja, &given, &rendered);
    }
    *out = rendered.text;
    free(rendered.generated);
    fr_jinja_destroy(&jinja);
    fr_assert_status(status, part == NULL ? FR_OK : FR_ERR_UNSUPPORTED, part, template,
                     0);
}

static json_t *load(void)
{
    json_t *root = json_load_file(fr_test_data("golden/jinja.json"), 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    return root;
}

static void texts_are_those_of_jinja2(void)
{
    json_t *root = load();
    json_t *cases = json_object_get(root, "renders");
    CU_ASSERT_TRUE(json_array_size(cases) > 100);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *pair = json_array_get(cases, i);
        const char *template = json_string_value(json_array_get(pair, 0));
        const char *wanted = json_string_value(json_array_get(pair, 1));
        char *got = NULL;
        render(template, json_object_get(root, "variables"), NULL, &got);
        CU_ASSERT_PTR_NOT_NULL(got);
        if (got != NULL && strcmp(got, wanted) != 0) {
            (void)printf("    %s\n    gives  %s\n    wanted %s\n", template, got,
                         wanted);
            CU_FAIL("another text");
        }
        free(got);
    }
    json_decref(root);
}

static void what_is_not_known_is_named_with_its_line(void)
{
    json_t *root = load();
    json_t *cases = json_object_get(root, "refused");
    CU_ASSERT_TRUE(json_array_size(cases) > 30);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *pair = json_array_get(cases, i);
        char *got = NULL;
        render(json_string_value(json_array_get(pair, 0)),
               json_object_get(root, "variables"),
               json_string_value(json_array_get(pair, 1)), &got);
        CU_ASSERT_PTR_NULL(got);
        free(got);
    }
    json_decref(root);
}

/* Templates that would take for ever, or all memory, and the limit that ends them. */
typedef struct hostile {
    const char *template;
    const char *part;
} hostile;

#define DOUBLED "{% set s = s + s %}"
#define DOUBLED_8 DOUBLED DOUBLED DOUBLED DOUBLED DOUBLED DOUBLED DOUBLED DOUBLED

static const hostile HOSTILE[] = {
    {"{% for i in range(1000000000) %}x{% endfor %}", "a range has more than 100000"},
    {"{% for i in range(0, 9223372036854775807, 3) %}x{% endfor %}",
     "a number is too long"},
    {"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
     "16 MiB"},
    {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nests calls and expressions"},
    {"{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
     "nests calls and expressions"},
    {"{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro "
     "%}{{ f(40) }}",
     "more than"},
    {"{% set s = 'abcdefgh' %}" DOUBLED_8 DOUBLED_8 DOUBLED_8 DOUBLED_8, "16 MiB"},
    {"{{ 'abcdefgh' * 1000000000 }}", "more than"},
    {"{{ [1] * 1000000000 }}", "more than"},
    {"{{ '' * 1000000000 }}", "more than 2000000 steps"},
    {"{{ 'aaaa'|replace('a', 'b' * 900000) * 10 }}", "16 MiB"},
    {"{% set ns = namespace(l=[]) %}{% for i in range(500) %}{% set ns.l = [ns.l] "
     "%}{% endfor %}{{ ns.l }}",
     "nests calls and expressions"},
    {"{% set ns = namespace(l=[]) %}{% for i in range(500) %}{% set ns.l = [ns.l] "
     "%}{% endfor %}{{ ns.l == [ns.l] }}",
     "nests calls and expressions"},
    {"{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}", "namespace"},
    {"{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = ns.l + "
     "ns.l %}{% endfor %}",
     "more than"},
    {"{% set s = 'a' * 900000 %}{% for i in range(99999) %}{% if 'b' in s %}{% endif "
     "%}{% endfor %}",
     "more than 2000000 steps"},
    {"{% set s = 'a' * 900000 %}{% for i in range(99999) %}{{ s[::-1] }}{% endfor %}",
     "more than"},
    {"{{ ('a' * 900000).split('a')|length }}", "2000000 steps"},
    {"{{ 9223372036854775807 }}", "a number is too long"},
    {"{{ 999999999999999999 * 999999999999999999 }}", "too large"},
    {"{{ 2 ** 999999999 }}", "too large"},
    {"{{ 'abc'[::0] }}", "the step of a slice"},
    {"{{ 1e400 }}", "inf"},
};

static void hostile_templates_end(void)
{
    json_t *none = json_object();
    for (int i = 0; i < FR_N_CASES(HOSTILE); i++) {
        char *got = NULL;
        if (strcmp(HOSTILE[i].part, "inf") == 0) {
            render(HOSTILE[i].template, none, NULL, &got);
            CU_ASSERT_STRING_EQUAL(got, HOSTILE[i].part);
        } else {
            render(HOSTILE[i].template, none, HOSTILE[i].part, &got);
        }
        free(got);
    }
    json_decref(none);
}

/* So often the same text behind each other. */
static char *repeated(const char *text, size_t times)
{
    size_t bytes = strlen(text);
    char *out = malloc(bytes * times + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    for (size_t i = 0; i < times; i++) {
        memcpy(out + i * bytes, text, bytes);
    }
    out[bytes * times] = '\0';
    return out;
}

static void deep_and_long_templates_end(void)
{
    static const struct {
        const char *text;
        size_t times;
        const char *part;
    } LONG[] = {
        {"{{ (", 1, "a tag is not closed"},
        {"{{((((((((((", 100, "brackets are nested too deep"},
        {"{% if 1 %}", 100000, "nests deeper than 100"},
        {"{% for x in y %}", 60000, "nests deeper than 100"},
        {"{% macro f() %}", 60000, "nests deeper than 100"},
        {"{{ x if y else z ", 1, "a tag is not closed"},
        {"{{-", 100000, "nests deeper than 100"},
        {"{#", 100000, "a comment is not closed"},
        {"{%", 100000, "a statement that is known"},
        {"{% raw %}{%", 50000, "a raw block is not closed"},
        {"{{ 1 }}", 140000, "16 MiB"},
        {"a", (1 << 20) + 1, "the template has 1048577 bytes"},
    };
    json_t *none = json_object();
    for (int i = 0; i < FR_N_CASES(LONG); i++) {
        char *template = repeated(LONG[i].text, LONG[i].times);
        char *got = NULL;
        fr_jinja *jinja = NULL;
        FR_ASSERT_FAILS(
            fr_jinja_parse(fr_test_ctx(), template, strlen(template), &jinja),
            FR_ERR_UNSUPPORTED, LONG[i].part);
        CU_ASSERT_PTR_NULL(jinja);
        fr_jinja_destroy(&jinja);
        free(got);
        free(template);
    }
    json_decref(none);
}

/* Each piece opens one level more inside an expression. */
static void deep_expressions_end(void)
{
    static const char *const PIECES[] = {"(",  "[",  "{1: ", "not ",         "-",
                                         "f(", "x[", "x|f(", "1 if 1 else ", "x is f("};
    for (int i = 0; i < FR_N_CASES(PIECES); i++) {
        char *inside = repeated(PIECES[i], 50000);
        char *template = malloc(strlen(inside) + 4);
        fr_jinja *jinja = NULL;
        CU_ASSERT_PTR_NOT_NULL_FATAL(template);
        (void)sprintf(template, "{{ %s", inside);
        FR_ASSERT_FAILS(
            fr_jinja_parse(fr_test_ctx(), template, strlen(template), &jinja),
            FR_ERR_UNSUPPORTED, "deep");
        free(template);
        free(inside);
    }
}

static void bytes_that_are_no_text_are_refused(void)
{
    fr_jinja *jinja = NULL;
    FR_ASSERT_FAILS(fr_jinja_parse(fr_test_ctx(), "a\n\xFF", 3, &jinja),
                    FR_ERR_UNSUPPORTED, "line 2: the template is not UTF-8");
    FR_ASSERT_OK(fr_jinja_parse(fr_test_ctx(), "", 0, &jinja));
    fr_jinja_destroy(&jinja);
}

/* A template is parsed once and rendered with other variables. */
static void a_template_is_rendered_any_number_of_times(void)
{
    static const char TEXT[] = "{% set x = (x or 0) + 1 %}{{ x }}{{ y is defined }}";
    fr_jinja *jinja = NULL;
    FR_ASSERT_OK(fr_jinja_parse(fr_test_ctx(), TEXT, sizeof TEXT - 1, &jinja));
    for (int i = 0; i < 3; i++) {
        char wanted[32];
        fr_jinja_rendered got = {0};
        const fr_jinja_given given = {json_pack("{s:i}", "x", i), NULL, NULL};
        FR_ASSERT_OK(fr_jinja_render(fr_test_ctx(), jinja, &given, &got));
        (void)snprintf(wanted, sizeof wanted, "%dFalse", i + 1);
        CU_ASSERT_STRING_EQUAL(got.text, wanted);
        CU_ASSERT_EQUAL(got.bytes, strlen(wanted));
        json_decref(given.variables);
        fr_jinja_rendered_fini(&got);
    }
    fr_jinja_destroy(&jinja);
}

/* Where `generation` blocks wrote, of a template whose text says it: what they wrote stands in angle brackets. */
static void generated_text_is_marked(void)
{
    static const struct {
        const char *template;
        const char *marked; /* NULL: it is not known where */
    } MARKED[] = {
        {"a{% generation %}b{% endgeneration %}c", "a<b>c"},
        {"{% for m in l %}{{ m }}:{% generation %}{{ m }}{% if not loop.last %},{% "
         "endif "
         "%}{% endgeneration %}{% endfor %}",
         "1:<1,>2:<2,>3:<3>"},
        {"{% generation %}{% endgeneration %}x", "<>x"},
        {"{% if false %}{% generation %}a{% endgeneration %}{% endif %}x", "x"},
        {"{% generation %}a{% filter upper %}b{% endfilter %}{% endgeneration %}",
         "<aB>"},
        {"{% macro f() %}{% generation %}a{% endgeneration %}{% endmacro %}{{ f() }}",
         NULL},
        {"{% set x %}{% generation %}a{% endgeneration %}{% endset %}{{ x }}", NULL},
        {"{% generation %}a{% generation %}b{% endgeneration %}{% endgeneration %}",
         NULL}};
    const fr_jinja_given given = {json_pack("{s:[i,i,i]}", "l", 1, 2, 3), NULL, NULL};
    for (int i = 0; i < FR_N_CASES(MARKED); i++) {
        const char *template = MARKED[i].template;
        char marked[64] = "";
        size_t at = 0;
        fr_jinja *jinja = NULL;
        fr_jinja_rendered got = {0};
        FR_ASSERT_OK(fr_jinja_parse(fr_test_ctx(), template, strlen(template), &jinja));
        FR_ASSERT_OK(fr_jinja_render(fr_test_ctx(), jinja, &given, &got));
        for (int64_t k = 0; k < got.n_generated; k++) {
            const fr_text_span *span = &got.generated[k];
            (void)sprintf(marked + strlen(marked), "%.*s<%.*s>",
                          (int)(span->begin - at), got.text + at,
                          (int)(span->end - span->begin), got.text + span->begin);
            at = span->end;
        }
        (void)sprintf(marked + strlen(marked), "%s", got.text + at);
        CU_ASSERT_EQUAL(got.has_lost_marks, MARKED[i].marked == NULL);
        CU_ASSERT_TRUE(MARKED[i].marked == NULL ||
                       strcmp(marked, MARKED[i].marked) == 0);
        fr_jinja_rendered_fini(&got);
        fr_jinja_destroy(&jinja);
    }
    json_decref(given.variables);
}

static void the_time_is_the_one_that_is_given(void)
{
    static const char ASKS[] = "{{ strftime_now('%Y') }}";
    const fr_jinja_given given = {json_object(), NULL, NULL};
    fr_jinja *jinja = NULL;
    fr_jinja_rendered got = {0};
    FR_ASSERT_OK(fr_jinja_parse(fr_test_ctx(), ASKS, sizeof ASKS - 1, &jinja));
    FR_ASSERT_FAILS(fr_jinja_render(fr_test_ctx(), jinja, &given, &got),
                    FR_ERR_UNSUPPORTED, "asks for the time, and no clock is given");
    CU_ASSERT_PTR_NULL(got.text);
    fr_jinja_destroy(&jinja);
    json_decref(given.variables);
}

static const fr_case CASES[] = {FR_CASE(texts_are_those_of_jinja2),
                                FR_CASE(what_is_not_known_is_named_with_its_line),
                                FR_CASE(hostile_templates_end),
                                FR_CASE(deep_and_long_templates_end),
                                FR_CASE(deep_expressions_end),
                                FR_CASE(bytes_that_are_no_text_are_refused),
                                FR_CASE(a_template_is_rendered_any_number_of_times),
                                FR_CASE(generated_text_is_marked),
                                FR_CASE(the_time_is_the_one_that_is_given)};

int main(int argc, char **argv)
{
    return fr_suite_main("jinja", CASES, FR_N_CASES(CASES), argc, argv);
}
