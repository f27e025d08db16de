/* The body of a request as a struct.
 *
 * MEMBERS lists every member of the interface: how it is read, or that it is accepted without an effect, or that it is refused
 * because its effect would be missing. A member that is null counts as absent. One that is not in the table is refused by name: it
 * may be a slip of the pen for one that is.
 *
 * The order of events: the text is measured and parsed, all members are read in the order of the table, then checks look at
 * members together. The first problem ends it. Nothing here knows a model: whether a name exists, and whether a prompt fits, is
 * found later.
 */
#include "base/json_size.h"
#include "base/mem.h"
#include "base/options.h"
#include "serve/protocol.h"
#include "serve/protocol_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fr_api_error_set(fr_api_error *error, int http, const char *code,
                      const char *param, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    *error = (fr_api_error){.http = http, .code = code};
    (void)snprintf(error->param, sizeof error->param, "%s", param != NULL ? param : "");
    (void)vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
}

/* The word for programs where a member's value is at fault. */
static const char INVALID[] = "invalid_value";

fr_status fr_api_refuse(fr_api_reading *r, const char *param, const char *code,
                        const char *what)
{
    fr_api_error_set(r->error, FR_HTTP_BAD_REQUEST, code, param, "\"%s\" %s", param,
                     what);
    return FR_FAIL(r->ctx, FR_ERR_ARG, "the request is refused: %s", r->error->message);
}

static fr_status invalid(fr_api_reading *r, const char *name, const char *what)
{
    return fr_api_refuse(r, name, INVALID, what);
}

/* ---- values ----------------------------------------------------------------------------------------- */

static fr_status read_bool(fr_api_reading *r, const char *name, const json_t *value,
                           bool *out)
{
    *out = json_is_true(value);
    return json_is_boolean(value) ? FR_OK : invalid(r, name, "must be true or false");
}

static fr_status read_int(fr_api_reading *r, const char *name, const json_t *value,
                          int64_t lowest, int64_t highest, int64_t *out)
{
    char what[FR_API_WHAT_BYTES];
    *out = json_integer_value(value);
    if (json_is_integer(value) && *out >= lowest && *out <= highest) {
        return FR_OK;
    }
    (void)snprintf(what, sizeof what, "must be a whole number from %lld to %lld",
                   (long long)lowest, (long long)highest);
    return invalid(r, name, what);
}

static fr_status read_real(fr_api_reading *r, const char *name, const json_t *value,
                           double lowest, double highest, double *out)
{
    char what[FR_API_WHAT_BYTES];
    *out = json_number_value(value);
    if (json_is_number(value) && *out >= lowest && *out <= highest) {
        return FR_OK;
    }
    (void)snprintf(what, sizeof what, "must be a number from %g to %g", lowest,
                   highest);
    return invalid(r, name, what);
}

/* ---- members ---------------------------------------------------------------------------------------- */

static fr_status read_model(fr_api_reading *r, const char *name, json_t *value)
{
    r->out->model = json_string_value(value);
    return json_is_string(value) && json_string_length(value) > 0
               ? FR_OK
               : invalid(r, name,
                         "must be the name of a model; GET /v1/models lists "
                         "them");
}

static fr_status read_stream(fr_api_reading *r, const char *name, json_t *value)
{
    return read_bool(r, name, value, &r->out->stream);
}

static fr_status read_stream_options(fr_api_reading *r, const char *name, json_t *value)
{
    const char *key = NULL;
    json_t *member = NULL;
    if (!json_is_object(value)) {
        return invalid(r, name, "must be an object");
    }
    json_object_foreach(value, key, member)
    {
        if (strcmp(key, "include_usage") == 0) {
            FR_TRY(read_bool(r, "stream_options.include_usage", member,
                             &r->out->include_usage));
        } else if (strcmp(key, "include_obfuscation") != 0 || json_is_true(member)) {
            return fr_api_refuse(r, name, FR_API_UNSUPPORTED,
                                 "may have include_usage alone");
        }
    }
    return FR_OK;
}

static fr_status read_n(fr_api_reading *r, const char *name, json_t *value)
{
    return read_int(r, name, value, 1, r->limits->max_choices, &r->out->n);
}

/* The best of n is each of them. */
static fr_status read_best_of(fr_api_reading *r, const char *name, json_t *value)
{
    int64_t best_of = 0;
    FR_TRY(read_int(r, name, value, 1, INT32_MAX, &best_of));
    return best_of == r->out->n
               ? FR_OK
               : fr_api_refuse(r, name, FR_API_UNSUPPORTED,
                               "is not supported but as the number that n is");
}

