#define _POSIX_C_SOURCE 200809L
#include "support/rows.h"

#include "model/text/tokens.h"
#include "support/gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTES = 4096, FIRST_LETTER = '!', N_LETTERS = 94 };

const char FR_TEST_CHATML[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' "
    "%}{{ '<|im_start|>system\\nBe kind<|im_end|>\\n' }}{% endif %}{{ '<|im_start|>' + "
    "message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor "
    "%}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static void set_tokens(fr_gguf_writer *writer)
{
    static const char *const SPECIALS[] = {"<s>", "</s>", "<|im_start|>", "<|im_end|>"};
    /* space and line end as byte-level BPE writes them, then the merged tokens */
    static const char *const LAST[] = {"\xC4\xA0", "\xC4\x8A", "ab", "th", "the", "xy"};
    static const char *const MERGES[] = {"a b", "t h", "th e", "x y"};
    enum { CONTROL = 3, NORMAL = 1, N_SPECIALS = 4 };
    char letters[N_LETTERS][2] = {{0}};
    const char *tokens[FR_LETTERS_VOCABULARY];
    int32_t types[FR_LETTERS_VOCABULARY];
    for (int i = 0; i < FR_LETTERS_VOCABULARY; i++) {
        int letter = i - N_SPECIALS;
        types[i] = i < N_SPECIALS ? CONTROL : NORMAL;
        if (letter >= 0 && letter < N_LETTERS) {
            letters[letter][0] = (char)(FIRST_LETTER + letter);
        }
        tokens[i] = i < N_SPECIALS       ? SPECIALS[i]
                    : letter < N_LETTERS ? letters[letter]
                                         : LAST[letter - N_LETTERS];
    }
    fr_gguf_writer_set_texts(writer, "tokenizer.ggml.tokens", tokens,
                             FR_LETTERS_VOCABULARY);
    fr_gguf_writer_set_ints(writer, "tokenizer.ggml.token_type", types,
                            FR_LETTERS_VOCABULARY);
    fr_gguf_writer_set_texts(writer, "tokenizer.ggml.merges", MERGES, 4);
}

fr_tokenizer *fr_test_letters(const fr_letters *how)
{
    const char *path = fr_test_path(fr_test_folder(), "letters.gguf");
    fr_tokenizer *tokenizer = NULL;
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_set_text(writer, "tokenizer.ggml.model", "gpt2");
    fr_gguf_writer_set_text(writer, "tokenizer.ggml.pre", "gpt-2");
    set_tokens(writer);
    fr_gguf_writer_set_u32(writer, "tokenizer.ggml.bos_token_id", 0);
    fr_gguf_writer_set_bool(writer, "tokenizer.ggml.add_bos_token", how->add_bos);
    if (!how->without_eos) {
        fr_gguf_writer_set_u32(writer, "tokenizer.ggml.eos_token_id", 1);
    }
    if (how->chat_template != NULL) {
        fr_gguf_writer_set_text(writer, "tokenizer.chat_template", how->chat_template);
    }
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer));
    return fr_test_memory(tokenizer);
}

const char *fr_test_rows(const char *text)
{
    const char *path = fr_test_path(fr_test_folder(), "rows.jsonl");
    fr_test_write_text(path, text);
    return path;
}

fr_data_params fr_test_id_params(const char *path)
{
    return (fr_data_params){
        .path = path, .vocab_size = 100, .eos_id = -1, .max_tokens = 50};
}

fr_data_params fr_test_text_params(const char *path, const fr_tokenizer *tokenizer)
{
    return (fr_data_params){.path = path,
                            .tokenizer = tokenizer,
                            .vocab_size = FR_LETTERS_VOCABULARY,
                            .template_text = "{source}{target}",
                            .eos = true,
                            .eos_id = -1,
                            .max_tokens = 1000};
}

static void compare(const char *what, const char *got, const char *wanted)
{
    char message[2 * SHOWN_BYTES + 64];
    if (strcmp(got, wanted) != 0) {
        (void)snprintf(message, sizeof message, "%s: got '%s', wanted '%s'", what, got,
                       wanted);
        CU_assertImplementation(CU_FALSE, 0, message, "", "", CU_FALSE);
        return;
    }
    CU_assertImplementation(CU_TRUE, 0, what, "", "", CU_FALSE);
}

void fr_assert_ids(const char *what, fr_sequence got, const char *wanted)
{
    char text[SHOWN_BYTES] = "";
    size_t used = 0;
    for (int64_t i = 0; i < got.count && used < sizeof text; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%d%s",
                                 i > 0 ? " " : "", (int)got.ids[i],
                                 got.counted[i] != 0 ? "*" : "");
    }
    compare(what, text, wanted);
}

void fr_assert_tokens(const char *what, const fr_tokenizer *tokenizer, fr_sequence got,
                      const char *wanted)
{
    char text[SHOWN_BYTES] = "";
    size_t used = 0;
    for (int64_t i = 0; i < got.count && used < sizeof text; i++) {
        char *token = NULL;
        size_t bytes = 0;
        FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, &got.ids[i], 1,
                                         false, &token, &bytes));
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s%s",
                                 i > 0 ? "|" : "", token != NULL ? token : "?",
                                 got.counted[i] != 0 ? "*" : "");
        free(token);
    }
    compare(what, text, wanted);
}
