/* Reads the normalizer and the pre_tokenizer of a tokenizer.json: objects with a "type", and "Sequence" with a list of them,
 * flattened to the steps of normalize.h and pretokenize.h. Each kind is reduced to a few kinds of steps; for example Digits is a
 * pattern, and Metaspace a replacement, a prefix and a pattern. A kind that is not known is refused by name. */
#include "base/mem.h"
#include "model/text/tokenizer_json.h"

#include <stdlib.h>
#include <string.h>

static const char PUNCTUATION[] = "[!-/:-@\\[-`{-~\\p{P}]";
/* \w of Rust's regular expressions also has the two joiners. */
static const char WORDS_OR_SIGNS[] =
    "[\\w\\x{200C}\\x{200D}]+|[^\\w\\s\\x{200C}\\x{200D}]+";

static const char NORMALIZERS[] =
    "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Replace, Prepend, Nmt, "
    "Precompiled, Sequence";
static const char SPLITTERS[] =
    "ByteLevel, Split, Digits, Punctuation, Metaspace, Whitespace, WhitespaceSplit, "
    "CharDelimiterSplit, BertPreTokenizer, Sequence";

/* The steps that are being collected; room for one step more than is supported, so that too many are seen. */
typedef struct reading {
    fr_ctx *ctx;
    const char *path;
    int64_t n;
    int depth; /* of Sequences in Sequences */
    fr_normal_step normal[FR_MAX_NORMAL_STEPS + 1];
    fr_split_step split[FR_MAX_SPLIT_STEPS + 1];
    char *charsmap; /* of a Precompiled normalizer, decoded, owned */
} reading;

enum { MAX_DEPTH = 8 };

static fr_status fail_value(const reading *r, const char *key, const char *what)
{
    return FR_FAIL(r->ctx, FR_ERR_FORMAT, "%s: %s %s", r->path, key, what);
}

/* {"String": text} or {"Regex": text}; a plain string is a String. */
static bool read_pattern(const json_t *value, fr_text *text, bool *is_regex)
{
    const json_t *regex = json_object_get(value, "Regex");
    *is_regex = regex != NULL;
    *text = fr_json_view(regex != NULL           ? regex
                         : json_is_string(value) ? value
                                                 : json_object_get(value, "String"));
    return text->data != NULL;
}

/* true or false; `absent` where the key is missing or null. */
static fr_status read_bool(const reading *r, const json_t *object, const char *key,
                           bool absent, bool *out)
{
    const json_t *value = json_object_get(object, key);
    *out = fr_json_is_nothing(value) ? absent : json_is_true(value);
    return fr_json_is_nothing(value) || json_is_boolean(value)
               ? FR_OK
               : fail_value(r, key, "must be true or false");
}

static fr_status read_normal_texts(reading *r, const json_t *value,
                                   fr_normal_step *step)
{
    if (step->kind == FR_NORMAL_STRIP) {
        FR_TRY(read_bool(r, value, "strip_left", true, &step->left));
        return read_bool(r, value, "strip_right", true, &step->right);
    }
    if (step->kind == FR_NORMAL_PREPEND) {
        step->content = fr_json_view(json_object_get(value, "prepend"));
        return step->content.data != NULL ? FR_OK
                                          : fail_value(r, "normalizer Prepend",
                                                       "must have a string 'prepend'");
    }
    if (step->kind == FR_NORMAL_REPLACE) {
        step->content = fr_json_view(json_object_get(value, "content"));
        return read_pattern(json_object_get(value, "pattern"), &step->pattern,
                            &step->is_regex) &&
                       step->content.data != NULL
                   ? FR_OK
                   : fail_value(r, "normalizer Replace",
                                "must have a 'pattern' with a String or a Regex, and a "
                                "string 'content'");
    }
    return FR_OK;
}

