/*
 * Each operator of a CUDA device once, in sizes as models have them: rows that begin at multiples of 16 bytes. coalescing.sh counts
 * what their accesses touch (sectors.h). What they compute is compared by test_*.c.
 */
#include "attention_both.h"
#include "device/activation.h"
#include "device/loss.h"
#include "device/qkv.h"
#include "device/rows.h"
#include "device/rowwise.h"
#include "device/sample.h"
#include "pair.h"
#include "product_case.h"
#include "stored_case.h"
#include "support/suite.h"

enum {
    TOKENS = 20,
    HEADS = 9,
    KV_HEADS = 3,
    HEAD = 64,
    WIDTH = HEADS * HEAD,
    WIDE = 1536,
    VOCAB = 4096,
    ROWS = 6, /* of logits */
    TABLE = 100,
    MOST_PAIRS = 16
};

/* Memory of the CUDA device, freed at the end of a case. */
typedef struct call {
    fr_two two;
    fr_dtype type; /* of views */
    fr_pair pairs[MOST_PAIRS];
    int n;
} call;

static call begin(int digit)
{
    return (call){.two = fr_two_open(), .type = fr_digit_type(digit)};
}

static void end(call *c)
{
    fr_two_finish(&c->two);
    for (int i = 0; i < c->n; i++) {
        fr_pair_free(&c->pairs[i]);
    }
    fr_two_close(&c->two);
}

static fr_view view(call *c, int64_t n, fr_dtype type)
{
    c->pairs[c->n] = fr_pair_numbers(&c->two, "numbers", n, type, (uint64_t)c->n, 1);
    return c->pairs[c->n++].on_cuda;
}

static fr_f32 *floats(call *c, int64_t n)
{
    return (fr_f32 *)view(c, n, FR_F32).at;
}

static void *bytes(call *c, int64_t n, size_t size)
{
    c->pairs[c->n] = fr_pair_bytes(&c->two, "bytes", n, size, NULL);
    return c->pairs[c->n++].cuda;
}

/* Rows in no order. */
static const int32_t *rows(void)
{
    static int32_t list[TOKENS];
    for (int i = 0; i < TOKENS; i++) {
        list[i] = i * 37 % TABLE;
    }
    return list;
}

static void norms(void)
{
    for (int digit = 0; digit < 2; digit++) {
        call c = begin(digit);
        fr_device *d = c.two.cuda;
        fr_view x = view(&c, TOKENS * WIDTH, FR_F32);
        fr_view y = view(&c, TOKENS * WIDTH, c.type);
        const fr_f32 *w = floats(&c, WIDTH);
        fr_f32 *stats = floats(&c, 2 * TOKENS * HEADS);
        fr_f32 *dx = floats(&c, TOKENS * WIDTH);
        fr_heads heads = {TOKENS, HEADS, HEAD, WIDTH};
        fr_rmsnorm(d, TOKENS, WIDTH, x, w, 1e-5F, y, stats);
        fr_rmsnorm_back(d, TOKENS, WIDTH, x, w, stats, y, dx, y);
        fr_layernorm(d, TOKENS, WIDTH, x, w, w, 1e-5F, y, stats);
        fr_layernorm_back(d, TOKENS, WIDTH, x, w, stats, y, dx, y);
        fr_rmsnorm_heads(d, &heads, y, w, 1e-5F, y, stats);
        fr_rmsnorm_heads_back(d, &heads, y, w, stats, y, y);
        end(&c);
    }
}

static void heads(void)
{
    for (int digit = 0; digit < 2; digit++) {
        call c = begin(digit);
        fr_segment segment = {.q_count = TOKENS, .own_first = TABLE - TOKENS};
        fr_attention_params params = {.n_tokens = TOKENS,
                                      .n_heads = HEADS,
                                      .n_kv_heads = KV_HEADS,
                                      .head_dim = HEAD,
                                      .q_stride = WIDTH,
                                      .kv_stride = WIDTH,
                                      .scale = 1,
                                      .n_segments = 1,
                                      .segments = &segment};
        fr_heads shape = {TOKENS, HEADS, HEAD, WIDTH};
        fr_view x = view(&c, TOKENS * WIDTH, c.type);
        fr_view cache_k = view(&c, TABLE * KV_HEADS * HEAD, c.type);
        fr_view cache_v = view(&c, TABLE * KV_HEADS * HEAD, c.type);
        fr_view projected = view(&c, TOKENS * (HEADS + 2 * KV_HEADS) * HEAD, c.type);
        fr_qkv qkv = {.n_tokens = TOKENS,
                      .n_heads = HEADS,
                      .n_kv_heads = KV_HEADS,
                      .head_dim = HEAD,
                      .bias_W = floats(&c, (HEADS + 2 * KV_HEADS) * HEAD),
                      .rotary = HEAD,
                      .positions_T = rows(),
                      .table = floats(&c, TABLE * HEAD),
                      .n_segments = 1,
                      .segments = &segment,
                      .cache_k = cache_k,
                      .cache_v = cache_v};
        fr_add_bias(c.two.cuda, TOKENS, WIDTH, WIDTH, floats(&c, WIDTH), x);
        fr_rope(c.two.cuda, &shape, HEAD, rows(), floats(&c, TABLE * HEAD), false, x);
        fr_fill_cache(c.two.cuda, &params, x, x, cache_k, cache_v);
        for (int kept = 0; kept < 2; kept++) {
            fr_qkv_finish(
                c.two.cuda, &qkv, projected,
                view(&c, TOKENS * (HEADS + 2 * KV_HEADS) * HEAD, fr_digit_type(kept)));
        }
        end(&c);
    }
}

