#include "base/file.h"
#include "base/mem.h"
#include "base/text_map.h"
#include "model/families/hf_config.h"
#include "model/files/foreign.h"
#include "model/files/hf_json.h"
#include "model/files/names.h"
#include "model/weights/weights_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_source(fr_weights *weights, const fr_safetensor *tensor)
{
    fr_source *source = &weights->sources[weights->n_sources++];
    source->name = tensor->name;
    source->type_name = tensor->dtype;
    source->type = tensor->type;
    source->n_dims = tensor->n_dims;
    memcpy(source->shape, tensor->shape, sizeof source->shape);
    source->data = tensor->data;
    source->bytes = tensor->bytes;
}

/* Open a file of the folder as the next shard. */
static fr_status open_shard(fr_ctx *ctx, fr_weights *weights, const char *name,
                            fr_safetensors **out)
{
    char *path = NULL;
    *out = NULL;
    fr_status status = fr_join_path(ctx, weights->path, name, &path);
    if (status == FR_OK) {
        status = fr_safetensors_open(ctx, path, out);
    }
    if (status == FR_OK) {
        weights->shards[weights->n_shards++] = *out;
    }
    free(path);
    return status;
}

static fr_status load_single(fr_ctx *ctx, fr_weights *weights, const char *name)
{
    fr_safetensors *file = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof(fr_safetensors *), &weights->shards));
    FR_TRY(open_shard(ctx, weights, name, &file));
    int64_t n = fr_safetensors_n_tensors(file);
    FR_TRY(fr_alloc(ctx, n, sizeof *weights->sources, &weights->sources));
    for (int64_t i = 0; i < n; i++) {
        add_source(weights, fr_safetensors_tensor_at(file, i));
    }
    return FR_OK;
}

/* An index being read. */
typedef struct index_reader {
    fr_ctx *ctx;
    const char *path;
    fr_weights *weights;
    fr_text_map places; /* file names to numbers of open shards */
} index_reader;

static fr_status check_shard_is_there(const index_reader *r, const char *name)
{
    char *path = NULL;
    FR_TRY(fr_join_path(r->ctx, r->weights->path, name, &path));
    bool is_there = fr_file_exists(path);
    free(path);
    if (is_there) {
        return FR_OK;
    }
    return FR_FAIL(
        r->ctx, FR_ERR_DATA,
        "%s: the index names the file %s, which is not in the folder; fetch all files "
        "that the index names",
        r->path, fr_show(fr_text_of(name)).text);
}

/* The shard of that file name, opened at its first mention. */
static fr_status find_shard(index_reader *r, const char *name, fr_safetensors **out)
{
    fr_weights *weights = r->weights;
    int32_t number = fr_text_map_find(&r->places, fr_text_of(name));
    if (number >= 0) {
        *out = weights->shards[number];
        return FR_OK;
    }
    FR_TRY(check_shard_is_there(r, name));
    FR_TRY(open_shard(r->ctx, weights, name, out));
    (void)fr_text_map_add(&r->places, fr_text_of(name),
                          (int32_t)(weights->n_shards - 1));
    return FR_OK;
}

/* One line of the index: `name` lies in the file `place` of the same folder. */
static fr_status add_indexed(index_reader *r, const char *name, const char *place)
{
    if (place == NULL || place[0] == '\0' || strchr(place, '/') != NULL ||
        strcmp(place, "..") == 0 || strcmp(place, ".") == 0) {
        return FR_FAIL(r->ctx, FR_ERR_FORMAT,
                       "%s: tensor %s is in '%s', must be a file of the same folder",
                       r->path, fr_show(fr_text_of(name)).text,
                       place != NULL ? fr_show(fr_text_of(place)).text
                                     : "(not a string)");
    }
    fr_safetensors *shard = NULL;
    FR_TRY(find_shard(r, place, &shard));
    const fr_safetensor *tensor = fr_safetensors_find(shard, name);
    if (tensor == NULL) {
        return FR_FAIL(r->ctx, FR_ERR_FORMAT, "%s: tensor %s is not in %s", r->path,
                       fr_show(fr_text_of(name)).text, fr_safetensors_path(shard));
    }
    add_source(r->weights, tensor);
    return FR_OK;
}

