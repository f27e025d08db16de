/* Evaluates expressions: a walk over the tree, one function for each kind of node.
 *
 * fr_jinja_evaluate enters each node: it counts the step and the depth, and sets the line for messages. A function that has
 * evaluated operands sets the line again before it can fail itself, since an operand may stand on another line.
 *
 * Names are searched from the innermost scope outwards, then among the built-in functions, and are undefined otherwise.
 * As with jinja2's plain Undefined, an undefined value may be tested, compared for equality, written (as nothing) and iterated
 * (as empty); its attributes and items, calling it and arithmetic with it fail. */
#include "model/jinja/jinja_call.h"

#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;
typedef fr_jinja_node node;

/* ---- names and literals ------------------------------------------------------------------- */

/* A variable may hide a function: scopes come first. */
static fr_status find_name(machine *m, const node *n, value *out)
{
    for (const fr_jinja_scope *scope = m->scope; scope != NULL; scope = scope->outer) {
        value *found = NULL;
        FR_TRY(fr_jinja_dict_find(m, &scope->names, fr_jinja_string(n->text), &found));
        if (found != NULL) {
            *out = *found;
            return FR_OK;
        }
    }
    *out = fr_jinja_undefined(n->text);
    if (fr_jinja_is_function(n->text)) {
        out->type = FR_JINJA_IS_FUNCTION;
    }
    return FR_OK;
}

static fr_status make_list(machine *m, const node *n, value *out)
{
    bool tuple = n->kind == FR_JINJA_TUPLE;
    FR_TRY(fr_jinja_list_new(m, tuple ? FR_JINJA_A_TUPLE : FR_JINJA_A_LIST, out));
    for (const node *part = n->a; part != NULL; part = part->next) {
        value item;
        FR_TRY(fr_jinja_evaluate(m, part, &item));
        FR_TRY(fr_jinja_list_add(m, out, item));
    }
    return FR_OK;
}

static fr_status make_dict(machine *m, const node *n, value *out)
{
    FR_TRY(fr_jinja_dict_new(m, out));
    for (const node *pair = n->a; pair != NULL; pair = pair->next) {
        value key;
        value v;
        FR_TRY(fr_jinja_evaluate(m, pair->a, &key));
        FR_TRY(fr_jinja_evaluate(m, pair->b, &v));
        FR_TRY(fr_jinja_dict_set(m, out->as.dict, key, v));
    }
    return FR_OK;
}

/* ---- members ------------------------------------------------------------------------------ */

static fr_status evaluate_slice(machine *m, const node *n, const value *of, value *out)
{
    const node *const nodes[] = {n->a, n->b, n->c};
    value values[3];
    const value *parts[3] = {NULL, NULL, NULL};
    for (int i = 0; i < 3; i++) {
        if (nodes[i] != NULL) {
            FR_TRY(fr_jinja_evaluate(m, nodes[i], &values[i]));
            parts[i] = &values[i];
        }
    }
    return fr_jinja_slice(m, of, parts, out);
}

static fr_status evaluate_item(machine *m, const node *n, value *out)
{
    value of;
    value key;
    FR_TRY(fr_jinja_evaluate(m, n->a, &of));
    if (n->b->kind == FR_JINJA_SLICE) {
        return evaluate_slice(m, n->b, &of, out);
    }
    FR_TRY(fr_jinja_evaluate(m, n->b, &key));
    m->line = n->line;
    return fr_jinja_item(m, &of, &key, out);
}

static fr_status evaluate_attribute(machine *m, const node *n, value *out)
{
    value of;
    FR_TRY(fr_jinja_evaluate(m, n->a, &of));
    m->line = n->line;
    return fr_jinja_attribute(m, &of, n->text, out);
}

/* ---- calls -------------------------------------------------------------------------------- */

