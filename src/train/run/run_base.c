#define _POSIX_C_SOURCE 200809L
/* What a run starts from and what it gains. Before the first step: the losses of the base alone and of an init text, on
 * the rows that best losses are measured on. After the last step: the gain, the files, and what to type next. */
#include "train/run/run_impl.h"

#include "base/elementary.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/shell.h"
#include "train/run/tasks.h"
#include "train/step/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a task without validation rows the first training examples are measured: few, because it costs a forward pass.
 * MAX_LINES bounds the tasks with a line in the log, so that a sweep of hundreds does not hide all else. */
enum { SAMPLE_EXAMPLES = 64, MAX_LINES = 20 };

/* The rows that a task's losses are compared on. */
static const fr_dataset *rows_of(const fr_task *task)
{
    return task->valid != NULL ? task->valid : task->train;
}

static int64_t examples_of(const fr_task *task)
{
    return task->valid != NULL ? INT64_MAX : SAMPLE_EXAMPLES;
}

/* Collective over the world, as fr_evaluate_first is: every rank measures the same tasks in the same order. */
static fr_status measure(fr_run_state *run, const fr_task *task,
                         const fr_stage_prefix *prefix, fr_evaluation *out)
{
    out->n_examples = examples_of(task);
    return fr_evaluate_first(&run->env, &run->session.grid, run->session.engine,
                             rows_of(task), prefix, task->microbatch_tokens, out);
}

/* ---- the base alone ----------------------------------------------------------------------------- */

/* Where a prefix is made from a text, its first slot is the base's BOS, and rows have none. Measured without that
 * prefix, rows get the BOS in front. */
static fr_status measure_after_bos(fr_run_state *run, const fr_task *task, int32_t bos,
                                   fr_evaluation *out)
{
    fr_layer_range all = {0, run->env.arch->n_layers};
    int64_t n = run->session.n_layers * fr_arch_prefix_elements(run->env.arch, 1);
    float *k = NULL;
    float *v = NULL;
    fr_prefix_image image = {0};
    fr_status status = fr_alloc(run->ctx, n, sizeof *k, &k);
    if (status == FR_OK) {
        status = fr_alloc(run->ctx, n, sizeof *v, &v);
    }
    status = fr_group_agree(run->world, status);
    if (status == FR_OK) {
        status = fr_group_agree(run->world, fr_engine_keys_of_text(run->session.engine,
                                                                   &bos, 1, all, k, v));
    }
    if (status == FR_OK) {
        status = fr_group_agree(
            run->world, fr_prefix_image_open(run->session.device, k, v, n, &image));
    }
    if (status == FR_OK) {
        /* it slides as the token does that it stands for */
        fr_stage_prefix prefix = {.length = 1,
                                  .k = image.k.device,
                                  .v = image.v.device,
                                  .layers = all,
                                  .slides = true};
        status = measure(run, task, &prefix, out);
    }
    fr_prefix_image_close(run->session.device, &image);
    free(k);
    free(v);
    return status;
}

/* The base as a user meets it without a prefix: each row behind exactly one BOS, if the base wants one. */
static fr_status measure_base(fr_run_state *run, const fr_task *task,
                              fr_evaluation *out)
{
    static const fr_stage_prefix NONE = {0};
    const fr_tokenizer *tokenizer = run->env.tokenizer;
    int32_t bos = tokenizer != NULL ? fr_tokenizer_leading_bos(tokenizer) : -1;
    return bos >= 0 && !task->leading_bos ? measure_after_bos(run, task, bos, out)
                                          : measure(run, task, &NONE, out);
}

/* ---- before the first step ---------------------------------------------------------------------- */

/* What is measured; the rows as a digest, so that tasks with the same rows are measured once. */
typedef struct measurement {
    uint8_t rows[FR_DIGEST_BYTES];
    bool base; /* to be measured */
    bool init;
} measurement;