static void activations(void)
{
    for (int digit = 0; digit < 4; digit++) {
        call c = begin(digit / 2);
        fr_device *d = c.two.cuda;
        fr_activation kind = (fr_activation)digit;
        fr_view gate_up = view(&c, 2L * TOKENS * WIDE, c.type);
        fr_view saved = view(&c, 2L * TOKENS * WIDE, fr_digit_type(digit % 2));
        fr_view y = view(&c, TOKENS * WIDE, c.type);
        fr_gated(d, kind, TOKENS, WIDE, gate_up, y);
        fr_gated_back(d, kind, TOKENS, WIDE, gate_up, y, gate_up);
        fr_save_gated(d, kind, TOKENS, WIDE, gate_up, saved, y);
        fr_restore_gated_back(d, kind, TOKENS, WIDE, saved, y, gate_up);
        fr_activate(d, kind, TOKENS * WIDE, gate_up, y);
        fr_activate_back(d, kind, TOKENS * WIDE, gate_up, y, y);
        end(&c);
    }
}

static void moves(void)
{
    for (int digit = 0; digit < 4; digit++) {
        call c = begin(digit / 2);
        fr_device *d = c.two.cuda;
        fr_view x = view(&c, TABLE * WIDTH, c.type);
        fr_view y = view(&c, TABLE * WIDTH, c.type);
        fr_view saved = view(&c, TABLE * WIDTH, fr_digit_type(digit % 2));
        fr_f32 *sum = floats(&c, TABLE * WIDTH);
        const fr_f32 *table = floats(&c, TABLE * WIDTH);
        fr_save(d, TABLE * WIDTH, x, saved);
        fr_restore(d, TABLE * WIDTH, saved, x);
        fr_add(d, TABLE * WIDTH, x, sum);
        fr_scale(d, TABLE * WIDTH, 0.5F, sum);
        fr_copy_rows(d, TOKENS, WIDTH, rows(), x, y);
        fr_scatter_rows(d, TABLE, WIDTH, TOKENS, rows(), x, y);
        fr_add_table_rows(d, TOKENS, WIDTH, rows(), table, sum);
        fr_add_rows(d, TOKENS, WIDTH, rows(), table, sum);
        end(&c);
    }
}

static void losses(void)
{
    static const fr_logit_shape SHAPE = {0.5F, 30};
    call c = begin(0);
    fr_device *d = c.two.cuda;
    fr_f32 *logits = floats(&c, ROWS * VOCAB);
    fr_f64 *nats = bytes(&c, VOCAB, sizeof(double));
    fr_i64 *sums = bytes(&c, VOCAB, sizeof(int64_t));
    fr_i64 *refused = bytes(&c, 1, sizeof(int64_t));
    fr_shape_logits(d, ROWS * VOCAB, &SHAPE, logits);
    fr_cross_entropy(d, ROWS, VOCAB, &SHAPE, logits, rows(), true, nats);
    fr_exact_add(d, ROWS, VOCAB, 20, logits, sums, refused);
    fr_exact_add_numbers(d, VOCAB, 20, nats, sums, refused);
    end(&c);
}

static void tokens(void)
{
    static const double UNIFORM[ROWS] = {0.1, 0.5, 0.9};
    call c = begin(0);
    const fr_f32 *logits = floats(&c, ROWS * VOCAB);
    fr_i32 *ids = bytes(&c, ROWS, sizeof(int32_t));
    const fr_sample_rule greedy = {0.0, 0, 1.0, NULL, 0.0};
    const fr_sample_rule draw = {0.8, 40, 0.95, NULL, 0.0};
    FR_ASSERT_OK(
        fr_sample_rows(c.two.cuda, ROWS, VOCAB, logits, &greedy, UNIFORM, ids));
    FR_ASSERT_OK(fr_sample_rows(c.two.cuda, 1, VOCAB, logits, &draw, UNIFORM, ids));
    end(&c);
}

