/*
 * answers.h - the rows that a generation answers, on their way to the output, and what a killed generation leaves.
 *
 * One object a rank. Only rank 0 touches files; the caller spreads its status.
 *
 * If the output is a regular file, OUT, or does not exist yet:
 *   OUT.part       answers so far: whole lines in the order of the rows, each written by one call when it is due;
 *                  renamed to OUT when all are written. Until then OUT keeps its old content.
 *   OUT.part.info  what decides the answers (answers_record.h); locked while a process writes, removed with the last
 *                  answer. It is complete before OUT.part gets its first line.
 * Anything else (standard output, pipes, devices) gets the lines directly.
 */
#ifndef FR_CLI_ANSWERS_H
#define FR_CLI_ANSWERS_H

#include "cli/answers_record.h"
#include "model/text/tokenizer.h"

typedef struct fr_answers fr_answers;

typedef struct fr_answers_params {
    const char *path;         /* of the output; NULL: standard output */
    bool resume;              /* continue from OUT.part if it exists */
    bool overwrite;           /* start again, even if OUT.part holds answers */
    bool is_text;             /* answers are texts alone, not rows */
    bool has_logprobs;        /* rows get a member "logprobs" once they are answered */
    const char *const *stops; /* [n_stops] texts before which an answer's text ends */
    int64_t n_stops;
    /**
     * The object of row `index` as text: from '{' to '}', one line, valid UTF-8, without the members "generated" and
     * "generated_ids". Called on rank 0 alone, not where answers are texts alone. With has_logprobs, and only when the row is written,
     * its last member is "logprobs", a list with an object for each id.
     * @param[out] text  from malloc or fr_alloc; the caller frees
     */
    fr_status (*row)(void *user, int64_t index, char **text, size_t *bytes);
    void *user;
} fr_answers_params;

/**
 * Look at the existing files, and open an output that is written directly. Called before the model is loaded, so that it
 * fails early.
 * @return FR_OK; FR_ERR_ARG (options that do not fit together; OUT.part holds answers and neither option is given; it or OUT.part.info is not this program's); FR_ERR_IO (a folder, a symbolic link, held by another process)
 */
FR_MUST_CHECK fr_status fr_answers_open(fr_ctx *ctx, const fr_answers_params *params,
                                        fr_answers **out);

/**
 * Called when everything is ready to compute: continue from OUT.part, or create it.
 * @param tokenizer  borrowed; NULL: answers are ids alone
 * @param record     by fr_record_fill
 * @param[out] n_kept  rows, from the first on, whose answers exist; 0 on ranks other than 0
 * @return FR_OK; FR_ERR_ARG (the answers there were made with something else; a line among them is damaged); FR_ERR_IO
 */
FR_MUST_CHECK fr_status fr_answers_begin(fr_answers *answers,
                                         const fr_tokenizer *tokenizer,
                                         const fr_record *record, int64_t n_rows,
                                         int64_t *n_kept);

/** The answer to the next row: what fr_answers_begin kept is followed by n_kept, and so on. @return FR_OK; FR_ERR_IO; ... */
FR_MUST_CHECK fr_status fr_answers_write(fr_answers *answers, int64_t index,
                                         const fr_ids *ids);

/** All are written: put them in OUT's place. @return FR_OK; FR_ERR_IO: OUT.part is there still */
FR_MUST_CHECK fr_status fr_answers_end(fr_answers *answers);

/** One line, escaped, with its newline, that says how to continue, for a process that must exit; NULL: there is nothing to
 * continue from. */
const char *fr_answers_farewell(const fr_answers *answers);

/** Called before fr_answers_end, it keeps OUT.part and logs that, unless OUT.part is empty. Nulls the pointer, accepts
 * NULL inside. @return FR_OK; FR_ERR_IO where an output written directly cannot be closed */
FR_MUST_CHECK fr_status fr_answers_close(fr_answers **answers);

/* ---- for the tests, and among answers*.c ------------------------------------------------------ */

/** How ids become a text. */
typedef struct fr_answer_form {
    const fr_tokenizer *tokenizer; /* NULL: there are ids alone */
    const char *const *stops;
    int64_t n_stops;
} fr_answer_form;

/** The line of an answer, without newline: the row with "generated" (where there is a tokenizer) and "generated_ids". What
 * the ids decode to is made valid UTF-8. @param row  as fr_answers_params says   @param[out] line  the caller frees */
FR_MUST_CHECK fr_status fr_answer_line(fr_ctx *ctx, const fr_answer_form *form,
                                       const char *row, size_t row_bytes,
                                       const fr_ids *ids, char **line, size_t *bytes);

/** Text of ids up to a stop, special tokens left out, valid UTF-8; NULL without tokenizer. The caller frees. */
FR_MUST_CHECK fr_status fr_answer_text(fr_ctx *ctx, const fr_answer_form *form,
                                       const fr_ids *ids, char **text, size_t *bytes);

/** The ids at the end of an answer's line; false if there are none. May append some all the same. */
FR_MUST_CHECK fr_status fr_answer_ids(fr_ctx *ctx, const char *line, size_t bytes,
                                      fr_ids *ids, bool *are_there);

/** What a file of answers holds. */
typedef struct fr_answers_found {
    int64_t n_kept;    /* lines from the first on that are answers to their rows */
    size_t kept_bytes; /* of them */
    int64_t n_lines;   /* whole lines */
} fr_answers_found;

/**
 * Look through the bytes of OUT.part: every line must be what would be written for its row and the ids in it. A
 * last piece without newline, and one last line that is not an answer, are not kept: a kill or a power cut leaves no more.
 * @return FR_OK; FR_ERR_ARG if a line is not an answer and another one follows: answers that took hours are not discarded
 */
FR_MUST_CHECK fr_status fr_answers_scan(fr_ctx *ctx, const fr_answers_params *params,
                                        const fr_tokenizer *tokenizer, int64_t n_rows,
                                        const char *data, size_t bytes,
                                        fr_answers_found *out);

#endif
