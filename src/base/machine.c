#define _GNU_SOURCE /* sched_getaffinity */
#include "base/machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel refuses a set that is smaller than its own, and no kernel is built for more processors than this. */
enum { MAX_PROCESSORS = 8192 };

void fr_machine_host(const char *unknown, char *out, size_t capacity)
{
    memset(out, 0, capacity);
    (void)gethostname(out,
                      capacity - 1); /* fails for a name that it had to cut off, too */
    if (out[0] == '\0') {
        (void)snprintf(out, capacity, "%s", unknown);
    }
}

/* The caller frees it with CPU_FREE; NULL if the machine does not say it. */
static cpu_set_t *read_set(void)
{
    size_t bytes = CPU_ALLOC_SIZE(MAX_PROCESSORS);
    cpu_set_t *set = CPU_ALLOC(MAX_PROCESSORS);
    if (set != NULL) {
        CPU_ZERO_S(bytes, set);
        if (sched_getaffinity(0, bytes, set) != 0) {
            CPU_FREE(set);
            set = NULL;
        }
    }
    return set;
}

/* Processors that this process may use, which may be fewer than the machine has: launchers and containers bind
 * processes. */
int fr_machine_processors(void)
{
    cpu_set_t *set = read_set();
    int n = set != NULL ? CPU_COUNT_S(CPU_ALLOC_SIZE(MAX_PROCESSORS), set) : 0;
    CPU_FREE(set);
    if (n < 1) {
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    }
    return n > 1 ? n : 1;
}

/* Without an answer, processor 0 stands for the one that every process has. */
void fr_machine_processor_set(int64_t count, int64_t *allowed)
{
    size_t bytes = CPU_ALLOC_SIZE(MAX_PROCESSORS);
    cpu_set_t *set = read_set();
    for (int64_t i = 0; i < count; i++) {
        bool is_in = set != NULL
                         ? i < MAX_PROCESSORS && CPU_ISSET_S((size_t)i, bytes, set)
                         : i == 0;
        allowed[i] = is_in ? 1 : 0;
    }
    CPU_FREE(set);
}

/* All of it, used or not; limits.h says what is free. */
int64_t fr_machine_memory(void)
{
    return (int64_t)sysconf(_SC_PHYS_PAGES) * fr_machine_page_bytes();
}

int64_t fr_machine_page_bytes(void)
{
    return (int64_t)sysconf(_SC_PAGESIZE);
}
