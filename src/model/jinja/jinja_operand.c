/* Parses operands: literals, names and brackets, and the calls, members, items, filters and tests that follow them. The
 * parser sees one token ahead (parser->ahead), which it needs for `not in` and for keyword arguments. */
#include "model/jinja/jinja_tree.h"

#include <string.h>

typedef fr_jinja_parser parser;
typedef fr_jinja_node node;

fr_status fr_jinja_take(fr_jinja_parser *p)
{
    p->now = p->ahead;
    do { /* a comment leaves an empty text */
        FR_TRY(fr_jinja_lex(&p->lexer, &p->ahead));
    } while (p->ahead.kind == FR_JINJA_DATA && p->ahead.text.bytes == 0);
    return FR_OK;
}

/* Nodes carry the line of the token where they begin, for messages while rendering. */
fr_status fr_jinja_node_new(fr_jinja_parser *p, fr_jinja_kind kind, fr_jinja_node **out)
{
    FR_TRY(fr_jinja_new(p->arena, p->now.line, sizeof **out, out));
    (*out)->kind = kind;
    (*out)->line = p->now.line;
    return FR_OK;
}

void fr_jinja_append(fr_jinja_list *list, fr_jinja_node *added)
{
    if (list->end == NULL) {
        list->end = &list->first;
    }
    *list->end = added;
    list->end = &added->next;
}

bool fr_jinja_at_word(const fr_jinja_parser *p, const char *word)
{
    return p->now.kind == FR_JINJA_WORD && fr_text_is(p->now.text, word);
}

bool fr_jinja_at_sign(const fr_jinja_parser *p, int op)
{
    return p->now.kind == FR_JINJA_SIGN && p->now.op == op;
}

static bool ahead_is_sign(const parser *p, int op)
{
    return p->ahead.kind == FR_JINJA_SIGN && p->ahead.op == op;
}

fr_status fr_jinja_unexpected(const fr_jinja_parser *p, const char *wanted)
{
    enum { SHOWN = 40 };
    static const char *const KINDS[] = {
        [FR_JINJA_END] = "the end of the template",
        [FR_JINJA_DATA] = "text",
        [FR_JINJA_OUTPUT_BEGIN] = "{{",
        [FR_JINJA_OUTPUT_END] = "}}",
        [FR_JINJA_TAG_BEGIN] = "{%",
        [FR_JINJA_TAG_END] = "%}",
        [FR_JINJA_TEXT] = "a string",
        [FR_JINJA_WHOLE] = "a number",
        [FR_JINJA_FRACTION] = "a number",
    };
    /* an operator of two characters is packed into one number, FR_JINJA_OP */
    char sign[] = {(char)(p->now.op % 256), (char)(p->now.op / 256), '\0'};
    fr_text found = {sign, strlen(sign)};
    if (p->now.kind == FR_JINJA_WORD) {
        found = p->now.text;
    } else if (p->now.kind != FR_JINJA_SIGN) {
        found = (fr_text){KINDS[p->now.kind], strlen(KINDS[p->now.kind])};
    }
    return FR_FAIL(p->arena->ctx, FR_ERR_UNSUPPORTED,
                   "line %d: %s is expected, found %.*s", p->now.line, wanted,
                   found.bytes < SHOWN ? (int)found.bytes : SHOWN, found.data);
}

fr_status fr_jinja_expect(fr_jinja_parser *p, int op)
{
    const char sign[] = {(char)op, '\0'};
    return fr_jinja_at_sign(p, op) ? fr_jinja_take(p) : fr_jinja_unexpected(p, sign);
}

/* The parser and the evaluation recurse as deep as the tree, so a limit here guards both stacks. */
fr_status fr_jinja_deeper(fr_jinja_parser *p)
{
    return p->depth++ < FR_JINJA_MAX_NESTING
               ? FR_OK
               : FR_FAIL(p->arena->ctx, FR_ERR_UNSUPPORTED,
                         "line %d: the template nests deeper than %d", p->now.line,
                         FR_JINJA_MAX_NESTING);
}

/* A node of `kind` around one or two others. */
fr_status fr_jinja_wrap(fr_jinja_parser *p, fr_jinja_kind kind, node *a, node *b,
                        node **out)
{
    node *made = NULL;
    FR_TRY(fr_jinja_node_new(p, kind, &made));
    made->line = a != NULL ? a->line : made->line;
    made->a = a;
    made->b = b;
    *out = made;
    return FR_OK;
}

