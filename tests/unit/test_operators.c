/* An operator whose arguments no device can take does nothing, the device names it, and later operators do nothing. */
#include "device/activation.h"
#include "device/attention.h"
#include "device/loss.h"
#include "device/matrix.h"
#include "device/profile.h"
#include "device/qkv.h"
#include "device/rows.h"
#include "device/rowwise.h"
#include "device/sample.h"
#include "support/device_memory.h"
#include "support/suite.h"

#include <stdio.h>

enum { N = 64, NAME_BYTES = 64 };

/* What the operators of a case work on. */
typedef struct bench {
    fr_device *device;
    fr_f32 *x; /* [N], all 1 */
    fr_f32 *y;
    fr_view in; /* x, and y */
    fr_view out;
    fr_status status; /* of operators that have one */
} bench;

static const int32_t IDS[4] = {0, 1, 2, 3};

static void check_untouched(const bench *b)
{
    float seen[N];
    for (int i = 0; i < 2; i++) {
        fr_test_fetch(b->device, seen, i == 0 ? b->x : b->y, sizeof seen);
        for (int k = 0; k < N; k++) {
            CU_ASSERT_EQUAL(seen[k], 1.0F);
        }
    }
}

/* ---- operators with arguments that cannot be ------------------------------------------------------ */

static fr_matrix matrix_of(const bench *b, int64_t n_out, int64_t n_in)
{
    return fr_matrix_of(b->x, FR_F32, n_out, n_in);
}

static void linear_of_negative_rows(bench *b)
{
    fr_matrix w = matrix_of(b, 4, 4);
    b->status = fr_linear(b->device, -1, b->in, &w, fr_view_none(), b->out);
}

static void linear_few_of_negative_width(bench *b)
{
    fr_matrix w = matrix_of(b, 4, -4);
    b->status = fr_linear_few(b->device, 1, b->in, &w, fr_view_none(), b->out);
}

static void linear_back_of_negative_height(bench *b)
{
    fr_matrix w = matrix_of(b, -4, 4);
    b->status = fr_linear_back(b->device, 1, b->in, &w, false, b->out);
}

static void gather_of_negative_tokens(bench *b)
{
    fr_matrix w = matrix_of(b, 4, 4);
    b->status = fr_gather_rows(b->device, -2, IDS, &w, b->y);
}

static void norm_of_no_width(bench *b)
{
    fr_rmsnorm(b->device, 2, 0, b->in, b->x, 1e-5F, b->out, NULL);
}

static void layernorm_of_negative_rows(bench *b)
{
    fr_layernorm(b->device, -1, 4, b->in, b->x, b->x, 1e-5F, b->out, NULL);
}

static void norm_back_of_no_width(bench *b)
{
    fr_rmsnorm_back(b->device, 2, 0, b->in, b->x, b->x, b->in, b->y, fr_view_none());
}

static void bias_wider_than_the_stride(bench *b)
{
    fr_add_bias(b->device, 2, 8, 7, b->x, b->out);
}

static void rope(bench *b, fr_heads heads, int64_t rotary)
{
    fr_rope(b->device, &heads, rotary, IDS, b->x, false, b->out);
}

static void rope_of_odd_rotary(bench *b)
{
    rope(b, (fr_heads){2, 2, 4, 8}, 3);
}

static void rope_beyond_the_head(bench *b)
{
    rope(b, (fr_heads){2, 2, 4, 8}, 6);
}

static void rope_of_negative_rotary(bench *b)
{
    rope(b, (fr_heads){2, 2, 4, 8}, -2);
}

static void rope_of_heads_wider_than_the_stride(bench *b)
{
    rope(b, (fr_heads){2, 3, 4, 8}, 4);
}

static void qkv(bench *b, int64_t rotary, fr_view cache)
{
    fr_qkv how = {.n_tokens = 2,
                  .n_heads = 2,
                  .n_kv_heads = 1,
                  .head_dim = 4,
                  .rotary = rotary,
                  .positions_T = IDS,
                  .table = b->x,
                  .cache_k = cache,
                  .cache_v = cache};
    fr_qkv_finish(b->device, &how, b->out, fr_view_none());
}

static void qkv_of_odd_rotary(bench *b)
{
    qkv(b, 3, fr_view_none());
}

static void qkv_that_turns_more_than_a_head(bench *b)
{
    qkv(b, 6, fr_view_none());
}

static void qkv_with_a_cache_of_bf16(bench *b)
{
    qkv(b, 4, fr_view_of(b->out.at, FR_BF16));
}

static void norm_of_heads_wider_than_the_stride(bench *b)
{
    fr_heads heads = {2, 2, 4, 7};
    fr_rmsnorm_heads(b->device, &heads, b->in, b->x, 1e-5F, b->out, NULL);
}

