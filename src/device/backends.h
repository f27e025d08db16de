/*
 * backends.h - the backends that a program is linked with. For kinds.c; a test program may define its own list.
 */
#ifndef FR_DEVICE_BACKENDS_H
#define FR_DEVICE_BACKENDS_H

#include "device/backend.h"

/** Ends with NULL; "auto" takes the first of which there is a device (fr_device_settle). */
extern const fr_backend *const fr_backends[];

#endif
