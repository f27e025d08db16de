#include "train/data/chat_identity.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN_DIGITS = 12 }; /* of 64: enough to compare by eye */

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
            "%s: task %s was trained on dialogues with the chat template %.*s, the "
            "base "
            "now has %.*s, so that rows would get other token ids; resume with the "
            "original model files, or pass --force to continue anyway",
            file, task->name, SHOWN_DIGITS, before, SHOWN_DIGITS, shown);
    } else if (strcmp(before, shown) != 0) {
        fr_log(ctx, FR_LOG_WARN,
               "%s: task %s was trained on dialogues with the chat template %.*s, the "
               "base "
               "now has %.*s; dialogues may get other token ids than in training",
               file, task->name, SHOWN_DIGITS, before, SHOWN_DIGITS, shown);
    }
    free(now);
    return status;
}