/* Evaluates arguments into a list and a dict of the arena. */
static fr_status evaluate_arguments(machine *m, const node *first,
                                    fr_jinja_arguments *out)
{
    value values;
    value named;
    FR_TRY(fr_jinja_list_new(m, FR_JINJA_A_LIST, &values));
    FR_TRY(fr_jinja_dict_new(m, &named));
    for (const node *n = first; n != NULL; n = n->next) {
        value v;
        m->line = n->line;
        if (n->kind == FR_JINJA_SPREAD) {
            return fr_jinja_fail(m, "arguments of a list or dict (*, **) are not "
                                    "supported");
        }
        bool is_named = n->kind == FR_JINJA_KEYWORD;
        FR_TRY(fr_jinja_evaluate(m, is_named ? n->a : n, &v));
        FR_TRY(is_named
                   ? fr_jinja_dict_set(m, named.as.dict, fr_jinja_string(n->text), v)
                   : fr_jinja_list_add(m, &values, v));
    }
    *out = (fr_jinja_arguments){.n = (int)values.as.list->n,
                                .n_named = (int)named.as.dict->n,
                                .values = values.as.list->items,
                                .named = named.as.dict->pairs};
    return FR_OK;
}

fr_status fr_jinja_evaluate_call(fr_jinja_machine *m, const fr_jinja_node *n,
                                 const fr_jinja_value *caller, fr_jinja_value *out)
{
    value callee;
    fr_jinja_arguments arguments;
    FR_TRY(fr_jinja_evaluate(m, n->a, &callee));
    FR_TRY(evaluate_arguments(m, n->b, &arguments));
    arguments.caller = caller;
    m->line = n->line;
    return fr_jinja_call(m, &callee, &arguments, out);
}

static fr_status evaluate_filter(machine *m, const node *n, value *out)
{
    value input;
    fr_jinja_arguments arguments;
    FR_TRY(fr_jinja_evaluate(m, n->a, &input));
    FR_TRY(evaluate_arguments(m, n->b, &arguments));
    m->line = n->line;
    return fr_jinja_filter(m, n->text, &input, &arguments, out);
}

static fr_status evaluate_test(machine *m, const node *n, value *out)
{
    value input;
    bool passed = false;
    fr_jinja_arguments arguments;
    FR_TRY(fr_jinja_evaluate(m, n->a, &input));
    FR_TRY(evaluate_arguments(m, n->b, &arguments));
    m->line = n->line;
    FR_TRY(fr_jinja_test(m, n->text, &input, &arguments, &passed));
    *out = fr_jinja_bool(passed);
    return FR_OK;
}

/* ---- operators ---------------------------------------------------------------------------- */

/* Equality holds between any two types; an order does not, so fr_jinja_order refuses what Python would. */
static fr_status compare_two(machine *m, int op, const value *a, const value *b,
                             bool *out)
{
    int order = 0;
    if (op == FR_JINJA_IN || op == FR_JINJA_NOT_IN) {
        FR_TRY(fr_jinja_contains(m, b, a, out));
        *out = *out == (op == FR_JINJA_IN);
        return FR_OK;
    }
    if (op == FR_JINJA_OP('=', '=') || op == FR_JINJA_OP('!', '=')) {
        FR_TRY(fr_jinja_equal(m, a, b, out));
        *out = *out == (op == FR_JINJA_OP('=', '='));
        return FR_OK;
    }
    FR_TRY(fr_jinja_order(m, a, b, &order));
    *out = op == '<'                     ? order < 0
           : op == '>'                   ? order > 0
           : op == FR_JINJA_OP('<', '=') ? order <= 0
                                         : order >= 0;
    return FR_OK;
}

/* "a < b < c" holds if both parts do. */
static fr_status evaluate_compare(machine *m, const node *n, value *out)
{
    value left;
    value right;
    bool holds = true;
    FR_TRY(fr_jinja_evaluate(m, n->a, &left));
    for (const node *operand = n->b; holds && operand != NULL;
         operand = operand->next) {
        FR_TRY(fr_jinja_evaluate(m, operand->a, &right));
        m->line = operand->line;
        FR_TRY(compare_two(m, operand->op, &left, &right, &holds));
        left = right;
    }
    *out = fr_jinja_bool(holds);
    return FR_OK;
}

/* `~` writes both operands as texts and joins them; all other operators are arithmetic. */
static fr_status evaluate_binary(machine *m, const node *n, value *out)
{
    value a;
    value b;
    FR_TRY(fr_jinja_evaluate(m, n->a, &a));
    FR_TRY(fr_jinja_evaluate(m, n->b, &b));
    m->line = n->line;
    if (n->kind == FR_JINJA_BINARY) {
        return fr_jinja_arithmetic(m, n->op, &a, &b, out);
    }
    fr_jinja_writer w = {0};
    FR_TRY(fr_jinja_write_value(m, &w, &a));
    FR_TRY(fr_jinja_write_value(m, &w, &b));
    return fr_jinja_written(m, &w, out);
}

