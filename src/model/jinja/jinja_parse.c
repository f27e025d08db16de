/* Parses statements. A body runs up to the tag whose first word is one of the `ends` of its statement; that tag is left to the
 * statement, which knows what may follow (else, elif, endif). The tree lies in the template's own arena. */
#include "model/jinja/jinja_tree.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

typedef fr_jinja_parser parser;
typedef fr_jinja_node node;

static fr_status parse_body(parser *p, const char *const *ends, node **out);

/* Steps over the end of a tag. */
static fr_status end_tag(parser *p)
{
    return p->now.kind == FR_JINJA_TAG_END ? fr_jinja_take(p)
                                           : fr_jinja_unexpected(p, "%}");
}

/* Reads "%}", a body, and the beginning of the tag that ends it; its word is the next token. `ends` ends with NULL. */
static fr_status parse_block(parser *p, const char *const *ends, node **body)
{
    /* jinja2 allows a colon at the end of a block's opening tag */
    if (fr_jinja_at_sign(p, ':')) {
        FR_TRY(fr_jinja_take(p));
    }
    FR_TRY(end_tag(p));
    return parse_body(p, ends, body);
}

/* The same with a single end, which it steps over. */
static fr_status parse_whole_block(parser *p, const char *end, node **body)
{
    const char *const ends[] = {end, NULL};
    FR_TRY(parse_block(p, ends, body));
    return fr_jinja_take(p);
}

/* Branches are a list in a: each has its condition in a (NULL: else) and its body in b. */
static fr_status parse_if(parser *p, node *made)
{
    static const char *const ENDS[] = {"elif", "else", "endif", NULL};
    static const char *const LAST[] = {"endif", NULL};
    fr_jinja_list branches = {0};
    bool is_else = false;
    made->kind = FR_JINJA_IF;
    do { /* at "if", "elif" or "else" */
        node *branch = NULL;
        is_else = fr_jinja_at_word(p, "else");
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_BRANCH, &branch));
        FR_TRY(fr_jinja_take(p));
        if (!is_else) {
            FR_TRY(fr_jinja_expression(p, true, false, &branch->a));
        }
        FR_TRY(parse_block(p, is_else ? LAST : ENDS, &branch->b));
        fr_jinja_append(&branches, branch);
    } while (!fr_jinja_at_word(p, "endif"));
    made->a = branches.first;
    return fr_jinja_take(p);
}

/* a: target, b: what is iterated, c: condition of `for x in y if c`, d: the body and, as its `next`, the else body. */
static fr_status parse_for(parser *p, node *made)
{
    static const char *const ENDS[] = {"else", "endfor", NULL};
    made->kind = FR_JINJA_FOR;
    FR_TRY(fr_jinja_take(p));
    FR_TRY(fr_jinja_target(p, false, &made->a));
    if (!fr_jinja_at_word(p, "in")) {
        return fr_jinja_unexpected(p, "in");
    }
    FR_TRY(fr_jinja_take(p));
    FR_TRY(fr_jinja_expression(p, true, false, &made->b));
    if (fr_jinja_at_word(p, "if")) {
        FR_TRY(fr_jinja_take(p));
        FR_TRY(fr_jinja_expression(p, false, true, &made->c));
    }
    FR_TRY(fr_jinja_node_new(p, FR_JINJA_BRANCH, &made->d));
    FR_TRY(parse_block(p, ENDS, &made->d->b));
    if (fr_jinja_at_word(p, "else")) {
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_BRANCH, &made->d->next));
        FR_TRY(fr_jinja_take(p));
        return parse_whole_block(p, "endfor", &made->d->next->b);
    }
    return fr_jinja_take(p);
}

/* `set x = value`, or a block whose text, sent through filters, becomes the value. */
static fr_status parse_set(parser *p, node *made)
{
    made->kind = FR_JINJA_SET;
    FR_TRY(fr_jinja_take(p));
    FR_TRY(fr_jinja_target(p, true, &made->a));
    if (fr_jinja_at_sign(p, '=')) {
        FR_TRY(fr_jinja_take(p));
        return fr_jinja_expression(p, true, true, &made->b);
    }
    made->kind = FR_JINJA_SET_BLOCK;
    FR_TRY(fr_jinja_filters(p, false, &made->b));
    return parse_whole_block(p, "endset", &made->c);
}