/* The value of a base64 digit; 64: it is none. */
static unsigned digit_of(char c)
{
    static const char DIGITS[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(DIGITS, c) : NULL;
    return at != NULL ? (unsigned)(at - DIGITS) : 64;
}

/* Decodes base64 into r->charsmap, which is long enough. */
static bool decode_table(reading *r, fr_text text, size_t *bytes)
{
    unsigned bits = 0;
    int n = 0;
    while (text.bytes > 0 && text.data[text.bytes - 1] == '=') {
        text.bytes--;
    }
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned digit = digit_of(text.data[i]);
        if (digit == 64) {
            return false;
        }
        bits = (bits << 6 | digit) & 0xFFFF;
        n += 6;
        if (n >= 8) {
            n -= 8;
            r->charsmap[(*bytes)++] = (char)(bits >> n & 0xFF);
        }
    }
    return true;
}

/* One table is decoded; no model has more. */
static fr_status read_table(reading *r, const json_t *value, fr_normal_step *step)
{
    fr_text text = fr_json_view(json_object_get(value, "precompiled_charsmap"));
    size_t bytes = 0;
    if (text.data == NULL || r->charsmap != NULL) {
        return fail_value(
            r, "normalizer Precompiled",
            "must have a string 'precompiled_charsmap', and may occur once");
    }
    FR_TRY(fr_alloc(r->ctx, (int64_t)text.bytes + 1, 1, &r->charsmap));
    if (!decode_table(r, text, &bytes)) {
        return fail_value(r, "precompiled_charsmap", "must be base64");
    }
    step->content = (fr_text){r->charsmap, bytes};
    step->by_grapheme = true;
    return FR_OK;
}

static fr_status read_normal(reading *r, const json_t *value);

/* The items of a Sequence; `read` reads one of them. */
static fr_status read_list(reading *r, const json_t *list, const char *key,
                           fr_status (*read)(reading *r, const json_t *value))
{
    if (!json_is_array(list)) {
        return fail_value(r, key, "Sequence must have a list");
    }
    if (++r->depth > MAX_DEPTH) {
        return FR_FAIL(r->ctx, FR_ERR_UNSUPPORTED,
                       "%s: %s has Sequences in Sequences; at most %d levels are "
                       "supported. Give rows as token ids (source_ids, target_ids)",
                       r->path, key, MAX_DEPTH);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        FR_TRY(read(r, json_array_get(list, i)));
    }
    r->depth--;
    return FR_OK;
}

static fr_status read_normal(reading *r, const json_t *value)
{
    static const struct {
        const char *type;
        fr_normal_kind kind;
    } KINDS[] = {{"NFC", FR_NORMAL_NFC},
                 {"NFD", FR_NORMAL_NFD},
                 {"NFKC", FR_NORMAL_NFKC},
                 {"NFKD", FR_NORMAL_NFKD},
                 {"Lowercase", FR_NORMAL_LOWERCASE},
                 {"StripAccents", FR_NORMAL_STRIP_ACCENTS},
                 {"Strip", FR_NORMAL_STRIP},
                 {"Replace", FR_NORMAL_REPLACE},
                 {"Prepend", FR_NORMAL_PREPEND},
                 {"Nmt", FR_NORMAL_NMT},
                 {"Precompiled", FR_NORMAL_CHARSMAP}};
    if (fr_json_is_type(value, "Sequence")) {
        return read_list(r, json_object_get(value, "normalizers"), "normalizer",
                         read_normal);
    }
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (fr_json_is_type(value, KINDS[i].type)) {
            fr_normal_step step = {.kind = KINDS[i].kind};
            FR_TRY(step.kind == FR_NORMAL_CHARSMAP
                       ? read_table(r, value, &step)
                       : read_normal_texts(r, value, &step));
            if (r->n <= FR_MAX_NORMAL_STEPS) {
                r->normal[r->n++] = step;
            }
            return FR_OK;
        }
    }
    return fr_json_refuse(r->ctx, r->path, "normalizer", value, NORMALIZERS);
}

fr_status fr_tokenizer_read_normalizer(fr_ctx *ctx, const json_t *value,
                                       fr_token_draft *draft)
{
    reading *r = NULL;
    if (fr_json_is_nothing(value)) {
        return FR_OK;
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof *r, &r));
    r->ctx = ctx;
    r->path = draft->path;
    fr_status status = read_normal(r, value);
    if (status == FR_OK) {
        status =
            fr_normalizer_create(ctx, draft->path, r->normal, r->n, &draft->normalizer);
    }
    free(r->charsmap);
    free(r);
    return status;
}

