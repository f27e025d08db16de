/*
 * rank_line.h - a rank's status line in the run folder: where the rank is and when it last gave a sign of life.
 *
 * A line file (rank-NNNN.slot) holds one line of key=value pairs. It is padded with spaces to one size, so that one write
 * replaces it in place:
 *
 *   slot=1.0 rank=3 host=node2 pid=1234 status=running state=waiting what=forward peer=2 step=12 task=debdesc
 *   microbatch=3 since=1732488000.123 beat=1732488010.456
 *
 * The first pair is the format's version, major.minor (docs/format-slot.md); lines without it are older and mean the
 * same. Values hold no spaces; an unknown number is -1 and an unknown word `-`. Times are seconds of the rank's
 * own wall clock. Threads use these functions, so none of them takes a context, allocates, or has a state.
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
    FR_RANK_LINE_ENDED, /* left without an error */
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
    int peer; /* world rank that is waited for; -1: all, or none */
    int64_t step;
    char task[FR_RANK_LINE_TASK_BYTES];
    int64_t microbatch;
    int64_t since_ms; /* begin of this state */
    int64_t beat_ms;  /* last sign of life */
} fr_rank_line;

/** "running", "ended" or "failed". */
const char *fr_rank_line_status_name(fr_rank_line_status status);

/** Copy a word into a field, cut to the field's size. A space or a character that is not printable becomes `_`; NULL or an
 * empty word becomes `-`. */
void fr_rank_line_word(const char *word, char *field, int bytes);

/** The line: FR_RANK_LINE_BYTES - 1 characters and a newline; no closing zero. */
void fr_rank_line_format(const fr_rank_line *line, char text[FR_RANK_LINE_BYTES]);
/** False for a line that is not whole (it may be just being rewritten), that has another major version, or that
 * fr_rank_line_format cannot have written: it writes printable characters, numbers within their types, and times from 0
 * to INT64_MAX / 2. Pairs that a higher minor version adds behind the known ones are ignored. */
bool fr_rank_line_parse(const char text[FR_RANK_LINE_BYTES], fr_rank_line *out);

/** Opens and closes the file each time: on a network folder, closing is what makes the line visible to other nodes.
 * @return false, with errno, if the file could not be written */
bool fr_rank_line_write(const char *path, const fr_rank_line *line);
/** False if the file is missing or fr_rank_line_parse refuses its line. */
bool fr_rank_line_read(const char *path, fr_rank_line *out);

#endif
