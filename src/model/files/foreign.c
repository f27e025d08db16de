#define _POSIX_C_SOURCE 200809L
#include "model/files/foreign.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/files/hub.h"
#include "model/files/names.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static bool text_begins(fr_text text, const char *start)
{
    size_t n = strlen(start);
    return text.bytes >= n && memcmp(text.data, start, n) == 0;
}

static bool text_ends(fr_text text, const char *end)
{
    size_t n = strlen(end);
    return text.bytes >= n && memcmp(text.data + text.bytes - n, end, n) == 0;
}

/* ---- paths ------------------------------------------------------------------------------------- */

/* Say how to fetch a model of the hub that is not in its cache. If the first part of a path is a folder on this machine, the
 * text is a misspelt path and not a repository. */
static fr_status check_hub_name(fr_ctx *ctx, const char *path, const char *text,
                                const fr_hub_name *name)
{
    char *owner = NULL;
    char *cache = NULL;
    FR_TRY(fr_copy_string(ctx, text, &owner));
    owner[name->owner.bytes] = '\0';
    bool is_path = path == text && fr_is_folder(owner);
    free(owner);
    if (is_path) {
        return FR_OK;
    }
    FR_TRY(fr_hub_folder(ctx, &cache));
    fr_status status = FR_FAIL(
        ctx, FR_ERR_DATA,
        "%s: there is no such file or folder, and the hub's cache (%s) has no model "
        "%.*s/%.*s. Forerun downloads nothing: if it is the name of a repository on "
        "the "
        "Hugging Face hub, fetch it with '%s' and give %s",
        path, cache != NULL ? cache : "its folder is unknown: HF_HOME is not set",
        (int)name->owner.bytes, name->owner.data, (int)name->name.bytes,
        name->name.data, fr_hub_command_for(name).text, text);
    free(cache);
    return status;
}

/* An address on the hub, whose model may lie in its cache. */
static fr_status check_address(fr_ctx *ctx, const char *path, const char *text,
                               const fr_hub_name *name)
{
    char *found = NULL;
    fr_status status = fr_hub_find(ctx, text, name, false, &found);
    if (status == FR_OK && found != NULL) {
        status = FR_FAIL(ctx, FR_ERR_DATA,
                         "%s: this is an address, and Forerun downloads nothing; the "
                         "hub's cache has the model: give %s",
                         path, text);
    } else if (status == FR_OK) {
        status = check_hub_name(ctx, path, text, name);
    }
    free(found);
    return status;
}

/* OWNER/NAME of an address on the hub, of whatever page or file; NULL if it is not such an address. */
static fr_status name_in_address(fr_ctx *ctx, const char *path, char **name)
{
    static const char *const HUBS[] = {"https://huggingface.co/",
                                       "http://huggingface.co/",
                                       "https://hf.co/",
                                       "http://hf.co/",
                                       "huggingface.co/",
                                       "hf.co/",
                                       "hf://models/",
                                       "hf://"};
    *name = NULL;
    for (size_t i = 0; i < sizeof HUBS / sizeof HUBS[0] && *name == NULL; i++) {
        size_t n = strlen(HUBS[i]);
        if (strncmp(path, HUBS[i], n) == 0) {
            FR_TRY(fr_copy_string(ctx, path + n, name));
        }
    }
    if (*name == NULL) {
        return FR_OK;
    }
    char *end = *name + strcspn(*name, "/?#@");
    end += *end == '/' ? 1 + strcspn(end + 1, "/?#@") : 0;
    *end = '\0';
    fr_hub_name parts;
    if (!fr_hub_name_read(*name, &parts)) {
        free(*name);
        *name = NULL;
    }
    return FR_OK;
}

static fr_status check_missing(fr_ctx *ctx, const char *path)
{
    char *name = NULL;
    fr_hub_name parts;
    FR_TRY(name_in_address(ctx, path, &name));
    fr_status status = FR_OK;
    if (name != NULL && fr_hub_name_read(name, &parts)) {
        status = check_address(ctx, path, name, &parts);
    } else if (strstr(path, "://") != NULL) {
        status = FR_FAIL(ctx, FR_ERR_DATA,
                         "%s: this is an address, and Forerun downloads nothing; fetch "
                         "the model and give its file or folder",
                         path);
    } else if (fr_hub_name_read(path, &parts)) {
        status = check_hub_name(ctx, path, path, &parts);
    }
    free(name);
    return status;
}

