/* Activations on the emulated GPU: the CPU's bits, for each type of the views and of what is kept, in f32 and rounded once. */
#include "device/activation.h"
#include "device/rowwise.h"
#include "hard.h"

/* GUARD numbers lie behind each buffer, which nobody may write. */
enum { GUARD = 8 };

/* A call: `offset` numbers before each view, so that it begins where 16 bytes do or do not. */
typedef struct setting {
    fr_activation activation;
    fr_dtype work;
    fr_dtype kept;
    int64_t n_tokens;
    int64_t width;
    int64_t offset;
} setting;

typedef void (*setting_check)(const fr_two *two, const setting *s);

static void check_types(const fr_two *two, setting s, setting_check check)
{
    for (int kind = 0; kind < FR_ACTIVATIONS; kind++) {
        for (int types = 0; types < 4; types++) {
            s.activation = (fr_activation)kind;
            s.work = fr_digit_type(types / 2);
            s.kept = fr_digit_type(types % 2);
            check(two, &s);
        }
    }
}

/* Counts of 0, widths around the groups that a thread takes, and rows of more than one block and more than all of them. */
static void each_setting(setting_check check)
{
    static const int64_t SHAPES[][2] = {{0, 7},  {3, 0},  {1, 1},   {3, 3},
                                        {2, 7},  {3, 8},  {2, 31},  {2, 33},
                                        {1, 64}, {3, 40}, {2, 257}, {1, 1100}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SHAPES); i++) {
        for (int64_t offset = 0; offset <= 8; offset += offset == 0 ? 1 : 7) {
            setting s = {
                .n_tokens = SHAPES[i][0], .width = SHAPES[i][1], .offset = offset};
            check_types(&two, s, check);
        }
    }
    fr_two_close(&two);
}

static fr_view on_cpu(const fr_pair *pair, const setting *s)
{
    return fr_view_at(pair->on_cpu, s->offset);
}

static fr_view on_cuda(const fr_pair *pair, const setting *s)
{
    return fr_view_at(pair->on_cuda, s->offset);
}

/* Rows of `per_row` times the width. */
static fr_pair rows_of(const fr_two *two, const char *name, const setting *s,
                       int64_t per_row, uint64_t stream)
{
    return hard_pair(two, name, s->offset + s->n_tokens * s->width * per_row + GUARD,
                     s->work, stream);
}

static fr_pair kept_of(const fr_two *two, const setting *s, uint64_t stream)
{
    return kept_pair(two, s->offset + 2 * s->n_tokens * s->width + GUARD, s->kept,
                     stream);
}

static fr_view kept_at(void *memory, const setting *s)
{
    return fr_view_at(fr_view_of((fr_byte *)memory, s->kept), s->offset);
}

static void check_gated(const fr_two *two, const setting *s)
{
    fr_pair x = rows_of(two, "gate_up", s, 2, 1);
    fr_pair y = rows_of(two, "y", s, 1, 2);
    fr_gated(two->cpu, s->activation, s->n_tokens, s->width, on_cpu(&x, s),
             on_cpu(&y, s));
    fr_gated(two->cuda, s->activation, s->n_tokens, s->width, on_cuda(&x, s),
             on_cuda(&y, s));
    assert_same(&x);
    assert_same(&y);
    fr_pair_free(&x);
    fr_pair_free(&y);
}

static void check_gated_back(const fr_two *two, const setting *s)
{
    fr_pair x = rows_of(two, "gate_up", s, 2, 3);
    fr_pair dy = rows_of(two, "dy", s, 1, 4);
    fr_pair dx = rows_of(two, "dgate_up", s, 2, 5);
    fr_gated_back(two->cpu, s->activation, s->n_tokens, s->width, on_cpu(&x, s),
                  on_cpu(&dy, s), on_cpu(&dx, s));
    fr_gated_back(two->cuda, s->activation, s->n_tokens, s->width, on_cuda(&x, s),
                  on_cuda(&dy, s), on_cuda(&dx, s));
    assert_same(&dx);
    /* in the place of gate_up */
    fr_gated_back(two->cpu, s->activation, s->n_tokens, s->width, on_cpu(&x, s),
                  on_cpu(&dy, s), on_cpu(&x, s));
    fr_gated_back(two->cuda, s->activation, s->n_tokens, s->width, on_cuda(&x, s),
                  on_cuda(&dy, s), on_cuda(&x, s));
    assert_same(&x);
    assert_same(&dy);
    fr_pair_free(&x);
    fr_pair_free(&dy);
    fr_pair_free(&dx);
}

