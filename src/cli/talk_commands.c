/* What a person may ask for beside an answer.
 *
 * Every rank does all of it, so that all have the same dialogue and prefix; only rank 0 prints and saves. What one rank may fail at
 * alone is agreed on by fr_talk after each turn.
 */
#define _XOPEN_SOURCE 700 /* pread */
#include "cli/talk_impl.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/output.h"
#include "model/files/where.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A command; `rest` is what follows its name, without blanks around, "" if nothing does. */
typedef struct command {
    const char *name;
    const char *rest; /* what it is in /help; NULL: nothing may follow */
    bool needs_rest;
    fr_status (*run)(talk *t, const char *rest);
    const char *help;
} command;

/* ---- prefixes ---------------------------------------------------------------------------------------- */

static const char *name_form(const talk *t, const fr_inference_prefix *p)
{
    talk with = *t;
    with.prefix = p;
    talk_form form = fr_talk_form(&with);
    return form == TALK_DIALOGUE ? "dialogues"
           : form == TALK_SINGLE ? "single texts, by its template"
                                 : "texts that go on";
}

void fr_talk_tell_prefix(const talk *t)
{
    const fr_inference_prefix *p = t->prefix;
    const char *form = name_form(t, p);
    if (p->task == NULL) {
        fr_talk_note(t, "answers come from the base alone: %s", form);
    } else {
        fr_talk_note(t, "answers come from %s: %lld slots, %s", p->reference,
                     (long long)p->length, form);
    }
    if (fr_talk_form(t) == TALK_SINGLE) {
        fr_talk_note(t, "each line is a text of its own: the prefix does not see what "
                        "was said before");
    } else if (fr_talk_form(t) == TALK_PLAIN) {
        fr_talk_note(t, "there is no chat template, so the text is continued as it "
                        "is, and answers end at --max-new-tokens or --stop");
    }
}

/* A task of the file of --prefix, if it has one of this name. */
static const fr_inference_prefix *find_task(const talk *t, const char *name)
{
    const fr_inference_prefix *found = NULL;
    for (const fr_inference_prefix *p = t->inference.prefix; p != NULL; p = p->next) {
        if (p->task != NULL && t->file != NULL && strcmp(p->file, t->file) == 0 &&
            strcmp(p->task->name, name) == 0) {
            found = p;
        }
    }
    return found;
}

static fr_status find_prefix(talk *t, const char *name, const fr_inference_prefix **out)
{
    *out = find_task(t, name);
    if (*out == NULL) {
        FR_TRY(fr_inference_add(&t->inference, name, out));
    }
    if ((*out)->length + 1 >= t->context) {
        return FR_FAIL(t->ctx, FR_ERR_DATA,
                       "%s has %lld slots, which leave no space in a context of %lld; "
                       "start with a larger --context",
                       name, (long long)(*out)->length, (long long)t->context);
    }
    return FR_OK;
}

/* A path may mean one file here and another on another node. Ranks whose prefixes differ in shape would compute past their
 * memory. */
static fr_status check_alike(talk *t, const char *name, const fr_inference_prefix *p)
{
    enum { N = 4 };
    const fr_stage_prefix *view = &p->view;
    int64_t least[N] = {p->length, view->layers.first, view->layers.count,
                        view->slides ? 1 : 0};
    int64_t most[N];
    memcpy(most, least, sizeof most);
    FR_TRY(fr_group_allreduce(t->cli->world, FR_MIN, least, N));
    FR_TRY(fr_group_allreduce(t->cli->world, FR_MAX, most, N));
    return memcmp(least, most, sizeof least) == 0
               ? FR_OK
               : FR_FAIL(t->ctx, FR_ERR_CHECKPOINT,
                         "%s is another prefix on another rank; put one file where all "
                         "ranks see it",
                         name);
}

/* The prefix changes on all ranks or on none. */
static fr_status use(talk *t, const char *rest)
{
    const fr_inference_prefix *p = NULL;
    FR_TRY(fr_group_agree(t->cli->world, find_prefix(t, rest, &p)));
    FR_TRY(check_alike(t, rest, p));
    t->prefix = p;
    fr_talk_tell_prefix(t);
    return FR_OK;
}

static fr_status use_none(talk *t, const char *rest)
{
    (void)rest;
    FR_TRY(fr_inference_add(&t->inference, NULL, &t->prefix));
    fr_talk_tell_prefix(t);
    return FR_OK;
}

