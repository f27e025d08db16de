/*
 * From an unknown word in a config to the right one.
 *
 * Three sources are searched, the most certain first: a key or section of this name in another section, the list of
 * words that other trainers use (FOREIGN), and the nearest known word in the same section. Words of other trainers
 * come before the nearest one because they are spelled correctly: a similar key of Forerun would be a wrong guess.
 * Each entry of FOREIGN says what to write, also where Forerun has no such key at all.
 */
#include "train/config/config_impl.h"

#include "base/mem.h"
#include "base/options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Words of other trainers with one meaning, separated by blanks, and what to write instead. */
typedef struct foreign {
    const char *words;
    const char *advice;
} foreign;

#define STEP_IS "batch.examples is the whole step, of all ranks together"

static const foreign FOREIGN[] = {
    {"num_epochs num_train_epochs max_epochs n_epochs train_epochs",
     "write run.epochs, in place of run.steps"},
    {"max_steps num_steps n_steps train_steps training_steps total_steps max_iters "
     "iterations num_iterations",
     "write run.steps"},
    {"learning_rate learn_rate", "write tasks[].optimizer.lr"},
    {"batch_size train_batch_size per_device_train_batch_size per_device_batch_size "
     "global_batch_size",
     "write tasks[].batch.examples; " STEP_IS},
    {"micro_batch_size microbatch_size",
     "write tasks[].batch.microbatch_tokens, which is in tokens; " STEP_IS},
    {"gradient_accumulation_steps gradient_accumulation accumulate_grad_batches",
     "leave it out: " STEP_IS ", divided automatically into microbatches of "
     "batch.microbatch_tokens"},
    {"warmup_steps num_warmup_steps warmup_iters", "write tasks[].optimizer.warmup"},
    {"warmup_ratio", "write tasks[].optimizer.warmup, in steps"},
    {"lr_scheduler_type lr_scheduler scheduler lr_decay_style",
     "write tasks[].optimizer.schedule"},
    {"optim optimizer_type", "write tasks[].optimizer.kind"},
    {"adam_beta1", "write tasks[].optimizer.beta1"},
    {"adam_beta2", "write tasks[].optimizer.beta2"},
    {"adam_epsilon epsilon", "write tasks[].optimizer.eps"},
    {"max_grad_norm grad_clip clip_grad gradient_clipping gradient_clip_val",
     "write tasks[].optimizer.clip"},
    {"seq_length seq_len sequence_length sequence_len max_seq_length max_seq_len "
     "max_length cutoff_len block_size context_length max_source_length "
     "max_target_length model_max_length",
     "write tasks[].max_tokens: the longest source with its target"},
    {"num_virtual_tokens prefix_length prefix_len pre_seq_len n_prefix_tokens",
     "write tasks[].prefix.length"},
    {"sliding_window attention_window", "leave it out: windows are the base's own; "
                                        "tasks[].prefix.window says whether they "
                                        "hide slots of the prefix"},
    {"prefix_projection encoder_hidden_size reparametrisation reparameterization",
     "write tasks[].prefix.mlp.hidden: the width of the network, 0 for none"},
    {"prompt_tuning_init_text prompt_tuning_init init_text",
     "write tasks[].prefix.init: {text: ...}"},
    {"model base_model model_name model_path model_name_or_path "
     "pretrained_model_name_or_path base_model_name_or_path tokenizer tokenizer_name",
     "write base.path: a GGUF file, a Hugging Face folder or a name in the hub's "
     "cache, "
     "with its tokenizer"},
    {"output_dir out_dir output save_dir checkpoint_dir work_dir", "write run.dir"},
    {"logging_steps log_steps log_interval", "write run.log_every"},
    {"save_steps save_interval checkpoint_every checkpointing_steps",
     "write run.save_every"},
    {"eval_steps eval_interval eval_every evaluation_strategy eval_strategy "
     "val_check_interval",
     "write run.valid_every, in steps"},
    {"save_total_limit keep_last", "write run.keep"},
    {"early_stopping early_stopping_patience", "write tasks[].patience"},
    {"train_file train_data train_dataset train_path dataset data data_path datasets "
     "dataset_path",
     "write tasks[].train: a JSONL file"},
    {"validation validation_file val valid_file eval_file eval_data eval_dataset "
     "val_data dev dev_file test test_file",
     "write tasks[].valid: a JSONL file"},
    {"max_eval_samples eval_samples", "write tasks[].valid_rows"},
    {"dtype torch_dtype bf16 fp16 mixed_precision", "write run.precision: f32 or bf16"},
    {"load_in_4bit load_in_8bit quantization quantized bnb_4bit_quant_type",
     "write base.weights: quantised, with a quantised GGUF file"},
    {"gradient_checkpointing activation_checkpointing",
     "write run.recompute: mlp or layer"},
    {"random_seed", "write run.seed"},
    {"prompt_template", "write tasks[].template"},
    {"chat_template apply_chat_template",
     "write tasks[].chat: true for the base's own template, or "
     "tasks[].chat.template: a file"},
    {"chat_template_kwargs", "write tasks[].chat.arguments"},
    {"train_on_inputs completion_only_loss assistant_only_loss",
     "leave it out: the loss is only on targets, or on assistant turns"},
    {"packing sample_packing group_by_length", "leave it out: rows are always packed"},
    {"resume resume_from_checkpoint", "leave it out, and start with --resume"},
    {"overwrite_output_dir", "leave it out, and start with --overwrite"},
    {"pipeline_parallel_size pipeline_model_parallel_size pp", "write run.stages"},
    {"data_parallel_size dp", "write run.replicas"},
    {"num_processes nproc_per_node num_gpus n_gpus world_size",
     "leave it out: launch/run -n says how many ranks there are"},
};