static void check_save_gated_in(const fr_two *two, const setting *s, bool keeps)
{
    fr_pair x = rows_of(two, "gate_up", s, 2, 6);
    fr_pair y = rows_of(two, "y", s, 1, 7);
    fr_pair kept = kept_of(two, s, 8);
    fr_view none = fr_view_of(NULL, s->kept);
    fr_save_gated(two->cpu, s->activation, s->n_tokens, s->width, on_cpu(&x, s),
                  keeps ? kept_at(kept.cpu, s) : none, on_cpu(&y, s));
    fr_save_gated(two->cuda, s->activation, s->n_tokens, s->width, on_cuda(&x, s),
                  keeps ? kept_at(kept.cuda, s) : none, on_cuda(&y, s));
    assert_same(&x);
    assert_same(&y);
    assert_same_kept(&kept, s->kept);
    fr_pair_free(&x);
    fr_pair_free(&y);
    fr_pair_free(&kept);
}

static void check_save_gated(const fr_two *two, const setting *s)
{
    check_save_gated_in(two, s, true);
    check_save_gated_in(two, s, false);
}

static void check_restore_gated_back(const fr_two *two, const setting *s)
{
    fr_pair kept = kept_of(two, s, 9);
    fr_pair dy = rows_of(two, "dy", s, 1, 10);
    fr_pair dx = rows_of(two, "dgate_up", s, 2, 11);
    fr_restore_gated_back(two->cpu, s->activation, s->n_tokens, s->width,
                          kept_at(kept.cpu, s), on_cpu(&dy, s), on_cpu(&dx, s));
    fr_restore_gated_back(two->cuda, s->activation, s->n_tokens, s->width,
                          kept_at(kept.cuda, s), on_cuda(&dy, s), on_cuda(&dx, s));
    assert_same(&dx);
    assert_same_kept(&kept, s->kept);
    fr_pair_free(&kept);
    fr_pair_free(&dy);
    fr_pair_free(&dx);
}

static void check_activate(const fr_two *two, const setting *s)
{
    int64_t n = s->n_tokens * s->width;
    fr_pair x = rows_of(two, "x", s, 1, 12);
    fr_pair y = rows_of(two, "y", s, 1, 13);
    fr_activate(two->cpu, s->activation, n, on_cpu(&x, s), on_cpu(&y, s));
    fr_activate(two->cuda, s->activation, n, on_cuda(&x, s), on_cuda(&y, s));
    assert_same(&y);
    fr_activate(two->cpu, s->activation, n, on_cpu(&x, s), on_cpu(&x, s));
    fr_activate(two->cuda, s->activation, n, on_cuda(&x, s), on_cuda(&x, s));
    assert_same(&x);
    fr_pair_free(&x);
    fr_pair_free(&y);
}

/* place: dx is a buffer of its own, x, or dy. */
static void check_activate_back_at(const fr_two *two, const setting *s, int place)
{
    int64_t n = s->n_tokens * s->width;
    fr_pair pairs[] = {rows_of(two, "dx", s, 1, 14), rows_of(two, "x", s, 1, 15),
                       rows_of(two, "dy", s, 1, 16)};
    fr_activate_back(two->cpu, s->activation, n, on_cpu(&pairs[1], s),
                     on_cpu(&pairs[2], s), on_cpu(&pairs[place], s));
    fr_activate_back(two->cuda, s->activation, n, on_cuda(&pairs[1], s),
                     on_cuda(&pairs[2], s), on_cuda(&pairs[place], s));
    for (int i = 0; i < 3; i++) {
        assert_same(&pairs[i]);
        fr_pair_free(&pairs[i]);
    }
}

static void check_activate_back(const fr_two *two, const setting *s)
{
    for (int place = 0; place < 3; place++) {
        check_activate_back_at(two, s, place);
    }
}

