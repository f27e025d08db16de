/* Tests: the names behind `is`. */
#include "model/jinja/jinja_call.h"

#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;

/* Forms are ordered from those that Python can index to those that it cannot; `max` is the last that counts. */
static bool is_list(const value *v, fr_jinja_form max)
{
    return v->type == FR_JINJA_IS_LIST && v->as.list->form <= max;
}

/* Tests of a value alone, of its type first. */
static bool test_type(fr_text name, const value *v, bool *out)
{
    fr_jinja_type type = v->type;
    bool whole = type == FR_JINJA_IS_INT;
    bool truth = type == FR_JINJA_IS_BOOL;
    bool walked = type == FR_JINJA_IS_STRING || type == FR_JINJA_IS_DICT;
    const struct {
        const char *name;
        bool holds;
    } ALL[] = {
        {"defined", type != FR_JINJA_IS_UNDEFINED},
        {"undefined", type == FR_JINJA_IS_UNDEFINED},
        {"none", type == FR_JINJA_IS_NONE},
        {"string", type == FR_JINJA_IS_STRING},
        {"mapping", type == FR_JINJA_IS_DICT},
        {"iterable", walked || type == FR_JINJA_IS_LIST ||
                         type == FR_JINJA_IS_UNDEFINED || type == FR_JINJA_IS_LOOP},
        {"sequence", walked || is_list(v, FR_JINJA_A_RANGE)},
        {"boolean", truth},
        {"true", truth && v->as.whole != 0},
        {"false", truth && v->as.whole == 0},
        {"number", whole || truth || type == FR_JINJA_IS_FLOAT},
        {"integer", whole},
        {"float", type == FR_JINJA_IS_FLOAT},
        {"callable", type == FR_JINJA_IS_MACRO || type == FR_JINJA_IS_FUNCTION ||
                         type == FR_JINJA_IS_METHOD},
    };
    for (size_t i = 0; i < sizeof ALL / sizeof *ALL; i++) {
        if (fr_text_is(name, ALL[i].name)) {
            *out = ALL[i].holds;
            return true;
        }
    }
    return false;
}

/* Names of comparisons as tests. */
static int comparison(fr_text name)
{
    static const struct {
        const char *name;
        int op;
    } NAMES[] = {{"eq", '='},          {"equalto", '='},    {"==", '='},
                 {"ne", '!'},          {"!=", '!'},         {"lt", '<'},
                 {"lessthan", '<'},    {"<", '<'},          {"gt", '>'},
                 {"greaterthan", '>'}, {">", '>'},          {"le", 'l'},
                 {"<=", 'l'},          {"ge", 'g'},         {">=", 'g'},
                 {"in", 'i'},          {"divisibleby", '%'}};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (fr_text_is(name, NAMES[i].name)) {
            return NAMES[i].op;
        }
    }
    return 0;
}

/* `op` is what comparison() gives: the operator's character, with l for <=, g for >=, and i for in. */
static fr_status compare(machine *m, int op, const value *a, const value *b, bool *out)
{
    int order = 0;
    value rest;
    switch (op) {
    case '=':
    case '!':
        FR_TRY(fr_jinja_equal(m, a, b, out));
        *out = *out == (op == '=');
        return FR_OK;
    case 'i':
        return fr_jinja_contains(m, b, a, out);
    case '%':
        FR_TRY(fr_jinja_arithmetic(m, '%', a, b, &rest));
        *out = !fr_jinja_truth(&rest);
        return FR_OK;
    default:
        FR_TRY(fr_jinja_order(m, a, b, &order));
        *out = op == '<'   ? order < 0
               : op == '>' ? order > 0
               : op == 'l' ? order <= 0
                           : order >= 0;
        return FR_OK;
    }
}

/* By arithmetic, so that a value that is not a number fails as it would in an expression. */
static fr_status test_parity(machine *m, fr_text name, const value *v, bool *out)
{
    value rest;
    value two = fr_jinja_int(2);
    FR_TRY(fr_jinja_arithmetic(m, '%', v, &two, &rest));
    *out = fr_jinja_truth(&rest) == fr_text_is(name, "odd");
    return FR_OK;
}

fr_status fr_jinja_test(fr_jinja_machine *m, fr_text name, const fr_jinja_value *input,
                        const fr_jinja_arguments *arguments, bool *out)
{
    enum { SHOWN = 60 };
    int op = comparison(name);
    bool alone = arguments->n == 0 && arguments->n_named == 0;
    FR_TRY(fr_jinja_charge(m, 0));
    if (alone && test_type(name, input, out)) {
        return FR_OK;
    }
    if (alone && (fr_text_is(name, "odd") || fr_text_is(name, "even"))) {
        return test_parity(m, name, input, out);
    }
    if (op != 0 && arguments->n == 1 && arguments->n_named == 0) {
        return compare(m, op, input, &arguments->values[0], out);
    }
    return fr_jinja_fail(m,
                         "the test '%.*s' is not supported, or not with these "
                         "arguments",
                         name.bytes < SHOWN ? (int)name.bytes : SHOWN, name.data);
}
