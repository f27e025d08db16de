/* The tokenizer of a folder. Parts: tokenizer.json, tokenizer_config.json, generation_config.json, config.json,
 * chat_template.jinja, as many as there are. */
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"tokenizer.json", "tokenizer_config.json",
                                        "generation_config.json", "config.json",
                                        "chat_template.jinja"};
    enum { N_PARTS = sizeof NAMES / sizeof NAMES[0] };
    fuzz_part parts[N_PARTS];
    int n = fuzz_split(data, size, parts, N_PARTS);
    for (int i = 0; i < N_PARTS; i++) {
        if (i < n) {
            (void)fuzz_write(NAMES[i], parts[i].data, parts[i].bytes);
        } else {
            fuzz_remove(NAMES[i]);
        }
    }
    (void)fuzz_use_tokenizer(fuzz_ctx(), fuzz_folder());
    return 0;
}
