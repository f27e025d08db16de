/* Runs statements, and a rendering as a whole.
 *
 * The machine carries the state: the scope that names are set in, the writer that output goes to, and `jump`. A statement that
 * needs another scope or writer saves the current one, replaces it and puts it back. On failure nothing is put back, since the
 * rendering ends and the arena frees all.
 *
 * Scopes are as in jinja2: each round of a loop has its own, also `with`, a captured block and a macro's body; `if` has none. A
 * `set` in a loop is therefore lost after the round, which is what namespaces are for.
 *
 * break and continue set `jump`. fr_jinja_run then skips the rest of each body up to run_for, which ends the loop or begins its
 * next round. `loops` counts the loops around a statement within its macro, so that a jump without a loop is refused. */
#include "model/jinja/jinja_call.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;
typedef fr_jinja_node node;

/* ---- targets ------------------------------------------------------------------------------ */

/* Only namespaces can change: a value that several names share must not change under them. */
static fr_status assign_member(machine *m, const node *target, value v)
{
    value of;
    FR_TRY(fr_jinja_evaluate(m, target->a, &of));
    if (of.type != FR_JINJA_IS_NAMESPACE) {
        return fr_jinja_fail(m,
                             "an attribute of %s cannot be set; only a namespace's can",
                             fr_jinja_type_name(&of));
    }
    return fr_jinja_dict_set(m, of.as.dict, fr_jinja_string(target->text), v);
}

static fr_status assign_one(machine *m, const node *target, value v)
{
    m->line = target->line;
    return target->kind == FR_JINJA_MEMBER
               ? assign_member(m, target, v)
               : fr_jinja_dict_set(m, &m->scope->names, fr_jinja_string(target->text),
                                   v);
}

/* A target of several names takes a value apart, which may be anything that can be iterated. */
static fr_status assign(machine *m, const node *target, value v)
{
    fr_jinja_items *items = NULL;
    int64_t i = 0;
    if (target->kind != FR_JINJA_TUPLE) {
        return assign_one(m, target, v);
    }
    m->line = target->line;
    FR_TRY(fr_jinja_walk(m, &v, &items));
    for (const node *part = target->a; part != NULL; part = part->next, i++) {
        if (i == items->n) {
            return fr_jinja_fail(m, "an assignment has fewer values than names");
        }
        FR_TRY(assign_one(m, part, items->items[i]));
    }
    return i == items->n ? FR_OK
                         : fr_jinja_fail(m, "an assignment has more values than names");
}

/* ---- blocks ------------------------------------------------------------------------------- */

/* Runs a body in its own scope and returns what it writes. */
static fr_status capture(machine *m, const node *body, value *out)
{
    fr_jinja_writer w = {0};
    fr_jinja_writer *before = m->writer;
    fr_jinja_scope *outer = m->scope;
    FR_TRY(fr_jinja_scope_new(m, outer, &m->scope));
    m->writer = &w;
    FR_TRY(fr_jinja_run(m, body));
    m->writer = before;
    m->scope = outer;
    return m->jump == FR_JINJA_NOTHING
               ? fr_jinja_written(m, &w, out)
               : fr_jinja_fail(m, "break or continue leaves a block that is captured");
}

/* The same, and applies the filters of the block. */
static fr_status capture_filtered(machine *m, const node *n, value *out)
{
    FR_TRY(capture(m, n->c, out));
    if (n->b == NULL) {
        return FR_OK;
    }
    /* the filters' innermost operand is the node FR_JINJA_BLOCK_VALUE, which reads m->block */
    m->block = *out;
    return fr_jinja_evaluate(m, n->b, out);
}

static fr_status run_if(machine *m, const node *n)
{
    for (const node *branch = n->a; branch != NULL; branch = branch->next) {
        value holds = fr_jinja_bool(true);
        if (branch->a != NULL) {
            FR_TRY(fr_jinja_evaluate(m, branch->a, &holds));
        }
        if (fr_jinja_truth(&holds)) {
            return fr_jinja_run(m, branch->b);
        }
    }
    return FR_OK;
}

/* Leaves the items for which the condition of the loop holds. */
static fr_status select_items(machine *m, const node *n, fr_jinja_scope *outer,
                              fr_jinja_items **items)
{
    value kept;
    FR_TRY(fr_jinja_list_new(m, FR_JINJA_A_LIST, &kept));
    for (int64_t i = 0; i < (*items)->n; i++) {
        value holds;
        FR_TRY(fr_jinja_scope_new(m, outer, &m->scope));
        FR_TRY(assign(m, n->a, (*items)->items[i]));
        FR_TRY(fr_jinja_evaluate(m, n->c, &holds));
        if (fr_jinja_truth(&holds)) {
            FR_TRY(fr_jinja_list_add(m, &kept, (*items)->items[i]));
        }
    }
    m->scope = outer;
    *items = kept.as.list;
    return FR_OK;
}