/* Two tasks start from the same keys and values. After a step they differ, so only tasks at step 0 are alike. */
static bool starts_alike(const fr_task *a, const fr_task *b)
{
    return a->config->prefix.init == FR_INIT_TEXT &&
           b->config->prefix.init == FR_INIT_TEXT && a->length == b->length &&
           a->config->prefix.repeat_text == b->config->prefix.repeat_text &&
           a->config->prefix.slides == b->config->prefix.slides &&
           a->layers.first == b->layers.first && a->layers.count == b->layers.count &&
           strcmp(a->config->prefix.text, b->config->prefix.text) == 0 &&
           a->progress.step == 0 && b->progress.step == 0;
}

/* Copy what was measured for an earlier task with the same rows. */
static void borrow(const fr_run_state *run, const measurement *all, int64_t index)
{
    fr_task *task = &run->tasks[index];
    for (int64_t i = 0; i < index; i++) {
        const fr_task *other = &run->tasks[i];
        if (memcmp(all[i].rows, all[index].rows, FR_DIGEST_BYTES) != 0) {
            continue;
        }
        if (!isfinite(task->progress.base_loss)) {
            task->progress.base_loss = other->progress.base_loss;
        }
        if (all[index].init && !isfinite(task->progress.init_loss) &&
            starts_alike(other, task)) {
            task->progress.init_loss = other->progress.init_loss;
        }
    }
}

/* A checkpoint holds finite numbers or infinity: a loss that is NaN counts as not measured. */
static double finite_or_none(double loss)
{
    return isfinite(loss) ? loss : (double)INFINITY;
}

/* A loss that a checkpoint or an earlier task has given is not measured again. */
static fr_status measure_task(fr_run_state *run, const measurement *m, fr_task *task)
{
    fr_evaluation result;
    if (m->base && !isfinite(task->progress.base_loss)) {
        FR_TRY(measure_base(run, task, &result));
        task->progress.base_loss = finite_or_none(result.loss);
    }
    if (m->init && !isfinite(task->progress.init_loss)) {
        fr_stage_prefix prefix = fr_task_prefix(task);
        FR_TRY(measure(run, task, &prefix, &result));
        task->progress.init_loss = finite_or_none(result.loss);
    }
    return FR_OK;
}

/* A loss means little without the rows that it was measured on, so each message names them. */
static void name_rows(const fr_task *task, char *out, size_t capacity)
{
    const fr_data_stats *s = fr_dataset_stats(rows_of(task));
    long long n = s->n_examples;
    const char *first = "";
    const char *kind = "validation";
    if (task->valid == NULL) {
        first = n > SAMPLE_EXAMPLES ? "the first " : "";
        kind = "training";
        n = n > SAMPLE_EXAMPLES ? SAMPLE_EXAMPLES : n;
    }
    (void)snprintf(out, capacity, "%s%lld %s example%s", first, n, kind,
                   n == 1 ? "" : "s");
}

/* Nothing is logged where the base gives no finite loss: the losses of an init text would have nothing to be
 * compared with. */
static void log_start(const fr_run_state *run, const fr_task *task)
{
    char rows[64];
    char text[128] = "";
    name_rows(task, rows, sizeof rows);
    if (isfinite(task->progress.init_loss)) {
        (void)snprintf(text, sizeof text,
                       "; prompted with the init text%s %.4f (perplexity %.4g)",
                       task->init_note != NULL ? " as it is used" : "",
                       task->progress.init_loss, fr_exp(task->progress.init_loss));
    }
    if (isfinite(task->progress.base_loss)) {
        fr_log(run->ctx, FR_LOG_INFO,
               "task %s: loss of the base alone %.4f (perplexity %.4g)%s, on %s",
               task->config->name, task->progress.base_loss,
               fr_exp(task->progress.base_loss), text, rows);
    }
}

/* A task that has stopped is not measured: no step follows that could gain anything. The init text is measured only
 * before the first step, when the prefix still is that text. */
static fr_status plan_measurements(const fr_run_state *run, measurement *all)
{
    for (int64_t i = 0; i < run->n_tasks; i++) {
        const fr_task *task = &run->tasks[i];
        all[i].base = !task->progress.stopped && !isfinite(task->progress.base_loss);
        all[i].init = !task->progress.stopped && !isfinite(task->progress.init_loss) &&
                      task->progress.step == 0 &&
                      task->config->prefix.init == FR_INIT_TEXT;
        FR_TRY(fr_dataset_digest_first(run->ctx, rows_of(task), examples_of(task),
                                       all[i].rows));
    }
    return FR_OK;
}

