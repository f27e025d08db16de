/*
 * device_memory.h - numbers between a test and the memory of any device (device/memory.h). What goes wrong fails the test.
 */
#ifndef FR_TESTS_DEVICE_MEMORY_H
#define FR_TESTS_DEVICE_MEMORY_H

#include "device/memory.h"

/** The first device of the list that the test is linked with (device/backends.h); the caller destroys it. */
fr_device *fr_test_any_device(int n_threads);

/** n zeroed elements of `size` bytes in the device; freed with fr_device_free. */
void *fr_test_room(fr_device *device, int64_t n, size_t size);

/** The same with what the host has at `from`, which stays as it is. */
void *fr_test_bring(fr_device *device, const void *from, int64_t n, size_t size);

/** What the device has, waited for: `to` holds the bytes at return. */
void fr_test_fetch(fr_device *device, void *to, const void *from, int64_t bytes);

/** The same of memory that is then freed; NULL: there is none to free. */
void fr_test_fetch_last(fr_device *device, void *to, void *from, int64_t bytes);

#endif
