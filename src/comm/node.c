#define _GNU_SOURCE /* memfd_create */
#include "comm/node.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Rank 0 makes a file in memory that has no name (a memory file system like /dev/shm may be tiny in a container). The
 * others open it through rank 0's list of open files, /proc/PID/fd. In another process namespace the same PID is
 * another process, so each rank checks device and inode of what it opened.
 */
typedef struct invitation {
    int64_t process;
    int64_t descriptor; /* -1: there is no file */
    int64_t device;
    int64_t inode;
} invitation;

/* -1: there is no file, and the others then find descriptor -1 in the invitation. */
static int make_file(int64_t bytes, invitation *out)
{
    struct stat info;
    int file = memfd_create("forerun-weights", MFD_CLOEXEC);
    if (file >= 0 && (ftruncate(file, bytes) != 0 || fstat(file, &info) != 0)) {
        (void)close(file);
        file = -1;
    }
    out->descriptor = file;
    if (file >= 0) {
        out->process = (int64_t)getpid();
        out->device = (int64_t)info.st_dev;
        out->inode = (int64_t)info.st_ino;
    }
    return file;
}

/* ESTALE stands for "another file lies there"; the warning prints it. */
static int open_file(const char *proc, const invitation *from)
{
    enum { PATH_BYTES = 256 };
    char path[PATH_BYTES];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/%lld/fd/%lld", proc, (long long)from->process,
                   (long long)from->descriptor);
    int file = from->descriptor < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (file >= 0 && (fstat(file, &info) != 0 || (int64_t)info.st_dev != from->device ||
                      (int64_t)info.st_ino != from->inode)) {
        (void)close(file);
        file = -1;
        errno = ESTALE;
    }
    return file;
}

/* Map the node's file. *data is NULL on all ranks if one of them cannot map it. */
static fr_status map_file(fr_ctx *ctx, fr_group *node, int64_t bytes, const char *proc,
                          void **data)
{
    invitation shared = {.descriptor = -1};
    bool is_first = fr_group_rank(node) == 0;
    int file = is_first ? make_file(bytes, &shared) : -1;
    fr_status status = fr_group_broadcast(node, 0, &shared, sizeof shared);
    if (status == FR_OK && !is_first) {
        file = open_file(proc, &shared);
    }
    *data = MAP_FAILED;
    if (status == FR_OK && file >= 0) {
        *data = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    int64_t failure = *data == MAP_FAILED ? errno : 0;
    if (status == FR_OK) {
        status = fr_group_allreduce(node, FR_MAX, &failure, 1); /* all have opened it */
    }
    if (file >= 0) {
        (void)close(file);
    }
    if (*data != MAP_FAILED && (status != FR_OK || failure != 0)) {
        (void)munmap(*data, (size_t)bytes);
        *data = MAP_FAILED;
    }
    *data = *data == MAP_FAILED ? NULL : *data;
    if (status == FR_OK && failure != 0 && is_first) {
        fr_log_own(
            ctx, FR_LOG_WARN,
            "the ranks of this node cannot share memory (%s): each rank keeps its "
            "own copy of the weights",
            strerror((int)failure));
    }
    return status;
}

/* Memory of its own is the fallback for every reason, since sharing saves memory and nothing else. Only lack of
 * memory is an error. */
fr_status fr_node_memory_init(fr_ctx *ctx, fr_group *node, int64_t bytes,
                              const char *proc, fr_node_memory *out)
{
    *out = (fr_node_memory){.bytes = bytes};
    if (fr_group_size(node) > 1 && bytes > 0) {
        FR_TRY(map_file(ctx, node, bytes, proc, &out->data));
        out->is_shared = out->data != NULL;
    }
    fr_status status = FR_OK;
    if (!out->is_shared) {
        status = fr_group_agree(node, fr_alloc_large(ctx, bytes, &out->data));
    }
    if (status != FR_OK) {
        fr_node_memory_fini(out);
    }
    return status;
}

/* After this a stray write ends the rank that makes it, and cannot change the weights of all ranks of the node. */
fr_status fr_node_memory_seal(fr_ctx *ctx, fr_group *node, fr_node_memory *memory)
{
    fr_status status = FR_OK;
    if (memory->is_shared &&
        mprotect(memory->data, (size_t)memory->bytes, PROT_READ) != 0) {
        status = FR_FAIL(ctx, FR_ERR_NO_MEMORY,
                         "could not protect %lld bytes of weights: %s; free memory",
                         (long long)memory->bytes, strerror(errno));
    }
    return fr_group_agree(node, status);
}

void fr_node_memory_fini(fr_node_memory *memory)
{
    if (memory->is_shared) {
        (void)munmap(memory->data, (size_t)memory->bytes);
    } else {
        free(memory->data);
    }
    *memory = (fr_node_memory){0};
}
