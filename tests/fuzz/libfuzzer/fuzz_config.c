/* A config, overrides, and the config of a run to be resumed. Parts: YAML, one override a line, YAML. */
#include "fuzz/libfuzzer/fuzz.h"
#include "train/config/config.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SETS = 8 };

static void use_swept(fr_ctx *ctx, const fr_config *config)
{
    for (int64_t t = 0; t < config->n_tasks; t++) {
        for (int i = 0; i < config->n_swept && config->tasks[t].swept; i++) {
            fr_swept_value value = {NULL, NULL, false};
            fuzz_check(strlen(fr_config_swept_name(config, i)) > 0,
                       "a swept key has a name");
            fuzz_check(fuzz_answer(ctx, fr_config_swept_value(
                                            ctx, config, &config->tasks[t], i, &value)),
                       "a swept task has a value");
            free(value.text);
        }
    }
}

/* What is written is read, and is written the same again. */
static void use_config(fr_ctx *ctx, const fr_config *config)
{
    char *first = NULL;
    char *second = NULL;
    fr_config *again = NULL;
    fuzz_check(fuzz_answer(ctx, fr_config_write(ctx, config, &first)),
               "a config can be written");
    fuzz_check(fuzz_answer(ctx, fr_config_parse(ctx, "again", first, &again)),
               "a written config can be read");
    fuzz_check(fuzz_answer(ctx, fr_config_write(ctx, again, &second)),
               "a config that was read again can be written");
    fuzz_check(strcmp(first, second) == 0, "a config is written the same again");
    fuzz_check(fuzz_answer(ctx, fr_config_check_resume(ctx, again, config)),
               "a run goes on with its own config");
    use_swept(ctx, config);
    fr_config_destroy(&again);
    free(first);
    free(second);
}

static int64_t cut_lines(char *text, const char **lines)
{
    int64_t n = 0;
    for (char *next = text; next != NULL && n < MAX_SETS; n++) {
        lines[n] = next;
        next = strchr(next, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
    }
    return n;
}

static void use_saved(fr_ctx *ctx, const fr_config *config, fuzz_part part)
{
    char *text = fuzz_text(part);
    fr_config *saved = NULL;
    if (fuzz_answer(ctx, fr_config_parse(ctx, "saved", text, &saved))) {
        (void)fuzz_answer(ctx, fr_config_check_resume(ctx, saved, config));
    }
    fr_config_destroy(&saved);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    fr_config *config = NULL;
    fuzz_part parts[3];
    const char *sets[MAX_SETS];
    int n = fuzz_split(data, size, parts, 3);
    const char *path = fuzz_write("c.yaml", parts[0].data, parts[0].bytes);
    char *lines = n > 1 ? fuzz_text(parts[1]) : NULL;
    int64_t n_sets = n > 1 && parts[1].bytes > 0 ? cut_lines(lines, sets) : 0;
    if (fuzz_answer(ctx, fr_config_read(ctx, path, sets, n_sets, &config))) {
        use_config(ctx, config);
        if (n > 2) {
            use_saved(ctx, config, parts[2]);
        }
    }
    fr_config_destroy(&config);
    free(lines);
    return 0;
}
