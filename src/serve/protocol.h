/*
 * protocol.h - requests and answers in the form of OpenAI's HTTP interface, without sockets and without a model.
 *
 * A request's JSON becomes a struct whose members are checked. What would change the answer and is not supported is refused by name;
 * members that only describe the caller are accepted and change nothing. Answers, pieces of a stream and errors become JSON.
 *
 * Every function that fails returns FR_ERR_NO_MEMORY, but fr_api_request_read, which also refuses.
 */
#ifndef FR_SERVE_PROTOCOL_H
#define FR_SERVE_PROTOCOL_H

#include "model/network/generate.h"

#include <jansson.h>

typedef enum fr_api_kind { FR_API_COMPLETION, FR_API_CHAT } fr_api_kind;

enum {
    FR_API_PARAM_BYTES = 64,
    FR_API_MESSAGE_BYTES = 1024,
    FR_API_STOPS = 16,      /* most stop texts of a request */
    FR_API_STOP_BYTES = 256 /* most bytes of one */
};

/** Codes of HTTP that are used. */
enum {
    FR_HTTP_OK = 200,
    FR_HTTP_BAD_REQUEST = 400,
    FR_HTTP_UNAUTHORIZED = 401,
    FR_HTTP_NOT_FOUND = 404,
    FR_HTTP_NOT_ALLOWED = 405,
    FR_HTTP_TOO_LARGE = 413,
    FR_HTTP_WRONG_TYPE = 415,
    FR_HTTP_TOO_MANY = 429,
    FR_HTTP_INTERNAL = 500,
    FR_HTTP_UNAVAILABLE = 503
};

/** Why a request is not answered. */
typedef struct fr_api_error {
    int http;                       /* FR_HTTP_BAD_REQUEST ... */
    const char *code;               /* a word for programs; NULL: none */
    char param[FR_API_PARAM_BYTES]; /* the member at fault; "": none */
    char message[FR_API_MESSAGE_BYTES];
} fr_api_error;

/** Fill an error; a NULL param is none. */
void fr_api_error_set(fr_api_error *error, int http, const char *code,
                      const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/** The server's bounds. */
typedef struct fr_api_limits {
    int64_t max_new_tokens; /* of a choice */
    int64_t max_choices;    /* of a request: prompts times n */
} fr_api_limits;

/** A request whose members hold to the bounds. Texts are borrowed from `root`. */
typedef struct fr_api_request {
    fr_api_kind kind;
    json_t *root;
    const char *model;
    json_t *messages; /* of a chat: a list of objects, content parts joined to a text */
    json_t *tools;    /* NULL: none */
    json_t **prompts; /* [n_prompts] of a completion: each a string or a list of ids */
    int64_t n_prompts; /* 1 for a chat */
    int64_t n;         /* choices of a prompt */
    bool stream;
    bool include_usage; /* a stream ends with the counts */
    bool echo;
    const char *stops[FR_API_STOPS];
    int64_t n_stops;
    int64_t n_logprobs; /* 0: none; k + 1: of each token and of the k likeliest */
    fr_sample_params sample;
    bool has_seed;
    int64_t max_new_tokens; /* 0: as many as the server allows */
} fr_api_request;

/**
 * Read the body of a request.
 * @param[out] out    release with fr_api_request_fini, after a failure too
 * @param[out] error  filled where the status is FR_ERR_ARG
 * @return FR_OK; FR_ERR_ARG: the request is refused; FR_ERR_NO_MEMORY
 */
FR_MUST_CHECK fr_status fr_api_request_read(fr_ctx *ctx, fr_api_kind kind,
                                            const fr_api_limits *limits, fr_text body,
                                            fr_api_request *out, fr_api_error *error);
void fr_api_request_fini(fr_api_request *request);

/** The row of `forerun generate` that stands for a prompt: the caller releases it. */
FR_MUST_CHECK fr_status fr_api_row(fr_ctx *ctx, const fr_api_request *request,
                                   int64_t prompt, json_t **out);

/* ---- answers ---------------------------------------------------------------------------------------- */

/** Growing bytes. Zero-initialise; release with fr_api_bytes_fini. */
typedef struct fr_api_bytes {
    char *data;
    size_t bytes;
    size_t capacity;
} fr_api_bytes;

FR_MUST_CHECK fr_status fr_api_bytes_add(fr_ctx *ctx, fr_api_bytes *to,
                                         const char *data, size_t bytes);
void fr_api_bytes_fini(fr_api_bytes *bytes);

/** What all pieces of an answer say. Borrowed. */
typedef struct fr_api_head {
    fr_api_kind kind;
    const char *id;
    int64_t created; /* seconds since 1970 */
    const char *model;
    const char *fingerprint;
    bool with_usage; /* every piece of a stream has a member "usage" */
} fr_api_head;

typedef struct fr_api_usage {
    int64_t prompt_tokens;
    int64_t completion_tokens;
} fr_api_usage;

/** A choice, or what is new of it in a stream. */
typedef struct fr_api_choice {
    int64_t index;
    fr_text text;       /* UTF-8 */
    json_t *logprobs;   /* borrowed; NULL: null */
    const char *finish; /* "stop", "length"; NULL: it goes on */
    bool opens;         /* the first piece of a chat, which names the role */
} fr_api_choice;

/** An empty list of log-probabilities in the style of the kind; the caller releases it. */
FR_MUST_CHECK fr_status fr_api_logprobs_create(fr_ctx *ctx, fr_api_kind kind,
                                               json_t **out);
/** Add a token.
 * @param offset  characters of the text before it; only completions tell it */
FR_MUST_CHECK fr_status fr_api_logprobs_add(fr_ctx *ctx, fr_api_kind kind, json_t *list,
                                            const fr_tokenizer *tokenizer, int32_t id,
                                            const fr_logprobs *logprobs,
                                            int64_t offset);

/** Append a whole answer as JSON. */
FR_MUST_CHECK fr_status fr_api_answer(fr_ctx *ctx, const fr_api_head *head,
                                      const fr_api_choice *choices, int64_t n,
                                      const fr_api_usage *usage, fr_api_bytes *to);
/** Append an event of a stream with one choice; choice NULL: the counts, which end a stream that asked for them. */
FR_MUST_CHECK fr_status fr_api_piece(fr_ctx *ctx, const fr_api_head *head,
                                     const fr_api_choice *choice,
                                     const fr_api_usage *usage, fr_api_bytes *to);
/** Append the event behind the last one of a whole stream. */
FR_MUST_CHECK fr_status fr_api_done(fr_ctx *ctx, fr_api_bytes *to);

/** Append an error as JSON; `as_event`: as an event of a stream. */
FR_MUST_CHECK fr_status fr_api_error_write(fr_ctx *ctx, const fr_api_error *error,
                                           bool as_event, fr_api_bytes *to);

/** One name of a model. */
typedef struct fr_api_model {
    const char *name;
    int64_t created;
    const char *root; /* the base that it is used with */
} fr_api_model;
/** Append a list of models, or with `is_list` false the one there is. */
FR_MUST_CHECK fr_status fr_api_models(fr_ctx *ctx, const fr_api_model *models,
                                      int64_t n, bool is_list, fr_api_bytes *to);

#endif
