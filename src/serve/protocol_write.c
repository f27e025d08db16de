/* Answers, pieces of streams and errors as JSON.
 *
 * A value is built with jansson and appended as one line; an event of a stream is "data: ", the line, and an empty line. Texts
 * are valid UTF-8, because they come from fr_text_stream or from the request. Texts of single tokens may be parts of
 * characters: completions name them by their bytes, chats have a list of bytes beside the text.
 *
 * jansson returns NULL without memory, and json_pack passes a NULL of a part on. So only the whole value is checked.
 */
#include "base/json_out.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "serve/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fr_status fr_api_bytes_add(fr_ctx *ctx, fr_api_bytes *to, const char *data,
                           size_t bytes)
{
    enum { LEAST = 256 };
    if (to->data == NULL || bytes > to->capacity - to->bytes) {
        size_t capacity = 2 * (to->bytes + bytes) + LEAST;
        char *grown = realloc(to->data, capacity);
        FR_TRY(fr_check_memory(ctx, grown != NULL, capacity));
        to->data = grown;
        to->capacity = capacity;
    }
    memcpy(to->data + to->bytes, data, bytes);
    to->bytes += bytes;
    return FR_OK;
}

void fr_api_bytes_fini(fr_api_bytes *bytes)
{
    free(bytes->data);
    *bytes = (fr_api_bytes){0};
}

static fr_status add_text(fr_ctx *ctx, fr_api_bytes *to, const char *text)
{
    return fr_api_bytes_add(ctx, to, text, strlen(text));
}

/* Appends a value, which is taken over. */
static fr_status write_value(fr_ctx *ctx, json_t *value, bool as_event,
                             fr_api_bytes *to)
{
    char *line = value != NULL ? json_dumps(value, JSON_COMPACT) : NULL;
    fr_status status = fr_check_memory(ctx, line != NULL, sizeof(void *));
    if (status == FR_OK && as_event) {
        status = add_text(ctx, to, "data: ");
    }
    if (status == FR_OK) {
        status = add_text(ctx, to, line);
    }
    if (status == FR_OK) {
        status = add_text(ctx, to, as_event ? "\n\n" : "\n");
    }
    free(line);
    json_decref(value);
    return status;
}

/* ---- log-probabilities ------------------------------------------------------------------------------ */

/* The text of a token. `raw` gets its bytes, and the result is valid UTF-8; the caller frees both. */
static fr_status token_text(fr_ctx *ctx, const fr_tokenizer *tokenizer, int32_t id,
                            fr_api_bytes *raw, char **text, int64_t *n_broken)
{
    size_t bytes = 0;
    FR_TRY(fr_tokenizer_decode(ctx, tokenizer, &id, 1, false, text, &bytes));
    fr_status status = fr_api_bytes_add(ctx, raw, *text, bytes);
    return fr_first_failure(status, fr_utf8_repair(ctx, text, &bytes, n_broken));
}

/* A token whose text cannot name it: a part of a character, or one that holds a NUL, by its bytes; one without a text by its id. */
static fr_status odd_name(fr_ctx *ctx, int32_t id, const fr_api_bytes *raw, char **out)
{
    enum { SHOWN_BYTES = 24 };
    char shown[SHOWN_BYTES];
    fr_api_bytes name = {0};
    (void)snprintf(shown, sizeof shown, "token_id:%d", (int)id);
    fr_status status = add_text(ctx, &name, raw->bytes > 0 ? "bytes:" : shown);
    for (size_t i = 0; i < raw->bytes && status == FR_OK; i++) {
        (void)snprintf(shown, sizeof shown, "\\x%02x", (unsigned char)raw->data[i]);
        status = add_text(ctx, &name, shown);
    }
    if (status == FR_OK) {
        status = fr_api_bytes_add(ctx, &name, "", 1);
    }
    if (status == FR_OK) {
        free(*out);
        *out = name.data;
    } else {
        fr_api_bytes_fini(&name);
    }
    return status;
}

