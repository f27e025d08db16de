/*
 * options.h - command line options from one table, which also prints --help.
 *
 * Forms: --name VALUE, --name=VALUE, --flag, --name[=VALUE] (optional value only with '='), "--" ends
 * options; everything else is positional.
 */
#ifndef FR_BASE_OPTIONS_H
#define FR_BASE_OPTIONS_H

#include "base/ctx.h"

#include <stdint.h>
#include <stdio.h>

/** One option. */
typedef struct fr_option {
    const char *name; /* without the dashes */
    const char
        *value; /* what the value stands for in help; NULL: a flag; "[X]": optional */
    const char *help;
} fr_option;

/** One of several things that a command does: its first positional names the verb, the others are the verb's. */
typedef struct fr_verb {
    const char *name;
    const char *positionals; /* behind the verb, e.g. "FILE TASK..."; "" for none */
    int least;               /* how many at least */
    int most;                /* and at most; INT_MAX: any number */
    const char *
        options; /* names of the command's options that it takes, a blank between two */
    const char *help;
} fr_verb;

/** One command. */
typedef struct fr_command {
    const char *name;
    const char *positionals; /* e.g. "CONFIG"; "" for none */
    int n_positionals;       /* exactly this many; not looked at if there are verbs */
    const char *summary;
    const fr_option
        *options; /* ends with a row whose name is NULL; --help is always known */
    const fr_verb
        *verbs; /* likewise; NULL: the command does one thing. --help lists them */
} fr_command;

typedef struct fr_options fr_options;

/**
 * Parse argv[1..]; strings are borrowed from argv.
 * @return FR_OK; FR_ERR_ARG (unknown option, with the nearest known one; missing or unexpected value; wrong
 *         number of positionals; no verb or an unknown one; an option that the verb does not take)
 */
FR_MUST_CHECK fr_status fr_options_parse(fr_ctx *ctx, const fr_command *command,
                                         int argc, char **argv, fr_options **out);
void fr_options_destroy(fr_options **options);

/** --help was given: print with fr_command_help and end. Nothing else was checked then. */
bool fr_options_help(const fr_options *options);
void fr_command_help(const fr_command *command, FILE *out);

bool fr_options_has(const fr_options *options, const char *name);
/** Value of the last occurrence; NULL if absent or without value. */
const char *fr_options_text(const fr_options *options, const char *name);
/** Value of occurrence `index` of a repeated option; NULL past the last. */
const char *fr_options_nth(const fr_options *options, const char *name, int64_t index);
/** NULL past the last. Of a command with verbs, 0 is the first one behind the verb. */
const char *fr_options_positional(const fr_options *options, int index);
int fr_options_n_positionals(const fr_options *options);
/** Which of the command's verbs was given, its place in the table; -1 if the command has none, or with --help. */
int fr_options_verb(const fr_options *options);

/** FR_ERR_ARG if the option is absent. */
FR_MUST_CHECK fr_status fr_options_need(fr_ctx *ctx, const fr_options *options,
                                        const char *name, const char **out);
/** Whole number within [lowest, highest]; `*out` is left alone when absent. FR_ERR_ARG otherwise. */
FR_MUST_CHECK fr_status fr_options_int(fr_ctx *ctx, const fr_options *options,
                                       const char *name, int64_t lowest,
                                       int64_t highest, int64_t *out);
/** Finite number; `*out` is left alone when absent. */
FR_MUST_CHECK fr_status fr_options_real(fr_ctx *ctx, const fr_options *options,
                                        const char *name, double *out);

/** A size (fr_size_read); `*out` is left alone when absent. FR_ERR_ARG otherwise. */
FR_MUST_CHECK fr_status fr_options_size(fr_ctx *ctx, const fr_options *options,
                                        const char *name, int64_t *out);

/** The candidate nearest to `word` by edit distance; NULL if none is near. `count` candidates `stride` bytes
 * apart, each starting with a const char *. */
const char *fr_nearest_word(const char *word, const void *candidates, size_t count,
                            size_t stride);

#endif