static fr_status read_max_tokens(fr_api_reading *r, const char *name, json_t *value)
{
    int64_t before = r->out->max_new_tokens;
    FR_TRY(read_int(r, name, value, 1, r->limits->max_new_tokens,
                    &r->out->max_new_tokens));
    if (r->has_max_tokens && before != r->out->max_new_tokens) {
        return invalid(r, name, "differs from \"max_tokens\"; give one of them");
    }
    r->has_max_tokens = true;
    return FR_OK;
}

static fr_status read_temperature(fr_api_reading *r, const char *name, json_t *value)
{
    return read_real(r, name, value, 0.0, 100.0, &r->out->sample.temperature);
}

static fr_status read_top_p(fr_api_reading *r, const char *name, json_t *value)
{
    FR_TRY(read_real(r, name, value, 0.0, 1.0, &r->out->sample.top_p));
    return r->out->sample.top_p > 0.0 ? FR_OK
                                      : invalid(r, name, "must be above 0, at most 1");
}

static fr_status read_top_k(fr_api_reading *r, const char *name, json_t *value)
{
    if (json_is_integer(value) && json_integer_value(value) == -1) {
        return FR_OK; /* all, as other servers have it */
    }
    return read_int(r, name, value, 0, INT32_MAX, &r->out->sample.top_k);
}

static fr_status read_min_p(fr_api_reading *r, const char *name, json_t *value)
{
    return read_real(r, name, value, 0.0, 1.0, &r->out->sample.min_p);
}

static fr_status read_repetition(fr_api_reading *r, const char *name, json_t *value)
{
    return read_real(r, name, value, 0.1, 10.0, &r->out->sample.repetition_penalty);
}

static fr_status read_seed(fr_api_reading *r, const char *name, json_t *value)
{
    int64_t seed = 0;
    FR_TRY(read_int(r, name, value, 0, INT64_MAX, &seed));
    r->out->sample.seed = (uint64_t)seed;
    r->out->has_seed = true;
    return FR_OK;
}

static fr_status add_stop(fr_api_reading *r, const char *name, const json_t *value)
{
    size_t bytes = json_string_length(value);
    if (!json_is_string(value) || bytes == 0 || bytes > FR_API_STOP_BYTES) {
        return invalid(r, name,
                       "must be a text or a list of texts of 1 to 256 bytes each");
    }
    r->out->stops[r->out->n_stops++] = json_string_value(value);
    return FR_OK;
}

static fr_status read_stop(fr_api_reading *r, const char *name, json_t *value)
{
    if (!json_is_array(value)) {
        return add_stop(r, name, value);
    }
    if (json_array_size(value) > FR_API_STOPS) {
        return invalid(r, name, "may hold at most 16 texts");
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        FR_TRY(add_stop(r, name, json_array_get(value, i)));
    }
    return FR_OK;
}

static fr_status read_echo(fr_api_reading *r, const char *name, json_t *value)
{
    return read_bool(r, name, value, &r->out->echo);
}

/* Of a completion a number; of a chat a flag, with the number in top_logprobs. */
static fr_status read_logprobs(fr_api_reading *r, const char *name, json_t *value)
{
    bool wanted = false;
    if (r->out->kind == FR_API_COMPLETION) {
        FR_TRY(read_int(r, name, value, 0, FR_MAX_LOGPROBS, &r->out->n_logprobs));
        r->out->n_logprobs++;
        return FR_OK;
    }
    FR_TRY(read_bool(r, name, value, &wanted));
    r->out->n_logprobs = wanted ? 1 : 0;
    return FR_OK;
}

static fr_status read_top_logprobs(fr_api_reading *r, const char *name, json_t *value)
{
    int64_t n = 0;
    FR_TRY(read_int(r, name, value, 0, FR_MAX_LOGPROBS, &n));
    if (r->out->n_logprobs == 0 && n > 0) {
        return invalid(r, name, "needs \"logprobs\": true");
    }
    r->out->n_logprobs += n;
    return FR_OK;
}

