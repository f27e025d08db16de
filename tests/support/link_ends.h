/*
 * link_ends.h - a link over all ranks of the world, for tests, on a device that may be late: its marks pass only when they have
 * been looked at some times; its copies to the host arrive then, and hold other bytes before.
 *
 * For binaries whose link redirects fr_device_get, fr_device_mark and fr_device_passed of all statically linked code
 * here (tests/mpi/tests.cmake).
 */
#ifndef FR_TESTS_LINK_ENDS_H
#define FR_TESTS_LINK_ENDS_H

#include "comm/link.h"
#include "support/suite.h"

enum { FR_ENDS_PIECE = 64, FR_ENDS_STREAMS = 4, FR_ENDS_MAX_BYTES = 9 << 20 };

/** What a link is opened as, and by how many looks at a mark the device is late. */
typedef struct fr_ends_mode {
    fr_link_kind kind;
    int delay;
    int64_t piece; /* see fr_link_params */
} fr_ends_mode;

/** One rank's end of everything; owned. */
typedef struct fr_ends {
    fr_group *world;
    fr_device *device;
    fr_link *link;
    fr_link_kind kind;
    int rank;
    int size;
} fr_ends;

/** Collective over the world of fr_suite_main_mpi; ends the case if it cannot. */
void fr_ends_open(const fr_ends_mode *mode, fr_ends *out);
void fr_ends_close(fr_ends *ends);

/** From now on no mark of this rank's device passes, or they pass again. For a device that is late. */
void fr_ends_hang(bool hangs);
bool fr_ends_is_hanging(void);

/** Zeroed memory, which the caller frees. */
unsigned char *fr_ends_bytes(int64_t bytes);
/** A pattern that differs by seed and does not repeat. */
void fr_ends_fill(unsigned char *data, int64_t bytes, int seed);
int64_t fr_ends_unlike(const unsigned char *data, int64_t bytes, int seed);

/** Join, which must succeed. */
void fr_ends_join(const fr_ends *ends, fr_transfer *transfer);

#endif