fr_status fr_foreign_path(fr_ctx *ctx, const char *path)
{
    fr_text text = fr_text_of(path);
    if (fr_is_folder(path)) {
        return FR_OK;
    }
    if (!fr_file_exists(path)) {
        return check_missing(ctx, path);
    }
    if (text_ends(text, ".safetensors") || text_ends(text, ".index.json") ||
        text_ends(text, "config.json") || text_ends(text, "tokenizer.json")) {
        return FR_FAIL(
            ctx, FR_ERR_DATA,
            "%s: this is one file of a model's folder; give the folder, which "
            "holds config.json and model.safetensors",
            path);
    }
    return FR_OK;
}

/* ---- folders ----------------------------------------------------------------------------------- */

enum { NO_CONFIG = 1, NO_WEIGHTS = 2, EITHER = 3 };

typedef struct folder_kind {
    const char *begins;
    const char *ends;
    int where;
    const char *what; /* the rest of the sentence that "the folder holds NAME" begins */
} folder_kind;

static const char CONVERT[] =
    " and no safetensors; this format of weights is not read: convert it with "
    "transformers (from_pretrained, then save_pretrained) or to GGUF";

/* The first kind that matches is used. */
static const folder_kind KINDS[] = {
    {"adapter_config", ".json", EITHER,
     ", so it is an adapter (PEFT), not a model; give the folder of the model that it "
     "changes, or merge it into that model first (merge_and_unload); a prefix of "
     "PEFT's becomes a prefix file by `forerun import`"},
    {"adapter_model", ".safetensors", EITHER,
     ", so it is an adapter (PEFT), not a model; give the folder of the model that it "
     "changes, or merge it into that model first (merge_and_unload); a prefix of "
     "PEFT's becomes a prefix file by `forerun import`"},
    {"model_index.json", "", NO_CONFIG,
     ", so it is a pipeline of several models; give the folder of one language model"},
    {"", ".gguf", EITHER, "; give that file, not the folder"},
    {"snapshots", "", NO_CONFIG,
     ", so it is a hub's cache; give the folder inside snapshots that has config.json, "
     "or "
     "the model's name, OWNER/NAME"},
    {"prefix", ".h5", NO_CONFIG,
     ", so it is a run's folder, not a model; prefixes go to --prefix"},
    {"best", ".h5", NO_CONFIG,
     ", so it is a run's folder, not a model; prefixes go to --prefix"},
    {"checkpoint-", ".h5", NO_CONFIG,
     ", so it is a run's folder, not a model; prefixes go to --prefix"},
    {"checkpoint-", "", NO_CONFIG, " and no config.json; give a folder that has one"},
    {"consolidated", "", EITHER,
     ", which are weights as their makers train them; give the same model in the form "
     "of "
     "transformers (config.json, model.safetensors)"},
    {"model-", ".safetensors", NO_WEIGHTS,
     " and no model.safetensors.index.json, which says what lies in which file; fetch "
     "that as well"},
    {"", ".safetensors", NO_WEIGHTS,
     ", but weights are looked for in model.safetensors; give it that name if it is "
     "all "
     "of the model"},
    {"", ".bin", NO_WEIGHTS, CONVERT},
    {"", ".pt", NO_WEIGHTS, CONVERT},
    {"", ".pth", NO_WEIGHTS, CONVERT},
    {"", ".ckpt", NO_WEIGHTS, CONVERT},
    {"", ".msgpack", NO_WEIGHTS, CONVERT},
    {"", ".h5", NO_WEIGHTS, CONVERT},
    {"", ".onnx", NO_WEIGHTS, CONVERT},
    {"", ".npz", NO_WEIGHTS, CONVERT},
};

enum { N_KINDS = sizeof KINDS / sizeof KINDS[0] };

static int kind_of(const char *name, int where)
{
    for (int k = 0; k < N_KINDS; k++) {
        if ((KINDS[k].where & where) != 0 &&
            text_begins(fr_text_of(name), KINDS[k].begins) &&
            text_ends(fr_text_of(name), KINDS[k].ends)) {
            return k;
        }
    }
    return N_KINDS;
}

