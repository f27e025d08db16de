/* A base with a list of prefixes, most of them opened before the weights are loaded.
 *
 * The list begins with --prefix, or with an entry for the base alone (reference and task are NULL); prefixes that
 * rows name are appended. Each reference is in the list once. Two references may name tasks of one file: the file is
 * read once, the entry that read it owns the checkpoint, and the later ones only refer to it (is_shared).
 *
 * A prefix is checked twice. Its shape and epsilon are compared with the base when it is opened, which costs nothing.
 * The digest of the base's weights exists only after loading, so the identity is checked then (check_prefixes), once
 * for each file. A prefix that is added later is checked at once.
 *
 * fr_inference_prefix_open makes a prefix that is in no list, for a server: it comes after loading and from another thread, so
 * that it works on a copy of the struct that has that thread's context.
 */
#include "train/inference/inference.h"

#include "base/mem.h"
#include "base/text.h"
#include "train/session/rank_share.h"

#include <stdlib.h>
#include <string.h>

/* The checkpoint of a file that another prefix opened. */
static fr_checkpoint *find_open(const fr_inference *inference, const char *file)
{
    for (const fr_inference_prefix *p = inference->prefix; p != NULL; p = p->next) {
        if (p->checkpoint != NULL && strcmp(p->file, file) == 0) {
            return p->checkpoint;
        }
    }
    return NULL;
}

/* A task of the checkpoint, whose shape fits the base. */
static fr_status choose_task(const fr_inference *inference, fr_inference_prefix *p,
                             int64_t index)
{
    fr_ctx *ctx = inference->ctx;
    const fr_arch *arch = fr_weights_arch(inference->session.weights);
    p->task = &p->checkpoint->tasks[index];
    FR_TRY(fr_prefix_file_check(ctx, p->reference, p->task, arch));
    return fr_identity_check_eps(ctx, p->reference, p->task->base_norm_eps,
                                 arch->norm_eps);
}

static fr_status open_file(const fr_inference *inference, fr_inference_prefix *p)
{
    fr_ctx *ctx = inference->ctx;
    const char *name = NULL;
    int64_t index = 0;
    FR_TRY(fr_copy_string(ctx, p->reference, &p->file));
    fr_prefix_file_split(p->file, &name);
    fr_checkpoint *open = find_open(inference, p->file);
    p->is_shared = open != NULL;
    p->checkpoint = open;
    if (open == NULL) {
        FR_TRY(fr_checkpoint_read(ctx, p->file, &p->checkpoint));
    }
    FR_TRY(fr_checkpoint_find_task(ctx, p->checkpoint, p->file, name, &index));
    return choose_task(inference, p, index);
}

/* How rows are read: defaults come from the base, a prefix overrides them, and the options override both. */
static void choose_reading(const fr_inference *inference, fr_inference_prefix *p)
{
    const fr_tokenizer *tokenizer = inference->session.tokenizer;
    const fr_inference_params *params = inference->params;
    const fr_checkpoint_task *task = p->task;
    p->eos = inference->session.ends.eos >= 0;
    p->leading_bos = tokenizer != NULL && fr_tokenizer_leading_bos(tokenizer) >= 0;
    p->chat = params->chat;
    p->template_text = params->template_text;
    if (task != NULL) {
        p->length = task->length;
        p->eos = task->eos;
        p->special = task->special;
        p->leading_bos = task->leading_bos;
    }
    if (task != NULL && params->template_text == NULL && !params->chat) {
        p->template_text = task->template_text;
        p->chat = task->chat;
    }
}

/* Without settings of its own a prefix has the tokenizer's chat. Rows of messages are dialogues whatever the options say. */
static fr_status open_chat(const fr_inference *inference, fr_inference_prefix *p)
{
    const fr_inference_params *params = inference->params;
    const fr_chat_source *given = &params->chat_source;
    const fr_tokenizer *tokenizer = inference->session.tokenizer;
    bool is_set = given->file != NULL || given->settings.arguments != NULL ||
                  given->settings.clock != NULL;
    if (p->task != NULL && p->task->chat && params->template_text == NULL) {
        return fr_chat_open_kept(inference->ctx, tokenizer, p->reference, p->task,
                                 given, &p->chat_template);
    }
    return is_set ? fr_chat_source_open(inference->ctx, tokenizer, given,
                                        &p->chat_template)
                  : FR_OK;
}

