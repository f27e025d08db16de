#include "model/families/settings.h"

const fr_setting FR_SETTINGS_SIZES[] = {
    {"num_hidden_layers", NULL, "block_count", FR_SETTING_COUNT, FR_FIELD(n_layers), 0},
    {"hidden_size", NULL, "embedding_length", FR_SETTING_COUNT, FR_FIELD(d_model), 0},
    {"intermediate_size", NULL, "feed_forward_length", FR_SETTING_COUNT, FR_FIELD(d_ff),
     0},
    {"num_attention_heads", NULL, "attention.head_count", FR_SETTING_COUNT,
     FR_FIELD(n_heads), FR_SETTING_GGUF_NEEDS},
    {"num_key_value_heads", NULL, "attention.head_count_kv", FR_SETTING_COUNT,
     FR_FIELD(n_kv_heads),
     FR_SETTING_OPTIONAL | FR_SETTING_NULL_CLEARS | FR_SETTING_GGUF_CLEARS},
    {"head_dim", NULL, "attention.key_length", FR_SETTING_COUNT, FR_FIELD(head_dim),
     FR_SETTING_OPTIONAL | FR_SETTING_GGUF_CLEARS},
    {"vocab_size", NULL, NULL, FR_SETTING_COUNT, FR_FIELD(vocab_size), 0},
    {"max_position_embeddings", NULL, "context_length", FR_SETTING_COUNT,
     FR_FIELD(context_length), FR_SETTING_GGUF_NEEDS},
    {"rms_norm_eps", NULL, "attention.layer_norm_rms_epsilon", FR_SETTING_REAL,
     FR_FIELD(norm_eps), FR_SETTING_GGUF_NEEDS},
    {"tie_word_embeddings", NULL, NULL, FR_SETTING_FLAG, FR_FIELD(tied_head), 0},
    FR_SETTINGS_END,
};

const fr_scheme FR_SCHEME_LLAMA = {
    FR_PREFIXES_LLAMA,
    .names = {FR_NAMES_LLAMA, FR_NAMES_LLAMA_NORMS},
};

const fr_scheme FR_SCHEME_GGUF_PAIRS = {
    FR_PREFIXES_GGUF,
    .rope_pairs = true,
    .names = {FR_NAMES_GGUF, FR_NAMES_GGUF_NORMS},
};

const fr_scheme FR_SCHEME_GGUF_HALVES = {
    FR_PREFIXES_GGUF,
    .names = {FR_NAMES_GGUF, FR_NAMES_GGUF_NORMS},
};
