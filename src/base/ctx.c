/*
 * What every part of the program carries along: the rank, settings from the environment, the first error, and the
 * log.
 *
 * An error is recorded once, where it is detected (FR_FAIL), with the line of the source that detected it. From
 * there on only its status travels up, and whoever ends the program prints the message. All texts have buffers of
 * fixed size within the context, so an error can be recorded when no memory is left.
 *
 * The log goes to standard error. Rank 0 writes for all ranks, unless FORERUN_LOG_RANKS is "all". A context belongs
 * to one thread and has no lock.
 */
#include "base/ctx.h"

#include "base/print.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message may quote a path (4 KiB at most on Linux); what is longer is cut off. */
enum { ERROR_BYTES = 4096, PLACE_BYTES = 128 };

/* The environment is read once, at creation; the pointers are borrowed from it. Numbers are checked where they are
 * used, so that a command that needs no threads does not fail on a wrong OMP_NUM_THREADS. */
struct fr_ctx {
    int rank;
    int n_ranks;
    bool all_ranks_log;
    fr_log_level log_level;
    const char *timeout; /* as in the environment; NULL: not set */
    const char *threads; /* likewise, and the next four */
    const char *isa;
    const char *cache;
    const char *cache_home;
    const char *home;
    fr_status error_status;
    char error[ERROR_BYTES];
    char place[PLACE_BYTES];
};

/* An unknown level is not an error: the log keeps its default. The order of the names is the order of
 * fr_log_level. */
static fr_log_level parse_log_level(const char *text)
{
    static const char *const NAMES[] = {"error", "warn", "info", "debug"};
    for (int i = 0; text != NULL && i < 4; i++) {
        if (strcmp(text, NAMES[i]) == 0) {
            return (fr_log_level)i;
        }
    }
    return FR_LOG_INFO;
}

fr_ctx *fr_ctx_create(void)
{
    fr_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return NULL;
    }
    const char *ranks = getenv("FORERUN_LOG_RANKS");
    ctx->n_ranks = 1;
    ctx->log_level = parse_log_level(getenv("FORERUN_LOG"));
    ctx->timeout = getenv("FORERUN_TIMEOUT");
    ctx->threads = getenv("OMP_NUM_THREADS");
    ctx->isa = getenv("FORERUN_ISA");
    ctx->cache = getenv("FORERUN_CACHE");
    ctx->cache_home = getenv("XDG_CACHE_HOME");
    ctx->home = getenv("HOME");
    ctx->all_ranks_log = ranks != NULL && strcmp(ranks, "all") == 0;
    return ctx;
}

void fr_ctx_destroy(fr_ctx **ctx)
{
    free(*ctx);
    *ctx = NULL;
}

void fr_ctx_set_rank(fr_ctx *ctx, int rank, int n_ranks)
{
    ctx->rank = rank;
    ctx->n_ranks = n_ranks;
}

int fr_ctx_rank(const fr_ctx *ctx)
{
    return ctx->rank;
}

/* Digits only, so that "10s" or "-1" is refused and not read as a part of it. */
fr_status fr_ctx_timeout(fr_ctx *ctx, int64_t fallback, int64_t *out)
{
    /* The digits of MAX_SECONDS, so that strtoll cannot overflow; in milliseconds the limit still fits an int64. */
    enum { MAX_SECONDS = 1000000000, MAX_DIGITS = 10 };
    const char *text = ctx->timeout;
    *out = fallback;
    if (text == NULL || text[0] == '\0') {
        return FR_OK;
    }
    size_t n_digits = strspn(text, "0123456789");
    if (text[n_digits] == '\0' && n_digits <= MAX_DIGITS) {
        *out = strtoll(text, NULL, 10);
    }
    if (text[n_digits] != '\0' || n_digits > MAX_DIGITS || *out > MAX_SECONDS) {
        return FR_FAIL(
            ctx, FR_ERR_ARG,
            "FORERUN_TIMEOUT is \"%s\", but must be a whole number of seconds from 0 "
            "(never) to %d; set it so, or unset it",
            text, (int)MAX_SECONDS);
    }
    return FR_OK;
}

/* The OpenMP standard allows blanks and a comma-separated list with one number for each nesting level; the first
 * level is the only one that is used here. */
fr_status fr_ctx_threads(fr_ctx *ctx, int *out)
{
    /* Far above the cores of any machine: what is larger is a slip. Four digits always fit an int. */
    enum { MAX_THREADS = 4096, MAX_DIGITS = 4 };
    const char *text = ctx->threads;
    *out = 0;
    if (text == NULL || text[0] == '\0') {
        return FR_OK;
    }
    const char *digits = text + strspn(text, " \t");
    size_t n_digits = strspn(digits, "0123456789");
    const char *end = digits + n_digits;
    end += strspn(end, " \t");
    if (n_digits > 0 && n_digits <= MAX_DIGITS && (*end == '\0' || *end == ',')) {
        *out = (int)strtol(digits, NULL, 10);
    }
    if (*out < 1 || *out > MAX_THREADS) {
        return FR_FAIL(
            ctx, FR_ERR_ARG,
            "OMP_NUM_THREADS is \"%s\", but must be a whole number from 1 to "
            "%d (of a list the first counts); set it so, unset it, or name "
            "the threads with run.threads or --threads",
            text, MAX_THREADS);
    }
    return FR_OK;
}

