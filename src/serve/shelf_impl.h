/*
 * shelf_impl.h - what the two halves of the shelf share: shelf.c hands contents out, shelf_look.c reads them.
 */
#ifndef FR_SERVE_SHELF_IMPL_H
#define FR_SERVE_SHELF_IMPL_H

#include "base/file.h"
#include "serve/monitor.h"
#include "serve/shelf.h"

/* What a file held when it was read. Each of its prefixes holds it. */
typedef struct fr_shelf_content {
    int64_t holds; /* under the shelf's lock */
    fr_checkpoint *checkpoint;
    int64_t bytes; /* of keys and values */
} fr_shelf_content;

struct fr_shelf_prefix {
    fr_shelf *shelf; /* borrowed */
    int64_t holds;   /* under the shelf's lock, and the next */
    bool is_current;
    char *name; /* NULL: the base alone */
    int64_t modified;
    fr_shelf_content *content; /* NULL: the base alone */
    fr_inference_prefix *reading;
};

/* A file of the folder, known by its name. Only the looking thread uses it, but for `prefixes`, which change under the lock. */
typedef struct fr_shelf_file {
    char *name; /* STEM.h5 */
    bool is_there;
    bool is_told; /* that its name breaks the rule */
    bool is_tried;
    bool lacks_room; /* the content that was tried could not be used for lack of room */
    fr_stamp seen;   /* at the last look */
    fr_stamp tried;  /* of the content that was read last, usable or not */
    fr_shelf_prefix *
        *prefixes; /* [n] of the last usable content; the shelf holds them */
    int64_t n;
} fr_shelf_file;

struct fr_shelf {
    fr_shelf_params params;
    char *folder;
    fr_monitor monitor;       /* guards holds, counters, files' prefixes, is_ending */
    pthread_mutex_t encoding; /* one row at a time: chats and tokenizers are shared */
    bool has_encoding;
    bool has_monitor;
    fr_shelf_prefix *base;
    fr_shelf_file *files; /* [n_files], in the order of their first sight */
    int64_t n_files;
    int64_t capacity;
    bool is_full_told;
    bool is_lost_told; /* the folder cannot be read */
    bool is_opening;   /* the first look, which reads at once */
    fr_shelf_counters counters;
    fr_ctx *ctx; /* of the thread; NULL: there is none */
    pthread_t thread;
    bool is_ending;
};

/** A prefix that is held once, of a content that gets a hold more. */
FR_MUST_CHECK fr_status fr_shelf_make(fr_ctx *ctx, fr_shelf *shelf, const char *name,
                                      fr_shelf_content *content, int64_t index,
                                      fr_shelf_prefix **out);
/** Without the lock. Frees it with its checkpoint if nothing holds it any more. */
void fr_shelf_let_go(fr_shelf *shelf, fr_shelf_content *content);
/** Forget what a file held; its prefixes are not current any more. Without the lock. */
void fr_shelf_put_away(fr_shelf_prefix **prefixes, int64_t n);

#endif
