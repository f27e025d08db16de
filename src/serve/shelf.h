/*
 * shelf.h - the prefixes of a folder by name, as they are now. On rank 0 alone.
 *
 * Names. A file STEM.h5 with one task is called STEM; of a file with several tasks each is called STEM:TASK. STEM keeps the rule
 * of task names (base/task_name.h), so no two files claim one name; a file whose name breaks it is told once and left
 * out. Hidden files and folders are left alone; links are followed, as to best.h5 of a run folder. So a request names an entry
 * of this list and never a path.
 *
 * Contents. A file is read into memory once it has kept its stamp from one look to the next, then checked like any foreign file: seal, index,
 * shape, base, chat. What cannot be used is told once in the log, and the last usable content of its names goes on. Where the
 * file is gone, its names go too. A content that is in use stays in memory until the last one who holds it lets go.
 *
 * Threads. Any thread may call these functions, each with a context of its own; fr_shelf_look is called by one at a time.
 */
#ifndef FR_SERVE_SHELF_H
#define FR_SERVE_SHELF_H

#include "train/inference/inference.h"

#include <jansson.h>

typedef struct fr_shelf fr_shelf;
/** One content of a name, or the base alone. Who has it from fr_shelf_find or fr_shelf_hold holds it. It never changes. */
typedef struct fr_shelf_prefix fr_shelf_prefix;

enum { FR_SHELF_FILES = 4096, FR_SHELF_TASKS = 16384 };

typedef struct fr_shelf_params {
    const char *folder; /* NULL: the base alone */
    /* borrowed, its weights are loaded; how rows are read where its options say so */
    const fr_inference *inference;
    int64_t
        memory; /* bytes that the keys and values of all files may take on the host; files beyond are told and left out; 0: any */
    int64_t
        capacity; /* most tokens of a prompt with one token of answer; also bounded by the base's context */
} fr_shelf_params;

/** Open and look once; a file that is there is read at once. `params` is copied, what it points to is borrowed.
 * @return FR_OK; FR_ERR_ARG (the folder is missing or cannot be read); FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_shelf_open(fr_ctx *ctx, const fr_shelf_params *params,
                                      fr_shelf **out);
/** Ends the thread of fr_shelf_start. All that was held must have been released. Accepts NULL inside. */
void fr_shelf_close(fr_shelf **shelf);

/** Look at the folder again. What is wrong with files goes to the log of `ctx`. @return FR_OK; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_shelf_look(fr_ctx *ctx, fr_shelf *shelf);
/** Let a thread look once a second until the shelf is closed. FR_ERR_INTERNAL: it cannot be started. */
FR_MUST_CHECK fr_status fr_shelf_start(fr_ctx *ctx, fr_shelf *shelf);

/** The content that a name has now, held; NULL: there is no such name. `name` NULL: the base alone, which is always there. */
fr_shelf_prefix *fr_shelf_find(fr_shelf *shelf, const char *name);
/** Once more; returns it. */
fr_shelf_prefix *fr_shelf_hold(fr_shelf_prefix *prefix);
/** Accepts NULL. */
void fr_shelf_release(fr_shelf_prefix *prefix);

/** NULL: the base alone. */
const char *fr_shelf_name(const fr_shelf_prefix *prefix);
/** How rows are read for it; task NULL for the base alone. Its image and view are not used. */
const fr_inference_prefix *fr_shelf_reading(const fr_shelf_prefix *prefix);
/** Whether the shelf still has this content under its name. */
bool fr_shelf_is_current(const fr_shelf_prefix *prefix);

/** What the shelf has, for a list of models. */
typedef struct fr_shelf_entry {
    char *name;
    int64_t length;   /* slots */
    bool chat;        /* it was trained on dialogues */
    int64_t modified; /* of the file, seconds since 1970 */
} fr_shelf_entry;
typedef struct fr_shelf_list {
    int64_t n;
    fr_shelf_entry *entries; /* by name, in the order of bytes */
} fr_shelf_list;
/** @param[out] out  released with fr_shelf_list_fini, after a failure too */
FR_MUST_CHECK fr_status fr_shelf_names(fr_ctx *ctx, fr_shelf *shelf,
                                       fr_shelf_list *out);
void fr_shelf_list_fini(fr_shelf_list *list);

/**
 * The ids of a prompt, as `forerun generate` has them for the same row and prefix: {"source": TEXT}, {"messages": [...],
 * "tools": [...]} or {"source_ids": [...]}. A prefix for dialogues reads a source as the user's turn. The caller has checked that there are no
 * other members; those are ignored.
 * @param[out] ids  the caller releases them; empty after a failure
 * @return FR_OK; FR_ERR_DATA (a wrong type, an id out of range, an empty prompt, one that is too long: the message names the
 *         request, never the file); FR_ERR_UNSUPPORTED (no chat template); FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_shelf_encode(fr_ctx *ctx, fr_shelf *shelf,
                                        const fr_shelf_prefix *prefix,
                                        const json_t *row, fr_ids *ids);

/** For /metrics. */
typedef struct fr_shelf_counters {
    int64_t names;
    int64_t
        bytes; /* of keys and values on the host, those that are only held included */
    int64_t loads;   /* contents that were read since the start */
    int64_t refused; /* files that could not be used, each content once */
} fr_shelf_counters;
void fr_shelf_count(fr_shelf *shelf, fr_shelf_counters *out);

#endif
