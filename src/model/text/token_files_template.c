/* The chat template of a Hugging Face folder, which may lie in one of three files. */
#include "base/file.h"
#include "model/files/hf_json.h"
#include "model/text/chat.h"
#include "model/text/token_files.h"

#include <stdlib.h>
#include <string.h>

/* chat_template of a configuration: a text, or a list of named texts, of which "default" counts. */
static const json_t *configured_template(const json_t *config)
{
    const json_t *value = json_object_get(config, "chat_template");
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name != NULL && strcmp(name, "default") == 0) {
            return json_object_get(item, "template");
        }
    }
    return value;
}

static fr_status copy_template(fr_ctx *ctx, const json_t *value, char **out)
{
    fr_text found = {json_string_value(value), json_string_length(value)};
    return json_is_string(value) ? fr_template_copy(ctx, "chat_template", found, out)
                                 : FR_OK;
}

/* chat_template.json, which models with several kinds of input have beside the tokenizer's files. */
static fr_status read_processor_template(fr_ctx *ctx, const char *path, char **out)
{
    json_t *config = NULL;
    FR_TRY(fr_hf_load(ctx, path, &config));
    fr_status status = copy_template(ctx, configured_template(config), out);
    json_decref(config);
    return status;
}

static fr_status read_template_file(fr_ctx *ctx, const char *path, char **out)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(fr_file_read(ctx, path, &text, &bytes));
    fr_status status = fr_template_copy(ctx, path, (fr_text){text, bytes}, out);
    free(text);
    return status;
}

/* chat_template.jinja comes first, then the tokenizer's configuration, then the processor's. */
fr_status fr_token_files_template(fr_ctx *ctx, const fr_token_files *files, char **out)
{
    *out = NULL;
    char *plain = NULL;
    char *processor = NULL;
    const json_t *value = configured_template(files->tokenizer_config);
    FR_TRY(fr_join_path(ctx, files->folder, "chat_template.jinja", &plain));
    fr_status status =
        fr_join_path(ctx, files->folder, "chat_template.json", &processor);
    if (status == FR_OK && fr_file_exists(plain)) {
        status = read_template_file(ctx, plain, out);
    } else if (status == FR_OK && json_is_string(value)) {
        status = copy_template(ctx, value, out);
    } else if (status == FR_OK && fr_file_exists(processor)) {
        status = read_processor_template(ctx, processor, out);
    }
    free(processor);
    free(plain);
    return status;
}
