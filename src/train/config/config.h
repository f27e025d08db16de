/*
 * config.h - the configuration of a run, read from YAML and checked.
 *
 * Every field that a user can set has one row in the table of config_schema.c: key, type, unit, default, range, help
 * text, and whether it must match on resume (`identity`) or may change (`free`). Reading, --set, writing, the check of a
 * resume and --help-config all follow that table.
 */
#ifndef FR_TRAIN_CONFIG_CONFIG_H
#define FR_TRAIN_CONFIG_CONFIG_H

#include "base/ctx.h"
#include "model/recompute.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { FR_AUTO = 0 };  /* `auto` of an integer key that accepts it */
enum { FR_NONE = -1 }; /* `none` of one that accepts it */
enum {
    FR_MICROBATCH_TOKENS =
        1024 /* what batch.microbatch_tokens: auto stands for, but on devices with memory of their own */
};
enum { FR_MAX_SWEPT = 9 };      /* keys that a sweep can vary */
#define FR_SEED_AUTO UINT64_MAX /* `auto` of a seed; the largest seed is one less */

/** What optimizer.lr: auto stands for, without and with prefix.mlp. */
#define FR_LR_DIRECT 5e-3
#define FR_LR_MLP 5e-5

typedef enum fr_precision { FR_PRECISION_F32, FR_PRECISION_BF16 } fr_precision;
typedef enum fr_init_kind {
    FR_INIT_TEXT,
    FR_INIT_RANDOM,
    FR_INIT_ZERO,
    FR_INIT_FILE
} fr_init_kind;
typedef enum fr_optimizer_kind { FR_ADAMW, FR_SGD } fr_optimizer_kind;
typedef enum fr_rate_schedule {
    FR_SCHEDULE_CONSTANT,
    FR_SCHEDULE_LINEAR,
    FR_SCHEDULE_COSINE
} fr_rate_schedule;
typedef enum fr_order { FR_ORDER_SHUFFLED, FR_ORDER_BY_SOURCE } fr_order;
typedef enum fr_long_rows { FR_LONG_DROP, FR_LONG_CUT } fr_long_rows;

typedef struct fr_task_config {
    char *name;  /* see base/task_name.h; unique */
    bool swept;  /* made by the sweep */
    char *train; /* JSONL path */
    char *valid; /* NULL: none */
    char *
        template_text; /* as fr_template_parse takes it; NULL: pre-tokenised rows or chat */
    bool chat;         /* rows are dialogues in a chat template */
    char *chat_template;    /* file of the template; NULL: the base's own */
    char *chat_arguments;   /* as in fr_chat_settings; NULL: none */
    char *chat_clock;       /* likewise */
    bool eos;               /* default true */
    bool special;           /* parse special tokens in data fields; default false */
    bool loss_last;         /* chat: `loss: last` instead of `all` */
    fr_long_rows long_rows; /* drop (default) | cut */
    char *ignore; /* members of rows that do not matter, ", " between; NULL: none */
    char *fields; /* data.fields as JSON: which members stand for ours; NULL: none */
    bool skip_bad_rows; /* data.on_error: skip; default stop */
    int64_t max_tokens; /* longest row; auto: the base's context minus the prefix */
    int64_t valid_rows; /* auto: all */
    int64_t steps;      /* auto: as `run` says */
    int64_t epochs;     /* in place of steps; auto: as `run` says */
    uint64_t seed;      /* of this task alone; run.seed where the file says auto */
    int64_t patience;   /* validations without a better loss; 0: never stop by it */
    double stop_below;  /* validation loss; 0: never stop by it */
    struct {
        fr_init_kind
            init;   /* {text: ...} | {random: STD} | {zero: true} | {file: F[:TASK]} */
        char *text; /* text or file */
        double random_std;
        int64_t length;      /* auto: the tokens of the text (or of the file) */
        bool repeat_text;    /* repeat a text that is shorter than the prefix */
        int64_t first_layer; /* lowest layer that has a prefix */
        int64_t n_layers;    /* layers from there on; auto: all */
        bool freeze_first;   /* keep slot 0 (attention sink) */
        bool slides; /* `window: slides` instead of `always`, see fr_stage_prefix */
        int64_t mlp_hidden; /* 0 (default): keys and values are trained directly */
        int64_t mlp_width;  /* auto: the base's d_model */
    } prefix;
    struct {
        fr_optimizer_kind kind; /* adamw (default) | sgd */
        double
            lr; /* auto: FR_LR_DIRECT, with prefix.mlp FR_LR_MLP; resolved when read */
        int64_t warmup;            /* steps */
        fr_rate_schedule schedule; /* constant (default) | linear | cosine */
        double weight_decay;       /* default 0 */
        double clip;               /* global norm; default 1.0; 0: none */
        double beta1, beta2, eps;
    } optimizer;
    struct {
        int64_t examples;          /* examples a step */
        fr_order order;            /* shuffled (default) | by_source */
        bool share_sources;        /* default true */
        int64_t share_prompt;      /* default 1: no prompt is shared */
        int64_t microbatch_tokens; /* free; upper bound of a microbatch; FR_AUTO */
    } batch;
} fr_task_config;

/** Upper bound of a task's microbatches. @param automatic  what FR_AUTO stands for; 0: FR_MICROBATCH_TOKENS */
static inline int64_t fr_microbatch_tokens(const fr_task_config *task,
                                           int64_t automatic)
{
    int64_t tokens = task->batch.microbatch_tokens;
    return tokens != FR_AUTO ? tokens
           : automatic > 0   ? automatic
                             : FR_MICROBATCH_TOKENS;
}

