#include "model/families/families.h"

#include <string.h>

static const fr_family *const FAMILIES[] = {
    &FR_FAMILY_LLAMA,  &FR_FAMILY_MISTRAL, &FR_FAMILY_QWEN2,    &FR_FAMILY_QWEN3,
    &FR_FAMILY_GEMMA2, &FR_FAMILY_GEMMA3,  &FR_FAMILY_SMOLLM3,  &FR_FAMILY_GRANITE,
    &FR_FAMILY_OLMO2,  &FR_FAMILY_PHI3,    &FR_FAMILY_GPT_NEOX, &FR_FAMILY_OPT,
    &FR_FAMILY_BLOOM,  &FR_FAMILY_GPT2,
};

enum { N_FAMILIES = sizeof FAMILIES / sizeof FAMILIES[0] };

const fr_family *fr_family_at(int index)
{
    return index >= 0 && index < N_FAMILIES ? FAMILIES[index] : NULL;
}

static bool is_among(const char *const *names, int max, fr_text name)
{
    for (int i = 0; i < max && names[i] != NULL; i++) {
        if (fr_text_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

const fr_family *fr_family_of_hf(const char *type)
{
    for (int i = 0; i < N_FAMILIES; i++) {
        if (is_among(FAMILIES[i]->hf_types, FR_FAMILY_NAMES, fr_text_of(type))) {
            return FAMILIES[i];
        }
    }
    return NULL;
}

const fr_family *fr_family_of_text(const char *type)
{
    for (int i = 0; i < N_FAMILIES; i++) {
        const char *text = FAMILIES[i]->text_type;
        if (text != NULL && strcmp(text, type) == 0) {
            return FAMILIES[i];
        }
    }
    return NULL;
}

const fr_family *fr_family_of_gguf(fr_text type)
{
    for (int i = 0; i < N_FAMILIES; i++) {
        if (is_among(FAMILIES[i]->gguf_types, FR_FAMILY_NAMES, type)) {
            return FAMILIES[i];
        }
    }
    return NULL;
}

/* ---- types that are refused by name -------------------------------------------------------------- */

#define ENCODER_DECODER                                                                \
    "it has an encoder and a decoder; give a model that is a decoder alone"
#define ENCODER "it is an encoder, which predicts no next token; give a decoder"
#define RECURRENT                                                                      \
    "it keeps a recurrent state, which a prefix of keys and values cannot reach; "     \
    "give "                                                                            \
    "a model of attention alone"
#define OTHER "its layers have another form; give a model of a family that is taken"

/* model_type and general.architecture together: where both formats name a family, the names seldom differ. */
static const struct {
    const char *name;
    const char *why;
} TYPES[] = {
    {"mixtral", FR_IS_EXPERTS},
    {"qwen2_moe", FR_IS_EXPERTS},
    {"qwen2moe", FR_IS_EXPERTS},
    {"qwen3_moe", FR_IS_EXPERTS},
    {"qwen3moe", FR_IS_EXPERTS},
    {"gpt_oss", FR_IS_EXPERTS},
    {"gpt-oss", FR_IS_EXPERTS},
    {"deepseek_v2", FR_IS_EXPERTS},
    {"deepseek_v3", FR_IS_EXPERTS},
    {"deepseek2", FR_IS_EXPERTS},
    {"deepseek", FR_IS_EXPERTS},
    {"olmoe", FR_IS_EXPERTS},
    {"granitemoe", FR_IS_EXPERTS},
    {"phimoe", FR_IS_EXPERTS},
    {"llama4", FR_IS_EXPERTS},
    {"llama4_text", FR_IS_EXPERTS},
    {"dbrx", FR_IS_EXPERTS},
    {"arctic", FR_IS_EXPERTS},
    {"grok", FR_IS_EXPERTS},
    {"glm4_moe", FR_IS_EXPERTS},
    {"glm4moe", FR_IS_EXPERTS},
    {"minimax", FR_IS_EXPERTS},
    {"jetmoe", FR_IS_EXPERTS},
    {"ernie4_5_moe", FR_IS_EXPERTS},
    {"t5", ENCODER_DECODER},
    {"mt5", ENCODER_DECODER},
    {"umt5", ENCODER_DECODER},
    {"longt5", ENCODER_DECODER},
    {"bart", ENCODER_DECODER},
    {"mbart", ENCODER_DECODER},
    {"marian", ENCODER_DECODER},
    {"pegasus", ENCODER_DECODER},
    {"blenderbot", ENCODER_DECODER},
    {"m2m_100", ENCODER_DECODER},
    {"whisper", ENCODER_DECODER},
    {"t5gemma", ENCODER_DECODER},
    {"bert", ENCODER},
    {"roberta", ENCODER},
    {"distilbert", ENCODER},
    {"electra", ENCODER},
    {"deberta", ENCODER},
    {"deberta-v2", ENCODER},
    {"albert", ENCODER},
    {"xlm-roberta", ENCODER},
    {"modernbert", ENCODER},
    {"t5encoder", ENCODER},
    {"nomic-bert", ENCODER},
    {"gemma-embedding", ENCODER},
    {"mamba", RECURRENT},
    {"mamba2", RECURRENT},
    {"rwkv", RECURRENT},
    {"rwkv6", RECURRENT},
    {"rwkv7", RECURRENT},
    {"jamba", RECURRENT},
    {"falcon_mamba", RECURRENT},
    {"falcon_h1", RECURRENT},
    {"bamba", RECURRENT},
    {"zamba2", RECURRENT},
    {"recurrent_gemma", RECURRENT},
    {"granitemoehybrid", RECURRENT},
    {"granitehybrid", RECURRENT},
    {"lfm2", RECURRENT},
    {"nemotron_h", RECURRENT},
    {"qwen3_next", RECURRENT},
    {"falcon", OTHER},
    {"mpt", OTHER},
    {"gptj", OTHER},
    {"gpt_neo", OTHER},
    {"gpt_bigcode", OTHER},
    {"codegen", OTHER},
    {"phi", OTHER},
    {"phi2", OTHER},
    {"gemma", OTHER},
    {"gemma3n", OTHER},
    {"gemma3n_text", OTHER},
    {"gemma4", OTHER},
    {"cohere", OTHER},
    {"command-r", OTHER},
    {"cohere2", OTHER},
    {"starcoder2", OTHER},
    {"stablelm", OTHER},
    {"olmo", OTHER},
    {"olmo3", OTHER},
    {"persimmon", OTHER},
    {"baichuan", OTHER},
    {"chatglm", OTHER},
    {"glm", OTHER},
    {"glm4", OTHER},
    {"internlm2", OTHER},
    {"minicpm", OTHER},
    {"nemotron", OTHER},
    {"exaone", OTHER},
    {"exaone4", OTHER},
    {"xglm", OTHER},
    {"qwen", OTHER},
    {"ministral", OTHER},
};

const char *fr_family_refusal(fr_text type)
{
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (fr_text_is(type, TYPES[i].name)) {
            return TYPES[i].why;
        }
    }
    return NULL;
}

/* ---- what is taken ------------------------------------------------------------------------------- */

static void append(fr_family_names *names, const char *name)
{
    size_t at = strlen(names->text);
    size_t bytes = strlen(name);
    const char *comma = at > 0 ? ", " : "";
    size_t gap = strlen(comma);
    if (at + gap + bytes < sizeof names->text) {
        memcpy(names->text + at, comma, gap);
        memcpy(names->text + at + gap, name, bytes + 1);
    }
}

fr_family_names fr_families_supported(bool gguf)
{
    fr_family_names names = {{0}};
    for (int i = 0; i < N_FAMILIES; i++) {
        const fr_family *family = FAMILIES[i];
        const char *const *types = gguf ? family->gguf_types : family->hf_types;
        for (int t = 0; t < FR_FAMILY_NAMES && types[t] != NULL; t++) {
            append(&names, types[t]);
        }
        if (!gguf && family->text_type != NULL) {
            append(&names, family->text_type);
        }
    }
    return names;
}

static void list_names(const char *const *names, const char *more, char *out,
                       size_t bytes)
{
    size_t at = 0;
    (void)snprintf(out, bytes, "no");
    for (int i = 0; i < FR_FAMILY_NAMES && names[i] != NULL && at < bytes; i++) {
        int n = snprintf(out + at, bytes - at, "%s`%s`", i > 0 ? ", " : "", names[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    if (more != NULL && at < bytes) {
        (void)snprintf(out + at, bytes - at, ", `%s`", more);
    }
}

fr_family_line fr_family_describe(const fr_family *family)
{
    fr_family_line line = {{0}};
    char folders[96];
    char ggufs[96];
    list_names(family->hf_types, family->text_type, folders, sizeof folders);
    list_names(family->gguf_types, NULL, ggufs, sizeof ggufs);
    (void)snprintf(line.text, sizeof line.text, "| %s | %s | %s | %s |", family->title,
                   folders, ggufs, family->limits != NULL ? family->limits : "");
    return line;
}

void fr_families_print(FILE *out)
{
    (void)fprintf(
        out, "| family | `model_type` of folders | `general.architecture` of GGUF | "
             "refused of it |\n|---|---|---|---|\n");
    for (int i = 0; i < N_FAMILIES; i++) {
        (void)fprintf(out, "%s\n", fr_family_describe(FAMILIES[i]).text);
    }
}

/* ---- keys ---------------------------------------------------------------------------------------- */

static bool is_name(const char *name, const char *key)
{
    return name != NULL && strcmp(name, key) == 0;
}

bool fr_family_knows_key(const fr_family *family, const char *key)
{
    fr_text text = fr_text_of(key);
    for (int s = 0; s < FR_FAMILY_SETTINGS && family->settings[s] != NULL; s++) {
        for (const fr_setting *row = family->settings[s];
             row->hf != NULL || row->gguf != NULL; row++) {
            if (is_name(row->hf, key) || is_name(row->hf_also, key)) {
                return true;
            }
        }
    }
    return is_among(family->also_read, FR_FAMILY_KEYS, text) ||
           is_among(family->unread, FR_FAMILY_KEYS, text) ||
           is_name(family->rope.theta_key, key) ||
           is_name(family->rope.partial_key, key) ||
           (family->rope.local_theta > 0.0 && is_name("rope_local_base_freq", key));
}

bool fr_family_knows_gguf_key(const fr_family *family, const char *key)
{
    for (int s = 0; s < FR_FAMILY_SETTINGS && family->settings[s] != NULL; s++) {
        for (const fr_setting *row = family->settings[s];
             row->hf != NULL || row->gguf != NULL; row++) {
            if (is_name(row->gguf, key)) {
                return true;
            }
        }
    }
    return false;
}
