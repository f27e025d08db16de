#include "train/inference.h"

#include <string.h>

static fr_status open_prefix(fr_inference *inference, const fr_inference_params *params)
{
    const fr_session *s = &inference->session;
    bool wants_bos =
        s->tokenizer != NULL && fr_tokenizer_leading_bos(s->tokenizer) >= 0;
    bool has_eos = s->tokenizer != NULL && fr_tokenizer_eos(s->tokenizer) >= 0;
    inference->eos = has_eos;
    inference->leading_bos = wants_bos;
    inference->chat = params->chat;
    inference->template_text = params->template_text;
    if (params->prefix == NULL) {
        return FR_OK;
    }
    int64_t index = 0;
    FR_TRY(fr_prefix_file_open(inference->ctx, params->prefix, &inference->checkpoint,
                               &index));
    const fr_checkpoint_task *task = &inference->checkpoint->tasks[index];
    FR_TRY(fr_prefix_file_check(inference->ctx, params->prefix, task,
                                fr_weights_arch(s->weights)));
    inference->task = task;
    inference->length = task->length;
    inference->eos = task->eos;
    inference->special = task->special;
    inference->leading_bos = task->leading_bos;
    if (params->template_text == NULL && !params->chat) {
        inference->template_text = task->template_text;
        inference->chat = task->chat;
    }
    return FR_OK;
}

fr_status fr_inference_open(fr_ctx *ctx, fr_group *world,
                            const fr_inference_params *params, fr_inference *out)
{
    *out = (fr_inference){.ctx = ctx};
    FR_TRY(fr_session_open(ctx, world, params->model, &out->session));
    fr_status status = fr_group_agree(world, open_prefix(out, params));
    if (status != FR_OK) {
        fr_inference_close(out);
    }
    return status;
}

static fr_status check_identity(const fr_inference *inference,
                                const fr_inference_params *params)
{
    const fr_checkpoint *c = inference->checkpoint;
    if (c == NULL) {
        return FR_OK;
    }
    const fr_session *s = &inference->session;
    return fr_identity_check(inference->ctx, params->prefix, c->base_shape,
                             c->base_digest, s->shape, s->digest, false);
}

fr_status fr_inference_load(fr_inference *inference, const fr_inference_params *params,
                            int64_t max_position, double target_share)
{
    fr_session *s = &inference->session;
    int n_ranks = fr_group_size(s->world);
    fr_config config = {0};
    config.run.stages = params->one_pipeline ? n_ranks : params->stages;
    fr_session_params session = {.precision = params->precision,
                                 .threads = params->threads,
                                 .max_position = max_position,
                                 .target_share = target_share};
    config.run.precision = params->precision;
    fr_layout_problem problem = {.config = &config,
                                 .arch = fr_weights_arch(s->weights),
                                 .n_ranks = n_ranks,
                                 .machine = fr_machine_assumed()};
    FR_TRY(fr_session_rank_memory(s, &problem.rank_memory, &problem.node_ranks));
    FR_TRY(fr_group_agree(
        s->world, fr_layout_resolve(inference->ctx, &problem, &session.layout)));
    FR_TRY(fr_session_load(s, &session));
    return fr_group_agree(s->world, check_identity(inference, params));
}

void fr_inference_close(fr_inference *inference)
{
    fr_checkpoint_destroy(&inference->checkpoint);
    fr_session_close(&inference->session);
}

fr_stage_prefix fr_inference_prefix(const fr_inference *inference)
{
    return fr_prefix_file_view(inference->task, inference->session.first_layer);
}

fr_data_params fr_inference_data(const fr_inference *inference, const char *path)
{
    const fr_session *s = &inference->session;
    const fr_arch *arch = fr_weights_arch(s->weights);
    return (fr_data_params){
        .path = path,
        .tokenizer = s->tokenizer,
        .vocab_size = arch->vocab_size,
        .template_text = inference->template_text,
        .chat = inference->chat,
        .eos = inference->eos,
        .eos_id = s->tokenizer != NULL ? fr_tokenizer_eos(s->tokenizer) : -1,
        .special = inference->special,
        .without_bos = !inference->leading_bos,
        .max_tokens = arch->context_length - inference->length};
}
