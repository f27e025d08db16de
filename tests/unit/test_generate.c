/* Tokens of a row: by its own options, whatever the other rows are, when it enters, and in how many passes its prompt goes. */
#include "model/network/generate.h"

#include "base/rng.h"
#include "support/suite.h"
#include "support/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROWS = 3, N_NEW = 12, VOCAB = 128, MAX_POSITION = 1200 };

static const int32_t IDS[] = {5, 17, 99, 3, 64, 21, 7, 120, 33, 2, 90, 11};

typedef struct texts {
    int32_t ids[N_ROWS][N_NEW];
} texts;

/* A model with a generator of its own. */
typedef struct bench {
    fr_tiny tiny;
    fr_group *group;
    fr_generator *generator;
} bench;

static void open_bench_of(fr_dtype dtype, bench *b)
{
    fr_tiny_open(fr_test_data("golden/tiny_llama"), dtype, MAX_POSITION, &b->tiny);
    CU_ASSERT_FATAL(b->tiny.arch->vocab_size <= VOCAB);
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &b->group));
    fr_generator_params create = {.pipeline = b->group, .stage = b->tiny.stage};
    FR_ASSERT_OK(fr_generator_create(fr_test_ctx(), &create, &b->generator));
}

static void open_bench(bench *b)
{
    open_bench_of(FR_F32, b);
}

static void close_bench(bench *b)
{
    fr_generator_destroy(&b->generator);
    fr_group_destroy(&b->group);
    fr_tiny_close(&b->tiny);
}

/* A row of random ids below 100. */
static fr_generate_row make_row(int64_t n, uint64_t number, fr_sample_params sample)
{
    static const fr_stage_prefix NONE = {0};
    fr_generate_row row = {
        .prefix = &NONE, .sample = sample, .number = number, .max_new_tokens = N_NEW};
    for (int64_t i = 0; i < n; i++) {
        double drawn = fr_rng_uniform(3, FR_RNG_TEST, number, (uint64_t)i);
        FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &row.prompt, (int32_t)(100 * drawn)));
    }
    return row;
}

/* ---- a list ------------------------------------------------------------------------------------------ */

static texts generate(bench *b, const fr_sample_params *sample, const uint8_t *never,
                      int64_t batch)
{
    texts out;
    fr_generate_row rows[N_ROWS];
    fr_generate_params params = {
        .ids = {.never_V = never}, .batch = batch, .cache_bytes = INT64_MAX};
    for (int r = 0; r < N_ROWS; r++) {
        rows[r] = make_row(0, (uint64_t)r, *sample);
        for (int i = 0; i < 3 + 2 * r; i++) {
            FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &rows[r].prompt, IDS[r + i]));
        }
    }
    FR_ASSERT_OK(fr_generate(b->generator, rows, N_ROWS, &params));
    for (int r = 0; r < N_ROWS; r++) {
        CU_ASSERT_EQUAL_FATAL(rows[r].out.count, N_NEW);
        CU_ASSERT_EQUAL(rows[r].state, FR_ROW_FULL);
        memcpy(out.ids[r], rows[r].out.data, sizeof out.ids[r]);
        fr_generate_row_fini(&rows[r]);
    }
    return out;
}

static const fr_sample_params WAYS[] = {
    {.top_p = 1.0},
    {.temperature = 1.0, .top_p = 1.0, .seed = 1},
    {.temperature = 3.0, .top_k = 20, .top_p = 0.9, .seed = 1},
    {.temperature = 3.0, .top_p = 1.0, .min_p = 0.2, .seed = 1},
    {.top_p = 1.0, .repetition_penalty = 1.8},
    {.temperature = 2.0, .top_p = 1.0, .repetition_penalty = 0.7, .seed = 1}};
enum { N_WAYS = sizeof WAYS / sizeof *WAYS };

static void tokens_do_not_depend_on_the_other_rows(void)
{
    bench b;
    texts earlier = {{{0}}};
    open_bench(&b);
    for (int i = 0; i < N_WAYS; i++) {
        texts alone = generate(&b, &WAYS[i], NULL, 1);
        texts together = generate(&b, &WAYS[i], NULL, N_ROWS);
        texts two = generate(&b, &WAYS[i], NULL, 2);
        fr_assert_same_bytes("all rows", &together, &alone, sizeof alone);
        fr_assert_same_bytes("two rows", &two, &alone, sizeof alone);
        CU_ASSERT_NOT_EQUAL(memcmp(&earlier, &alone, sizeof alone), 0);
        earlier = alone;
    }
    close_bench(&b);
}

