/*
 * devices.h - run a check on every kind of device that this processor can be.
 */
#ifndef FR_TESTS_DEVICES_H
#define FR_TESTS_DEVICES_H

#include "device/cpu/isa.h"
#include "device/device.h"

/** Call `body` with a device of each instruction set up to the processor's and 1, 2, 3, 4 threads. */
void fr_test_each_device(void (*body)(fr_device *device, void *user), void *user);

/** Call `body` with a one-thread device of each instruction set. */
void fr_test_each_isa(void (*body)(fr_device *device, void *user), void *user);

/** A device that the caller destroys; exits the test binary if it cannot be made. */
fr_device *fr_test_device(fr_isa isa, int n_threads);

/** The instruction set that the device was made for. */
fr_isa fr_test_isa(const fr_device *device);

/** n numbers uniform in [-scale, scale], a function of the stream alone; freed by the caller. */
float *fr_test_numbers(int64_t n, uint64_t stream, double scale);

/** n zeroed f32 numbers, freed by the caller. */
float *fr_test_zeros(int64_t n);

#endif
