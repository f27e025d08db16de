#define _XOPEN_SOURCE 700
#include "fuzz/libfuzzer/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 512, RING = 8, OPEN_FILES = 16 };

static fr_ctx *shared_ctx;
static char shared_folder[PATH_BYTES / 2];

static _Noreturn void give_up(const char *what, const char *name)
{
    (void)fprintf(stderr, "fuzz: %s %s\n", what, name);
    abort();
}

static void destroy_ctx(void)
{
    fr_ctx_destroy(&shared_ctx);
}

fr_ctx *fuzz_ctx(void)
{
    if (shared_ctx == NULL) {
        (void)setenv("FORERUN_LOG", "error", 1);
        shared_ctx = fr_ctx_create();
        if (shared_ctx == NULL) {
            give_up("out of", "memory");
        }
        (void)atexit(destroy_ctx);
    }
    fr_ctx_clear_error(shared_ctx);
    return shared_ctx;
}

static bool is_refusal(fr_status status)
{
    return status == FR_ERR_ARG || status == FR_ERR_CONFIG || status == FR_ERR_DATA ||
           status == FR_ERR_FORMAT || status == FR_ERR_UNSUPPORTED ||
           status == FR_ERR_CHECKPOINT || status == FR_ERR_NUMERIC;
}

bool fuzz_answer(fr_ctx *ctx, fr_status status)
{
    if (status != FR_OK && (!is_refusal(status) || strlen(fr_ctx_error(ctx)) == 0)) {
        (void)fprintf(stderr, "fuzz: %s: '%s' (%s)\n", fr_status_text(status),
                      fr_ctx_error(ctx), fr_ctx_error_place(ctx));
        give_up("no clear answer:", fr_status_text(status));
    }
    fr_ctx_clear_error(ctx);
    return status == FR_OK;
}

void fuzz_check(bool holds, const char *what)
{
    if (!holds) {
        give_up("does not hold:", what);
    }
}

static int remove_entry(const char *path, const struct stat *info, int kind,
                        struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static void remove_folder(void)
{
    (void)nftw(shared_folder, remove_entry, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
}

static bool make_folder(const char *parent)
{
    if (parent == NULL) {
        return false;
    }
    (void)snprintf(shared_folder, sizeof shared_folder, "%s/forerun-fuzz-XXXXXX",
                   parent);
    return mkdtemp(shared_folder) != NULL;
}

const char *fuzz_folder(void)
{
    if (shared_folder[0] == '\0') {
        if (!make_folder(getenv("FUZZ_FOLDER")) && !make_folder("/dev/shm") &&
            !make_folder(getenv("TMPDIR")) && !make_folder("/tmp")) {
            give_up("cannot make", "a folder");
        }
        (void)atexit(remove_folder);
    }
    return shared_folder;
}

const char *fuzz_path(const char *name)
{
    static char ring[RING][PATH_BYTES];
    static int next = 0;
    char *path = ring[next];
    next = (next + 1) % RING;
    (void)snprintf(path, PATH_BYTES, "%s/%s", fuzz_folder(), name);
    return path;
}

static void make_parents(const char *path)
{
    char folder[PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s", path);
    for (char *at = strchr(folder + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(folder, S_IRWXU);
        *at = '/';
    }
}

const char *fuzz_write(const char *name, const void *data, size_t bytes)
{
    const char *path = fuzz_path(name);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    int file = open(path, flags, S_IRUSR | S_IWUSR);
    if (file < 0 && errno == ENOENT) {
        make_parents(path);
        file = open(path, flags, S_IRUSR | S_IWUSR);
    }
    if (file < 0 || write(file, data, bytes) != (ssize_t)bytes || close(file) != 0) {
        give_up("cannot write", path);
    }
    return path;
}

void fuzz_remove(const char *name)
{
    (void)unlink(fuzz_path(name));
}

int fuzz_split(const uint8_t *data, size_t size, fuzz_part *parts, int max)
{
    const size_t n = sizeof FUZZ_SEPARATOR - 1;
    size_t begin = 0;
    int count = 0;
    for (size_t at = 0; at + n <= size && count + 1 < max; at++) {
        if (memcmp(data + at, FUZZ_SEPARATOR, n) == 0) {
            parts[count++] = (fuzz_part){data + begin, at - begin};
            begin = at + n;
            at = begin - 1;
        }
    }
    parts[count++] = (fuzz_part){data + begin, size - begin};
    return count;
}

static char *copy(fuzz_part part, size_t capacity)
{
    char *text = malloc(capacity);
    if (text == NULL && capacity > 0) {
        give_up("out of", "memory");
    }
    if (part.bytes > 0) {
        memcpy(text, part.data, part.bytes);
    }
    return text;
}

char *fuzz_text(fuzz_part part)
{
    char *text = copy(part, part.bytes + 1);
    text[part.bytes] = '\0';
    return text;
}

char *fuzz_block(fuzz_part part)
{
    return copy(part, part.bytes);
}

int fuzz_write_parts(const uint8_t *data, size_t size, const char *const *names,
                     int n_names)
{
    enum { MAX_PARTS = 9 };
    fuzz_part parts[MAX_PARTS];
    fuzz_check(n_names <= MAX_PARTS, "few files");
    int n = fuzz_split(data, size, parts, n_names);
    for (int i = 0; i < n_names; i++) {
        if (i < n) {
            (void)fuzz_write(names[i], parts[i].data, parts[i].bytes);
        } else {
            fuzz_remove(names[i]);
        }
    }
    return n;
}
