/* Gives a tokenizer its chat template (chat.h). */
#include "model/text/tokenizer_impl.h"

#include "base/mem.h"
#include "base/print.h"

#include <stdlib.h>

/* Copies a token's text; *out stays NULL if it is not named, or not text that a template could write. */
static fr_status copy_name(fr_ctx *ctx, fr_text text, char **out)
{
    uint32_t code = 0;
    for (size_t i = 0, step = 0; i < text.bytes; i += step) {
        step = fr_utf8_next(text.data + i, text.bytes - i, &code);
        if (step == 0 || code == 0) {
            return FR_OK;
        }
    }
    return text.data != NULL ? fr_template_copy(ctx, "a token", text, out) : FR_OK;
}

fr_status fr_tokenizer_build_chat(fr_ctx *ctx, const fr_token_draft *draft,
                                  fr_tokenizer *made)
{
    char *bos = NULL;
    char *eos = NULL;
    fr_status status = copy_name(ctx, draft->bos_token, &bos);
    if (status == FR_OK) {
        status = copy_name(ctx, draft->eos_token, &eos);
    }
    if (status == FR_OK) {
        status =
            fr_chat_open(ctx, &(fr_chat_settings){draft->chat_template, NULL, NULL},
                         &(fr_chat_names){bos, eos}, &made->chat);
    }
    free(bos);
    free(eos);
    return status;
}

fr_status fr_tokenizer_open_chat(fr_ctx *ctx, const fr_tokenizer *tokenizer,
                                 const fr_chat_settings *settings, fr_chat **out)
{
    fr_chat_settings all = *settings;
    const fr_chat_names names = fr_chat_token_names(tokenizer->chat);
    if (all.template_text == NULL) {
        all.template_text = fr_chat_text(tokenizer->chat);
    }
    return fr_chat_open(ctx, &all, &names, out);
}
