/* Calls: macros, and the functions that every template has. A macro runs in a new scope inside the one where it was defined,
 * with its own writer; its result is what it writes. */
#include "model/jinja/jinja_call.h"

#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;
typedef fr_jinja_node node;

enum { MAX_RANGE = 100000 }; /* the limit of jinja2's sandbox */

const fr_jinja_value *fr_jinja_argument(const fr_jinja_arguments *arguments, int index,
                                        const char *name)
{
    if (index >= 0 && index < arguments->n) {
        return &arguments->values[index];
    }
    for (int i = 0; name != NULL && i < arguments->n_named; i++) {
        if (fr_jinja_is_text(&arguments->named[i].key, name)) {
            return &arguments->named[i].value;
        }
    }
    return NULL;
}

/* ---- macros ------------------------------------------------------------------------------- */

/* Like fr_jinja_argument, for a name that is a text of the template and need not end with NUL. */
static const value *named_argument(const fr_jinja_arguments *arguments, fr_text name)
{
    for (int i = 0; i < arguments->n_named; i++) {
        fr_text key = arguments->named[i].key.as.text;
        if (key.bytes == name.bytes && memcmp(key.data, name.data, key.bytes) == 0) {
            return &arguments->named[i].value;
        }
    }
    return NULL;
}

/* A parameter that is not given takes its default, evaluated at each call in the macro's scope; else it is
 * undefined. */
static fr_status bind_parameter(machine *m, const node *parameter, const value *given)
{
    value v = fr_jinja_undefined(parameter->text);
    if (given != NULL) {
        v = *given;
    } else if (parameter->a != NULL) {
        FR_TRY(fr_jinja_evaluate(m, parameter->a, &v));
    }
    return fr_jinja_dict_set(m, &m->scope->names, fr_jinja_string(parameter->text), v);
}

/* Runs in the macro's scope. */
static fr_status bind(machine *m, const fr_jinja_closure *macro,
                      const fr_jinja_arguments *arguments)
{
    int i = 0;
    /* named arguments that a parameter took: the rest are unknown names */
    int used = 0;
    for (const node *p = macro->node->a; p != NULL; p = p->next, i++) {
        const value *named = named_argument(arguments, p->text);
        const value *given = i < arguments->n ? &arguments->values[i] : named;
        used += named != NULL;
        if (named != NULL && i < arguments->n) {
            return fr_jinja_fail(m, "a macro is given the same argument twice");
        }
        FR_TRY(bind_parameter(m, p, given));
    }
    if (arguments->n > i || used != arguments->n_named) {
        return fr_jinja_fail(m, "a macro is given arguments that it does not declare");
    }
    /* a call block passes its body as the macro `caller` */
    return arguments->caller != NULL
               ? fr_jinja_dict_set(m, &m->scope->names, fr_jinja_word("caller"),
                                   *arguments->caller)
               : FR_OK;
}

/* The new scope lies inside the macro's own and not the caller's. Loops of the caller do not count: break inside a
 * macro must not end them. */
static fr_status call_macro(machine *m, const fr_jinja_closure *macro,
                            const fr_jinja_arguments *arguments, value *out)
{
    fr_jinja_writer w = {0};
    fr_jinja_writer *before = m->writer;
    fr_jinja_scope *outer = m->scope;
    int loops = m->loops;
    FR_TRY(fr_jinja_enter(m));
    FR_TRY(fr_jinja_scope_new(m, macro->scope, &m->scope));
    FR_TRY(bind(m, macro, arguments));
    m->writer = &w;
    m->loops = 0;
    FR_TRY(fr_jinja_run(m, macro->node->b));
    m->loops = loops;
    m->writer = before;
    m->scope = outer;
    m->depth--;
    return fr_jinja_written(m, &w, out);
}

/* ---- functions ---------------------------------------------------------------------------- */

/* Both are a dict made of named arguments; the caller sets the type that tells them apart. */
static fr_status make_namespace(machine *m, const fr_jinja_arguments *arguments,
                                value *out)
{
    FR_TRY(fr_jinja_dict_new(m, out));
    if (arguments->n > 0) {
        return fr_jinja_fail(
            m, "only named arguments of namespace and dict are supported");
    }
    for (int i = 0; i < arguments->n_named; i++) {
        FR_TRY(fr_jinja_dict_set(m, out->as.dict, arguments->named[i].key,
                                 arguments->named[i].value));
    }
    return FR_OK;
}

