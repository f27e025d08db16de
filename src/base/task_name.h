/*
 * task_name.h - the rule for names of tasks.
 *
 * A name is part of paths, of HDF5 links, of --set keys and of FILE:TASK on command lines. So config, sweep, checkpoints
 * and commands all hold to this one rule.
 */
#ifndef FR_BASE_TASK_NAME_H
#define FR_BASE_TASK_NAME_H

#include <stdbool.h>

/* Long enough for a sweep's names (a pattern and eight values), short enough for a file's name with a suffix. */
enum { FR_TASK_NAME_MAX = 100, FR_TASK_NAME_BYTES = FR_TASK_NAME_MAX + 1 };

/** The rule in words, for messages: "...; use " FR_TASK_NAME_RULE. */
#define FR_TASK_NAME_RULE                                                              \
    "1 to 100 letters, digits, '.', '_' and '-', and not dots alone"

/** Whether a name may hold this character. */
bool fr_task_name_may_hold(char c);
/** Whether `name` keeps the rule. */
bool fr_task_name_check(const char *name);

#endif