fr_status fr_run_measure_base(fr_run_state *run)
{
    measurement *all = NULL;
    if (!run->config->run.measure_base) {
        return FR_OK;
    }
    fr_status status = fr_alloc(run->ctx, run->n_tasks, sizeof *all, &all);
    if (status == FR_OK) {
        status = plan_measurements(run, all);
    }
    status = fr_group_agree(run->world, status);
    for (int64_t i = 0; status == FR_OK && i < run->n_tasks; i++) {
        fr_task *task = &run->tasks[i];
        if (!all[i].base && !all[i].init) {
            continue;
        }
        /* Before the measurement, so that only what no earlier task has measured is left to do. */
        borrow(run, all, i);
        fr_watch_at(run->watch, task->progress.step, task->config->name, 0);
        status = measure_task(run, &all[i], task);
        if (status == FR_OK) {
            if (i < MAX_LINES) {
                log_start(run, task);
            }
            status = fr_group_agree(run->world, fr_metrics_start(run->metrics, task));
        }
    }
    free(all);
    return status;
}

/* ---- after the last step ------------------------------------------------------------------------ */

/* The loss at the end on the rows of base_loss; infinite: unknown. */
static fr_status final_loss(fr_run_state *run, const fr_task *task, double *loss)
{
    fr_evaluation result;
    if (task->valid != NULL) {
        *loss = finite_or_none(task->progress.best_loss);
        return FR_OK;
    }
    fr_stage_prefix prefix = fr_task_prefix(task);
    FR_TRY(measure(run, task, &prefix, &result));
    *loss = finite_or_none(result.loss);
    return FR_OK;
}

/* Nats are compared and not perplexities: a difference of nats means the same at every loss. */
static void print_gain(const fr_run_state *run, const fr_task *task, double loss)
{
    char rows[64];
    char init[96] = "";
    char of[64] = "the prefix";
    name_rows(task, rows, sizeof rows);
    if (isfinite(task->progress.init_loss)) {
        (void)snprintf(init, sizeof init, ", %.4f (%.4g) with the init text",
                       task->progress.init_loss, fr_exp(task->progress.init_loss));
    }
    if (task->valid != NULL) {
        (void)snprintf(of, sizeof of, "the best prefix, of step %lld",
                       (long long)task->progress.best_step);
    }
    fr_log(run->ctx, FR_LOG_INFO,
           "task %s: loss %.4f (perplexity %.4g) with %s, %.4f (%.4g) with the base "
           "alone%s: %.4f nats %s, on %s",
           task->config->name, loss, fr_exp(loss), of, task->progress.base_loss,
           fr_exp(task->progress.base_loss), init,
           fabs(task->progress.base_loss - loss),
           loss <= task->progress.base_loss ? "gained" : "lost", rows);
}

/* What the suggested command gives to the model: a prompt; an empty prompt where the template has no {source}; the rows
 * themselves where the model would have nothing to go on from. */
typedef enum sample { SAMPLE_PROMPT, SAMPLE_NO_PROMPT, SAMPLE_ROWS } sample;

static sample sample_of(const fr_task_config *config)
{
    const char *text = config->template_text;
    if (config->chat || (text != NULL && strstr(text, "{source}") != NULL)) {
        return SAMPLE_PROMPT;
    }
    return text != NULL && strncmp(text, "{target}", strlen("{target}")) != 0
               ? SAMPLE_NO_PROMPT
               : SAMPLE_ROWS;
}

