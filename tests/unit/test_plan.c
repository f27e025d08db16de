#include "support/rows.h"
#include "train/data/step_plan.h"

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

/* Check that each replica finds its own microbatches, in the order of the plan, and that they are dealt back and
 * forth. */
static void check_own(const fr_step_plan *plan, int n_replicas)
{
    int64_t next[8] = {0};
    for (int64_t b = 0; b < plan->n_microbatches; b++) {
        const fr_microbatch *m = &plan->microbatches[b];
        int64_t turn = b % (2 * n_replicas);
        CU_ASSERT_EQUAL_FATAL(m->replica,
                              turn < n_replicas ? turn : 2 * n_replicas - 1 - turn);
        CU_ASSERT_PTR_EQUAL(fr_plan_microbatch(plan, m->replica, next[m->replica]), m);
        next[m->replica]++;
    }
    for (int r = 0; r < n_replicas; r++) {
        CU_ASSERT_EQUAL(fr_plan_count(plan, r), next[r]);
    }
}

static void a_replica_finds_its_own_microbatches(void)
{
    fr_dataset *rows = open_rows();
    fr_step_plan plan = {0};
    CU_ASSERT_EQUAL(fr_plan_count(&plan, 0), 0);
    for (int replicas = 1; replicas <= 5; replicas++) {
        for (int64_t n = 1; n <= 24; n++) {
            fr_plan_params how = {rows, false, 1, 1, replicas}; /* a unit each */
            FR_ASSERT_OK(fr_plan_rows(fr_test_ctx(), &how, 0, n, &plan));
            CU_ASSERT_EQUAL(plan.n_microbatches, n);
            check_own(&plan, replicas);
        }
    }
    fr_step_plan_fini(&plan);
    fr_dataset_close(&rows);
}

static void packing_keeps_every_unit_and_the_limit(void)
{
    fr_dataset *rows = open_rows();
    fr_step_plan plan = {0};
    fr_sampler sampler = {0};
    int64_t n = fr_dataset_stats(rows)->n_examples;
    FR_ASSERT_OK(fr_sampler_init(fr_test_ctx(), 1, n, NULL, &sampler));
    for (int replicas = 1; replicas <= 4; replicas++) {
        for (int64_t limit = 1; limit < 200; limit = limit * 2 + 3) {
            fr_plan_params how = {rows, true, 1, limit, replicas};
            FR_ASSERT_OK(
                fr_plan_step(fr_test_ctx(), &how, &sampler, 5 * limit, 16, &plan));
            int wanted = plan.n_units < replicas ? (int)plan.n_units : replicas;
            CU_ASSERT_EQUAL(check_packing(&plan, limit, replicas), wanted);
            CU_ASSERT_EQUAL(plan.n_examples, 16);
        }
    }
    fr_step_plan_fini(&plan);
    fr_sampler_fini(&sampler);
    fr_dataset_close(&rows);
}

static void check_same_units(const fr_plan_params *a, const fr_plan_params *b)
{
    fr_step_plan one = {0};
    fr_step_plan two = {0};
    fr_sampler sampler = {0};
    FR_ASSERT_OK(fr_sampler_init(
        fr_test_ctx(), 3, fr_dataset_stats(a->dataset)->n_examples, NULL, &sampler));
    FR_ASSERT_OK(fr_plan_step(fr_test_ctx(), a, &sampler, 16, 16, &one));
    FR_ASSERT_OK(fr_plan_step(fr_test_ctx(), b, &sampler, 16, 16, &two));
    CU_ASSERT_EQUAL_FATAL(one.n_units, two.n_units);
    CU_ASSERT_EQUAL_FATAL(one.n_sources, two.n_sources);
    CU_ASSERT_EQUAL(one.n_counted, two.n_counted);
    fr_assert_same_bytes("units", one.units, two.units,
                         (size_t)one.n_units * sizeof *one.units);
    fr_assert_same_bytes("sources", one.sources, two.sources,
                         (size_t)one.n_sources * sizeof *one.sources);
    fr_assert_same_bytes("examples", one.examples, two.examples,
                         (size_t)one.n_examples * sizeof *one.examples);
    fr_step_plan_fini(&one);
    fr_step_plan_fini(&two);
    fr_sampler_fini(&sampler);
}