/* and, or: the value is that of the operand that decides. */
static fr_status evaluate_logic(machine *m, const node *n, value *out)
{
    FR_TRY(fr_jinja_evaluate(m, n->a, out));
    return fr_jinja_truth(out) == (n->kind == FR_JINJA_AND)
               ? fr_jinja_evaluate(m, n->b, out)
               : FR_OK;
}

/* Only the chosen side is evaluated. Without `else` the value is undefined if the condition does not hold. */
static fr_status evaluate_condition(machine *m, const node *n, value *out)
{
    static const fr_text NAME = {"else", sizeof "else" - 1};
    FR_TRY(fr_jinja_evaluate(m, n->a, out));
    const node *chosen = fr_jinja_truth(out) ? n->b : n->c;
    *out = fr_jinja_undefined(NAME);
    return chosen != NULL ? fr_jinja_evaluate(m, chosen, out) : FR_OK;
}

/* As a product, which checks for overflow; types are checked here, since a product also repeats strings and lists. */
static fr_status evaluate_sign(machine *m, const node *n, value *out)
{
    value v;
    value factor = fr_jinja_int(n->kind == FR_JINJA_NEGATIVE ? -1 : 1);
    FR_TRY(fr_jinja_evaluate(m, n->a, &v));
    m->line = n->line;
    if (v.type != FR_JINJA_IS_INT && v.type != FR_JINJA_IS_FLOAT &&
        v.type != FR_JINJA_IS_BOOL) {
        return fr_jinja_fail(m, "%s cannot have a sign", fr_jinja_type_name(&v));
    }
    return fr_jinja_arithmetic(m, '*', &v, &factor, out);
}

static fr_status evaluate_literal(const node *n, value *out)
{
    *out = n->kind == FR_JINJA_NOTHING   ? fr_jinja_none()
           : n->kind == FR_JINJA_TRUTH   ? fr_jinja_bool(n->number.whole != 0)
           : n->kind == FR_JINJA_INTEGER ? fr_jinja_int(n->number.whole)
           : n->kind == FR_JINJA_REAL    ? fr_jinja_float(n->number.fraction)
                                         : fr_jinja_string(n->text);
    return FR_OK;
}

static fr_status evaluate_plain(machine *m, const node *n, value *out)
{
    switch (n->kind) {
    case FR_JINJA_NAME:
        return find_name(m, n, out);
    case FR_JINJA_LIST:
    case FR_JINJA_TUPLE:
        return make_list(m, n, out);
    case FR_JINJA_DICT:
        return make_dict(m, n, out);
    case FR_JINJA_ATTRIBUTE:
        return evaluate_attribute(m, n, out);
    case FR_JINJA_ITEM:
        return evaluate_item(m, n, out);
    case FR_JINJA_CALL:
        return fr_jinja_evaluate_call(m, n, NULL, out);
    case FR_JINJA_FILTER:
        return evaluate_filter(m, n, out);
    case FR_JINJA_TEST:
        return evaluate_test(m, n, out);
    case FR_JINJA_BLOCK_VALUE:
        *out = m->block;
        return FR_OK;
    case FR_JINJA_NOT:
        FR_TRY(fr_jinja_evaluate(m, n->a, out));
        *out = fr_jinja_bool(!fr_jinja_truth(out));
        return FR_OK;
    case FR_JINJA_NEGATIVE:
    case FR_JINJA_POSITIVE:
        return evaluate_sign(m, n, out);
    case FR_JINJA_BINARY:
    case FR_JINJA_CONCAT:
        return evaluate_binary(m, n, out);
    case FR_JINJA_COMPARE:
        return evaluate_compare(m, n, out);
    case FR_JINJA_AND:
    case FR_JINJA_OR:
        return evaluate_logic(m, n, out);
    case FR_JINJA_CONDITION:
        return evaluate_condition(m, n, out);
    case FR_JINJA_SLICE:
        return fr_jinja_fail(m, "a slice among other keys is not supported");
    default:
        return evaluate_literal(n, out);
    }
}

fr_status fr_jinja_evaluate(fr_jinja_machine *m, const fr_jinja_node *n,
                            fr_jinja_value *out)
{
    m->line = n->line;
    FR_TRY(fr_jinja_enter(m));
    FR_TRY(evaluate_plain(m, n, out));
    m->depth--;
    return FR_OK;
}
