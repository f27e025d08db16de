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
    fr_status status = FR_FAIL(ctx, FR_ERR_CONFIG, "%s: %s", file, refusal);
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

fr_chat_settings fr_chat_kept(const fr_checkpoint_task *task)
{
    return (fr_chat_settings){task->chat_template, task->chat_arguments,
                              task->chat_clock};
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
            "original model files and template, or pass --force to continue anyway",
            file, task->name, SHOWN_DIGITS, before, SHOWN_DIGITS, shown);
    } else if (strcmp(before, shown) != 0) {
        fr_log(ctx, FR_LOG_WARN,
               "%s: task %s was trained on dialogues with the chat template %.*s, it "
               "is %.*s now; dialogues may get other token ids than in training",
               file, task->name, SHOWN_DIGITS, before, SHOWN_DIGITS, shown);
    }
    free(now);
    return status;
}
