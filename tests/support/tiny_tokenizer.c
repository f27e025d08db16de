#include "support/tiny_tokenizer.h"

#include "model/text/byte_table.h"
#include "model/text/tokenizer_impl.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As byte-level BPE writes them: \xC4\xA0 is a space, \xC4\x8A a line end. */
static const char *const MERGES[][2] = {{"h", "e"},
                                        {"l", "l"},
                                        {"he", "ll"},
                                        {"hell", "o"},
                                        {"\xC4\xA0", "w"},
                                        {"\xC4\x8A", "\xC4\x8A"},
                                        {"\xC4\xA0", "\xC4\xA0"},
                                        {"1", "2"}};

static const char *const SPECIALS[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

enum { N_MERGES = sizeof MERGES / sizeof MERGES[0], N_BYTES = 256, N_SPECIALS = 3 };

enum { TEXT_BYTES = 16 };

/* Text of an id as the files have it. */
static void write_token(int id, char out[TEXT_BYTES])
{
    memset(out, 0, TEXT_BYTES);
    if (id < N_BYTES) {
        (void)fr_byte_to_char((uint8_t)id, out);
    } else if (id < FR_TINY_END) {
        const char *const *merge = MERGES[id - N_BYTES];
        (void)snprintf(out, TEXT_BYTES, "%s%s", merge[0], merge[1]);
    } else {
        (void)snprintf(out, TEXT_BYTES, "%s", SPECIALS[id - FR_TINY_END]);
    }
}

static json_t *make_vocabulary(void)
{
    json_t *vocab = fr_test_memory(json_object());
    for (int i = 0; i < FR_TINY_END; i++) {
        char text[TEXT_BYTES];
        write_token(i, text);
        (void)json_object_set_new(vocab, text, json_integer(i));
    }
    return vocab;
}

json_t *fr_tiny_json(void)
{
    json_t *merges = fr_test_memory(json_array());
    json_t *added = fr_test_memory(json_array());
    for (int i = 0; i < N_MERGES; i++) {
        (void)json_array_append_new(merges,
                                    json_sprintf("%s %s", MERGES[i][0], MERGES[i][1]));
    }
    for (int i = 0; i < N_SPECIALS; i++) {
        (void)json_array_append_new(
            added, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id",
                             FR_TINY_END + i, "content", SPECIALS[i], "single_word", 0,
                             "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1));
    }
    return fr_test_memory(json_pack(
        "{s:s, s:o, s:n, s:{s:s, s:b, s:b, s:b}, s:n, s:{s:s}, s:{s:s, s:n, s:o, s:o}}",
        "version", "1.0", "added_tokens", added, "normalizer", "pre_tokenizer", "type",
        "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1,
        "post_processor", "decoder", "type", "ByteLevel", "model", "type", "BPE",
        "dropout", "vocab", make_vocabulary(), "merges", merges));
}

/* `more` NULL: none. */
static fr_gguf_writer *write_gguf(const char *more, int32_t type)
{
    enum { NORMAL = 1, CONTROL = 3 };
    char texts[FR_TINY_VOCABULARY][TEXT_BYTES];
    char merge_texts[N_MERGES][TEXT_BYTES];
    const char *tokens[FR_TINY_VOCABULARY + 1];
    const char *merges[N_MERGES];
    int32_t types[FR_TINY_VOCABULARY + 1];
    int n_tokens = FR_TINY_VOCABULARY + (more != NULL ? 1 : 0);
    fr_gguf_writer *writer = fr_test_memory(fr_gguf_writer_create());
    for (int i = 0; i < FR_TINY_VOCABULARY; i++) {
        write_token(i, texts[i]);
        tokens[i] = texts[i];
        types[i] = i < FR_TINY_END ? NORMAL : CONTROL;
    }
    tokens[FR_TINY_VOCABULARY] = more;
    types[FR_TINY_VOCABULARY] = type;
    for (int i = 0; i < N_MERGES; i++) {
        (void)snprintf(merge_texts[i], TEXT_BYTES, "%s %s", MERGES[i][0], MERGES[i][1]);
        merges[i] = merge_texts[i];
    }
    fr_gguf_writer_set_text(writer, "general.architecture", "gpt2");
    fr_gguf_writer_set_text(writer, "tokenizer.ggml.model", "gpt2");
    fr_gguf_writer_set_text(writer, "tokenizer.ggml.pre", "gpt-2");
    fr_gguf_writer_set_texts(writer, "tokenizer.ggml.tokens", tokens, n_tokens);
    fr_gguf_writer_set_ints(writer, "tokenizer.ggml.token_type", types, n_tokens);
    fr_gguf_writer_set_texts(writer, "tokenizer.ggml.merges", merges, N_MERGES);
    return writer;
}

fr_gguf_writer *fr_tiny_gguf(void)
{
    return write_gguf(NULL, 0);
}

fr_gguf_writer *fr_tiny_gguf_with(const char *token, int32_t type)
{
    return write_gguf(token, type);
}

json_t *fr_tiny_smollm_rule(void)
{
    return fr_test_memory(json_pack("{s:s, s:[{s:s, s:b}, {s:s, s:b, s:b}]}", "type",
                                    "Sequence", "pretokenizers", "type", "Digits",
                                    "individual_digits", 1, "type", "ByteLevel",
                                    "add_prefix_space", 0, "use_regex", 1));
}

const char *fr_tiny_folder(const json_t *tokenizer, const char *config)
{
    const char *folder = fr_test_folder();
    char *text = fr_test_memory(json_dumps(tokenizer, 0));
    fr_test_write_text(fr_test_path(folder, "tokenizer.json"), text);
    if (config != NULL) {
        fr_test_write_text(fr_test_path(folder, "tokenizer_config.json"), config);
    }
    free(text);
    return folder;
}

fr_tokenizer *fr_tiny_tokenizer(const json_t *tokenizer, const char *config)
{
    fr_tokenizer *opened = NULL;
    FR_ASSERT_OK(
        fr_tokenizer_open(fr_test_ctx(), fr_tiny_folder(tokenizer, config), &opened));
    return fr_test_memory(opened);
}

void fr_assert_encodes(const fr_tokenizer *tokenizer, const char *text, size_t bytes,
                       bool parse_special, const int32_t *wanted, int64_t n)
{
    fr_ids ids = {0};
    FR_ASSERT_OK(fr_tokenizer_encode(fr_test_ctx(), tokenizer, text, bytes,
                                     parse_special, &ids));
    CU_ASSERT_EQUAL(ids.count, n);
    if (ids.count == n && n > 0) {
        fr_assert_same_bytes(text, ids.data, wanted, (size_t)n * sizeof *wanted);
    }
    fr_ids_fini(&ids);
}

void fr_assert_round_trip(const fr_tokenizer *tokenizer, const char *text, size_t bytes)
{
    fr_ids ids = {0};
    char *back = NULL;
    size_t n_back = 0;
    FR_ASSERT_OK(
        fr_tokenizer_encode(fr_test_ctx(), tokenizer, text, bytes, false, &ids));
    FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids.data, ids.count,
                                     false, &back, &n_back));
    CU_ASSERT_EQUAL(n_back, bytes);
    if (back != NULL && n_back == bytes) {
        fr_assert_same_bytes("round trip", back, text, bytes);
        CU_ASSERT_EQUAL(back[bytes], '\0');
    }
    free(back);
    fr_ids_fini(&ids);
}

