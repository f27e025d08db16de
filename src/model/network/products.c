/* The types of results are those that layer*.c and head.c have their products write: a product that is listed with another type is not
 * for a device's library, which is warned of where it is met. */
#include "model/network/products.h"

#include "model/network/layer.h"

static void add(fr_model_products *to, bool back, fr_dtype in, fr_dtype out,
                int64_t n_out, int64_t n_in)
{
    to->shapes[to->n++] = (fr_product_shape){
        .n_out = n_out, .n_in = n_in, .back = back, .in = in, .out = out};
}

/* Outputs of halves go to the residual stream at once, in f32, where they have no memory of their own. The gradient of a half's
 * input does so where no norm is between. */
static void add_layer(fr_model_products *to, const fr_arch *a, bool back,
                      fr_dtype dtype, fr_dtype work)
{
    fr_dtype half = back || fr_arch_has_half_outputs(a) ? work : FR_F32;
    fr_dtype attention = back && !a->attn_norm ? FR_F32 : work;
    fr_dtype mlp = back && !a->mlp_norm ? FR_F32 : work;
    add(to, back, dtype, attention, fr_arch_qkv_width(a), a->d_model);
    add(to, back, dtype, half, a->d_model, fr_arch_q_width(a));
    add(to, back, dtype, mlp, fr_arch_up_width(a), a->d_model);
    add(to, back, dtype, half, a->d_model, a->d_ff);
}

fr_model_products fr_model_products_of(const fr_arch *arch, fr_dtype dtype,
                                       fr_dtype work, bool back)
{
    fr_model_products out = {.n = 0};
    int directions = back ? 2 : 1;
    for (int i = 0; i < directions; i++) {
        add_layer(&out, arch, i == 1, dtype, work);
    }
    out.n_of_layers = out.n;
    for (int i = 0; i < directions; i++) {
        add(&out, i == 1, dtype, FR_F32, arch->vocab_size, arch->d_model);
    }
    return out;
}
