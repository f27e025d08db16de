/*
 * Memory of a stage: the activations of each microbatch in flight, and the scratch that its layers share.
 *
 * Each of the two is one arena, the memory of the input aside (fr_stage_input). A layout function walks over it twice:
 * with base NULL it counts bytes, with the arena's address it sets the views, so the size and the places cannot
 * disagree. Arenas grow and never shrink. fr_activations_prepare comes before every forward pass: it checks the batch,
 * makes room for it, and notes the batch that fr_stage_forward then demands.
 */
#include "base/integer.h"
#include "base/mem.h"
#include "model/network/stage_impl.h"

#include <stdlib.h>
#include <string.h>

/* Carve `bytes` (rounded up to a cache line) off an arena; with base NULL only count. */
static void *carve(char *base, int64_t *used, int64_t bytes)
{
    enum { LINE = 64 };
    void *place = base != NULL ? base + *used : NULL;
    *used += fr_round_up(bytes, LINE);
    return place;
}

/* Lay out what is kept of one layer for T rows but for x1, which the chain x holds. */
static void carve_saved(const fr_stage *s, char *base, int64_t *used, int64_t n_tokens,
                        fr_saved *out)
{
    const fr_arch *a = &s->arch;
    int64_t float_row = n_tokens * (int64_t)sizeof(float);
    int64_t kept_row = n_tokens * (int64_t)fr_dtype_bytes(s->kept);
    *out = (fr_saved){0};
    if (s->recompute == FR_RECOMPUTE_LAYER) {
        return;
    }
    out->x2_TD = carve(base, used, float_row * a->d_model);
    out->norm1 = carve(base, used, float_row * 2);
    out->norm2 = carve(base, used, float_row * 2);
    out->lse_TH = carve(base, used, float_row * a->n_heads);
    out->qkv_TW = carve(base, used, kept_row * fr_arch_qkv_width(a));
    out->o_TQ = carve(base, used, kept_row * fr_arch_q_width(a));
    if (a->attn_post_norm) {
        out->attn_out_TD = carve(base, used, kept_row * a->d_model);
        out->attn_post = carve(base, used, float_row * 2);
    }
    if (a->mlp_post_norm) {
        out->mlp_out_TD = carve(base, used, kept_row * a->d_model);
        out->mlp_post = carve(base, used, float_row * 2);
    }
    if (s->recompute == FR_RECOMPUTE_NONE) {
        out->up_TU = carve(base, used, kept_row * fr_arch_up_width(a));
    }
}

/* All views of the activations in `base`, or with base NULL just its size. Layers below `lowest` keep nothing: two buffers
 * take turns below them. The one with the stage's input is not in the arena. */
static int64_t lay_out(fr_activations *activations, const fr_stage *s, char *base,
                       int64_t n_tokens, int64_t lowest)
{
    int64_t used = 0;
    int64_t row = n_tokens * s->arch.d_model * (int64_t)sizeof(float);
    int64_t first = lowest < s->n_layers ? lowest : s->n_layers - 1;
    int64_t input = first + first % 2; /* x[0] takes turns up to here */
    for (int64_t i = s->n_layers; i >= 0; i--) {
        activations->x[i] = i == input   ? activations->input.x_TD
                            : i >= first ? carve(base, &used, row)
                                         : activations->x[i + 2];
    }
    for (int64_t i = 0; i < s->n_layers; i++) {
        activations->saved[i] = (fr_saved){0};
        if (i >= lowest) {
            carve_saved(s, base, &used, n_tokens, &activations->saved[i]);
        }
    }
    activations->gradient_TD = lowest < s->n_layers ? carve(base, &used, row) : NULL;
    return used;
}

fr_status fr_activations_create(fr_stage *stage, bool keep, fr_activations **out)
{
    fr_activations *activations = NULL;
    FR_TRY(fr_alloc(stage->ctx, 1, sizeof *activations, &activations));
    activations->stage = stage;
    activations->keep = keep;
    fr_status status = fr_alloc(stage->ctx, stage->n_layers, sizeof *activations->saved,
                                &activations->saved);
    if (status == FR_OK) {
        status = fr_alloc(stage->ctx, stage->n_layers + 1, sizeof *activations->x,
                          &activations->x);
    }
    if (status != FR_OK) {
        fr_activations_destroy(&activations);
    }
    *out = activations;
    return status;
}