/* A name that differs for all tokens. */
static fr_status token_name(fr_ctx *ctx, const fr_tokenizer *tokenizer, int32_t id,
                            char **out)
{
    fr_api_bytes raw = {0};
    int64_t n_broken = 0;
    *out = NULL;
    fr_status status = token_text(ctx, tokenizer, id, &raw, out, &n_broken);
    if (status == FR_OK && (n_broken > 0 || strlen(*out) == 0 ||
                            memchr(raw.data, '\0', raw.bytes) != NULL)) {
        status = odd_name(ctx, id, &raw, out);
    }
    fr_api_bytes_fini(&raw);
    if (status != FR_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

static json_t *bytes_value(const fr_api_bytes *raw)
{
    json_t *list = json_array();
    bool done = list != NULL;
    for (size_t i = 0; i < raw->bytes && done; i++) {
        done =
            json_array_append_new(list, json_integer((unsigned char)raw->data[i])) == 0;
    }
    if (!done) {
        json_decref(list);
    }
    return done ? list : NULL;
}

/* One token of a chat. */
static fr_status chat_token(fr_ctx *ctx, const fr_tokenizer *tokenizer, int32_t id,
                            double value, json_t **out)
{
    fr_api_bytes raw = {0};
    char *text = NULL;
    *out = NULL;
    fr_status status = token_text(ctx, tokenizer, id, &raw, &text, NULL);
    if (status == FR_OK) {
        *out = json_pack("{s:s, s:o, s:o}", "token", text, "logprob",
                         fr_json_real(value), "bytes", bytes_value(&raw));
        status = fr_check_memory(ctx, *out != NULL, sizeof(void *));
    }
    fr_api_bytes_fini(&raw);
    free(text);
    return status;
}

static fr_status append(fr_ctx *ctx, json_t *list, json_t *value)
{
    return fr_check_memory(ctx, json_array_append_new(list, value) == 0,
                           sizeof(void *));
}

static fr_status add_of_chat(fr_ctx *ctx, json_t *list, const fr_tokenizer *tokenizer,
                             int32_t id, const fr_logprobs *logprobs)
{
    json_t *top = json_array();
    json_t *token = NULL;
    fr_status status = chat_token(ctx, tokenizer, id, logprobs->chosen, &token);
    for (int32_t i = 0; i < logprobs->n && status == FR_OK; i++) {
        json_t *one = NULL;
        status =
            chat_token(ctx, tokenizer, logprobs->ids[i], logprobs->values[i], &one);
        status = status == FR_OK ? append(ctx, top, one) : status;
    }
    if (status == FR_OK) {
        status = fr_check_memory(
            ctx, json_object_set_new(token, "top_logprobs", json_incref(top)) == 0,
            sizeof(void *));
    }
    if (status == FR_OK) {
        status = append(ctx, json_object_get(list, "content"), json_incref(token));
    }
    json_decref(top);
    json_decref(token);
    return status;
}

static fr_status add_of_completion(fr_ctx *ctx, json_t *list,
                                   const fr_tokenizer *tokenizer, int32_t id,
                                   const fr_logprobs *logprobs, int64_t offset)
{
    char *name = NULL;
    json_t *top = json_object();
    fr_status status = token_name(ctx, tokenizer, id, &name);
    if (status == FR_OK) {
        status = append(ctx, json_object_get(list, "tokens"), json_string(name));
    }
    for (int32_t i = 0; i < logprobs->n && status == FR_OK; i++) {
        char *other = NULL;
        status = token_name(ctx, tokenizer, logprobs->ids[i], &other);
        if (status == FR_OK) {
            json_t *value = fr_json_real(logprobs->values[i]);
            status = fr_check_memory(ctx, json_object_set_new(top, other, value) == 0,
                                     sizeof(void *));
        }
        free(other);
    }
    if (status == FR_OK) {
        status = append(ctx, json_object_get(list, "token_logprobs"),
                        fr_json_real(logprobs->chosen));
    }
    if (status == FR_OK) {
        status = append(ctx, json_object_get(list, "top_logprobs"), json_incref(top));
    }
    if (status == FR_OK) {
        status = append(ctx, json_object_get(list, "text_offset"),
                        json_integer((json_int_t)offset));
    }
    free(name);
    json_decref(top);
    return status;
}

fr_status fr_api_logprobs_create(fr_ctx *ctx, fr_api_kind kind, json_t **out)
{
    *out = kind == FR_API_CHAT
               ? json_pack("{s:[]}", "content")
               : json_pack("{s:[], s:[], s:[], s:[]}", "tokens", "token_logprobs",
                           "top_logprobs", "text_offset");
    return fr_check_memory(ctx, *out != NULL, sizeof(void *));
}

fr_status fr_api_logprobs_add(fr_ctx *ctx, fr_api_kind kind, json_t *list,
                              const fr_tokenizer *tokenizer, int32_t id,
                              const fr_logprobs *logprobs, int64_t offset)
{
    return kind == FR_API_CHAT
               ? add_of_chat(ctx, list, tokenizer, id, logprobs)
               : add_of_completion(ctx, list, tokenizer, id, logprobs, offset);
}

/* ---- answers ---------------------------------------------------------------------------------------- */

static json_t *usage_value(const fr_api_usage *usage)
{
    return json_pack("{s:I, s:I, s:I}", "prompt_tokens",
                     (json_int_t)usage->prompt_tokens, "completion_tokens",
                     (json_int_t)usage->completion_tokens, "total_tokens",
                     (json_int_t)(usage->prompt_tokens + usage->completion_tokens));
}

static json_t *finish_value(const fr_api_choice *choice)
{
    return choice->finish != NULL ? json_string(choice->finish) : json_null();
}

static json_t *logprobs_value(const fr_api_choice *choice)
{
    return choice->logprobs != NULL ? json_incref(choice->logprobs) : json_null();
}

static json_t *text_value(fr_text text)
{
    return json_stringn(text.data != NULL ? text.data : "", text.bytes);
}

static json_t *completion_choice(const fr_api_choice *c)
{
    return json_pack("{s:I, s:o, s:o, s:o}", "index", (json_int_t)c->index, "text",
                     text_value(c->text), "logprobs", logprobs_value(c),
                     "finish_reason", finish_value(c));
}

static json_t *chat_choice(const fr_api_choice *c)
{
    json_t *message = json_pack("{s:s, s:o, s:n}", "role", "assistant", "content",
                                text_value(c->text), "refusal");
    return json_pack("{s:I, s:o, s:o, s:o}", "index", (json_int_t)c->index, "message",
                     message, "logprobs", logprobs_value(c), "finish_reason",
                     finish_value(c));
}

/* The first piece names the role; the last one, and one for log-probabilities alone, may have no text. */
static json_t *chat_piece(const fr_api_choice *c)
{
    json_t *delta = c->opens ? json_pack("{s:s, s:o}", "role", "assistant", "content",
                                         text_value(c->text))
                    : c->text.bytes > 0
                        ? json_pack("{s:o}", "content", text_value(c->text))
                        : json_object();
    return json_pack("{s:I, s:o, s:o, s:o}", "index", (json_int_t)c->index, "delta",
                     delta, "logprobs", logprobs_value(c), "finish_reason",
                     finish_value(c));
}

static json_t *head_value(const fr_api_head *head, const char *object, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", head->id, "object", object,
                     "created", (json_int_t)head->created, "model", head->model,
                     "system_fingerprint", head->fingerprint, "choices", choices);
}

/* Adds the counts, or null; the value is taken over and given back, NULL without memory. */
static json_t *with_usage(json_t *value, const fr_api_usage *usage)
{
    json_t *counts = usage != NULL ? usage_value(usage) : json_null();
    if (json_object_set_new(value, "usage", counts) != 0) {
        json_decref(value);
        return NULL;
    }
    return value;
}

fr_status fr_api_answer(fr_ctx *ctx, const fr_api_head *head,
                        const fr_api_choice *choices, int64_t n,
                        const fr_api_usage *usage, fr_api_bytes *to)
{
    bool is_chat = head->kind == FR_API_CHAT;
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) {
        json_t *one =
            is_chat ? chat_choice(&choices[i]) : completion_choice(&choices[i]);
        fr_status status = append(ctx, list, one);
        if (status != FR_OK) {
            json_decref(list);
            return status;
        }
    }
    json_t *value =
        head_value(head, is_chat ? "chat.completion" : "text_completion", list);
    return write_value(ctx, with_usage(value, usage), false, to);
}

