#include "cli/inference_options.h"

#include "base/mem.h"

#include <string.h>

fr_status fr_inference_options(fr_ctx *ctx, const fr_options *options,
                               fr_inference_params *out)
{
    const char *precision = fr_options_text(options, "precision");
    const char *weights = fr_options_text(options, "weights");
    *out = (fr_inference_params){.prefix = fr_options_text(options, "prefix"),
                                 .chat = fr_options_has(options, "chat"),
                                 .precision = FR_PRECISION_BF16};
    FR_TRY(fr_options_need(ctx, options, "model", &out->model));
    if (precision != NULL && strcmp(precision, "f32") == 0) {
        out->precision = FR_PRECISION_F32;
    } else if (precision != NULL && strcmp(precision, "bf16") != 0) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--precision %s, must be f32 or bf16",
                       precision);
    }
    if (weights != NULL && strcmp(weights, "quantised") == 0) {
        out->quantised = true;
    } else if (weights != NULL && strcmp(weights, "auto") != 0) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--weights %s, must be auto or quantised",
                       weights);
    }
    return fr_options_int(ctx, options, "threads", 1, 4096, &out->threads);
}

static char unescape(char c)
{
    return c == 'n' ? '\n' : c == 't' ? '\t' : c;
}

fr_status fr_template_option(fr_ctx *ctx, const fr_options *options, char **out)
{
    const char *text = fr_options_text(options, "template");
    *out = NULL;
    if (text == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_copy_string(ctx, text, out));
    char *to = *out;
    for (const char *from = text; *from != '\0'; from++) {
        bool escaped =
            *from == '\\' && (from[1] == 'n' || from[1] == 't' || from[1] == '\\');
        if (escaped) {
            from++;
        }
        *to++ = escaped ? unescape(*from) : *from;
    }
    *to = '\0';
    return FR_OK;
}

void fr_tell_of_chat(const fr_ctx *ctx, const fr_inference_params *params,
                     const fr_tokenizer *tokenizer)
{
    bool is_bare =
        !params->chat && params->prefix == NULL && params->template_text == NULL;
    if (is_bare && tokenizer != NULL && fr_tokenizer_chat_template(tokenizer) != NULL) {
        fr_log(
            ctx, FR_LOG_INFO,
            "this model has a chat template: --chat makes the prompt a user's turn in "
            "it");
    }
}
