/* Conversion in two processes, because the HDF5 library crashes or hangs on hostile files.
 *
 * The reader (a fork, read_old) has the old file mapped. It confines itself: no more files, processes or core dumps,
 * limits on memory and processor time, output to /dev/null. It parses the file with the library, builds the new image
 * and writes one status byte and the image, or the message, into a pipe.
 *
 * The parent (run_reader) reads the pipe with a deadline and an upper bound of bytes, then looks at how the reader
 * ended. It trusts nothing: the new image is parsed like any foreign file before it gets its name (keep_new), and a
 * message is printed without control characters.
 *
 * Limits follow the size of the file (limits_for): memory 8 times, since the library's copy, the arrays and the
 * growing image exist together; processor time at 32 MiB a second, a fraction of the library's speed; waiting ten
 * times that, since the machine may be busy; an answer of at most 3 times.
 */
#define _GNU_SOURCE /* prctl, pipe2 */
#include "cli/convert.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Limits of the reading process, by the size of the file. */
typedef struct limits {
    rlim_t
        memory; /* bytes of addresses, including those that the process already has */
    rlim_t processor; /* seconds */
    int64_t wait;     /* seconds until it is killed */
    size_t answer;    /* bytes that it may hand over */
} limits;

/* A message of the reader that is longer than MESSAGE_BYTES is cut; paths of a usual length fit. */
enum { MIB = 1 << 20, MIB_A_SECOND = 32, MESSAGE_BYTES = 1024 };

static limits limits_for(size_t bytes)
{
    rlim_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long long read = 0;
    if (statm != NULL) {
        pages = fscanf(statm, "%llu", &read) == 1 ? (rlim_t)read : 0;
        (void)fclose(statm);
    }
    rlim_t seconds = 2 + bytes / ((size_t)MIB_A_SECOND * MIB);
    /* the library's copy, the arrays, the new image while it grows, with room to spare */
    return (limits){.memory = pages * (rlim_t)fr_machine_page_bytes() + 8 * bytes +
                              (rlim_t)192 * MIB,
                    .processor = seconds,
                    .wait = 30 + 10 * (int64_t)seconds,
                    .answer = 3 * bytes + (size_t)64 * MIB};
}

/* ---- the reading process ------------------------------------------------------------------------ */

/* The first byte is the status, then come the new file or the message. */
static void hand_over(int pipe, fr_status status, const void *data, size_t bytes)
{
    const uint8_t code = (uint8_t)status;
    const uint8_t *next = data;
    ssize_t written = write(pipe, &code, 1);
    while (written > 0 && bytes > 0) {
        written = write(pipe, next, bytes);
        next += written > 0 ? written : 0;
        bytes -= written > 0 ? (size_t)written : 0;
    }
    _exit(written > 0 ? 0 : 1);
}

static void set_limit(int resource, rlim_t value)
{
    struct rlimit limit = {value, value};
    (void)setrlimit((__rlimit_resource_t)resource, &limit);
}

/* From here on the reader reads memory and writes to the pipe: it can open no file, plugin or program and start no
 * process. What the C library prints when it aborts would only confuse, so standard error goes to /dev/null too. */
static void confine(const limits *max)
{
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(nowhere, STDERR_FILENO);
    (void)dup2(nowhere, STDOUT_FILENO);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    set_limit(RLIMIT_NOFILE, 0);
    set_limit(RLIMIT_NPROC, 0);
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_CPU, max->processor);
    set_limit(RLIMIT_AS, max->memory);
    set_limit(RLIMIT_FSIZE, 0);
}