/* "(a, b=1)" */
static fr_status parse_signature(parser *p, node *macro)
{
    fr_jinja_list parameters = {0};
    FR_TRY(fr_jinja_expect(p, '('));
    while (!fr_jinja_at_sign(p, ')')) {
        node *parameter = NULL;
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_PARAMETER, &parameter));
        FR_TRY(fr_jinja_take_word(p, &parameter->text));
        if (fr_jinja_at_sign(p, '=')) {
            FR_TRY(fr_jinja_take(p));
            FR_TRY(fr_jinja_expression(p, false, true, &parameter->a));
        }
        fr_jinja_append(&parameters, parameter);
        if (!fr_jinja_at_sign(p, ')')) {
            FR_TRY(fr_jinja_expect(p, ','));
        }
    }
    macro->a = parameters.first;
    return fr_jinja_take(p);
}

static fr_status parse_macro(parser *p, node *made)
{
    made->kind = FR_JINJA_MACRO;
    FR_TRY(fr_jinja_take(p));
    FR_TRY(fr_jinja_take_word(p, &made->text));
    FR_TRY(parse_signature(p, made));
    return parse_whole_block(p, "endmacro", &made->b);
}

static fr_status parse_call_block(parser *p, node *made)
{
    made->kind = FR_JINJA_CALL_BLOCK;
    FR_TRY(fr_jinja_take(p));
    FR_TRY(fr_jinja_node_new(p, FR_JINJA_MACRO, &made->d));
    made->d->text = (fr_text){"caller", strlen("caller")};
    if (fr_jinja_at_sign(p, '(')) {
        FR_TRY(parse_signature(p, made->d));
    }
    FR_TRY(fr_jinja_expression(p, false, true, &made->c));
    if (made->c->kind != FR_JINJA_CALL) {
        return fr_jinja_unexpected(p, "the call of a macro");
    }
    return parse_whole_block(p, "endcall", &made->d->b);
}

static fr_status parse_filter_block(parser *p, node *made)
{
    made->kind = FR_JINJA_FILTER_BLOCK;
    FR_TRY(fr_jinja_take(p));
    FR_TRY(fr_jinja_filters(p, true, &made->b));
    return parse_whole_block(p, "endfilter", &made->c);
}

static fr_status parse_with(parser *p, node *made)
{
    fr_jinja_list pairs = {0};
    made->kind = FR_JINJA_WITH;
    FR_TRY(fr_jinja_take(p));
    while (p->now.kind != FR_JINJA_TAG_END) {
        node *pair = NULL;
        FR_TRY(fr_jinja_node_new(p, FR_JINJA_PAIR, &pair));
        FR_TRY(fr_jinja_target(p, false, &pair->a));
        FR_TRY(fr_jinja_expect(p, '='));
        FR_TRY(fr_jinja_expression(p, false, true, &pair->b));
        fr_jinja_append(&pairs, pair);
        if (p->now.kind != FR_JINJA_TAG_END) {
            FR_TRY(fr_jinja_expect(p, ','));
        }
    }
    made->a = pairs.first;
    return parse_whole_block(p, "endwith", &made->c);
}

static fr_status parse_generation(parser *p, node *made)
{
    made->kind = FR_JINJA_GENERATION;
    FR_TRY(fr_jinja_take(p));
    return parse_whole_block(p, "endgeneration", &made->c);
}

static fr_status parse_break(parser *p, node *made)
{
    made->kind = FR_JINJA_BREAK;
    return fr_jinja_take(p);
}

static fr_status parse_continue(parser *p, node *made)
{
    made->kind = FR_JINJA_CONTINUE;
    return fr_jinja_take(p);
}

