/* A run folder from somebody else. Parts: `latest`, checkpoint-3.h5, checkpoint-12.h5; none carries a seal. */
#include "fuzz/libfuzzer/fuzz.h"
#include "train/checkpoint/checkpoint.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"latest", "checkpoint-3.h5",
                                        "checkpoint-12.h5"};
    fr_ctx *ctx = fuzz_ctx();
    fr_checkpoint *checkpoint = NULL;
    char *path = NULL;
    fuzz_part parts[3];
    int n = fuzz_split(data, size, parts, 3);
    for (int i = 0; i < 3; i++) {
        if (i < n) {
            (void)fuzz_write(NAMES[i], parts[i].data, parts[i].bytes);
        } else {
            fuzz_remove(NAMES[i]);
        }
    }
    bool loaded = fuzz_answer(
        ctx, fr_checkpoint_load_latest(ctx, fuzz_folder(), &checkpoint, &path));
    fuzz_check((checkpoint != NULL) == (path != NULL) && (loaded || path == NULL),
               "a checkpoint comes with its name");
    (void)fr_checkpoint_is_ours(fuzz_path(NAMES[1]));
    fr_checkpoint_destroy(&checkpoint);
    free(path);
    return 0;
}
