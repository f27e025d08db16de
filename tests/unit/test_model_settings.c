/* Every setting that the reference implementations know for the supported models is honoured, harmless or refused by name:
 * none is left out in silence. tests/data/model_settings.tsv lists them. */
#include "device/quant.h"
#include "model/arch.h"
#include "model/weights/weights.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 512, N_FIELDS = 5 };

/* A line of the table. */
typedef struct row {
    char line[LINE_BYTES];
    const char *source;
    const char *key;
    const char *value;
    const char *verdict;
    const char *text; /* what a refusal says; the key if there is none */
} row;

static bool split_row(row *r)
{
    const char *fields[N_FIELDS] = {NULL};
    char *at = r->line;
    r->line[strcspn(r->line, "\n")] = '\0';
    if (at[0] == '#' || at[0] == '\0') {
        return false;
    }
    for (int i = 0; i < N_FIELDS && at != NULL; i++) {
        fields[i] = at;
        at = strchr(at, '\t');
        if (at != NULL) {
            *at++ = '\0';
        }
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(fields[3]);
    r->source = fields[0];
    r->key = fields[1];
    r->value = fields[2];
    r->verdict = fields[3];
    r->text = fields[4] != NULL ? fields[4] : r->key;
    return true;
}

static bool same_rotation(const fr_rotation *a, const fr_rotation *b)
{
    bool same = a->theta == b->theta && a->rotary == b->rotary &&
                a->scale == b->scale && a->long_from == b->long_from;
    for (int i = 0; i < FR_ROTATION_MAX_PAIRS; i++) {
        same = same && a->divisors[i] == b->divisors[i] &&
               a->long_divisors[i] == b->long_divisors[i];
    }
    return same;
}

static bool same_sizes(const fr_arch *a, const fr_arch *b)
{
    return a->n_layers == b->n_layers && a->d_model == b->d_model &&
           a->d_ff == b->d_ff && a->n_heads == b->n_heads &&
           a->n_kv_heads == b->n_kv_heads && a->head_dim == b->head_dim &&
           a->vocab_size == b->vocab_size && a->context_length == b->context_length;
}

static bool same_forms(const fr_arch *a, const fr_arch *b)
{
    return a->norm == b->norm && a->norm_eps == b->norm_eps &&
           a->attn_norm == b->attn_norm && a->attn_post_norm == b->attn_post_norm &&
           a->mlp_norm == b->mlp_norm && a->mlp_post_norm == b->mlp_post_norm &&
           a->embedding_norm == b->embedding_norm && a->qk_norm == b->qk_norm &&
           a->parallel == b->parallel && a->gated == b->gated &&
           a->activation == b->activation && a->qkv_bias == b->qkv_bias &&
           a->o_bias == b->o_bias && a->mlp_bias == b->mlp_bias &&
           a->tied_head == b->tied_head && a->positions == b->positions;
}

static bool same_arch(const fr_arch *a, const fr_arch *b)
{
    return a->family == b->family && same_sizes(a, b) && same_forms(a, b) &&
           same_rotation(&a->rotation, &b->rotation) &&
           same_rotation(&a->local_rotation, &b->local_rotation) &&
           a->window == b->window &&
           memcmp(a->layers, b->layers, sizeof a->layers) == 0 &&
           a->embedding_scale == b->embedding_scale &&
           a->residual_scale == b->residual_scale &&
           a->attention_scale == b->attention_scale &&
           a->attention_cap == b->attention_cap && a->logit_scale == b->logit_scale &&
           a->logit_cap == b->logit_cap;
}

/* The architecture at `path`, which the row changed, against the one of `plain`. */
static void judge(const row *r, const char *path, const char *plain)
{
    fr_arch base;
    fr_arch arch;
    fr_ctx *ctx = fr_test_ctx();
    FR_ASSERT_OK(fr_arch_read(ctx, plain, &base));
    fr_status status = fr_arch_read(ctx, path, &arch);
    bool is_open =
        strcmp(r->verdict, "honoured") == 0 || strcmp(r->verdict, "harmless") == 0;
    bool is_refused = strcmp(r->verdict, "refused") == 0;
    fr_status wanted = is_open      ? FR_OK
                       : is_refused ? FR_ERR_UNSUPPORTED
                                    : FR_ERR_FORMAT;
    bool right = status == wanted;
    if (right && is_open) {
        right = same_arch(&base, &arch) == (strcmp(r->verdict, "harmless") == 0);
    } else if (right) {
        right = strstr(fr_ctx_error(ctx), r->text) != NULL;
    }
    if (!right) {
        (void)printf("%s %s %s is not %s: status %d, %s\n", r->source, r->key, r->value,
                     r->verdict, (int)status, status != FR_OK ? fr_ctx_error(ctx) : "");
    }
    CU_ASSERT(right);
    fr_ctx_clear_error(ctx);
}

/* ---- config.json ------------------------------------------------------------------------------- */

/* A small model of a type: those with golden values, and one of Llama's form for types that share it. */
static const char *model_of(const char *type)
{
    static const char *const OWN[] = {"qwen3", "gemma2", "smollm3",  "granite", "olmo2",
                                      "phi3",  "opt",    "gpt_neox", "bloom"};
    static char name[64];
    if (strcmp(type, "gpt2") == 0) {
        return "tiny_gpt2";
    }
    if (strcmp(type, "gemma3_text") == 0) {
        return "families/gemma3";
    }
    for (int i = 0; i < FR_N_CASES(OWN); i++) {
        if (strcmp(type, OWN[i]) == 0) {
            (void)snprintf(name, sizeof name, "families/%s", type);
            return name;
        }
    }
    return "tiny_llama";
}

static const char *write_config(const char *type, const char *key, const char *value)
{
    char changes[2 * LINE_BYTES];
    const char *model = model_of(type);
    bool plain_rope =
        strcmp(model, "tiny_llama") == 0 && strncmp(key, "rope_p", 6) != 0;
    (void)snprintf(changes, sizeof changes, "{\"model_type\":\"%s\"%s,\"%s\":%s}", type,
                   plain_rope ? ",\"rope_parameters\":null" : "", key, value);
    const char *folder = fr_test_model_folder(model, changes);
    CU_ASSERT_EQUAL(unlink(fr_test_path(folder, "model.safetensors")), 0);
    return folder;
}

static void judge_config(const row *r)
{
    const char *plain = write_config(r->source, "unknown", "0");
    judge(r, write_config(r->source, r->key, r->value), plain);
}

/* ---- GGUF -------------------------------------------------------------------------------------- */

static void set_count(fr_gguf_writer *writer, const char *architecture,
                      const char *name, uint32_t value)
{
    char key[LINE_BYTES];
    (void)snprintf(key, sizeof key, "%s.%s", architecture, name);
    fr_gguf_writer_set_u32(writer, key, value);
}

/* The settings of a small model without its weights: the rows of the embedding are all that a description needs. */
static fr_gguf_writer *settings_of(const char *architecture)
{
    static const float ZEROS[8 * 64];
    char key[LINE_BYTES];
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_set_text(writer, "general.architecture", architecture);
    set_count(writer, architecture, "block_count", 4);
    set_count(writer, architecture, "context_length", 256);
    set_count(writer, architecture, "embedding_length", 64);
    set_count(writer, architecture, "feed_forward_length", 160);
    set_count(writer, architecture, "attention.head_count", 4);
    (void)snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon",
                   architecture);
    fr_gguf_writer_set_f32(writer, key, 1e-5F);
    if (strcmp(architecture, "gptneox") == 0) {
        fr_gguf_writer_set_f32(writer, "gptneox.attention.layer_norm_epsilon", 1e-5F);
        fr_gguf_writer_set_bool(writer, "gptneox.use_parallel_residual", true);
    } else {
        set_count(writer, architecture, "attention.head_count_kv", 2);
    }
    if (strncmp(architecture, "gemma", 5) == 0) {
        set_count(writer, architecture, "attention.sliding_window", 32);
    }
    if (strcmp(architecture, "granite") == 0) {
        fr_gguf_writer_set_f32(writer, "granite.logit_scale", 8.0F);
    }
    fr_gguf_writer_set_tensor(writer, "token_embd.weight", FR_QUANT_F32, 8, 64, ZEROS);
    return writer;
}

