/* Fills a tokenizer's chat frame: the chat template is read (chat_template.h), then its markers and BOS are looked up. */
#include "model/text/tokenizer_impl.h"

#include "base/mem.h"
#include "base/print.h"

#include <stdlib.h>
#include <string.h>

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

/* Looks up markers and BOS. They must be tokens: the model was not trained with their text. */
static fr_status find_ids(fr_ctx *ctx, const fr_chat_names *names, fr_tokenizer *made)
{
    fr_chat_frame *frame = &made->chat;
    if (frame->has_markers) {
        frame->start = fr_tokenizer_marker(made, FR_CHATML_START);
        frame->end = fr_tokenizer_marker(made, FR_CHATML_END);
    }
    if (!frame->is_chatml) {
        return FR_OK;
    }
    if (frame->start < 0 || frame->end < 0) {
        return fr_chat_frame_refuse(
            ctx, frame,
            "the model's chat template is ChatML, but " FR_CHATML_START
            " and " FR_CHATML_END
            " are not special tokens of its tokenizer; give source and target with a "
            "template instead of messages");
    }
    frame->bos = frame->writes_bos ? fr_tokenizer_marker(made, names->bos_token) : -1;
    return frame->writes_bos && frame->bos < 0
               ? fr_chat_frame_refuse(
                     ctx, frame,
                     "the model's chat template begins with a begin-of-sequence token "
                     "that is not a special token of its tokenizer; give source and "
                     "target with a template instead of messages")
               : FR_OK;
}

/* Takes the template out of the draft: from here the tokenizer frees it, also on failure. A template that is refused
 * is not a failure; the frame keeps the reason. */
fr_status fr_tokenizer_build_chat(fr_ctx *ctx, fr_token_draft *draft,
                                  fr_tokenizer *made)
{
    char *bos = NULL;
    char *eos = NULL;
    made->chat_template = draft->chat_template;
    draft->chat_template = NULL;
    fr_status status = copy_name(ctx, draft->bos_token, &bos);
    if (status == FR_OK) {
        status = copy_name(ctx, draft->eos_token, &eos);
    }
    const fr_chat_names names = {bos, eos};
    if (status == FR_OK) {
        status = fr_template_read(ctx, made->chat_template, &names, &made->chat);
    }
    if (status == FR_OK) {
        status = find_ids(ctx, &names, made);
    }
    free(bos);
    free(eos);
    return status;
}
