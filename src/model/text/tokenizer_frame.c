/* Reads what a tokenizer.json says about the ends of a text: the post_processor, which puts special tokens in front and behind,
 * and the decoder, which must write texts as the model's tokens mean them.
 *
 * Of a post_processor one token in front is supported (the BOS) and one behind. A decoder changes no ids; it is read to know
 * whether a token's mark means a space, whether a space is taken from the front, and to refuse one that writes other texts
 * than this program would. */
#include "model/text/tokenizer_json.h"

#include <string.h>

static const char FRAMES[] = "ByteLevel, TemplateProcessing, RobertaProcessing, "
                             "BertProcessing, Sequence, with one token in front of a "
                             "text and one behind it";
static const char DECODERS[] =
    "ByteLevel for byte-level vocabularies; else Metaspace, Replace (of U+2581 by a "
    "space), ByteFallback, Fuse, Strip (of one space in front), Sequence";
static const char MARK[] = "\xE2\x96\x81"; /* U+2581 */

/* Adds a token on one side; a second one there is refused. */
static fr_status set_side(fr_ctx *ctx, const char *path, const json_t *post,
                          const json_t *id, int64_t *side)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: a special token of the post_processor has no id", path);
    }
    if (*side >= 0) {
        return fr_json_refuse(ctx, path, "post_processor", post, FRAMES);
    }
    *side = json_integer_value(id);
    return FR_OK;
}

/* The list "single": special tokens, and the text as Sequence A, exactly once. */
static fr_status read_template(fr_ctx *ctx, const char *path, const json_t *post,
                               fr_json_frame *out)
{
    const json_t *single = json_object_get(post, "single");
    const json_t *tokens = json_object_get(post, "special_tokens");
    bool behind = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        const json_t *special = json_object_get(item, "SpecialToken");
        const json_t *sequence = json_object_get(item, "Sequence");
        const char *name = json_string_value(json_object_get(special, "id"));
        const char *text = json_string_value(json_object_get(sequence, "id"));
        if (name != NULL) {
            const json_t *ids = json_object_get(json_object_get(tokens, name), "ids");
            if (json_array_size(ids) != 1) {
                return fr_json_refuse(ctx, path, "post_processor", post, FRAMES);
            }
            FR_TRY(set_side(ctx, path, post, json_array_get(ids, 0),
                            behind ? &out->behind : &out->front));
        } else if (text != NULL && strcmp(text, "A") == 0 && !behind) {
            behind = true;
        } else {
            return fr_json_refuse(ctx, path, "post_processor", post, FRAMES);
        }
    }
    return behind ? FR_OK : fr_json_refuse(ctx, path, "post_processor", post, FRAMES);
}

static fr_status read_post(fr_ctx *ctx, const char *path, const json_t *post,
                           fr_json_frame *out)
{
    if (fr_json_is_type(post, "ByteLevel")) {
        return FR_OK; /* it moves offsets only */
    }
    if (fr_json_is_type(post, "TemplateProcessing")) {
        return read_template(ctx, path, post, out);
    }
    if (fr_json_is_type(post, "RobertaProcessing") ||
        fr_json_is_type(post, "BertProcessing")) {
        FR_TRY(set_side(ctx, path, post,
                        json_array_get(json_object_get(post, "cls"), 1), &out->front));
        return set_side(ctx, path, post,
                        json_array_get(json_object_get(post, "sep"), 1), &out->behind);
    }
    return fr_json_refuse(ctx, path, "post_processor", post, FRAMES);
}

fr_status fr_tokenizer_read_frame(fr_ctx *ctx, const char *path, const json_t *post,
                                  fr_json_frame *out)
{
    *out = (fr_json_frame){-1, -1};
    if (fr_json_is_nothing(post)) {
        return FR_OK;
    }
    if (!fr_json_is_type(post, "Sequence")) {
        return read_post(ctx, path, post, out);
    }
    const json_t *list = json_object_get(post, "processors");
    for (size_t i = 0; i < json_array_size(list); i++) {
        FR_TRY(read_post(ctx, path, json_array_get(list, i), out));
    }
    return FR_OK;
}

/* What the parts of a decoder do together. */
typedef struct decoding {
    bool byte_level;
    bool byte_fallback;
    bool marks_spaces;
    fr_lead lead;
} decoding;

static bool is_text(const json_t *value, const char *text)
{
    const char *found = json_string_value(value);
    return found != NULL && strcmp(found, text) == 0;
}

static bool is_number(const json_t *value, json_int_t number)
{
    return json_is_integer(value) && json_integer_value(value) == number;
}

/* Metaspace takes all marks of the first token away, unless it never puts one in front. */
static bool read_metaspace(const json_t *part, decoding *out)
{
    bool never = json_is_false(json_object_get(part, "add_prefix_space")) ||
                 is_text(json_object_get(part, "prepend_scheme"), "never");
    out->marks_spaces = true;
    out->lead = never ? FR_LEAD_KEEP : FR_LEAD_TOKEN;
    return is_text(json_object_get(part, "replacement"), MARK);
}

static bool read_strip(const json_t *part, decoding *out)
{
    bool strips = is_number(json_object_get(part, "start"), 1);
    out->lead = strips ? FR_LEAD_SPACE : out->lead;
    return is_text(json_object_get(part, "content"), " ") &&
           is_number(json_object_get(part, "stop"), 0) &&
           (strips || is_number(json_object_get(part, "start"), 0));
}

/* False: not supported. */
static bool read_part(const json_t *part, decoding *out)
{
    const json_t *pattern = json_object_get(part, "pattern");
    if (fr_json_is_type(part, "ByteLevel")) {
        out->byte_level = true;
        return true;
    }
    if (fr_json_is_type(part, "ByteFallback")) {
        out->byte_fallback = true;
        return true;
    }
    if (fr_json_is_type(part, "Metaspace")) {
        return read_metaspace(part, out);
    }
    if (fr_json_is_type(part, "Replace")) {
        out->marks_spaces = true;
        return is_text(json_object_get(pattern, "String"), MARK) &&
               is_text(json_object_get(part, "content"), " ");
    }
    if (fr_json_is_type(part, "Strip")) {
        return read_strip(part, out);
    }
    return fr_json_is_type(part, "Fuse");
}

/* Byte-level vocabularies decode by themselves, so an absent decoder is harmless there. */
fr_status fr_tokenizer_read_decoder(fr_ctx *ctx, const json_t *decoder,
                                    fr_token_draft *draft)
{
    decoding parts = {false, false, false, FR_LEAD_KEEP};
    bool bytes = draft->model == FR_MODEL_BYTE_BPE;
    bool known = true;
    if (fr_json_is_nothing(decoder) && bytes) {
        return FR_OK;
    }
    if (fr_json_is_type(decoder, "Sequence")) {
        const json_t *list = json_object_get(decoder, "decoders");
        for (size_t i = 0; i < json_array_size(list); i++) {
            known = known && read_part(json_array_get(list, i), &parts);
        }
    } else {
        known = read_part(decoder, &parts);
    }
    if (!known || parts.byte_level != bytes ||
        (bytes && (parts.marks_spaces || parts.lead != FR_LEAD_KEEP)) ||
        (draft->byte_fallback && !parts.byte_fallback)) {
        return fr_json_refuse(ctx, draft->path, "decoder", decoder, DECODERS);
    }
    draft->marks_spaces = parts.marks_spaces;
    draft->lead = parts.lead;
    return FR_OK;
}