static fr_gguf_writer *writer_of(const char *architecture)
{
    bool gpt2 = strcmp(architecture, "gpt2") == 0;
    if (!gpt2 && strcmp(architecture, "llama") != 0) {
        return settings_of(architecture);
    }
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(
        writer, fr_test_data(gpt2 ? "golden/tiny_gpt2" : "golden/tiny_llama"));
    return writer;
}

static const char *write_gguf(fr_gguf_writer *writer)
{
    const char *path = fr_test_path(fr_test_folder(), "model.gguf");
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    return path;
}

static void set_value(fr_gguf_writer *writer, const char *key, const char *value)
{
    const char *number = value + 2;
    const int32_t list[2] = {atoi(number), atoi(number)};
    switch (value[0]) {
    case 'u':
        fr_gguf_writer_set_u32(writer, key, (uint32_t)list[0]);
        break;
    case 'f':
        fr_gguf_writer_set_f32(writer, key, strtof(number, NULL));
        break;
    case 'b':
        fr_gguf_writer_set_bool(writer, key, number[0] == '1');
        break;
    case 'l':
        fr_gguf_writer_set_ints(writer, key, list, 2);
        break;
    default:
        fr_gguf_writer_set_text(writer, key, number);
        break;
    }
}

static void judge_gguf(const row *r)
{
    char key[LINE_BYTES];
    const char *architecture = strchr(r->source, '-') + 1;
    (void)snprintf(key, sizeof key, "%s.%s", architecture, r->key);
    const char *plain = write_gguf(writer_of(architecture));
    fr_gguf_writer *writer = writer_of(architecture);
    set_value(writer, key, r->value);
    judge(r, write_gguf(writer), plain);
}

