#include "support/rows.h"
#include "train/data/sampler.h"

#include <stdio.h>
#include <string.h>

enum { N_ROWS = 40, N_SOURCES = 7 };

static void every_epoch_is_a_permutation_of_its_own(void)
{
    fr_sampler sampler = {0};
    int differs = 0;
    int64_t first_epoch[N_ROWS];
    FR_ASSERT_OK(fr_sampler_init(fr_test_ctx(), 7, N_ROWS, NULL, &sampler));
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        int seen[N_ROWS] = {0};
        for (int64_t i = 0; i < N_ROWS; i++) {
            int64_t e = fr_sampler_get(&sampler, epoch * N_ROWS + i);
            CU_ASSERT_FATAL(e >= 0 && e < N_ROWS);
            seen[e]++;
            differs += epoch > 0 && e != first_epoch[i];
            first_epoch[i] = epoch == 0 ? e : first_epoch[i];
        }
        for (int64_t i = 0; i < N_ROWS; i++) {
            CU_ASSERT_EQUAL(seen[i], 1);
        }
    }
    CU_ASSERT(differs > N_ROWS);
    fr_sampler_fini(&sampler);
}

static void a_sample_does_not_depend_on_where_reading_began(void)
{
    fr_sampler a = {0};
    fr_sampler b = {0};
    FR_ASSERT_OK(fr_sampler_init(fr_test_ctx(), 7, N_ROWS, NULL, &a));
    FR_ASSERT_OK(fr_sampler_init(fr_test_ctx(), 7, N_ROWS, NULL, &b));
    for (int64_t g = 0; g < 100; g++) {
        (void)fr_sampler_get(&a, g);
    }
    CU_ASSERT_EQUAL(fr_sampler_get(&a, 101), fr_sampler_get(&b, 101));
    CU_ASSERT_EQUAL(fr_sampler_get(&a, 3), fr_sampler_get(&b, 3));
    fr_sampler_fini(&a);
    fr_sampler_fini(&b);
}

/* Row i has source i % N_SOURCES. */
static fr_dataset *open_sources(void)
{
    char text[N_ROWS * 64] = "";
    size_t at = 0;
    for (int i = 0; i < N_ROWS; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at,
                               "{\"source_ids\":[%d],\"target_ids\":[1,2]}\n",
                               i % N_SOURCES);
    }
    fr_data_params params = fr_test_id_params(fr_test_rows(text));
    fr_dataset *data = NULL;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    return data;
}

/* One epoch: every example once, sources whole; the source that begins it. */
static int64_t check_epoch(fr_sampler *sampler, int64_t epoch)
{
    int seen[N_ROWS] = {0};
    int n_changes = 0;
    int n_falls = 0;
    int64_t last = fr_sampler_get(sampler, epoch * N_ROWS);
    int64_t first_source = last % N_SOURCES;
    seen[last]++;
    for (int64_t i = 1; i < N_ROWS; i++) {
        int64_t e = fr_sampler_get(sampler, epoch * N_ROWS + i);
        CU_ASSERT_FATAL(e >= 0 && e < N_ROWS);
        bool changes = e % N_SOURCES != last % N_SOURCES;
        seen[e]++;
        n_changes += changes;
        n_falls += !changes && e < last;
        last = e;
    }
    for (int64_t i = 0; i < N_ROWS; i++) {
        CU_ASSERT_EQUAL(seen[i], 1);
    }
    CU_ASSERT_EQUAL(n_changes, N_SOURCES - 1);
    CU_ASSERT(n_falls > 0);
    return first_source;
}

static void by_source_keeps_the_examples_of_a_source_together(void)
{
    enum { EPOCHS = 200 };
    fr_dataset *data = open_sources();
    fr_sampler sampler = {0};
    int begins[N_SOURCES] = {0};
    FR_ASSERT_OK(fr_sampler_init(fr_test_ctx(), 7, N_ROWS, data, &sampler));
    CU_ASSERT_EQUAL(sampler.n_sources, N_SOURCES);
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        begins[check_epoch(&sampler, epoch)]++;
    }
    for (int i = 0; i < N_SOURCES; i++) { /* 29 +- 5 of 200 */
        CU_ASSERT(begins[i] > 10 && begins[i] < 50);
    }
    fr_sampler_fini(&sampler);
    fr_dataset_close(&data);
}

static void reading_may_begin_in_the_middle_of_a_source(void)
{
    fr_dataset *data = open_sources();
    fr_sampler whole = {0};
    FR_ASSERT_OK(fr_sampler_init(fr_test_ctx(), 3, N_ROWS, data, &whole));
    for (int64_t g = 0; g < 3 * N_ROWS; g++) {
        fr_sampler part = {0};
        FR_ASSERT_OK(fr_sampler_init(fr_test_ctx(), 3, N_ROWS, data, &part));
        CU_ASSERT_EQUAL(fr_sampler_get(&part, g), fr_sampler_get(&whole, g));
        fr_sampler_fini(&part);
    }
    fr_sampler_fini(&whole);
    fr_dataset_close(&data);
}

/* A layout is chosen by the first lines of a file. */
static void the_first_examples_have_an_order_of_their_own(void)
{
    fr_dataset *data = open_sources();
    fr_sampler sampler = {0};
    int seen[10] = {0};
    FR_ASSERT_OK(fr_sampler_init(fr_test_ctx(), 3, 10, data, &sampler));
    for (int64_t g = 0; g < 10; g++) {
        int64_t e = fr_sampler_get(&sampler, g);
        CU_ASSERT_FATAL(e >= 0 && e < 10);
        seen[e]++;
    }
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(seen[i], 1);
    }
    fr_sampler_fini(&sampler);
    fr_dataset_close(&data);
}

static const fr_case CASES[] = {
    FR_CASE(every_epoch_is_a_permutation_of_its_own),
    FR_CASE(a_sample_does_not_depend_on_where_reading_began),
    FR_CASE(by_source_keeps_the_examples_of_a_source_together),
    FR_CASE(reading_may_begin_in_the_middle_of_a_source),
    FR_CASE(the_first_examples_have_an_order_of_their_own),
};

int main(int argc, char **argv)
{
    return fr_suite_main("sampler", CASES, FR_N_CASES(CASES), argc, argv);
}