/* There are at most as many files as names. */
static fr_status load_indexed(index_reader *r, const json_t *root)
{
    fr_weights *weights = r->weights;
    json_t *map = json_object_get(root, "weight_map");
    const char *name = NULL;
    json_t *place = NULL;
    if (!json_is_object(map)) {
        return FR_FAIL(r->ctx, FR_ERR_FORMAT,
                       "%s: the index lacks the object weight_map", r->path);
    }
    int64_t n = (int64_t)json_object_size(map);
    FR_TRY(fr_alloc(r->ctx, n, sizeof(fr_safetensors *), &weights->shards));
    FR_TRY(fr_alloc(r->ctx, n, sizeof *weights->sources, &weights->sources));
    FR_TRY(fr_text_map_init(r->ctx, &r->places, n));
    json_object_foreach(map, name, place)
    {
        FR_TRY(add_indexed(r, name, json_string_value(place)));
    }
    return FR_OK;
}

static fr_status load_shards(fr_ctx *ctx, fr_weights *weights, const char *index_path)
{
    json_t *root = NULL;
    index_reader r = {.ctx = ctx, .path = index_path, .weights = weights};
    FR_TRY(fr_hf_load(ctx, index_path, &root));
    fr_status status = load_indexed(&r, root);
    fr_text_map_fini(&r.places);
    json_decref(root);
    return status;
}

static fr_status load_tensors(fr_ctx *ctx, fr_weights *weights)
{
    static const char SINGLE[] = "model.safetensors";
    char *single = NULL;
    char *index = NULL;
    fr_status status = fr_join_path(ctx, weights->path, SINGLE, &single);
    if (status == FR_OK) {
        status =
            fr_join_path(ctx, weights->path, "model.safetensors.index.json", &index);
    }
    if (status != FR_OK) {
        goto out;
    }
    if (fr_file_exists(single)) {
        status = load_single(ctx, weights, SINGLE);
    } else if (fr_file_exists(index)) {
        status = load_shards(ctx, weights, index);
    } else {
        status = fr_foreign_weights(ctx, weights->path);
    }
out:
    free(single);
    free(index);
    return status;
}

/* Look for tensors whose names show that the folder is not a supported model. This comes before the search for missing
 * tensors, since such a folder has them under other names. */
static fr_status check_foreign(fr_ctx *ctx, const fr_weights *weights)
{
    for (int64_t i = 0; i < weights->n_sources; i++) {
        fr_text name = weights->sources[i].name;
        bool other_part = weights->has_other_parts && fr_foreign_is_other_part(name);
        const char *what = other_part ? NULL : fr_foreign_tensor(name);
        if (what != NULL) {
            return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                           "%s: the folder holds tensor %s, %s", weights->path,
                           fr_show(name).text, what);
        }
    }
    return FR_OK;
}

static bool has_prefix(const fr_weights *weights, const char *prefix)
{
    static const fr_weight ROLES[] = {FR_W_FINAL_NORM, FR_W_TOKENS};
    char name[96];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof name, "%s%s", prefix,
                       weights->scheme->names[ROLES[i]]);
        if (fr_weights_find_source(weights, name) != NULL) {
            return true;
        }
    }
    return false;
}

/* Names start with the inner model's name, or without it where only that was saved. Where the files have neither, the
 * message about the missing tensor uses the name that most files have. */
static void find_prefix(fr_weights *weights)
{
    const fr_scheme *scheme = weights->scheme;
    weights->prefix = scheme->usual_prefix;
    for (int i = 0; i < FR_SCHEME_PREFIXES && scheme->prefixes[i] != NULL; i++) {
        if (has_prefix(weights, scheme->prefixes[i])) {
            weights->prefix = scheme->prefixes[i];
            return;
        }
    }
}

/* The library has renamed heads: a folder may hold any of these names. */
static void find_head(fr_weights *weights)
{
    static const char *const HEADS[] = {"lm_head.weight", "embed_out.weight",
                                        "language_model.lm_head.weight"};
    weights->head = weights->scheme->names[FR_W_HEAD];
    for (int i = 0; i < 3 && fr_weights_find_source(weights, weights->head) == NULL;
         i++) {
        if (fr_weights_find_source(weights, HEADS[i]) != NULL) {
            weights->head = HEADS[i];
        }
    }
}

fr_status fr_weights_load_folder(fr_ctx *ctx, fr_weights *weights)
{
    fr_hf_config config;
    FR_TRY(fr_hf_folder_config(ctx, weights->path, &config));
    weights->arch = config.arch;
    weights->family = config.family;
    weights->scheme = config.family->folder;
    weights->has_other_parts = config.has_other_parts;
    FR_TRY(load_tensors(ctx, weights));
    FR_TRY(fr_weights_index(ctx, weights));
    FR_TRY(check_foreign(ctx, weights));
    find_prefix(weights);
    find_head(weights);
    fr_weights_set_needs(weights);
    FR_TRY(fr_weights_bind(ctx, weights));
    FR_TRY(fr_weights_check_used(ctx, weights));
    return fr_weights_check_listed(ctx, weights);
}
