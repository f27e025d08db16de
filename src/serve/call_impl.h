/*
 * call_impl.h - what call.c and call_*.c share.
 */
#ifndef FR_SERVE_CALL_IMPL_H
#define FR_SERVE_CALL_IMPL_H

#include "model/text/text_stream.h"
#include "serve/call.h"

#include <pthread.h>

enum { FR_CALL_ID_BYTES = 48 };

/* One choice. The lock of the call guards all but `call`, `index` and `prompt`, which never change. */
typedef struct fr_call_choice {
    fr_call *call;
    int64_t index;
    int64_t prompt;
    fr_text_stream *stream;
    uint64_t ticket;   /* 0: fr_serving_submit has not returned yet */
    bool wants_cancel; /* as soon as the ticket is known */
    bool is_done;      /* nothing more of it is answered */
    bool has_ended;    /* the engine has told its end */
    bool has_opened;   /* a piece of it is in the stream */
    const char *finish;
    fr_api_bytes text; /* unless it streams */
    json_t *logprobs;  /* likewise; NULL: not wanted */
    int64_t n_characters;
} fr_call_choice;

struct fr_call {
    const fr_answering *answering;
    fr_api_request request;
    char id[FR_CALL_ID_BYTES];
    fr_api_head head;
    double began;
    int64_t n_choices;
    fr_call_choice *choices;

    pthread_mutex_t lock; /* guards all below */
    fr_ctx *ctx;
    int n_holders; /* the reader, and each choice that is in the engine */
    fr_call_reader reader;
    bool is_resting;
    bool is_abandoned;
    bool lacks_memory;  /* a stream cannot be continued */
    bool is_whole;      /* nothing will be added */
    double whole_at;    /* when it became so */
    int64_t unread;     /* bytes that were left to read then */
    int64_t n_done;     /* choices */
    fr_api_error error; /* http 0: none */
    fr_api_bytes out;   /* of a stream: what is not read yet begins at n_read */
    size_t n_read;
    fr_call_counts counts;
};

/** The handler of the engine's events; `user` is an fr_call_choice. */
void fr_call_take_event(void *user, const fr_serving_event *event);

/** Put the text of the prompt in front of a choice (echo). Before it is submitted. */
FR_MUST_CHECK fr_status fr_call_echo(fr_call_choice *choice);

/** One holder lets go; the last one releases everything. The lock is not held. */
void fr_call_release(fr_call *call);

#endif