static void a_seed_and_a_place_have_draws_of_their_own(void)
{
    bench b;
    open_bench(&b);
    fr_sample_params hot = {.temperature = 100.0, .top_p = 1.0, .seed = 1};
    texts first = generate(&b, &hot, NULL, N_ROWS);
    texts again = generate(&b, &hot, NULL, N_ROWS);
    hot.seed = 2;
    texts other = generate(&b, &hot, NULL, N_ROWS);
    fr_assert_same_bytes("the same seed", &again, &first, sizeof first);
    CU_ASSERT_NOT_EQUAL(memcmp(&other, &first, sizeof first), 0);
    /* at this temperature rows differ by their draws alone */
    CU_ASSERT_NOT_EQUAL(memcmp(first.ids[0], first.ids[1], sizeof first.ids[0]), 0);
    close_bench(&b);
}

/* What came without a mask does not come with one that names it. */
static void masked_ids_never_come(void)
{
    bench b;
    open_bench(&b);
    for (int i = 0; i < N_WAYS; i++) {
        uint8_t never[VOCAB] = {0};
        texts free_choice = generate(&b, &WAYS[i], NULL, N_ROWS);
        for (int n = 0; n < N_ROWS * N_NEW; n++) {
            never[free_choice.ids[n / N_NEW][n % N_NEW]] = 1;
        }
        texts got = generate(&b, &WAYS[i], never, N_ROWS);
        for (int n = 0; n < N_ROWS * N_NEW; n++) {
            CU_ASSERT_EQUAL(never[got.ids[n / N_NEW][n % N_NEW]], 0);
        }
    }
    close_bench(&b);
}

static fr_status leave_at_four(void *user, int64_t index, bool *leave)
{
    fr_generate_row *rows = user;
    *leave = index == 1 && rows[index].out.count == 4;
    return FR_OK;
}

static void a_caller_can_end_a_row(void)
{
    bench b;
    fr_generate_row rows[N_ROWS];
    fr_generate_params params = {.batch = N_ROWS,
                                 .cache_bytes = INT64_MAX,
                                 .grown = leave_at_four,
                                 .user = rows};
    open_bench(&b);
    for (int r = 0; r < N_ROWS; r++) {
        rows[r] = make_row(5, (uint64_t)r, WAYS[0]);
    }
    FR_ASSERT_OK(fr_generate(b.generator, rows, N_ROWS, &params));
    for (int r = 0; r < N_ROWS; r++) {
        CU_ASSERT_EQUAL(rows[r].state, r == 1 ? FR_ROW_LEFT : FR_ROW_FULL);
        CU_ASSERT_EQUAL(rows[r].out.count, r == 1 ? 4 : N_NEW);
        fr_generate_row_fini(&rows[r]);
    }
    close_bench(&b);
}

static void rows_that_do_not_fit_are_named(void)
{
    bench b;
    fr_generate_params params = {.batch = 1, .cache_bytes = INT64_MAX};
    open_bench(&b);
    fr_generate_row row = make_row(0, 6, WAYS[0]);
    FR_ASSERT_FAILS(fr_generate(b.generator, &row, 1, &params), FR_ERR_DATA,
                    "row 7: the prompt is empty");
    fr_generate_row_fini(&row);
    row = make_row(MAX_POSITION, 0, WAYS[0]);
    row.place.name = "rows.jsonl";
    row.place.line = 3;
    FR_ASSERT_FAILS(fr_generate(b.generator, &row, 1, &params), FR_ERR_DATA,
                    "rows.jsonl:3: prefix of 0 and prompt of 1200");
    row.prompt.data[4] = VOCAB;
    FR_ASSERT_FAILS(fr_generate(b.generator, &row, 1, &params), FR_ERR_DATA,
                    "rows.jsonl:3");
    fr_generate_row_fini(&row);
    close_bench(&b);
}

/* ---- probabilities ---------------------------------------------------------------------------------- */

/* The row as training sees it: each token's nats in one pass without a cache and without pieces. */
static void check_logprobs(bench *b, const fr_generate_row *row)
{
    int64_t n = row->prompt.count + row->out.count;
    int32_t *ids = calloc((size_t)n, sizeof *ids);
    double *nll = calloc((size_t)n, sizeof *nll);
    memcpy(ids, row->prompt.data, (size_t)row->prompt.count * sizeof *ids);
    memcpy(ids + row->prompt.count, row->out.data,
           (size_t)row->out.count * sizeof *ids);
    fr_tiny_one_row(&b->tiny, 0, ids, n);
    (void)fr_tiny_loss(&b->tiny, row->prefix, NULL);
    fr_tiny_nats(&b->tiny, nll);
    for (int64_t t = 0; t < row->out.count; t++) {
        const fr_logprobs *p = &row->logprobs[t];
        CU_ASSERT_DOUBLE_EQUAL(p->chosen, -nll[row->prompt.count + t - 1], 1e-4);
        CU_ASSERT_EQUAL(p->n, row->n_logprobs - 1);
        for (int32_t i = 1; i < p->n; i++) {
            CU_ASSERT_TRUE(p->values[i] <= p->values[i - 1]);
        }
        if (row->sample.temperature == 0.0 && !fr_sample_penalises(&row->sample)) {
            CU_ASSERT_EQUAL(p->ids[0], row->out.data[t]);
            CU_ASSERT_EQUAL(p->values[0], p->chosen);
        }
    }
    free(ids);
    free(nll);
}

