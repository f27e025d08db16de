#include "support/difference.h"

void fr_test_difference(fr_test_function function, const void *user, int64_t n,
                        int64_t step, double *x, float *derivative)
{
    const double h = 1e-3;
    for (int64_t i = 0; i < n; i += step) {
        double old = x[i];
        x[i] = old + h;
        double above = function(x, user);
        x[i] = old - h;
        double below = function(x, user);
        x[i] = old;
        derivative[i] = (float)((above - below) / (2 * h));
    }
}
