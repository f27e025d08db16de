/*
 * rank_line.h - a rank's line in the run folder: where it is and when it last gave a sign of life.
 *
 * Layer L2. A slot file holds one line of key=value pairs, padded with spaces to one size, so that it is
 * rewritten in place by one write:
 *
 *   slot=1.0 rank=3 host=node2 pid=1234 status=running state=waiting what=forward peer=2 step=12 task=debdesc
 *   microbatch=3 since=1732488000.123 beat=1732488010.456
 *
 * The first pair is the format's version, major.minor (docs/format-slot.md); lines without it are older and mean the
 * same. Values hold no spaces; an unknown number is -1 and an unknown word `-`. Times are seconds of the rank's
 * own wall clock. Used by threads, so nothing here takes a context, allocates, or keeps anything.
 */
#ifndef FR_COMM_RANK_LINE_H
#define FR_COMM_RANK_LINE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FR_RANK_LINE_BYTES = 512, /* with the newline */
    FR_RANK_LINE_MAJOR = 1,
    FR_RANK_LINE_MINOR = 0,
    FR_RANK_LINE_HOST_BYTES = 64,
    FR_RANK_LINE_WORD_BYTES = 24,
    FR_RANK_LINE_TASK_BYTES = 128
};

typedef enum fr_rank_line_status {
    FR_RANK_LINE_RUNNING,
    FR_RANK_LINE_ENDED, /* left as it should */
    FR_RANK_LINE_FAILED /* left with an error */
} fr_rank_line_status;

typedef struct fr_rank_line {
    int rank;
    char host[FR_RANK_LINE_HOST_BYTES];
    int64_t pid;
    fr_rank_line_status status;
    char state
        [FR_RANK_LINE_WORD_BYTES]; /* computing, waiting, or a phase such as saving */
    char what[FR_RANK_LINE_WORD_BYTES]; /* what is waited for */
    int peer;                           /* world rank; -1: all, or nobody */
    int64_t step;
    char task[FR_RANK_LINE_TASK_BYTES];
    int64_t microbatch;
    int64_t since_ms; /* begin of this state */
    int64_t beat_ms;  /* last sign of life */
} fr_rank_line;

/** "running", "ended" or "failed". */
const char *fr_rank_line_status_name(fr_rank_line_status status);

/** Copy a word into a field: cut to its size, what is no printable character replaced, "-" for nothing. */
void fr_rank_line_word(const char *word, char *field, int bytes);

/** The line: FR_RANK_LINE_BYTES - 1 characters and a newline; no closing zero. */
void fr_rank_line_format(const fr_rank_line *slot, char line[FR_RANK_LINE_BYTES]);
/** False if it is no whole line, for instance one that is just being rewritten, or of another major version, or none that
 * fr_rank_line_format writes: printable characters, numbers within their types, times from 0 to INT64_MAX / 2. Pairs that a
 * higher minor version adds behind the known ones are ignored. */
bool fr_rank_line_parse(const char line[FR_RANK_LINE_BYTES], fr_rank_line *out);

/** Opens and closes the file each time: on a network folder that is what shows it to other nodes.
 * @return false, with errno, if the file could not be written */
bool fr_rank_line_write(const char *path, const fr_rank_line *slot);
/** False if the file is missing or holds no whole line. */
bool fr_rank_line_read(const char *path, fr_rank_line *out);

#endif
