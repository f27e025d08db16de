#include "model/rotation.h"

fr_rotation fr_rotation_plain(double theta, int64_t rotary)
{
    fr_rotation rotation = {.theta = theta, .rotary = rotary, .scale = 1.0};
    for (int i = 0; i < FR_ROTATION_MAX_PAIRS; i++) {
        rotation.divisors[i] = 1.0;
        rotation.long_divisors[i] = 1.0;
    }
    return rotation;
}
