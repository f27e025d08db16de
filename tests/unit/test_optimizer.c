#include "support/suite.h"
#include "train/step/optimizer.h"

#include <math.h>
#include <string.h>

static fr_task_config adamw_config(void)
{
    fr_task_config task;
    memset(&task, 0, sizeof task);
    task.optimizer.kind = FR_ADAMW;
    task.optimizer.lr = 0.1;
    task.optimizer.beta1 = 0.9;
    task.optimizer.beta2 = 0.999;
    task.optimizer.eps = 1e-8;
    return task;
}

static void check_near(double got, double wanted, double tolerance)
{
    CU_ASSERT_DOUBLE_EQUAL(got, wanted, tolerance);
}

static void constant_schedule_stays_at_lr(void)
{
    fr_task_config task = adamw_config();
    check_near(fr_learning_rate(&task, 0, 100), 0.1, 0.0);
    check_near(fr_learning_rate(&task, 99, 100), 0.1, 0.0);
    check_near(fr_learning_rate(&task, 500, 100), 0.1, 0.0);
}

static void warmup_rises_linearly_to_lr(void)
{
    fr_task_config task = adamw_config();
    task.optimizer.warmup = 4;
    check_near(fr_learning_rate(&task, 0, 10), 0.025, 1e-15);
    check_near(fr_learning_rate(&task, 1, 10), 0.05, 1e-15);
    check_near(fr_learning_rate(&task, 3, 10), 0.1, 1e-15);
    check_near(fr_learning_rate(&task, 4, 10), 0.1, 1e-15);
}

static void linear_schedule_ends_at_zero(void)
{
    fr_task_config task = adamw_config();
    task.optimizer.schedule = FR_SCHEDULE_LINEAR;
    task.optimizer.warmup = 2;
    check_near(fr_learning_rate(&task, 1, 10), 0.1, 1e-15);
    check_near(fr_learning_rate(&task, 2, 10), 0.1, 1e-15);
    check_near(fr_learning_rate(&task, 6, 10), 0.05, 1e-15);
    check_near(fr_learning_rate(&task, 9, 10), 0.0125, 1e-15);
    check_near(fr_learning_rate(&task, 10, 10), 0.0, 0.0);
    check_near(fr_learning_rate(&task, 11, 10), 0.0, 0.0);
}

static void cosine_schedule_passes_its_known_points(void)
{
    fr_task_config task = adamw_config();
    task.optimizer.schedule = FR_SCHEDULE_COSINE;
    check_near(fr_learning_rate(&task, 0, 12), 0.1, 1e-15);
    check_near(fr_learning_rate(&task, 4, 12), 0.075, 1e-15);
    check_near(fr_learning_rate(&task, 6, 12), 0.05, 1e-15);
    check_near(fr_learning_rate(&task, 8, 12), 0.025, 1e-15);
    check_near(fr_learning_rate(&task, 12, 12), 0.0, 1e-15);
}

static void warmup_longer_than_the_run_only_rises(void)
{
    fr_task_config task = adamw_config();
    task.optimizer.schedule = FR_SCHEDULE_COSINE;
    task.optimizer.warmup = 100;
    for (int64_t step = 0; step < 10; step++) {
        check_near(fr_learning_rate(&task, step, 10), 0.1 * (double)(step + 1) / 100.0,
                   1e-15);
    }
}

static void clip_leaves_small_norm_alone(void)
{
    CU_ASSERT_EQUAL(fr_clip_factor(0.5, 1.0), 1.0);
    CU_ASSERT_EQUAL(fr_clip_factor(1.0, 1.0), 1.0);
    CU_ASSERT_EQUAL(fr_clip_factor(0.0, 1.0), 1.0);
}

static void clip_scales_large_norm_to_the_limit(void)
{
    CU_ASSERT_EQUAL(fr_clip_factor(4.0, 1.0), 0.25);
    check_near(4.0 * fr_clip_factor(4.0, 0.3), 0.3, 1e-15);
}

static void clip_zero_means_none(void)
{
    CU_ASSERT_EQUAL(fr_clip_factor(1e30, 0.0), 1.0);
}

/* Step 0: mhat = g and shat = g^2, so the step is lr * sign(g) whatever the size of g. */
static void first_adamw_step_is_lr_times_sign(void)
{
    fr_task_config task = adamw_config();
    float value[3] = {1.0f, 1.0f, 1.0f};
    float gradient[3] = {0.5f, -200.0f, 0.0f};
    float m[3] = {0};
    float s[3] = {0};
    fr_update update = {3, value, gradient, m, s};
    fr_optimizer_update(&task, 0, 0.1, 1.0, &update);
    float wanted[3] = {0.9f, 1.1f, 1.0f};
    fr_assert_close("values", value, wanted, 3, 1e-6);
    float wanted_m[3] = {0.05f, -20.0f, 0.0f};
    float wanted_s[3] = {0.00025f, 40.0f, 0.0f};
    fr_assert_close("m", m, wanted_m, 3, 1e-6);
    fr_assert_close("s", s, wanted_s, 3, 1e-6);
}

/* By hand, b1 = b2 = 0.5, eps = 1, g = 2 then -1, v = 1, lr = 0.1:
 * step 0: m = 1, s = 2, mhat = 2, shat = 4: v = 1 - 0.1 * 2/(2+1) = 14/15
 * step 1: m = 0, s = 1.5, mhat = 0: v stays. Step 2 with g = 3: m = 1.5, s = 5.25, mhat = 12/7,
 * shat = 6: v = 14/15 - 0.1 * (12/7)/(sqrt(6)+1) */