void fr_activations_destroy(fr_activations **activations)
{
    if (*activations != NULL) {
        fr_stage *stage = (*activations)->stage;
        free((*activations)->saved);
        free((*activations)->x);
        fr_stage_input_fini(stage, &(*activations)->input);
        fr_device_free(stage->device, (*activations)->arena);
        free(*activations);
        *activations = NULL;
    }
}

/* n numbers in the type that the device works in. */
static fr_view carve_work(const fr_stage *s, char *base, int64_t *used, int64_t n)
{
    int64_t bytes = n * (int64_t)fr_dtype_bytes(s->work);
    return fr_view_of(carve(base, used, bytes), s->work);
}

/* The workspace's buffers that only some models need. */
static void carve_features(const fr_stage *s, char *base, int64_t *used,
                           int64_t n_tokens, fr_workspace *w)
{
    const fr_arch *a = &s->arch;
    int64_t row = n_tokens * (int64_t)sizeof(float);
    if (a->qk_norm != FR_QK_NORM_NONE) {
        w->turned_TW = carve_work(s, base, used, n_tokens * fr_arch_qkv_width(a));
        w->q_rstd_TH = carve(base, used, row * a->n_heads);
        w->k_rstd_TG = carve(base, used, row * a->n_kv_heads);
    }
    if (a->parallel) {
        w->dy_TD = carve(base, used, row * a->d_model);
    }
    if (fr_arch_has_half_outputs(a)) {
        w->attn_out_TD = carve_work(s, base, used, n_tokens * a->d_model);
        w->mlp_out_TD = carve_work(s, base, used, n_tokens * a->d_model);
        w->attn_post = carve(base, used, row * 2);
        w->mlp_post = carve(base, used, row * 2);
    }
}

/* The workspace's buffers in one arena; returns bytes. */
static int64_t lay_out_workspace(const fr_stage *s, char *base, int64_t n_tokens,
                                 fr_workspace *w)
{
    const fr_arch *a = &s->arch;
    int64_t row = n_tokens * (int64_t)sizeof(float);
    int64_t used = 0;
    int64_t q = fr_arch_q_width(a);
    int64_t up = fr_arch_up_width(a);
    int64_t width = fr_arch_qkv_width(a);
    w->h_f32_TD = carve(base, &used, row * a->d_model);
    w->h_TD = fr_view_of((fr_byte *)w->h_f32_TD, s->work);
    w->qkv_TW = carve_work(s, base, &used, n_tokens * width);
    w->o_TQ = carve_work(s, base, &used, n_tokens * q);
    w->up_TU = carve_work(s, base, &used, n_tokens * (up > q ? up : q));
    /* the feed-forward half is done before attention's gradients come */
    w->act_TF =
        carve_work(s, base, &used, n_tokens * (a->d_ff > width ? a->d_ff : width));
    w->dqkv_TW = w->act_TF;
    w->x2_TD = carve(base, &used, row * a->d_model);
    w->norm1 = carve(base, &used, row * 2);
    w->norm2 = carve(base, &used, row * 2);
    w->lse_TH = carve(base, &used, row * a->n_heads);
    carve_features(s, base, &used, n_tokens, w);
    return used;
}

/* Frees before it allocates, so that the old and the new arena are never in memory together; contents are scratch. */
static fr_status reserve_tokens(fr_stage *s, int64_t n_tokens)
{
    if (n_tokens <= s->workspace_tokens) {
        return FR_OK;
    }
    fr_workspace w = s->workspace;
    int64_t bytes = lay_out_workspace(s, NULL, n_tokens, &w);
    fr_device_free(s->device, s->arena);
    s->arena = NULL;
    s->workspace_tokens = 0;
    FR_TRY(fr_device_alloc(s->device, bytes, 1, &s->arena));
    (void)lay_out_workspace(s, (char *)s->arena, n_tokens, &s->workspace);
    s->workspace_tokens = n_tokens;
    return FR_OK;
}