/* The suggested command: `generate` for rows of text, `eval` for rows of ids. */
static void print_command(FILE *out, const fr_run_state *run, const fr_task *task,
                          const char *reference)
{
    const fr_task_config *c = task->config;
    sample what = sample_of(c);
    fr_print_shell_word(out, run->options->program);
    (void)fprintf(out, " %s --model ", what == SAMPLE_ROWS ? "eval" : "generate");
    fr_print_shell_word(out, run->config->base.path);
    (void)fputs(" --prefix ", out);
    fr_print_shell_word(out, reference);
    /* The command must compute as the run did, else its results differ from the reported loss. */
    if (run->config->run.precision == FR_PRECISION_F32) {
        (void)fputs(" --precision f32", out);
    }
    if (run->config->base.quantised) {
        (void)fputs(" --weights quantised", out);
    }
    if (what == SAMPLE_PROMPT) {
        (void)fputs(" --prompt \"...\"", out);
    } else if (what == SAMPLE_NO_PROMPT) {
        (void)fputs(" --prompt \"\"", out);
    } else {
        (void)fputs(" --data ", out);
        fr_print_shell_word(out, c->valid != NULL ? c->valid : c->train);
    }
}

/* Into memory first, because a log line is written as a whole. */
static fr_status log_command(const fr_run_state *run, const fr_task *task,
                             const char *reference)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    FR_TRY(fr_check_memory(run->ctx, stream != NULL, sizeof *run));
    print_command(stream, run, task, reference);
    bool written = fclose(stream) == 0;
    fr_status status = fr_check_memory(run->ctx, written, bytes);
    if (status == FR_OK) {
        fr_log(run->ctx, FR_LOG_INFO, "try it: %s", text);
    }
    free(text);
    return status;
}

/* best.h5 or prefix.h5 in the run folder, with the task's name where there are several. */
static fr_status name_prefix(const fr_run_state *run, const fr_task *task, char **out)
{
    char *path = NULL;
    const char *file = isfinite(task->progress.best_loss) ? "best.h5" : "prefix.h5";
    FR_TRY(fr_join_path(run->ctx, run->config->run.dir, file, &path));
    size_t bytes = strlen(path) + strlen(task->config->name) + 2;
    fr_status status = fr_alloc(run->ctx, (int64_t)bytes, 1, out);
    if (status == FR_OK) {
        bool several = run->n_tasks > 1;
        (void)snprintf(*out, bytes, "%s%s%s", path, several ? ":" : "",
                       several ? task->config->name : "");
    }
    free(path);
    return status;
}

/* Only rank 0 shows the lines; the others make them too, so that all return the same status. */
static fr_status print_files(const fr_run_state *run, const fr_task *best)
{
    char *reference = NULL;
    fr_log(
        run->ctx, FR_LOG_INFO,
        "files in %s: %sprefix.h5 (after the last step), checkpoint-%lld.h5 (to go on "
        "with more steps), metrics.jsonl",
        run->config->run.dir,
        isfinite(best->progress.best_loss) ? "best.h5 (best by validation), " : "",
        (long long)fr_tasks_step(run->tasks, run->n_tasks));
    FR_TRY(name_prefix(run, best, &reference));
    fr_status status = log_command(run, best, reference);
    free(reference);
    return status;
}

/* The lowest loss first, of validation where there is one. */
static const fr_task *best_task(const fr_run_state *run)
{
    const fr_task *best = &run->tasks[0];
    for (int64_t i = 1; i < run->n_tasks; i++) {
        best = run->tasks[i].progress.best_loss < best->progress.best_loss
                   ? &run->tasks[i]
                   : best;
    }
    return best;
}

/* The list is cut at MAX_LINES on all ranks alike, because final_loss may be a collective pass. */
fr_status fr_run_report_gain(fr_run_state *run)
{
    for (int64_t i = 0; i < run->n_tasks && i < MAX_LINES; i++) {
        const fr_task *task = &run->tasks[i];
        double loss = 0;
        if (!isfinite(task->progress.base_loss)) {
            continue;
        }
        FR_TRY(final_loss(run, task, &loss));
        if (isfinite(loss)) {
            print_gain(run, task, loss);
        }
    }
    if (run->n_tasks > MAX_LINES) {
        fr_log(run->ctx, FR_LOG_INFO, "... and %lld more tasks: see metrics.jsonl",
               (long long)(run->n_tasks - MAX_LINES));
    }
    return fr_group_agree(run->world, print_files(run, best_task(run)));
}
