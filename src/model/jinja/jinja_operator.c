/* Arithmetic of values, with Python's meaning: numbers, and + and * of strings and lists.
 *
 * Whole numbers have 64 bits here and any size in Python, so a result that leaves 64 bits is refused. Nothing is
 * rounded, wrapped or converted to make it fit. */
#include "model/jinja/jinja_value.h"

#include <math.h>
#include <string.h>

typedef fr_jinja_machine machine;
typedef fr_jinja_value value;

/* In Python True and False are the numbers 1 and 0. */
static bool is_whole(const value *v)
{
    return v->type == FR_JINJA_IS_INT || v->type == FR_JINJA_IS_BOOL;
}

static bool is_number(const value *v)
{
    return is_whole(v) || v->type == FR_JINJA_IS_FLOAT;
}

static double real_of(const value *v)
{
    return v->type == FR_JINJA_IS_FLOAT ? v->as.fraction : (double)v->as.whole;
}

static fr_status fail_overflow(machine *m)
{
    return fr_jinja_fail(m, "a number is divided by 0, or is too large");
}

/* Python rounds down, C towards zero. */
static int64_t floor_divide(int64_t a, int64_t b)
{
    int64_t quotient = a / b;
    return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

/* Each round but those of 0, 1 and -1 at least doubles the result, so overflow ends the loop within 63 rounds. */
static bool raise_whole(int64_t base, int64_t exponent, int64_t *out)
{
    *out = 1;
    for (int64_t i = 0; i < exponent; i++) {
        if (__builtin_mul_overflow(*out, base, out)) {
            return false;
        }
        if (base == 0 || base == 1 || (base == -1 && i + 1 == (exponent & 1))) {
            return true;
        }
    }
    return true;
}

/* A divisor of -1 is refused with 0, since the smallest number divided by it overflows. */
static fr_status whole_arithmetic(machine *m, int op, int64_t a, int64_t b, value *out)
{
    bool fits = true;
    int64_t result = 0;
    switch (op) {
    case '+':
        fits = !__builtin_add_overflow(a, b, &result);
        break;
    case '-':
        fits = !__builtin_sub_overflow(a, b, &result);
        break;
    case '*':
        fits = !__builtin_mul_overflow(a, b, &result);
        break;
    case FR_JINJA_OP('/', '/'):
        fits = b != 0 && b != -1;
        result = fits ? floor_divide(a, b) : 0;
        break;
    case '%':
        fits = b != 0 && b != -1;
        result = fits ? a - floor_divide(a, b) * b : 0;
        break;
    default:
        fits = op == FR_JINJA_OP('*', '*') && b >= 0 && raise_whole(a, b, &result);
        break;
    }
    *out = fr_jinja_int(result);
    return fits ? FR_OK : fail_overflow(m);
}

/* Only the operators whose results C and Python round alike; a result that is not finite is refused. */
static fr_status real_arithmetic(machine *m, int op, double a, double b, value *out)
{
    double result = 0;
    switch (op) {
    case '+':
        result = a + b;
        break;
    case '-':
        result = a - b;
        break;
    case '*':
        result = a * b;
        break;
    case '/':
        result = a / b;
        break;
    default:
        return fr_jinja_fail(m, "//, %% or ** of real numbers is not supported");
    }
    *out = fr_jinja_float(result);
    return isfinite(result) ? FR_OK : fail_overflow(m);
}

/* Writes a text as markupsafe.escape does. */
static fr_status write_escaped(machine *m, fr_jinja_writer *w, fr_text text)
{
    static const char ESCAPED[] = "&<>'\"";
    static const char *const AS[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    size_t from = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        const char *found = text.data[i] != '\0' ? strchr(ESCAPED, text.data[i]) : NULL;
        if (found != NULL) {
            const char *as = AS[found - ESCAPED];
            FR_TRY(fr_jinja_write(m, w, text.data + from, i - from));
            FR_TRY(fr_jinja_write(m, w, as, strlen(as)));
            from = i + 1;
        }
    }
    return fr_jinja_write(m, w, text.data + from, text.bytes - from);
}

/* What the filter `safe` made escapes what it is joined with. */
static fr_status join_strings(machine *m, const value *a, const value *b, value *out)
{
    const value *sides[] = {a, b};
    bool is_markup = a->is_markup || b->is_markup;
    fr_jinja_writer w = {0};
    /* the size is known where nothing is escaped: then the writer never has to grow and leave old memory behind */
    FR_TRY(fr_jinja_new(&m->arena, m->line, a->as.text.bytes + b->as.text.bytes + 1,
                        &w.text));
    w.capacity = a->as.text.bytes + b->as.text.bytes;
    for (int side = 0; side < 2; side++) {
        const fr_text text = sides[side]->as.text;
        FR_TRY(is_markup && !sides[side]->is_markup
                   ? write_escaped(m, &w, text)
                   : fr_jinja_write(m, &w, text.data, text.bytes));
    }
    FR_TRY(fr_jinja_written(m, &w, out));
    out->is_markup = is_markup;
    return FR_OK;
}

/* A tuple and a list do not add up in Python either. */
static fr_status join_lists(machine *m, const value *a, const value *b, value *out)
{
    const fr_jinja_items *sides[] = {a->as.list, b->as.list};
    if (sides[0]->form != sides[1]->form || sides[0]->form > FR_JINJA_A_TUPLE) {
        return fr_jinja_fail(m, "adding lists of two kinds is not supported");
    }
    FR_TRY(fr_jinja_list_new(m, sides[0]->form, out));
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < sides[side]->n; i++) {
            FR_TRY(fr_jinja_list_add(m, out, sides[side]->items[i]));
        }
    }
    return FR_OK;
}

