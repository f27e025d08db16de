/*
 * answers_record.h - what decides the answers of a generation, as lines of text that are kept and compared.
 *
 * The first line names the format; each other line is one fact, "NAME: VALUE". A kept record is never parsed: its bytes are
 * equal to the present record's, or the first line that differs is reported.
 */
#ifndef FR_CLI_ANSWERS_RECORD_H
#define FR_CLI_ANSWERS_RECORD_H

#include "base/digest.h"
#include "model/network/generate.h"
#include "train/inference/inference.h"

enum { FR_RECORD_BYTES = 4096 };

typedef struct fr_record {
    char text[FR_RECORD_BYTES]; /* ends with a zero */
    size_t bytes;
} fr_record;

/** The first line alone. */
void fr_record_init(fr_record *record);

/** Add a fact. @param name  as a message calls it ("the model", "--seed")   @param value  printable, one line */
void fr_record_add(fr_record *record, const char *name, const char *value);
void fr_record_add_digest(fr_record *record, const char *name,
                          const uint8_t digest[FR_DIGEST_BYTES]);

/** How rows are answered; borrowed. */
typedef struct fr_record_options {
    fr_sample_params sample;
    int64_t max_new_tokens;
    fr_generate_ids ids;
    int64_t n_answers;        /* of each row */
    int64_t n_logprobs;       /* as in fr_generate_row */
    const char *const *stops; /* [n_stops] */
    int64_t n_stops;
} fr_record_options;

/** Everything but the rows themselves: `version` of Forerun, model, prefixes, options, ids of the prompts. Local; once the base is loaded. */
FR_MUST_CHECK fr_status fr_record_fill(fr_ctx *ctx, const fr_inference *inference,
                                       const fr_record_options *options,
                                       const fr_generate_row *rows, int64_t n_rows,
                                       const char *version, fr_record *out);

/** Whether bytes may be a record, whole or cut, of this or another format: nothing, or the beginning of one. */
bool fr_record_is_ours(const char *text, size_t bytes);

/**
 * Compare what was kept with what is now. Another version or arithmetic warns (in older records an
 * instruction set stands for that): numbers may differ in their last bits.
 * @param part  the file of answers, for the messages
 * @return FR_OK; FR_ERR_ARG naming the first fact that differs
 */
FR_MUST_CHECK fr_status fr_record_check(fr_ctx *ctx, const char *part, const char *kept,
                                        size_t kept_bytes, const fr_record *now);

#endif
