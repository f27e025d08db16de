/* A chat template: parsed and rendered with variables of every kind. */
#include "fuzz/libfuzzer/fuzz.h"
#include "model/jinja/jinja.h"

#include <stdlib.h>
#include <string.h>

/* The names that the first inputs use; NAME is bound to values of each type. */
static const char VARIABLES[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\","
    "\"content\":\" b \\u00e9\\n\"},{\"role\":\"assistant\",\"content\":\"\"}],"
    "\"s\":\" aXb \\u00e9\\n\",\"n\":3,\"f\":2.5,\"l\":[1,2,3],\"d\":{\"a\":1,"
    "\"items\":\"k\",\"b\":[1,\"x\"]},\"e\":[],\"t\":true,\"none_\":null,"
    "\"m\":[{\"role\":\"a\",\"n\":1},{\"role\":\"b\"}],\"tools\":null}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    fr_jinja *jinja = NULL;
    char *text = fuzz_block((fuzz_part){data, size});
    bool parsed = fuzz_answer(ctx, fr_jinja_parse(ctx, text, size, &jinja));
    fuzz_check(parsed == (jinja != NULL), "a template is there if it was parsed");
    free(text);
    json_t *variables = parsed ? json_loads(VARIABLES, 0, NULL) : NULL;
    const fr_jinja_given given = {variables, gmtime(&(time_t){0}), NULL};
    for (int round = 0; parsed && round < 2; round++) {
        fr_jinja_rendered out = {0};
        if (fuzz_answer(ctx, fr_jinja_render(ctx, jinja, &given, &out))) {
            fuzz_check(out.bytes <= FR_JINJA_MAX_MEMORY && out.text[out.bytes] == '\0',
                       "what is rendered is bounded");
            size_t end = 0;
            for (int64_t i = 0; i < out.n_generated; i++) {
                const fr_text_span *span = &out.generated[i];
                fuzz_check(end <= span->begin && span->begin <= span->end &&
                               span->end <= out.bytes,
                           "marks lie in the text, one behind another");
                end = span->end;
            }
        } else {
            fuzz_check(out.text == NULL, "a refusal gives no text");
        }
        fr_jinja_rendered_fini(&out);
    }
    json_decref(variables);
    fr_jinja_destroy(&jinja);
    return 0;
}
