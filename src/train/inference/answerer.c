#include "train/inference/answerer.h"

#include <stdlib.h>

fr_status fr_answerer_open(fr_inference *inference, fr_answerer *out)
{
    fr_session *s = &inference->session;
    int64_t vocab_size = fr_weights_arch(s->weights)->vocab_size;
    fr_generator_params params = {
        .pipeline = s->grid.pipeline, .stage = s->stage, .link = s->link};
    fr_ends_within(inference->ctx, inference->params->model, vocab_size, &s->ends);
    FR_TRY(fr_tokens_textless(inference->ctx, s->tokenizer, &s->ends, vocab_size,
                              &out->never_V));
    out->ids = (fr_generate_ids){
        .never_V = out->never_V, .stop = s->ends.stop, .n_stop = s->ends.n_stop};
    return fr_generator_create(inference->ctx, &params, &out->generator);
}

void fr_answerer_close(fr_answerer *answerer)
{
    fr_generator_destroy(&answerer->generator);
    free(answerer->never_V);
    *answerer = (fr_answerer){0};
}