/* The kind that is used, and its first name in the order of bytes: a folder lists its files in no fixed order. */
static fr_status survey(fr_ctx *ctx, const char *folder, int where, int *kind,
                        char **name)
{
    *kind = N_KINDS;
    *name = NULL;
    DIR *entries = opendir(folder);
    const struct dirent *entry = entries != NULL ? readdir(entries) : NULL;
    fr_status status = FR_OK;
    while (status == FR_OK && entry != NULL) {
        int k = kind_of(entry->d_name, where);
        if (k < *kind ||
            (k == *kind && *name != NULL && strcmp(entry->d_name, *name) < 0)) {
            free(*name);
            *kind = k;
            status = fr_copy_string(ctx, entry->d_name, name);
        }
        entry = readdir(entries);
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
    return status;
}

static fr_status name_kind(fr_ctx *ctx, const char *folder, int where)
{
    int kind = N_KINDS;
    char *name = NULL;
    fr_status status = survey(ctx, folder, where, &kind, &name);
    if (status == FR_OK && kind < N_KINDS) {
        status = FR_FAIL(ctx, FR_ERR_DATA, "%s: the folder holds %s%s", folder,
                         fr_show(fr_text_of(name)).text, KINDS[kind].what);
    }
    free(name);
    return status;
}

fr_status fr_foreign_folder(fr_ctx *ctx, const char *folder)
{
    return name_kind(ctx, folder, NO_CONFIG);
}

fr_status fr_foreign_weights(fr_ctx *ctx, const char *folder)
{
    FR_TRY(name_kind(ctx, folder, NO_WEIGHTS));
    return FR_FAIL(ctx, FR_ERR_DATA,
                   "%s: the folder has neither model.safetensors nor "
                   "model.safetensors.index.json; "
                   "fetch the weights as well",
                   folder);
}

/* ---- tensors ----------------------------------------------------------------------------------- */

#define UNQUANTISED "; give the unquantised model's folder, or a GGUF file"
#define ADAPTER                                                                        \
    "so it is an adapter (PEFT), not a model; give the folder of the model that it "   \
    "changes, or merge it into that model first (merge_and_unload)"

static bool text_holds(fr_text text, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.bytes; i++) {
        if (memcmp(text.data + i, part, n) == 0) {
            return true;
        }
    }
    return false;
}

const char *fr_foreign_tensor(fr_text name)
{
    static const struct {
        const char *begins;
        const char *holds;
        const char *ends;
        const char *what;
    } TENSORS[] = {
        {"base_model.model.", "", "", ADAPTER},
        {"", ".lora_", "", ADAPTER},
        {"", "", ".qweight", "so it is quantised (GPTQ or AWQ)" UNQUANTISED},
        {"", "", ".qzeros", "so it is quantised (GPTQ or AWQ)" UNQUANTISED},
        {"", "", ".g_idx", "so it is quantised (GPTQ)" UNQUANTISED},
        {"", "", ".absmax", "so it is quantised (bitsandbytes)" UNQUANTISED},
        {"", "", ".SCB", "so it is quantised (bitsandbytes)" UNQUANTISED},
        {"", ".quant_state.", "", "so it is quantised (bitsandbytes)" UNQUANTISED},
        {"", "", ".weight_packed",
         "so it is quantised (compressed-tensors)" UNQUANTISED},
        {"", "", ".weight_scale", "so it is quantised (FP8 or int8)" UNQUANTISED},
        {"", "", ".input_scale", "so it is quantised (FP8 or int8)" UNQUANTISED},
        {"", "", ".weight_scale_inv", "so it is quantised (FP8)" UNQUANTISED},
        {"", "", "_proj_blocks", "so it is quantised (MXFP4)" UNQUANTISED},
        {"", "", ".weight._data", "so it is quantised (quanto)" UNQUANTISED},
        {"", "", ".W_q", "so it is quantised (HQQ)" UNQUANTISED},
        {"", ".experts.", "",
         "so it is a mixture of experts; give a model without experts"},
        {"vision_tower.", "", "",
         "so it takes pictures as well; give a model of text alone"},
        {"model.vision_tower.", "", "",
         "so it takes pictures as well; give a model of text alone"},
    };
    for (size_t i = 0; i < sizeof TENSORS / sizeof TENSORS[0]; i++) {
        if (text_begins(name, TENSORS[i].begins) &&
            text_holds(name, TENSORS[i].holds) && text_ends(name, TENSORS[i].ends)) {
            return TENSORS[i].what;
        }
    }
    return NULL;
}

bool fr_foreign_is_other_part(fr_text name)
{
    static const char *const PARTS[] = {"vision_tower.", "multi_modal_projector.",
                                        "model.vision_tower.",
                                        "model.multi_modal_projector."};
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        if (text_begins(name, PARTS[i])) {
            return true;
        }
    }
    return false;
}
