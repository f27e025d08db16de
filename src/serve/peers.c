/* Ranks are known by their process ids. Those of another namespace mean other processes here, or none, so only a process that runs
 * this program when the server begins is looked for later.
 */
#define _POSIX_C_SOURCE 200809L
#include "serve/peers.h"

#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fr_peers {
    int n;
    int64_t *pids; /* [n]; 0: not looked for */
};

/* Whether a process runs the file that this one runs. */
static bool runs_the_same(int64_t pid)
{
    enum { PATH_BYTES = 64 };
    char path[PATH_BYTES];
    struct stat own;
    struct stat other;
    (void)snprintf(path, sizeof path, "/proc/%lld/exe", (long long)pid);
    return stat("/proc/self/exe", &own) == 0 && stat(path, &other) == 0 &&
           own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

fr_status fr_peers_open(fr_ctx *ctx, fr_group *world, const int64_t *nodes,
                        fr_peers **out)
{
    fr_peers *p = NULL;
    int me = fr_group_rank(world);
    fr_status status = fr_alloc(ctx, 1, sizeof *p, &p);
    if (status == FR_OK) {
        p->n = fr_group_size(world);
        status = fr_alloc(ctx, p->n, sizeof *p->pids, &p->pids);
    }
    *out = p;
    FR_TRY(fr_group_agree(world, status));
    for (int rank = 0; rank < p->n; rank++) {
        int64_t pid = getpid();
        FR_TRY(fr_group_broadcast(world, rank, &pid, sizeof pid));
        bool is_looked_for =
            rank != me && nodes[rank] == nodes[me] && runs_the_same(pid);
        p->pids[rank] = is_looked_for ? pid : 0;
    }
    return FR_OK;
}

void fr_peers_close(fr_peers **peers)
{
    if (*peers != NULL) {
        free((*peers)->pids);
        free(*peers);
    }
    *peers = NULL;
}

int fr_peers_find_lost(const fr_peers *p)
{
    for (int rank = 0; rank < p->n; rank++) {
        if (p->pids[rank] != 0 && kill((pid_t)p->pids[rank], 0) != 0 &&
            errno == ESRCH) {
            return rank;
        }
    }
    return -1;
}
