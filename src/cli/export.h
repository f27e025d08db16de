/*
 * export.h - what `forerun export` does for every format, and what a format adds.
 *
 * The order: the format's check, which costs nothing; the prefix; the base, where --model names it, compared with the prefix; its windows;
 * then the format writes. cmd_export.c has the list of formats.
 */
#ifndef FR_CLI_EXPORT_H
#define FR_CLI_EXPORT_H

#include "cli/base_identity.h"
#include "cli/commands.h"
#include "train/checkpoint/checkpoint.h"

/** What one export holds. */
typedef struct fr_export {
    const fr_cli *cli;
    const char *target;
    const char *prefix;
    const char *model;         /* NULL: not named */
    fr_base_identity base;     /* of `model`; zeros: not named */
    fr_checkpoint *checkpoint; /* this and `task` are there for `write` alone */
    const fr_checkpoint_task *task;
} fr_export;

typedef struct fr_export_format {
    const char *name;
    const char
        *options; /* its own ones, a blank between two; other formats refuse them */
    /* it judges windows itself; else a prefix that all tokens see needs --anyway over a base with windows */
    bool knows_windows;
    /* Before any work: options and whether `target` may be written. */
    fr_status (*check)(const fr_export *e);
    /* Of the base, once it is open and before its weights are hashed; NULL: any will do. */
    fr_status (*check_base)(const fr_export *e);
    fr_status (*write)(const fr_export *e);
} fr_export_format;

extern const fr_export_format FR_EXPORT_PEFT;
extern const fr_export_format FR_EXPORT_LLAMA;

/** Options of single formats, for the table of the command. */
#define FR_EXPORT_PEFT_OPTIONS                                                         \
    {"base", "NAME",                                                                   \
     "peft: what the adapter calls its base (default: the path that the prefix "       \
     "names)"},                                                                        \
    {                                                                                  \
        "anyway", NULL,                                                                \
            "peft: also a prefix that all tokens see over a base with windows, whose " \
            "slots the other program hides from tokens far behind"                     \
    }
#define FR_EXPORT_LLAMA_OPTIONS                                                        \
    {"state", "KIND",                                                                  \
     "llama.cpp: sequence (default; slots of llama-server) or session (the whole "     \
     "context; --prompt-cache)"},                                                      \
        {"cache-type", "T", "llama.cpp: f16 (default) or f32, as its -ctk and -ctv"},  \
        {"flash-attention", "on|off",                                                  \
         "llama.cpp: whether it runs with flash attention (default on); off: -fa "     \
         "off"},                                                                       \
        {"first-token", "ID",                                                          \
         "llama.cpp, session: the id that every prompt begins with, which "            \
         "--prompt-cache needs (default: the BOS, where rows have one)"},              \
    {                                                                                  \
        "marker", "ID",                                                                \
            "llama.cpp: the token that stands for slots (default: a special token of " \
            "the model)"                                                               \
    }

#endif
