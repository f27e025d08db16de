/*
 * What products and attention take on a GPU, for rates.py: lines of fields with tabs between them.
 *
 *     product    forward|backward  M N K                     FLOP  seconds by own kernels, by cuBLASLt (0: it does not compute that)
 *     attention  forward|backward  H G K prefix rows batch   FLOP  seconds
 *
 * M N K of a backward product are those of forward. Attention: `batch` sequences of `rows` tokens, each of which sees the prefix and
 * itself causally; FLOP are those of the scores that are seen: two products forward, five backward.
 * After a line the program waits for one of its input, while another program may measure the same; it does not at the input's end.
 * On an emulated GPU sizes are small, so that the program runs at all.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, setenv */
#include "lt_case.h"
#include "product_rows.h"
#include "which_gpu.h"

#include "base/clock.h"
#include "base/integer.h"
#include "device/attention.h"
#include "device/cuda/runtime.h"

#include <math.h>
#include <stdio.h>

/* Nanoseconds that a measurement takes, about, and calls that it has at most. */
enum { LEAST_NS = 100000000, MOST_CALLS = 50 };

typedef struct call {
    fr_device *device;
    void (*run)(const struct call *call);
    const void *what;
} call;

static double seconds_of(const call *c, int n)
{
    fr_product_rows_wait(c->device);
    int64_t began = fr_clock_ns();
    for (int i = 0; i < n; i++) {
        c->run(c);
    }
    fr_product_rows_wait(c->device);
    return (double)(fr_clock_ns() - began) * 1e-9 / n;
}

/* After a call that is not counted. @return 0: the device has failed */
static double measure(const call *c)
{
    c->run(c);
    double once = fmax(seconds_of(c, 1), 1e-9);
    double n = fmin(fmax(LEAST_NS * 1e-9 / once, 1), MOST_CALLS);
    double seconds = seconds_of(c, fr_gpu_is_emulated ? 1 : (int)n);
    return fr_device_check(c->device) == FR_OK ? seconds : 0;
}

/* Another program's turn. */
static void pause_for_reader(void)
{
    int c = ' ';
    (void)fflush(stdout);
    while (c != EOF && c != '\n') {
        c = getchar();
    }
}

static fr_device *open_device(bool own)
{
    fr_device *device = NULL;
    FR_ASSERT_OK(fr_lt_case_open("", own, &device));
    if (device == NULL) {
        exit(1);
    }
    return device;
}

static void close_device(fr_device *device)
{
    FR_ASSERT_OK(fr_device_check(device));
    fr_device_destroy(&device);
}

static fr_view zeros(fr_device *device, fr_dtype dtype, int64_t n)
{
    fr_view out = fr_view_of(NULL, dtype);
    FR_ASSERT_OK(fr_device_alloc(device, n, fr_dtype_bytes(dtype), &out.at));
    return out;
}

/* ---- products -------------------------------------------------------------------------------------- */

typedef struct product {
    fr_matrix w;
    bool back;
    int64_t m;
    fr_view left;
    fr_view out;
} product;

static void multiply(const call *c)
{
    const product *p = c->what;
    FR_ASSERT_OK(
        p->back ? fr_linear_back(c->device, p->m, p->left, &p->w, false, p->out)
                : fr_linear(c->device, p->m, p->left, &p->w, fr_view_none(), p->out));
}