static fr_status parse_expression(parser *p, node **out)
{
    return fr_jinja_expression(p, false, true, out);
}

fr_status fr_jinja_take_word(fr_jinja_parser *p, fr_text *out)
{
    if (p->now.kind != FR_JINJA_WORD) {
        return fr_jinja_unexpected(p, "a name");
    }
    *out = p->now.text;
    return fr_jinja_take(p);
}

/* ---- literals and names ------------------------------------------------------------------- */

static fr_status parse_list(parser *p, node **out)
{
    fr_jinja_list items = {0};
    FR_TRY(fr_jinja_node_new(p, FR_JINJA_LIST, out));
    FR_TRY(fr_jinja_expect(p, '['));
    while (!fr_jinja_at_sign(p, ']')) {
        node *item = NULL;
        FR_TRY(parse_expression(p, &item));
        fr_jinja_append(&items, item);
        if (!fr_jinja_at_sign(p, ']')) {
            FR_TRY(fr_jinja_expect(p, ','));
        }
    }
    (*out)->a = items.first;
    return fr_jinja_take(p);
}

static fr_status parse_dict(parser *p, node **out)
{
    fr_jinja_list pairs = {0};
    FR_TRY(fr_jinja_node_new(p, FR_JINJA_DICT, out));
    FR_TRY(fr_jinja_expect(p, '{'));
    while (!fr_jinja_at_sign(p, '}')) {
        node *pair = NULL;
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_PAIR, &pair));
        FR_TRY(parse_expression(p, &pair->a));
        FR_TRY(fr_jinja_expect(p, ':'));
        FR_TRY(parse_expression(p, &pair->b));
        fr_jinja_append(&pairs, pair);
        if (!fr_jinja_at_sign(p, '}')) {
            FR_TRY(fr_jinja_expect(p, ','));
        }
    }
    (*out)->a = pairs.first;
    return fr_jinja_take(p);
}

/* Strings that follow each other are one. */
static fr_status parse_strings(parser *p, node **out)
{
    FR_TRY(fr_jinja_node_new(p, FR_JINJA_STRING, out));
    fr_text all = p->now.text;
    FR_TRY(fr_jinja_take(p));
    while (p->now.kind == FR_JINJA_TEXT) {
        char *joined = NULL;
        FR_TRY(fr_jinja_new(p->arena, p->now.line, all.bytes + p->now.text.bytes + 1,
                            &joined));
        memcpy(joined, all.data, all.bytes);
        memcpy(joined + all.bytes, p->now.text.data, p->now.text.bytes);
        all = (fr_text){joined, all.bytes + p->now.text.bytes};
        FR_TRY(fr_jinja_take(p));
    }
    (*out)->text = all;
    return FR_OK;
}

/* Constants are names in both spellings, as in jinja2. */
static fr_status parse_name(parser *p, node **out)
{
    FR_TRY(fr_jinja_node_new(p, FR_JINJA_NAME, out));
    node *made = *out;
    made->text = p->now.text;
    bool yes = fr_text_is(made->text, "true") || fr_text_is(made->text, "True");
    if (yes || fr_text_is(made->text, "false") || fr_text_is(made->text, "False")) {
        made->kind = FR_JINJA_TRUTH;
        made->number.whole = yes ? 1 : 0;
    } else if (fr_text_is(made->text, "none") || fr_text_is(made->text, "None")) {
        made->kind = FR_JINJA_NOTHING;
    }
    return fr_jinja_take(p);
}

/* () is an empty tuple, (a) is a itself, and (a,) or (a, b) a tuple: fr_jinja_expression decides by the commas. */
static fr_status parse_brackets(parser *p, node **out)
{
    FR_TRY(fr_jinja_expect(p, '('));
    if (fr_jinja_at_sign(p, ')')) {
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_TUPLE, out));
    } else {
        FR_TRY(fr_jinja_expression(p, true, true, out));
    }
    return fr_jinja_expect(p, ')');
}