int64_t fr_test_n_tokens(const fr_tokenizer *tokenizer)
{
    return tokenizer->n_tokens;
}

int32_t fr_test_special_id(const fr_tokenizer *tokenizer, const char *text)
{
    int32_t id = fr_tokenizer_marker(tokenizer, text);
    return fr_tokenizer_is_special(tokenizer, id) ? id : -1;
}

fr_gguf_writer *fr_tiny_scored_gguf(const char *model)
{
    enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };
    static const char MARK_H[] = "\xE2\x96\x81h";
    static const char *const TEXTS[] = {
        "<unk>",        "<s>",  "</s>", "h",  "e",    "l",     "o",
        "\xE2\x96\x81", MARK_H, "he",   "ll", "hell", "hello", "<0xFF>",
        "<0x0A>",       "<t>",  "el",   "oo", "xy",   "hel"};
    enum { N = sizeof TEXTS / sizeof *TEXTS };
    static const int32_t TYPES[N] = {UNKNOWN,      CONTROL, CONTROL, NORMAL, NORMAL,
                                     NORMAL,       NORMAL,  NORMAL,  NORMAL, NORMAL,
                                     NORMAL,       NORMAL,  NORMAL,  BYTE,   BYTE,
                                     USER_DEFINED, NORMAL,  UNUSED,  NORMAL, NORMAL};
    float scores[N];
    for (int i = 0; i < N; i++) {
        scores[i] = TYPES[i] == NORMAL ? -1.0F - 0.25F * (float)(i * 7 % N) : 0.0F;
    }
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_set_text(writer, "general.architecture", "llama");
    fr_gguf_writer_set_text(writer, "tokenizer.ggml.model", model);
    fr_gguf_writer_set_texts(writer, "tokenizer.ggml.tokens", TEXTS, N);
    fr_gguf_writer_set_reals(writer, "tokenizer.ggml.scores", scores, N);
    fr_gguf_writer_set_ints(writer, "tokenizer.ggml.token_type", TYPES, N);
    fr_gguf_writer_set_bool(writer, "tokenizer.ggml.add_space_prefix", true);
    fr_gguf_writer_set_bool(writer, "tokenizer.ggml.remove_extra_whitespaces",
                            strcmp(model, "t5") == 0);
    return writer;
}

fr_ids fr_test_ids(const int32_t *data, int64_t n)
{
    fr_ids ids = {0};
    for (int64_t i = 0; i < n; i++) {
        FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &ids, data[i]));
    }
    return ids;
}

fr_tokenizer *fr_tiny_plain_tokenizer(void)
{
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
    json_decref(root);
    return tokenizer;
}
