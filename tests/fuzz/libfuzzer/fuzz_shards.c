/* A folder with an index. Parts: model.safetensors.index.json, config.json, and the files a, b and c, as many as there are. */
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"model.safetensors.index.json", "config.json",
                                        "a", "b", "c"};
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
    (void)fuzz_use_model(fuzz_ctx(), fuzz_folder());
    return 0;
}