static void attend(const fr_attention_shape *shape, fr_dtype dtype)
{
    const fr_attention_layout *layout = fr_training_layouts + 1;
    fr_two two = fr_two_open();
    fr_attention_case *c =
        fr_attention_case_create(shape, layout->n_segments, layout->segments);
    c->params.q_stride = shape->n_heads * shape->head_dim;
    c->params.kv_stride = shape->n_kv_heads * shape->head_dim;
    fr_both b = fr_both_open(&two, c, dtype, 0);
    fr_both_forward(&b, true);
    fr_both_backward(&b, true, false);
    fr_two_finish(&two);
    fr_both_close(&b);
    fr_two_close(&two);
}

/* Heads of each size that has kernels of its own, without and on tensor cores. */
static void attention(void)
{
    static const fr_attention_shape PLAIN[] = {
        {6, 2, 48, 32}, {2, 1, 112, 32}, {1, 1, 192, 4}, {1, 1, 512, 4}};
    static const fr_attention_shape TENSOR[] = {
        {6, 2, 64, 32}, {4, 2, 96, 32}, {2, 1, 128, 32}, {1, 1, 256, 4}};
    for (int i = 0; i < FR_N_CASES(PLAIN); i++) {
        attend(PLAIN + i, FR_F32);
        attend(PLAIN + i, FR_BF16);
    }
    for (int i = 0; i < FR_N_CASES(TENSOR); i++) {
        attend(TENSOR + i, FR_BF16);
    }
}

/* In place, all types; few rows and more with the operators, and few without tensor cores. */
static void products(void)
{
    enum { N_OUT = 128, N_IN = 192, MORE = 96, WAYS = 3 };
    for (int i = 0; i < WAYS * FR_PRODUCT_TYPES * FR_PRODUCT_DIRECTIONS; i++) {
        fr_product_setting s = {.back = i / WAYS % 2 == 1,
                                .types = i / WAYS / 2,
                                .is_plain = i % WAYS == 1};
        int64_t m = i % WAYS == 2 ? MORE : TOKENS;
        call c = begin(0);
        fr_product_case p = fr_product_case_init(&c.two, &s, N_OUT, N_IN);
        fr_view left = view(&c, m * N_IN, fr_product_left(&s));
        fr_view out = view(&c, m * N_IN, fr_product_out(&s));
        fr_product_case_run(&c.two, &s, m, left, &p.w, out);
        fr_two_finish(&c.two);
        fr_product_case_fini(&c.two, &p);
        end(&c);
    }
}

/* Rows of a table, and products of few rows with one. */
static void stored(void)
{
    static const uint32_t FORMATS[] = {FR_QUANT_BF16, FR_QUANT_Q8_0, FR_QUANT_Q4_K,
                                       FR_QUANT_Q6_K};
    enum { DEPTH = 1024 };
    for (int i = 0; i < FR_N_CASES(FORMATS); i++) {
        call c = begin(0);
        stored_case w =
            stored_plain(&c.two, FORMATS[i], FR_BF16, TABLE, DEPTH, 0, false);
        fr_view x = view(&c, TOKENS * DEPTH, FR_F32);
        fr_view y = view(&c, TOKENS * DEPTH, FR_F32);
        FR_ASSERT_OK(
            fr_gather_rows(c.two.cuda, TOKENS, rows(), &w.on_cuda, (fr_f32 *)y.at));
        FR_ASSERT_OK(fr_linear_few(c.two.cuda, 4, x, &w.on_cuda, fr_view_none(), y));
        FR_ASSERT_OK(fr_linear_few(c.two.cuda, 8, x, &w.on_cuda, fr_view_none(), y));
        FR_ASSERT_OK(fr_linear(c.two.cuda, TOKENS, x, &w.on_cuda, fr_view_none(), y));
        fr_two_finish(&c.two);
        stored_free(&w);
        end(&c);
    }
}

static const fr_case CASES[] = {
    FR_CASE(norms),  FR_CASE(heads),     FR_CASE(activations),
    FR_CASE(moves),  FR_CASE(losses),    FR_CASE(tokens),
    FR_CASE(stored), FR_CASE(attention), FR_CASE(products),
};

int main(int argc, char **argv)
{
    return fr_suite_main("cuda_sectors", CASES, FR_N_CASES(CASES), argc, argv);
}