/* Each round has its own scope, and its own loop object, since the template may keep it in a list. */
static fr_status run_round(machine *m, const node *n, fr_jinja_scope *outer,
                           const fr_jinja_items *items, int64_t i)
{
    fr_jinja_loop *loop = NULL;
    FR_TRY(fr_jinja_new(&m->arena, m->line, sizeof *loop, &loop));
    *loop = (fr_jinja_loop){items, i, m->loops};
    value object = {.type = FR_JINJA_IS_LOOP, .as.loop = loop};
    FR_TRY(fr_jinja_scope_new(m, outer, &m->scope));
    FR_TRY(fr_jinja_dict_set(m, &m->scope->names, fr_jinja_word("loop"), object));
    FR_TRY(assign(m, n->a, items->items[i]));
    return fr_jinja_run(m, n->d->b);
}

/* All items are there before the first round, so the loop object knows its length and its neighbours. */
static fr_status run_for(machine *m, const node *n)
{
    value walked;
    fr_jinja_items *items = NULL;
    fr_jinja_scope *outer = m->scope;
    FR_TRY(fr_jinja_evaluate(m, n->b, &walked));
    m->line = n->line;
    FR_TRY(fr_jinja_walk(m, &walked, &items));
    if (n->c != NULL) {
        FR_TRY(select_items(m, n, outer, &items));
    }
    m->loops++;
    for (int64_t i = 0; i < items->n && m->jump != FR_JINJA_BREAK; i++) {
        m->jump = FR_JINJA_NOTHING;
        FR_TRY(run_round(m, n, outer, items, i));
    }
    m->loops--;
    m->jump = FR_JINJA_NOTHING;
    m->scope = outer;
    /* unlike in Python, the else body runs only if there was nothing to iterate */
    if (items->n == 0 && n->d->next != NULL) {
        FR_TRY(fr_jinja_scope_new(m, outer, &m->scope));
        FR_TRY(fr_jinja_run(m, n->d->next->b));
        m->scope = outer;
    }
    return FR_OK;
}

static fr_status run_set(machine *m, const node *n)
{
    value v;
    FR_TRY(n->kind == FR_JINJA_SET ? fr_jinja_evaluate(m, n->b, &v)
                                   : capture_filtered(m, n, &v));
    return assign(m, n->a, v);
}

/* A macro is a value like others. It keeps the scope of its definition, which the arena holds until the end. */
static fr_status run_macro(machine *m, const node *n)
{
    fr_jinja_closure *made = NULL;
    FR_TRY(fr_jinja_new(&m->arena, n->line, sizeof *made, &made));
    *made = (fr_jinja_closure){n, m->scope};
    value macro = {.type = FR_JINJA_IS_MACRO, .as.macro = made};
    return fr_jinja_dict_set(m, &m->scope->names, fr_jinja_string(n->text), macro);
}

/* The called macro sees the body as the macro `caller`. */
static fr_status run_call(machine *m, const node *n)
{
    value v;
    fr_jinja_closure *made = NULL;
    FR_TRY(fr_jinja_new(&m->arena, n->line, sizeof *made, &made));
    *made = (fr_jinja_closure){n->d, m->scope};
    value caller = {.type = FR_JINJA_IS_MACRO, .as.macro = made};
    FR_TRY(fr_jinja_evaluate_call(m, n->c, &caller, &v));
    return fr_jinja_write_value(m, m->writer, &v);
}

/* Values are evaluated outside the new scope, so they do not see each other. */
static fr_status run_with(machine *m, const node *n)
{
    fr_jinja_scope *outer = m->scope;
    fr_jinja_scope *inner = NULL;
    FR_TRY(fr_jinja_scope_new(m, outer, &inner));
    for (const node *pair = n->a; pair != NULL; pair = pair->next) {
        value v;
        m->scope = outer;
        FR_TRY(fr_jinja_evaluate(m, pair->b, &v));
        m->scope = inner;
        FR_TRY(assign(m, pair->a, v));
    }
    m->scope = inner;
    FR_TRY(fr_jinja_run(m, n->c));
    m->scope = outer;
    return FR_OK;
}

static fr_status run_output(machine *m, const node *n)
{
    value v;
    FR_TRY(fr_jinja_evaluate(m, n->a, &v));
    m->line = n->line;
    return fr_jinja_write_value(m, m->writer, &v);
}

static fr_status run_captured(machine *m, const node *n)
{
    value v;
    FR_TRY(capture_filtered(m, n, &v));
    return fr_jinja_write_value(m, m->writer, &v);
}

static fr_status add_mark(machine *m, size_t begin, size_t end)
{
    if (m->n_generated == m->generated_capacity) {
        fr_text_span *grown = NULL;
        int64_t capacity = 2 * m->generated_capacity + 8;
        FR_TRY(
            fr_jinja_new(&m->arena, m->line, (size_t)capacity * sizeof *grown, &grown));
        if (m->n_generated > 0) {
            memcpy(grown, m->generated, (size_t)m->n_generated * sizeof *grown);
        }
        m->generated = grown;
        m->generated_capacity = capacity;
    }
    m->generated[m->n_generated++] = (fr_text_span){begin, end};
    return FR_OK;
}