fr_status fr_jinja_primary(fr_jinja_parser *p, node **out)
{
    switch (p->now.kind) {
    case FR_JINJA_WORD:
        return parse_name(p, out);
    case FR_JINJA_TEXT:
        return parse_strings(p, out);
    case FR_JINJA_WHOLE:
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_INTEGER, out));
        (*out)->number.whole = p->now.whole;
        return fr_jinja_take(p);
    case FR_JINJA_FRACTION:
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_REAL, out));
        (*out)->number.fraction = p->now.fraction;
        return fr_jinja_take(p);
    default:
        break;
    }
    if (fr_jinja_at_sign(p, '(')) {
        return parse_brackets(p, out);
    }
    if (fr_jinja_at_sign(p, '[')) {
        return parse_list(p, out);
    }
    return fr_jinja_at_sign(p, '{') ? parse_dict(p, out)
                                    : fr_jinja_unexpected(p, "an expression");
}

/* ---- what follows an operand -------------------------------------------------------------- */

/* A value, name=value, *list or **dict. Only the token ahead tells name=value from an expression. */
static fr_status parse_argument(parser *p, node **out)
{
    if (fr_jinja_at_sign(p, '*') || fr_jinja_at_sign(p, FR_JINJA_OP('*', '*'))) {
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_SPREAD, out));
        (*out)->op = p->now.op;
        FR_TRY(fr_jinja_take(p));
        return parse_expression(p, &(*out)->a);
    }
    if (p->now.kind == FR_JINJA_WORD && ahead_is_sign(p, '=')) {
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_KEYWORD, out));
        (*out)->text = p->now.text;
        FR_TRY(fr_jinja_take(p));
        FR_TRY(fr_jinja_take(p));
        return parse_expression(p, &(*out)->a);
    }
    return parse_expression(p, out);
}

static bool is_positional(const node *argument)
{
    return argument->kind != FR_JINJA_KEYWORD && argument->kind != FR_JINJA_SPREAD;
}

static fr_status parse_arguments(parser *p, node **out)
{
    fr_jinja_list arguments = {0};
    bool named = false;
    FR_TRY(fr_jinja_expect(p, '('));
    while (!fr_jinja_at_sign(p, ')')) {
        node *argument = NULL;
        FR_TRY(parse_argument(p, &argument));
        if (named && is_positional(argument)) {
            return fr_jinja_unexpected(p, "a named argument");
        }
        named = !is_positional(argument);
        fr_jinja_append(&arguments, argument);
        if (!fr_jinja_at_sign(p, ')')) {
            FR_TRY(fr_jinja_expect(p, ','));
        }
    }
    *out = arguments.first;
    return fr_jinja_take(p);
}

/* Where a part of a slice may be left out. */
static bool at_slice_end(const parser *p)
{
    return fr_jinja_at_sign(p, ']') || fr_jinja_at_sign(p, ',') ||
           fr_jinja_at_sign(p, ':');
}

/* "a", or "a:b:c" with any part left out. */
static fr_status parse_subscript(parser *p, node **out)
{
    node *first = NULL;
    if (!fr_jinja_at_sign(p, ':')) {
        FR_TRY(parse_expression(p, &first));
        if (!fr_jinja_at_sign(p, ':')) {
            *out = first;
            return FR_OK;
        }
    }
    FR_TRY(fr_jinja_wrap(p, FR_JINJA_SLICE, first, NULL, out));
    FR_TRY(fr_jinja_take(p));
    if (!at_slice_end(p)) {
        FR_TRY(parse_expression(p, &(*out)->b));
    }
    if (fr_jinja_at_sign(p, ':')) {
        FR_TRY(fr_jinja_take(p));
        if (!at_slice_end(p)) {
            FR_TRY(parse_expression(p, &(*out)->c));
        }
    }
    return FR_OK;
}

static fr_status parse_item(parser *p, node **operand)
{
    fr_jinja_list parts = {0};
    node *key = NULL;
    FR_TRY(fr_jinja_expect(p, '['));
    while (!fr_jinja_at_sign(p, ']')) {
        FR_TRY(parse_subscript(p, &key));
        fr_jinja_append(&parts, key);
        if (!fr_jinja_at_sign(p, ']')) {
            FR_TRY(fr_jinja_expect(p, ','));
        }
    }
    if (parts.first == NULL || parts.first->next != NULL) {
        FR_TRY(fr_jinja_wrap(p, FR_JINJA_TUPLE, parts.first, NULL, &key));
    }
    FR_TRY(fr_jinja_take(p));
    return fr_jinja_wrap(p, FR_JINJA_ITEM, *operand, key, operand);
}

