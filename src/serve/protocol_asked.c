/* What a request asks to answer: prompts, messages, tools; and the row of `forerun generate` that each prompt is.
 *
 * Messages go to the chat template as they are, with two changes. Members that are null are taken out, because client libraries
 * write whole messages with every member. A content of several parts becomes one text, because most templates write contents as
 * texts; parts that are not texts are refused.
 */
#include "base/mem.h"
#include "serve/protocol.h"
#include "serve/protocol_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fr_status invalid(fr_api_reading *r, const char *name, const char *what)
{
    return fr_api_refuse(r, name, "invalid_value", what);
}

/* ---- prompts ---------------------------------------------------------------------------------------- */

static bool is_ids(const json_t *value)
{
    size_t n = json_array_size(value);
    for (size_t i = 0; i < n; i++) {
        if (!json_is_integer(json_array_get(value, i))) {
            return false;
        }
    }
    return json_is_array(value) && n > 0;
}

/* A text, a list of ids, or a list of either. */
fr_status fr_api_read_prompt(fr_api_reading *r, const char *name, json_t *value)
{
    static const char WHAT[] = "must be a text, a list of texts, a list of token ids, "
                               "or a list of lists of token ids, and not empty";
    fr_api_request *q = r->out;
    bool is_one = json_is_string(value) || is_ids(value);
    int64_t n = is_one ? 1 : (int64_t)json_array_size(value);
    if (n == 0) {
        return invalid(r, name, WHAT);
    }
    if (n > r->limits->max_choices) {
        return invalid(r, name,
                       "holds more texts than this server answers in a "
                       "request; send several");
    }
    FR_TRY(fr_alloc(r->ctx, n, sizeof(json_t *), &q->prompts));
    for (int64_t i = 0; i < n; i++) {
        json_t *one = is_one ? value : json_array_get(value, (size_t)i);
        if (!json_is_string(one) && !is_ids(one)) {
            return invalid(r, name, WHAT);
        }
        q->prompts[i] = one;
    }
    q->n_prompts = n;
    return FR_OK;
}

/* ---- messages --------------------------------------------------------------------------------------- */

/* The text of a part; NULL: it is not a text. */
static const json_t *text_of_part(const json_t *part)
{
    const json_t *type = json_object_get(part, "type");
    const json_t *text = json_object_get(part, "text");
    return json_is_string(type) && strcmp(json_string_value(type), "text") == 0 &&
                   json_is_string(text)
               ? text
               : NULL;
}

/* Texts of parts, a line end between two. */
static fr_status join_parts(fr_api_reading *r, const json_t *parts, json_t **out)
{
    fr_api_bytes text = {0};
    fr_status status = fr_api_bytes_add(r->ctx, &text, "", 0);
    for (size_t i = 0; i < json_array_size(parts) && status == FR_OK; i++) {
        const json_t *part = text_of_part(json_array_get(parts, i));
        if (part == NULL) {
            status = fr_api_refuse(r, "messages", FR_API_UNSUPPORTED,
                                   "has a content with a part that is not a text "
                                   "({\"type\": \"text\", \"text\": \"...\"})");
            break;
        }
        status = fr_api_bytes_add(r->ctx, &text, "\n", i > 0 ? 1 : 0);
        if (status == FR_OK) {
            status = fr_api_bytes_add(r->ctx, &text, json_string_value(part),
                                      json_string_length(part));
        }
    }
    if (status == FR_OK) {
        *out = json_stringn(text.data, text.bytes);
        status = fr_check_memory(r->ctx, *out != NULL, text.bytes);
    }
    fr_api_bytes_fini(&text);
    return status;
}

static fr_status read_message(fr_api_reading *r, const char *name, json_t *message)
{
    const char *key = NULL;
    json_t *value = NULL;
    void *next = NULL;
    json_t *text = NULL;
    if (!json_is_string(json_object_get(message, "role"))) {
        return invalid(r, name, "must be a list of objects, each with a text \"role\"");
    }
    json_object_foreach_safe(message, next, key, value)
    {
        if (json_is_null(value) && strcmp(key, "content") != 0) {
            (void)json_object_del(message, key);
        }
    }
    const json_t *content = json_object_get(message, "content");
    if (json_is_array(content)) {
        FR_TRY(join_parts(r, content, &text));
        return fr_check_memory(
            r->ctx, json_object_set_new(message, "content", text) == 0, sizeof(void *));
    }
    return FR_OK;
}

/* An answer at the end would be left out of the prompt, so that the model would answer something else than was asked. */
fr_status fr_api_read_messages(fr_api_reading *r, const char *name, json_t *value)
{
    size_t n = json_array_size(value);
    if (n == 0) {
        return invalid(r, name, "must be a list of messages that is not empty");
    }
    for (size_t i = 0; i < n; i++) {
        FR_TRY(read_message(r, name, json_array_get(value, i)));
    }
    const json_t *role = json_object_get(json_array_get(value, n - 1), "role");
    if (strcmp(json_string_value(role), "assistant") == 0) {
        return fr_api_refuse(r, name, FR_API_UNSUPPORTED,
                             "ends with an answer of the assistant, which is not "
                             "continued; end with the turn to answer");
    }
    r->out->messages = value;
    r->out->n_prompts = 1;
    return FR_OK;
}

fr_status fr_api_read_tools(fr_api_reading *r, const char *name, json_t *value)
{
    if (!json_is_array(value)) {
        return invalid(r, name, "must be a list of descriptions of tools");
    }
    r->out->tools = json_array_size(value) > 0 ? value : NULL;
    return FR_OK;
}

/* Tools are described to the model, whose choice is its own. */
fr_status fr_api_read_tool_choice(fr_api_reading *r, const char *name, json_t *value)
{
    const char *word = json_string_value(value);
    if (word != NULL && strcmp(word, "none") == 0) {
        r->out->tools = NULL;
        return FR_OK;
    }
    return word != NULL && strcmp(word, "auto") == 0
               ? FR_OK
               : fr_api_refuse(r, name, FR_API_UNSUPPORTED, "must be auto or none");
}

/* ---- rows ------------------------------------------------------------------------------------------- */

fr_status fr_api_row(fr_ctx *ctx, const fr_api_request *request, int64_t prompt,
                     json_t **out)
{
    json_t *asked =
        request->kind == FR_API_CHAT ? request->messages : request->prompts[prompt];
    const char *name = request->kind == FR_API_CHAT ? "messages"
                       : json_is_string(asked)      ? "source"
                                                    : "source_ids";
    *out = json_object();
    FR_TRY(fr_check_memory(ctx, *out != NULL, sizeof(void *)));
    bool done = json_object_set(*out, name, asked) == 0;
    if (done && request->tools != NULL) {
        done = json_object_set(*out, "tools", request->tools) == 0;
    }
    if (!done) {
        json_decref(*out);
        *out = NULL;
    }
    return fr_check_memory(ctx, done, sizeof(void *));
}
