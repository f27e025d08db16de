/*
 * ctx.h - what other programs keep in globals: the recorded error, the log and the settings of the environment.
 *
 * `main` (or a test) creates it and passes it as first argument to every function that can fail. One thread owns it; a
 * thread that writes files or messages has a context of its own, and OpenMP regions never touch one.
 *
 * Environment (read once, in fr_ctx_create; it never changes results):
 *   FORERUN_LOG        error | warn | info (default) | debug
 *   FORERUN_LOG_RANKS  0 (default: rank 0 alone logs) | all
 *   FORERUN_TIMEOUT    seconds without progress until a run ends; 0: never; default: config key run.timeout,
 *                      600 for commands without a run folder
 *   FORERUN_CACHE      0: keep no digests of weights; else the folder for them (default: forerun in XDG_CACHE_HOME, or
 *                      in .cache of HOME)
 *   FORERUN_ISA        the highest instruction set to compute with (device.h: fr_isa_choose); default: what there is
 *   FORERUN_SYNC       0 (default) | 1: wait after each kernel of a GPU, so that a failure names it (read by its backend)
 *   FORERUN_WAIT_RANK  a rank that waits at its start for a debugger (read by the program, not here)
 *   OMP_NUM_THREADS    threads of a rank where neither run.threads nor --threads says so
 */
#ifndef FR_BASE_CTX_H
#define FR_BASE_CTX_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fr_ctx fr_ctx;

typedef enum fr_log_level {
    FR_LOG_ERROR,
    FR_LOG_WARN,
    FR_LOG_INFO,
    FR_LOG_DEBUG
} fr_log_level;

/** Create a context for rank 0 of 1; NULL only when out of memory. */
fr_ctx *fr_ctx_create(void);

/** Destroy; accepts NULL inside, nulls the pointer. */
void fr_ctx_destroy(fr_ctx **ctx);

/** Set which rank this is: log lines name it, and rank 0 alone prints what all ranks know. */
void fr_ctx_set_rank(fr_ctx *ctx, int rank, int n_ranks);
int fr_ctx_rank(const fr_ctx *ctx);

/**
 * FORERUN_TIMEOUT, or `fallback` if it is not set.
 * @return FR_OK; FR_ERR_ARG if it is not a whole number of seconds from 0 to 1000000000
 */
FR_MUST_CHECK fr_status fr_ctx_timeout(fr_ctx *ctx, int64_t fallback, int64_t *out);

/**
 * The first number of OMP_NUM_THREADS; 0 if it is not set.
 * @return FR_OK; FR_ERR_ARG if it is not a whole number from 1 to 4096
 */
FR_MUST_CHECK fr_status fr_ctx_threads(fr_ctx *ctx, int *out);

/** FORERUN_ISA as it was given; NULL if it is not set. */
const char *fr_ctx_isa(const fr_ctx *ctx);

/** The folder for what may be kept from run to run; it need not exist. False: nothing is to be kept. */
bool fr_ctx_cache_folder(const fr_ctx *ctx, char *out, size_t capacity);

/**
 * Record a failure where it is detected; returns `status`. The message names what is wrong, the value found, the values
 * allowed, and the remedy. Characters that would command a terminal are escaped (print.h). Only the first failure after
 * fr_ctx_clear_error is kept: it is the cause, and later ones follow from it.
 */
fr_status fr_fail_at(fr_ctx *ctx, fr_status status, const char *file, int line,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));
#define FR_FAIL(ctx, status, ...)                                                      \
    fr_fail_at((ctx), (status), __FILE__, __LINE__, __VA_ARGS__)

/** Record that so many bytes could not be allocated: FR_ERR_NO_MEMORY. */
void fr_fail_memory(fr_ctx *ctx, size_t bytes);

/** FR_OK if `allocated` (pass the pointer), else FR_ERR_NO_MEMORY with a message. It is inline, so that static analysers see
 * in a caller that FR_OK means that there is memory. */
FR_MUST_CHECK static inline fr_status fr_check_memory(fr_ctx *ctx, bool allocated,
                                                      size_t bytes)
{
    if (!allocated) {
        fr_fail_memory(ctx, bytes);
        return FR_ERR_NO_MEMORY;
    }
    return FR_OK;
}

/** Message of the recorded failure ("" if none); valid until the next fail or clear. */
const char *fr_ctx_error(const fr_ctx *ctx);
/** "file.c:123" of the recorded failure, "" if none. */
const char *fr_ctx_error_place(const fr_ctx *ctx);
/** Status of the recorded failure, FR_OK if none. */
fr_status fr_ctx_error_status(const fr_ctx *ctx);
void fr_ctx_clear_error(fr_ctx *ctx);
/** Record in `to` the failure that `from` holds, as fr_fail_at would: from one thread's context to that of another thread.
 * Neither thread may use its context meanwhile. @return status of that failure */
fr_status fr_ctx_pass_error(const fr_ctx *from, fr_ctx *to);

/**
 * Write one line, escaped, to standard error if FORERUN_LOG lets the level pass. Errors begin with "error: ", warnings with
 * "warning: "; the message itself does not say so again. A line of another rank than 0 begins with "[rank N] ".
 *
 * fr_log is for what every rank that gets there knows alike: rank 0 alone writes it (all do with FORERUN_LOG_RANKS=all).
 * fr_log_own is for what concerns this rank or its host alone: it is written whatever the rank is.
 */
void fr_log(const fr_ctx *ctx, fr_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void fr_log_own(const fr_ctx *ctx, fr_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
