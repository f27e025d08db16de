/*
 * call.h - a request that is being answered: its choices in the engine, their texts, and what goes back.
 *
 * One thread of the HTTP server begins a call, reads its answer and leaves it. The engine's thread adds tokens. A third one may
 * abandon it, where the client has gone. The call lives until the last of them lets go, and until the engine has told the end of
 * every choice.
 *
 * Where there is nothing to read, the reader rests: `rest` is called, and later `wake` once, both while the call is locked, so
 * that no wake can be lost. They must not call functions of this header.
 */
#ifndef FR_SERVE_CALL_H
#define FR_SERVE_CALL_H

#include "serve/engine.h"
#include "serve/protocol.h"

#include <sys/types.h>

typedef struct fr_call fr_call;

/** What answers calls. Borrowed; the same for all. */
typedef struct fr_answering {
    fr_serving *serving;
    fr_shelf *shelf;
    const fr_tokenizer *tokenizer;
    const char *base_name;   /* the model's name that stands for the base alone */
    const char *fingerprint; /* of the base and the program */
    int64_t created;         /* when the server began, seconds since 1970 */
    fr_api_limits limits;
    double seconds; /* longest time of a call; 0: any */
} fr_answering;

typedef struct fr_call_reader {
    void (*rest)(void *user);
    void (*wake)(void *user);
    void *user;
} fr_call_reader;

/** What a line of the log and the counters say of a call. */
typedef struct fr_call_counts {
    fr_api_usage usage;
    double first_seconds; /* until the first token; negative: there was none */
    bool failed;          /* after its answer had begun */
    const char *model;    /* its name, which is known here; valid as long as the call */
} fr_call_counts;

/**
 * Find the prefix, encode the prompts and submit every choice.
 * @param request  taken over, after a failure too
 * @param[out] error  filled where the status is FR_ERR_ARG: an unknown name, a prompt that cannot be used, a full queue ...
 * @return FR_OK; FR_ERR_ARG; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_call_begin(fr_ctx *ctx, const fr_answering *answering,
                                      fr_api_request *request,
                                      const fr_call_reader *reader, fr_call **out,
                                      fr_api_error *error);

bool fr_call_streams(const fr_call *call);

/** Of a call that does not stream: whether its answer is whole. Else the reader rests. */
bool fr_call_is_whole(fr_call *call);
/** The whole answer. @return FR_OK; FR_ERR_ARG: `error` says why there is none; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_call_answer(fr_ctx *ctx, fr_call *call, fr_api_bytes *out,
                                       fr_api_error *error);

enum { FR_CALL_ENDS = -1, FR_CALL_BREAKS = -2 };
/** Bytes of a stream that are new, at most `max`. 0: the reader rests; FR_CALL_ENDS; FR_CALL_BREAKS: there is no memory for the
 * rest, or the client has gone. */
ssize_t fr_call_read(fr_call *call, char *out, size_t max);

/** Any thread that keeps the call from being left meanwhile: the client has gone. What is under way ends, and the reader wakes. */
void fr_call_abandon(fr_call *call);

/** Any thread, as fr_call_abandon: whether the answer is whole for so long and a second more for each MiB of it, and its
 * reader has not left. */
bool fr_call_is_overdue(fr_call *call, double seconds);

void fr_call_count(fr_call *call, fr_call_counts *out);

/** The reader lets go: it is never woken again, and what is still under way ends. Nulls the pointer. */
void fr_call_leave(fr_call **call);

#endif
