/* A config.json, as `plan` reads it. */
#include "fuzz/libfuzzer/fuzz.h"
#include "model/arch.h"
#include "model/families/hf_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    fr_hf_config config;
    fr_arch arch;
    const char *path = fuzz_write("config.json", data, size);
    bool is_read = fuzz_answer(ctx, fr_hf_config_read(ctx, path, &config));
    bool has_arch = fuzz_answer(ctx, fr_arch_read(ctx, fuzz_folder(), &arch));
    fuzz_check(is_read == has_arch, "both readers of config.json agree");
    if (is_read) {
        fuzz_check(fuzz_answer(ctx, fr_arch_check(ctx, path, &config.arch)),
                   "what was read is within its ranges");
    }
    return 0;
}
