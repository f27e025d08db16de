/* The options of a choice reach the device, and a row's tokens do not depend on the other rows. */
#include "model/network/generate.h"
#include "support/suite.h"
#include "support/tiny_model.h"

#include <string.h>

enum { N_ROWS = 3, N_NEW = 12, VOCAB = 128, MAX_POSITION = 32 };

static const int32_t IDS[] = {5, 17, 99, 3, 64, 21, 7, 120, 33, 2, 90, 11};

typedef struct texts {
    int32_t ids[N_ROWS][N_NEW];
} texts;

static texts generate(fr_tiny *tiny, const fr_sample_params *sample, int64_t batch)
{
    static const fr_stage_prefix NONE = {0};
    texts out;
    fr_group *group = NULL;
    fr_generator *generator = NULL;
    fr_generate_row rows[N_ROWS];
    fr_generate_params params = {.sample = *sample,
                                 .max_new_tokens = N_NEW,
                                 .batch = batch,
                                 .cache_bytes = INT64_MAX};
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &group));
    fr_generator_params create = {.pipeline = group, .stage = tiny->stage};
    FR_ASSERT_OK(fr_generator_create(fr_test_ctx(), &create, &generator));
    for (int r = 0; r < N_ROWS; r++) {
        /* the generator reads a prompt alone */
        rows[r] = (fr_generate_row){
            .prefix = &NONE,
            .prompt = {.data = (int32_t *)(uintptr_t)(IDS + r), .count = 3 + 2 * r}};
    }
    FR_ASSERT_OK(fr_generate(generator, rows, N_ROWS, &params));
    for (int r = 0; r < N_ROWS; r++) {
        CU_ASSERT_EQUAL_FATAL(rows[r].out.count, N_NEW);
        memcpy(out.ids[r], rows[r].out.data, sizeof out.ids[r]);
        fr_ids_fini(&rows[r].out);
    }
    fr_generator_destroy(&generator);
    fr_group_destroy(&group);
    return out;
}

static void open_tiny(fr_tiny *tiny)
{
    fr_tiny_open(fr_test_data("golden/tiny_llama"), FR_F32, MAX_POSITION, tiny);
    CU_ASSERT_FATAL(tiny->arch->vocab_size <= VOCAB);
}

static void tokens_do_not_depend_on_the_other_rows(void)
{
    static const fr_sample_params WAYS[] = {
        {0.0, 0, 1.0, 1, NULL}, {1.0, 0, 1.0, 1, NULL}, {3.0, 20, 0.9, 1, NULL}};
    fr_tiny tiny;
    open_tiny(&tiny);
    texts earlier = {{{0}}};
    for (int i = 0; i < FR_N_CASES(WAYS); i++) {
        texts alone = generate(&tiny, &WAYS[i], 1);
        texts together = generate(&tiny, &WAYS[i], N_ROWS);
        texts two = generate(&tiny, &WAYS[i], 2);
        fr_assert_same_bytes("all rows", &together, &alone, sizeof alone);
        fr_assert_same_bytes("two rows", &two, &alone, sizeof alone);
        CU_ASSERT_NOT_EQUAL(memcmp(&earlier, &alone, sizeof alone), 0);
        earlier = alone;
    }
    fr_tiny_close(&tiny);
}

static void a_seed_and_a_place_have_draws_of_their_own(void)
{
    fr_tiny tiny;
    open_tiny(&tiny);
    texts first = generate(&tiny, &(fr_sample_params){100.0, 0, 1.0, 1, NULL}, N_ROWS);
    texts again = generate(&tiny, &(fr_sample_params){100.0, 0, 1.0, 1, NULL}, N_ROWS);
    texts other = generate(&tiny, &(fr_sample_params){100.0, 0, 1.0, 2, NULL}, N_ROWS);
    fr_assert_same_bytes("the same seed", &again, &first, sizeof first);
    CU_ASSERT_NOT_EQUAL(memcmp(&other, &first, sizeof first), 0);
    /* at this temperature rows differ by their draws alone */
    CU_ASSERT_NOT_EQUAL(memcmp(first.ids[0], first.ids[1], sizeof first.ids[0]), 0);
    fr_tiny_close(&tiny);
}

/* What came without a mask does not come with one that names it. */
static void masked_ids_never_come(void)
{
    static const fr_sample_params WAYS[] = {{0.0, 0, 1.0, 1, NULL},
                                            {2.0, 30, 1.0, 1, NULL}};
    fr_tiny tiny;
    open_tiny(&tiny);
    for (int i = 0; i < FR_N_CASES(WAYS); i++) {
        uint8_t never[VOCAB] = {0};
        texts free_choice = generate(&tiny, &WAYS[i], N_ROWS);
        for (int n = 0; n < N_ROWS * N_NEW; n++) {
            never[free_choice.ids[n / N_NEW][n % N_NEW]] = 1;
        }
        fr_sample_params masked = WAYS[i];
        masked.never_V = never;
        texts got = generate(&tiny, &masked, N_ROWS);
        for (int n = 0; n < N_ROWS * N_NEW; n++) {
            CU_ASSERT_EQUAL(never[got.ids[n / N_NEW][n % N_NEW]], 0);
        }
    }
    fr_tiny_close(&tiny);
}

static const fr_case CASES[] = {
    FR_CASE(tokens_do_not_depend_on_the_other_rows),
    FR_CASE(a_seed_and_a_place_have_draws_of_their_own),
    FR_CASE(masked_ids_never_come),
};

int main(int argc, char **argv)
{
    return fr_suite_main("generate", CASES, FR_N_CASES(CASES), argc, argv);
}
