/*
 * status.h - the status codes that every fallible function returns.
 *
 * One X-list gives name, exit code of the process and text. Exit code 5 stands for all that ends a run from outside this rank:
 * a communication that failed, and ranks that the watch (comm/watch.h) finds lost or stopped.
 */
#ifndef FR_BASE_STATUS_H
#define FR_BASE_STATUS_H

/* X(name, exit code, text) */
#define FR_STATUS_LIST(X)                                                              \
    X(OK, 0, "success")                                                                \
    X(ERR_ARG, 2, "usage error")                                                       \
    X(ERR_CONFIG, 2, "configuration error")                                            \
    X(ERR_DATA, 3, "bad input data")                                                   \
    X(ERR_FORMAT, 3, "bad model file")                                                 \
    X(ERR_UNSUPPORTED, 3, "unsupported")                                               \
    X(ERR_NUMERIC, 4, "non-finite numbers")                                            \
    X(ERR_COMM, 5, "communication error")                                              \
    X(ERR_CHECKPOINT, 6, "checkpoint unusable")                                        \
    X(ERR_STOPPED, 75, "stopped on request")                                           \
    X(ERR_IO, 1, "input/output error")                                                 \
    X(ERR_NO_MEMORY, 1, "out of memory")                                               \
    X(ERR_DEVICE, 1, "device error")                                                   \
    X(ERR_SHAPE, 1, "shape mismatch")                                                  \
    X(ERR_INTERNAL, 1, "internal error")

typedef enum fr_status {
#define FR_STATUS_ENUM(name, exit_code, text) FR_##name,
    FR_STATUS_LIST(FR_STATUS_ENUM)
#undef FR_STATUS_ENUM
        FR_STATUS_COUNT
} fr_status;

#define FR_MUST_CHECK __attribute__((warn_unused_result))

/** Short text of a status; never NULL. */
const char *fr_status_text(fr_status status);

/** Process exit code of a status (0, 1, 2, 3, 4, 5, 6 or 75; README lists them). */
int fr_status_exit_code(fr_status status);

/** Of two results the first that is a failure: what went wrong later does not hide it. */
fr_status fr_first_failure(fr_status first, fr_status next);

/** Return from the calling function with the status of `call` unless it is FR_OK. Only for functions that own nothing at
 * that point; others go to one `out:` label. */
#define FR_TRY(call)                                                                   \
    do {                                                                               \
        fr_status fr_try_status = (call);                                              \
        if (fr_try_status != FR_OK) {                                                  \
            return fr_try_status;                                                      \
        }                                                                              \
    } while (0)

#endif
