/*
 * inference_options.h - the options that `eval` and `generate` share.
 */
#ifndef FR_CLI_INFERENCE_OPTIONS_H
#define FR_CLI_INFERENCE_OPTIONS_H

#include "base/options.h"
#include "train/inference/inference.h"

/* How dialogues are written. */
#define FR_CHAT_OPTIONS                                                                \
    {"chat-template", "FILE",                                                          \
     "rows are dialogues in this template (Jinja), not in the prefix's or the "        \
     "base's"},                                                                        \
        {"chat-arguments", "JSON",                                                     \
         "further variables of the template, e.g. '{\"enable_thinking\": false}'"},    \
    {                                                                                  \
        "chat-clock", "DATE",                                                          \
            "the time that the template's strftime_now tells, e.g. 2026-01-31"         \
    }

/* What computes, and in which numbers. */
#define FR_COMPUTE_OPTIONS                                                             \
    {"precision", "P", "f32 or bf16 (default)"},                                       \
        {"weights", "W",                                                               \
         "auto (default), or quantised: use the weights as they are in the file, "     \
         "which takes the least memory"},                                              \
        {"offload", "N",                                                               \
         "layers of each stage that stay in the host's memory and are copied to a "    \
         "GPU while it computes: auto (default; as few as let it fit), none, or a "    \
         "number"},                                                                    \
        {"device", "D",                                                                \
         "where to compute: auto (default: a GPU where there is one), cpu or cuda"},   \
        {"products", "P",                                                              \
         "what computes matrix products on a GPU: auto (default: cuBLASLt where it "   \
         "is installed) or own"},                                                      \
    {                                                                                  \
        "threads", "N",                                                                \
            "threads of a rank (default: OMP_NUM_THREADS, else its share of the "      \
            "processors)"                                                              \
    }

#define FR_INFERENCE_OPTIONS                                                           \
    {"model", "MODEL",                                                                 \
     "GGUF file, Hugging Face folder, or OWNER/NAME in the hub's cache (required)"},   \
        {"prefix", "FILE[:TASK]",                                                      \
         "prefix or checkpoint file (default: the base alone)"},                       \
        {"template", "T",                                                              \
         "template of rows of text, e.g. \"{source}\\nSynopsis:{target}\" (default: "  \
         "the prefix's)"},                                                             \
        {"chat", NULL, "rows are dialogues in the chat template of prefix or base"},   \
        FR_CHAT_OPTIONS, FR_COMPUTE_OPTIONS

/* How rows of a file are read. */
#define FR_ROW_OPTIONS                                                                 \
    {"on-error", "HOW",                                                                \
     "what to do with a row that cannot be used: stop (default; all such rows are "    \
     "named first) or skip"},                                                          \
        {"fields", "OWN=NAME,...",                                                     \
         "which members of rows (columns of a table) are source, target, messages "    \
         "..., "                                                                       \
         "e.g. source=prompt,target=completion; all others are ignored"},              \
    {                                                                                  \
        "ignore", "KEYS", "members of rows to ignore, separated by commas"             \
    }

/** The chat options; nothing is checked. */
fr_chat_source fr_chat_options(const fr_options *options);

/** Fill the shared parameters; FR_ERR_ARG naming the option at fault. */
FR_MUST_CHECK fr_status fr_inference_options(fr_ctx *ctx, const fr_options *options,
                                             fr_inference_params *out);

/** Point out --chat where a model with a chat template gets a bare text: no --chat, template or prefix. */
void fr_tell_of_chat(const fr_ctx *ctx, const fr_inference_params *params,
                     const fr_tokenizer *tokenizer);

/** --template with its escapes resolved (config/written.h); NULL if absent. The caller frees. FR_ERR_CONFIG. */
FR_MUST_CHECK fr_status fr_template_option(fr_ctx *ctx, const fr_options *options,
                                           char **out);

/** Check that neither the file of option `name` nor its .part and .part.info, which hold answers until all are written, is
 * a file that --model, --prefix or option `rows` reads. FR_ERR_ARG. */
FR_MUST_CHECK fr_status fr_output_apart_option(fr_ctx *ctx, const fr_options *options,
                                               const char *name, const char *rows);
/** The same for one more file that the command reads.
 * @param reader  as in fr_output_apart   @param input  NULL: there is none */
FR_MUST_CHECK fr_status fr_output_apart_file(fr_ctx *ctx, const fr_options *options,
                                             const char *name, const char *reader,
                                             const char *input);
/** fr_output_apart for the file of a FILE[:TASK]. FR_ERR_ARG. */
FR_MUST_CHECK fr_status fr_output_apart_prefix(fr_ctx *ctx, const char *option,
                                               const char *output, const char *reader,
                                               const char *reference);
/** As fr_output_apart_option without .part and .part.info; also checks that rank 0 can write there (fr_output_check).
 * FR_ERR_ARG; FR_ERR_IO. */
FR_MUST_CHECK fr_status fr_output_option(fr_ctx *ctx, const fr_options *options,
                                         const char *name, const char *rows);

/** --ignore and --fields (NULL when absent), and whether --on-error says skip. FR_ERR_ARG. */
FR_MUST_CHECK fr_status fr_row_options(fr_ctx *ctx, const fr_options *options,
                                       const char **ignore, const char **fields,
                                       bool *skip);

#endif
