/* Where the contents of messages stand in a rendered dialogue.
 *
 * They are looked for from the end of the text backwards, each before the one behind it, since what stands in front of a content may
 * hold the same word ("user"), and what stands behind it rarely does. A wrong guess there costs a cut in the wrong place.
 *
 * It must not cost more: where a content holds the text of a special token, a guess may take the template's own token for the
 * row's. So such a content is changed in its first character and the dialogue rendered once more: both texts part where it begins.
 */
#include "base/mem.h"
#include "model/text/dialogue_impl.h"

#include <stdlib.h>
#include <string.h>

static fr_text content_of(const fr_dialogue_encoding *e, size_t message)
{
    const json_t *content =
        json_object_get(json_array_get(e->dialogue->messages, message), "content");
    return json_is_string(content)
               ? fr_text_trim(
                     (fr_text){json_string_value(content), json_string_length(content)})
               : (fr_text){"", 0};
}

fr_text_span fr_dialogue_find_content(const fr_dialogue_encoding *e,
                                      const fr_jinja_rendered *in, size_t end,
                                      size_t message)
{
    fr_text_span found = {0, 0};
    (void)fr_text_find_last((fr_text){in->text, end}, content_of(e, message), &found);
    return found;
}

/* The byte that changed_messages changes: of a first character of several bytes the last, which leaves a character. */
static size_t changed_byte(fr_text content)
{
    size_t at = 0;
    while (at + 1 < content.bytes && ((unsigned char)content.data[at] & 0x80) != 0 &&
           ((unsigned char)content.data[at + 1] & 0xC0) == 0x80) {
        at++;
    }
    return at;
}

/* The messages with another first character in the content of one; NULL: out of memory. */
static json_t *changed_messages(const fr_dialogue_encoding *e, size_t message)
{
    fr_text content = content_of(e, message);
    size_t at = changed_byte(content);
    json_t *list = json_copy(e->dialogue->messages);
    json_t *changed = json_copy(json_array_get(list, message));
    char *text = malloc(content.bytes + 1);
    bool made = list != NULL && changed != NULL && text != NULL;
    if (made) {
        memcpy(text, content.data, content.bytes);
        text[at] = at > 0 ? (char)(text[at] ^ 1) : text[at] == 'x' ? 'y' : 'x';
        made = json_object_set_new(changed, "content",
                                   json_stringn(text, content.bytes)) == 0 &&
               json_array_set(list, message, changed) == 0;
    }
    free(text);
    json_decref(changed);
    if (!made) {
        json_decref(list);
        list = NULL;
    }
    return list;
}

/* Where a content stands for certain; empty: the template writes it otherwise. */
static fr_status probe_content(fr_dialogue_encoding *e, size_t message,
                               fr_text_span *out)
{
    fr_text content = content_of(e, message);
    fr_jinja_rendered other = {0};
    json_t *messages = changed_messages(e, message);
    *out = (fr_text_span){0, 0};
    FR_TRY(fr_check_memory(e->ctx, messages != NULL, content.bytes));
    const fr_chat_said said = {messages, e->dialogue->tools};
    fr_status status =
        fr_chat_render(e->ctx, e->chat, &said, e->n, e->dialogue->open_assistant,
                       &e->steps_left, &other);
    size_t same = fr_rendered_same(&e->text, &other);
    size_t at = changed_byte(content);
    size_t begin = same >= at ? same - at : same;
    if (status == FR_OK && other.bytes == e->text.bytes &&
        e->text.bytes - begin >= content.bytes && same < e->text.bytes &&
        memcmp(e->text.text + begin, content.data, content.bytes) == 0 &&
        memcmp(e->text.text + same + 1, other.text + same + 1,
               e->text.bytes - same - 1) == 0) {
        *out = (fr_text_span){begin, begin + content.bytes};
    }
    fr_jinja_rendered_fini(&other);
    json_decref(messages);
    return status;
}

static fr_status fail_special(const fr_dialogue_encoding *e)
{
    return FR_FAIL(
        e->ctx, FR_ERR_DATA,
        "a message or a tool holds the text of a special token where it cannot be told "
        "from one that the chat template writes; remove it, or set special: "
        "true (--special), by which it is one");
}

/* A content with the text of a special token: for certain, or the row is refused. */
static fr_status place_special(fr_dialogue_encoding *e, size_t message)
{
    bool found = false;
    bool late = false;
    if (e->dialogue->special_in_content) {
        return FR_OK;
    }
    FR_TRY(fr_tokenizer_find_special(e->ctx, e->tokenizer, content_of(e, message),
                                     &found, &late));
    if (!found) {
        return FR_OK;
    }
    FR_TRY(probe_content(e, message, &e->contents[message]));
    return e->contents[message].end > 0 && !late ? FR_OK : fail_special(e);
}

/* Everything in a message but a content that is a text, and everything in the row's tools, must hold no special token's
 * text. */
static fr_status check_value(const fr_dialogue_encoding *e, json_t *value)
{
    const char *key = NULL;
    json_t *member = NULL;
    size_t i = 0;
    bool found = false;
    bool late = false;
    if (json_is_string(value)) {
        const fr_text text = {json_string_value(value), json_string_length(value)};
        FR_TRY(fr_tokenizer_find_special(e->ctx, e->tokenizer, text, &found, &late));
        return found ? fail_special(e) : FR_OK;
    }
    json_array_foreach(value, i, member)
    {
        FR_TRY(check_value(e, member));
    }
    json_object_foreach(value, key, member)
    {
        FR_TRY(fr_tokenizer_find_special(e->ctx, e->tokenizer, fr_text_of(key), &found,
                                         &late));
        FR_TRY(found ? fail_special(e) : check_value(e, member));
    }
    return FR_OK;
}

static fr_status check_members(const fr_dialogue_encoding *e, json_t *message)
{
    const char *key = NULL;
    json_t *member = NULL;
    json_object_foreach(message, key, member)
    {
        bool is_content = strcmp(key, "content") == 0 && json_is_string(member);
        FR_TRY(e->dialogue->special_in_content || is_content ? FR_OK
                                                             : check_value(e, member));
    }
    return FR_OK;
}

fr_status fr_dialogue_place_contents(fr_dialogue_encoding *e)
{
    size_t end = e->text.bytes;
    FR_TRY(e->dialogue->special_in_content ? FR_OK
                                           : check_value(e, e->dialogue->tools));
    FR_TRY(fr_alloc(e->ctx, (int64_t)e->n, sizeof *e->contents, &e->contents));
    for (size_t i = e->n; i > 0; i--) {
        fr_text_span *content = &e->contents[i - 1];
        FR_TRY(check_members(e, json_array_get(e->dialogue->messages, i - 1)));
        *content = fr_dialogue_find_content(e, &e->text, end, i - 1);
        FR_TRY(place_special(e, i - 1));
        end = content->end > 0 ? content->begin : end;
    }
    return FR_OK;
}
