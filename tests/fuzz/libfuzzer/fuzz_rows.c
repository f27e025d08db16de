/* A file of rows for training. The first byte chooses how it is read; the rest is the file. */
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"
#include "support/tiny_tokenizer.h"
#include "train/data/data.h"

enum {
    IDS_ONLY = 1,
    CHAT = 2,
    SPECIAL = 4,
    LOSS_LAST = 8,
    CUT = 16,
    WITHOUT_BOS = 32,
    SHORT = 64,
    SAMPLE = 128
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { VOCABULARY = 100, SHORT_TOKENS = 6, LONG_TOKENS = 2000, SAMPLED_ROWS = 3 };
    fr_ctx *ctx = fuzz_ctx();
    fr_dataset *dataset = NULL;
    if (size == 0) {
        return 0;
    }
    const int how = data[0];
    const fr_tokenizer *tokenizer = fuzz_tokenizer(false);
    const fr_data_params params = {
        .path = fuzz_write("rows.jsonl", data + 1, size - 1),
        .tokenizer = (how & IDS_ONLY) != 0 ? NULL : tokenizer,
        .vocab_size = (how & IDS_ONLY) != 0 ? VOCABULARY : fr_test_n_tokens(tokenizer),
        .template_text = (how & CHAT) != 0 ? NULL : "the {source}\n{target}<|im_end|>",
        .chat = (how & CHAT) != 0,
        .eos = (how & LOSS_LAST) == 0,
        .eos_id = 1,
        .special = (how & SPECIAL) != 0,
        .loss_last = (how & LOSS_LAST) != 0,
        .cut_long_rows = (how & CUT) != 0,
        .without_bos = (how & WITHOUT_BOS) != 0,
        .max_tokens = (how & SHORT) != 0 ? SHORT_TOKENS : LONG_TOKENS,
        .max_rows = (how & SAMPLE) != 0 ? SAMPLED_ROWS : 0,
        .sample = (how & SAMPLE) != 0,
        .skip_bad_rows = (how & SHORT) != 0,
        .ignore = (how & SPECIAL) != 0 ? "extra, target" : NULL};
    if (fuzz_answer(ctx, fr_dataset_open(ctx, &params, &dataset))) {
        fuzz_use_dataset(dataset, params.vocab_size, params.max_tokens);
    }
    fr_dataset_close(&dataset);
    return 0;
}
