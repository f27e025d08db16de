/*
 * sampling.h - the options by which answers are chosen and end, of `generate` and `chat`.
 */
#ifndef FR_CLI_SAMPLING_H
#define FR_CLI_SAMPLING_H

#include "base/options.h"
#include "model/network/sample.h"

#define FR_SAMPLING_OPTIONS                                                            \
    {"temperature", "T",                                                               \
     "sampling temperature; 0 (default): always the likeliest token"},                 \
        {"top-k", "K", "sample among the K likeliest tokens (default 0: all)"},        \
        {"top-p", "P",                                                                 \
         "sample among the likeliest tokens that together have probability P "         \
         "(default 1)"},                                                               \
        {"min-p", "P",                                                                 \
         "sample among tokens with at least P times the probability of the likeliest " \
         "one (default 0: all)"},                                                      \
        {"repetition-penalty", "R",                                                    \
         "make tokens that stand in the prompt or the answer less likely: above 1 "    \
         "(default 1: leave them)"},                                                   \
        {"seed", "N", "seed of the sampling (default 1)"},                             \
    {                                                                                  \
        "stop", "TEXT",                                                                \
            "end an answer before this text (\\n is a newline); may be given several " \
            "times"                                                                    \
    }

/** Zero-initialise but for max_new_tokens; release with fr_sampling_fini. */
typedef struct fr_sampling {
    fr_sample_params sample;
    int64_t max_new_tokens; /* in: the default of --max-new-tokens */
    char **stops;           /* as fr_text_stream_open takes them */
    int64_t n_stops;
} fr_sampling;

/** @return FR_OK; FR_ERR_ARG naming the option at fault */
FR_MUST_CHECK fr_status fr_sampling_options(fr_ctx *ctx, const fr_options *options,
                                            fr_sampling *out);
void fr_sampling_fini(fr_sampling *sampling);

#endif
