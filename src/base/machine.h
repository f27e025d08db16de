/*
 * machine.h - facts of the machine that the process runs on. What control groups and ulimits leave of it: limits.h.
 */
#ifndef FR_BASE_MACHINE_H
#define FR_BASE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The host's name, cut off where `capacity` ends; `unknown` if the machine does not say it. */
void fr_machine_host(const char *unknown, char *out, size_t capacity);

/** Processors that the calling thread may run on; others may use them too. At least 1. */
int fr_machine_processors(void);

/** allowed[i] = 1 if the calling thread may run on processor i < count, else 0; processor 0 alone if the machine does not
 * say it. */
void fr_machine_processor_set(int64_t count, int64_t *allowed);

/** Bytes of all memory, and of a page. */
int64_t fr_machine_memory(void);
int64_t fr_machine_page_bytes(void);

#endif
