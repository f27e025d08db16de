/* The tokenizer of a folder. Parts: tokenizer.json, tokenizer_config.json, generation_config.json, config.json,
 * chat_template.jinja, special_tokens_map.json, added_tokens.json, vocab.json, merges.txt, as many as there are. */
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "generation_config.json",
                                        "config.json",
                                        "chat_template.jinja",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt"};
    (void)fuzz_write_parts(data, size, NAMES, sizeof NAMES / sizeof NAMES[0]);
    (void)fuzz_use_tokenizer(fuzz_ctx(), fuzz_folder());
    return 0;
}
