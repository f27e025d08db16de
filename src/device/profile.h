/*
 * profile.h - the time that each operator of a device takes.
 *
 * It is off until fr_device_profile_start; then it costs two clock readings a call.
 */
#ifndef FR_DEVICE_PROFILE_H
#define FR_DEVICE_PROFILE_H

#include "device/device.h"

typedef enum fr_operator {
    FR_OP_LINEAR,
    FR_OP_LINEAR_BACK,
    FR_OP_ATTENTION,
    FR_OP_ATTENTION_BACK,
    FR_OP_NORM,
    FR_OP_NORM_BACK,
    FR_OP_ROPE,
    FR_OP_ACTIVATION,
    FR_OP_ACTIVATION_BACK,
    FR_OP_STORAGE, /* save, restore, copy, zero, rows that move, add, bias */
    FR_OP_LOSS,    /* and the choice of tokens */
    FR_OP_EXACT,
    FR_OPERATORS
} fr_operator;

/** What the calls of one operator took together: integers, so that ranks can add them up. */
typedef struct fr_operator_time {
    int64_t calls;
    int64_t ns;    /* wall time of the calling thread */
    int64_t flops; /* of matrix products; else 0 */
} fr_operator_time;

/** "linear", ...: for people. */
const char *fr_operator_name(fr_operator which);

/** Begin to count, from nothing. */
void fr_device_profile_start(fr_device *device);
/** What was counted since; one entry an operator. */
const fr_operator_time *fr_device_profile(const fr_device *device);

#endif