static void norm_back_of_negative_heads(bench *b)
{
    fr_heads heads = {2, -1, 4, 8};
    fr_rmsnorm_heads_back(b->device, &heads, b->in, b->x, b->x, b->in, b->out);
}

static void scale_of_negative_numbers(bench *b)
{
    fr_scale(b->device, -N, 2.0F, b->y);
}

static void copy_of_negative_bytes(bench *b)
{
    fr_device_copy(b->device, b->y, b->x, -4);
}

static void zero_of_negative_bytes(bench *b)
{
    fr_device_zero(b->device, b->y, -4);
}

static void scatter_of_more_rows_than_there_are(bench *b)
{
    fr_scatter_rows(b->device, 3, 4, 4, IDS, b->in, b->out);
}

static void gated_of_negative_width(bench *b)
{
    fr_gated(b->device, FR_ACTIVATION_SILU, 2, -4, b->in, b->out);
}

static void activate_back_of_negative_numbers(bench *b)
{
    fr_activate_back(b->device, FR_ACTIVATION_SILU, -1, b->in, b->in, b->out);
}

/* One segment of two rows, two query heads a key head; a case spoils one number. */
static fr_attention_params attention_params(void)
{
    static const fr_segment ROWS = {.q_count = 2};
    return (fr_attention_params){.n_heads = 2,
                                 .n_kv_heads = 1,
                                 .head_dim = 4,
                                 .q_stride = 8,
                                 .kv_stride = 4,
                                 .n_tokens = 2,
                                 .n_segments = 1,
                                 .segments = &ROWS,
                                 .scale = 0.5};
}

static void attention_of_heads_that_share_no_key(bench *b)
{
    fr_attention_params p = attention_params();
    p.n_kv_heads = 3;
    p.kv_stride = 12;
    b->status = fr_attention(b->device, &p, b->in, b->in, b->in, b->out, NULL);
}

static void attention_of_keys_wider_than_the_stride(bench *b)
{
    fr_attention_params p = attention_params();
    p.kv_stride = 3;
    b->status = fr_attention(b->device, &p, b->in, b->in, b->in, b->out, NULL);
}

static void attention_back_of_a_negative_window(bench *b)
{
    fr_attention_params p = attention_params();
    fr_attention_gradients gradients = {.dk = b->out, .dv = b->out, .n_units = 1};
    p.window = -1;
    b->status = fr_attention_back(b->device, &p, b->in, b->in, b->in, b->in, b->x,
                                  b->in, &gradients);
}

static void cache_of_queries_wider_than_the_stride(bench *b)
{
    fr_attention_params p = attention_params();
    p.q_stride = 7;
    fr_fill_cache(b->device, &p, b->in, b->in, b->out, b->out);
}

static void logits_without_scale(bench *b)
{
    fr_shape_logits(b->device, N, &(fr_logit_shape){.scale = 0.0F}, b->y);
}

static void loss_of_no_vocabulary(bench *b)
{
    fr_cross_entropy(b->device, 1, 0, &(fr_logit_shape){.scale = 1.0F}, b->y, IDS, true,
                     (fr_f64 *)(void *)b->x);
}

static void choice_of_negative_top_k(bench *b)
{
    double uniform = 0.5;
    fr_sample_rule rule = {.top_k = -1, .top_p = 1.0};
    b->status =
        fr_sample_rows(b->device, 1, 4, b->x, &rule, &uniform, (fr_i32 *)(void *)b->y);
}

static void sum_of_negative_units(bench *b)
{
    fr_exact_add(b->device, -1, 4, 40, b->x, (fr_i64 *)(void *)b->y,
                 (fr_i64 *)(void *)b->y);
}

/* ---- views in a type that the device does not work in ------------------------------------------ */

static fr_view bf16_of(fr_view x)
{
    return fr_view_of(x.at, FR_BF16);
}

static void linear_of_bf16(bench *b)
{
    fr_matrix w = matrix_of(b, 4, 4);
    b->status = fr_linear(b->device, 1, bf16_of(b->in), &w, fr_view_none(), b->out);
}

static void linear_back_to_bf16(bench *b)
{
    fr_matrix w = matrix_of(b, 4, 4);
    b->status = fr_linear_back(b->device, 1, b->in, &w, false, bf16_of(b->out));
}

static void linear_that_adds_bf16(bench *b)
{
    fr_matrix w = matrix_of(b, 4, 4);
    b->status = fr_linear(b->device, 1, b->in, &w, bf16_of(b->out), b->out);
}

