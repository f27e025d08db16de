/* Rows that move, sums and what is kept, on the emulated GPU: the CPU's bits. */
#include "device/rows.h"
#include "device/rowwise.h"
#include "hard.h"

/* GUARD numbers lie behind each buffer, which nobody may write. */
enum { GUARD = 8, TABLE_ROWS = 50 };

/* Counts of the operators on n numbers; the last two take more than one block, and more than all blocks at once. */
static const int64_t COUNTS[] = {0, 1, 3, 7, 8, 31, 33, 257, 2100, 2048 * 256 * 4 + 9};

static fr_view shifted_cpu(const fr_pair *pair, int64_t offset)
{
    return fr_view_at(pair->on_cpu, offset);
}

static fr_view shifted_cuda(const fr_pair *pair, int64_t offset)
{
    return fr_view_at(pair->on_cuda, offset);
}

static fr_view kept_view(void *memory, fr_dtype kept, int64_t offset)
{
    return fr_view_at(fr_view_of((fr_byte *)memory, kept), offset);
}

/* Offsets of views: where 16 bytes begin, and beside. */
static int64_t next_offset(int64_t offset)
{
    return offset == 0 ? 1 : offset + 7;
}

static void check_save(const fr_two *two, int64_t n, int64_t offset, int types)
{
    fr_dtype work = fr_digit_type(types % 2);
    fr_dtype kept = fr_digit_type(types / 2 % 2);
    bool keeps = types / 4 == 0;
    fr_pair x = hard_pair(two, "x", n + offset + GUARD, work, 1);
    fr_pair saved = kept_pair(two, n + offset + GUARD, kept, 2);
    fr_view none = fr_view_of(NULL, kept);
    fr_save(two->cpu, n, shifted_cpu(&x, offset),
            keeps ? kept_view(saved.cpu, kept, offset) : none);
    fr_save(two->cuda, n, shifted_cuda(&x, offset),
            keeps ? kept_view(saved.cuda, kept, offset) : none);
    assert_same(&x);
    assert_same_kept(&saved, kept);
    fr_pair_free(&x);
    fr_pair_free(&saved);
}

static void check_restore(const fr_two *two, int64_t n, int64_t offset, int types)
{
    fr_dtype work = fr_digit_type(types % 2);
    fr_dtype kept = fr_digit_type(types / 2 % 2);
    fr_pair x = hard_pair(two, "x", n + offset + GUARD, work, 3);
    fr_pair saved = kept_pair(two, n + offset + GUARD, kept, 4);
    fr_restore(two->cpu, n, kept_view(saved.cpu, kept, offset),
               shifted_cpu(&x, offset));
    fr_restore(two->cuda, n, kept_view(saved.cuda, kept, offset),
               shifted_cuda(&x, offset));
    assert_same(&x);
    assert_same_kept(&saved, kept);
    fr_pair_free(&x);
    fr_pair_free(&saved);
}

static fr_f32 *cpu_f32(const fr_pair *pair, int64_t offset)
{
    return (fr_f32 *)pair->cpu + offset;
}

static fr_f32 *cuda_f32(const fr_pair *pair, int64_t offset)
{
    return (fr_f32 *)pair->cuda + offset;
}

static void check_sums(const fr_two *two, int64_t n, int64_t offset, int types)
{
    fr_pair x = hard_pair(two, "x", n + offset + GUARD, fr_digit_type(types % 2), 5);
    fr_pair y = hard_pair(two, "y", n + offset + GUARD, FR_F32, 6);
    fr_add(two->cpu, n, shifted_cpu(&x, offset), cpu_f32(&y, offset));
    fr_add(two->cuda, n, shifted_cuda(&x, offset), cuda_f32(&y, offset));
    assert_same(&y);
    fr_add_scaled(two->cpu, n, -0.3F, shifted_cpu(&x, offset), cpu_f32(&y, offset));
    fr_add_scaled(two->cuda, n, -0.3F, shifted_cuda(&x, offset), cuda_f32(&y, offset));
    assert_same(&y);
    fr_scale(two->cpu, n, 0.7F, cpu_f32(&y, offset));
    fr_scale(two->cuda, n, 0.7F, cuda_f32(&y, offset));
    assert_same(&y);
    assert_same(&x);
    fr_pair_free(&x);
    fr_pair_free(&y);
}