/* `device` NULL: there is no image yet. */
static void destroy_prefix(fr_device *device, fr_inference_prefix *p)
{
    if (device != NULL) {
        fr_prefix_image_close(device, &p->image);
    }
    if (!p->is_shared) {
        fr_checkpoint_destroy(&p->checkpoint);
    }
    fr_chat_close(&p->chat_template);
    free(p->reference);
    free(p->file);
    free(p);
}

/* The device sees the keys and values of this rank's layers. */
static fr_status show_prefix(const fr_session *s, fr_inference_prefix *p)
{
    if (p->task == NULL) {
        return FR_OK;
    }
    fr_prefix_part part = fr_prefix_file_part(p->task, s->first_layer, s->n_layers);
    FR_TRY(fr_prefix_image_open(s->device, part.k, part.v, part.n, &p->image));
    p->view = (fr_stage_prefix){.length = p->task->length,
                                .k = p->image.k.device,
                                .v = p->image.v.device,
                                .layers = {p->task->first_layer, p->task->n_layers},
                                .slides = p->task->slides};
    return FR_OK;
}

fr_status fr_inference_check_base(fr_ctx *ctx, const fr_inference *inference,
                                  const char *file, const fr_checkpoint *checkpoint)
{
    const fr_session *s = &inference->session;
    return fr_identity_check(ctx, file, checkpoint->base_shape, checkpoint->base_digest,
                             s->shape, s->digest, false);
}

static fr_status check_chat(const fr_inference *inference, const fr_inference_prefix *p)
{
    return p->task != NULL && p->chat
               ? fr_chat_identity_check(inference->ctx, p->reference, p->task,
                                        p->chat_template, false)
               : FR_OK;
}

/* Makes the view of this rank's layers, and checks each file once. */
static fr_status check_prefix(const fr_inference *inference, fr_inference_prefix *p)
{
    FR_TRY(show_prefix(&inference->session, p));
    if (p->checkpoint != NULL && !p->is_shared) {
        FR_TRY(
            fr_inference_check_base(inference->ctx, inference, p->file, p->checkpoint));
    }
    return check_chat(inference, p);
}

/* Add a prefix at the end of the list; `reference` NULL: the base alone. */
static fr_status append(fr_inference *inference, const char *reference,
                        fr_inference_prefix **out)
{
    fr_inference_prefix **end = &inference->prefix;
    fr_inference_prefix *p = NULL;
    FR_TRY(fr_alloc(inference->ctx, 1, sizeof *p, &p));
    fr_status status = FR_OK;
    if (reference != NULL) {
        status = fr_copy_string(inference->ctx, reference, &p->reference);
    }
    if (status == FR_OK && reference != NULL) {
        status = open_file(inference, p);
    }
    if (status == FR_OK) {
        status = open_chat(inference, p);
    }
    if (status == FR_OK) {
        choose_reading(inference, p);
    }
    if (status == FR_OK && inference->is_loaded) {
        status = check_prefix(inference, p);
    }
    if (status != FR_OK) { /* so that fr_inference_add does not find it later */
        destroy_prefix(inference->session.device, p);
        *out = NULL;
        return status;
    }
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = p;
    *out = p;
    return FR_OK;
}

fr_status fr_inference_add(fr_inference *inference, const char *reference,
                           const fr_inference_prefix **out)
{
    fr_inference_prefix *p = inference->prefix;
    while (p != NULL && fr_texts_differ(p->reference, reference)) {
        p = p->next;
    }
    fr_status status = p == NULL ? append(inference, reference, &p) : FR_OK;
    *out = p;
    return status;
}

fr_status fr_inference_open(fr_ctx *ctx, fr_group *world,
                            const fr_inference_params *params, fr_inference *out)
{
    fr_inference_prefix *first = NULL;
    *out = (fr_inference){.ctx = ctx, .params = params};
    FR_TRY(fr_session_open(ctx, world, params->model, &out->session));
    fr_status status = fr_group_agree(world, append(out, params->prefix, &first));
    if (status != FR_OK) {
        fr_inference_close(out);
    }
    return status;
}