static void norm_back_once_more_to_bf16(bench *b)
{
    fr_layernorm_back(b->device, 1, 4, b->in, b->x, b->x, b->in, b->y, bf16_of(b->out));
}

static void norm_to_bf16(bench *b)
{
    fr_rmsnorm(b->device, 1, 4, b->in, b->x, 1e-5F, bf16_of(b->out), NULL);
}

static void save_of_bf16(bench *b)
{
    fr_save(b->device, 4, bf16_of(b->out), b->in);
}

static void sum_of_bf16(bench *b)
{
    fr_add(b->device, 4, bf16_of(b->in), b->y);
}

static void copy_of_rows_of_bf16(bench *b)
{
    fr_copy_rows(b->device, 4, 4, IDS, bf16_of(b->in), bf16_of(b->out));
}

static void gated_of_bf16(bench *b)
{
    fr_gated(b->device, FR_ACTIVATION_SILU, 2, 4, bf16_of(b->in), b->out);
}

static void attention_of_bf16_values(bench *b)
{
    fr_attention_params p = attention_params();
    b->status = fr_attention(b->device, &p, b->in, b->in, bf16_of(b->in), b->out, NULL);
}

static void attention_back_to_bf16(bench *b)
{
    fr_attention_params p = attention_params();
    fr_attention_gradients gradients = {
        .dq = b->out, .dk = b->out, .dv = bf16_of(b->out), .n_units = 1};
    b->status = fr_attention_back(b->device, &p, b->in, b->in, b->in, b->in, b->x,
                                  b->in, &gradients);
}

/* ---- the cases ------------------------------------------------------------------------------------ */

static const struct {
    void (*call)(bench *b);
    fr_operator which;
    bool has_status;
} BAD[] = {
    {linear_of_negative_rows, FR_OP_LINEAR, true},
    {linear_few_of_negative_width, FR_OP_LINEAR, true},
    {linear_back_of_negative_height, FR_OP_LINEAR_BACK, true},
    {gather_of_negative_tokens, FR_OP_STORAGE, true},
    {norm_of_no_width, FR_OP_NORM, false},
    {layernorm_of_negative_rows, FR_OP_NORM, false},
    {norm_back_of_no_width, FR_OP_NORM_BACK, false},
    {bias_wider_than_the_stride, FR_OP_STORAGE, false},
    {rope_of_odd_rotary, FR_OP_ROPE, false},
    {rope_beyond_the_head, FR_OP_ROPE, false},
    {rope_of_negative_rotary, FR_OP_ROPE, false},
    {rope_of_heads_wider_than_the_stride, FR_OP_ROPE, false},
    {qkv_of_odd_rotary, FR_OP_ROPE, false},
    {qkv_that_turns_more_than_a_head, FR_OP_ROPE, false},
    {qkv_with_a_cache_of_bf16, FR_OP_ROPE, false},
    {norm_of_heads_wider_than_the_stride, FR_OP_NORM, false},
    {norm_back_of_negative_heads, FR_OP_NORM_BACK, false},
    {scale_of_negative_numbers, FR_OP_STORAGE, false},
    {copy_of_negative_bytes, FR_OP_STORAGE, false},
    {zero_of_negative_bytes, FR_OP_STORAGE, false},
    {scatter_of_more_rows_than_there_are, FR_OP_STORAGE, false},
    {gated_of_negative_width, FR_OP_ACTIVATION, false},
    {activate_back_of_negative_numbers, FR_OP_ACTIVATION_BACK, false},
    {attention_of_heads_that_share_no_key, FR_OP_ATTENTION, true},
    {attention_of_keys_wider_than_the_stride, FR_OP_ATTENTION, true},
    {attention_back_of_a_negative_window, FR_OP_ATTENTION_BACK, true},
    {cache_of_queries_wider_than_the_stride, FR_OP_STORAGE, false},
    {logits_without_scale, FR_OP_LOSS, false},
    {loss_of_no_vocabulary, FR_OP_LOSS, false},
    {choice_of_negative_top_k, FR_OP_LOSS, true},
    {sum_of_negative_units, FR_OP_EXACT, false},
    {linear_of_bf16, FR_OP_LINEAR, true},
    {linear_back_to_bf16, FR_OP_LINEAR_BACK, true},
    {linear_that_adds_bf16, FR_OP_LINEAR, true},
    {norm_back_once_more_to_bf16, FR_OP_NORM_BACK, false},
    {norm_to_bf16, FR_OP_NORM, false},
    {save_of_bf16, FR_OP_STORAGE, false},
    {sum_of_bf16, FR_OP_STORAGE, false},
    {copy_of_rows_of_bf16, FR_OP_STORAGE, false},
    {gated_of_bf16, FR_OP_ACTIVATION, false},
    {attention_of_bf16_values, FR_OP_ATTENTION, true},
    {attention_back_to_bf16, FR_OP_ATTENTION_BACK, true},
};