/* Leaves with _exit, since the handlers and buffers of the parent must not run a second time in its copy. */
static _Noreturn void read_old(fr_ctx *ctx, const char *path, const fr_map *map,
                               const char *new_path, int pipe)
{
    fr_checkpoint *checkpoint = NULL;
    uint8_t *image = NULL;
    size_t bytes = 0;
    fr_status status =
        fr_checkpoint_parse_format1(ctx, path, map->data, map->bytes, &checkpoint);
    if (status == FR_OK) {
        status = fr_checkpoint_image(ctx, new_path, checkpoint, &image, &bytes);
    }
    if (status == FR_OK) {
        hand_over(pipe, status, image, bytes);
    }
    hand_over(pipe, status, fr_ctx_error(ctx), strlen(fr_ctx_error(ctx)));
    _exit(1);
}

/* ---- the parent --------------------------------------------------------------------- */

/* What the reading process handed over. */
typedef struct answer {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
} answer;

static fr_status fail_reader(fr_ctx *ctx, const char *path, const char *what)
{
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                   "%s: the process that read it with the HDF5 library %s; the file is "
                   "damaged or hostile: restore it or use another one",
                   path, what);
}

/* Reads one piece; *more is false at the end. */
static fr_status take_piece(fr_ctx *ctx, int pipe, answer *out, bool *more)
{
    enum { MIN = 64 << 10 };
    if (out->capacity - out->bytes < MIN) {
        size_t capacity = 2 * out->capacity + MIN;
        uint8_t *data = realloc(out->data, capacity);
        FR_TRY(fr_check_memory(ctx, data != NULL, capacity));
        out->data = data;
        out->capacity = capacity;
    }
    ssize_t got = read(pipe, out->data + out->bytes, out->capacity - out->bytes);
    *more = got > 0 || (got < 0 && errno == EINTR);
    out->bytes += got > 0 ? (size_t)got : 0;
    return FR_OK;
}

static fr_status take_answer(fr_ctx *ctx, const char *path, int pipe, const limits *max,
                             answer *out)
{
    int64_t end = fr_clock_ms() + max->wait * 1000;
    bool more = true;
    while (more) {
        struct pollfd ready = {.fd = pipe, .events = POLLIN};
        int64_t left = end - fr_clock_ms();
        if (left <= 0) {
            return fail_reader(ctx, path, "did not finish and was killed");
        }
        if (poll(&ready, 1, (int)left) > 0) {
            FR_TRY(take_piece(ctx, pipe, out, &more));
        }
        if (out->bytes > max->answer) {
            return fail_reader(ctx, path, "produced far too much output");
        }
    }
    return FR_OK;
}

/* The limit on processor time ends the reader by a signal too, but that is not a crash of the library. */
static fr_status check_end(fr_ctx *ctx, const char *path, int state, const answer *got)
{
    char what[64];
    if (WIFSIGNALED(state) && WTERMSIG(state) == SIGXCPU) {
        return fail_reader(ctx, path, "took too much processor time and was killed");
    }
    if (WIFSIGNALED(state)) {
        (void)snprintf(what, sizeof what, "crashed (signal %d)", WTERMSIG(state));
        return fail_reader(ctx, path, what);
    }
    return WIFEXITED(state) && WEXITSTATUS(state) == 0 && got->data != NULL &&
                   got->bytes > 0
               ? FR_OK
               : fail_reader(ctx, path, "failed");
}

/* A failure that the reading process reports, without control characters. */
static fr_status repeat_failure(fr_ctx *ctx, const char *path, const answer *got)
{
    char message[MESSAGE_BYTES];
    size_t bytes =
        got->bytes - 1 < sizeof message ? got->bytes - 1 : sizeof message - 1;
    fr_status status = (fr_status)got->data[0];
    memcpy(message, got->data + 1, bytes);
    message[bytes] = '\0';
    for (size_t i = 0; i < bytes; i++) {
        message[i] =
            (unsigned char)message[i] < ' ' || message[i] == 0x7f ? '?' : message[i];
    }
    bool known = status == FR_ERR_CHECKPOINT || status == FR_ERR_NUMERIC;
    if (status == FR_ERR_NO_MEMORY) {
        return fail_reader(ctx, path,
                           "needed more memory than a file of this size can need");
    }
    return bytes > 0 ? FR_FAIL(ctx, known ? status : FR_ERR_CHECKPOINT, "%s", message)
                     : fail_reader(ctx, path, "failed without a message");
}

