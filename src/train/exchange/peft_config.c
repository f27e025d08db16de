#include "model/files/hf_json.h"
#include "train/exchange/peft.h"

#include <string.h>

/* A checkpoint holds no larger sizes. */
enum { MAX_SIZE = 1 << 20 };

static fr_status need_object(const fr_hf_fields *fields)
{
    return json_is_object(fields->object)
               ? FR_OK
               : FR_FAIL(fields->ctx, FR_ERR_FORMAT,
                         "%s: the file is not a JSON object; give the folder that "
                         "PEFT's save_pretrained wrote",
                         fields->path);
}

static fr_status read_type(const fr_hf_fields *fields, fr_peft_config *out)
{
    static const char *const TYPES[] = {"PREFIX_TUNING", "CARTRIDGE"};
    const char *type = NULL;
    FR_TRY(fr_hf_text(fields, "peft_type", &type));
    if (type == NULL) {
        return FR_FAIL(fields->ctx, FR_ERR_FORMAT,
                       "%s: peft_type is missing; give the folder that PEFT's "
                       "save_pretrained wrote",
                       fields->path);
    }
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (strcmp(type, TYPES[i]) == 0) {
            out->type = TYPES[i];
            return FR_OK;
        }
    }
    return FR_FAIL(fields->ctx, FR_ERR_UNSUPPORTED,
                   "%s: peft_type is %s, must be PREFIX_TUNING or CARTRIDGE: other "
                   "adapters hold no keys and values; import one of these",
                   fields->path, fr_show(fr_text_of(type)).text);
}

/* Of other tasks the adapter is trained with a part that Forerun lacks, such as an encoder or a classifier. */
static fr_status check_task(const fr_hf_fields *fields)
{
    const char *task = NULL;
    int64_t parts = 1;
    FR_TRY(fr_hf_text(fields, "task_type", &task));
    if (task != NULL && strcmp(task, "CAUSAL_LM") != 0) {
        return FR_FAIL(fields->ctx, FR_ERR_UNSUPPORTED,
                       "%s: task_type is %s, must be CAUSAL_LM: Forerun computes "
                       "models that continue a text; import an adapter for one",
                       fields->path, fr_show(fr_text_of(task)).text);
    }
    FR_TRY(fr_hf_count(fields, "num_transformer_submodules", false, &parts));
    if (parts != 1) {
        return FR_FAIL(fields->ctx, FR_ERR_UNSUPPORTED,
                       "%s: num_transformer_submodules is %lld, must be 1: a model "
                       "with an encoder is not supported",
                       fields->path, (long long)parts);
    }
    if (fr_hf_get(fields, "modules_to_save") != NULL) {
        return FR_FAIL(fields->ctx, FR_ERR_UNSUPPORTED,
                       "%s: modules_to_save is set: parts of the base were trained "
                       "with the prefix, and Forerun's base stays as it is; train the "
                       "prefix without them",
                       fields->path);
    }
    return FR_OK;
}

static fr_status read_size(const fr_hf_fields *fields, const char *name, int64_t *out)
{
    if (fr_hf_get(fields, name) == NULL) {
        return FR_FAIL(fields->ctx, FR_ERR_FORMAT,
                       "%s: %s is missing; save the adapter again with PEFT's "
                       "save_pretrained, which writes it",
                       fields->path, name);
    }
    FR_TRY(fr_hf_count(fields, name, true, out));
    if (*out < 1 || *out > MAX_SIZE) {
        return FR_FAIL(fields->ctx, FR_ERR_FORMAT,
                       "%s: %s is %lld, must be from 1 to %d; save the adapter again "
                       "with PEFT's save_pretrained",
                       fields->path, name, (long long)*out, (int)MAX_SIZE);
    }
    return FR_OK;
}

static fr_status read_sizes(const fr_hf_fields *fields, fr_peft_config *out)
{
    int64_t width = 0;
    FR_TRY(read_size(fields, "num_virtual_tokens", &out->length));
    FR_TRY(read_size(fields, "num_layers", &out->n_layers));
    FR_TRY(read_size(fields, "num_attention_heads", &out->n_kv_heads));
    FR_TRY(read_size(fields, "token_dim", &width));
    if (width % out->n_kv_heads != 0) {
        return FR_FAIL(fields->ctx, FR_ERR_FORMAT,
                       "%s: token_dim is %lld, must be a multiple of "
                       "num_attention_heads, which is %lld; save the adapter again "
                       "with PEFT's save_pretrained",
                       fields->path, (long long)width, (long long)out->n_kv_heads);
    }
    out->head_dim = width / out->n_kv_heads;
    return FR_OK;
}

/* For people. */
static fr_status read_note(const fr_hf_fields *fields, const char *name, fr_shown *out)
{
    const char *text = NULL;
    FR_TRY(fr_hf_text(fields, name, &text));
    if (text != NULL) {
        *out = fr_show(fr_text_of(text));
    }
    return FR_OK;
}

static fr_status read_fields(const fr_hf_fields *fields, fr_peft_config *out)
{
    FR_TRY(need_object(fields));
    FR_TRY(read_type(fields, out));
    FR_TRY(check_task(fields));
    FR_TRY(read_sizes(fields, out));
    FR_TRY(fr_hf_flag(fields, "prefix_projection", &out->projected));
    FR_TRY(read_note(fields, "base_model_name_or_path", &out->base));
    return read_note(fields, "peft_version", &out->version);
}

fr_status fr_peft_config_read(fr_ctx *ctx, const char *path, fr_peft_config *out)
{
    json_t *object = NULL;
    *out = (fr_peft_config){0};
    FR_TRY(fr_hf_load(ctx, path, &object));
    fr_hf_fields fields = {ctx, path, object};
    fr_status status = read_fields(&fields, out);
    json_decref(object);
    return status;
}
