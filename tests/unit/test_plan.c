#include "support/suite.h"
#include "train/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROWS = 40 };

/* Rows of one to three targets, of growing length, as ids. */
static fr_dataset *open_rows(void)
{
    char path[1024];
    fr_dataset *dataset = NULL;
    (void)snprintf(path, sizeof path, "%s/rows.jsonl", fr_test_folder());
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (int i = 0; i < N_ROWS; i++) {
        (void)fprintf(file, "{\"source_ids\": [1");
        for (int j = 0; j < i % 7; j++) {
            (void)fprintf(file, ", %d", j + 2);
        }
        (void)fprintf(file, "], \"target_ids\": [[5, 6]");
        for (int j = 0; j < i % 3; j++) {
            (void)fprintf(file, ", [7, 8, 9]");
        }
        (void)fprintf(file, "]}\n");
    }
    (void)fclose(file);
    fr_data_params params = {.path = path,
                             .vocab_size = 100,
                             .eos_id = -1,
                             .without_bos = true,
                             .max_tokens = 64};
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &dataset));
    return dataset;
}

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

/* Check that microbatches hold every unit once, within the limit, and count the replicas used. */
static int check_packing(const fr_step_plan *plan, int64_t limit, int n_replicas)
{
    int used[8] = {0};
    int seen[64] = {0};
    int n_used = 0;
    for (int64_t b = 0; b < plan->n_microbatches; b++) {
        const fr_microbatch *m = &plan->microbatches[b];
        int64_t rows = 0;
        CU_ASSERT(m->n_units > 0);
        CU_ASSERT(m->replica >= 0 && m->replica < n_replicas);
        for (int64_t i = 0; i < m->n_units; i++) {
            int64_t unit = plan->order[m->first_unit + i];
            seen[unit]++;
            rows += plan->units[unit].n_rows;
        }
        CU_ASSERT_EQUAL(rows, m->n_rows);
        CU_ASSERT(rows <= limit || m->n_units == 1);
        n_used += used[m->replica]++ == 0;
    }
    for (int64_t u = 0; u < plan->n_units; u++) {
        CU_ASSERT_EQUAL(seen[u], 1);
    }
    return n_used;
}

static void packing_keeps_every_unit_and_the_limit(void)
{
    fr_dataset *rows = open_rows();
    fr_step_plan plan = {0};
    fr_sampler sampler = {0};
    int64_t n = fr_dataset_stats(rows)->n_examples;
    FR_ASSERT_OK(fr_sampler_init(fr_test_ctx(), 1, n, &sampler));
    for (int replicas = 1; replicas <= 4; replicas++) {
        for (int64_t limit = 1; limit < 200; limit = limit * 2 + 3) {
            FR_ASSERT_OK(fr_plan_step(fr_test_ctx(), rows, &sampler, 5 * limit, 16,
                                      limit, replicas, &plan));
            int wanted = plan.n_units < replicas ? (int)plan.n_units : replicas;
            CU_ASSERT_EQUAL(check_packing(&plan, limit, replicas), wanted);
            CU_ASSERT_EQUAL(plan.n_targets, 16);
        }
    }
    fr_step_plan_fini(&plan);
    fr_sampler_fini(&sampler);
    fr_dataset_close(&rows);
}

static void units_do_not_depend_on_the_layout(void)
{
    fr_dataset *rows = open_rows();
    fr_step_plan one = {0};
    fr_step_plan four = {0};
    fr_sampler sampler = {0};
    FR_ASSERT_OK(fr_sampler_init(fr_test_ctx(), 3, fr_dataset_stats(rows)->n_examples,
                                 &sampler));
    FR_ASSERT_OK(fr_plan_step(fr_test_ctx(), rows, &sampler, 16, 16, 1000, 1, &one));
    FR_ASSERT_OK(fr_plan_step(fr_test_ctx(), rows, &sampler, 16, 16, 9, 4, &four));
    CU_ASSERT_EQUAL_FATAL(one.n_units, four.n_units);
    CU_ASSERT_EQUAL(one.n_counted, four.n_counted);
    fr_assert_same_bytes("units", one.units, four.units,
                         (size_t)one.n_units * sizeof *one.units);
    fr_assert_same_bytes("targets", one.targets, four.targets,
                         (size_t)one.n_targets * sizeof *one.targets);
    fr_step_plan_fini(&one);
    fr_step_plan_fini(&four);
    fr_sampler_fini(&sampler);
    fr_dataset_close(&rows);
}

static void targets_of_one_row_share_a_unit(void)
{
    fr_dataset *rows = open_rows();
    fr_step_plan plan = {0};
    FR_ASSERT_OK(fr_plan_rows(fr_test_ctx(), rows, 0, 6, 1000, 1, &plan));
    /* rows 0, 1, 2 have 1, 2, 3 targets */
    CU_ASSERT_EQUAL_FATAL(plan.n_units, 3);
    CU_ASSERT_EQUAL(plan.units[2].n_targets, 3);
    CU_ASSERT_EQUAL(plan.units[2].n_rows, 3 + 1 + 2 + 2);
    CU_ASSERT_EQUAL(plan.n_counted, 2 + (2 + 3) + (2 + 3 + 3));
    fr_step_plan_fini(&plan);
    fr_dataset_close(&rows);
}

static const fr_case CASES[] = {
    FR_CASE(every_epoch_is_a_permutation_of_its_own),
    FR_CASE(a_sample_does_not_depend_on_where_reading_began),
    FR_CASE(packing_keeps_every_unit_and_the_limit),
    FR_CASE(units_do_not_depend_on_the_layout),
    FR_CASE(targets_of_one_row_share_a_unit),
};

int main(int argc, char **argv)
{
    return fr_suite_main("plan", CASES, FR_N_CASES(CASES), argc, argv);
}