static void add(reading *r, fr_split_step step)
{
    if (r->n <= FR_MAX_SPLIT_STEPS) {
        r->split[r->n++] = step;
    }
}

static void add_regex(reading *r, const char *regex, fr_split_behavior behavior,
                      bool invert)
{
    add(r, (fr_split_step){.kind = FR_SPLIT_AT,
                           .pattern = fr_text_of(regex),
                           .is_regex = true,
                           .behavior = behavior,
                           .invert = invert});
}

static fr_status read_byte_level(reading *r, const json_t *value)
{
    bool prefix = false;
    bool regex = false;
    const json_t *named = json_object_get(value, "add_prefix_space");
    if (!json_is_boolean(named)) {
        return fail_value(r, "pre_tokenizer ByteLevel",
                          "must have add_prefix_space true or false");
    }
    FR_TRY(read_bool(r, value, "add_prefix_space", false, &prefix));
    FR_TRY(read_bool(r, value, "use_regex", true, &regex));
    if (prefix) {
        add(r, (fr_split_step){.kind = FR_SPLIT_PREFIX, .content = {" ", 1}});
    }
    if (regex) {
        add_regex(r, fr_split_name_regex("gpt-2"), FR_SPLIT_ISOLATED, false);
    }
    add(r, (fr_split_step){.kind = FR_SPLIT_BYTES});
    return FR_OK;
}