/* The new file's bytes are parsed like a foreign file's before they get their name. */
static fr_status keep_new(fr_ctx *ctx, const char *path, const char *new_path,
                          const answer *got, int64_t *n_tasks, int64_t *minor)
{
    fr_checkpoint *checkpoint = NULL;
    if (got->data[0] != FR_OK) {
        return repeat_failure(ctx, path, got);
    }
    FR_TRY(
        fr_checkpoint_parse(ctx, new_path, got->data + 1, got->bytes - 1, &checkpoint));
    *n_tasks = checkpoint->n_tasks;
    *minor = checkpoint->minor;
    fr_checkpoint_destroy(&checkpoint);
    return fr_file_replace(ctx, new_path, got->data + 1, got->bytes - 1);
}

/* The parent closes its writing end before it reads: the end of the pipe then means that the reader has ended. The
 * reader is waited for in any case, so that no process is left behind. */
static fr_status run_reader(fr_ctx *ctx, const char *path, const fr_map *map,
                            const char *new_path, answer *out)
{
    const limits max = limits_for(map->bytes);
    int pipe[2];
    int state = 0;
    if (pipe2(pipe, O_CLOEXEC) != 0) {
        return FR_FAIL(ctx, FR_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    pid_t process = fork();
    if (process == 0) {
        (void)close(pipe[0]);
        confine(&max);
        read_old(ctx, path, map, new_path, pipe[1]);
    }
    (void)close(pipe[1]);
    fr_status status =
        process > 0
            ? take_answer(ctx, path, pipe[0], &max, out)
            : FR_FAIL(ctx, FR_ERR_IO, "cannot start a process: %s", strerror(errno));
    (void)close(pipe[0]);
    if (process > 0) {
        if (status != FR_OK) {
            (void)kill(process, SIGKILL);
        }
        while (waitpid(process, &state, 0) < 0 && errno == EINTR) {
        }
    }
    return status == FR_OK ? check_end(ctx, path, state, out) : status;
}

static fr_status check_new(fr_ctx *ctx, const char *new_path)
{
    struct stat info;
    if (lstat(new_path, &info) != 0 && errno == ENOENT) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_ARG, "%s exists already; choose another name", new_path);
}

/* A file of a later format begins with its title. */
static fr_status check_old(fr_ctx *ctx, const char *path, const fr_map *map)
{
    static const char TITLE[] = "Forerun checkpoint ";
    if (map->bytes >= sizeof TITLE - 1 &&
        memcmp(map->data, TITLE, sizeof TITLE - 1) == 0) {
        return FR_FAIL(
            ctx, FR_ERR_ARG,
            "%s is not in format 1, so it needs no conversion; use it as it is", path);
    }
    return FR_OK;
}

fr_status fr_convert(fr_ctx *ctx, const char *old_path, const char *new_path,
                     int64_t *n_tasks, int64_t *minor)
{
    fr_map map;
    answer got = {NULL, 0, 0};
    *n_tasks = 0;
    *minor = 0;
    FR_TRY(check_new(ctx, new_path));
    fr_status status = fr_map_open(ctx, old_path, &map);
    if (status != FR_OK) {
        char reason[MESSAGE_BYTES];
        (void)snprintf(reason, sizeof reason, "%s", fr_ctx_error(ctx));
        fr_ctx_clear_error(ctx);
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT, "%s", reason);
    }
    status = check_old(ctx, old_path, &map);
    if (status == FR_OK) {
        status = run_reader(ctx, old_path, &map, new_path, &got);
    }
    if (status == FR_OK) {
        status = keep_new(ctx, old_path, new_path, &got, n_tasks, minor);
    }
    free(got.data);
    fr_map_close(&map);
    return status;
}
