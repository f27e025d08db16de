/*
 * rows.h - row files, a tokenizer of single letters, and datasets shown as text, for tests.
 *
 * A failed write or allocation ends the program: it is no failure of what is tested.
 */
#ifndef FR_TESTS_ROWS_H
#define FR_TESTS_ROWS_H

#include "support/model_files.h"
#include "train/data/data.h"

/** What the tokenizer file of fr_test_letters says beside its tokens. */
typedef struct fr_letters {
    bool without_eos; /* names no end-of-sequence id */
    bool add_bos;
    const char *chat_template; /* NULL: none */
} fr_letters;

/** ChatML with a default system message "Be kind". */
extern const char FR_TEST_CHATML[];

/**
 * A tokenizer with a token for each printable ASCII character, space and line end, for "ab" and "the", and
 * with the special tokens <s> (0: BOS), </s> (1: EOS), <|im_start|> (2), <|im_end|> (3). Other bytes have
 * no token. The caller closes it.
 */
fr_tokenizer *fr_test_letters(const fr_letters *how);
enum { FR_LETTERS_VOCABULARY = 4 + 94 + 2 + 4 };

/** Write `text` as rows.jsonl into a fresh folder; its path. */
const char *fr_test_rows(const char *text);

/** Options for rows of ids: vocabulary of 100, eos off, at most 50 tokens, in memory. */
fr_data_params fr_test_id_params(const char *path);
/** Options for rows of text: template "{source}{target}", eos on, at most 1000 tokens, in memory. */
fr_data_params fr_test_text_params(const char *path, const fr_tokenizer *tokenizer);

/** Assert that ids and flags are those of `wanted`, e.g. "5 6* 7*" (* is counted); "" for none. */
void fr_assert_ids(const char *what, fr_sequence got, const char *wanted);
/** Assert that the tokens' texts, with | between, are `wanted`, counted ones with a * behind. */
void fr_assert_tokens(const char *what, const fr_tokenizer *tokenizer, fr_sequence got,
                      const char *wanted);

#endif