static fr_status read_behavior(const reading *r, const json_t *value,
                               fr_split_behavior *out)
{
    static const char *const NAMES[] = {[FR_SPLIT_ISOLATED] = "Isolated",
                                        [FR_SPLIT_REMOVED] = "Removed",
                                        [FR_SPLIT_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [FR_SPLIT_WITH_NEXT] = "MergedWithNext",
                                        [FR_SPLIT_CONTIGUOUS] = "Contiguous"};
    fr_text name = fr_json_view(value);
    for (size_t i = 0; name.data != NULL && i < sizeof NAMES / sizeof *NAMES; i++) {
        if (fr_text_is(name, NAMES[i])) {
            *out = (fr_split_behavior)i;
            return FR_OK;
        }
    }
    return fail_value(
        r, "behavior of a pre_tokenizer",
        "must be Isolated, Removed, MergedWithPrevious, MergedWithNext or "
        "Contiguous");
}

static fr_status read_split(reading *r, const json_t *value)
{
    fr_split_step step = {.kind = FR_SPLIT_AT};
    if (!read_pattern(json_object_get(value, "pattern"), &step.pattern,
                      &step.is_regex)) {
        return fail_value(r, "pre_tokenizer Split",
                          "must have a 'pattern' with a String or a Regex");
    }
    FR_TRY(read_behavior(r, json_object_get(value, "behavior"), &step.behavior));
    FR_TRY(read_bool(r, value, "invert", false, &step.invert));
    add(r, step);
    return FR_OK;
}

static fr_status read_digits(reading *r, const json_t *value)
{
    bool individual = false;
    FR_TRY(read_bool(r, value, "individual_digits", false, &individual));
    add_regex(r, "\\p{N}", individual ? FR_SPLIT_ISOLATED : FR_SPLIT_CONTIGUOUS, false);
    return FR_OK;
}

static fr_status read_punctuation(reading *r, const json_t *value)
{
    fr_split_behavior behavior = FR_SPLIT_ISOLATED;
    const json_t *named = json_object_get(value, "behavior");
    if (!fr_json_is_nothing(named)) {
        FR_TRY(read_behavior(r, named, &behavior));
    }
    add_regex(r, PUNCTUATION, behavior, false);
    return FR_OK;
}

/* Where a prefix is put: "always", "first" or "never". The older add_prefix_space false means never. */
static fr_status read_scheme(const reading *r, const json_t *value, bool *put,
                             bool *first)
{
    fr_text scheme = fr_json_view(json_object_get(value, "prepend_scheme"));
    const json_t *older = json_object_get(value, "add_prefix_space");
    *put = !json_is_false(older);
    *first = false;
    if (scheme.data == NULL) {
        return FR_OK;
    }
    bool never = fr_text_is(scheme, "never");
    *first = fr_text_is(scheme, "first");
    if ((!never && !*first && !fr_text_is(scheme, "always")) ||
        (!never && json_is_false(older))) {
        return fail_value(r, "prepend_scheme of a Metaspace",
                          "must be always, first or never, and never where "
                          "add_prefix_space is false");
    }
    *put = !never;
    return FR_OK;
}

static fr_status read_metaspace(reading *r, const json_t *value)
{
    fr_text mark = fr_json_view(json_object_get(value, "replacement"));
    bool put = false;
    bool first = false;
    bool split = false;
    if (mark.data == NULL || mark.bytes == 0) {
        return fail_value(r, "pre_tokenizer Metaspace",
                          "must have a character as 'replacement'");
    }
    FR_TRY(read_scheme(r, value, &put, &first));
    FR_TRY(read_bool(r, value, "split", true, &split));
    add(r, (fr_split_step){
               .kind = FR_SPLIT_REPLACE, .pattern = {" ", 1}, .content = mark});
    if (put) {
        add(r, (fr_split_step){
                   .kind = FR_SPLIT_PREFIX, .content = mark, .first_only = first});
    }
    if (split) {
        add(r, (fr_split_step){.kind = FR_SPLIT_AT,
                               .pattern = mark,
                               .behavior = FR_SPLIT_WITH_NEXT});
    }
    return FR_OK;
}

static fr_status read_delimiter(reading *r, const json_t *value)
{
    fr_text delimiter = fr_json_view(json_object_get(value, "delimiter"));
    if (delimiter.data == NULL || delimiter.bytes == 0) {
        return fail_value(r, "pre_tokenizer CharDelimiterSplit",
                          "must have a character as 'delimiter'");
    }
    add(r, (fr_split_step){.kind = FR_SPLIT_AT,
                           .pattern = delimiter,
                           .behavior = FR_SPLIT_REMOVED});
    return FR_OK;
}

static fr_status read_whitespace(reading *r, const json_t *value)
{
    (void)value;
    add_regex(r, WORDS_OR_SIGNS, FR_SPLIT_REMOVED, true);
    return FR_OK;
}

static fr_status read_whitespace_split(reading *r, const json_t *value)
{
    (void)value;
    add_regex(r, "\\s", FR_SPLIT_REMOVED, false);
    return FR_OK;
}

static fr_status read_bert(reading *r, const json_t *value)
{
    FR_TRY(read_whitespace_split(r, value));
    add_regex(r, PUNCTUATION, FR_SPLIT_ISOLATED, false);
    return FR_OK;
}

static fr_status read_splitter(reading *r, const json_t *value)
{
    static const struct {
        const char *type;
        fr_status (*read)(reading *r, const json_t *value);
    } KINDS[] = {{"ByteLevel", read_byte_level},
                 {"Split", read_split},
                 {"Digits", read_digits},
                 {"Punctuation", read_punctuation},
                 {"Metaspace", read_metaspace},
                 {"Whitespace", read_whitespace},
                 {"WhitespaceSplit", read_whitespace_split},
                 {"CharDelimiterSplit", read_delimiter},
                 {"BertPreTokenizer", read_bert}};
    if (fr_json_is_type(value, "Sequence")) {
        return read_list(r, json_object_get(value, "pretokenizers"), "pre_tokenizer",
                         read_splitter);
    }
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (fr_json_is_type(value, KINDS[i].type)) {
            return KINDS[i].read(r, value);
        }
    }
    return fr_json_refuse(r->ctx, r->path, "pre_tokenizer", value, SPLITTERS);
}

fr_status fr_tokenizer_read_splitter(fr_ctx *ctx, const json_t *value,
                                     fr_token_draft *draft)
{
    reading *r = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *r, &r));
    r->ctx = ctx;
    r->path = draft->path;
    fr_status status = fr_json_is_nothing(value) ? FR_OK : read_splitter(r, value);
    if (status == FR_OK) {
        status = fr_splitter_create(ctx, draft->path, r->split, r->n, &draft->splitter);
    }
    free(r);
    return status;
}
