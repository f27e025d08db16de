/*
 * hang.h - who is to blame when a rank has waited too long, and the table of who waits for whom.
 *
 * Layer L2; uses slot. Pure functions over what one rank has seen of all; no clock, no file, no allocation.
 */
#ifndef FR_COMM_HANG_H
#define FR_COMM_HANG_H

#include "comm/rank_line.h"

#include <stddef.h>

/** What one rank has seen of another. Clocks of two hosts are never compared: the age of a beat is the
 * looker's own time since the beat last changed, and spans of a slot are differences of its own two times. */
typedef struct fr_sighting {
    fr_rank_line slot; /* as read last; of a rank never read only `rank` holds */
    bool is_known;     /* its slot could be read */
    bool is_beating;   /* its beat changed while it was looked at */
    int64_t silent_ms; /* since its beat changed, or since the first look */
} fr_sighting;

typedef enum fr_hang {
    FR_HANG_NONE,      /* somebody is alive and may yet come: wait on */
    FR_HANG_SILENT,    /* ranks that have stopped or were cut off */
    FR_HANG_LEFT,      /* ranks that have ended or failed while others wait for them */
    FR_HANG_COMPUTING, /* alive ranks that have computed for longer than the timeout */
    FR_HANG_ALL_WAIT   /* alive, and each has waited for longer than the timeout */
} fr_hang;

/** A beat older than this means a stopped rank: 3 s or half the timeout, whichever is more. */
int64_t fr_hang_silence_ms(int64_t timeout_ms);

/**
 * The verdict of a rank that has waited for longer than the timeout. The worst kind found is given, in the
 * order of the enum; a rank that cannot be told dead from alive yet gives FR_HANG_NONE, as does one that
 * loads or saves.
 */
fr_hang fr_hang_judge(const fr_sighting *ranks, int n_ranks, int64_t timeout_ms);

/** Whether this rank is one of those that the verdict means (for FR_HANG_ALL_WAIT: all). */
bool fr_hang_is_culprit(fr_hang hang, const fr_sighting *rank, int64_t timeout_ms);

/** What a report calls the things that depend on how ranks hear of each other. */
typedef struct fr_hang_terms {
    const char *limit;   /* whose seconds have passed */
    const char *unheard; /* of a rank, in brackets behind its number */
    const char *unseen;  /* what may have become of a rank that was never heard of */
    const char *remedy;
} fr_hang_terms;
extern const fr_hang_terms FR_HANG_BY_FILES;    /* a run, slot files in its folder */
extern const fr_hang_terms FR_HANG_BY_MESSAGES; /* commands without a run folder */

/** Room that a report of so many ranks takes at most. */
size_t fr_hang_report_bytes(int n_ranks);

/**
 * One line that names the culprits, with host and since when, a heading that holds "who waits for whom", and
 * a row a rank; closed by a zero, cut where it does not fit.
 * @return characters written
 */
size_t fr_hang_report(fr_hang hang, const fr_sighting *ranks, int n_ranks,
                      int64_t timeout_ms, const fr_hang_terms *terms, char *text,
                      size_t bytes);

#endif
