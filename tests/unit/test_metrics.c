/* What metrics.jsonl holds after a start, steps, validations and files, line by line. */
#include "support/model_files.h"
#include "train/run/metrics.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 512, MAX_LINES = 32 };

/* The lines of a file as JSON; ends the case where one is not. */
typedef struct lines {
    int64_t n;
    json_t *objects[MAX_LINES];
} lines;

static void read_lines(const char *folder, lines *out)
{
    char line[4096];
    FILE *file = fopen(fr_test_path(folder, "metrics.jsonl"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    out->n = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        CU_ASSERT_FATAL(out->n < MAX_LINES);
        out->objects[out->n] = json_loads(line, 0, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(out->objects[out->n]);
        out->n++;
    }
    (void)fclose(file);
}

static void free_lines(lines *l)
{
    for (int64_t i = 0; i < l->n; i++) {
        json_decref(l->objects[i]);
    }
}

static int64_t whole(const lines *l, int64_t line, const char *key)
{
    return json_integer_value(json_object_get(l->objects[line], key));
}

static double real(const lines *l, int64_t line, const char *key)
{
    return json_real_value(json_object_get(l->objects[line], key));
}

static const char *text(const lines *l, int64_t line, const char *key)
{
    const char *value = json_string_value(json_object_get(l->objects[line], key));
    return value != NULL ? value : "";
}

static fr_metrics *open_metrics(const char *folder, const fr_task *tasks, int64_t n)
{
    fr_metrics *metrics = NULL;
    FR_ASSERT_OK(fr_metrics_open(fr_test_ctx(), folder, tasks, n, 100, &metrics));
    CU_ASSERT_PTR_NOT_NULL_FATAL(metrics);
    return metrics;
}

static void a_step_is_a_line_every_log_every_steps(void)
{
    char folder[PATH_BYTES];
    lines l;
    static const fr_traffic EDGES[] = {{100, 200, 3000000, 4000000}, {1, 2, 0, 0}};
    fr_step_result result = {.loss = 2.5,
                             .learning_rate = 0.125,
                             .gradient_norm = 3.5,
                             .n_counted = 7,
                             .n_useful = 70,
                             .n_examples = 3,
                             .n_rows = 60,
                             .n_edges = 2,
                             .edges = EDGES};
    (void)snprintf(folder, sizeof folder, "%s", fr_test_folder());
    fr_metrics *metrics = open_metrics(folder, NULL, 0);
    for (int64_t step = 1; step <= 7; step++) {
        FR_ASSERT_OK(fr_metrics_step(metrics, "a", step, 3, &result));
    }
    result.loss = (double)NAN;
    result.skipped = true;
    FR_ASSERT_OK(fr_metrics_step(metrics, "a", 9, 3, &result));
    fr_metrics_close(&metrics);
    read_lines(folder, &l);
    CU_ASSERT_EQUAL_FATAL(l.n, 3);
    CU_ASSERT_EQUAL(whole(&l, 0, "step"), 3);
    CU_ASSERT_EQUAL(whole(&l, 1, "step"), 6);
    CU_ASSERT_STRING_EQUAL(text(&l, 0, "task"), "a");
    CU_ASSERT_EQUAL(real(&l, 0, "loss"), 2.5);
    CU_ASSERT_EQUAL(real(&l, 0, "lr"), 0.125);
    CU_ASSERT_EQUAL(real(&l, 0, "gradient_norm"), 3.5);
    CU_ASSERT_EQUAL(whole(&l, 0, "target_tokens"), 7);
    CU_ASSERT_EQUAL(whole(&l, 0, "tokens"), 70);
    CU_ASSERT_EQUAL(whole(&l, 0, "examples"), 3);
    CU_ASSERT_EQUAL(whole(&l, 0, "rows"), 60);
    const json_t *edge = json_array_get(json_object_get(l.objects[0], "edges"), 0);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(edge, "backward_bytes")), 200);
    CU_ASSERT_EQUAL(json_real_value(json_object_get(edge, "forward_wait")), 0.003);
    CU_ASSERT_TRUE(json_is_null(json_object_get(l.objects[2], "loss")));
    CU_ASSERT_TRUE(json_is_true(json_object_get(l.objects[2], "skipped")));
    free_lines(&l);
}

