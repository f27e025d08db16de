/* Parses expressions by recursive descent, with jinja2's order of operators: from those that bind least, `a if b else c`, or,
 * and, not, comparisons, arithmetic (LEVELS), unary signs, then operands with what follows them (jinja_operand.c). */
#include "model/jinja/jinja_tree.h"

#include <string.h>

typedef fr_jinja_parser parser;
typedef fr_jinja_node node;

static fr_status parse_unary(parser *p, bool filters, node **out);

/* ---- operators ---------------------------------------------------------------------------- */

static fr_status parse_unary(parser *p, bool filters, node **out)
{
    bool negative = fr_jinja_at_sign(p, '-');
    if (negative || fr_jinja_at_sign(p, '+')) {
        FR_TRY(fr_jinja_deeper(p));
        FR_TRY(fr_jinja_take(p));
        FR_TRY(parse_unary(p, false, out));
        FR_TRY(fr_jinja_wrap(p, negative ? FR_JINJA_NEGATIVE : FR_JINJA_POSITIVE, *out,
                             NULL, out));
    } else {
        FR_TRY(fr_jinja_primary(p, out));
    }
    FR_TRY(fr_jinja_postfix(p, out));
    return filters ? fr_jinja_filters_and_tests(p, out) : FR_OK;
}

/* Operators of arithmetic, from those that bind least; each level ends with 0. */
enum { N_LEVELS = 4, LEVEL_OPS = 5, CONCAT_LEVEL = 1 };
static const int LEVELS[N_LEVELS][LEVEL_OPS] = {
    {'+', '-', 0, 0, 0},
    {'~', 0, 0, 0, 0},
    {'*', '/', FR_JINJA_OP('/', '/'), '%', 0},
    {FR_JINJA_OP('*', '*'), 0, 0, 0, 0}};

static bool at_level(const parser *p, int level)
{
    for (int i = 0; LEVELS[level][i] != 0; i++) {
        if (fr_jinja_at_sign(p, LEVELS[level][i])) {
            return true;
        }
    }
    return false;
}

/* Level by level, a loop at each: operators of one level associate to the left. */
static fr_status parse_arithmetic(parser *p, int level, node **out)
{
    if (level == N_LEVELS) {
        return parse_unary(p, true, out);
    }
    FR_TRY(parse_arithmetic(p, level + 1, out));
    while (at_level(p, level)) {
        int op = p->now.op;
        node *right = NULL;
        FR_TRY(fr_jinja_take(p));
        FR_TRY(parse_arithmetic(p, level + 1, &right));
        fr_jinja_kind kind = level == CONCAT_LEVEL ? FR_JINJA_CONCAT : FR_JINJA_BINARY;
        FR_TRY(fr_jinja_wrap(p, kind, *out, right, out));
        (*out)->op = op;
    }
    return FR_OK;
}

/* The comparison operator that stands here; 0 if there is none. */
static int comparison(const parser *p)
{
    if (fr_jinja_at_word(p, "in")) {
        return FR_JINJA_IN;
    }
    if (fr_jinja_at_word(p, "not") && p->ahead.kind == FR_JINJA_WORD &&
        fr_text_is(p->ahead.text, "in")) {
        return FR_JINJA_NOT_IN;
    }
    static const int SIGNS[] = {FR_JINJA_OP('=', '='),
                                FR_JINJA_OP('!', '='),
                                FR_JINJA_OP('>', '='),
                                FR_JINJA_OP('<', '='),
                                '<',
                                '>'};
    for (size_t i = 0; i < sizeof SIGNS / sizeof *SIGNS; i++) {
        if (fr_jinja_at_sign(p, SIGNS[i])) {
            return SIGNS[i];
        }
    }
    return 0;
}

/* a < b < c is one node with a list of operators and operands, since it means a < b and b < c. */
static fr_status parse_compare(parser *p, node **out)
{
    fr_jinja_list operands = {0};
    int op = 0;
    FR_TRY(parse_arithmetic(p, 0, out));
    while ((op = comparison(p)) != 0) {
        node *operand = NULL;
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_COMPARE, &operand));
        operand->op = op;
        FR_TRY(fr_jinja_take(p));
        if (op == FR_JINJA_NOT_IN) {
            FR_TRY(fr_jinja_take(p));
        }
        FR_TRY(parse_arithmetic(p, 0, &operand->a));
        fr_jinja_append(&operands, operand);
    }
    return operands.first != NULL
               ? fr_jinja_wrap(p, FR_JINJA_COMPARE, *out, operands.first, out)
               : FR_OK;
}

