/* A chat template, and the same text as the template of a task. */
#include "fuzz/libfuzzer/fuzz.h"
#include "model/chat_template.h"
#include "train/text.h"

#include <stdlib.h>
#include <string.h>

static void use_template(fr_ctx *ctx, const char *text)
{
    fr_template t;
    if (fuzz_answer(ctx, fr_template_parse(ctx, text, &t))) {
        size_t places = strlen("{target}") + (t.has_source ? strlen("{source}") : 0);
        fuzz_check(t.before_bytes + t.between_bytes + t.after_bytes + places ==
                       strlen(text),
                   "the parts of a template are all of it");
        fuzz_check(t.before + t.before_bytes <= text + strlen(text) &&
                       t.after + t.after_bytes == text + strlen(text),
                   "the parts of a template lie in its text");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    char *text = fuzz_text((fuzz_part){data, size});
    fr_chat_frame frame = {.default_system = NULL};
    if (fuzz_answer(ctx, fr_template_read(ctx, text, &frame))) {
        fuzz_check(frame.default_system == NULL || strlen(frame.default_system) <= size,
                   "a default system message is part of the template");
    }
    use_template(ctx, text);
    free(frame.default_system);
    free(text);
    return 0;
}