static void three_adamw_steps_match_hand_numbers(void)
{
    fr_task_config task = adamw_config();
    task.optimizer.beta1 = 0.5;
    task.optimizer.beta2 = 0.5;
    task.optimizer.eps = 1.0;
    static const float GRADIENT[3] = {2.0f, -1.0f, 3.0f};
    double third = 14.0 / 15.0 - 0.1 * (12.0 / 7.0) / (sqrt(6.0) + 1.0);
    const double wanted[3] = {14.0 / 15.0, 14.0 / 15.0, third};
    const double wanted_s[3] = {2.0, 1.5, 5.25};
    float value = 1.0f;
    float m = 0.0f;
    float s = 0.0f;
    for (int64_t step = 0; step < 3; step++) {
        fr_update update = {1, &value, &GRADIENT[step], &m, &s};
        fr_optimizer_update(&task, step, 0.1, 1.0, &update);
        check_near((double)value, wanted[step], 1e-6);
        check_near((double)s, wanted_s[step], 1e-6);
    }
    check_near((double)m, 1.5, 1e-6);
}

static void adamw_decay_is_decoupled_from_the_gradient(void)
{
    fr_task_config task = adamw_config();
    task.optimizer.weight_decay = 0.5;
    float value[2] = {2.0f, -2.0f};
    float gradient[2] = {0.0f, 0.0f};
    float m[2] = {0};
    float s[2] = {0};
    fr_update update = {2, value, gradient, m, s};
    fr_optimizer_update(&task, 0, 0.1, 1.0, &update);
    float wanted[2] = {1.9f, -1.9f};
    fr_assert_close("decayed", value, wanted, 2, 1e-6);
    CU_ASSERT_EQUAL(m[0], 0.0f);
    CU_ASSERT_EQUAL(s[1], 0.0f);
}

static void scale_multiplies_the_gradient_in_both_moments(void)
{
    fr_task_config task = adamw_config();
    float value[2] = {0.0f, 0.0f};
    float gradient[2] = {4.0f, 2.0f};
    float m[2] = {0};
    float s[2] = {0};
    fr_update whole = {1, &value[0], &gradient[0], &m[0], &s[0]};
    fr_update scaled = {1, &value[1], &gradient[0], &m[1], &s[1]};
    fr_update direct = {1, &value[0], &gradient[1], &m[0], &s[0]};
    fr_optimizer_update(&task, 0, 0.1, 0.5, &scaled);
    fr_optimizer_update(&task, 0, 0.1, 1.0, &direct);
    CU_ASSERT_EQUAL(value[0], value[1]);
    CU_ASSERT_EQUAL(m[0], m[1]);
    CU_ASSERT_EQUAL(s[0], s[1]);
    fr_optimizer_update(&task, 1, 0.1, 1.0, &whole);
    CU_ASSERT_NOT_EQUAL(m[0], m[1]);
}

static void sgd_takes_the_plain_step_and_no_moments(void)
{
    fr_task_config task = adamw_config();
    task.optimizer.kind = FR_SGD;
    task.optimizer.weight_decay = 0.25;
    float value[2] = {1.0f, -4.0f};
    float gradient[2] = {2.0f, 6.0f};
    fr_update update = {2, value, gradient, NULL, NULL};
    fr_optimizer_update(&task, 7, 0.5, 0.5, &update);
    /* 1 - 0.5 (2/2 + 0.25) and -4 - 0.5 (6/2 - 1) */
    CU_ASSERT_EQUAL(value[0], 0.375f);
    CU_ASSERT_EQUAL(value[1], -5.0f);
}

static void zero_values_are_left_alone(void)
{
    fr_task_config task = adamw_config();
    float value = 3.0f;
    float m = 1.0f;
    float s = 2.0f;
    float gradient = 1.0f;
    fr_update none = {0, &value, &gradient, &m, &s};
    fr_optimizer_update(&task, 0, 0.1, 1.0, &none);
    CU_ASSERT_TRUE(value == 3.0f && m == 1.0f && s == 2.0f);
}

static void adamw_reaches_the_minimum_of_a_parabola(void)
{
    fr_task_config task = adamw_config();
    task.optimizer.schedule = FR_SCHEDULE_COSINE;
    enum { STEPS = 300 };
    float value = 5.0f;
    float m = 0.0f;
    float s = 0.0f;
    for (int64_t step = 0; step < STEPS; step++) {
        float gradient = 2.0f * (value - 1.5f);
        fr_update update = {1, &value, &gradient, &m, &s};
        fr_optimizer_update(&task, step, fr_learning_rate(&task, step, STEPS), 1.0,
                            &update);
    }
    check_near((double)value, 1.5, 0.01);
}

static const fr_case CASES[] = {
    FR_CASE(constant_schedule_stays_at_lr),
    FR_CASE(warmup_rises_linearly_to_lr),
    FR_CASE(linear_schedule_ends_at_zero),
    FR_CASE(cosine_schedule_passes_its_known_points),
    FR_CASE(warmup_longer_than_the_run_only_rises),
    FR_CASE(clip_leaves_small_norm_alone),
    FR_CASE(clip_scales_large_norm_to_the_limit),
    FR_CASE(clip_zero_means_none),
    FR_CASE(first_adamw_step_is_lr_times_sign),
    FR_CASE(three_adamw_steps_match_hand_numbers),
    FR_CASE(adamw_decay_is_decoupled_from_the_gradient),
    FR_CASE(scale_multiplies_the_gradient_in_both_moments),
    FR_CASE(sgd_takes_the_plain_step_and_no_moments),
    FR_CASE(zero_values_are_left_alone),
    FR_CASE(adamw_reaches_the_minimum_of_a_parabola),
};

int main(int argc, char **argv)
{
    return fr_suite_main("optimizer", CASES, FR_N_CASES(CASES), argc, argv);
}
