/* The tokenizer of a folder that has SentencePiece's file. Parts: tokenizer.model, tokenizer_config.json, added_tokens.json. */
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"tokenizer.model", "tokenizer_config.json",
                                        "added_tokens.json"};
    (void)fuzz_write_parts(data, size, NAMES, sizeof NAMES / sizeof NAMES[0]);
    (void)fuzz_use_tokenizer(fuzz_ctx(), fuzz_folder());
    return 0;
}
