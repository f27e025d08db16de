/*
 * engine.h - answers to requests that come and go, over one base and a shelf of prefixes.
 *
 * All ranks call fr_serving_run; rank 0 leads. There other threads (those of an HTTP server) submit requests. They wait in a
 * queue of bounded length and enter the generation in the order in which they came, when a place is free and their prefix is
 * loaded. Their tokens are told by events on the thread of fr_serving_run. The other ranks get the decisions of rank 0 before each
 * pass. The tokens of a request are those of `forerun generate` for the same row, whatever runs beside.
 *
 * The calls named "any thread" may be made by any thread of rank 0 from create to destroy, and take no context. All others belong
 * to the thread of fr_serving_run.
 */
#ifndef FR_SERVE_ENGINE_H
#define FR_SERVE_ENGINE_H

#include "model/network/generate.h"
#include "serve/shelf.h"

typedef struct fr_serving fr_serving;

typedef struct fr_serving_params {
    fr_group *world; /* borrowed; one pipeline: the generator's */
    fr_device *device;
    int64_t first_layer; /* of this rank's stage */
    int64_t n_layers;
    fr_generator *generator; /* borrowed */
    fr_generation_params
        generation; /* places, capacity, cache_bytes, ids, prompt_tokens; `times` is not used */
    int64_t queue; /* most requests that wait, >= 1 */
    int64_t
        prefix_bytes; /* most of the loaded prefixes on a rank, but one prefix always fits; 0: any */
} fr_serving_params;

/** Collective; `params` is copied, what it points to is borrowed. */
FR_MUST_CHECK fr_status fr_serving_create(fr_ctx *ctx, const fr_serving_params *params,
                                          fr_serving **out);
/** After fr_serving_run has returned, and before shelf, generator and device. Accepts NULL inside. Local. */
void fr_serving_destroy(fr_serving **serving);

/** No token. */
enum { FR_NO_TOKEN = -1 };

/** How a request ended. */
typedef enum fr_serving_end {
    FR_SERVING_GOES_ON,
    FR_SERVING_STOPPED,   /* by an id that ends a text */
    FR_SERVING_FULL,      /* max_new_tokens, the end of the context or of its place */
    FR_SERVING_CANCELLED, /* fr_serving_cancel */
    FR_SERVING_EXPIRED,   /* its deadline has passed, in the queue or under way */
    FR_SERVING_DRAINED,   /* the time of fr_serving_drain was over */
    FR_SERVING_FAILED, /* this request alone: not finite, no memory for its prefix, a prompt that does not fit */
    FR_SERVING_LOST,   /* the server cannot go on: a lost rank, a failed device */
    FR_SERVING_ENDS
} fr_serving_end;

/** A token, or the end. The last event of a request has no token. */
typedef struct fr_serving_event {
    int32_t id; /* FR_NO_TOKEN with the end */
    const fr_logprobs
        *logprobs;      /* of the token; NULL: none are kept; valid during the call */
    fr_serving_end end; /* FR_SERVING_GOES_ON: a token */
    const char *
        message; /* a sentence of why it ended so; NULL with a token, STOPPED, FULL; valid during the call */
} fr_serving_event;

typedef struct fr_serving_request {
    fr_shelf_prefix *
        prefix; /* from fr_shelf_find (NULL as name: the base); the engine holds it once more */
    fr_ids
        prompt; /* from fr_shelf_encode with this prefix; the engine takes it over if it takes the request */
    fr_sample_params sample; /* fr_sample_check has passed */
    uint64_t number;         /* as in fr_generate_row: `generate --prompt` has 0 */
    int64_t max_new_tokens;  /* >= 1 */
    int64_t n_logprobs;      /* as in fr_generate_row */
    double deadline_seconds; /* from now, waiting included; 0: none */
    /* On the thread of fr_serving_run (with FR_SERVING_LOST perhaps on that of fr_serving_lost), and maybe before fr_serving_submit
     * has returned. It is quick, and calls no function of this header but fr_serving_cancel and fr_serving_count. After an event that is
     * an end it is not called again. */
    void (*event)(void *user, const fr_serving_event *event);
    void *user;
} fr_serving_request;

typedef enum fr_serving_verdict {
    FR_SERVING_TAKEN,
    FR_SERVING_BUSY,     /* the queue is full: 429 */
    FR_SERVING_CLOSED,   /* draining, ended or lost: 503 */
    FR_SERVING_NO_MEMORY /* 503 */
} fr_serving_verdict;

/** Any thread. Unless it is taken, nothing of the request was touched, and no event comes. @param[out] ticket  for fr_serving_cancel; never 0 */
FR_MUST_CHECK fr_serving_verdict fr_serving_submit(fr_serving *serving,
                                                   fr_serving_request *request,
                                                   uint64_t *ticket);
/** Any thread; also in an event. Its place is free before the next pass. Its end still comes, and a token may before. Nothing for a
 * request that has ended. */
void fr_serving_cancel(fr_serving *serving, uint64_t ticket);
/** Any thread. Nothing is taken from now on; fr_serving_run returns when what was taken has ended, or has been ended after
 * `seconds`. A later call may make that time shorter. */
void fr_serving_drain(fr_serving *serving, double seconds);
/** Any thread: the process is about to end without fr_serving_run's return (a watch that gives up, comm/watch.h). Every open
 * request gets FR_SERVING_LOST with this message. Waits for an event that is being told. */
void fr_serving_lost(fr_serving *serving, const char *message);

/**
 * Collective over the world; until rank 0 is drained. Rank 0 must have been created with the others; nobody else uses the world
 * meanwhile.
 * @return FR_OK, on every rank; FR_ERR_COMM and others: before it returns, every open request has got FR_SERVING_LOST
 */
FR_MUST_CHECK fr_status fr_serving_run(fr_serving *serving);

/** For /metrics. Numbers that only grow, but the first five. */
typedef struct fr_serving_counters {
    int64_t waiting;
    int64_t under_way;
    int64_t places;
    int64_t images;      /* prefixes that are loaded */
    int64_t image_bytes; /* of them, on the rank that has most */
    int64_t loads;       /* of prefixes into devices */
    int64_t passes;
    int64_t prompt_tokens;
    int64_t answer_tokens;
    double prompt_seconds;
    double decode_seconds;
    double waited_seconds; /* of requests that entered, in the queue */
    int64_t taken;
    int64_t refused[FR_SERVING_NO_MEMORY + 1]; /* by verdict */
    int64_t ended[FR_SERVING_ENDS];            /* by end */
} fr_serving_counters;
/** Any thread; also in an event. */
void fr_serving_count(fr_serving *serving, fr_serving_counters *out);

#endif
