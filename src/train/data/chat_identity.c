#include "train/data/chat_identity.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN_DIGITS = 12 };

fr_status fr_chat_identity(fr_ctx *ctx, const fr_tokenizer *tokenizer, char **out)
{
    char text[FR_DIGEST_HEX];
    uint8_t digest[FR_DIGEST_BYTES];
    const char *template =
        tokenizer != NULL ? fr_tokenizer_chat_template(tokenizer) : NULL;
    *out = NULL;
    if (template == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_template_digest(ctx, template, digest));
    fr_digest_hex(digest, text);
    return fr_copy_string(ctx, text, out);
}

fr_status fr_chat_identity_check(fr_ctx *ctx, const char *file,
                                 const fr_checkpoint_task *task,
                                 const fr_tokenizer *tokenizer, bool strict)
{
    const char *before = task->chat ? task->chat_template_digest : NULL;
    char *now = NULL;
    if (before == NULL) {
        return FR_OK;
    }
    FR_TRY(fr_chat_identity(ctx, tokenizer, &now));
    const char *shown = now != NULL ? now : "none";
    fr_status status = FR_OK;
    if (strcmp(before, shown) != 0 && strict) {
        status = FR_FAIL(
            ctx, FR_ERR_CHECKPOINT,
            "%s: task %s learned dialogues with the chat template %.*s, the base has "
            "%.*s now, so that rows would have other ids; resume over the model's "
            "files "
            "as they were, or pass --force to go on all the same",
            file, task->name, SHOWN_DIGITS, before, SHOWN_DIGITS, shown);
    } else if (strcmp(before, shown) != 0) {
        fr_log(
            ctx, FR_LOG_WARN,
            "%s: task %s learned dialogues with the chat template %.*s, the base has "
            "%.*s; ids of dialogues may differ from those that it knows",
            file, task->name, SHOWN_DIGITS, before, SHOWN_DIGITS, shown);
    }
    free(now);
    return status;
}