/* Write a word as the lists do: in lower case, with underscores. */
static void plain_word(const char *word, char out[FR_PART_BYTES])
{
    size_t n = 0;
    for (; word[n] != '\0' && n < FR_PART_BYTES - 1; n++) {
        out[n] = word[n] == '-' ? '_' : (char)tolower((unsigned char)word[n]);
    }
    out[n] = '\0';
}

/* Whether a list of words separated by blanks holds exactly this word. A word that itself contains a blank is never
 * found, since it could match across two words of the list. */
static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list;
         n > 0 && strchr(word, ' ') == NULL && (at = strstr(at, word)) != NULL;
         at += n) {
        bool starts = at == list || at[-1] == ' ';
        if (starts && (at[n] == ' ' || at[n] == '\0')) {
            return true;
        }
    }
    return false;
}

const char *fr_config_foreign(const char *word)
{
    char plain[FR_PART_BYTES];
    plain_word(word, plain);
    for (size_t i = 0; i < sizeof FOREIGN / sizeof FOREIGN[0]; i++) {
        if (has_word(FOREIGN[i].words, plain)) {
            return FOREIGN[i].advice;
        }
    }
    return NULL;
}

static void add_path(char out[FR_ALLOWED_BYTES], fr_section_id parent, const char *name)
{
    size_t used = strlen(out);
    const char *path = FR_CONFIG_SECTIONS[parent].path;
    (void)snprintf(out + used, FR_ALLOWED_BYTES - used, "%s%s%s%s",
                   used > 0 ? " or " : "", path, path[0] != '\0' ? "." : "", name);
}

/* Whether a key or section of this name exists, but not under `section`; `out` says where. */
static bool is_elsewhere(fr_section_id section, const char *word,
                         char out[FR_ALLOWED_BYTES])
{
    out[0] = '\0';
    if (fr_config_find_key(section, word) >= 0) {
        return false; /* the name is right here; something else is wrong */
    }
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        if (strcmp(FR_CONFIG_KEYS[i].name, word) == 0) {
            add_path(out, FR_CONFIG_KEYS[i].section, word);
        }
    }
    for (fr_section_id s = FR_SECTION_BASE; s < FR_SECTION_COUNT; s++) {
        if (strcmp(FR_CONFIG_SECTIONS[s].name, word) == 0 &&
            FR_CONFIG_SECTIONS[s].parent != section) {
            add_path(out, FR_CONFIG_SECTIONS[s].parent, word);
        }
    }
    return out[0] != '\0';
}

fr_status fr_config_nearest_task(const fr_config_state *state, const char *word,
                                 const char **out)
{
    const fr_config *config = state->config;
    const char **names = NULL;
    int64_t n_names = 0;
    *out = NULL;
    FR_TRY(fr_alloc(state->ctx, config->n_tasks, sizeof *names, &names));
    for (int64_t i = 0; i < config->n_tasks; i++) {
        if (config->tasks[i].name != NULL) {
            names[n_names++] = config->tasks[i].name;
        }
    }
    *out = fr_nearest_word(word, names, (size_t)n_names, sizeof names[0]);
    free(names);
    return FR_OK;
}

/* The most certain explanation first: a key that exists elsewhere, then a word of another trainer, then a typing error.
 * Only if none applies, the message lists what is known in the section. */
fr_status fr_config_fail_unknown(fr_ctx *ctx, const char *where, fr_section_id section,
                                 const char *word)
{
    enum { LIST_BYTES = 400 };
    const char *known[FR_MAX_KEYS + FR_SECTION_COUNT + 1];
    char list[LIST_BYTES] = "";
    char elsewhere[FR_ALLOWED_BYTES];
    size_t n = 0;
    if (is_elsewhere(section, word, elsewhere)) {
        return FR_FAIL(ctx, FR_ERR_CONFIG, "%s; write %s", where, elsewhere);
    }
    const char *advice = fr_config_foreign(word);
    if (advice != NULL) {
        return FR_FAIL(ctx, FR_ERR_CONFIG, "%s; %s", where, advice);
    }
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        if (FR_CONFIG_KEYS[i].section == section) {
            known[n++] = FR_CONFIG_KEYS[i].name;
        }
    }
    for (fr_section_id s = FR_SECTION_BASE; s < FR_SECTION_COUNT; s++) {
        if (FR_CONFIG_SECTIONS[s].parent == section) {
            known[n++] = FR_CONFIG_SECTIONS[s].name;
        }
    }
    if (section == FR_SECTION_TOP) {
        known[n++] = "sweep";
    }
    const char *nearest = fr_nearest_word(word, known, n, sizeof known[0]);
    if (nearest != NULL) {
        return FR_FAIL(ctx, FR_ERR_CONFIG, "%s; did you mean %s?", where, nearest);
    }
    size_t used = 0;
    for (size_t i = 0; i < n && used < LIST_BYTES; i++) {
        used += (size_t)snprintf(list + used, LIST_BYTES - used, "%s%s",
                                 i > 0 ? ", " : "", known[i]);
    }
    return FR_FAIL(ctx, FR_ERR_CONFIG, "%s; known there: %s", where, list);
}
