#include "base/file.h"
#include "base/mem.h"
#include "base/text_map.h"
#include "model/files/foreign.h"
#include "model/files/hf_config.h"
#include "model/files/hf_json.h"
#include "model/files/names.h"
#include "model/weights/weights_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char HEAD[] = "lm_head.weight";

static const fr_scheme LLAMA = {
    .layer_prefix = "layers.",
    .names =
        {
            [FR_W_TOKENS] = "embed_tokens.weight",
            [FR_W_FINAL_NORM] = "norm.weight",
            [FR_W_HEAD] = HEAD,
            [FR_W_ATTN_NORM] = "input_layernorm.weight",
            [FR_W_Q] = "self_attn.q_proj.weight",
            [FR_W_Q_BIAS] = "self_attn.q_proj.bias",
            [FR_W_K] = "self_attn.k_proj.weight",
            [FR_W_K_BIAS] = "self_attn.k_proj.bias",
            [FR_W_V] = "self_attn.v_proj.weight",
            [FR_W_V_BIAS] = "self_attn.v_proj.bias",
            [FR_W_O] = "self_attn.o_proj.weight",
            [FR_W_O_BIAS] = "self_attn.o_proj.bias",
            [FR_W_MLP_NORM] = "post_attention_layernorm.weight",
            [FR_W_GATE] = "mlp.gate_proj.weight",
            [FR_W_GATE_BIAS] = "mlp.gate_proj.bias",
            [FR_W_UP] = "mlp.up_proj.weight",
            [FR_W_UP_BIAS] = "mlp.up_proj.bias",
            [FR_W_DOWN] = "mlp.down_proj.weight",
            [FR_W_DOWN_BIAS] = "mlp.down_proj.bias",
        },
};

/* Conv1D keeps its matrices as [n_in, n_out]. */
static const fr_scheme GPT2 = {
    .layer_prefix = "h.",
    .fused_qkv = true,
    .transposed = true,
    .names =
        {
            [FR_W_TOKENS] = "wte.weight",
            [FR_W_POSITIONS] = "wpe.weight",
            [FR_W_FINAL_NORM] = "ln_f.weight",
            [FR_W_FINAL_NORM_BIAS] = "ln_f.bias",
            [FR_W_HEAD] = HEAD,
            [FR_W_ATTN_NORM] = "ln_1.weight",
            [FR_W_ATTN_NORM_BIAS] = "ln_1.bias",
            [FR_W_Q] = "attn.c_attn.weight",
            [FR_W_Q_BIAS] = "attn.c_attn.bias",
            [FR_W_K] = "attn.c_attn.weight",
            [FR_W_K_BIAS] = "attn.c_attn.bias",
            [FR_W_V] = "attn.c_attn.weight",
            [FR_W_V_BIAS] = "attn.c_attn.bias",
            [FR_W_O] = "attn.c_proj.weight",
            [FR_W_O_BIAS] = "attn.c_proj.bias",
            [FR_W_MLP_NORM] = "ln_2.weight",
            [FR_W_MLP_NORM_BIAS] = "ln_2.bias",
            [FR_W_UP] = "mlp.c_fc.weight",
            [FR_W_UP_BIAS] = "mlp.c_fc.bias",
            [FR_W_DOWN] = "mlp.c_proj.weight",
            [FR_W_DOWN_BIAS] = "mlp.c_proj.bias",
        },
};

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
        const char *what = fr_foreign_tensor(weights->sources[i].name);
        if (what != NULL) {
            return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                           "%s: the folder holds tensor %s, %s", weights->path,
                           fr_show(weights->sources[i].name).text, what);
        }
    }
    return FR_OK;
}

static bool has_prefix(const fr_weights *weights, const char *prefix)
{
    static const fr_weight ROLES[] = {FR_W_FINAL_NORM, FR_W_TOKENS};
    char name[64];
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
    bool gpt2 = weights->arch.positions == FR_POSITIONS_LEARNED;
    const char *inner = gpt2 ? "transformer." : "model.";
    bool bare = has_prefix(weights, "") || gpt2;
    weights->prefix = has_prefix(weights, inner) || !bare ? inner : "";
}

/* The head is needed where config.json does not tie it, and where the files hold one although it does. */
static void set_needs(fr_weights *weights)
{
    const fr_arch *arch = &weights->arch;
    fr_need attention = arch->qkv_bias ? FR_NEED_ALL : FR_NEED_NONE;
    fr_need mlp = arch->mlp_bias ? FR_NEED_ALL : FR_NEED_NONE;
    for (int role = 0; role < FR_W_COUNT; role++) {
        weights->needs[role] = FR_NEED_ALL;
    }
    if (arch->tied_head && fr_weights_find_source(weights, HEAD) == NULL) {
        weights->needs[FR_W_HEAD] = FR_NEED_NONE;
    }
    weights->needs[FR_W_Q_BIAS] = attention;
    weights->needs[FR_W_K_BIAS] = attention;
    weights->needs[FR_W_V_BIAS] = attention;
    weights->needs[FR_W_O_BIAS] = arch->o_bias ? FR_NEED_ALL : FR_NEED_NONE;
    weights->needs[FR_W_GATE_BIAS] = mlp;
    weights->needs[FR_W_UP_BIAS] = mlp;
    weights->needs[FR_W_DOWN_BIAS] = mlp;
}

fr_status fr_weights_load_folder(fr_ctx *ctx, fr_weights *weights)
{
    fr_hf_config config;
    FR_TRY(fr_hf_folder_config(ctx, weights->path, &config));
    weights->arch = config.arch;
    FR_TRY(load_tensors(ctx, weights));
    FR_TRY(fr_weights_index(ctx, weights));
    FR_TRY(check_foreign(ctx, weights));
    weights->scheme = config.arch.positions == FR_POSITIONS_LEARNED ? &GPT2 : &LLAMA;
    find_prefix(weights);
    set_needs(weights);
    FR_TRY(fr_weights_bind(ctx, weights));
    FR_TRY(fr_weights_check_used(ctx, weights));
    return fr_weights_check_listed(ctx, weights);
}