static fr_status parse_not(parser *p, node **out)
{
    if (!fr_jinja_at_word(p, "not")) {
        return parse_compare(p, out);
    }
    FR_TRY(fr_jinja_deeper(p));
    FR_TRY(fr_jinja_take(p));
    FR_TRY(parse_not(p, out));
    p->depth--;
    return fr_jinja_wrap(p, FR_JINJA_NOT, *out, NULL, out);
}

static fr_status parse_and(parser *p, node **out)
{
    FR_TRY(parse_not(p, out));
    while (fr_jinja_at_word(p, "and")) {
        node *right = NULL;
        FR_TRY(fr_jinja_take(p));
        FR_TRY(parse_not(p, &right));
        FR_TRY(fr_jinja_wrap(p, FR_JINJA_AND, *out, right, out));
    }
    return FR_OK;
}

static fr_status parse_or(parser *p, node **out)
{
    FR_TRY(parse_and(p, out));
    while (fr_jinja_at_word(p, "or")) {
        node *right = NULL;
        FR_TRY(fr_jinja_take(p));
        FR_TRY(parse_and(p, &right));
        FR_TRY(fr_jinja_wrap(p, FR_JINJA_OR, *out, right, out));
    }
    return FR_OK;
}

/* "a if b else c", where c may be such an expression again. */
static fr_status parse_condition(parser *p, bool conditions, node **out)
{
    FR_TRY(fr_jinja_deeper(p));
    FR_TRY(parse_or(p, out));
    /* false for what `for` iterates: there a trailing `if` belongs to the loop */
    while (conditions && fr_jinja_at_word(p, "if")) {
        node *made = NULL;
        FR_TRY(fr_jinja_wrap(p, FR_JINJA_CONDITION, NULL, *out, &made));
        FR_TRY(fr_jinja_take(p));
        FR_TRY(parse_or(p, &made->a));
        if (fr_jinja_at_word(p, "else")) {
            FR_TRY(fr_jinja_take(p));
            FR_TRY(parse_condition(p, true, &made->c));
        }
        *out = made;
    }
    p->depth--;
    return FR_OK;
}

/* Where a tuple may end behind its last comma. */
static bool at_tuple_end(const parser *p)
{
    return p->now.kind == FR_JINJA_OUTPUT_END || p->now.kind == FR_JINJA_TAG_END ||
           fr_jinja_at_sign(p, ')') || fr_jinja_at_word(p, "recursive");
}

fr_status fr_jinja_expression(fr_jinja_parser *p, bool commas, bool conditions,
                              fr_jinja_node **out)
{
    fr_jinja_list parts = {0};
    node *part = NULL;
    FR_TRY(parse_condition(p, conditions, out));
    if (!commas || !fr_jinja_at_sign(p, ',')) {
        return FR_OK;
    }
    fr_jinja_append(&parts, *out);
    while (fr_jinja_at_sign(p, ',')) {
        FR_TRY(fr_jinja_take(p));
        if (at_tuple_end(p)) {
            break;
        }
        FR_TRY(parse_condition(p, conditions, &part));
        fr_jinja_append(&parts, part);
    }
    return fr_jinja_wrap(p, FR_JINJA_TUPLE, parts.first, NULL, out);
}

/* A name, or NAMESPACE.NAME. */
static fr_status parse_target_name(parser *p, bool members, node **out)
{
    node *made = NULL;
    FR_TRY(fr_jinja_node_new(p, FR_JINJA_NAME, &made));
    FR_TRY(fr_jinja_take_word(p, &made->text));
    *out = made;
    if (members && fr_jinja_at_sign(p, '.')) {
        FR_TRY(fr_jinja_take(p));
        FR_TRY(fr_jinja_wrap(p, FR_JINJA_MEMBER, made, NULL, out));
        return fr_jinja_take_word(p, &(*out)->text);
    }
    return FR_OK;
}

fr_status fr_jinja_target(fr_jinja_parser *p, bool members, fr_jinja_node **out)
{
    fr_jinja_list names = {0};
    node *name = NULL;
    bool bracket = fr_jinja_at_sign(p, '(');
    if (bracket) {
        FR_TRY(fr_jinja_take(p));
    }
    FR_TRY(parse_target_name(p, members, out));
    bool tuple = fr_jinja_at_sign(p, ',');
    fr_jinja_append(&names, *out);
    while (fr_jinja_at_sign(p, ',')) {
        FR_TRY(fr_jinja_take(p));
        if (p->now.kind != FR_JINJA_WORD || fr_jinja_at_word(p, "in")) {
            break;
        }
        FR_TRY(parse_target_name(p, members, &name));
        fr_jinja_append(&names, name);
    }
    if (bracket) {
        FR_TRY(fr_jinja_expect(p, ')'));
    }
    return tuple ? fr_jinja_wrap(p, FR_JINJA_TUPLE, names.first, NULL, out) : FR_OK;
}
