/* A folder without tokenizer.json: vocab.json and merges.txt of byte-level BPE.
 *
 * These two files say nothing of normalizer and splitter, which stand in the code of the tokenizer's class. So an object in
 * the form of tokenizer.json is put together as that class would write it, and read like any other. */
#include "base/file.h"
#include "base/mem.h"
#include "model/files/names.h"
#include "model/text/pretokenize.h"
#include "model/text/token_files_impl.h"

#include <stdlib.h>
#include <string.h>

/* Classes by their name without "Fast". `regex`: of the splitter, NULL: ByteLevel's own. */
typedef struct known_class {
    const char *name;
    bool composes; /* NFC */
    const char *regex;
} known_class;

static const known_class CLASSES[] = {{"GPT2Tokenizer", false, NULL},
                                      {"CodeGenTokenizer", false, NULL},
                                      {"GPTNeoXTokenizer", true, NULL},
                                      {"Qwen2Tokenizer", true, "qwen2"}};

static const char NAMES[] =
    "GPT2Tokenizer, CodeGenTokenizer, GPTNeoXTokenizer, Qwen2Tokenizer";

/* The token that these classes take as special if no file names another. */
static const char DEFAULT_END[] = "<|endoftext|>";

static fr_status find_class(fr_ctx *ctx, const fr_token_files *files, known_class *out)
{
    static const char FAST[] = "Fast";
    const char *value =
        json_string_value(json_object_get(files->tokenizer_config, "tokenizer_class"));
    fr_text name = fr_text_of(value != NULL ? value : "");
    size_t fast = sizeof FAST - 1;
    if (name.bytes > fast && strcmp(name.data + name.bytes - fast, FAST) == 0) {
        name.bytes -= fast;
    }
    for (size_t i = 0; i < sizeof CLASSES / sizeof *CLASSES; i++) {
        if (fr_text_is(name, CLASSES[i].name)) {
            *out = CLASSES[i];
            return FR_OK;
        }
    }
    return FR_FAIL(
        ctx, FR_ERR_UNSUPPORTED,
        "%s has vocab.json and merges.txt without tokenizer.json, and "
        "tokenizer_config.json names the tokenizer_class '%s'; supported: %s. "
        "Save the tokenizer with transformers, which writes tokenizer.json, or "
        "give rows as token ids (source_ids, target_ids)",
        files->folder, fr_show(name).text, NAMES);
}

/* Several times what any known model has; it bounds the memory that a list takes. */
enum { MAX_LINES = 1 << 21 };

/* One merge a line. The first line may name the version; empty lines do not count. NULL: too many lines, or one is not UTF-8. */
static json_t *read_merges(char *text)
{
    static const char VERSION[] = "#version";
    json_t *list = json_array();
    char *line = text;
    while (list != NULL && *line != '\0') {
        char *end = strchr(line, '\n');
        char *next = end != NULL ? end + 1 : line + strlen(line);
        size_t bytes = (size_t)((end != NULL ? end : next) - line);
        bytes -= bytes > 0 && line[bytes - 1] == '\r' ? 1 : 0;
        bool counts = bytes > 0 && strncmp(line, VERSION, sizeof VERSION - 1) != 0;
        if (counts && (json_array_size(list) == MAX_LINES ||
                       json_array_append_new(list, json_stringn(line, bytes)) != 0)) {
            json_decref(list);
            list = NULL;
        }
        line = next;
    }
    return list;
}

static json_t *pre_tokenizer(const known_class *class, bool prefix)
{
    if (class->regex == NULL) {
        return json_pack("{s:s, s:b}", "type", "ByteLevel", "add_prefix_space",
                         (int)prefix);
    }
    return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b, s:b}]}", "type",
                     "Sequence", "pretokenizers", "type", "Split", "pattern", "Regex",
                     fr_split_name_regex(class->regex), "behavior", "Isolated",
                     "invert", 0, "type", "ByteLevel", "add_prefix_space", (int)prefix,
                     "use_regex", 0);
}

static json_t *added_tokens(const json_t *vocabulary)
{
    json_t *id = json_object_get(vocabulary, DEFAULT_END);
    return id == NULL ? json_array()
                      : json_pack("[{s:O, s:s, s:b, s:b}]", "id", id, "content",
                                  DEFAULT_END, "special", 1, "normalized", 0);
}

/* A value that could not be made is NULL, and json_pack then fails as a whole. */
static fr_status compose(fr_ctx *ctx, fr_token_files *files, const known_class *class,
                         char *merges)
{
    const json_t *prefix = json_object_get(files->tokenizer_config, "add_prefix_space");
    json_t *list = read_merges(merges);
    if (list == NULL) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: a line is not UTF-8, or there are more than %d lines",
                       files->path, MAX_LINES);
    }
    files->tokenizer =
        json_pack("{s:{s:s, s:O, s:o}, s:o, s:o, s:o}", "model", "type", "BPE", "vocab",
                  files->vocabulary, "merges", list, "pre_tokenizer",
                  pre_tokenizer(class, json_is_true(prefix)), "normalizer",
                  class->composes ? json_pack("{s:s}", "type", "NFC") : json_null(),
                  "added_tokens", added_tokens(files->vocabulary));
    return fr_check_memory(ctx, files->tokenizer != NULL, 1);
}

fr_status fr_token_files_compose(fr_ctx *ctx, fr_token_files *files)
{
    char *path = NULL;
    char *merges = NULL;
    size_t bytes = 0;
    known_class class = {0};
    FR_TRY(fr_join_path(ctx, files->folder, "merges.txt", &path));
    if (files->vocabulary == NULL || !fr_file_exists(path)) {
        free(path);
        return FR_FAIL(
            ctx, FR_ERR_DATA,
            "%s has no tokenizer (tokenizer.json is absent, or vocab.json and "
            "merges.txt); give rows as token ids (source_ids, target_ids)",
            files->folder);
    }
    free(files->path);
    files->path = path;
    FR_TRY(find_class(ctx, files, &class));
    FR_TRY(fr_file_read(ctx, path, &merges, &bytes));
    fr_status status =
        strlen(merges) == bytes
            ? compose(ctx, files, &class, merges)
            : FR_FAIL(ctx, FR_ERR_FORMAT,
                      "%s holds a NUL character, which ends no line", path);
    free(merges);
    return status;
}
