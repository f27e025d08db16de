/* A folder with an index. Parts: model.safetensors.index.json, config.json, and the files a, b and c, as many as there are. */
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"model.safetensors.index.json", "config.json",
                                        "a", "b", "c"};
    (void)fuzz_write_parts(data, size, NAMES, sizeof NAMES / sizeof NAMES[0]);
    (void)fuzz_use_model(fuzz_ctx(), fuzz_folder());
    return 0;
}
