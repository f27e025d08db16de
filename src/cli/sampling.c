#include "cli/sampling.h"

#include "base/mem.h"
#include "model/text/text_stream.h"
#include "train/config/written.h"

#include <stdlib.h>
#include <string.h>

/* What is wrong with a stop text is found before the model is opened. */
static fr_status read_stops(fr_ctx *ctx, const fr_options *options, fr_sampling *out)
{
    int64_t n = 0;
    while (fr_options_nth(options, "stop", n) != NULL) {
        n++;
    }
    FR_TRY(fr_alloc(ctx, n, sizeof *out->stops, &out->stops));
    for (; out->n_stops < n; out->n_stops++) {
        FR_TRY(fr_written_read(ctx, fr_options_nth(options, "stop", out->n_stops),
                               &out->stops[out->n_stops]));
    }
    fr_text_stream *stream = NULL;
    fr_status status = fr_text_stream_open(ctx, NULL, (const char *const *)out->stops,
                                           out->n_stops, &stream);
    fr_text_stream_close(&stream);
    return status;
}

fr_status fr_sampling_options(fr_ctx *ctx, const fr_options *options, fr_sampling *out)
{
    int64_t seed = 1;
    fr_sample_params *sample = &out->sample;
    *sample = (fr_sample_params){.top_p = 1.0, .repetition_penalty = 1.0};
    FR_TRY(fr_options_int(ctx, options, "max-new-tokens", 1, INT32_MAX,
                          &out->max_new_tokens));
    FR_TRY(fr_options_real(ctx, options, "temperature", &sample->temperature));
    FR_TRY(fr_options_int(ctx, options, "top-k", 0, INT32_MAX, &sample->top_k));
    FR_TRY(fr_options_real(ctx, options, "top-p", &sample->top_p));
    FR_TRY(fr_options_real(ctx, options, "min-p", &sample->min_p));
    FR_TRY(fr_options_real(ctx, options, "repetition-penalty",
                           &sample->repetition_penalty));
    FR_TRY(fr_options_int(ctx, options, "seed", 0, INT64_MAX, &seed));
    sample->seed = (uint64_t)seed;
    FR_TRY(fr_sample_check(ctx, sample));
    if (sample->temperature <= 0.0 &&
        (fr_options_has(options, "top-k") || fr_options_has(options, "top-p") ||
         fr_options_has(options, "min-p"))) {
        fr_log(
            ctx, FR_LOG_WARN,
            "--top-k, --top-p and --min-p choose nothing without --temperature above "
            "0: each token is the likeliest one");
    }
    return read_stops(ctx, options, out);
}

void fr_sampling_fini(fr_sampling *sampling)
{
    for (int64_t i = 0; i < sampling->n_stops; i++) {
        free(sampling->stops[i]);
    }
    free(sampling->stops);
    *sampling = (fr_sampling){.max_new_tokens = sampling->max_new_tokens};
}