static void each_count(void (*check)(const fr_two *two, int64_t n, int64_t offset,
                                     int types),
                       int n_types)
{
    fr_two two = fr_two_open();
    for (int types = 0; types < n_types; types++) {
        for (int i = 0; i < FR_N_CASES(COUNTS); i++) {
            bool large = COUNTS[i] > 10000;
            for (int64_t offset = 0; offset <= (large ? 0 : 8);
                 offset = next_offset(offset)) {
                if (!large || types == 0) {
                    check(&two, COUNTS[i], offset, types);
                }
            }
        }
    }
    fr_two_close(&two);
}

static void save_has_the_cpus_bits(void)
{
    each_count(check_save, 8);
}

static void restore_has_the_cpus_bits(void)
{
    each_count(check_restore, 4);
}

static void sums_have_the_cpus_bits(void)
{
    each_count(check_sums, 2);
}

/* A call on rows. */
typedef struct setting {
    int64_t n;
    int64_t width;
    int64_t offset;
    fr_dtype dtype;
    int order; /* of the rows: ascending, mixed, one alone */
} setting;

typedef void (*setting_check)(const fr_two *two, const setting *s);

static void each_setting(setting_check check)
{
    static const int64_t SHAPES[][2] = {{0, 7},   {3, 0},   {1, 1},    {2, 3},
                                        {50, 8},  {31, 7},  {17, 33},  {40, 31},
                                        {50, 64}, {3, 257}, {2, 1100}, {49, 16}};
    fr_two two = fr_two_open();
    for (int i = 0; i < FR_N_CASES(SHAPES); i++) {
        for (int64_t offset = 0; offset <= 8; offset = next_offset(offset)) {
            for (int kind = 0; kind < 6; kind++) {
                setting s = {SHAPES[i][0], SHAPES[i][1], offset,
                             fr_digit_type(kind % 2), kind / 2};
                check(&two, &s);
            }
        }
    }
    fr_two_close(&two);
}

/* n rows of TABLE_ROWS, each perhaps many times. */
static int32_t *any_rows(const setting *s)
{
    int32_t *rows = calloc((size_t)s->n + 1, sizeof *rows);
    for (int64_t n = 0; n < s->n; n++) {
        int64_t mixed[] = {n * TABLE_ROWS / s->n, n * n * 7 % TABLE_ROWS, 11};
        rows[n] = (int32_t)mixed[s->order];
    }
    return rows;
}

static fr_pair rows_of(const fr_two *two, const char *name, const setting *s,
                       int64_t n_rows, uint64_t stream)
{
    return hard_pair(two, name, n_rows * s->width + s->offset + GUARD, s->dtype,
                     stream);
}

static void check_copy_rows(const fr_two *two, const setting *s)
{
    int32_t *rows = any_rows(s);
    fr_pair x = rows_of(two, "x", s, TABLE_ROWS, 7);
    fr_pair y = rows_of(two, "y", s, s->n, 8);
    fr_copy_rows(two->cpu, s->n, s->width, rows, shifted_cpu(&x, s->offset),
                 shifted_cpu(&y, s->offset));
    fr_copy_rows(two->cuda, s->n, s->width, rows, shifted_cuda(&x, s->offset),
                 shifted_cuda(&y, s->offset));
    memset(rows, 0x7f, (size_t)s->n * sizeof *rows); /* the list was read */
    assert_same(&y);
    assert_same(&x);
    free(rows);
    fr_pair_free(&x);
    fr_pair_free(&y);
}

static void check_scatter_rows(const fr_two *two, const setting *s)
{
    int32_t *rows = calloc(TABLE_ROWS, sizeof *rows);
    for (int64_t n = 0; n < s->n; n++) { /* 7 and 50 have no common factor */
        rows[n] = (int32_t)(s->order == 0 ? n : (7 * n + s->order) % TABLE_ROWS);
    }
    fr_pair x = rows_of(two, "x", s, s->n, 9);
    fr_pair y = rows_of(two, "y", s, TABLE_ROWS, 10);
    fr_scatter_rows(two->cpu, TABLE_ROWS, s->width, s->n, rows,
                    shifted_cpu(&x, s->offset), shifted_cpu(&y, s->offset));
    fr_scatter_rows(two->cuda, TABLE_ROWS, s->width, s->n, rows,
                    shifted_cuda(&x, s->offset), shifted_cuda(&y, s->offset));
    memset(rows, 0x7f, TABLE_ROWS * sizeof *rows);
    assert_same(&y);
    assert_same(&x);
    free(rows);
    fr_pair_free(&x);
    fr_pair_free(&y);
}

