/* A GGUF model in two files, one input part each; opened by the first and by the second. */
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"m-00001-of-00002.gguf",
                                        "m-00002-of-00002.gguf"};
    int n = fuzz_write_parts(data, size, NAMES, 2);
    bool by_first = fuzz_use_model(fuzz_ctx(), fuzz_path(NAMES[0]));
    if (n == 2 && by_first) {
        (void)fuzz_use_model(fuzz_ctx(), fuzz_path(NAMES[1]));
    }
    return 0;
}
