/*
 * hang.h - who is to blame when a rank has waited too long, and the table of who waits for whom.
 *
 * Pure functions of what one rank has seen of all ranks: they read no clock and no file, and allocate nothing.
 */
#ifndef FR_COMM_HANG_H
#define FR_COMM_HANG_H

#include "comm/rank_line.h"

#include <stddef.h>

/** What one rank, the looker, has seen of another. Clocks of two hosts are never compared: the age of a beat is the
 * looker's own time since the beat last changed, and a span of a line is the difference of that line's two times. */
typedef struct fr_sighting {
    fr_rank_line line; /* as read last; before the first read only `rank` is set */
    bool is_known;     /* its line could be read */
    bool is_beating;   /* its beat changed while it was looked at */
    int64_t silent_ms; /* since its beat changed, or since the first look */
} fr_sighting;

typedef enum fr_hang {
    FR_HANG_NONE, /* a rank that others wait for is alive, or may be: wait on */
    FR_HANG_SILENT, /* ranks whose lines have not changed: they have stopped or were cut off */
    FR_HANG_LEFT, /* ranks that have ended or failed while others wait for them */
    FR_HANG_COMPUTING, /* alive, but they or their devices compute for longer than the timeout */
    FR_HANG_ALL_WAIT /* all are alive, and each has waited for longer than the timeout */
} fr_hang;

/** A rank whose beat is older than this counts as stopped: 3 s or half the timeout, whichever is more. */
int64_t fr_hang_silence_ms(int64_t timeout_ms);

/**
 * The verdict of a rank that has waited for longer than the timeout: the first kind behind FR_HANG_NONE that
 * applies. FR_HANG_NONE if none does: it is not clear yet whether some rank is alive, or an alive rank loads or saves and
 * none computes for too long.
 */
fr_hang fr_hang_judge(const fr_sighting *ranks, int n_ranks, int64_t timeout_ms);

/** Whether the verdict blames this rank (FR_HANG_ALL_WAIT: all that have waited for so long). */
bool fr_hang_is_culprit(fr_hang hang, const fr_sighting *rank, int64_t timeout_ms);

/** Words of a report that depend on how ranks hear of each other. */
typedef struct fr_hang_terms {
    const char *limit;   /* the setting that holds the timeout */
    const char *unheard; /* in brackets behind the number of a rank without a line */
    const char *unseen;  /* what may have happened to such a rank */
    const char *remedy;
} fr_hang_terms;
extern const fr_hang_terms FR_HANG_BY_FILES;    /* a run: line files in its folder */
extern const fr_hang_terms FR_HANG_BY_MESSAGES; /* commands without a run folder */

/** Bytes that a report of so many ranks takes at most. */
size_t fr_hang_report_bytes(int n_ranks);

/**
 * Writes a line that names the culprits with their hosts and since when, a heading that contains "who waits for
 * whom", and one row for each rank. The text ends with a zero and is cut where it does not fit.
 * @return characters written
 */
size_t fr_hang_report(fr_hang hang, const fr_sighting *ranks, int n_ranks,
                      int64_t timeout_ms, const fr_hang_terms *terms, char *text,
                      size_t bytes);

#endif
