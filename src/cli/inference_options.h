/*
 * inference_options.h - the options that `eval` and `generate` share.
 *
 * Layer L5.
 */
#ifndef FR_CLI_INFERENCE_OPTIONS_H
#define FR_CLI_INFERENCE_OPTIONS_H

#include "base/options.h"
#include "train/inference/inference.h"

#define FR_INFERENCE_OPTIONS                                                           \
    {"model", "PATH", "GGUF file or Hugging Face folder"},                             \
        {"prefix", "FILE[:TASK]", "prefix or checkpoint; none: the bare base"},        \
        {"template", "T",                                                              \
         "e.g. \"{source}\\nSynopsis:{target}\"; default: the prefix's"},              \
        {"chat", NULL, "rows are dialogues in the base's chat template"},              \
        {"precision", "P", "f32 or bf16 (default)"},                                   \
        {"weights", "W",                                                               \
         "auto (default), or quantised: as in the file, least memory"},                \
    {                                                                                  \
        "threads", "N",                                                                \
            "threads a rank (default: OMP_NUM_THREADS, else its share of the "         \
            "processors)"                                                              \
    }

/* How rows of a file are taken. */
#define FR_ROW_OPTIONS                                                                 \
    {"on-error", "HOW",                                                                \
     "a row that cannot be used: stop (default; all are named first), or skip it"},    \
    {                                                                                  \
        "ignore", "KEYS", "members of rows that do not matter, with commas between"    \
    }

/** Fill the shared parameters; FR_ERR_ARG naming the option at fault. */
FR_MUST_CHECK fr_status fr_inference_options(fr_ctx *ctx, const fr_options *options,
                                             fr_inference_params *out);

/** Tell somebody who gives a bare text to a model that was made for dialogues: no --chat, template or prefix. */
void fr_tell_of_chat(const fr_ctx *ctx, const fr_inference_params *params,
                     const fr_tokenizer *tokenizer);

/** --template as it is meant (train/written.h); NULL when absent. The caller frees. FR_ERR_CONFIG: what is wrong with it. */
FR_MUST_CHECK fr_status fr_template_option(fr_ctx *ctx, const fr_options *options,
                                           char **out);

/** The file that option `name` names is none that --model, --prefix or option `rows` reads, nor are .part and .part.info,
 * in which answers stand until they are whole. FR_ERR_ARG. */
FR_MUST_CHECK fr_status fr_output_apart_option(fr_ctx *ctx, const fr_options *options,
                                               const char *name, const char *rows);
/** The same for one more file that the command reads. @param input  NULL: none   @param reader  as in fr_output_apart */
FR_MUST_CHECK fr_status fr_output_apart_file(fr_ctx *ctx, const fr_options *options,
                                             const char *name, const char *reader,
                                             const char *input);
/** fr_output_apart for the file of a FILE[:TASK]. FR_ERR_ARG. */
FR_MUST_CHECK fr_status fr_output_apart_prefix(fr_ctx *ctx, const char *option,
                                               const char *output, const char *reader,
                                               const char *reference);
/** As fr_output_apart_option, without what stands beside the output, and rank 0 can write there (fr_output_check). FR_ERR_ARG; FR_ERR_IO. */
FR_MUST_CHECK fr_status fr_output_option(fr_ctx *ctx, const fr_options *options,
                                         const char *name, const char *rows);

/** --ignore (NULL when absent) and whether --on-error says skip. FR_ERR_ARG. */
FR_MUST_CHECK fr_status fr_row_options(fr_ctx *ctx, const fr_options *options,
                                       const char **ignore, bool *skip);

#endif
