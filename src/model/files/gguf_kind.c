#include "model/files/gguf_kind.h"

#include "model/files/names.h"

fr_status fr_gguf_check_kind(fr_ctx *ctx, const fr_gguf *gguf)
{
    static const struct {
        const char *key;
        const char *value;
        const char *what;
    } KINDS[] = {
        {"general.type", "adapter",
         "an adapter; give the model that it changes, or merge it into that first "
         "(llama-export-lora)"},
        {"general.type", "mmproj",
         "a projector for images or sound; give the language model that belongs to it"},
        {"general.type", "imatrix",
         "an importance matrix, which tools use to quantise; give the model itself"},
        {"general.type", "vocab",
         "a vocabulary without weights; give the model itself"},
        {"general.architecture", "clip",
         "a projector for images or sound; give the language model that belongs to it"},
        {"general.architecture", "imatrix",
         "an importance matrix, which tools use to quantise; give the model itself"},
    };
    fr_text found = {NULL, 0};
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (fr_gguf_get_text(gguf, KINDS[i].key, &found) &&
            fr_text_is(found, KINDS[i].value)) {
            return FR_FAIL(ctx, FR_ERR_UNSUPPORTED, "%s: %s is %s: it is %s",
                           fr_gguf_path(gguf), KINDS[i].key, KINDS[i].value,
                           KINDS[i].what);
        }
    }
    if (fr_gguf_get_text(gguf, "general.type", &found) && !fr_text_is(found, "model")) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: general.type is %s, supported: model", fr_gguf_path(gguf),
                       fr_show(found).text);
    }
    return FR_OK;
}
