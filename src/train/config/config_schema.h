/*
 * config_schema.h - the table of all config keys, which reading, --set, writing, the check of a resume and --help-config
 * follow. Private to config_*.c.
 *
 * A key belongs to a section. The keys of base and run lie in fr_config, those of the other sections in an
 * fr_task_config. A new key needs a field in config.h and a row in the table, and nothing else in this folder.
 */
#ifndef FR_TRAIN_CONFIG_CONFIG_SCHEMA_H
#define FR_TRAIN_CONFIG_CONFIG_SCHEMA_H

#include "train/config/config.h"

typedef enum fr_section_id {
    FR_SECTION_TOP,
    FR_SECTION_BASE,
    FR_SECTION_RUN,
    FR_SECTION_TASK, /* a list; this and all below lie in fr_task_config */
    FR_SECTION_CHAT, /* the key `chat` of its parent may also be true or false */
    FR_SECTION_DATA,
    FR_SECTION_PREFIX,
    FR_SECTION_INIT, /* exactly one of its keys is given */
    FR_SECTION_LAYERS,
    FR_SECTION_MLP,
    FR_SECTION_OPTIMIZER,
    FR_SECTION_BATCH,
    FR_SECTION_COUNT
} fr_section_id;

typedef struct fr_config_section {
    const char *name; /* key in the parent section */
    const char *path; /* as messages and the reference show it */
    fr_section_id parent;
    const char *help;
} fr_config_section;

typedef enum fr_key_type {
    FR_KEY_TEXT, /* char *; with choices: one of them */
    FR_KEY_INT,  /* int64_t in [low, high], or FR_AUTO where `automatic` */
    FR_KEY_SEED, /* uint64_t */
    FR_KEY_REAL, /* double in [low, high] less the ends named by `open_ends`; FR_AUTO_REAL where
                      `automatic`, until fr_config_check has passed */
    FR_KEY_BOOL,   /* bool */
    FR_KEY_TRUE,   /* only `true`; not stored */
    FR_KEY_CHOICE, /* an enum or a bool: the index among the choices */
} fr_key_type;

typedef enum fr_key_resume {
    FR_RESUME_IDENTITY, /* must match on resume */
    FR_RESUME_FREE,
    FR_RESUME_GROWS /* steps: free to grow with a constant schedule, else identity */
} fr_key_resume;

/** What a text key holds, and so which characters and escapes it may have. */
typedef enum fr_text_form {
    FR_TEXT_NAME,     /* a name or a path: no control characters, no escapes */
    FR_TEXT_PROSE,    /* a text that the model reads, see written.h */
    FR_TEXT_TEMPLATE, /* the same with {source} and {target} */
    FR_TEXT_DATE,     /* as fr_date_read takes it */
    FR_TEXT_MAP /* an object in JSON, kept sorted and without blanks; may be given as a map of YAML */
} fr_text_form;

enum { FR_OPEN_LOW = 1, FR_OPEN_HIGH = 2 };

/** A real key that was given as `auto`: below what any such key allows. */
#define FR_AUTO_REAL (-1.0)
enum { FR_MAX_CHOICES = 4, FR_ALLOWED_BYTES = 160, FR_MAX_KEYS = 72 };

typedef struct fr_config_key {
    const char *name;
    fr_section_id section;
    fr_key_type type;
    fr_key_resume resume;
    const char *unit;         /* NULL: none */
    const char *default_text; /* as in YAML; NULL: unset */
    bool required;
    bool automatic; /* `auto` is allowed */
    bool no_number; /* `none` is allowed, which is FR_NONE; of a whole number */
    bool
        is_list; /* a text that may be given as a list: kept and written with ", " between */
    fr_text_form form; /* of a text */
    unsigned open_ends;
    double low, high;
    const char *choices[FR_MAX_CHOICES]; /* ends with NULL unless full */
    fr_init_kind init;                   /* keys of FR_SECTION_INIT: what they choose */
    size_t offset;                       /* of the field in its struct */
    size_t bytes;                        /* of the field */
    const char *help;
} fr_config_key;

/** The structs whose keys are meant: those of base and run lie in `config`, all others in `task`. Either may be NULL: then
 * its keys are not meant. */
typedef struct fr_key_owner {
    fr_config *config;
    fr_task_config *task;
} fr_key_owner;
/** The same to look at. */
typedef struct fr_key_view {
    const fr_config *config;
    const fr_task_config *task;
} fr_key_view;

extern const fr_config_key FR_CONFIG_KEYS[];
extern const int FR_CONFIG_N_KEYS;
extern const fr_config_section FR_CONFIG_SECTIONS[FR_SECTION_COUNT];

/** The field of a key in the struct that has it; NULL if that struct is not given. */
void *fr_key_field(fr_key_owner owner, const fr_config_key *key);
const void *fr_key_look(fr_key_view view, const fr_config_key *key);

/** Index of a key in FR_CONFIG_KEYS, or -1. */
int fr_config_find_key(fr_section_id section, const char *name);
/** The section under `parent` with this name; FR_SECTION_COUNT if there is none. */
fr_section_id fr_config_find_section(fr_section_id parent, const char *name);

#endif
