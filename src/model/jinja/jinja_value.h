/*
 * jinja_value.h - values of a rendering, and the machine that renders. Private to jinja*.c.
 *
 * Values are small and copied. What they point to lies in the machine's arena and lives until the rendering ends; only
 * namespaces change after they are made. Failures are FR_ERR_UNSUPPORTED and name the current line.
 */
#ifndef FR_MODEL_JINJA_JINJA_VALUE_H
#define FR_MODEL_JINJA_JINJA_VALUE_H

#include "model/jinja/jinja_tree.h"

typedef enum fr_jinja_type {
    FR_JINJA_IS_UNDEFINED, /* text: its name, for messages */
    FR_JINJA_IS_NONE,
    FR_JINJA_IS_BOOL,
    FR_JINJA_IS_INT,
    FR_JINJA_IS_FLOAT,
    FR_JINJA_IS_STRING,
    FR_JINJA_IS_LIST,
    FR_JINJA_IS_DICT,
    FR_JINJA_IS_NAMESPACE, /* dict: its attributes */
    FR_JINJA_IS_LOOP,
    FR_JINJA_IS_MACRO,
    FR_JINJA_IS_FUNCTION, /* text: its name */
    FR_JINJA_IS_METHOD
} fr_jinja_type;

/** What a list is in Python. */
typedef enum fr_jinja_form {
    FR_JINJA_A_LIST,
    FR_JINJA_A_TUPLE,
    FR_JINJA_A_RANGE,
    FR_JINJA_A_VIEW,     /* of a dict: has a length, no items */
    FR_JINJA_A_GENERATOR /* can be walked once */
} fr_jinja_form;

typedef struct fr_jinja_value fr_jinja_value;
typedef struct fr_jinja_items fr_jinja_items;
typedef struct fr_jinja_dict fr_jinja_dict;
typedef struct fr_jinja_loop fr_jinja_loop;
typedef struct fr_jinja_closure fr_jinja_closure;
typedef struct fr_jinja_method fr_jinja_method;
typedef struct fr_jinja_scope fr_jinja_scope;

struct fr_jinja_value {
    fr_jinja_type type;
    bool is_markup; /* a string that the filter `safe` made */
    union {
        int64_t whole; /* of bool and int */
        double fraction;
        fr_text text; /* UTF-8 */
        fr_jinja_items *list;
        fr_jinja_dict *dict;
        fr_jinja_loop *loop;
        fr_jinja_closure *macro;
        fr_jinja_method *method;
    } as;
};

struct fr_jinja_items {
    fr_jinja_form form;
    bool is_spent; /* a generator that was iterated already */
    int64_t n;
    int64_t capacity;
    fr_jinja_value *items;
};

typedef struct fr_jinja_pair {
    fr_jinja_value key;
    fr_jinja_value value;
} fr_jinja_pair;

struct fr_jinja_dict {
    int64_t n;
    int64_t capacity;
    fr_jinja_pair *pairs; /* in order of insertion */
};

struct fr_jinja_loop {
    const fr_jinja_items *items;
    int64_t index; /* from 0 */
    int64_t depth;
};

struct fr_jinja_closure {
    const fr_jinja_node *node;
    fr_jinja_scope *scope; /* where it was defined */
};

struct fr_jinja_method {
    fr_jinja_value self;
    fr_text name;
};

/** Variables by name. Reading searches outer scopes too, setting does not. */
struct fr_jinja_scope {
    fr_jinja_scope *outer;
    fr_jinja_dict names;
};

/** Text that grows at its end. */
typedef struct fr_jinja_writer {
    char *text;
    size_t bytes;
    size_t capacity;
} fr_jinja_writer;

typedef struct fr_jinja_machine {
    fr_ctx *ctx;
    fr_jinja_arena arena;
    int32_t line; /* current, for messages */
    int64_t steps;
    int64_t max_steps;
    int depth;
    fr_jinja_scope *scope;
    fr_jinja_writer *writer;
    fr_jinja_value block; /* what the current block has written, for its filters */
    int loops;            /* around the current statement, within its macro */
    fr_jinja_kind
        jump; /* break or continue that has not reached its loop yet; else 0 */
    const struct tm *clock;  /* NULL: no time is given */
    fr_jinja_writer *whole;  /* of the rendering, not of a captured part */
    fr_text_span *generated; /* in the arena */
    int64_t n_generated;
    int64_t generated_capacity;
    bool has_lost_marks;
} fr_jinja_machine;

/** Arguments of a call, evaluated. */
typedef struct fr_jinja_arguments {
    int n; /* positional */
    int n_named;
    const fr_jinja_value *values;
    const fr_jinja_pair *named;   /* keys are strings */
    const fr_jinja_value *caller; /* the macro that a call block is, or NULL */
} fr_jinja_arguments;

