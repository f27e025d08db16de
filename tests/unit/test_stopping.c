#include "train/step/stopping.h"

#include "support/suite.h"

#include <math.h>

/* Ten steps, three skipped ones, patience 2, below 1.5; at step 5 nothing holds. */
static const fr_stop_rules RULES = {10, 3, 2, 1.5};
static const fr_stop_facts GOES_ON = {5, 2, 1, 1.5};

static fr_stop_reason decide(const fr_stop_facts *facts)
{
    return fr_stop_decide(&RULES, facts);
}

static void a_task_goes_on_until_a_rule_holds(void)
{
    CU_ASSERT_EQUAL(decide(&GOES_ON), FR_STOP_NONE);
    fr_stop_facts facts = GOES_ON;
    facts.step = 10;
    CU_ASSERT_EQUAL(decide(&facts), FR_STOP_STEPS);
    facts = GOES_ON;
    facts.skipped_in_row = 3;
    CU_ASSERT_EQUAL(decide(&facts), FR_STOP_NONFINITE);
    facts = GOES_ON;
    facts.stale_validations = 2;
    CU_ASSERT_EQUAL(decide(&facts), FR_STOP_PATIENCE);
    facts = GOES_ON;
    facts.valid_loss = 1.4999;
    CU_ASSERT_EQUAL(decide(&facts), FR_STOP_BELOW);
}

static void rules_of_zero_never_hold(void)
{
    fr_stop_rules rules = RULES;
    rules.patience = 0;
    rules.stop_below = 0.0;
    fr_stop_facts facts = {5, 0, 1000, 0.0};
    CU_ASSERT_EQUAL(fr_stop_decide(&rules, &facts), FR_STOP_NONE);
}

static void no_validation_and_no_number_are_not_below(void)
{
    fr_stop_facts facts = GOES_ON;
    facts.valid_loss = (double)INFINITY;
    CU_ASSERT_EQUAL(decide(&facts), FR_STOP_NONE);
    facts.valid_loss = (double)NAN;
    CU_ASSERT_EQUAL(decide(&facts), FR_STOP_NONE);
}

static void a_failure_outranks_the_other_reasons(void)
{
    fr_stop_facts facts = {10, 3, 2, 0.0};
    CU_ASSERT_EQUAL(decide(&facts), FR_STOP_NONFINITE);
    facts.skipped_in_row = 0;
    CU_ASSERT_EQUAL(decide(&facts), FR_STOP_STEPS);
    facts.step = 9;
    CU_ASSERT_EQUAL(decide(&facts), FR_STOP_BELOW);
}

static void validations_are_counted(void)
{
    const fr_task_config config = {.patience = 2};
    fr_task task = {.config = &config,
                    .n_steps = 100,
                    .progress.step = 10,
                    .progress.best_loss = (double)INFINITY,
                    .progress.valid_loss = (double)INFINITY};
    CU_ASSERT_TRUE(fr_task_count_validation(&task, 2.0));
    CU_ASSERT_EQUAL(task.progress.best_step, 10);
    task.progress.step = 20;
    CU_ASSERT_FALSE(fr_task_count_validation(&task, 2.0));
    CU_ASSERT_EQUAL(fr_task_decide(&task, 5), FR_STOP_NONE);
    CU_ASSERT_FALSE(task.progress.stopped);
    task.progress.step = 30;
    CU_ASSERT_FALSE(fr_task_count_validation(&task, (double)NAN));
    CU_ASSERT_EQUAL(fr_task_decide(&task, 5), FR_STOP_PATIENCE);
    CU_ASSERT_TRUE(task.progress.stopped);
    CU_ASSERT_EQUAL(task.progress.best_step, 10);
    CU_ASSERT_DOUBLE_EQUAL(task.progress.best_loss, 2.0, 0.0);
    task.progress.step = 40;
    CU_ASSERT_TRUE(fr_task_count_validation(&task, 1.0));
    CU_ASSERT_EQUAL(task.progress.stale_validations, 0);
    CU_ASSERT_EQUAL(fr_task_decide(&task, 5), FR_STOP_NONE);
    CU_ASSERT_FALSE(task.progress.stopped);
}

static void reasons_have_names(void)
{
    CU_ASSERT_STRING_EQUAL(fr_stop_reason_name(FR_STOP_NONE), "");
    CU_ASSERT_STRING_EQUAL(fr_stop_reason_name(FR_STOP_STEPS), "steps");
    CU_ASSERT_STRING_EQUAL(fr_stop_reason_name(FR_STOP_BELOW), "stop_below");
    CU_ASSERT_STRING_EQUAL(fr_stop_reason_name(FR_STOP_PATIENCE), "patience");
    CU_ASSERT_STRING_EQUAL(fr_stop_reason_name(FR_STOP_NONFINITE), "nonfinite");
}

static const fr_case CASES[] = {
    FR_CASE(a_task_goes_on_until_a_rule_holds),
    FR_CASE(rules_of_zero_never_hold),
    FR_CASE(no_validation_and_no_number_are_not_below),
    FR_CASE(a_failure_outranks_the_other_reasons),
    FR_CASE(validations_are_counted),
    FR_CASE(reasons_have_names),
};

int main(int argc, char **argv)
{
    return fr_suite_main("stopping", CASES, FR_N_CASES(CASES), argc, argv);
}
