/* The training loop on one rank, with real tasks, metrics and files: what happens after which step. */
#include "base/file.h"
#include "support/model_files.h"
#include "support/trainer.h"
#include "train/run/rounds.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 512, LOG_BYTES = 4096, STEPS = 6 };

typedef struct loop {
    char folder[PATH_BYTES];
    fr_trainer trainer;
    fr_metrics *metrics;
    fr_saves *saves;
    fr_stop_request stop;
    int64_t stop_after;
} loop;

/* Two tasks of the same rows; `run` and `task` are more keys of the run and of the first task. */
static void open_loop(const char *run, const char *task, loop *l)
{
    char text[4096];
    char rows[PATH_BYTES];
    *l = (loop){.stop_after = 0};
    (void)snprintf(l->folder, sizeof l->folder, "%s", fr_test_folder());
    (void)snprintf(rows, sizeof rows, "%s",
                   fr_trainer_rows(l->folder, "rows.jsonl", 12));
    (void)snprintf(
        text, sizeof text,
        "run: {dir: \"%s\", steps: %d, log_every: 1, measure_base: false%s}\n"
        "tasks:\n"
        "- {name: a, train: \"%s\", valid: \"%s\", eos: false%s,\n"
        "   batch: {examples: 4, microbatch_tokens: 60},\n"
        "   prefix: {init: {random: 0.5}, length: 2}}\n"
        "- {name: b, train: \"%s\", eos: false,\n"
        "   batch: {examples: 4, microbatch_tokens: 60},\n"
        "   prefix: {init: {random: 0.5}, length: 3}}\n",
        l->folder, STEPS, run, rows, rows, task, rows);
    fr_trainer_open(text, &l->trainer);
    fr_trainer *t = &l->trainer;
    FR_ASSERT_OK(fr_metrics_open(fr_test_ctx(), l->folder, t->tasks, t->n_tasks,
                                 t->n_tasks * STEPS, &l->metrics));
    l->stop = (fr_stop_request){fr_test_ctx(), NULL, l->folder};
    fr_saves_params params = {.env = &t->env,
                              .grid = &t->session.grid,
                              .tasks = t->tasks,
                              .n_tasks = t->n_tasks,
                              .metrics = l->metrics,
                              .folder = l->folder,
                              .keep = 9,
                              .newest = -1,
                              .identity = {.shape = t->session.shape,
                                           .isa = t->session.variants,
                                           .arithmetic = "test",
                                           .version = "0",
                                           .layout = t->session.layout}};
    FR_ASSERT_OK(fr_saves_open(&params, &l->saves));
    CU_ASSERT_PTR_NOT_NULL_FATAL(l->saves);
}

static fr_status run_loop(loop *l)
{
    fr_trainer *t = &l->trainer;
    fr_rounds_params params = {.env = &t->env,
                               .grid = &t->session.grid,
                               .engine = t->session.engine,
                               .tasks = t->tasks,
                               .n_tasks = t->n_tasks,
                               .metrics = l->metrics,
                               .saves = l->saves,
                               .stop = &l->stop,
                               .stop_after = l->stop_after};
    return fr_rounds_run(&params);
}

static void close_loop(loop *l)
{
    fr_saves_close(&l->saves);
    fr_metrics_close(&l->metrics);
    fr_trainer_close(&l->trainer);
}

/* One word a line of metrics.jsonl: "a1" a step, "a2v" a validation ("a2V" the best so far), "a3." an end. Files are
 * written by a thread, so their lines come when they come: they are left out. */