/* What the block writes can be marked where it goes to the rendering itself. */
static fr_status run_generation(machine *m, const node *n)
{
    size_t begin = m->writer->bytes;
    FR_TRY(run_captured(m, n));
    if (m->writer != m->whole) {
        m->has_lost_marks = true;
        return FR_OK;
    }
    return add_mark(m, begin, m->writer->bytes);
}

static fr_status run_one(machine *m, const node *n)
{
    switch (n->kind) {
    case FR_JINJA_PLAIN:
        return fr_jinja_write(m, m->writer, n->text.data, n->text.bytes);
    case FR_JINJA_OUTPUT:
        return run_output(m, n);
    case FR_JINJA_IF:
        return run_if(m, n);
    case FR_JINJA_FOR:
        return run_for(m, n);
    case FR_JINJA_SET:
    case FR_JINJA_SET_BLOCK:
        return run_set(m, n);
    case FR_JINJA_MACRO:
        return run_macro(m, n);
    case FR_JINJA_CALL_BLOCK:
        return run_call(m, n);
    case FR_JINJA_FILTER_BLOCK:
        return run_captured(m, n);
    case FR_JINJA_GENERATION:
        return run_generation(m, n);
    case FR_JINJA_WITH:
        return run_with(m, n);
    default: /* break, continue */
        if (m->loops == 0) {
            return fr_jinja_fail(m, "break or continue stands outside of a loop");
        }
        m->jump = n->kind;
        return FR_OK;
    }
}

fr_status fr_jinja_run(fr_jinja_machine *m, const fr_jinja_node *body)
{
    FR_TRY(fr_jinja_enter(m));
    for (const node *n = body; n != NULL && m->jump == FR_JINJA_NOTHING; n = n->next) {
        m->line = n->line;
        FR_TRY(fr_jinja_charge(m, 0));
        FR_TRY(run_one(m, n));
    }
    m->depth--;
    return FR_OK;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static fr_status render(machine *m, const fr_jinja *jinja, json_t *variables)
{
    fr_jinja_scope *given = NULL;
    FR_TRY(fr_jinja_scope_new(m, NULL, &given));
    for (void *at = json_object_iter(variables); at != NULL;
         at = json_object_iter_next(variables, at)) {
        value v;
        FR_TRY(fr_jinja_from_json(m, json_object_iter_value(at), &v));
        FR_TRY(fr_jinja_dict_set(m, &given->names,
                                 fr_jinja_word(json_object_iter_key(at)), v));
    }
    /* the template sets names in a scope of its own, inside that of the given variables */
    FR_TRY(fr_jinja_scope_new(m, given, &m->scope));
    return fr_jinja_run(m, jinja->body);
}

/* Text and marks leave the arena, which ends with the call. */
static fr_status hand_over(fr_ctx *ctx, const machine *m, fr_jinja_rendered *out)
{
    const fr_jinja_writer *w = m->whole;
    FR_TRY(fr_alloc(ctx, (int64_t)w->bytes + 1, 1, &out->text));
    if (w->bytes > 0) {
        memcpy(out->text, w->text, w->bytes);
    }
    out->bytes = w->bytes;
    out->has_lost_marks = m->has_lost_marks;
    if (m->n_generated > 0) {
        FR_TRY(fr_alloc(ctx, m->n_generated, sizeof *out->generated, &out->generated));
        memcpy(out->generated, m->generated,
               (size_t)m->n_generated * sizeof *out->generated);
        out->n_generated = m->n_generated;
    }
    return FR_OK;
}

fr_status fr_jinja_render(fr_ctx *ctx, const fr_jinja *jinja,
                          const fr_jinja_given *given, fr_jinja_rendered *out)
{
    fr_jinja_writer w = {0};
    machine m = {.ctx = ctx,
                 .line = 1,
                 .max_steps = FR_JINJA_MAX_STEPS,
                 .writer = &w,
                 .whole = &w,
                 .clock = given->clock,
                 .jump = FR_JINJA_NOTHING};
    m.arena = (fr_jinja_arena){.ctx = ctx, .max = FR_JINJA_MAX_MEMORY};
    if (given->steps_left != NULL && *given->steps_left < m.max_steps) {
        m.max_steps = *given->steps_left;
    }
    *out = (fr_jinja_rendered){0};
    fr_status status = render(&m, jinja, given->variables);
    if (given->steps_left != NULL) {
        *given->steps_left -= m.steps < m.max_steps ? m.steps : m.max_steps;
    }
    if (status == FR_OK) {
        status = hand_over(ctx, &m, out);
    }
    if (status != FR_OK) {
        fr_jinja_rendered_fini(out);
    }
    fr_jinja_arena_fini(&m.arena);
    return status;
}

void fr_jinja_rendered_fini(fr_jinja_rendered *rendered)
{
    free(rendered->text);
    free(rendered->generated);
    *rendered = (fr_jinja_rendered){0};
}
