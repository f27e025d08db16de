/*
 * The file is reserved before it is mapped larger: a page without space on the disk would end the process when it is written
 * to. If that fails, the bytes move into memory and stay there.
 */
#define _GNU_SOURCE
#include "base/store.h"

#include "base/file.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file that never has a name. Where the file system has no such files, the name is gone as soon as the file is open; a process
 * that is killed between the two leaves one, as in fr_file_replace. A number tells the stores of a process apart. No
 * memory is allocated: a lack of it shall not be taken for a lack of disk. */
static int open_unnamed(const fr_store *store)
{
    enum { PATH_BYTES = 4096, OWN = 0600 };
    char path[PATH_BYTES];
    int file = open(store->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, OWN);
    int n = snprintf(path, sizeof path, "%s/store-%zx.tmp.%ld", store->folder,
                     (size_t)(uintptr_t)store, (long)getpid());
    if (file >= 0 || n < 0 || n >= (int)sizeof path) {
        return file;
    }
    file = fr_open_own(path, O_RDWR | O_EXCL);
    if (file >= 0) {
        (void)unlink(path);
    }
    return file;
}

static void *map(size_t bytes, int file)
{
    int flags = file >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, file, 0);
    return data != MAP_FAILED ? data : NULL;
}

static void *map_again(fr_store *store, size_t bytes, int file)
{
    void *data = store->data == NULL
                     ? map(bytes, file)
                     : mremap(store->data, store->bytes, bytes, MREMAP_MAYMOVE);
    return data != MAP_FAILED ? data : NULL;
}

/* Whether the store lies in a file of `bytes` now. */
static bool grow_file(fr_store *store, size_t bytes)
{
    if (store->folder == NULL || (store->data != NULL && store->file == 0)) {
        return false;
    }
    if (store->file == 0) {
        store->file = open_unnamed(store) + 1;
    }
    if (store->file == 0 || posix_fallocate(store->file - 1, 0, (off_t)bytes) != 0) {
        return false;
    }
    void *data = map_again(store, bytes, store->file - 1);
    store->data = data != NULL ? data : store->data;
    store->bytes = data != NULL ? bytes : store->bytes;
    return data != NULL;
}

static fr_status grow_memory(fr_ctx *ctx, fr_store *store, size_t bytes)
{
    bool moves = store->file > 0;
    void *data = moves ? map(bytes, -1) : map_again(store, bytes, -1);
    FR_TRY(fr_check_memory(ctx, data != NULL, bytes));
    if (moves) {
        if (store->data != NULL) {
            memcpy(data, store->data, store->bytes);
        }
        fr_store_close(store);
    }
    store->data = data;
    store->bytes = bytes;
    return FR_OK;
}

fr_status fr_store_grow(fr_ctx *ctx, fr_store *store, size_t bytes)
{
    enum { FIRST = 1 << 16 };
    size_t wanted = store->bytes > 0 ? store->bytes : FIRST;
    if (bytes <= store->bytes) {
        return FR_OK;
    }
    while (wanted < bytes) {
        wanted *= 2;
    }
    return grow_file(store, wanted) ? FR_OK : grow_memory(ctx, store, wanted);
}

void fr_store_close(fr_store *store)
{
    if (store->data != NULL) {
        (void)munmap(store->data, store->bytes);
    }
    if (store->file > 0) {
        (void)close(store->file - 1);
    }
    *store = (fr_store){.folder = store->folder};
}
