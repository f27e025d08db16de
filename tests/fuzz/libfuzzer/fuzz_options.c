/* A command line: one word a line. */
#include "base/options.h"
#include "fuzz/libfuzzer/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = 16 };

static const fr_option TABLE[] = {{"model", "PATH", "a path"},
                                  {"batch", "N", "a number"},
                                  {"temperature", "T", "a real number"},
                                  {"resume", "[FILE]", "with or without a value"},
                                  {"json", NULL, "a flag"},
                                  {"set", "a.b=c", "again and again"},
                                  {NULL, NULL, NULL}};
static const fr_command COMMAND = {"try", "FILE", 1, "for trying", TABLE, NULL};

static const fr_verb VERBS[] = {{"list", "FILE", 1, 1, "", "one"},
                                {"join", "FILE PART...", 2, 4, "model json", "several"},
                                {NULL, NULL, 0, 0, NULL, NULL}};
static const fr_command WITH_VERBS = {"keep", "VERB ...", 0, "for parts", TABLE, VERBS};

static void use_verb(const fr_options *options)
{
    int verb = fr_options_verb(options);
    int n = fr_options_n_positionals(options);
    if (fr_options_help(options)) {
        return;
    }
    fuzz_check(verb == 0 || verb == 1, "a verb is there");
    fuzz_check(n >= VERBS[verb].least && n <= VERBS[verb].most,
               "as many positionals as the verb takes");
    fuzz_check(fr_options_positional(options, n - 1) != NULL &&
                   fr_options_positional(options, n) == NULL,
               "and not one more");
    fuzz_check(!fr_options_has(options, "set"), "no option that no verb takes");
}

static void use_options(fr_ctx *ctx, const fr_options *options)
{
    int64_t number = 1;
    double real = 1.0;
    const char *text = NULL;
    if (fr_options_help(options)) {
        return;
    }
    fuzz_check(fr_options_positional(options, 0) != NULL, "a positional is there");
    if (fuzz_answer(ctx, fr_options_int(ctx, options, "batch", -5, 1000, &number))) {
        fuzz_check(number >= -5 && number <= 1000, "a number is within its range");
    }
    if (fuzz_answer(ctx, fr_options_real(ctx, options, "temperature", &real))) {
        fuzz_check(real - real == 0.0, "a real number is finite");
    }
    if (fuzz_answer(ctx, fr_options_need(ctx, options, "model", &text))) {
        fuzz_check(text != NULL && fr_options_has(options, "model"),
                   "what is needed is there");
    }
    for (int64_t i = 0; i < MAX_WORDS; i++) {
        text = fr_options_nth(options, "set", i);
        fuzz_check(text == NULL || fr_options_has(options, "set"), "what is there is");
    }
    (void)fr_options_text(options, "resume");
    (void)fr_options_has(options, "json");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char name[] = "try";
    fr_ctx *ctx = fuzz_ctx();
    fr_options *options = NULL;
    char *words[MAX_WORDS + 1] = {name};
    int n = 1;
    char *text = fuzz_text((fuzz_part){data, size});
    for (char *next = text; next != NULL && n < MAX_WORDS; n++) {
        words[n] = next;
        next = strchr(next, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
    }
    if (fuzz_answer(ctx, fr_options_parse(ctx, &COMMAND, n, words, &options))) {
        use_options(ctx, options);
    }
    fr_options_destroy(&options);
    if (fuzz_answer(ctx, fr_options_parse(ctx, &WITH_VERBS, n, words, &options))) {
        use_verb(options);
    }
    fr_options_destroy(&options);
    free(text);
    return 0;
}
