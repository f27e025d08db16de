/* How large the steps of a task are. */
#include "support/rows.h"
#include "train/forecast/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fr_task_config batch_of(int64_t examples, int64_t microbatch_tokens)
{
    fr_task_config task = {.name = NULL};
    task.batch.examples = examples;
    task.batch.microbatch_tokens = microbatch_tokens;
    return task;
}

/* 10 examples of 8 rows, 3 to a microbatch: 4 microbatches; on 3 replicas the busiest has 2 of them. */
static void loads_of_numbers_are_packed(void)
{
    fr_workload_source source;
    fr_task_workload load;
    fr_task_config task = batch_of(10, 30);
    fr_workload_from_numbers(5, 8, 0.25, &source);
    FR_ASSERT_OK(fr_workload_of_task(fr_test_ctx(), &task, &source, 3, &load));
    CU_ASSERT_EQUAL(load.n_microbatches, 2);
    CU_ASSERT_EQUAL(load.max_units, 3);
    CU_ASSERT_EQUAL(load.max_rows, 24);
    CU_ASSERT_DOUBLE_EQUAL(load.step_rows, 80.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(load.replica_rows, 40.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(load.counted_tokens, 20.0, 1e-9);
    FR_ASSERT_OK(fr_workload_of_task(fr_test_ctx(), &task, &source, 10, &load));
    CU_ASSERT_EQUAL(load.n_microbatches, 1);
    CU_ASSERT_EQUAL(load.max_units, 1);
    CU_ASSERT_EQUAL(fr_workload_max_position(&source, 1), 13);
    CU_ASSERT_DOUBLE_EQUAL(fr_workload_target_share(&source, 1), 0.25, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(fr_workload_target_share(NULL, 0), 1.0, 0.0);
}

/* Rows of 3 + 2 tokens: 4 rows each, of which 2 are predictions. */
static void loads_of_equal_rows_agree_with_numbers(void)
{
    char text[40 * 64] = "";
    for (int i = 0; i < 40; i++) {
        (void)strcat(text, "{\"source_ids\":[1,2,3],\"target_ids\":[4,5]}\n");
    }
    fr_data_params params = fr_test_id_params(fr_test_rows(text));
    fr_dataset *rows = NULL;
    fr_workload_source sources[2];
    fr_task_workload loads[2];
    fr_task_config task = batch_of(10, 13);
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &rows));
    fr_workload_from_rows(rows, 5, &sources[0]);
    fr_workload_from_numbers(5, 4, 0.5, &sources[1]);
    CU_ASSERT_EQUAL(sources[0].n_examples, 40);
    CU_ASSERT_EQUAL(sources[0].longest, 5);
    for (int i = 0; i < 2; i++) {
        FR_ASSERT_OK(
            fr_workload_of_task(fr_test_ctx(), &task, &sources[i], 2, &loads[i]));
    }
    CU_ASSERT_EQUAL(loads[0].n_microbatches, loads[1].n_microbatches);
    CU_ASSERT_EQUAL(loads[0].max_rows, loads[1].max_rows);
    CU_ASSERT_DOUBLE_EQUAL(loads[0].step_rows, loads[1].step_rows, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(loads[0].counted_tokens, loads[1].counted_tokens, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(loads[0].row_keys, 10.0 / 4.0, 1e-9);
    fr_dataset_close(&rows);
}

/* 20 sources of 9 tokens, one after the other with 2 targets of 2: 11 rows a source instead of 10 an example. */
static void loads_of_shared_sources_count_them_once(void)
{
    char text[40 * 96] = "";
    size_t at = 0;
    for (int i = 0; i < 40; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at,
                               "{\"source_ids\":[1,2,3,4,5,6,7,8,%d],"
                               "\"target_ids\":[4,5]}\n",
                               i / 2);
    }
    fr_data_params params = fr_test_id_params(fr_test_rows(text));
    fr_dataset *rows = NULL;
    fr_workload_source source;
    fr_task_workload load;
    fr_task_config task = batch_of(10, 1000);
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &rows));
    fr_workload_from_rows(rows, 5, &source);
    FR_ASSERT_OK(fr_workload_of_task(fr_test_ctx(), &task, &source, 1, &load));
    CU_ASSERT_DOUBLE_EQUAL(load.step_rows, 100.0, 1e-9);
    task.batch.share_sources = true;
    task.batch.order = FR_ORDER_BY_SOURCE;
    FR_ASSERT_OK(fr_workload_of_task(fr_test_ctx(), &task, &source, 1, &load));
    CU_ASSERT_DOUBLE_EQUAL(load.step_rows, 5.0 * 11.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(load.unshared_rows, 100.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(load.useful_tokens, 110.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(load.row_keys, (45.0 + 2.0 * 10.0) / 11.0, 1e-9);
    task.batch.share_prompt = 5;
    FR_ASSERT_OK(fr_workload_of_task(fr_test_ctx(), &task, &source, 1, &load));
    CU_ASSERT_DOUBLE_EQUAL(load.step_rows, 8.0 + 5.0 * 3.0, 1e-9);
    fr_dataset_close(&rows);
}

/* A look at the first lines gives what the whole file gives, or `plan` and `train` would choose differently. */
static void a_sample_gives_the_load_of_the_whole_file(void)
{
    enum { LINES = FR_WORKLOAD_LINES + 500, LINE = 96 };
    char *text = calloc(LINES, LINE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    size_t at = 0;
    for (int i = 0; i < LINES; i++) {
        const char *more = i % 7 == 0 ? "1,2,3,4,5,6,7,8,9," : "";
        const char *end = i % 100 == 0 ? "\n\n" : "\n"; /* blank lines */
        at += (size_t)snprintf(text + at, LINE,
                               "{\"source_ids\":[%s%d],\"target_ids\":[4,5]}%s", more,
                               i % 50, end);
    }
    fr_data_params params = fr_test_id_params(fr_test_rows(text));
    fr_task_workload loads[2];
    for (int i = 0; i < 2; i++) {
        fr_dataset *rows = NULL;
        fr_workload_source source;
        fr_task_config task = batch_of(16, 40);
        task.batch.share_sources = true;
        task.batch.order = FR_ORDER_BY_SOURCE;
        params.sample = i == 1;
        params.max_rows = i == 1 ? FR_WORKLOAD_LINES : 0;
        FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &rows));
        CU_ASSERT_EQUAL(fr_dataset_stats(rows)->n_rows,
                        i == 1 ? FR_WORKLOAD_LINES : LINES);
        fr_workload_from_rows(rows, 5, &source);
        CU_ASSERT(source.n_examples < FR_WORKLOAD_LINES);
        memset(&loads[i], 0, sizeof loads[i]);
        FR_ASSERT_OK(fr_workload_of_task(fr_test_ctx(), &task, &source, 3, &loads[i]));
        fr_dataset_close(&rows);
    }
    fr_assert_same_bytes("loads", &loads[1], &loads[0], sizeof loads[0]);
    free(text);
}

static const fr_case CASES[] = {
    FR_CASE(loads_of_numbers_are_packed),
    FR_CASE(loads_of_equal_rows_agree_with_numbers),
    FR_CASE(loads_of_shared_sources_count_them_once),
    FR_CASE(a_sample_gives_the_load_of_the_whole_file),
};

int main(int argc, char **argv)
{
    return fr_suite_main("load", CASES, FR_N_CASES(CASES), argc, argv);
}
