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
    char *system = NULL;
    (void)fr_template_is_chatml(text);
    if (fuzz_answer(ctx, fr_template_default_system(ctx, text, &system))) {
        fuzz_check(system == NULL || strlen(system) <= size,
                   "a default system message is part of the template");
    }
    use_template(ctx, text);
    free(system);
    free(text);
    return 0;
}
