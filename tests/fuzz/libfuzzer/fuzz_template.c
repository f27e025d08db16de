/* A chat template, and the same text as the template of a task. */
#include "fuzz/libfuzzer/fuzz.h"
#include "model/text/chat.h"
#include "train/data/text.h"

#include <stdlib.h>
#include <string.h>

static void use_template(fr_ctx *ctx, const char *text)
{
    fr_template t;
    if (fuzz_answer(ctx, fr_template_parse(ctx, "t", text, &t))) {
        size_t places = strlen("{target}") + (t.has_source ? strlen("{source}") : 0);
        fuzz_check(t.before_bytes + t.between_bytes + t.after_bytes + places ==
                       strlen(text),
                   "the parts of a template are all of it");
        fuzz_check(t.before + t.before_bytes <= text + strlen(text) &&
                       t.after + t.after_bytes == text + strlen(text),
                   "the parts of a template lie in its text");
    }
}

static void use_chat(fr_ctx *ctx, const char *text)
{
    static const fr_chat_names NAMES = {"<s>", "</s>"};
    fr_chat *chat = NULL;
    fr_jinja_rendered rendered = {0};
    int64_t steps = FR_CHAT_STEPS;
    const fr_chat_settings settings = {.template_text = text};
    bool opened = fuzz_answer(ctx, fr_chat_open(ctx, &settings, &NAMES, &chat));
    fuzz_check(opened, "a template that cannot be used is no failure");
    json_t *messages =
        json_pack("[{s:s, s:s, s:i}]", "role", "user", "content", "a", "weight", 1);
    const fr_chat_said said = {messages, NULL};
    bool written =
        fuzz_answer(ctx, fr_chat_render(ctx, chat, &said, 1, true, &steps, &rendered));
    fuzz_check(!written || fr_chat_is_usable(chat), "what is refused writes nothing");
    fuzz_check(written == (rendered.text != NULL), "a text, or the reason");
    fr_jinja_rendered_fini(&rendered);
    json_decref(messages);
    fr_chat_close(&chat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    char *text = fuzz_text((fuzz_part){data, size});
    use_chat(ctx, text);
    use_template(ctx, text);
    free(text);
    return 0;
}
