/*
 * The feed-forward half: N(activation(N(x2) Wup) Wdown). The activation saves its input on the way, since the backward
 * pass needs only that; where it is not kept, it is in the workspace's up_TU until the backward pass has used it.
 */
#include "device/matrix.h"
#include "model/network/layer_impl.h"

/* up = W_up N(x2), which `activate` saves; fills norm2 of `saved`. */
static fr_status project_up(const fr_layer_call *call, int64_t n, fr_view *up_out)
{
    const fr_layer_context *c = call->c;
    const fr_saved *saved = call->saved;
    fr_view h = fr_view_f32(saved->x2_TD);
    fr_view up = fr_layer_work_buffer(call, saved->up_TU, c->workspace->up_TU);
    if (c->arch->mlp_norm) {
        fr_norm_forward(c->device, c->arch, &call->layer->mlp_norm, n, h,
                        c->workspace->h_TD, saved->norm2);
        h = c->workspace->h_TD;
    }
    FR_TRY(c->linear(c->device, n, h, &call->layer->up, fr_view_none(), up));
    fr_layer_add_bias(call, n, fr_arch_up_width(c->arch), call->layer->up_bias, up);
    *up_out = up;
    return FR_OK;
}

/* act = activation(up); up is saved on the way. */
static void activate(const fr_layer_call *call, int64_t n, fr_view up, fr_view act)
{
    const fr_layer_context *c = call->c;
    fr_byte *saved = call->saved->up_TU;
    fr_activation activation = c->arch->activation;
    int64_t width = c->arch->d_ff;
    if (!c->arch->gated) {
        fr_layer_keep(call, n * width, up, saved);
        fr_activate(c->device, activation, n * width, up, act);
    } else if (c->kept == c->work) {
        fr_gated(c->device, activation, n, width, up, act);
    } else {
        fr_save_gated(c->device, activation, n, width, up, fr_view_of(saved, c->kept),
                      act);
    }
}

fr_status fr_layer_feed_forward(const fr_layer_call *call, fr_f32 *target)
{
    const fr_layer_context *c = call->c;
    int64_t n = fr_layer_rows_past(call);
    fr_view act = c->workspace->act_TF;
    fr_view up;
    fr_half half = fr_layer_mlp_half(call);
    FR_TRY(project_up(call, n, &up));
    /* its output is needed again only by its post norm, and only where that was not kept */
    if (target == NULL && (half.post->w == NULL || half.out != NULL)) {
        fr_layer_keep(call, n * fr_arch_up_width(c->arch), up, NULL);
        return FR_OK;
    }
    activate(call, n, up, act);
    return fr_layer_add_half(call, &half, n, act,
                             c->arch->parallel ? target : call->saved->x2_TD, target);
}

/* dup from dact, in the place of up, which nobody needs any more: of the saved one if that has dup's type, or of the one that was
 * computed again into the scratch. A saved one of another type goes through the scratch. */
static fr_view activate_back(const fr_layer_call *call, int64_t n, fr_view dact)
{
    const fr_layer_context *c = call->c;
    fr_byte *saved = call->saved->up_TU;
    fr_view dup = fr_layer_work_buffer(call, saved, c->workspace->up_TU);
    fr_activation activation = c->arch->activation;
    int64_t width = c->arch->d_ff;
    if (!c->arch->gated) {
        (void)fr_layer_bring_back(call, n * width, saved, dup);
        fr_activate_back(c->device, activation, n * width, dup, dact, dup);
    } else if (c->kept == c->work || saved == NULL) {
        fr_gated_back(c->device, activation, n, width, dup, dact, dup);
    } else {
        fr_restore_gated_back(c->device, activation, n, width,
                              fr_view_of(saved, c->kept), dact, dup);
    }
    return dup;
}

fr_status fr_layer_feed_forward_back(const fr_layer_call *call, fr_stream_gradient *dx)
{
    /* act and dact share a buffer: activations are not needed here, only up is */
    const fr_layer_context *c = call->c;
    const fr_saved *saved = call->saved;
    int64_t n = fr_layer_rows_past(call);
    fr_view dh = c->workspace->h_TD;
    fr_view dact = c->workspace->act_TF;
    fr_half half = fr_layer_mlp_half(call);
    fr_view d_out = fr_layer_half_gradient(call, &half, n, dx);
    FR_TRY(fr_linear_back(c->device, n, d_out, half.w, false, dact));
    fr_view dup = activate_back(call, n, dact);
    if (!c->arch->mlp_norm) {
        dx->operand_TD = fr_view_none();
        return fr_linear_back(c->device, n, dup, &call->layer->up, true,
                              fr_view_f32(dx->at_TD));
    }
    FR_TRY(fr_linear_back(c->device, n, dup, &call->layer->up, false, dh));
    fr_layer_norm_back(call, &call->layer->mlp_norm, n, saved->x2_TD, saved->norm2,
                       !c->arch->parallel, dx);
    return FR_OK;
}
