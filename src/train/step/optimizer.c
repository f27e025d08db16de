/* Learning rates and updates.
 *
 * All arithmetic is in double, and a stored value is rounded to float once. A square root is exactly rounded
 * everywhere. Powers and cosines come from elementary.h, because those of the C library differ in the last bit from
 * machine to machine, and all replicas must compute the same prefix without exchanging it. */
#include "train/step/optimizer.h"

#include "base/elementary.h"

#include <math.h>

double fr_learning_rate(const fr_task_config *task, int64_t step, int64_t n_steps)
{
    static const double PI = 3.14159265358979323846;
    double peak = task->optimizer.lr;
    int64_t warmup = task->optimizer.warmup;
    if (step < warmup) {
        return peak * (double)(step + 1) / (double)warmup;
    }
    /* A warm-up may be as long as the run: the divisor must stay positive. */
    int64_t span = n_steps > warmup ? n_steps - warmup : 1;
    /* A step may lie beyond n_steps where a resume lowered it: the rate then stays at its end. */
    double progress = fmin(1.0, (double)(step - warmup) / (double)span);
    switch (task->optimizer.schedule) {
    case FR_SCHEDULE_LINEAR:
        return peak * (1.0 - progress);
    case FR_SCHEDULE_COSINE:
        return peak * 0.5 * (1.0 + fr_cos(PI * progress));
    case FR_SCHEDULE_CONSTANT:
    default:
        return peak;
    }
}

/* In index order and on one thread: a sum in parallel parts would depend on their number. */
double fr_squared_norm(const float *values, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)values[i] * (double)values[i];
    }
    return sum;
}

/* A gradient that is within the limit keeps its bits, because it is multiplied by exactly 1. */
double fr_clip_factor(double norm, double clip)
{
    return clip > 0.0 && norm > clip ? clip / norm : 1.0;
}

/* Decay is scaled by the learning rate but not clipped: clipping concerns the gradient alone. */
static void update_sgd(const fr_task_config *task, double learning_rate, double scale,
                       const fr_update *u)
{
    double decay = task->optimizer.weight_decay;
    for (int64_t i = 0; i < u->n; i++) {
        double value = (double)u->value_N[i];
        double gradient = (double)u->gradient_N[i] * scale;
        u->value_N[i] = (float)(value - learning_rate * (gradient + decay * value));
    }
}

/* The step of the task counts, skipped steps included, so a resume corrects the bias as an uninterrupted run would. */
static void update_adamw(const fr_task_config *task, int64_t step, double learning_rate,
                         double scale, const fr_update *u)
{
    double beta1 = task->optimizer.beta1;
    double beta2 = task->optimizer.beta2;
    double decay = task->optimizer.weight_decay;
    double correct_m = 1.0 - fr_power(beta1, step + 1);
    double correct_s = 1.0 - fr_power(beta2, step + 1);
    for (int64_t i = 0; i < u->n; i++) {
        double gradient = (double)u->gradient_N[i] * scale;
        double m = beta1 * (double)u->m_N[i] + (1.0 - beta1) * gradient;
        double s = beta2 * (double)u->s_N[i] + (1.0 - beta2) * gradient * gradient;
        double value = (double)u->value_N[i];
        double direction =
            (m / correct_m) / (sqrt(s / correct_s) + task->optimizer.eps);
        u->m_N[i] = (float)m;
        u->s_N[i] = (float)s;
        u->value_N[i] = (float)(value - learning_rate * (direction + decay * value));
    }
}

void fr_optimizer_update(const fr_task_config *task, int64_t step, double learning_rate,
                         double scale, const fr_update *update)
{
    if (task->optimizer.kind == FR_SGD) {
        update_sgd(task, learning_rate, scale, update);
    } else {
        update_adamw(task, step, learning_rate, scale, update);
    }
}
