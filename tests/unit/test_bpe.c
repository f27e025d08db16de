#include "base/rng.h"
#include "model/text/bpe.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { A, B, C, AB, BC, AA };

static fr_bpe *make(const fr_merge *merges, int64_t n)
{
    fr_bpe *bpe = NULL;
    FR_ASSERT_OK(fr_bpe_create(fr_test_ctx(), "test", merges, NULL, n, &bpe));
    CU_ASSERT_PTR_NOT_NULL_FATAL(bpe);
    return bpe;
}

/* Merge `ids` and compare with the first n of `wanted`. */
static void check(const fr_bpe *bpe, int32_t *ids, int64_t n_ids, const int32_t *wanted,
                  int64_t n)
{
    fr_bpe_scratch scratch = {0};
    int64_t left = -1;
    FR_ASSERT_OK(fr_bpe_merge(fr_test_ctx(), bpe, &scratch, ids, n_ids, &left));
    CU_ASSERT_EQUAL(left, n);
    if (left == n && n > 0) {
        fr_assert_same_bytes("merged", ids, wanted, (size_t)n * sizeof *ids);
    }
    fr_bpe_scratch_fini(&scratch);
}

static void the_lowest_rank_goes_first(void)
{
    static const fr_merge BC_FIRST[] = {{B, C, BC}, {A, B, AB}};
    static const fr_merge AB_FIRST[] = {{A, B, AB}, {B, C, BC}};
    fr_bpe *bpe = make(BC_FIRST, 2);
    check(bpe, (int32_t[]){A, B, C}, 3, (int32_t[]){A, BC}, 2);
    fr_bpe_destroy(&bpe);
    bpe = make(AB_FIRST, 2);
    check(bpe, (int32_t[]){A, B, C}, 3, (int32_t[]){AB, C}, 2);
    fr_bpe_destroy(&bpe);
}

static void the_leftmost_of_equal_rank_goes_first(void)
{
    static const fr_merge MERGES[] = {{A, A, AA}};
    fr_bpe *bpe = make(MERGES, 1);
    check(bpe, (int32_t[]){A, A, A}, 3, (int32_t[]){AA, A}, 2);
    check(bpe, (int32_t[]){A, A, A, A, A}, 5, (int32_t[]){AA, AA, A}, 3);
    fr_bpe_destroy(&bpe);
}

static void nothing_and_one_symbol_stay(void)
{
    static const fr_merge MERGES[] = {{A, A, AA}};
    fr_bpe *bpe = make(MERGES, 1);
    check(bpe, (int32_t[]){A}, 0, NULL, 0);
    check(bpe, (int32_t[]){A}, 1, (int32_t[]){A}, 1);
    fr_bpe_destroy(&bpe);
    bpe = make(NULL, 0);
    check(bpe, (int32_t[]){A, A}, 2, (int32_t[]){A, A}, 2);
    fr_bpe_destroy(&bpe);
}

static void a_pair_listed_twice_is_refused(void)
{
    static const fr_merge MERGES[] = {{A, B, AB}, {B, C, BC}, {A, B, AA}};
    fr_bpe *bpe = NULL;
    FR_ASSERT_FAILS(fr_bpe_create(fr_test_ctx(), "some.file", MERGES, NULL, 3, &bpe),
                    FR_ERR_FORMAT, "some.file: merges 0 and 2");
    CU_ASSERT_PTR_NULL(bpe);
}

/* The definition: again and again the pair of lowest rank, of equals the leftmost. */
static int64_t merge_slowly(const fr_merge *merges, int n_merges, int32_t *ids,
                            int64_t n)
{
    for (;;) {
        int best = n_merges;
        int64_t best_at = 0;
        for (int64_t i = 0; i + 1 < n; i++) {
            for (int rank = 0; rank < best; rank++) {
                if (merges[rank].left == ids[i] && merges[rank].right == ids[i + 1]) {
                    best = rank;
                    best_at = i;
                }
            }
        }
        if (best == n_merges) {
            return n;
        }
        ids[best_at] = merges[best].merged;
        memmove(&ids[best_at + 1], &ids[best_at + 2],
                (size_t)(n - best_at - 2) * sizeof *ids);
        n--;
    }
}

/* Merges of random pairs of four letters and of what they made; a pair may make a token of an earlier
 * merge and ranks are in no sensible order, as in no trained vocabulary. */
static int random_merges(uint64_t trial, fr_merge *merges, int n)
{
    int kept = 0;
    for (int i = 0; i < n; i++) {
        uint64_t word = fr_rng_u64(trial, FR_RNG_TEST, 0, (uint64_t)i);
        fr_merge merge = {(int32_t)(word % 8), (int32_t)(word / 8 % 8),
                          (int32_t)(word / 64 % 8)};
        bool is_new = true;
        for (int j = 0; j < kept; j++) {
            is_new = is_new &&
                     (merges[j].left != merge.left || merges[j].right != merge.right);
        }
        if (is_new) {
            merges[kept++] = merge;
        }
    }
    return kept;
}

static void any_merges_give_what_the_definition_gives(void)
{
    enum { TRIALS = 300, LONGEST = 60, MAX = 24 };
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        fr_merge merges[MAX];
        int32_t ids[LONGEST];
        int32_t wanted[LONGEST];
        int n_merges = random_merges(trial, merges, MAX);
        int64_t n = (int64_t)(fr_rng_u64(trial, FR_RNG_TEST, 1, 0) % (LONGEST + 1));
        for (int64_t i = 0; i < n; i++) {
            ids[i] = (int32_t)(fr_rng_u64(trial, FR_RNG_TEST, 2, (uint64_t)i) % 4);
            wanted[i] = ids[i];
        }
        int64_t n_wanted = merge_slowly(merges, n_merges, wanted, n);
        fr_bpe *bpe = make(merges, n_merges);
        check(bpe, ids, n, wanted, n_wanted);
        fr_bpe_destroy(&bpe);
    }
}

/* 2^20 symbols in 20 doublings: a merge loop that looks at all symbols for each merge would take 10^12
 * steps and never end within the time limit. */
static void a_million_symbols_are_not_quadratic(void)
{
    enum { DOUBLINGS = 20 };
    fr_merge merges[DOUBLINGS];
    int64_t n = (int64_t)1 << DOUBLINGS;
    int32_t *ids = calloc((size_t)n, sizeof *ids);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ids);
    for (int i = 0; i < DOUBLINGS; i++) {
        merges[i] = (fr_merge){i, i, i + 1};
    }
    fr_bpe *bpe = make(merges, DOUBLINGS);
    check(bpe, ids, n, (int32_t[]){DOUBLINGS}, 1);
    fr_bpe_destroy(&bpe);
    free(ids);
}

static const fr_case CASES[] = {FR_CASE(the_lowest_rank_goes_first),
                                FR_CASE(the_leftmost_of_equal_rank_goes_first),
                                FR_CASE(nothing_and_one_symbol_stay),
                                FR_CASE(a_pair_listed_twice_is_refused),
                                FR_CASE(any_merges_give_what_the_definition_gives),
                                FR_CASE(a_million_symbols_are_not_quadratic)};

int main(int argc, char **argv)
{
    return fr_suite_main("bpe", CASES, FR_N_CASES(CASES), argc, argv);
}