static fr_status make_range(machine *m, const fr_jinja_arguments *arguments, value *out)
{
    int64_t ends[] = {0, 0, 1};
    if (arguments->n < 1 || arguments->n > 3 || arguments->n_named > 0) {
        return fr_jinja_fail(m, "range takes one to three numbers");
    }
    for (int i = 0; i < arguments->n; i++) {
        const value *v = &arguments->values[i];
        if (v->type != FR_JINJA_IS_INT && v->type != FR_JINJA_IS_BOOL) {
            return fr_jinja_fail(m, "range must be given whole numbers, not %s",
                                 fr_jinja_type_name(v));
        }
        ends[arguments->n == 1 ? 1 : i] = v->as.whole;
    }
    int64_t step = ends[2];
    /* with 32-bit begin and step, at most MAX_RANGE steps cannot overflow 64 bits */
    if (step == 0 || ends[0] > INT32_MAX || ends[0] < INT32_MIN || step > INT32_MAX ||
        step < INT32_MIN) {
        return fr_jinja_fail(m, "range has a step of 0, or numbers that are too large");
    }
    FR_TRY(fr_jinja_list_new(m, FR_JINJA_A_RANGE, out));
    for (int64_t i = ends[0]; step > 0 ? i < ends[1] : i > ends[1]; i += step) {
        if (out->as.list->n == MAX_RANGE) {
            return fr_jinja_fail(m, "a range has more than %d numbers", MAX_RANGE);
        }
        FR_TRY(fr_jinja_list_add(m, out, fr_jinja_int(i)));
    }
    return FR_OK;
}

/* How templates refuse roles in a wrong order. The message is cut, since it may quote a whole dialogue. */
static fr_status raise_exception(machine *m, const fr_jinja_arguments *arguments)
{
    enum { SHOWN = 300 };
    const value *message = fr_jinja_argument(arguments, 0, "message");
    fr_text text = {"", 0};
    if (message != NULL) {
        FR_TRY(fr_jinja_str(m, message, &text));
    }
    return fr_jinja_fail(m, "the template refuses the dialogue: %.*s",
                         text.bytes < SHOWN ? (int)text.bytes : SHOWN, text.data);
}

/* Also names that are refused when called: for a template that tests whether one is defined, it must be. */
static const char *const FUNCTIONS[] = {"namespace",       "dict",   "range",
                                        "raise_exception", "lipsum", "strftime_now",
                                        "cycler",          "joiner"};

bool fr_jinja_is_function(fr_text name)
{
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++) {
        if (fr_text_is(name, FUNCTIONS[i])) {
            return true;
        }
    }
    return false;
}

static fr_status call_function(machine *m, fr_text name,
                               const fr_jinja_arguments *arguments, value *out)
{
    if (fr_text_is(name, "namespace") || fr_text_is(name, "dict")) {
        FR_TRY(make_namespace(m, arguments, out));
        out->type = fr_text_is(name, "dict") ? FR_JINJA_IS_DICT : FR_JINJA_IS_NAMESPACE;
        return FR_OK;
    }
    if (fr_text_is(name, "range")) {
        return make_range(m, arguments, out);
    }
    if (fr_text_is(name, "raise_exception")) {
        return raise_exception(m, arguments);
    }
    return fr_text_is(name, "strftime_now")
               ? fr_jinja_tell_time(m, arguments, out)
               : fr_jinja_fail(m, "the function '%.*s' is not supported",
                               (int)name.bytes, name.data);
}

fr_status fr_jinja_call(fr_jinja_machine *m, const fr_jinja_value *callee,
                        const fr_jinja_arguments *arguments, fr_jinja_value *out)
{
    enum { SHOWN = 60 };
    fr_text name = callee->as.text;
    switch (callee->type) {
    case FR_JINJA_IS_MACRO:
        return call_macro(m, callee->as.macro, arguments, out);
    case FR_JINJA_IS_FUNCTION:
        return call_function(m, name, arguments, out);
    case FR_JINJA_IS_METHOD:
        return fr_jinja_call_method(m, callee->as.method, arguments, out);
    case FR_JINJA_IS_UNDEFINED:
        return fr_jinja_fail(m, "'%.*s' is undefined and cannot be called",
                             name.bytes < SHOWN ? (int)name.bytes : SHOWN, name.data);
    default:
        return fr_jinja_fail(m, "%s cannot be called", fr_jinja_type_name(callee));
    }
}