const char *fr_ctx_isa(const fr_ctx *ctx)
{
    return ctx->isa != NULL && ctx->isa[0] != '\0' ? ctx->isa : NULL;
}

/* The order is FORERUN_CACHE, XDG_CACHE_HOME, HOME. False means that nothing is cached: no variable is set, the
 * folder is "0", or the path does not fit. */
bool fr_ctx_cache_folder(const fr_ctx *ctx, char *out, size_t capacity)
{
    bool own = ctx->cache != NULL && ctx->cache[0] != '\0';
    /* the standard ignores relative names there */
    bool cache_home = ctx->cache_home != NULL && ctx->cache_home[0] == '/';
    const char *folder = own ? ctx->cache : cache_home ? ctx->cache_home : ctx->home;
    const char *tail = own ? "" : cache_home ? "/forerun" : "/.cache/forerun";
    if (folder == NULL || folder[0] == '\0' || strcmp(folder, "0") == 0) {
        return false;
    }
    int length = snprintf(out, capacity, "%s%s", folder, tail);
    return length > 0 && (size_t)length < capacity;
}

/* The first error is kept, because it is the cause. A later one, raised while the callers clean up, is only a
 * consequence. Messages quote bytes from files and arguments, so they are escaped before a terminal sees them. */
fr_status fr_fail_at(fr_ctx *ctx, fr_status status, const char *file, int line,
                     const char *format, ...)
{
    if (ctx->error_status != FR_OK) {
        return status;
    }
    const char *slash = strrchr(file, '/');
    ctx->error_status = status;
    (void)snprintf(ctx->place, sizeof ctx->place, "%s:%d",
                   slash != NULL ? slash + 1 : file, line);
    char message[ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fr_escape(message, ctx->error, sizeof ctx->error);
    return status;
}

void fr_fail_memory(fr_ctx *ctx, size_t bytes)
{
    (void)FR_FAIL(ctx, FR_ERR_NO_MEMORY,
                  "could not allocate %zu bytes; use more ranks, a smaller "
                  "microbatch_tokens or precision bf16",
                  bytes);
}

const char *fr_ctx_error(const fr_ctx *ctx)
{
    return ctx->error;
}

const char *fr_ctx_error_place(const fr_ctx *ctx)
{
    return ctx->place;
}

fr_status fr_ctx_error_status(const fr_ctx *ctx)
{
    return ctx->error_status;
}

void fr_ctx_clear_error(fr_ctx *ctx)
{
    ctx->error_status = FR_OK;
    ctx->error[0] = '\0';
    ctx->place[0] = '\0';
}

/* For an error of a thread that has a context of its own: it reaches the context of the thread that reports it. */
fr_status fr_ctx_pass_error(const fr_ctx *from, fr_ctx *to)
{
    if (to->error_status == FR_OK) {
        to->error_status = from->error_status;
        memcpy(to->error, from->error, sizeof to->error);
        memcpy(to->place, from->place, sizeof to->place);
    }
    return from->error_status;
}

/* The rank is named only where lines of several ranks can mix. One call of fprintf writes the line, so that lines
 * of two ranks do not tear each other apart. */
static void write_line(const fr_ctx *ctx, fr_log_level level, const char *message)
{
    char line[ERROR_BYTES];
    fr_escape(message, line, sizeof line);
    const char *label = level == FR_LOG_ERROR  ? "error: "
                        : level == FR_LOG_WARN ? "warning: "
                                               : "";
    if (ctx->n_ranks > 1 && (ctx->rank != 0 || ctx->all_ranks_log)) {
        (void)fprintf(stderr, "[rank %d] %s%s\n", ctx->rank, label, line);
    } else {
        (void)fprintf(stderr, "%s%s\n", label, line);
    }
}

void fr_log(const fr_ctx *ctx, fr_log_level level, const char *format, ...)
{
    char message[ERROR_BYTES];
    if (level > ctx->log_level || (ctx->rank != 0 && !ctx->all_ranks_log)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    write_line(ctx, level, message);
}

/* Unlike fr_log, also written by ranks other than 0: for what concerns this rank alone. */
void fr_log_own(const fr_ctx *ctx, fr_log_level level, const char *format, ...)
{
    char message[ERROR_BYTES];
    if (level > ctx->log_level) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    write_line(ctx, level, message);
}