static fr_status list_prefixes(talk *t, const char *rest)
{
    (void)rest;
    for (const fr_inference_prefix *p = t->inference.prefix; p != NULL; p = p->next) {
        const char *mark = p == t->prefix ? "*" : " ";
        if (p->task == NULL) {
            fr_talk_print(t, "%s the base alone: %s (/none)", mark, name_form(t, p));
        } else {
            fr_talk_print(t, "%s %s of %s: %lld slots, %s", mark, p->task->name,
                          p->file, (long long)p->length, name_form(t, p));
        }
    }
    return FR_OK;
}

/* ---- the dialogue ------------------------------------------------------------------------------------ */

static fr_status set_system(talk *t, const char *rest)
{
    char *text = NULL;
    fr_status status = fr_copy_optional(t->ctx, rest[0] != '\0' ? rest : NULL, &text);
    status = fr_group_agree(t->cli->world, status);
    if (status != FR_OK) {
        free(text);
        return status;
    }
    free(t->system);
    t->system = text;
    fr_talk_note(t, text != NULL ? "the system turn counts from the next answer on"
                                 : "there is no system turn from the next answer on");
    return FR_OK;
}

static fr_status reset(talk *t, const char *rest)
{
    (void)rest;
    (void)json_array_clear(t->messages);
    fr_talk_note(t, "a new dialogue");
    return FR_OK;
}

/* The last answer is put back if another one fails. */
static fr_status retry(talk *t, const char *rest)
{
    (void)rest;
    size_t n = json_array_size(t->messages);
    if (n == 0) {
        return FR_FAIL(t->ctx, FR_ERR_DATA, "there is no answer yet to try again");
    }
    json_t *last = json_incref(json_array_get(t->messages, n - 1));
    (void)json_array_remove(t->messages, n - 1);
    if (t->params->sampling.sample.temperature <= 0.0) {
        fr_talk_note(t,
                     "without --temperature the answer is the same, unless prefix or "
                     "system turn have changed");
    }
    fr_status status = fr_talk_answer(t);
    if (status != FR_OK && json_array_append(t->messages, last) != 0) {
        status = FR_ERR_NO_MEMORY;
    }
    json_decref(last);
    return status;
}