static void read_events(const loop *l, char out[LOG_BYTES])
{
    char line[4096];
    size_t at = 0;
    FILE *file = fopen(fr_test_path(l->folder, "metrics.jsonl"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    out[0] = '\0';
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *object = json_loads(line, 0, NULL);
        const char *task = json_string_value(json_object_get(object, "task"));
        bool valid = json_object_get(object, "valid_loss") != NULL;
        bool best = json_is_true(json_object_get(object, "best"));
        bool end = json_object_get(object, "stopped") != NULL;
        if (task != NULL) {
            at += (size_t)snprintf(
                out + at, LOG_BYTES - at, "%s%s%d%s", at > 0 ? " " : "", task,
                (int)json_integer_value(json_object_get(object, "step")),
                end      ? "."
                : !valid ? ""
                : best   ? "V"
                         : "v");
        }
        json_decref(object);
    }
    (void)fclose(file);
}

static bool has_file(const loop *l, const char *name)
{
    return fr_file_exists(fr_test_path(l->folder, name));
}

static void tasks_step_in_turn_and_validate_when_due(void)
{
    loop l;
    char events[LOG_BYTES];
    open_loop(", valid_every: 4", "", &l);
    FR_ASSERT_OK(run_loop(&l));
    read_events(&l, events);
    for (char *c = events; *c != '\0'; c++) {
        *c = *c == 'V' ? 'v' : *c;
    }
    CU_ASSERT_STRING_EQUAL(events, "a1 b1 a2 b2 a3 b3 a4 b4 a4v a5 b5 a6 b6 a6v");
    CU_ASSERT_TRUE(l.trainer.tasks[0].progress.stopped &&
                   l.trainer.tasks[1].progress.stopped);
    CU_ASSERT_TRUE(has_file(&l, "checkpoint-6.h5") && has_file(&l, "best.h5"));
    CU_ASSERT_FALSE(has_file(&l, "checkpoint-4.h5"));
    close_loop(&l);
}

/* Checkpoints hold the state of all tasks after the same round. */
static void checkpoints_are_saved_every_so_many_steps(void)
{
    static const char *const NAMES[] = {"checkpoint-2.h5", "checkpoint-4.h5",
                                        "checkpoint-6.h5"};
    loop l;
    open_loop(", save_every: 2", "", &l);
    FR_ASSERT_OK(run_loop(&l));
    for (int i = 0; i < 3; i++) {
        fr_checkpoint *saved = NULL;
        FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), fr_test_path(l.folder, NAMES[i]),
                                        &saved));
        CU_ASSERT_PTR_NOT_NULL_FATAL(saved);
        CU_ASSERT_EQUAL(saved->tasks[0].progress.step, 2 * (i + 1));
        CU_ASSERT_EQUAL(saved->tasks[1].progress.step, 2 * (i + 1));
        if (i == 2) {
            const fr_task *task = &l.trainer.tasks[1];
            fr_assert_same_bytes("k", saved->tasks[1].state.k, task->state.k,
                                 (size_t)task->n_local * sizeof(float));
        }
        fr_checkpoint_destroy(&saved);
    }
    CU_ASSERT_FALSE(has_file(&l, "checkpoint-3.h5"));
    close_loop(&l);
}

/* The steps of the round under way are done first, and the checkpoint holds them. */
static void a_request_stops_all_tasks_after_the_same_round(void)
{
    loop l;
    char events[LOG_BYTES];
    open_loop("", "", &l);
    fr_test_write_text(fr_test_path(l.folder, "STOP"), "");
    FR_ASSERT_FAILS(run_loop(&l), FR_ERR_STOPPED, "after step 1");
    read_events(&l, events);
    CU_ASSERT_STRING_EQUAL(events, "a1 b1");
    CU_ASSERT_TRUE(has_file(&l, "checkpoint-1.h5") && has_file(&l, "STOP"));
    close_loop(&l);
}

static void stop_after_counts_steps(void)
{
    loop l;
    char events[LOG_BYTES];
    open_loop("", "", &l);
    l.stop_after = 3;
    FR_ASSERT_FAILS(run_loop(&l), FR_ERR_STOPPED, "after step 3");
    read_events(&l, events);
    CU_ASSERT_STRING_EQUAL(events, "a1 b1 a2 b2 a3 b3");
    CU_ASSERT_TRUE(has_file(&l, "checkpoint-3.h5"));
    close_loop(&l);
}

/* A rule ends one task; the other one goes on alone. */
static void a_task_that_a_rule_stops_leaves_the_round(void)
{
    loop l;
    char events[LOG_BYTES];
    open_loop(", valid_every: 2", ", stop_below: 1000", &l);
    FR_ASSERT_OK(run_loop(&l));
    read_events(&l, events);
    CU_ASSERT_STRING_EQUAL(events, "a1 b1 a2 b2 a2V a2. b3 b4 b5 b6");
    CU_ASSERT_EQUAL(l.trainer.tasks[0].progress.step, 2);
    CU_ASSERT_EQUAL(l.trainer.tasks[1].progress.step, STEPS);
    close_loop(&l);
}

static const fr_case CASES[] = {
    FR_CASE(tasks_step_in_turn_and_validate_when_due),
    FR_CASE(checkpoints_are_saved_every_so_many_steps),
    FR_CASE(a_request_stops_all_tasks_after_the_same_round),
    FR_CASE(stop_after_counts_steps),
    FR_CASE(a_task_that_a_rule_stops_leaves_the_round),
};

int main(int argc, char **argv)
{
    return fr_suite_main("rounds", CASES, FR_N_CASES(CASES), argc, argv);
}
