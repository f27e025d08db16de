/* Renders templates for compare_templates.py. A line of standard input is {"template": TEXT, "variables": OBJECT, "clock": SECONDS};
 * the line that answers it is {"text": TEXT, "generated": [[BEGIN, END], ...]} or {"refused": REASON}. */
#include "base/ctx.h"
#include "model/jinja/jinja.h"

#include <stdio.h>
#include <string.h>

/* A list of [begin, end]; null where marks are lost. */
static json_t *spans(const fr_jinja_rendered *rendered)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < rendered->n_generated; i++) {
        const fr_text_span *span = &rendered->generated[i];
        (void)json_array_append_new(
            list, json_pack("[I, I]", (json_int_t)span->begin, (json_int_t)span->end));
    }
    if (rendered->has_lost_marks) {
        json_decref(list);
        return json_null();
    }
    return list;
}

static json_t *render(fr_ctx *ctx, json_t *job)
{
    fr_jinja *jinja = NULL;
    fr_jinja_rendered rendered = {0};
    time_t clock = (time_t)json_integer_value(json_object_get(job, "clock"));
    const fr_jinja_given given = {json_object_get(job, "variables"), gmtime(&clock),
                                  NULL};
    const char *source = json_string_value(json_object_get(job, "template"));
    if (source == NULL) {
        return NULL;
    }
    fr_status status = fr_jinja_parse(ctx, source, strlen(source), &jinja);
    if (status == FR_OK) {
        status = fr_jinja_render(ctx, jinja, &given, &rendered);
    }
    json_t *answer = status == FR_OK
                         ? json_pack("{s:o, s:o}", "text",
                                     json_stringn(rendered.text, rendered.bytes),
                                     "generated", spans(&rendered))
                         : json_pack("{s:s}", "refused", fr_ctx_error(ctx));
    fr_ctx_clear_error(ctx);
    fr_jinja_destroy(&jinja);
    fr_jinja_rendered_fini(&rendered);
    return answer;
}

int main(void)
{
    fr_ctx *ctx = fr_ctx_create();
    json_error_t error;
    int code = ctx != NULL ? 0 : 1;
    while (code == 0) {
        json_t *job =
            json_loadf(stdin, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &error);
        if (job == NULL) {
            break;
        }
        json_t *answer = render(ctx, job);
        if (answer == NULL || json_dumpf(answer, stdout, JSON_COMPACT) != 0 ||
            putchar('\n') == EOF || fflush(stdout) != 0) {
            code = 1;
        }
        json_decref(answer);
        json_decref(job);
    }
    fr_ctx_destroy(&ctx);
    return code;
}
