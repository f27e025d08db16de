/*
 * config_impl.h - what the config_*.c files share besides the schema. Private to them.
 */
#ifndef FR_TRAIN_CONFIG_CONFIG_IMPL_H
#define FR_TRAIN_CONFIG_CONFIG_IMPL_H

#include "train/config/config_schema.h"

/* A part of a made task's name: "weight_decay-" with 24 letters of the value and a number. A sweep makes at most 256 tasks:
 * more are a mistake in a list more often than a wish. */
enum { FR_PART_BYTES = 48, FR_MAX_MADE = 256 };
enum { FR_PLACE_BYTES = 1024, FR_PATH_BYTES = 256, FR_LINE_SET = -1 };

/** Where each key of one struct was given: its line, FR_LINE_SET for --set, or 0 if it was not given. */
typedef struct fr_key_lines {
    int64_t start; /* line where the task (or the file) starts */
    int64_t of[FR_MAX_KEYS];
} fr_key_lines;

/** One value of a swept key. */
typedef struct fr_sweep_value {
    int key; /* in FR_CONFIG_KEYS */
    int64_t line;
    char *text; /* owned; as the file has it */
    size_t bytes;
    bool quoted;
    char *
        shown; /* owned; as it is written to YAML, so that equal values have equal texts */
    char part[FR_PART_BYTES]; /* of a made task's name, unique within the key */
} fr_sweep_value;

/** A swept key with its values. */
typedef struct fr_sweep_axis {
    int kind; /* in the table of fr_sweep_kind_* */
    int64_t n_values;
    fr_sweep_value *values;
} fr_sweep_axis;

/** The section `sweep` as read, before it is expanded. */
typedef struct fr_sweep {
    int64_t line; /* 0: there is none */
    char *task;   /* NULL: not named */
    int64_t task_line;
    int n_axes;
    int64_t n_made; /* product of the axes' values */
    fr_sweep_axis axes[FR_MAX_SWEPT];
} fr_sweep;

/** The state of reading a config, from text to a checked struct. */
typedef struct fr_config_state {
    fr_ctx *ctx;
    const char *name; /* of the file, in messages */
    fr_config *config;
    fr_key_lines lines;       /* keys of base and run */
    fr_key_lines *task_lines; /* [n_tasks] */
    fr_sweep sweep;
    int64_t text_bytes; /* of all values so far; see fr_config_count_text */
    bool
        as_they_stand; /* prose is written without escapes, see fr_config_parse_saved */
} fr_config_state;

/** One value as written in YAML or after the '=' of --set. */
typedef struct fr_scalar {
    const char *text; /* NUL-terminated */
    size_t bytes;
    bool quoted;       /* never a number, a bool or `auto` */
    bool as_it_stands; /* it has no escapes, see fr_config_parse_saved */
} fr_scalar;

/** The beginning of every written config whose texts have escapes. */
extern const char FR_CONFIG_MARK[];

/** Read YAML into state->config, state->lines and state->sweep. The defaults of base and run are already set. */
FR_MUST_CHECK fr_status fr_config_load(fr_config_state *state, const char *text,
                                       size_t bytes);
/** Add to the size of all kept values; FR_ERR_CONFIG above 32 MiB. Without this limit a small file could ask for much
 * memory: an alias repeats a text for a few bytes, and a sweep for each task. */
FR_MUST_CHECK fr_status fr_config_count_text(fr_config_state *state, size_t bytes);
/** Set a key that takes a list (is_list) or a map (FR_TEXT_MAP) to one, written as in YAML: "[a, b]". Its old value is freed, also on failure.
 * @param where  opens messages   @return FR_OK; FR_ERR_CONFIG */
FR_MUST_CHECK fr_status fr_config_set_yaml(fr_config_state *state, int key,
                                           const char *where, const char *text,
                                           fr_key_owner owner);
/** Whether a text is a JSON object. */
bool fr_config_is_json(const char *text);
/** Apply one "KEY=VALUE" of --set. */
FR_MUST_CHECK fr_status fr_config_apply_set(fr_config_state *state, const char *set);
/** Replace the sweep's pattern in the list of tasks by the tasks made from it. The first key listed varies slowest.
 * FR_ERR_CONFIG: the sweep names no pattern where several tasks are, or an unknown one; a value is bad or listed twice. */
FR_MUST_CHECK fr_status fr_sweep_expand(fr_config_state *state);
void fr_sweep_fini(fr_sweep *sweep);
/** Path of kind number `kind` below a task ("prefix.init"); NULL past the last. */
const char *fr_sweep_kind_path(int kind);
/** The kind with this path; -1 if there is none. */
int fr_sweep_find_kind(const char *path);
/** The key of a kind; for prefix.init (`init` names which) one of its section. -1 if there is none. */
int fr_sweep_find_key(int kind, const char *init);
/** Check what one key alone cannot show: required keys, unique names, keys that exclude or need each other. */
FR_MUST_CHECK fr_status fr_config_check(const fr_config_state *state);

/** Set the defaults of all keys that the owner has. */
FR_MUST_CHECK fr_status fr_config_set_defaults(fr_ctx *ctx, fr_key_owner owner);
/** Check a value and store it in its field; `where` opens the message ("FILE:LINE: tasks[0].steps"). */
FR_MUST_CHECK fr_status fr_config_set_value(fr_ctx *ctx, const fr_config_key *key,
                                            const char *where, const fr_scalar *value,
                                            fr_key_owner owner);
/** FR_ERR_CONFIG naming what is allowed under `section` and the nearest of it. */
fr_status fr_config_fail_unknown(fr_ctx *ctx, const char *where, fr_section_id section,
                                 const char *word);

/** Advice for a word that other trainers use as a key; NULL if the word is not known. */
const char *fr_config_foreign(const char *word);
/** The name of a task that is nearest to `word`, borrowed from the config; NULL if none is near. */
FR_MUST_CHECK fr_status fr_config_nearest_task(const fr_config_state *state,
                                               const char *word, const char **out);

/** Whether a key has a value to write. An unset text or number has none, nor has an init that was not chosen. */
bool fr_config_has_value(const fr_config_key *key, fr_key_view view);
/** Write the value as a YAML scalar that reads back as the same value. */
FR_MUST_CHECK fr_status fr_config_print_value(fr_ctx *ctx, FILE *out,
                                              const fr_config_key *key,
                                              fr_key_view view);
/** Close a memory stream whose text is *out. Unless `status` and the stream are good, *out is freed. */
FR_MUST_CHECK fr_status fr_config_end_text(fr_ctx *ctx, FILE *stream, fr_status status,
                                           char **out);
/** The value as a string, "(not set)" if there is none; the caller frees it. */
FR_MUST_CHECK fr_status fr_config_value_text(fr_ctx *ctx, const fr_config_key *key,
                                             fr_key_view view, char **out);
/** Free the texts of all keys that the owner has. */
void fr_config_free_texts(fr_key_owner owner);
/** Forget which init was given, because another one replaces it. */
void fr_config_clear_inits(fr_key_lines *lines);
/** Describe in words what a key allows. */
void fr_config_allowed(const fr_config_key *key, char out[FR_ALLOWED_BYTES]);

#endif
