#define _GNU_SOURCE /* strchrnul */
/*
 * What the machine and the process leave of memory; limits_groups.c adds the control groups.
 *
 * Three bounds count together, and the least of them holds: memory that the machine has free (/proc/meminfo), the
 * memory limits of the control groups that this process is in (containers, batch systems), and the process's own
 * (ulimit -v, -d). Files are read below `root`, so that tests plant copies. A file that is missing or malformed means
 * "unlimited": an unusual kernel must not keep a run from starting.
 */
#include "base/limits_impl.h"

#include "base/file.h"
#include "base/integer.h"
#include "base/machine.h"
#include "base/quantity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The longest of these files is mountinfo: one line of some hundred bytes for each mount, of which machines with
 * many containers have thousands. */
enum { PATH_BYTES = 4096, TEXT_MAX = 4 << 20 };

/* ---- files of a few lines ---------------------------------------------------------------------- */

/* The whole text of a file whose size is not known before (stat says 0 in /proc). NULL: it cannot be read. The
 * caller frees. */
static char *read_text(const char *path)
{
    size_t capacity = 4096;
    size_t used = 0;
    char *text = malloc(capacity);
    int file = text != NULL ? fr_open_regular(path) : -1;
    ssize_t got = -1;
    while (file >= 0 && text != NULL && used < TEXT_MAX) {
        if (capacity - used < 2) {
            char *larger = realloc(text, capacity *= 2);
            if (larger == NULL) {
                break;
            }
            text = larger;
        }
        got = read(file, text + used, capacity - used - 1);
        if (got <= 0 && !(got < 0 && errno == EINTR)) {
            break;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    if (file >= 0) {
        (void)close(file);
    }
    if (got != 0 || text == NULL) {
        free(text);
        return NULL;
    }
    text[used] = '\0';
    return text;
}

/* A path that does not fit counts as a file that cannot be read. */
char *fr_limits_text(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && length < PATH_BYTES ? read_text(path) : NULL;
}

int64_t fr_limits_number(const char *text)
{
    while (*text == ' ' || *text == '\t') {
        text++;
    }
    if (*text < '0' || *text > '9') {
        return FR_NO_LIMIT;
    }
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    return errno == 0 ? (int64_t)value : FR_NO_LIMIT;
}

/* Looks at the beginning of each line for the key and a blank behind it, so a longer key that begins
 * alike does not match. */
int64_t fr_limits_behind(const char *text, const char *key)
{
    size_t length = strlen(key);
    for (const char *line = text; line != NULL;) {
        if (strncmp(line, key, length) == 0 &&
            (line[length] == ' ' || line[length] == '\t')) {
            return fr_limits_number(line + length);
        }
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return FR_NO_LIMIT;
}

/* ---- machine and process ----------------------------------------------------------------------- */

/* /proc/meminfo counts in KiB, whatever its unit "kB" says. */
static int64_t kib_behind(const char *text, const char *key)
{
    int64_t kib = fr_limits_behind(text, key);
    return kib < FR_NO_LIMIT / 1024 ? kib * 1024 : FR_NO_LIMIT;
}

/* Where the kernel does not say what is free (before 3.14), all of the memory counts as free. */
static void read_machine(const char *root, fr_limits *l)
{
    char *text = fr_limits_text(root, "proc/meminfo");
    int64_t total = text != NULL ? kib_behind(text, "MemTotal:") : FR_NO_LIMIT;
    int64_t free_now = text != NULL ? kib_behind(text, "MemAvailable:") : FR_NO_LIMIT;
    if (total == FR_NO_LIMIT) {
        total = fr_machine_memory();
    }
    l->machine_bytes = total;
    l->machine_available = fr_min(free_now, total);
    free(text);
}

/* ulimit -v bounds all addresses that are mapped (field 0 of statm), ulimit -d the writable ones (field 5). */
static void read_process(const char *root, fr_limits *l)
{
    char *limits = fr_limits_text(root, "proc/self/limits");
    char *statm = fr_limits_text(root, "proc/self/statm");
    int64_t pages[6] = {0};
    const char *at = statm != NULL ? statm : "";
    for (int i = 0; i < 6 && *at != '\0'; i++) {
        pages[i] = fr_limits_number(at);
        at = strchrnul(at, ' ');
        at += *at == ' ';
    }
    l->process_bytes = FR_NO_LIMIT;
    l->process_available = FR_NO_LIMIT;
    const struct {
        const char *name;
        int64_t used;
    } kinds[] = {{"Max address space", pages[0]}, {"Max data size", pages[5]}};
    for (size_t i = 0; limits != NULL && i < sizeof kinds / sizeof kinds[0]; i++) {
        int64_t max = fr_limits_behind(limits, kinds[i].name);
        int64_t used = kinds[i].used < FR_NO_LIMIT >> 20
                           ? kinds[i].used * fr_machine_page_bytes()
                           : 0;
        int64_t left = max > used ? max - used : 0;
        if (max != FR_NO_LIMIT && left < l->process_available) {
            l->process_bytes = max;
            l->process_available = left;
        }
    }
    free(limits);
    free(statm);
}

/* The root "/" becomes "", since names that begin with a slash are put behind it. */
void fr_limits_read(const char *root, fr_limits *out)
{
    if (strcmp(root, "/") == 0) {
        root = "";
    }
    *out = (fr_limits){0};
    read_machine(root, out);
    read_process(root, out);
    fr_limits_read_groups(root, out);
}

/* Limits of the process are left out, because the share is that of all processes of the node. */
void fr_limits_memory(const fr_limits *limits, fr_memory_share *out)
{
    *out = (fr_memory_share){.bytes = limits->machine_available,
                             .n_sharers = 1,
                             .bound = FR_BOUND_MACHINE,
                             .limit = limits->machine_bytes,
                             .machine = limits->machine_available};
    for (int i = 0; i < limits->n_memory; i++) {
        if (limits->memory[i].available < out->bytes) {
            out->bytes = limits->memory[i].available;
            out->bound = FR_BOUND_CONTAINER;
            out->limit = limits->memory[i].bytes;
        }
    }
}

void fr_memory_share_text(const fr_memory_share *share, char out[FR_LIMIT_TEXT])
{
    char bytes[FR_SIZE_BYTES];
    char limit[FR_SIZE_BYTES];
    char machine[FR_SIZE_BYTES];
    char sharers[48] = "";
    fr_size_text((double)share->bytes, bytes);
    fr_size_text((double)share->limit, limit);
    fr_size_text((double)share->machine, machine);
    if (share->n_sharers > 1) {
        (void)snprintf(sharers, sizeof sharers, ", shared by %lld ranks",
                       (long long)share->n_sharers);
    }
    if (share->bound == FR_BOUND_MACHINE) {
        (void)snprintf(out, FR_LIMIT_TEXT, "%s (the machine has %s free%s)", bytes,
                       machine, sharers);
    } else {
        (void)snprintf(out, FR_LIMIT_TEXT,
                       "%s (the %s limit of %s%s; the machine has %s free)", bytes,
                       share->bound == FR_BOUND_CONTAINER
                           ? "container's"
                           : "process's (ulimit -v or -d)",
                       limit, sharers, machine);
    }
}
