/*
 * inference_options.h - the options that `eval` and `generate` share.
 *
 * Layer L5.
 */
#ifndef FR_CLI_INFERENCE_OPTIONS_H
#define FR_CLI_INFERENCE_OPTIONS_H

#include "base/options.h"
#include "train/inference.h"

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

/** Fill the shared parameters; FR_ERR_ARG naming the option at fault. */
FR_MUST_CHECK fr_status fr_inference_options(fr_ctx *ctx, const fr_options *options,
                                             fr_inference_params *out);

/** --template with \n, \t and \\ written out; NULL when absent. The caller frees. */
FR_MUST_CHECK fr_status fr_template_option(fr_ctx *ctx, const fr_options *options,
                                           char **out);

#endif