/* Refused unless its value asks for nothing: 0, false, "", {}, [], or the word that says so. */
static bool asks_nothing(const char *name, const json_t *value)
{
    const json_t *type = json_object_get(value, "type");
    if (strcmp(name, "response_format") == 0) {
        return json_is_string(type) && strcmp(json_string_value(type), "text") == 0;
    }
    if (strcmp(name, "modalities") == 0) {
        const json_t *one = json_array_get(value, 0);
        return json_array_size(value) == 1 && json_is_string(one) &&
               strcmp(json_string_value(one), "text") == 0;
    }
    if (json_is_number(value)) {
        double number = json_number_value(value);
        return !(number < 0.0) && !(number > 0.0);
    }
    return json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static fr_status refuse_member(fr_api_reading *r, const char *name, json_t *value)
{
    return asks_nothing(name, value)
               ? FR_OK
               : fr_api_refuse(r, name, FR_API_UNSUPPORTED,
                               "is not supported here; leave it out");
}

static fr_status ignore_member(fr_api_reading *r, const char *name, json_t *value)
{
    (void)value;
    /* its memory would live as long as the call */
    return json_object_del(r->out->root, name) == 0 ? FR_OK
                                                    : fr_check_memory(r->ctx, false, 1);
}

enum { OF_COMPLETION = 1, OF_CHAT = 2, OF_BOTH = 3 };

/* Members in the order in which they are read: `n` before `best_of`, `logprobs` before `top_logprobs`. */
static const struct member {
    const char *name;
    int of;
    fr_status (*read)(fr_api_reading *r, const char *name, json_t *value);
} MEMBERS[] = {
    {"model", OF_BOTH, read_model},
    {"prompt", OF_COMPLETION, fr_api_read_prompt},
    {"messages", OF_CHAT, fr_api_read_messages},
    {"tools", OF_CHAT, fr_api_read_tools},
    {"tool_choice", OF_CHAT, fr_api_read_tool_choice},
    {"stream", OF_BOTH, read_stream},
    {"stream_options", OF_BOTH, read_stream_options},
    {"n", OF_BOTH, read_n},
    {"best_of", OF_COMPLETION, read_best_of},
    {"max_tokens", OF_BOTH, read_max_tokens},
    {"max_completion_tokens", OF_CHAT, read_max_tokens},
    {"temperature", OF_BOTH, read_temperature},
    {"top_p", OF_BOTH, read_top_p},
    {"top_k", OF_BOTH, read_top_k},
    {"min_p", OF_BOTH, read_min_p},
    {"repetition_penalty", OF_BOTH, read_repetition},
    {"seed", OF_BOTH, read_seed},
    {"stop", OF_BOTH, read_stop},
    {"echo", OF_COMPLETION, read_echo},
    {"logprobs", OF_BOTH, read_logprobs},
    {"top_logprobs", OF_CHAT, read_top_logprobs},
    {"presence_penalty", OF_BOTH, refuse_member},
    {"frequency_penalty", OF_BOTH, refuse_member},
    {"logit_bias", OF_BOTH, refuse_member},
    {"suffix", OF_COMPLETION, refuse_member},
    {"response_format", OF_CHAT, refuse_member},
    {"modalities", OF_CHAT, refuse_member},
    {"audio", OF_CHAT, refuse_member},
    {"functions", OF_CHAT, refuse_member},
    {"function_call", OF_CHAT, refuse_member},
    {"reasoning_effort", OF_CHAT, refuse_member},
    {"verbosity", OF_CHAT, refuse_member},
    {"web_search_options", OF_CHAT, refuse_member},
    {"parallel_tool_calls", OF_CHAT, ignore_member},
    {"prediction", OF_CHAT, ignore_member},
    {"user", OF_BOTH, ignore_member},
    {"metadata", OF_BOTH, ignore_member},
    {"store", OF_BOTH, ignore_member},
    {"service_tier", OF_BOTH, ignore_member},
    {"safety_identifier", OF_BOTH, ignore_member},
    {"prompt_cache_key", OF_BOTH, ignore_member},
    {"prompt_cache_retention", OF_BOTH, ignore_member},
};
enum { N_MEMBERS = sizeof MEMBERS / sizeof *MEMBERS };

static bool is_known(const char *name, int of)
{
    for (int i = 0; i < N_MEMBERS; i++) {
        if ((MEMBERS[i].of & of) != 0 && strcmp(MEMBERS[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static fr_status check_known(fr_api_reading *r, int of)
{
    enum { SHOWN = 40 };
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(r->out->root, key, value)
    {
        char name[SHOWN + 1];
        char what[FR_API_WHAT_BYTES];
        if (is_known(key, of)) {
            continue;
        }
        (void)snprintf(name, sizeof name, "%s", key);
        const char *nearest =
            fr_nearest_word(key, MEMBERS, N_MEMBERS, sizeof MEMBERS[0]);
        bool fits = nearest != NULL && is_known(nearest, of);
        (void)snprintf(what, sizeof what, "is not a known member%s%s%s",
                       fits ? "; did you mean \"" : "; leave it out",
                       fits ? nearest : "", fits ? "\"?" : "");
        return fr_api_refuse(r, name, "unknown_parameter", what);
    }
    return FR_OK;
}

/* Each is some hundred bytes of an answer, which waits in memory for its reader. */
static fr_status check_logprobs(fr_api_reading *r, int64_t choices)
{
    enum { MOST = 1 << 17 };
    const fr_api_request *q = r->out;
    char what[FR_API_WHAT_BYTES];
    int64_t tokens =
        q->max_new_tokens > 0 ? q->max_new_tokens : r->limits->max_new_tokens;
    int64_t n = 0;
    if (fr_mul_i64(choices, tokens, &n) && fr_mul_i64(n, q->n_logprobs, &n) &&
        n <= MOST) {
        return FR_OK;
    }
    (void)snprintf(what, sizeof what,
                   "would give more than %d log-probabilities; ask for fewer tokens, "
                   "choices or alternatives",
                   MOST);
    return invalid(r, "logprobs", what);
}

/* What members say together. */
static fr_status check_together(fr_api_reading *r)
{
    const fr_api_request *q = r->out;
    int64_t choices = 0;
    if (q->model == NULL) {
        return fr_api_refuse(r, "model", "missing_parameter",
                             "is missing; GET /v1/models lists the names");
    }
    if (q->n_prompts == 0) {
        return fr_api_refuse(r, q->kind == FR_API_CHAT ? "messages" : "prompt",
                             "missing_parameter", "is missing");
    }
    if (!fr_mul_i64(q->n_prompts, q->n, &choices) || choices > r->limits->max_choices) {
        char what[FR_API_WHAT_BYTES];
        (void)snprintf(what, sizeof what,
                       "asks for too many choices with these prompts; this server "
                       "gives %lld in a request",
                       (long long)r->limits->max_choices);
        return invalid(r, "n", what);
    }
    FR_TRY(check_logprobs(r, choices));
    if (q->echo && q->n_logprobs > 0) {
        return fr_api_refuse(r, "echo", FR_API_UNSUPPORTED,
                             "is not supported together with \"logprobs\"");
    }
    if (q->include_usage && !q->stream) {
        return invalid(r, "stream_options", "needs \"stream\": true");
    }
    return FR_OK;
}

static fr_status read_members(fr_api_reading *r, int of)
{
    FR_TRY(check_known(r, of));
    for (int i = 0; i < N_MEMBERS; i++) {
        json_t *value = json_object_get(r->out->root, MEMBERS[i].name);
        if ((MEMBERS[i].of & of) != 0 && value != NULL && !json_is_null(value)) {
            FR_TRY(MEMBERS[i].read(r, MEMBERS[i].name, value));
        }
    }
    return check_together(r);
}

/* jansson tells no lack of memory apart from broken text but by its code. */
static fr_status parse(fr_api_reading *r, fr_text body)
{
    json_error_t broken;
    if (!fr_json_fits(body.data, body.bytes)) {
        fr_api_error_set(r->error, FR_HTTP_BAD_REQUEST, "invalid_json", NULL,
                         "the body is too large: " FR_JSON_TOO_LARGE);
        return FR_FAIL(r->ctx, FR_ERR_ARG, "the request is refused: too large");
    }
    r->out->root = json_loadb(body.data, body.bytes, JSON_REJECT_DUPLICATES, &broken);
    if (r->out->root == NULL && json_error_code(&broken) == json_error_out_of_memory) {
        return fr_check_memory(r->ctx, false, body.bytes);
    }
    if (json_is_object(r->out->root)) {
        return FR_OK;
    }
    fr_api_error_set(r->error, FR_HTTP_BAD_REQUEST, "invalid_json", NULL,
                     "the body must be an object in JSON%s",
                     r->out->root != NULL ? "" : "; it cannot be parsed");
    if (r->out->root == NULL) {
        fr_api_error_set(r->error, FR_HTTP_BAD_REQUEST, "invalid_json", NULL,
                         "the body must be an object in JSON; it is not JSON at line "
                         "%d, column %d",
                         broken.line, broken.column);
    }
    return FR_FAIL(r->ctx, FR_ERR_ARG, "the request is refused: not an object");
}

fr_status fr_api_request_read(fr_ctx *ctx, fr_api_kind kind,
                              const fr_api_limits *limits, fr_text body,
                              fr_api_request *out, fr_api_error *error)
{
    enum { COMPLETION_TOKENS = 16 }; /* as the interface has it */
    fr_api_reading r = {.ctx = ctx, .limits = limits, .out = out, .error = error};
    *error = (fr_api_error){0};
    *out = (fr_api_request){
        .kind = kind, .n = 1, .sample = {.temperature = 1.0, .top_p = 1.0}};
    if (kind == FR_API_COMPLETION) {
        out->max_new_tokens = limits->max_new_tokens < COMPLETION_TOKENS
                                  ? limits->max_new_tokens
                                  : COMPLETION_TOKENS;
    }
    FR_TRY(parse(&r, body));
    return read_members(&r, kind == FR_API_CHAT ? OF_CHAT : OF_COMPLETION);
}

void fr_api_request_fini(fr_api_request *request)
{
    free(request->prompts);
    json_decref(request->root);
    *request = (fr_api_request){0};
}