static void check_add_table_rows(const fr_two *two, const setting *s)
{
    if (s->dtype == FR_F32) {
        int32_t *rows = any_rows(s);
        fr_pair table = rows_of(two, "table", s, TABLE_ROWS, 11);
        fr_pair x = rows_of(two, "x", s, s->n, 12);
        fr_add_table_rows(two->cpu, s->n, s->width, rows, cpu_f32(&table, s->offset),
                          cpu_f32(&x, s->offset));
        fr_add_table_rows(two->cuda, s->n, s->width, rows, cuda_f32(&table, s->offset),
                          cuda_f32(&x, s->offset));
        memset(rows, 0x7f, (size_t)s->n * sizeof *rows);
        assert_same(&x);
        assert_same(&table);
        free(rows);
        fr_pair_free(&x);
        fr_pair_free(&table);
    }
}

/* Of numbers alone whose sums depend on their order. */
static void check_add_rows(const fr_two *two, const setting *s)
{
    if (s->dtype == FR_F32) {
        int32_t *rows = any_rows(s);
        fr_pair x =
            fr_pair_numbers(two, "x", s->n * s->width + s->offset, FR_F32, 13, 9);
        fr_pair y = rows_of(two, "y", s, TABLE_ROWS, 14);
        fr_add_rows(two->cpu, s->n, s->width, rows, cpu_f32(&x, s->offset),
                    cpu_f32(&y, s->offset));
        fr_add_rows(two->cuda, s->n, s->width, rows, cuda_f32(&x, s->offset),
                    cuda_f32(&y, s->offset));
        memset(rows, 0x7f, (size_t)s->n * sizeof *rows);
        assert_same(&y);
        assert_same(&x);
        free(rows);
        fr_pair_free(&x);
        fr_pair_free(&y);
    }
}

static void copy_rows_has_the_cpus_bits(void)
{
    each_setting(check_copy_rows);
}

static void scatter_rows_has_the_cpus_bits(void)
{
    each_setting(check_scatter_rows);
}

static void add_table_rows_has_the_cpus_bits(void)
{
    each_setting(check_add_table_rows);
}

static void add_rows_has_the_cpus_bits(void)
{
    each_setting(check_add_rows);
}

/* Row numbers of four bytes, in an order that each byte changes; more rows than blocks. */
static void many_rows_have_the_cpus_bits(void)
{
    enum { N = 17000, ROWS = 70000 };
    fr_two two = fr_two_open();
    int32_t *rows = calloc(N, sizeof *rows);
    for (int64_t n = 0; n < N; n++) {
        rows[n] = (int32_t)(n * 48271 % ROWS / (n % 3 == 0 ? 100 : 1));
    }
    fr_pair x = fr_pair_numbers(&two, "x", N, FR_F32, 15, 3);
    fr_pair y = fr_pair_numbers(&two, "y", ROWS, FR_F32, 16, 3);
    fr_add_rows(two.cpu, N, 1, rows, cpu_f32(&x, 0), cpu_f32(&y, 0));
    fr_add_rows(two.cuda, N, 1, rows, cuda_f32(&x, 0), cuda_f32(&y, 0));
    fr_pair_assert_same(&y);
    fr_add_table_rows(two.cpu, N, 1, rows, cpu_f32(&y, 0), cpu_f32(&x, 0));
    fr_add_table_rows(two.cuda, N, 1, rows, cuda_f32(&y, 0), cuda_f32(&x, 0));
    fr_pair_assert_same(&x);
    fr_copy_rows(two.cpu, N, 1, rows, y.on_cpu, x.on_cpu);
    fr_copy_rows(two.cuda, N, 1, rows, y.on_cuda, x.on_cuda);
    fr_pair_assert_same(&x);
    free(rows);
    fr_pair_free(&x);
    fr_pair_free(&y);
    fr_two_close(&two);
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(save_has_the_cpus_bits),
        FR_CASE(restore_has_the_cpus_bits),
        FR_CASE(sums_have_the_cpus_bits),
        FR_CASE(copy_rows_has_the_cpus_bits),
        FR_CASE(scatter_rows_has_the_cpus_bits),
        FR_CASE(add_table_rows_has_the_cpus_bits),
        FR_CASE(add_rows_has_the_cpus_bits),
        FR_CASE(many_rows_have_the_cpus_bits),
    };
    return fr_suite_main("cuda_rows", CASES, FR_N_CASES(CASES), argc, argv);
}
