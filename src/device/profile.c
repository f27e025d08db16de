#include "device/profile.h"

/* In the order of fr_operator. */
const char *fr_operator_name(fr_operator which)
{
    static const char *const NAMES[FR_OPERATORS] = {
        "linear",    "linear back", "attention",  "attention back",  "norm",
        "norm back", "rope",        "activation", "activation back", "storage",
        "loss",      "exact sum"};
    return NAMES[which];
}
