/* Options that `eval`, `generate` and `tokenize` share, and the rule that an output is never a file that is read.
 *
 * The rule is checked before any work, for the rows, the prefix and the model. An output that is collected first also
 * writes OUT.part and OUT.part.info beside it, so these two are checked in the same way (WITH_PARTS); one that is
 * written at once is checked alone (ALONE). A prefix is given as FILE[:TASK], so its task is cut off before files are
 * compared.
 */
#include "cli/inference_options.h"

#include "base/mem.h"
#include "base/output.h"
#include "cli/path_ending.h"
#include "device/kinds.h"
#include "model/files/where.h"
#include "train/checkpoint/prefix_file.h"
#include "train/config/written.h"
#include "train/data/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fr_status read_offload(fr_ctx *ctx, const fr_options *options, int64_t *out)
{
    enum { MOST = 1000000 };
    const char *text = fr_options_text(options, "offload");
    *out = FR_AUTO;
    if (text == NULL || strcmp(text, "auto") == 0) {
        return FR_OK;
    }
    if (strcmp(text, "none") == 0) {
        *out = FR_NONE;
        return FR_OK;
    }
    return fr_options_int(ctx, options, "offload", 1, MOST, out);
}

fr_chat_source fr_chat_options(const fr_options *options)
{
    return (fr_chat_source){
        .file = fr_options_text(options, "chat-template"),
        .settings = {.arguments = fr_options_text(options, "chat-arguments"),
                     .clock = fr_options_text(options, "chat-clock")}};
}

fr_status fr_inference_options(fr_ctx *ctx, const fr_options *options,
                               fr_inference_params *out)
{
    const char *precision = fr_options_text(options, "precision");
    const char *weights = fr_options_text(options, "weights");
    const char *device = fr_options_text(options, "device");
    const char *products = fr_options_text(options, "products");
    *out = (fr_inference_params){.prefix = fr_options_text(options, "prefix"),
                                 .chat = fr_options_has(options, "chat"),
                                 .chat_source = fr_chat_options(options),
                                 .precision = FR_PRECISION_BF16,
                                 .device = device != NULL ? device : "auto"};
    FR_TRY(fr_device_check_kind(ctx, "--device", out->device));
    out->own_products = products != NULL && strcmp(products, "own") == 0;
    if (products != NULL && !out->own_products && strcmp(products, "auto") != 0) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--products is %s; it must be auto or own",
                       products);
    }
    out->chat = out->chat || out->chat_source.file != NULL ||
                out->chat_source.settings.arguments != NULL ||
                out->chat_source.settings.clock != NULL;
    FR_TRY(fr_options_need(ctx, options, "model", &out->model));
    if (precision != NULL && strcmp(precision, "f32") == 0) {
        out->precision = FR_PRECISION_F32;
    } else if (precision != NULL && strcmp(precision, "bf16") != 0) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--precision is %s; it must be f32 or bf16",
                       precision);
    }
    if (weights != NULL && strcmp(weights, "quantised") == 0) {
        out->quantised = true;
    } else if (weights != NULL && strcmp(weights, "auto") != 0) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--weights is %s; it must be auto or quantised",
                       weights);
    }
    FR_TRY(read_offload(ctx, options, &out->offload));
    return fr_options_int(ctx, options, "threads", 1, 4096, &out->threads);
}

/* The template is parsed here only to find a mistake before the model is opened; the readers of rows parse it again. */
fr_status fr_template_option(fr_ctx *ctx, const fr_options *options, char **out)
{
    const char *text = fr_options_text(options, "template");
    fr_template parts;
    *out = NULL;
    if (text == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_written_read_template(ctx, "--template", text, out));
    fr_status status = fr_template_parse(ctx, "--template", *out, &parts);
    if (status != FR_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

fr_status fr_row_options(fr_ctx *ctx, const fr_options *options, const char **ignore,
                         const char **fields, bool *skip)
{
    const char *on_error = fr_options_text(options, "on-error");
    *ignore = fr_options_text(options, "ignore");
    *fields = fr_options_text(options, "fields");
    *skip = on_error != NULL && strcmp(on_error, "skip") == 0;
    if (on_error != NULL && !*skip && strcmp(on_error, "stop") != 0) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--on-error is %s; it must be stop or skip",
                       on_error);
    }
    return FR_OK;
}

