#include "train/data/chat_identity.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_DIGITS = 12 }; /* of 64: enough to compare by eye */

/* ---- where it comes from ------------------------------------------------------------------ */

/* The file is mapped first, so that one that is far too large is not read. */
static fr_status read_template(fr_ctx *ctx, const char *file, char **out)
{
    enum { NAME_BYTES = 512 };
    char name[NAME_BYTES];
    fr_map map = {0};
    FR_TRY(fr_map_open(ctx, file, &map));
    (void)snprintf(name, sizeof name, "the chat template %s", file);
    fr_status status =
        map.bytes > FR_JINJA_MAX_SOURCE
            ? FR_FAIL(ctx, FR_ERR_CONFIG,
                      "%s has %zu bytes, must have at most %d; give the "
                      "template alone",
                      name, map.bytes, FR_JINJA_MAX_SOURCE)
            : fr_template_copy(ctx, name, (fr_text){(const char *)map.data, map.bytes},
                               out);
    fr_map_close(&map);
    return status;
}

/* A template that the user names must be usable; the model's own is refused only where a dialogue needs it. */
static fr_status open_chat(fr_ctx *ctx, const fr_tokenizer *tokenizer, const char *file,
                           const fr_chat_settings *settings, fr_chat **out)
{
    FR_TRY(fr_tokenizer_open_chat(ctx, tokenizer, settings, out));
    const char *refusal = fr_chat_refusal(*out);
    if (file == NULL || refusal == NULL) {
        return FR_OK;
    }
    fr_status status =
        FR_FAIL(ctx, FR_ERR_CONFIG,
                "the chat template %s cannot be used: %s; correct it", file, refusal);
    fr_chat_close(out);
    return status;
}

fr_status fr_chat_source_open(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                              const fr_chat_source *source, fr_chat **out)
{
    fr_chat_settings settings = source->settings;
    char *text = NULL;
    fr_status status = FR_OK;
    *out = NULL;
    if (source->file != NULL) {
        status = read_template(ctx, source->file, &text);
        settings.template_text = text;
    }
    if (status == FR_OK && tokenizer != NULL) {
        status = open_chat(ctx, tokenizer, source->file, &settings, out);
    }
    free(text);
    return status;
}

/* ---- what is kept ------------------------------------------------------------------------- */

/* The digest in hexadecimal; *out is NULL where there is no template. */
static fr_status digest_of(fr_ctx *ctx, const fr_chat *chat, char **out)
{
    char text[FR_DIGEST_HEX];
    uint8_t digest[FR_DIGEST_BYTES];
    const char *template = chat != NULL ? fr_chat_text(chat) : NULL;
    *out = NULL;
    if (template == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_template_digest(ctx, template, digest));
    fr_digest_hex(digest, text);
    return fr_copy_string(ctx, text, out);
}

_Static_assert((int)FR_CHAT_ARGUMENTS_BYTES == (int)FR_CHECKPOINT_ARGUMENTS_BYTES,
               "what a chat may have, a file may keep");

fr_status fr_chat_keep(fr_ctx *ctx, const fr_chat *chat, fr_checkpoint_task *task)
{
    if (chat == NULL) {
        return FR_OK;
    }
    fr_chat_settings settings = fr_chat_settings_of(chat);
    const char *text = settings.template_text;
    bool is_short = text != NULL && strlen(text) <= FR_CHECKPOINT_TEMPLATE_BYTES;
    FR_TRY(digest_of(ctx, chat, &task->chat_template_digest));
    FR_TRY(fr_copy_optional(ctx, is_short ? text : NULL, &task->chat_template));
    FR_TRY(fr_copy_optional(ctx, settings.arguments, &task->chat_arguments));
    return fr_copy_optional(ctx, settings.clock, &task->chat_clock);
}

/* Whether a chat's template is the one that a task was trained with. */
static fr_status is_of(fr_ctx *ctx, const fr_chat *chat, const fr_checkpoint_task *task,
                       bool *out)
{
    char *now = NULL;
    FR_TRY(digest_of(ctx, chat, &now));
    *out = now != NULL && task->chat_template_digest != NULL &&
           strcmp(now, task->chat_template_digest) == 0;
    free(now);
    return FR_OK;
}

static const char *first_of(const char *one, const char *other)
{
    return one != NULL ? one : other;
}

/* What the file keeps is named with the file where it cannot be used. */
static fr_status name_file(fr_ctx *ctx, const char *file, fr_status status)
{
    enum { WHY_BYTES = 1024 };
    char why[WHY_BYTES];
    if (status != FR_ERR_CONFIG) {
        return status;
    }
    (void)snprintf(why, sizeof why, "%s", fr_ctx_error(ctx));
    fr_ctx_clear_error(ctx);
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                   "%s: %s; the prefix keeps this, and --chat-arguments '{}' or "
                   "--chat-clock take its place",
                   file, why);
}

/* A template that is too long to be kept may be the base's own; arguments mean nothing to another one. */
fr_status fr_chat_open_kept(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                            const char *file, const fr_checkpoint_task *task,
                            const fr_chat_source *given, fr_chat **out)
{
    fr_chat_source source = *given;
    fr_chat_settings *s = &source.settings;
    bool same = true;
    *out = NULL;
    if (tokenizer == NULL) {
        return FR_OK;
    }
    if (given->file != NULL) { /* what is wrong with it alone is not the prefix's */
        const fr_chat_source alone = {.file = given->file};
        FR_TRY(fr_chat_source_open(ctx, tokenizer, &alone, out));
        fr_chat_close(out);
    } else if (task->chat_template == NULL) {
        FR_TRY(is_of(ctx, fr_tokenizer_chat(tokenizer), task, &same));
    }
    bool adds = (s->arguments == NULL && task->chat_arguments != NULL) ||
                (s->clock == NULL && task->chat_clock != NULL);
    s->template_text = task->chat_template;
    s->arguments = first_of(s->arguments, same ? task->chat_arguments : NULL);
    s->clock = first_of(s->clock, task->chat_clock);
    fr_status status = fr_chat_source_open(ctx, tokenizer, &source, out);
    return adds ? name_file(ctx, file, status) : status;
}

fr_status fr_chat_identity_check(fr_ctx *ctx, const char *file,
                                 const fr_checkpoint_task *task, const fr_chat *chat,
                                 bool strict)
{
    const char *before = task->chat ? task->chat_template_digest : NULL;
    char *now = NULL;
    if (before == NULL) {
        return FR_OK;
    }
    FR_TRY(digest_of(ctx, chat, &now));
    const char *shown = now != NULL ? now : "none";
    fr_status status = FR_OK;
    if (strcmp(before, shown) != 0 && strict) {
        status = FR_FAIL(
            ctx, FR_ERR_CHECKPOINT,
            "%s: task %s was trained on dialogues with the chat template %.*s, it is "
            "%.*s now, so that rows would get other token ids; resume with the "
            "original model files and chat.template, or pass --force to continue "
            "anyway",
            file, task->name, SHOWN_DIGITS, before, SHOWN_DIGITS, shown);
    } else if (strcmp(before, shown) != 0) {
        fr_log(
            ctx, FR_LOG_WARN,
            "%s: task %s was trained on dialogues with the chat template %.*s, it "
            "is %.*s now; dialogues may get other token ids than in training, unless "
            "--chat-template gives the one that it had",
            file, task->name, SHOWN_DIGITS, before, SHOWN_DIGITS, shown);
    }
    free(now);
    return status;
}