/* The statements, by their first word. */
typedef struct statement {
    const char *word;
    fr_status (*parse)(parser *p, node *made);
} statement;

static const statement STATEMENTS[] = {
    {"if", parse_if},           {"for", parse_for},
    {"set", parse_set},         {"macro", parse_macro},
    {"call", parse_call_block}, {"filter", parse_filter_block},
    {"with", parse_with},       {"generation", parse_generation},
    {"break", parse_break},     {"continue", parse_continue}};

static fr_status parse_statement(parser *p, node **out)
{
    FR_TRY(fr_jinja_node_new(p, FR_JINJA_PLAIN, out));
    for (size_t i = 0; i < sizeof STATEMENTS / sizeof *STATEMENTS; i++) {
        if (fr_jinja_at_word(p, STATEMENTS[i].word)) {
            FR_TRY(STATEMENTS[i].parse(p, *out));
            return end_tag(p);
        }
    }
    return fr_jinja_unexpected(p, "a statement that is known");
}

static bool at_end(const parser *p, const char *const *ends)
{
    for (; ends != NULL && *ends != NULL; ends++) {
        if (fr_jinja_at_word(p, *ends)) {
            return true;
        }
    }
    return false;
}

static fr_status parse_output(parser *p, node **out)
{
    FR_TRY(fr_jinja_node_new(p, FR_JINJA_OUTPUT, out));
    FR_TRY(fr_jinja_take(p));
    FR_TRY(fr_jinja_expression(p, true, true, &(*out)->a));
    return p->now.kind == FR_JINJA_OUTPUT_END ? fr_jinja_take(p)
                                              : fr_jinja_unexpected(p, "}}");
}

static fr_status parse_plain(parser *p, node **out)
{
    FR_TRY(fr_jinja_node_new(p, FR_JINJA_PLAIN, out));
    (*out)->text = p->now.text;
    return fr_jinja_take(p);
}

/* Reads statements up to the tag that begins with one of the words, which is then the next token; NULL: up to the end. */
static fr_status parse_body(parser *p, const char *const *ends, node **out)
{
    fr_jinja_list body = {0};
    FR_TRY(fr_jinja_deeper(p));
    while (p->now.kind != FR_JINJA_END) {
        node *made = NULL;
        if (p->now.kind == FR_JINJA_DATA) {
            FR_TRY(parse_plain(p, &made));
        } else if (p->now.kind == FR_JINJA_OUTPUT_BEGIN) {
            FR_TRY(parse_output(p, &made));
        } else {
            FR_TRY(fr_jinja_take(p));
            if (at_end(p, ends)) {
                break;
            }
            FR_TRY(parse_statement(p, &made));
        }
        fr_jinja_append(&body, made);
    }
    if (ends != NULL && p->now.kind == FR_JINJA_END) {
        while (ends[1] != NULL) { /* the last one is there in any case */
            ends++;
        }
        return fr_jinja_unexpected(p, ends[0]);
    }
    p->depth--;
    *out = body.first;
    return FR_OK;
}

fr_status fr_jinja_parse(fr_ctx *ctx, const char *text, size_t bytes, fr_jinja **out)
{
    parser p = {.depth = 0};
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    (*out)->arena = (fr_jinja_arena){.ctx = ctx, .max = FR_JINJA_MAX_TREE};
    p.arena = &(*out)->arena;
    fr_status status = fr_jinja_lex_open(p.arena, text, bytes, &p.lexer);
    if (status == FR_OK) {
        status = fr_jinja_take(
            &p); /* the first call reads ahead only, the second makes it the current token */
    }
    if (status == FR_OK) {
        status = fr_jinja_take(&p);
    }
    if (status == FR_OK) {
        status = parse_body(&p, NULL, &(*out)->body);
    }
    if (status != FR_OK) {
        fr_jinja_destroy(out);
    }
    return status;
}

void fr_jinja_destroy(fr_jinja **jinja)
{
    if (*jinja != NULL) {
        fr_jinja_arena_fini(&(*jinja)->arena);
        free(*jinja);
        *jinja = NULL;
    }
}
