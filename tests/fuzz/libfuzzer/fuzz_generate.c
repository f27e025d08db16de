/* Rows for generation, through the whole command, on a model of one layer. The first byte chooses how. */
#include "cli/commands.h"
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"

static char *word(const char *text)
{
    return (char *)(uintptr_t)text; /* options borrow argv and do not write to it */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    fr_group *world = NULL;
    fr_options *options = NULL;
    fr_watch *watch = NULL;
    int exit_code = 0;
    if (size == 0) {
        return 0;
    }
    const char *input = fuzz_write("rows.jsonl", data + 1, size - 1);
    const char *const how = (data[0] & 1) != 0   ? "--chat"
                            : (data[0] & 2) != 0 ? "--template={source} \n{target}"
                                                 : "--seed=1";
    char *argv[] = {word("generate"),
                    word("--model"),
                    word(fuzz_model()),
                    word("--input"),
                    word(input),
                    word("--output"),
                    word(fuzz_path("out.jsonl")),
                    word("--overwrite"), /* answers of an input that failed */
                    word("--max-new-tokens=2"),
                    word("--precision=f32"),
                    word("--threads=1"),
                    word(how)};
    const int n = (int)(sizeof argv / sizeof argv[0]);
    fuzz_check(fuzz_answer(
                   ctx, fr_options_parse(ctx, &FR_GENERATE_COMMAND, n, argv, &options)),
               "options");
    fuzz_check(fuzz_answer(ctx, fr_group_create_self(ctx, &world)), "a world");
    fr_cli cli = {.ctx = ctx,
                  .world = world,
                  .options = options,
                  .watch = &watch,
                  .exit_code = &exit_code};
    (void)fuzz_answer(ctx, fr_cmd_generate(&cli));
    fr_options_destroy(&options);
    fr_group_destroy(&world);
    fr_watch_destroy(&watch);
    return 0;
}