/* The widths of Llama 3 8B: q with k and v, o, gate with up, down, tokens. */
static void products(void)
{
    static const int64_t SIZES[][2] = {
        {6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}, {128256, 4096}};
    static const int64_t SMALL[][2] = {{128, 64}, {64, 96}};
    const int64_t(*sizes)[2] = fr_gpu_is_emulated ? SMALL : SIZES;
    int n = fr_gpu_is_emulated ? FR_N_CASES(SMALL) : FR_N_CASES(SIZES);
    int64_t m = fr_gpu_is_emulated ? 100 : 8192;
    int64_t most = m * (fr_gpu_is_emulated ? 128 : 128256);
    fr_device *devices[2] = {open_device(true), open_device(false)};
    fr_view numbers[2];
    fr_view out[2];
    for (int k = 0; k < 2; k++) {
        numbers[k] = fr_rubbish(devices[k], FR_BF16, most, 1);
        out[k] = zeros(devices[k], FR_BF16, most);
    }
    for (int i = 0; i < 2 * n; i++) {
        double seconds[2];
        int64_t n_out = sizes[i / 2][0];
        int64_t n_in = sizes[i / 2][1];
        for (int k = 0; k < 2; k++) {
            product p = {fr_matrix_of(numbers[k].at, FR_BF16, n_out, n_in), i % 2 == 1,
                         m, numbers[k], out[k]};
            int before = fr_product_rows_pinned(devices[k]);
            fr_product_rows_try(devices[k], &p.w, p.back, FR_BF16);
            seconds[k] = measure(&(call){devices[k], multiply, &p});
            if (k == 1 && fr_product_rows_pinned(devices[k]) == before) {
                seconds[k] = 0;
            }
        }
        (void)printf("product\t%s\t%lld\t%lld\t%lld\t%.6e\t%.6e\t%.6e\n",
                     i % 2 == 1 ? "backward" : "forward", (long long)m,
                     (long long)n_out, (long long)n_in,
                     2.0 * (double)(m * n_out) * (double)n_in, seconds[0], seconds[1]);
        pause_for_reader();
    }
    for (int k = 0; k < 2; k++) {
        fr_device_free(devices[k], numbers[k].at);
        fr_device_free(devices[k], out[k].at);
        close_device(devices[k]);
    }
}

/* ---- attention ------------------------------------------------------------------------------------- */

enum { MOST_SEQUENCES = 64 };

typedef struct attention {
    int64_t heads;
    int64_t kv_heads;
    int64_t head;
    int64_t prefix;
    int64_t rows; /* of a sequence */
    int64_t batch;
} attention;

typedef struct attention_call {
    fr_attention_params params;
    fr_segment segments[MOST_SEQUENCES];
    fr_attention_gradients gradients;
    fr_view q;
    fr_view k;
    fr_view v;
    fr_view o;
    fr_view d_o;
    fr_f32 *prefix;
    fr_f32 *lse;
} attention_call;

static void forward(const call *c)
{
    const attention_call *a = c->what;
    FR_ASSERT_OK(fr_attention(c->device, &a->params, a->q, a->k, a->v, a->o, a->lse));
}

static void backward(const call *c)
{
    const attention_call *a = c->what;
    FR_ASSERT_OK(fr_attention_back(c->device, &a->params, a->q, a->k, a->v, a->o,
                                   a->lse, a->d_o, &a->gradients));
}

static void make_segments(const attention *s, attention_call *a)
{
    for (int64_t i = 0; i < s->batch; i++) {
        a->segments[i] = (fr_segment){.q_first = i * s->rows,
                                      .q_count = s->rows,
                                      .own_first = i * s->rows,
                                      .position = s->prefix,
                                      .unit = i,
                                      .sees_prefix = true};
    }
    a->params = (fr_attention_params){.n_heads = s->heads,
                                      .n_kv_heads = s->kv_heads,
                                      .head_dim = s->head,
                                      .q_stride = s->heads * s->head,
                                      .kv_stride = s->kv_heads * s->head,
                                      .n_tokens = s->rows * s->batch,
                                      .prefix_length = s->prefix,
                                      .prefix_k_PGK = a->prefix,
                                      .prefix_v_PGK = a->prefix,
                                      .n_segments = s->batch,
                                      .segments = a->segments,
                                      .scale = 1 / sqrt((double)s->head)};
}