static void validations_ends_and_files_have_lines_of_their_own(void)
{
    char folder[PATH_BYTES];
    lines l;
    fr_evaluation evaluation = {1.25, 40, 4};
    fr_write write = {.step = 12, .seconds = 0.5, .cpu_seconds = 0.25};
    (void)snprintf(folder, sizeof folder, "%s", fr_test_folder());
    fr_metrics *metrics = open_metrics(folder, NULL, 0);
    FR_ASSERT_OK(fr_metrics_validation(metrics, "b", 12, &evaluation, true));
    FR_ASSERT_OK(fr_metrics_stopped(metrics, "b", 12, 88, "patience"));
    FR_ASSERT_OK(fr_metrics_saved(metrics, &write, 0.125));
    write.name = "best.h5";
    FR_ASSERT_OK(fr_metrics_saved(metrics, &write, 0));
    fr_metrics_close(&metrics);
    read_lines(folder, &l);
    CU_ASSERT_EQUAL_FATAL(l.n, 4);
    CU_ASSERT_EQUAL(real(&l, 0, "valid_loss"), 1.25);
    CU_ASSERT_EQUAL(whole(&l, 0, "valid_target_tokens"), 40);
    CU_ASSERT_TRUE(json_is_true(json_object_get(l.objects[0], "best")));
    CU_ASSERT_STRING_EQUAL(text(&l, 1, "stopped"), "patience");
    CU_ASSERT_STRING_EQUAL(text(&l, 2, "saved"), "checkpoint-12.h5");
    CU_ASSERT_EQUAL(real(&l, 2, "blocked_seconds"), 0.125);
    CU_ASSERT_EQUAL(real(&l, 2, "writer_seconds"), 0.5);
    CU_ASSERT_STRING_EQUAL(text(&l, 3, "saved"), "best.h5");
    free_lines(&l);
}

/* Each task stands at a step of its own; what a resumed run will do again goes, all else stays as it was. */
static void lines_of_steps_yet_to_do_are_dropped(void)
{
    char folder[PATH_BYTES];
    lines l;
    fr_task_config configs[2] = {{.name = (char[]){"a"}}, {.name = (char[]){"b"}}};
    fr_task tasks[2] = {{.config = &configs[0]}, {.config = &configs[1]}};
    fr_step_result result = {.loss = 1};
    (void)snprintf(folder, sizeof folder, "%s", fr_test_folder());
    fr_metrics *metrics = open_metrics(folder, NULL, 0);
    for (int64_t step = 1; step <= 4; step++) {
        FR_ASSERT_OK(fr_metrics_step(metrics, "a", step, 1, &result));
        FR_ASSERT_OK(fr_metrics_step(metrics, "b", step, 1, &result));
    }
    fr_metrics_close(&metrics);
    tasks[0].progress.step = 2;
    tasks[1].progress.step = 3;
    metrics = open_metrics(folder, tasks, 2);
    FR_ASSERT_OK(fr_metrics_step(metrics, "a", 3, 1, &result));
    fr_metrics_close(&metrics);
    read_lines(folder, &l);
    static const char TASKS[] = "ababba";
    static const int STEPS[] = {1, 1, 2, 2, 3, 3};
    CU_ASSERT_EQUAL_FATAL(l.n, 6);
    for (int64_t i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL(text(&l, i, "task")[0], TASKS[i]);
        CU_ASSERT_EQUAL(whole(&l, i, "step"), STEPS[i]);
    }
    free_lines(&l);
}

static const fr_case CASES[] = {
    FR_CASE(a_step_is_a_line_every_log_every_steps),
    FR_CASE(validations_ends_and_files_have_lines_of_their_own),
    FR_CASE(lines_of_steps_yet_to_do_are_dropped),
};

int main(int argc, char **argv)
{
    return fr_suite_main("metrics", CASES, FR_N_CASES(CASES), argc, argv);
}
