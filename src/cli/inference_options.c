#include "cli/inference_options.h"

#include "base/mem.h"
#include "base/output.h"
#include "train/prefix_file.h"
#include "train/text.h"
#include "train/written.h"

#include <stdio.h>
#include <stdlib.h>
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

fr_status fr_template_option(fr_ctx *ctx, const fr_options *options, char **out)
{
    const char *text = fr_options_text(options, "template");
    fr_template parts;
    *out = NULL;
    if (text == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_written_read_template(ctx, "--template", text, out));
    fr_status status = fr_template_parse(ctx, *out, &parts);
    if (status != FR_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

fr_status fr_row_options(fr_ctx *ctx, const fr_options *options, const char **ignore,
                         bool *skip)
{
    const char *on_error = fr_options_text(options, "on-error");
    *ignore = fr_options_text(options, "ignore");
    *skip = on_error != NULL && strcmp(on_error, "skip") == 0;
    if (on_error != NULL && !*skip && strcmp(on_error, "stop") != 0) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--on-error %s, must be stop or skip",
                       on_error);
    }
    return FR_OK;
}

void fr_tell_of_chat(const fr_ctx *ctx, const fr_inference_params *params,
                     const fr_tokenizer *tokenizer)
{
    bool is_bare =
        !params->chat && params->prefix == NULL && params->template_text == NULL;
    if (is_bare && tokenizer != NULL && fr_tokenizer_chat_frame(tokenizer)->is_chatml) {
        fr_log(
            ctx, FR_LOG_INFO,
            "this model has a chat template: --chat makes the prompt a user's turn in "
            "it");
    }
}

static fr_status apart_from_prefix(fr_ctx *ctx, const char *option, const char *output,
                                   const char *prefix)
{
    char *file = NULL;
    const char *task = NULL;
    FR_TRY(fr_copy_string(ctx, prefix, &file));
    fr_prefix_file_split(file, &task);
    fr_status status = fr_output_apart(ctx, option, output, "--prefix", file);
    free(file);
    return status;
}

static fr_status apart_from_all(fr_ctx *ctx, const fr_options *options,
                                const char *option, const char *output,
                                const char *rows)
{
    enum { NAME_BYTES = 32 };
    const char *prefix = fr_options_text(options, "prefix");
    char reader[NAME_BYTES];
    (void)snprintf(reader, sizeof reader, "--%s", rows);
    FR_TRY(
        fr_output_apart(ctx, option, output, reader, fr_options_text(options, rows)));
    if (prefix != NULL) {
        FR_TRY(apart_from_prefix(ctx, option, output, prefix));
    }
    return fr_output_apart(ctx, option, output, "--model",
                           fr_options_text(options, "model"));
}

/* Answers stand in OUT.part until they are whole. */
fr_status fr_output_apart_option(fr_ctx *ctx, const fr_options *options,
                                 const char *name, const char *rows)
{
    enum { NAME_BYTES = 32 };
    const char *output = fr_options_text(options, name);
    char option[NAME_BYTES];
    char *part = NULL;
    if (output == NULL) {
        return FR_OK;
    }
    (void)snprintf(option, sizeof option, "--%s", name);
    FR_TRY(apart_from_all(ctx, options, option, output, rows));
    size_t bytes = strlen(output) + sizeof ".part";
    FR_TRY(fr_alloc(ctx, (int64_t)bytes, 1, &part));
    (void)snprintf(part, bytes, "%s.part", output);
    (void)snprintf(option, sizeof option, "--%s: its", name);
    fr_status status = apart_from_all(ctx, options, option, part, rows);
    free(part);
    return status;
}

fr_status fr_output_option(fr_ctx *ctx, const fr_options *options, const char *name,
                           const char *rows)
{
    const char *output = fr_options_text(options, name);
    enum { NAME_BYTES = 32 };
    char option[NAME_BYTES];
    if (output == NULL) {
        return FR_OK;
    }
    (void)snprintf(option, sizeof option, "--%s", name);
    FR_TRY(apart_from_all(ctx, options, option, output, rows));
    return fr_ctx_rank(ctx) == 0 ? fr_output_check(ctx, output) : FR_OK;
}