/* In one pass or two: also of kept f32 numbers that the views' type cannot hold. */
static void check_parts(const fr_two *two, const setting *s)
{
    int64_t n = 2 * s->n_tokens * s->width;
    fr_pair x = hard_pair(two, "kept", s->offset + n, s->kept, 18);
    fr_pair dy = rows_of(two, "dy", s, 1, 19);
    fr_pair fused = fr_pair_numbers(two, "dgate_up", n, s->work, 0, 0);
    fr_pair apart = fr_pair_numbers(two, "dgate_up", n, s->work, 0, 0);
    fr_restore_gated_back(two->cuda, s->activation, s->n_tokens, s->width,
                          on_cuda(&x, s), on_cuda(&dy, s), fused.on_cuda);
    fr_restore(two->cuda, n, on_cuda(&x, s), apart.on_cuda);
    fr_gated_back(two->cuda, s->activation, s->n_tokens, s->width, apart.on_cuda,
                  on_cuda(&dy, s), apart.on_cuda);
    assert_same_places(&fused, &apart);
    fr_pair_free(&x);
    fr_pair_free(&dy);
    fr_pair_free(&fused);
    fr_pair_free(&apart);
}

static void restore_gated_back_is_its_parts(void)
{
    each_setting(check_parts);
}

static void gated_has_the_cpus_bits(void)
{
    each_setting(check_gated);
}

static void gated_back_has_the_cpus_bits(void)
{
    each_setting(check_gated_back);
}

static void save_gated_has_the_cpus_bits(void)
{
    each_setting(check_save_gated);
}

static void restore_gated_back_has_the_cpus_bits(void)
{
    each_setting(check_restore_gated_back);
}

static void activate_has_the_cpus_bits(void)
{
    each_setting(check_activate);
}

static void activate_back_has_the_cpus_bits(void)
{
    each_setting(check_activate_back);
}

/* More rows than blocks, and a row longer than all parts of it. */
static void large_calls_have_the_cpus_bits(void)
{
    fr_two two = fr_two_open();
    setting many = {FR_ACTIVATION_GELU_ERF, FR_F32, FR_BF16, 16400, 2, 0};
    setting wide = {FR_ACTIVATION_SILU, FR_BF16, FR_F32, 1, 140000, 0};
    check_save_gated(&two, &many);
    check_gated_back(&two, &many);
    check_gated(&two, &wide);
    check_restore_gated_back(&two, &wide);
    fr_two_close(&two);
}

static void check_row_alone(const fr_two *two, const setting *s)
{
    fr_pair x = rows_of(two, "gate_up", s, 2, 17);
    fr_pair together = fr_pair_numbers(two, "y", s->n_tokens * s->width, s->work, 0, 0);
    fr_pair alone = fr_pair_numbers(two, "y", s->n_tokens * s->width, s->work, 0, 0);
    fr_gated(two->cuda, s->activation, s->n_tokens, s->width, on_cuda(&x, s),
             together.on_cuda);
    for (int64_t t = 0; t < s->n_tokens; t++) {
        fr_gated(two->cuda, s->activation, 1, s->width,
                 fr_view_at(on_cuda(&x, s), 2 * t * s->width),
                 fr_view_at(alone.on_cuda, t * s->width));
    }
    assert_same_places(&alone, &together);
    fr_pair_free(&x);
    fr_pair_free(&together);
    fr_pair_free(&alone);
}

static void a_row_alone_has_the_same_bits(void)
{
    fr_two two = fr_two_open();
    for (int64_t width = 7; width <= 40; width += 11) {
        setting s = {.n_tokens = 5, .width = width};
        check_types(&two, s, check_row_alone);
    }
    fr_two_close(&two);
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(gated_has_the_cpus_bits),
        FR_CASE(gated_back_has_the_cpus_bits),
        FR_CASE(save_gated_has_the_cpus_bits),
        FR_CASE(restore_gated_back_has_the_cpus_bits),
        FR_CASE(restore_gated_back_is_its_parts),
        FR_CASE(activate_has_the_cpus_bits),
        FR_CASE(activate_back_has_the_cpus_bits),
        FR_CASE(large_calls_have_the_cpus_bits),
        FR_CASE(a_row_alone_has_the_same_bits),
    };
    return fr_suite_main("cuda_activation", CASES, FR_N_CASES(CASES), argc, argv);
}