static bench make_bench(void)
{
    float ones[N];
    bench b = {.device = fr_test_any_device(2)};
    for (int i = 0; i < N; i++) {
        ones[i] = 1.0F;
    }
    b.x = fr_test_bring(b.device, ones, N, sizeof *ones);
    b.y = fr_test_bring(b.device, ones, N, sizeof *ones);
    b.in = fr_view_f32(b.x);
    b.out = fr_view_f32(b.y);
    return b;
}

static void close_bench(bench *b)
{
    fr_device_free(b->device, b->x);
    fr_device_free(b->device, b->y);
    fr_device_destroy(&b->device);
}

static void name_of(fr_operator which, char out[NAME_BYTES])
{
    (void)snprintf(out, NAME_BYTES, "the operator \"%s\" was called",
                   fr_operator_name(which));
}

static void it_does_nothing_and_the_device_names_it(void)
{
    for (int i = 0; i < FR_N_CASES(BAD); i++) {
        char name[NAME_BYTES];
        bench b = make_bench();
        name_of(BAD[i].which, name);
        FR_ASSERT_OK(fr_device_check(b.device));
        BAD[i].call(&b);
        if (BAD[i].has_status) {
            FR_ASSERT_FAILS(b.status, FR_ERR_INTERNAL, name);
        }
        FR_ASSERT_FAILS(fr_device_check(b.device), FR_ERR_INTERNAL, name);
        check_untouched(&b);
        close_bench(&b);
    }
}

/* Good ones; those with a status say why. */
static void later_operators_do_nothing(void)
{
    for (int i = 0; i < FR_N_CASES(BAD); i++) {
        char name[NAME_BYTES];
        bench b = make_bench();
        fr_matrix w = matrix_of(&b, 4, 4);
        fr_attention_params p = attention_params();
        name_of(BAD[i].which, name);
        BAD[i].call(&b);
        (void)fr_test_ctx(); /* without the error */
        FR_ASSERT_FAILS(fr_linear(b.device, 2, b.in, &w, fr_view_none(), b.out),
                        FR_ERR_INTERNAL, name);
        FR_ASSERT_FAILS(fr_attention(b.device, &p, b.in, b.in, b.in, b.out, NULL),
                        FR_ERR_INTERNAL, name);
        fr_scale(b.device, N, 2.0F, b.y);
        fr_add(b.device, N, b.in, b.y);
        fr_device_zero(b.device, b.y, 4);
        check_untouched(&b);
        FR_ASSERT_FAILS(fr_device_check(b.device), FR_ERR_INTERNAL, name);
        close_bench(&b);
    }
}

static void the_first_one_is_named(void)
{
    char name[NAME_BYTES];
    bench b = make_bench();
    name_of(FR_OP_ROPE, name);
    rope_of_odd_rotary(&b);
    norm_of_no_width(&b);
    sum_of_negative_units(&b);
    FR_ASSERT_FAILS(fr_device_check(b.device), FR_ERR_INTERNAL, name);
    check_untouched(&b);
    close_bench(&b);
}

/* The limits themselves, and the same operators on another device after a failure on this one. */
static void good_arguments_are_taken(void)
{
    float seen[N];
    bench bad = make_bench();
    bench b = make_bench();
    fr_heads heads = {2, 2, 4, 8};
    fr_attention_params p = attention_params();
    rope_of_odd_rotary(&bad);
    fr_rope(b.device, &heads, 0, IDS, b.x, false, b.out);
    fr_scale(b.device, 0, 2.0F, b.y);
    fr_add_bias(b.device, 0, 8, 8, b.x, b.out);
    fr_scatter_rows(b.device, 4, 4, 4, IDS, b.in, b.out);
    FR_ASSERT_OK(fr_attention(b.device, &p, b.in, b.in, b.in, b.out, NULL));
    FR_ASSERT_OK(fr_device_check(b.device));
    fr_scale(b.device, N, 2.0F, b.y);
    fr_test_fetch(b.device, seen, b.y, sizeof seen);
    CU_ASSERT_EQUAL(seen[N - 1], 2.0F);
    close_bench(&b);
    close_bench(&bad);
}

static const fr_case CASES[] = {
    FR_CASE(it_does_nothing_and_the_device_names_it),
    FR_CASE(later_operators_do_nothing),
    FR_CASE(the_first_one_is_named),
    FR_CASE(good_arguments_are_taken),
};

int main(int argc, char **argv)
{
    return fr_suite_main("operators", CASES, FR_N_CASES(CASES), argc, argv);
}