typedef struct fr_config {
    struct {
        char *path;      /* as it was given: model/files/where.h */
        bool quantised;  /* `weights: quantised` instead of `auto` */
        int64_t offload; /* auto | none (FR_NONE): layers that stay on the host */
    } base;
    struct {
        char *dir;
        uint64_t seed;
        int64_t steps;  /* 0: not given; then `epochs` is, or every task has its own */
        int64_t epochs; /* likewise */
        fr_precision precision;
        int64_t stages;          /* auto */
        int64_t replicas;        /* auto */
        int64_t threads;         /* auto */
        char *device;            /* auto | cpu | cuda */
        char *products;          /* auto | own */
        char *links;             /* auto | staged | direct */
        char *sums;              /* auto | staged | nccl */
        int64_t save_every;      /* steps; default 50; also at the end */
        int64_t keep;            /* checkpoints kept; default 2 */
        int64_t valid_every;     /* steps; default 50; 0: only at the end */
        bool measure_base;       /* default true */
        int64_t log_every;       /* steps between metric lines; default 1 */
        int64_t nonfinite_limit; /* skipped steps in a row before exit 4; default 5 */
        int64_t timeout;         /* seconds without progress; default 600; 0: never */
        int64_t warmup_depth;    /* 1 (default) | 2 */
        fr_recompute recompute;  /* none (default) | mlp | layer */
    } run;
    int64_t n_tasks; /* a sweep's pattern is replaced by the tasks made from it */
    fr_task_config *tasks;
    int n_swept; /* keys that the sweep varied; 0: no sweep */
    int swept[FR_MAX_SWEPT];
} fr_config;

/** How often a task goes over its examples; 0: it is counted in steps. What a task says comes before what `run` says. */
static inline int64_t fr_task_epochs(const fr_config *config,
                                     const fr_task_config *task)
{
    return task->epochs != FR_AUTO  ? task->epochs
           : task->steps != FR_AUTO ? 0
                                    : config->run.epochs;
}

/** Steps of a task that is counted in steps. */
static inline int64_t fr_task_steps(const fr_config *config, const fr_task_config *task)
{
    return task->steps != FR_AUTO ? task->steps : config->run.steps;
}

/** Whether run.products keeps a library out of products. */
static inline bool fr_config_own_products(const fr_config *config)
{
    return strcmp(config->run.products, "own") == 0;
}

/**
 * Read and check a config file. `sets` are overrides "KEY=VALUE" (`tasks.NAME.optimizer.lr=1e-2`). They are checked by the
 * same schema and applied after the file is read and before the sweep is expanded. Relative paths are relative to the
 * working folder. The result has no `auto` left in seeds and learning rates.
 * @return FR_OK; FR_ERR_CONFIG: one line "FILE:LINE: ..." naming the key, the value, what is allowed and, for an unknown
 *         key, the nearest known one; FR_ERR_DATA if the file is missing
 */
FR_MUST_CHECK fr_status fr_config_read(fr_ctx *ctx, const char *path,
                                       const char *const *sets, int64_t n_sets,
                                       fr_config **out);
/** The same from text in memory; `name` is the file's name in messages. */
FR_MUST_CHECK fr_status fr_config_parse(fr_ctx *ctx, const char *name, const char *text,
                                        fr_config **out);
/** The same from a checkpoint's text, which fr_config_write made. Older programs wrote template and init text without
 * escapes; a text without today's first line is read in that way. */
FR_MUST_CHECK fr_status fr_config_parse_saved(fr_ctx *ctx, const char *name,
                                              const char *text, fr_config **out);
void fr_config_destroy(fr_config **config);

/** The task with this name; NULL if there is none. Tasks without a name (before a config is checked) are passed over. */
const fr_task_config *fr_config_find_task(const fr_config *config, const char *name);

/** The value that a task made by the sweep has for one swept key. */
typedef struct fr_swept_value {
    const char
        *key;   /* as after tasks.NAME. in --set: "optimizer.lr", "prefix.init.text" */
    char *text; /* as YAML writes it, but a text without quotes. The caller frees it. */
    bool is_text;
} fr_swept_value;

/** Name of swept key number `index` (below config->n_swept) as in the section sweep: "prefix.init". */
const char *fr_config_swept_name(const fr_config *config, int index);
FR_MUST_CHECK fr_status fr_config_swept_value(fr_ctx *ctx, const fr_config *config,
                                              const fr_task_config *task, int index,
                                              fr_swept_value *out);

/** The resolved config as YAML that fr_config_read accepts; the caller frees *out. */
FR_MUST_CHECK fr_status fr_config_write(fr_ctx *ctx, const fr_config *config,
                                        char **out);

/**
 * Check that a run with config `now` may resume one with config `saved`. Tasks are matched by name; `now` may have more.
 * A task's steps may grow where its schedule is constant and must match otherwise.
 * @return FR_OK; FR_ERR_CHECKPOINT: names the first identity key that differs, and both values
 */
FR_MUST_CHECK fr_status fr_config_check_resume(fr_ctx *ctx, const fr_config *saved,
                                               const fr_config *now);

/** Print the schema as a Markdown reference: exactly the content of configs/README.md. */
void fr_config_print_help(FILE *out);

#endif