/* Prompts below, at and above the ends of pieces. */
static void probabilities_are_those_of_training(void)
{
    static const int64_t LENGTHS[] = {2, 255, 256, 257, 512, 700, 1100};
    bench b;
    fr_generate_params params = {.batch = 2, .cache_bytes = INT64_MAX};
    open_bench(&b);
    for (int i = 0; i < FR_N_CASES(LENGTHS); i++) {
        fr_generate_row rows[2];
        for (int r = 0; r < 2; r++) {
            rows[r] = make_row(LENGTHS[i] + r, (uint64_t)(2 * i + r),
                               WAYS[(2 * i + r) % N_WAYS]);
            rows[r].n_logprobs = 1 + (i + r == 0 ? FR_MAX_LOGPROBS : 3 * r + 1);
        }
        FR_ASSERT_OK(fr_generate(b.generator, rows, 2, &params));
        for (int r = 0; r < 2; r++) {
            check_logprobs(&b, &rows[r]);
            fr_generate_row_fini(&rows[r]);
        }
    }
    close_bench(&b);
}

/* A penalty is what the formula says: the greedy choice among the changed logits, whose differences are those of the model's
 * probabilities. With all ids as candidates the list of the likeliest would have to be whole, so a few ids may come. */
static void a_penalty_changes_what_was_seen(void)
{
    enum { FEW = 12 };
    uint8_t never[VOCAB];
    bench b;
    open_bench(&b);
    fr_generate_row free_row = make_row(6, 1, WAYS[0]);
    fr_generate_row row = make_row(6, 1, WAYS[0]);
    fr_generate_params params = {
        .ids = {.never_V = never}, .batch = 1, .cache_bytes = INT64_MAX};
    for (int i = 0; i < VOCAB; i++) {
        never[i] = i >= FEW;
    }
    row.sample.repetition_penalty = 5.0;
    FR_ASSERT_OK(fr_generate(b.generator, &free_row, 1, &params));
    FR_ASSERT_OK(fr_generate(b.generator, &row, 1, &params));
    int repeats[2] = {0, 0};
    for (int64_t t = 1; t < N_NEW; t++) {
        for (int64_t s = 0; s < t; s++) {
            repeats[0] += free_row.out.data[s] == free_row.out.data[t];
            repeats[1] += row.out.data[s] == row.out.data[t];
        }
    }
    CU_ASSERT_TRUE(repeats[1] < repeats[0]);
    fr_generate_row_fini(&free_row);
    fr_generate_row_fini(&row);
    close_bench(&b);
}

/* ---- rows that come and go -------------------------------------------------------------------------- */

enum { COMING = 9 };

static fr_generate_row coming_row(int i)
{
    static const int64_t LENGTHS[COMING] = {3, 700, 40, 257, 1, 512, 90, 300, 256};
    fr_generate_row row = make_row(LENGTHS[i], (uint64_t)i, WAYS[i % N_WAYS]);
    row.n_logprobs = i % 3 == 0 ? 3 : 0;
    return row;
}

static void expect_as_alone(bench *b, const fr_generate_row *got, int i)
{
    fr_generate_params params = {.batch = 1, .cache_bytes = INT64_MAX};
    fr_generate_row alone = coming_row(i);
    FR_ASSERT_OK(fr_generate(b->generator, &alone, 1, &params));
    size_t n = (size_t)got->out.count;
    CU_ASSERT_TRUE_FATAL(got->out.count <= alone.out.count);
    fr_assert_same_bytes("tokens", got->out.data, alone.out.data,
                         n * sizeof *got->out.data);
    if (got->n_logprobs > 0) {
        fr_assert_same_bytes("probabilities", got->logprobs, alone.logprobs,
                             n * sizeof *got->logprobs);
    }
    fr_generate_row_fini(&alone);
}