/* A file of rows is added to; anything else keeps what it holds. */
static fr_status check_rows_file(const talk *t, int file, const char *path, bool *ends,
                                 off_t *bytes)
{
    static const char BEGIN[] = "{\"messages\"";
    char first[sizeof BEGIN] = "";
    char last = '\n';
    off_t size = lseek(file, 0, SEEK_END);
    *bytes = size;
    if (size > 0 && (pread(file, first, sizeof BEGIN - 1, 0) < 0 ||
                     pread(file, &last, 1, size - 1) != 1)) {
        return FR_FAIL(t->ctx, FR_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    }
    *ends = last == '\n';
    return size == 0 || strcmp(first, BEGIN) == 0
               ? FR_OK
               : FR_FAIL(t->ctx, FR_ERR_DATA,
                         "%s exists and does not hold dialogues; give another file",
                         path);
}

/* Where it cannot be written whole, the file is cut back to what it was. */
static fr_status append_row(const talk *t, const char *path, const char *row)
{
    bool ends = true;
    off_t before = 0;
    int file = fr_open_own(path, O_RDWR | O_APPEND);
    if (file < 0) {
        return FR_FAIL(t->ctx, FR_ERR_IO, "cannot write to %s: %s", path,
                       strerror(errno));
    }
    fr_status status = check_rows_file(t, file, path, &ends, &before);
    bool good = status != FR_OK || ((ends || fr_write_whole(file, "\n", 1)) &&
                                    fr_write_whole(file, row, strlen(row)) &&
                                    fr_write_whole(file, "\n", 1));
    int code = good ? 0 : errno;
    if (!good && before >= 0 && ftruncate(file, before) != 0) {
        fr_log(t->ctx, FR_LOG_WARN, "%s ends with a part of a row", path);
    }
    if (close(file) != 0 && code == 0) {
        code = errno;
    }
    return status != FR_OK || code == 0
               ? status
               : FR_FAIL(t->ctx, FR_ERR_IO, "cannot write to %s: %s", path,
                         strerror(code));
}

/* As rows of training are written: the system turn first. */
static fr_status save_row(const talk *t, const char *path)
{
    json_t *all = json_array();
    bool good = all != NULL;
    if (good && t->system != NULL) {
        good = json_array_append_new(all, json_pack("{s:s, s:s}", "role", "system",
                                                    "content", t->system)) == 0;
    }
    good = good && json_array_extend(all, t->messages) == 0;
    json_t *object = good ? json_pack("{s:O}", "messages", all) : NULL;
    char *row = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    json_decref(all);
    fr_status status = fr_check_memory(t->ctx, row != NULL, 1);
    if (status == FR_OK) {
        status = append_row(t, path, row);
    }
    free(row);
    return status;
}

static fr_status save(talk *t, const char *rest)
{
    if (json_array_size(t->messages) == 0) {
        return FR_FAIL(t->ctx, FR_ERR_DATA, "there is nothing to save yet");
    }
    FR_TRY(
        fr_model_apart(t->ctx, "/save", rest, "--model", t->params->inference.model));
    if (fr_ctx_rank(t->ctx) == 0) {
        FR_TRY(save_row(t, rest));
    }
    fr_talk_note(t, "the dialogue is the last row of %s", rest);
    return FR_OK;
}

/* ---- commands ---------------------------------------------------------------------------------------- */

static fr_status help(talk *t, const char *rest);

static fr_status quit(talk *t, const char *rest)
{
    (void)rest;
    t->is_over = true;
    return FR_OK;
}

static const command COMMANDS[] = {
    {"/use", "TASK or FILE[:TASK]", true, use, "answer with this prefix"},
    {"/none", NULL, false, use_none, "answer with the base alone"},
    {"/prefixes", NULL, false, list_prefixes, "list the prefixes that are open"},
    {"/system", "TEXT", false, set_system,
     "set the system turn; without a text there is none"},
    {"/retry", NULL, false, retry, "answer the last turn again"},
    {"/reset", NULL, false, reset, "begin a new dialogue"},
    {"/save", "FILE", true, save, "add the dialogue to a file of rows"},
    {"/help", NULL, false, help, "list the commands"},
    {"/quit", NULL, false, quit, "leave (also Ctrl-D)"},
};
enum { N_COMMANDS = sizeof COMMANDS / sizeof *COMMANDS };

static fr_status help(talk *t, const char *rest)
{
    (void)rest;
    for (int i = 0; i < N_COMMANDS; i++) {
        char usage[64];
        (void)snprintf(usage, sizeof usage, "%s %s", COMMANDS[i].name,
                       COMMANDS[i].rest != NULL ? COMMANDS[i].rest : "");
        fr_talk_print(t, "%-26s %s", usage, COMMANDS[i].help);
    }
    fr_talk_print(t, "%-26s %s", "//TEXT", "say a text that begins with /");
    fr_talk_print(t, "%-26s %s", "\\ at the end of a line", "go on in the next line");
    fr_talk_print(t, "%-26s %s", "Ctrl-C",
                  "stop the answer; at the prompt twice: leave");
    return FR_OK;
}

static fr_status run(talk *t, const command *c, const char *rest)
{
    if (c->rest == NULL && rest[0] != '\0') {
        return FR_FAIL(t->ctx, FR_ERR_ARG, "%s takes nothing behind it", c->name);
    }
    if (c->needs_rest && rest[0] == '\0') {
        return FR_FAIL(t->ctx, FR_ERR_ARG, "%s needs %s", c->name, c->rest);
    }
    return c->run(t, rest);
}

fr_status fr_talk_command(talk *t, const char *line)
{
    fr_text all = fr_text_trim(fr_text_of(line));
    size_t n = strcspn(line, " \t\n");
    char *name = NULL;
    char *rest = NULL;
    fr_status status = fr_copy_string(t->ctx, line, &name);
    if (status == FR_OK) {
        status = fr_copy_string(t->ctx, line, &rest);
    }
    const command *found = NULL;
    if (status == FR_OK) {
        name[n < all.bytes ? n : all.bytes] = '\0';
        fr_text text =
            fr_text_trim((fr_text){line + strlen(name), all.bytes - strlen(name)});
        memmove(rest, text.data, text.bytes);
        rest[text.bytes] = '\0';
        for (int i = 0; i < N_COMMANDS && found == NULL; i++) {
            found = strcmp(name, COMMANDS[i].name) == 0 ? &COMMANDS[i] : NULL;
        }
        const char *nearest =
            fr_nearest_word(name, COMMANDS, N_COMMANDS, sizeof *COMMANDS);
        status =
            found != NULL
                ? run(t, found, rest)
                : FR_FAIL(
                      t->ctx, FR_ERR_ARG,
                      "unknown command %.64s%s%s; /help lists them, and //TEXT says a "
                      "text that begins with /",
                      name, nearest != NULL ? "; did you mean " : "",
                      nearest != NULL ? nearest : "");
    }
    free(name);
    free(rest);
    return status;
}