static fr_status parse_member(parser *p, node **operand)
{
    FR_TRY(fr_jinja_take(p));
    if (p->now.kind == FR_JINJA_WORD) {
        FR_TRY(fr_jinja_wrap(p, FR_JINJA_ATTRIBUTE, *operand, NULL, operand));
        return fr_jinja_take_word(p, &(*operand)->text);
    }
    if (p->now.kind != FR_JINJA_WHOLE) {
        return fr_jinja_unexpected(p, "a name or a number");
    }
    node *key = NULL;
    FR_TRY(fr_jinja_primary(p, &key));
    return fr_jinja_wrap(p, FR_JINJA_ITEM, *operand, key, operand);
}

static fr_status parse_call(parser *p, node **operand)
{
    FR_TRY(fr_jinja_wrap(p, FR_JINJA_CALL, *operand, NULL, operand));
    return parse_arguments(p, &(*operand)->b);
}

fr_status fr_jinja_postfix(fr_jinja_parser *p, node **operand)
{
    for (;;) {
        if (fr_jinja_at_sign(p, '.')) {
            FR_TRY(parse_member(p, operand));
        } else if (fr_jinja_at_sign(p, '[')) {
            FR_TRY(parse_item(p, operand));
        } else if (fr_jinja_at_sign(p, '(')) {
            FR_TRY(parse_call(p, operand));
        } else {
            return FR_OK;
        }
    }
}

static fr_status parse_filter_name(parser *p, node *filter)
{
    FR_TRY(fr_jinja_take_word(p, &filter->text));
    if (fr_jinja_at_sign(p, '.')) {
        return fr_jinja_unexpected(p, "a name without points");
    }
    return fr_jinja_at_sign(p, '(') ? parse_arguments(p, &filter->b) : FR_OK;
}

fr_status fr_jinja_filters(fr_jinja_parser *p, bool begun, fr_jinja_node **operand)
{
    while (begun || fr_jinja_at_sign(p, '|')) {
        node *filter = NULL;
        if (!begun) {
            FR_TRY(fr_jinja_take(p));
        }
        begun = false;
        if (*operand == NULL) {
            FR_TRY(fr_jinja_node_new(p, FR_JINJA_BLOCK_VALUE, operand));
        }
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_FILTER, &filter));
        filter->a = *operand;
        FR_TRY(parse_filter_name(p, filter));
        *operand = filter;
    }
    return FR_OK;
}

/* Whether what follows the name of a test is its argument: "is divisibleby 3". */
static bool at_test_argument(const parser *p)
{
    switch (p->now.kind) {
    case FR_JINJA_WORD:
        return !fr_jinja_at_word(p, "else") && !fr_jinja_at_word(p, "or") &&
               !fr_jinja_at_word(p, "and");
    case FR_JINJA_TEXT:
    case FR_JINJA_WHOLE:
    case FR_JINJA_FRACTION:
        return true;
    default:
        return fr_jinja_at_sign(p, '[') || fr_jinja_at_sign(p, '{');
    }
}

static fr_status parse_test(parser *p, node **operand)
{
    node *test = NULL;
    FR_TRY(fr_jinja_take(p));
    bool negated = fr_jinja_at_word(p, "not");
    if (negated) {
        FR_TRY(fr_jinja_take(p));
    }
    FR_TRY(fr_jinja_wrap(p, FR_JINJA_TEST, *operand, NULL, &test));
    FR_TRY(parse_filter_name(p, test));
    if (test->b == NULL && at_test_argument(p) && !fr_jinja_at_word(p, "is")) {
        FR_TRY(fr_jinja_primary(p, &test->b));
        FR_TRY(fr_jinja_postfix(p, &test->b));
    } else if (fr_jinja_at_word(p, "is") && test->b == NULL) {
        return fr_jinja_unexpected(p, "an end of the test");
    }
    *operand = test;
    return negated ? fr_jinja_wrap(p, FR_JINJA_NOT, test, NULL, operand) : FR_OK;
}

fr_status fr_jinja_filters_and_tests(fr_jinja_parser *p, node **operand)
{
    for (;;) {
        if (fr_jinja_at_sign(p, '|')) {
            FR_TRY(fr_jinja_filters(p, false, operand));
        } else if (fr_jinja_at_word(p, "is")) {
            FR_TRY(parse_test(p, operand));
        } else if (fr_jinja_at_sign(p, '(')) {
            FR_TRY(parse_call(p, operand));
        } else {
            return FR_OK;
        }
    }
}
