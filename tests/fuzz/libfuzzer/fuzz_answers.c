/* OUT.part and its record, which anybody may have written beside an output. Parts: the record, the answers. */
#include "base/mem.h"
#include "cli/answers.h"
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"

#include <stdlib.h>
#include <string.h>

enum { N_ROWS = 3, N_PARTS = 2 };

static const char *const ROWS[N_ROWS] = {"{}", "{\"n\":1}",
                                         "{\"source\":\"caf\xC3\xA9\"}"};

static fr_status give_row(void *user, int64_t index, char **text, size_t *bytes)
{
    (void)user;
    *bytes = strlen(ROWS[index]);
    return fr_copy_string(fuzz_ctx(), ROWS[index], text);
}

static void scan(fuzz_part part, bool has_logprobs)
{
    static const char *const STOPS[] = {"ab", "\xC3\xA9"};
    const fr_answers_params params = {.path = "out",
                                      .row = give_row,
                                      .has_logprobs = has_logprobs,
                                      .stops = STOPS,
                                      .n_stops = has_logprobs ? 2 : 0};
    fr_ctx *ctx = fuzz_ctx();
    fr_answers_found found;
    fr_answers_found again;
    char *block = fuzz_block(part);
    if (fuzz_answer(ctx, fr_answers_scan(ctx, &params, fuzz_tokenizer(false), N_ROWS,
                                         block, part.bytes, &found))) {
        fuzz_check(found.n_kept <= N_ROWS && found.n_kept <= found.n_lines &&
                       found.kept_bytes <= part.bytes,
                   "what is kept is there");
        fuzz_check(found.kept_bytes == 0 || block[found.kept_bytes - 1] == '\n',
                   "what is kept are whole lines");
        fuzz_check(fuzz_answer(ctx, fr_answers_scan(ctx, &params, fuzz_tokenizer(false),
                                                    N_ROWS, block, found.kept_bytes,
                                                    &again)) &&
                       again.n_kept == found.n_kept && again.n_lines == found.n_kept,
                   "what is kept is kept again");
    }
    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    fuzz_part parts[N_PARTS];
    fr_record now;
    int n = fuzz_split(data, size, parts, N_PARTS);
    fr_record_init(&now);
    fr_record_add(&now, "the arithmetic", "cpu 1");
    fr_record_add(&now, "--seed", "1");
    fr_record_add(&now, "the model", "abc");
    char *kept = fuzz_block(parts[0]);
    bool is_same =
        fuzz_answer(ctx, fr_record_check(ctx, "out.part", kept, parts[0].bytes, &now));
    fuzz_check(!is_same || fr_record_is_ours(kept, parts[0].bytes),
               "a record that is accepted is one");
    free(kept);
    if (n == N_PARTS) {
        scan(parts[1], false);
        scan(parts[1], true);
    }
    return 0;
}