/* A string or list so many times. */
static fr_status repeat(machine *m, const value *v, int64_t times, value *out)
{
    fr_jinja_writer w = {0};
    if (v->type == FR_JINJA_IS_LIST) {
        if (v->as.list->form > FR_JINJA_A_TUPLE) {
            return fr_jinja_fail(
                m, "repeating a range, a view or a generator is not supported");
        }
        FR_TRY(fr_jinja_list_new(m, v->as.list->form, out));
    }
    for (int64_t i = 0; i < times; i++) {
        /* an empty string or list takes no memory, so only the steps end a huge count */
        FR_TRY(fr_jinja_charge(m, 0));
        if (v->type == FR_JINJA_IS_STRING) {
            FR_TRY(fr_jinja_write(m, &w, v->as.text.data, v->as.text.bytes));
            continue;
        }
        for (int64_t k = 0; k < v->as.list->n; k++) {
            FR_TRY(fr_jinja_list_add(m, out, v->as.list->items[k]));
        }
    }
    if (v->type == FR_JINJA_IS_STRING) {
        FR_TRY(fr_jinja_written(m, &w, out));
        out->is_markup = v->is_markup;
    }
    return FR_OK;
}

static bool can_repeat(const value *v)
{
    return v->type == FR_JINJA_IS_STRING || v->type == FR_JINJA_IS_LIST;
}

/* The first rule that fits decides. `/` of whole numbers gives a fraction, as in Python, hence not whole_arithmetic. */
fr_status fr_jinja_arithmetic(fr_jinja_machine *m, int op, const fr_jinja_value *a,
                              const fr_jinja_value *b, fr_jinja_value *out)
{
    if (is_whole(a) && is_whole(b) && op != '/') {
        return whole_arithmetic(m, op, a->as.whole, b->as.whole, out);
    }
    if (is_number(a) && is_number(b)) {
        return real_arithmetic(m, op, real_of(a), real_of(b), out);
    }
    if (op == '+' && a->type == FR_JINJA_IS_STRING && b->type == FR_JINJA_IS_STRING) {
        return join_strings(m, a, b, out);
    }
    if (op == '+' && a->type == FR_JINJA_IS_LIST && b->type == FR_JINJA_IS_LIST) {
        return join_lists(m, a, b, out);
    }
    if (op == '*' && can_repeat(a) && is_whole(b)) {
        return repeat(m, a, b->as.whole, out);
    }
    if (op == '*' && can_repeat(b) && is_whole(a)) {
        return repeat(m, b, a->as.whole, out);
    }
    const char sign[] = {(char)(op % 256), (char)(op / 256), '\0'};
    return fr_jinja_fail(m, "'%s' of %s and %s is not supported", sign,
                         fr_jinja_type_name(a), fr_jinja_type_name(b));
}
