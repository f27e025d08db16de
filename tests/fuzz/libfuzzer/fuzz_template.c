/* A chat template, and the same text as the template of a task. */
#include "fuzz/libfuzzer/fuzz.h"
#include "model/text/chat_template.h"
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
    fr_chat_frame frame = {.default_system = NULL};
    bool read = fuzz_answer(ctx, fr_template_read(ctx, text, &NAMES, &frame));
    fuzz_check(read, "a template that cannot be used is no failure");
    fuzz_check(frame.is_chatml == (frame.refusal == NULL),
               "a template is accepted or refused");
    fr_chat_frame_fini(&frame);
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