fr_status fr_api_piece(fr_ctx *ctx, const fr_api_head *head,
                       const fr_api_choice *choice, const fr_api_usage *usage,
                       fr_api_bytes *to)
{
    bool is_chat = head->kind == FR_API_CHAT;
    json_t *list = choice == NULL
                       ? json_array()
                       : json_pack("[o]", is_chat ? chat_piece(choice)
                                                  : completion_choice(choice));
    json_t *value =
        head_value(head, is_chat ? "chat.completion.chunk" : "text_completion", list);
    return write_value(ctx, head->with_usage ? with_usage(value, usage) : value, true,
                       to);
}

fr_status fr_api_done(fr_ctx *ctx, fr_api_bytes *to)
{
    return add_text(ctx, to, "data: [DONE]\n\n");
}

/* ---- errors and models ------------------------------------------------------------------------------ */

static const char *type_of(int http)
{
    return http == FR_HTTP_UNAUTHORIZED ? "authentication_error"
           : http == FR_HTTP_TOO_MANY   ? "rate_limit_error"
           : http >= FR_HTTP_INTERNAL   ? "server_error"
                                        : "invalid_request_error";
}

fr_status fr_api_error_write(fr_ctx *ctx, const fr_api_error *error, bool as_event,
                             fr_api_bytes *to)
{
    json_t *value =
        json_pack("{s:{s:o, s:s, s:o, s:o}}", "error", "message",
                  fr_json_string(error->message), "type", type_of(error->http), "param",
                  error->param[0] != '\0' ? fr_json_string(error->param) : json_null(),
                  "code", error->code != NULL ? json_string(error->code) : json_null());
    return write_value(ctx, value, as_event, to);
}

static json_t *model_value(const fr_api_model *model)
{
    return json_pack("{s:o, s:s, s:I, s:s, s:o}", "id", fr_json_string(model->name),
                     "object", "model", "created", (json_int_t)model->created,
                     "owned_by", "forerun", "root", fr_json_string(model->root));
}

fr_status fr_api_models(fr_ctx *ctx, const fr_api_model *models, int64_t n,
                        bool is_list, fr_api_bytes *to)
{
    if (!is_list) {
        return write_value(ctx, model_value(models), false, to);
    }
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) {
        fr_status status = append(ctx, list, model_value(&models[i]));
        if (status != FR_OK) {
            json_decref(list);
            return status;
        }
    }
    return write_value(ctx, json_pack("{s:s, s:o}", "object", "list", "data", list),
                       false, to);
}