static void make_memory(fr_device *device, const attention *s, attention_call *a)
{
    int64_t tokens = s->rows * s->batch;
    int64_t queries = tokens * s->heads * s->head;
    int64_t keys = tokens * s->kv_heads * s->head;
    int64_t slots = s->prefix * s->kv_heads * s->head;
    a->q = fr_rubbish(device, FR_BF16, queries, 1);
    a->k = fr_rubbish(device, FR_BF16, keys, 2);
    a->v = fr_rubbish(device, FR_BF16, keys, 3);
    a->d_o = fr_rubbish(device, FR_BF16, queries, 4);
    a->o = zeros(device, FR_BF16, queries);
    a->prefix = (fr_f32 *)(void *)fr_rubbish(device, FR_F32, slots, 5).at;
    a->lse = (fr_f32 *)(void *)zeros(device, FR_F32, tokens * s->heads).at;
    fr_f32 *slots_back[2];
    for (int i = 0; i < 2; i++) {
        slots_back[i] = (fr_f32 *)(void *)zeros(device, FR_F32, s->batch * slots).at;
    }
    a->gradients = (fr_attention_gradients){.dq = zeros(device, FR_BF16, queries),
                                            .dk = zeros(device, FR_BF16, keys),
                                            .dv = zeros(device, FR_BF16, keys),
                                            .dprefix_k_UPGK = slots_back[0],
                                            .dprefix_v_UPGK = slots_back[1],
                                            .n_units = s->batch};
}

static void free_memory(fr_device *device, const attention_call *a)
{
    void *all[] = {a->q.at,
                   a->k.at,
                   a->v.at,
                   a->d_o.at,
                   a->o.at,
                   a->prefix,
                   a->lse,
                   a->gradients.dq.at,
                   a->gradients.dk.at,
                   a->gradients.dv.at,
                   a->gradients.dprefix_k_UPGK,
                   a->gradients.dprefix_v_UPGK};
    for (int i = 0; i < FR_N_CASES(all); i++) {
        fr_device_free(device, all[i]);
    }
}

static void measure_attention(fr_device *device, const attention *s)
{
    attention_call a = {.params = {0}};
    make_memory(device, s, &a);
    make_segments(s, &a);
    double seen =
        (double)(s->rows * s->prefix) + 0.5 * (double)(s->rows * (s->rows + 1));
    double flop = 2 * seen * (double)(s->heads * s->head * s->batch); /* of a product */
    for (int back = 0; back < 2; back++) {
        double seconds = measure(&(call){device, back == 1 ? backward : forward, &a});
        (void)printf("attention\t%s\t%lld\t%lld\t%lld\t%lld\t%lld\t%lld\t%.6e\t%.6e\n",
                     back == 1 ? "backward" : "forward", (long long)s->heads,
                     (long long)s->kv_heads, (long long)s->head, (long long)s->prefix,
                     (long long)s->rows, (long long)s->batch,
                     (back == 1 ? 5 : 2) * flop, seconds);
        pause_for_reader();
    }
    free_memory(device, &a);
}

/* With a prefix of 128: up to 512 keys a row, up to 1152; heads of 128 and of 64. */
static void attentions(void)
{
    static const attention SIZES[] = {{32, 8, 128, 128, 384, 21},
                                      {32, 8, 128, 128, 1024, 8},
                                      {32, 8, 64, 128, 384, 21},
                                      {32, 8, 64, 128, 1024, 8}};
    static const attention SMALL[] = {{2, 1, 64, 8, 24, 2}};
    const attention *sizes = fr_gpu_is_emulated ? SMALL : SIZES;
    int n = fr_gpu_is_emulated ? FR_N_CASES(SMALL) : FR_N_CASES(SIZES);
    fr_device *device = open_device(true);
    for (int i = 0; i < n; i++) {
        measure_attention(device, &sizes[i]);
    }
    close_device(device);
}

static const fr_case CASES[] = {FR_CASE(products), FR_CASE(attentions)};

int main(int argc, char **argv)
{
    return fr_suite_main("rates", CASES, FR_N_CASES(CASES), argc, argv);
}
