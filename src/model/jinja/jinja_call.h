/*
 * jinja_call.h - evaluates expressions, statements, calls, filters and tests. Private to jinja*.c.
 *
 * All functions work on one machine (jinja_value.h). On failure the machine is not usable any more: scope, depth and writer are
 * left as they were inside, and the rendering ends.
 */
#ifndef FR_MODEL_JINJA_JINJA_CALL_H
#define FR_MODEL_JINJA_JINJA_CALL_H

#include "model/jinja/jinja_value.h"

FR_MUST_CHECK fr_status fr_jinja_evaluate(fr_jinja_machine *m,
                                          const fr_jinja_node *node,
                                          fr_jinja_value *out);
FR_MUST_CHECK fr_status fr_jinja_evaluate_call(fr_jinja_machine *m,
                                               const fr_jinja_node *node,
                                               const fr_jinja_value *caller,
                                               fr_jinja_value *out);
FR_MUST_CHECK fr_status fr_jinja_run(fr_jinja_machine *m, const fr_jinja_node *body);
FR_MUST_CHECK fr_status fr_jinja_call(fr_jinja_machine *m, const fr_jinja_value *callee,
                                      const fr_jinja_arguments *arguments,
                                      fr_jinja_value *out);
FR_MUST_CHECK fr_status fr_jinja_call_method(fr_jinja_machine *m,
                                             const fr_jinja_method *method,
                                             const fr_jinja_arguments *arguments,
                                             fr_jinja_value *out);
FR_MUST_CHECK fr_status fr_jinja_filter(fr_jinja_machine *m, fr_text name,
                                        const fr_jinja_value *input,
                                        const fr_jinja_arguments *arguments,
                                        fr_jinja_value *out);
FR_MUST_CHECK fr_status fr_jinja_test(fr_jinja_machine *m, fr_text name,
                                      const fr_jinja_value *input,
                                      const fr_jinja_arguments *arguments, bool *out);

/* Methods that are also filters. */
/** Strips white space, or the characters of a set (data NULL: none given), from the ends of a text. */
FR_MUST_CHECK fr_status fr_jinja_strip_set(fr_jinja_machine *m, fr_text *text,
                                           fr_text set, bool left, bool right);
/** Replaces change[0] by change[1], at most `max` times; negative: all. */
FR_MUST_CHECK fr_status fr_jinja_replace(fr_jinja_machine *m, fr_text text,
                                         const fr_text change[2], int64_t max,
                                         fr_jinja_value *out);
/** upper, lower or capitalize (`how`), of ASCII. */
FR_MUST_CHECK fr_status fr_jinja_set_case(fr_jinja_machine *m, fr_text text,
                                          fr_text how, fr_jinja_value *out);

/** Argument `index`, or the one called `name`; NULL: not given. */
const fr_jinja_value *fr_jinja_argument(const fr_jinja_arguments *arguments, int index,
                                        const char *name);
bool fr_jinja_is_function(fr_text name);
/** The function strftime_now. */
FR_MUST_CHECK fr_status fr_jinja_tell_time(fr_jinja_machine *m,
                                           const fr_jinja_arguments *arguments,
                                           fr_jinja_value *out);

/* ---- filters, shared by jinja_filter*.c --------------------------------------------------- */

typedef struct fr_jinja_filter_call {
    fr_jinja_machine *m;
    fr_text name;
    const fr_jinja_value *input;
    const fr_jinja_arguments *arguments;
    fr_jinja_value *out;
} fr_jinja_filter_call;

/** Fails with "the arguments of the filter ... are not supported". */
fr_status fr_jinja_filter_arguments(const fr_jinja_filter_call *call);
/** Arguments by position or by one of `names`, which ends with NULL; NULL in `given`: not given, or None. Others are refused. */
FR_MUST_CHECK fr_status fr_jinja_filter_given(const fr_jinja_filter_call *call,
                                              const char *const *names,
                                              const fr_jinja_value *given[]);
/** The member that a dotted name means; each part is looked up as an item, numbers as indexes. */
FR_MUST_CHECK fr_status fr_jinja_member(fr_jinja_machine *m, const fr_jinja_value *of,
                                        fr_text path, fr_jinja_value *out);
FR_MUST_CHECK fr_status fr_jinja_join(const fr_jinja_filter_call *call);
FR_MUST_CHECK fr_status fr_jinja_make_list(const fr_jinja_filter_call *call);
FR_MUST_CHECK fr_status fr_jinja_items_of(const fr_jinja_filter_call *call);
FR_MUST_CHECK fr_status fr_jinja_end_of(const fr_jinja_filter_call *call);
FR_MUST_CHECK fr_status fr_jinja_dictsort(const fr_jinja_filter_call *call);
FR_MUST_CHECK fr_status fr_jinja_sort(const fr_jinja_filter_call *call);
FR_MUST_CHECK fr_status fr_jinja_unique(const fr_jinja_filter_call *call);
FR_MUST_CHECK fr_status fr_jinja_extreme(const fr_jinja_filter_call *call);
FR_MUST_CHECK fr_status fr_jinja_map(const fr_jinja_filter_call *call);
FR_MUST_CHECK fr_status fr_jinja_select(const fr_jinja_filter_call *call);

#endif