fr_status fr_stage_reserve(fr_stage *stage, int64_t n_tokens, int64_t prefix_floats)
{
    FR_TRY(reserve_tokens(stage, n_tokens));
    if (prefix_floats > stage->workspace_prefix) {
        fr_workspace *w = &stage->workspace;
        fr_device_free(stage->device, w->dprefix_k_UP);
        fr_device_free(stage->device, w->dprefix_v_UP);
        w->dprefix_k_UP = NULL;
        w->dprefix_v_UP = NULL;
        stage->workspace_prefix = 0;
        FR_TRY(fr_device_alloc(stage->device, prefix_floats, sizeof(fr_f32),
                               &w->dprefix_k_UP));
        FR_TRY(fr_device_alloc(stage->device, prefix_floats, sizeof(fr_f32),
                               &w->dprefix_v_UP));
        stage->workspace_prefix = prefix_floats;
    }
    return FR_OK;
}

fr_status fr_stage_input_reserve(fr_stage *stage, int64_t n_tokens,
                                 fr_stage_input *input)
{
    if (n_tokens <= input->capacity) {
        return FR_OK;
    }
    fr_stage_input_fini(stage, input);
    FR_TRY(fr_device_alloc(stage->device, n_tokens * stage->arch.d_model,
                           sizeof *input->x_TD, &input->x_TD));
    input->capacity = n_tokens;
    return FR_OK;
}

void fr_stage_input_fini(fr_stage *stage, fr_stage_input *input)
{
    fr_device_free(stage->device, input->x_TD);
    *input = (fr_stage_input){0};
}

/* Receiving into another buffer can go on while these activations are still in use; the swap copies nothing. */
void fr_activations_swap_input(fr_activations *activations, fr_stage_input *input)
{
    fr_stage_input other = activations->input;
    activations->input = *input;
    *input = other;
}

/* Views are laid out anew each time: T and `lowest` differ from batch to batch in the same memory. */
static fr_status reserve_activations(fr_activations *activations, const fr_stage *stage,
                                     int64_t n, int64_t lowest)
{
    int64_t bytes = lay_out(activations, stage, NULL, n, lowest);
    if (bytes > activations->arena_bytes) {
        fr_device_free(stage->device, activations->arena);
        activations->arena = NULL;
        activations->arena_bytes = 0;
        FR_TRY(fr_device_alloc(stage->device, bytes, 1, &activations->arena));
        activations->arena_bytes = bytes;
    }
    (void)lay_out(activations, stage, activations->arena, n, lowest);
    return FR_OK;
}

fr_status fr_activations_prepare(fr_stage *stage, fr_activations *activations,
                                 const fr_batch *batch, const fr_stage_prefix *prefix)
{
    activations->prepared_for = NULL;
    FR_TRY(
        fr_batch_check(stage->ctx, batch, stage->arch.vocab_size, stage->max_position));
    int64_t n = batch->n_tokens;
    int64_t lowest =
        activations->keep ? fr_stage_lowest(stage, prefix) : stage->n_layers;
    FR_TRY(fr_stage_reserve(stage, n, 0));
    FR_TRY(fr_stage_input_reserve(stage, n, &activations->input));
    FR_TRY(reserve_activations(activations, stage, n, lowest));
    activations->prepared_for = batch;
    activations->prepared_tokens = n;
    return FR_OK;
}

/* With `keep`: n layers, n + 1 residual rows and the gradient. Without: two rows by turns. */
int64_t fr_activations_bytes(const fr_stage *stage, int64_t n_tokens, bool keep)
{
    fr_workspace w;
    fr_saved saved;
    int64_t scratch = lay_out_workspace(stage, NULL, n_tokens, &w);
    int64_t layer = 0;
    carve_saved(stage, NULL, &layer, n_tokens, &saved);
    int64_t row = n_tokens * stage->arch.d_model * (int64_t)sizeof(float);
    int64_t n = stage->n_layers;
    return scratch + (keep ? n * layer + (n + 2) * row : 2 * row);
}

fr_f32 *fr_activations_input(fr_activations *activations)
{
    return activations->x[0];
}

fr_f32 *fr_activations_output(fr_activations *activations)
{
    return activations->x[activations->stage->n_layers];
}

fr_f32 *fr_activations_gradient(fr_activations *activations)
{
    return activations->gradient_TD;
}