/** FR_ERR_UNSUPPORTED: "line N: ..." */
fr_status fr_jinja_fail(fr_jinja_machine *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Counts one step of work, and more for scanning `bytes` bytes; fails beyond the limit. */
FR_MUST_CHECK fr_status fr_jinja_charge(fr_jinja_machine *m, size_t bytes);
FR_MUST_CHECK fr_status fr_jinja_enter(
    fr_jinja_machine *m); /* counts one nested evaluation; the caller takes it back */

/* ---- values ------------------------------------------------------------------------------- */

fr_jinja_value fr_jinja_undefined(fr_text name);
fr_jinja_value fr_jinja_none(void);
fr_jinja_value fr_jinja_bool(bool truth);
fr_jinja_value fr_jinja_int(int64_t whole);
fr_jinja_value fr_jinja_float(double fraction);
fr_jinja_value fr_jinja_string(fr_text text);
fr_jinja_value
fr_jinja_word(const char *text); /* borrowed: must outlive the rendering */
bool fr_jinja_is_text(const fr_jinja_value *value, const char *text);
const char *fr_jinja_type_name(const fr_jinja_value *value);

FR_MUST_CHECK fr_status fr_jinja_list_new(fr_jinja_machine *m, fr_jinja_form form,
                                          fr_jinja_value *out);
FR_MUST_CHECK fr_status fr_jinja_list_add(fr_jinja_machine *m, fr_jinja_value *list,
                                          fr_jinja_value item);
FR_MUST_CHECK fr_status fr_jinja_dict_new(fr_jinja_machine *m, fr_jinja_value *out);
/** Sets the value of a key, which may have one already. */
FR_MUST_CHECK fr_status fr_jinja_dict_set(fr_jinja_machine *m, fr_jinja_dict *dict,
                                          fr_jinja_value key, fr_jinja_value value);
/** The pairs in the order of their keys, all strings: by code points. */
FR_MUST_CHECK fr_status fr_jinja_sorted(fr_jinja_machine *m, const fr_jinja_dict *dict,
                                        fr_jinja_pair **out);
/** *out is NULL if the dict does not have the key. */
FR_MUST_CHECK fr_status fr_jinja_dict_find(fr_jinja_machine *m,
                                           const fr_jinja_dict *dict,
                                           fr_jinja_value key, fr_jinja_value **out);
/** A tuple of two. */
FR_MUST_CHECK fr_status fr_jinja_two(fr_jinja_machine *m, fr_jinja_value a,
                                     fr_jinja_value b, fr_jinja_value *out);

bool fr_jinja_truth(const fr_jinja_value *value);
FR_MUST_CHECK fr_status fr_jinja_equal(fr_jinja_machine *m, const fr_jinja_value *a,
                                       const fr_jinja_value *b, bool *out);
/** -1, 0 or 1, for two numbers or two strings; other values cannot be ordered. */
FR_MUST_CHECK fr_status fr_jinja_order(fr_jinja_machine *m, const fr_jinja_value *a,
                                       const fr_jinja_value *b, int *out);
FR_MUST_CHECK fr_status fr_jinja_contains(fr_jinja_machine *m,
                                          const fr_jinja_value *whole,
                                          const fr_jinja_value *part, bool *out);
/** The items that a loop over the value iterates. */
FR_MUST_CHECK fr_status fr_jinja_walk(fr_jinja_machine *m, const fr_jinja_value *value,
                                      fr_jinja_items **out);
FR_MUST_CHECK fr_status fr_jinja_length(fr_jinja_machine *m,
                                        const fr_jinja_value *value, int64_t *out);
/** value[key] and value.name as jinja2 finds them; undefined if there is no such item. */
FR_MUST_CHECK fr_status fr_jinja_item(fr_jinja_machine *m, const fr_jinja_value *value,
                                      const fr_jinja_value *key, fr_jinja_value *out);
FR_MUST_CHECK fr_status fr_jinja_attribute(fr_jinja_machine *m,
                                           const fr_jinja_value *value, fr_text name,
                                           fr_jinja_value *out);
/** value[from:to:step]; a part that is left out is NULL. */
FR_MUST_CHECK fr_status fr_jinja_slice(fr_jinja_machine *m, const fr_jinja_value *value,
                                       const fr_jinja_value *const parts[3],
                                       fr_jinja_value *out);
FR_MUST_CHECK fr_status fr_jinja_arithmetic(fr_jinja_machine *m, int op,
                                            const fr_jinja_value *a,
                                            const fr_jinja_value *b,
                                            fr_jinja_value *out);
/** The value of a JSON value. */
FR_MUST_CHECK fr_status fr_jinja_from_json(fr_jinja_machine *m, json_t *json,
                                           fr_jinja_value *out);

FR_MUST_CHECK fr_status fr_jinja_scope_new(fr_jinja_machine *m, fr_jinja_scope *outer,
                                           fr_jinja_scope **out);

/* ---- text --------------------------------------------------------------------------------- */

FR_MUST_CHECK fr_status fr_jinja_write(fr_jinja_machine *m, fr_jinja_writer *writer,
                                       const char *text, size_t bytes);
/** What a writer holds, as a string. */
FR_MUST_CHECK fr_status fr_jinja_written(fr_jinja_machine *m, fr_jinja_writer *writer,
                                         fr_jinja_value *out);
/** Writes a value as Python's str does. */
FR_MUST_CHECK fr_status fr_jinja_write_value(fr_jinja_machine *m,
                                             fr_jinja_writer *writer,
                                             const fr_jinja_value *value);
/** The same text as a string; a string is not copied. */
FR_MUST_CHECK fr_status fr_jinja_str(fr_jinja_machine *m, const fr_jinja_value *value,
                                     fr_text *out);
/** How json.dumps writes. */
typedef struct fr_jinja_json {
    int indent; /* blanks a level; -1: all on one line */
    bool ascii; /* all other characters are escaped */
    bool sort_keys;
    fr_text between; /* members */
    fr_text after_key;
} fr_jinja_json;
FR_MUST_CHECK fr_status fr_jinja_write_json(fr_jinja_machine *m,
                                            fr_jinja_writer *writer,
                                            const fr_jinja_value *value,
                                            const fr_jinja_json *how);

#endif
