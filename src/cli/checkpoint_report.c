/* What a prefix file or checkpoint says of itself: for `inspect`, and for `prefix list` and `prefix info`.
 *
 * Texts that come from files pass fr_print_line. */
#include "cli/checkpoint_report.h"

#include "base/print.h"
#include "train/config/written.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Training continues from optimizer moments, or from the network that produces the prefix. */
static bool can_resume(const fr_checkpoint_task *task)
{
    return task->state.m_k != NULL || fr_mlp_is_there(&task->mlp);
}

/* A text that the model reads, written as in a config or --template: a newline and a backslash with n then differ. */
static fr_status print_prose(fr_ctx *ctx, const char *what, const char *text,
                             bool is_template)
{
    char *written = NULL;
    if (is_template) {
        FR_TRY(fr_written_write_template(ctx, text, &written));
    } else {
        FR_TRY(fr_written_write(ctx, text, &written));
    }
    fr_print_line(stdout, "%s\"%s\"", what, written);
    free(written);
    return FR_OK;
}

/* Only an init from a text holds a text of the user; the other ones are this program's own words. */
static fr_status print_init(fr_ctx *ctx, const char *init)
{
    enum { WHAT_BYTES = 128 };
    char what[WHAT_BYTES];
    /* "text: TEXT", or "text, how much of it: TEXT" */
    const char *text = init != NULL && strncmp(init, "text", 4) == 0 &&
                               (init[4] == ':' || init[4] == ',')
                           ? strstr(init, ": ")
                           : NULL;
    if (text != NULL && text - init < WHAT_BYTES / 2) {
        (void)snprintf(what, sizeof what, "  init         %.*s: ", (int)(text - init),
                       init);
        return print_prose(ctx, what, text + 2, false);
    }
    fr_print_line(stdout, "  init         %s", init != NULL ? init : "unknown");
    return FR_OK;
}

/* Without a template of its own a task has dialogues, in a chat template, or rows of ids. */
static fr_status print_template(fr_ctx *ctx, const fr_checkpoint_task *task)
{
    const char *digest = task->chat_template_digest;
    if (task->template_text != NULL) {
        return print_prose(ctx, "  template     ", task->template_text, true);
    }
    fr_print_line(stdout, "  template     %s%s%s%s",
                  task->chat ? "chat template" : "none (pre-tokenised rows)",
                  digest != NULL ? ", sha256 " : "", digest != NULL ? digest : "",
                  task->chat_template != NULL ? ", kept here"
                  : digest != NULL            ? ", not kept here"
                                              : "");
    if (task->chat_arguments != NULL) {
        fr_print_line(stdout, "  arguments    %s", task->chat_arguments);
    }
    if (task->chat_clock != NULL) {
        fr_print_line(stdout, "  clock        %s", task->chat_clock);
    }
    return FR_OK;
}

/* Lines that only some tasks need: layers if the prefix leaves some of the base out, its window if it slides, the
 * epsilon if the file has one, and the best loss if there was a validation. */
fr_status fr_report_task(fr_ctx *ctx, const fr_checkpoint_task *task)
{
    char digest[FR_DIGEST_HEX];
    fr_digest_hex(task->data_digest, digest);
    bool is_known = strspn(digest, "0") < strlen(digest);
    fr_print_line(stdout, "task %s", task->name);
    fr_print_line(
        stdout, "  prefix       %lld slots x %lld layers x %lld key/value heads x %lld",
        (long long)task->length, (long long)task->n_layers, (long long)task->n_kv_heads,
        (long long)task->head_dim);
    if (task->n_layers < task->base_layers) {
        fr_print_line(stdout, "  layers       %lld to %lld of 0 to %lld",
                      (long long)task->first_layer,
                      (long long)(task->first_layer + task->n_layers - 1),
                      (long long)(task->base_layers - 1));
    }
    if (task->slides) {
        fr_print_line(stdout, "  window       slides: a layer's window may hide slots");
    }
    if (task->base_norm_eps != 0.0) {
        fr_print_line(stdout, "  base norms   epsilon %g", task->base_norm_eps);
    }
    FR_TRY(print_init(ctx, task->init));
    FR_TRY(print_template(ctx, task));
    fr_print_line(stdout,
                  "  rows         eos %s, special tokens in data %s, leading BOS %s",
                  task->eos ? "yes" : "no", task->special ? "yes" : "no",
                  task->leading_bos ? "yes" : "no");
    fr_print_line(stdout, "  step         %lld, next example %lld, seed %llu%s",
                  (long long)task->progress.step, (long long)task->progress.cursor,
                  (unsigned long long)task->seed,
                  task->progress.stopped ? ", finished" : "");
    if (isfinite(task->progress.best_loss)) {
        fr_print_line(stdout, "  best         validation loss %.6f at step %lld",
                      task->progress.best_loss, (long long)task->progress.best_step);
    }
    fr_print_line(stdout, "  last loss    %.6f, %lld steps skipped",
                  task->progress.last_loss, (long long)task->progress.skipped);
    fr_print_line(stdout, "  data         %s%s", is_known ? "sha256 " : "not named",
                  is_known ? digest : "");
    if (fr_mlp_is_there(&task->mlp)) {
        fr_print_line(
            stdout, "  mlp          %lld hidden units over embeddings of %lld",
            (long long)task->mlp.shape.hidden, (long long)task->mlp.shape.width);
    }
    fr_print_line(stdout, "  optimizer    %s",
                  can_resume(task) ? "state kept (can be resumed)"
                                   : "no state (for inference)");
    return FR_OK;
}

/* Early files lack some of these facts, which are then printed as unknown. The first task decides the title. */
void fr_report_file(const fr_checkpoint *c)
{
    char digest[FR_DIGEST_HEX];
    fr_digest_hex(c->base_digest, digest);
    fr_print_line(stdout, "Forerun %s, format %d.%lld, written by %s",
                  c->n_tasks > 0 && can_resume(&c->tasks[0]) ? "checkpoint" : "prefix",
                  (int)FR_CHECKPOINT_MAJOR, (long long)c->minor,
                  c->version != NULL ? c->version : "unknown");
    fr_print_line(stdout, "base           %s",
                  c->base_shape != NULL ? c->base_shape : "unknown");
    fr_print_line(stdout, "base file      %s, weights sha256 %s",
                  c->base_path != NULL ? c->base_path : "unknown", digest);
    fr_print_line(stdout, "computed with  %s, arithmetic %s, layout %s",
                  c->isa != NULL ? c->isa : "unknown",
                  c->arithmetic != NULL ? c->arithmetic : "without a name",
                  c->layout != NULL ? c->layout : "unknown");
}