static void units_do_not_depend_on_the_layout(void)
{
    fr_dataset *rows = open_rows();
    for (int share = 0; share < 2; share++) {
        fr_plan_params a = {rows, share == 1, 3, 1000, 1};
        fr_plan_params b = {rows, share == 1, 3, 9, 4};
        check_same_units(&a, &b);
    }
    fr_dataset_close(&rows);
}

static void plan_all(const fr_dataset *data, bool share_sources, int64_t share_prompt,
                     fr_step_plan *plan)
{
    fr_plan_params how = {data, share_sources, share_prompt, 1000, 1};
    *plan = (fr_step_plan){0};
    FR_ASSERT_OK(
        fr_plan_rows(fr_test_ctx(), &how, 0, fr_dataset_stats(data)->n_examples, plan));
}

static fr_dataset *open_text(const char *text)
{
    fr_data_params params = fr_test_id_params(fr_test_rows(text));
    fr_dataset *data = NULL;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    return data;
}

/* Source 1 2 in three rows and four examples, apart from each other; 1 in one; two without a source. */
static const char EQUAL[] = "{\"source_ids\":[1,2],\"target_ids\":[7,8]}\n"
                            "{\"source_ids\":[1],\"target_ids\":[2,7,8]}\n"
                            "{\"source_ids\":[1,2],\"target_ids\":[[7,8],[9]]}\n"
                            "{\"source_ids\":[],\"target_ids\":[7,8]}\n"
                            "{\"source_ids\":[],\"target_ids\":[7,8]}\n"
                            "{\"source_ids\":[1,2],\"target_ids\":[7,8]}\n";

static void equal_sources_of_any_rows_are_one_unit(void)
{
    static const int64_t EXAMPLES[] = {0, 2, 3, 6, 1, 4, 5};
    fr_dataset *data = open_text(EQUAL);
    fr_step_plan plan;
    plan_all(data, true, 1, &plan);
    CU_ASSERT_EQUAL_FATAL(plan.n_units, 4);
    CU_ASSERT_EQUAL(plan.sources[0].n_examples, 4);
    CU_ASSERT_EQUAL(plan.units[0].n_rows, 2 + 1 + 1 + 0 + 1);
    CU_ASSERT_EQUAL(plan.n_rows, 5 + (1 + 2) + 1 + 1);
    CU_ASSERT_EQUAL(plan.n_keys, (1 + 2 + 3 + 3 + 3) + (1 + 2 + 3) + 1 + 1);
    CU_ASSERT_EQUAL(plan.n_counted, (2 + 2 + 1 + 2) + 3 + 1 + 1);
    CU_ASSERT_EQUAL(plan.n_useful, (4 + 4 + 3 + 4) + 4 + 2 + 2);
    fr_assert_same_bytes("examples", plan.examples, EXAMPLES, sizeof EXAMPLES);
    fr_step_plan_fini(&plan);
    fr_dataset_close(&data);
}

static void without_sharing_every_example_is_a_unit(void)
{
    fr_dataset *data = open_text(EQUAL);
    fr_step_plan plan;
    plan_all(data, false, 1, &plan);
    CU_ASSERT_EQUAL_FATAL(plan.n_units, 7);
    CU_ASSERT_EQUAL(plan.units[3].n_rows, 2);
    CU_ASSERT_EQUAL(plan.n_rows, plan.n_useful - plan.n_examples);
    for (int64_t i = 0; i < plan.n_examples; i++) {
        CU_ASSERT_EQUAL(plan.examples[i], i);
    }
    fr_step_plan_fini(&plan);
    fr_dataset_close(&data);
}

/* Sources 0-2 have 9 tokens in common, 3-5 only 7, 6 is alone in its group. */
static const char ALIKE[] =
    "{\"source_ids\":[1,2,3,4,5,6,7,8,9,10],\"target_ids\":[1,2]}\n"
    "{\"source_ids\":[1,2,3,4,5,6,7,8,9,11,12],\"target_ids\":[1]}\n"
    "{\"source_ids\":[1,2,3,4,5,6,7,8,9,13],\"target_ids\":[[1],[2,3]]}\n"
    "{\"source_ids\":[1,2,3,4,5,6,7,8],\"target_ids\":[1]}\n"
    "{\"source_ids\":[1,2,3,4,5,6,7,8,9],\"target_ids\":[1]}\n"
    "{\"source_ids\":[1,2,3,4,5,6,7,8,9,14],\"target_ids\":[1]}\n"
    "{\"source_ids\":[1,2,3,4,5,6,7,8,9,15],\"target_ids\":[1]}\n";