/* Rows enter whenever the draw says so, and some leave. */
static void come_and_go(bench *b, int64_t prompt_tokens, uint64_t stream)
{
    fr_generation *generation = NULL;
    fr_generation_params params = {.places = 4,
                                   .capacity = 800,
                                   .cache_bytes = INT64_MAX,
                                   .prompt_tokens = prompt_tokens};
    fr_generate_row rows[COMING];
    int next = 0;
    FR_ASSERT_OK(fr_generation_open(b->generator, &params, &generation));
    CU_ASSERT_EQUAL(fr_generation_places(generation), 4);
    for (uint64_t pass = 0; next < COMING || fr_generation_free(generation) < 4;
         pass++) {
        double drawn = fr_rng_uniform(5, FR_RNG_TEST, stream, pass);
        if (next < COMING && fr_generation_free(generation) > 0 && drawn < 0.6) {
            rows[next] = coming_row(next);
            FR_ASSERT_OK(fr_generation_check(generation, &rows[next]));
            fr_generation_enter(generation, &rows[next]);
            next++;
        }
        FR_ASSERT_OK(fr_generation_pass(generation));
        if (next > 0 && (next - 1) % 4 == 3 && drawn > 0.7) {
            fr_generation_leave(generation, &rows[next - 1]);
        }
    }
    for (int i = 0; i < COMING; i++) {
        CU_ASSERT_TRUE(rows[i].state == FR_ROW_FULL ||
                       (i % 4 == 3 && rows[i].state == FR_ROW_LEFT));
        expect_as_alone(b, &rows[i], i);
        fr_generate_row_fini(&rows[i]);
    }
    fr_generation_close(&generation);
}

static void rows_come_and_go(void)
{
    static const int64_t PROMPT_TOKENS[] = {0, 1, 256, 300, 5000};
    for (int i = 0; i < 2 * FR_N_CASES(PROMPT_TOKENS); i++) {
        bench b;
        open_bench_of(i % 2 == 0 ? FR_F32 : FR_BF16, &b);
        come_and_go(&b, PROMPT_TOKENS[i / 2], (uint64_t)i);
        close_bench(&b);
    }
}

/* With a limit, each pass of prompts is followed by one of answers, so a long prompt delays a token by one pass; and a short
 * prompt overtakes a long one. */
static void long_prompts_do_not_starve_the_others(void)
{
    bench b;
    int64_t n = 0;
    fr_generation *generation = NULL;
    fr_generation_params params = {.places = 3,
                                   .capacity = MAX_POSITION,
                                   .cache_bytes = INT64_MAX,
                                   .prompt_tokens = 256};
    open_bench(&b);
    fr_generate_row first = make_row(3, 0, WAYS[0]);
    fr_generate_row longest = make_row(1100, 1, WAYS[0]);
    fr_generate_row last = make_row(3, 2, WAYS[0]);
    FR_ASSERT_OK(fr_generation_open(b.generator, &params, &generation));
    fr_generation_enter(generation, &first);
    FR_ASSERT_OK(fr_generation_pass(generation));
    fr_generation_enter(generation, &longest);
    fr_generation_enter(generation, &last);
    for (int pass = 0; pass < 8; pass++) {
        int64_t had = first.out.count;
        FR_ASSERT_OK(fr_generation_pass(generation));
        (void)fr_generation_grown(generation, &n);
        CU_ASSERT_EQUAL(first.out.count, had + (pass % 2 == 0));
        CU_ASSERT_TRUE(n > 0 || pass % 2 == 1);
    }
    CU_ASSERT_EQUAL(longest.out.count, 0);
    CU_ASSERT_TRUE(last.out.count >= 2);
    while (fr_generation_free(generation) < 3) {
        FR_ASSERT_OK(fr_generation_pass(generation));
    }
    CU_ASSERT_EQUAL(longest.out.count, N_NEW);
    fr_generation_close(&generation);
    fr_generate_row_fini(&first);
    fr_generate_row_fini(&longest);
    fr_generate_row_fini(&last);
    close_bench(&b);
}

static const fr_case CASES[] = {
    FR_CASE(tokens_do_not_depend_on_the_other_rows),
    FR_CASE(a_seed_and_a_place_have_draws_of_their_own),
    FR_CASE(masked_ids_never_come),
    FR_CASE(a_caller_can_end_a_row),
    FR_CASE(rows_that_do_not_fit_are_named),
    FR_CASE(probabilities_are_those_of_training),
    FR_CASE(a_penalty_changes_what_was_seen),
    FR_CASE(rows_come_and_go),
    FR_CASE(long_prompts_do_not_starve_the_others),
};

int main(int argc, char **argv)
{
    return fr_suite_main("generate", CASES, FR_N_CASES(CASES), argc, argv);
}
