/* Scoring answers while allocations fail. */
#include "support/fault.h"
#include "train/scores/scores.h"

static fr_status score(fr_ctx *ctx, void *argument)
{
    static const fr_text REFERENCES[] = {{"the cat, 1.5 mats", 17}, {"a dog", 5}};
    fr_score_sums sums = {0};
    fr_row_scores row;
    (void)argument;
    return fr_scores_add(ctx, fr_text_of("The cat & the mat."), REFERENCES, 2, &sums,
                         &row);
}

static void a_row(void)
{
    CU_ASSERT(fr_fault_sweep("scores of a row", score, NULL) > 10);
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {FR_CASE(a_row)};
    return fr_suite_main("scores", CASES, FR_N_CASES(CASES), argc, argv);
}