/* Only where nothing says how the prompt is to be read: a prefix brings the form in which it was trained. */
void fr_tell_of_chat(const fr_ctx *ctx, const fr_inference_params *params,
                     const fr_tokenizer *tokenizer)
{
    bool is_bare =
        !params->chat && params->prefix == NULL && params->template_text == NULL;
    if (is_bare && tokenizer != NULL &&
        fr_chat_is_usable(fr_tokenizer_chat(tokenizer))) {
        fr_log(ctx, FR_LOG_INFO,
               "this model has a chat template; --chat makes the prompt a user's turn "
               "in it");
    }
}

/* Files of an output that is replaced at the end (answers.h); the first one is the output itself. */
static const char *const ENDINGS[] = {"", ".part", ".part.info"};
enum { ALONE = 1, WITH_PARTS = 3, NAME_BYTES = 48 };

/* fr_output_apart, or fr_model_apart for the name of a model. */
typedef fr_status (*apart)(fr_ctx *ctx, const char *option, const char *output,
                           const char *reader, const char *input);

/* Option `name` with its output, or with what is written beside it, against one file that is read. */
static fr_status apart_by(apart compare, fr_ctx *ctx, const char *name,
                          const char *output, int n_endings, const char *reader,
                          const char *input)
{
    fr_status status = FR_OK;
    for (int i = 0; i < n_endings && status == FR_OK; i++) {
        char option[NAME_BYTES];
        char *path = NULL;
        FR_TRY(fr_path_with_ending(ctx, output, ENDINGS[i], &path));
        (void)snprintf(option, sizeof option, "--%s%s", name, i > 0 ? ": its" : "");
        status = compare(ctx, option, path, reader, input);
        free(path);
    }
    return status;
}

static fr_status apart_from(fr_ctx *ctx, const char *name, const char *output,
                            int n_endings, const char *reader, const char *input)
{
    return apart_by(fr_output_apart, ctx, name, output, n_endings, reader, input);
}

/* The file of a FILE[:TASK]; the caller frees. */
static fr_status prefix_file(fr_ctx *ctx, const char *reference, char **out)
{
    const char *task = NULL;
    FR_TRY(fr_copy_string(ctx, reference, out));
    fr_prefix_file_split(*out, &task);
    return FR_OK;
}

fr_status fr_output_apart_prefix(fr_ctx *ctx, const char *option, const char *output,
                                 const char *reader, const char *reference)
{
    char *file = NULL;
    FR_TRY(prefix_file(ctx, reference, &file));
    fr_status status = fr_output_apart(ctx, option, output, reader, file);
    free(file);
    return status;
}

/* The prefixes that rows name are not known yet; fr_output_apart_file checks each of them later. */
static fr_status apart_from_all(fr_ctx *ctx, const fr_options *options,
                                const char *name, const char *rows, int n_endings)
{
    const char *output = fr_options_text(options, name);
    const char *read_rows = fr_options_text(options, rows);
    const char *prefix = fr_options_text(options, "prefix");
    char *file = NULL;
    char reader[NAME_BYTES];
    if (output == NULL) {
        return FR_OK;
    }
    (void)snprintf(reader, sizeof reader, "--%s", rows);
    FR_TRY(apart_from(ctx, name, output, n_endings, reader, read_rows));
    if (prefix != NULL) {
        FR_TRY(prefix_file(ctx, prefix, &file));
    }
    fr_status status = apart_from(ctx, name, output, n_endings, "--prefix", file);
    free(file);
    FR_TRY(status);
    FR_TRY(apart_from(ctx, name, output, n_endings, "--chat-template",
                      fr_options_text(options, "chat-template")));
    return apart_by(fr_model_apart, ctx, name, output, n_endings, "--model",
                    fr_options_text(options, "model"));
}

fr_status fr_output_apart_option(fr_ctx *ctx, const fr_options *options,
                                 const char *name, const char *rows)
{
    return apart_from_all(ctx, options, name, rows, WITH_PARTS);
}

fr_status fr_output_apart_file(fr_ctx *ctx, const fr_options *options, const char *name,
                               const char *reader, const char *input)
{
    const char *output = fr_options_text(options, name);
    return output != NULL ? apart_from(ctx, name, output, WITH_PARTS, reader, input)
                          : FR_OK;
}

fr_status fr_output_option(fr_ctx *ctx, const fr_options *options, const char *name,
                           const char *rows)
{
    const char *output = fr_options_text(options, name);
    FR_TRY(apart_from_all(ctx, options, name, rows, ALONE));
    return output != NULL && fr_ctx_rank(ctx) == 0 ? fr_output_check(ctx, output)
                                                   : FR_OK;
}