/* ---- the table --------------------------------------------------------------------------------- */

static void judge_all(bool ggufs, int min)
{
    static row r;
    int n = 0;
    FILE *file = fopen(fr_test_data("data/model_settings.tsv"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(r.line, sizeof r.line, file) != NULL) {
        if (!split_row(&r) || (strncmp(r.source, "gguf-", 5) == 0) != ggufs) {
            continue;
        }
        if (ggufs) {
            judge_gguf(&r);
        } else {
            judge_config(&r);
        }
        n++;
    }
    (void)fclose(file);
    CU_ASSERT(n >= min);
}

static void no_setting_of_a_config_is_left_out_in_silence(void)
{
    judge_all(false, 1000);
}

static void no_setting_of_a_gguf_is_left_out_in_silence(void)
{
    judge_all(true, 600);
}

/* ---- what a row cannot say --------------------------------------------------------------------- */

static double theta_of(const char *changes)
{
    fr_arch arch = {.family = NULL};
    FR_ASSERT_OK(fr_arch_read(fr_test_ctx(),
                              fr_test_model_folder("tiny_llama", changes), &arch));
    return arch.rotation.theta;
}

static void places_of_rope_theta_that_disagree_are_refused(void)
{
    fr_arch arch;
    const char *folder = fr_test_model_folder(
        "tiny_llama", "{\"rope_scaling\":{\"type\":\"default\",\"rope_theta\":5e5}}");
    FR_ASSERT_FAILS(fr_arch_read(fr_test_ctx(), folder, &arch), FR_ERR_FORMAT,
                    "rope_scaling means a rope_theta of 500000, rope_parameters one of "
                    "10000");
    CU_ASSERT_EQUAL(theta_of("{\"rope_scaling\":{\"type\":\"default\"},"
                             "\"rope_parameters\":{},\"rope_theta\":5e5}"),
                    5e5);
    CU_ASSERT_EQUAL(theta_of("{\"rope_scaling\":{\"rope_theta\":5e5},"
                             "\"rope_parameters\":{\"rope_theta\":5e5},"
                             "\"rope_theta\":7}"),
                    5e5);
}

static int64_t kv_heads_of(const char *type, const char *value)
{
    fr_arch arch = {.n_kv_heads = 0};
    const char *folder = write_config(type, "num_attention_heads", "32");
    const char *path = fr_test_path(folder, "config.json");
    json_t *config = fr_test_memory(json_load_file(path, 0, NULL));
    if (value == NULL) {
        (void)json_object_del(config, "num_key_value_heads");
    } else {
        (void)json_object_set_new(config, "num_key_value_heads", json_null());
    }
    CU_ASSERT_EQUAL(json_dump_file(config, path, 0), 0);
    json_decref(config);
    FR_ASSERT_OK(fr_arch_read(fr_test_ctx(), folder, &arch));
    return arch.n_kv_heads;
}

/* An absent key is the class's default, null is the number of heads. */
static void absent_key_value_heads_are_those_of_the_type(void)
{
    CU_ASSERT_EQUAL(kv_heads_of("llama", NULL), 32);
    CU_ASSERT_EQUAL(kv_heads_of("mistral", NULL), 8);
    CU_ASSERT_EQUAL(kv_heads_of("qwen2", NULL), 32);
    CU_ASSERT_EQUAL(kv_heads_of("mistral", "null"), 32);
}

static void other_names_of_gpt2_settings_are_read(void)
{
    fr_arch arch = {.n_heads = 0};
    const char *folder = fr_test_model_folder(
        "tiny_gpt2", "{\"n_head\":null,\"num_attention_heads\":8,\"n_layer\":null,"
                     "\"num_hidden_layers\":1}");
    FR_ASSERT_OK(fr_arch_read(fr_test_ctx(), folder, &arch));
    CU_ASSERT_EQUAL(arch.n_heads, 8);
    CU_ASSERT_EQUAL(arch.n_layers, 1);
}

static void neutral_values_are_accepted(void)
{
    static const char *const CHANGES[] = {
        "{\"is_causal\":true,\"pruned_heads\":{},\"per_layer_config\":null}",
        "{\"embedding_multiplier\":1.0,\"residual_multiplier\":1,\"logits_scaling\":1}",
        "{\"num_experts\":0,\"qk_norm\":false,\"attn_logit_softcapping\":null}",
        "{\"no_rope_layers\":[],\"use_sliding_window\":false,\"logits_soft_cap\":0.0}",
    };
    for (int i = 0; i < FR_N_CASES(CHANGES); i++) {
        (void)theta_of(CHANGES[i]);
    }
    fr_arch arch;
    fr_gguf_writer *writer = writer_of("llama");
    fr_gguf_writer_set_f32(writer, "llama.logit_scale", 0.0F);
    fr_gguf_writer_set_f32(writer, "llama.residual_scale", 1.0F);
    fr_gguf_writer_set_f32(writer, "llama.rope.scaling.factor", 0.0F);
    fr_gguf_writer_set_bool(writer, "llama.attention.causal", true);
    fr_gguf_writer_set_u32(writer, "llama.expert_count", 0);
    FR_ASSERT_OK(fr_arch_read(fr_test_ctx(), write_gguf(writer), &arch));
}

static const fr_case CASES[] = {
    FR_CASE(no_setting_of_a_config_is_left_out_in_silence),
    FR_CASE(no_setting_of_a_gguf_is_left_out_in_silence),
    FR_CASE(places_of_rope_theta_that_disagree_are_refused),
    FR_CASE(absent_key_value_heads_are_those_of_the_type),
    FR_CASE(other_names_of_gpt2_settings_are_read),
    FR_CASE(neutral_values_are_accepted),
};

int main(int argc, char **argv)
{
    return fr_suite_main("model_settings", CASES, FR_N_CASES(CASES), argc, argv);
}