static void neighbours_that_begin_alike_are_one_unit(void)
{
    fr_dataset *data = open_text(ALIKE);
    fr_step_plan plan;
    plan_all(data, true, 3, &plan);
    CU_ASSERT_EQUAL_FATAL(plan.n_units, 5);
    CU_ASSERT_EQUAL(plan.units[0].n_sources, 3);
    CU_ASSERT_EQUAL(plan.units[0].n_shared, 9);
    CU_ASSERT_EQUAL(plan.units[0].n_rows, 9 + (1 + 1) + 2 + (1 + 1));
    CU_ASSERT_EQUAL(plan.units[1].n_sources, 1);
    CU_ASSERT_EQUAL(plan.units[1].n_shared, 0);
    CU_ASSERT_EQUAL(plan.units[4].first_source, 6);
    CU_ASSERT_EQUAL(plan.n_rows, 15 + 8 + 9 + 10 + 10);
    CU_ASSERT_EQUAL(plan.n_keys,
                    45 + (10 + 11) + (10 + 11) + (10 + 11) + 36 + 45 + 55 + 55);
    fr_step_plan_fini(&plan);
    fr_dataset_close(&data);
}

/* Two dialogues that part behind an answer: what is shared ends where the answer, which is in the loss, begins. */
static void a_common_beginning_ends_before_the_loss(void)
{
#define DIALOGUE(last)                                                                 \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"                            \
    "{\"role\":\"assistant\",\"content\":\"abc\"},"                                    \
    "{\"role\":\"user\",\"content\":\"" last "\"},"                                    \
    "{\"role\":\"assistant\",\"content\":\"c\"}]}\n"
    fr_letters how = {.chat_template = FR_TEST_CHATML};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    fr_data_params params =
        fr_test_text_params(fr_test_rows(DIALOGUE("v") DIALOGUE("w")), tokenizer);
    params.template_text = NULL;
    params.chat = true;
    for (int last = 0; last < 2; last++) {
        fr_dataset *data = NULL;
        fr_step_plan plan;
        params.loss_last = last == 1;
        FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
        plan_all(data, true, 2, &plan);
        fr_sequence source = fr_dataset_source(data, 0);
        int64_t shared = plan.units[0].n_shared;
        int64_t first_counted = 0;
        while (first_counted < source.count && source.counted[first_counted] == 0) {
            first_counted++;
        }
        CU_ASSERT_EQUAL(plan.n_units, 1);
        CU_ASSERT(shared >= 8);
        CU_ASSERT(last == 1 ? source.count - shared < 24 : shared == first_counted);
        fr_step_plan_fini(&plan);
        fr_dataset_close(&data);
    }
    fr_tokenizer_close(&tokenizer);
}

static void targets_of_one_row_share_a_unit(void)
{
    fr_dataset *rows = open_rows();
    fr_step_plan plan = {0};
    fr_plan_params how = {rows, true, 1, 1000, 1};
    FR_ASSERT_OK(fr_plan_rows(fr_test_ctx(), &how, 0, 6, &plan));
    /* rows 0, 1, 2 have 1, 2, 3 targets */
    CU_ASSERT_EQUAL_FATAL(plan.n_units, 3);
    CU_ASSERT_EQUAL(plan.sources[2].n_examples, 3);
    CU_ASSERT_EQUAL(plan.units[2].n_rows, 3 + 1 + 2 + 2);
    CU_ASSERT_EQUAL(plan.n_counted, 2 + (2 + 3) + (2 + 3 + 3));
    fr_step_plan_fini(&plan);
    fr_dataset_close(&rows);
}

static const fr_case CASES[] = {
    FR_CASE(packing_keeps_every_unit_and_the_limit),
    FR_CASE(a_replica_finds_its_own_microbatches),
    FR_CASE(units_do_not_depend_on_the_layout),
    FR_CASE(targets_of_one_row_share_a_unit),
    FR_CASE(equal_sources_of_any_rows_are_one_unit),
    FR_CASE(without_sharing_every_example_is_a_unit),
    FR_CASE(neighbours_that_begin_alike_are_one_unit),
    FR_CASE(a_common_beginning_ends_before_the_loss),
};

int main(int argc, char **argv)
{
    return fr_suite_main("plan", CASES, FR_N_CASES(CASES), argc, argv);
}