static fr_status check_prefixes(const fr_inference *inference)
{
    for (fr_inference_prefix *p = inference->prefix; p != NULL; p = p->next) {
        FR_TRY(check_prefix(inference, p));
    }
    return FR_OK;
}

/* The layout problem has no tasks, so every layout takes the same time, none. The one with the fewest stages of those
 * that fit wins: more stages would only add messages. */
fr_status fr_inference_load(fr_inference *inference, int64_t max_position,
                            double target_share)
{
    const fr_inference_params *params = inference->params;
    fr_session *s = &inference->session;
    int n_ranks = fr_group_size(s->world);
    fr_session_params session = {.precision = params->precision,
                                 .quantised = params->quantised,
                                 .own_products = params->own_products,
                                 .threads = params->threads,
                                 .max_position = max_position,
                                 .target_share = target_share};
    fr_layout_problem problem = {
        .arch = fr_weights_arch(s->weights),
        .weights_in_file = params->quantised ? s->weights : NULL,
        .precision = params->precision,
        .offload = params->offload,
        .stages = params->one_pipeline ? n_ranks : params->stages,
        .n_ranks = n_ranks,
        .nodes = s->nodes,
        .machine = fr_machine_assumed()};
    FR_TRY(fr_rank_limits_find(inference->ctx, s->world, params->device,
                               params->own_products, &problem.limits));
    session.device = problem.limits.device;
    FR_TRY(fr_group_agree(s->world, fr_layout_settle(inference->ctx, &problem,
                                                     &session.layout, &session.needs)));
    FR_TRY(fr_session_load(s, &session));
    inference->is_loaded = true;
    return fr_group_agree(s->world, check_prefixes(inference));
}

void fr_inference_close(fr_inference *inference)
{
    while (inference->prefix != NULL) {
        fr_inference_prefix *p = inference->prefix;
        inference->prefix = p->next;
        destroy_prefix(inference->session.device, p);
    }
    fr_session_close(&inference->session);
}

/* The name stands for the file too, in messages. */
static fr_status fill_prefix(const fr_inference *inference, const char *reference,
                             int64_t index, fr_inference_prefix *p)
{
    FR_TRY(fr_copy_optional(inference->ctx, reference, &p->reference));
    FR_TRY(fr_copy_optional(inference->ctx, reference, &p->file));
    if (p->checkpoint != NULL) {
        FR_TRY(choose_task(inference, p, index));
    }
    FR_TRY(open_chat(inference, p));
    choose_reading(inference, p);
    return check_chat(inference, p);
}

fr_status fr_inference_prefix_open(fr_ctx *ctx, const fr_inference *inference,
                                   const char *reference, fr_checkpoint *checkpoint,
                                   int64_t index, fr_inference_prefix **out)
{
    fr_inference own = *inference;
    own.ctx = ctx;
    FR_TRY(fr_alloc(ctx, 1, sizeof **out, out));
    (*out)->checkpoint = checkpoint;
    (*out)->is_shared = true;
    fr_status status = fill_prefix(&own, reference, index, *out);
    if (status != FR_OK) {
        fr_inference_prefix_close(out);
    }
    return status;
}

void fr_inference_prefix_close(fr_inference_prefix **prefix)
{
    if (*prefix != NULL) {
        destroy_prefix(NULL, *prefix);
        *prefix = NULL;
    }
}

/* The prefix takes positions of the context, so rows may have that many tokens fewer. */
fr_data_params fr_inference_data(const fr_inference *inference,
                                 const fr_inference_prefix *p, const char *path)
{
    const fr_session *s = &inference->session;
    const fr_arch *arch = fr_weights_arch(s->weights);
    return (fr_data_params){.path = path,
                            .tokenizer = s->tokenizer,
                            .why_no_tokenizer = s->no_tokenizer,
                            .vocab_size = arch->vocab_size,
                            .template_text = p->template_text,
                            .chat = p->chat,
                            .chat_template = p->chat_template,
                            .eos = p->eos,
                            .eos_id = s->ends.eos,
                            .special = p->special,
                            .without_bos = !p->leading_bos,
                            .max_tokens = arch->context_length - p->length};
}
