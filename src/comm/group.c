#define _POSIX_C_SOURCE 200809L
#include "comm/group.h"

#include "comm/group_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool fr_group_launched_by_mpi(void)
{
    static const char *const NAMES[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK",
                                        "PMI_RANK"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (getenv(NAMES[i]) != NULL) {
            return true;
        }
    }
    return false;
}

fr_status fr_group_split(fr_group *group, int color, int key, fr_group **out)
{
    *out = NULL;
    return group->ops->split(group, color, key, out);
}

void fr_group_destroy(fr_group **group)
{
    if (*group != NULL) {
        (*group)->ops->destroy(*group);
        *group = NULL;
    }
}

int fr_group_rank(const fr_group *group)
{
    return group->rank;
}

int fr_group_size(const fr_group *group)
{
    return group->size;
}

int fr_group_node_size(const fr_group *group)
{
    return group->node_size;
}

int fr_group_node_rank(const fr_group *group)
{
    return group->node_rank;
}

fr_status fr_group_barrier(fr_group *group)
{
    return group->ops->barrier(group);
}

fr_status fr_group_allreduce(fr_group *group, fr_reduce op, int64_t *values, int64_t n)
{
    return group->ops->allreduce(group, op, values, n);
}

fr_status fr_group_broadcast(fr_group *group, int root, void *data, int64_t bytes)
{
    return group->ops->broadcast(group, root, data, bytes);
}

static fr_status check_peer(fr_group *group, int peer)
{
    if (peer >= 0 && peer < group->size && peer != group->rank) {
        return FR_OK;
    }
    return FR_FAIL(group->ctx, FR_ERR_INTERNAL, "rank %d of %d has no peer %d",
                   group->rank, group->size, peer);
}

fr_status fr_group_send_begin(fr_group *group, int peer, int tag, const void *data,
                              int64_t bytes, fr_request *request)
{
    request->handle = NULL;
    FR_TRY(check_peer(group, peer));
    return group->ops->send_begin(group, peer, tag, data, bytes, request);
}

fr_status fr_group_receive_begin(fr_group *group, int peer, int tag, void *data,
                                 int64_t bytes, fr_request *request)
{
    request->handle = NULL;
    FR_TRY(check_peer(group, peer));
    return group->ops->receive_begin(group, peer, tag, data, bytes, request);
}

fr_status fr_group_wait(fr_group *group, fr_request *request)
{
    return request->handle == NULL ? FR_OK : group->ops->wait(group, request);
}

fr_status fr_group_send(fr_group *group, int peer, int tag, const void *data,
                        int64_t bytes)
{
    fr_request request;
    FR_TRY(fr_group_send_begin(group, peer, tag, data, bytes, &request));
    return fr_group_wait(group, &request);
}

fr_status fr_group_receive(fr_group *group, int peer, int tag, void *data,
                           int64_t bytes)
{
    fr_request request;
    FR_TRY(fr_group_receive_begin(group, peer, tag, data, bytes, &request));
    return fr_group_wait(group, &request);
}

void fr_group_poll(fr_group *group)
{
    group->ops->poll(group);
}

/* What the failing rank tells the others. */
typedef struct verdict {
    int32_t status;
    char message[1024];
    char place[128];
} verdict;

static void fill_verdict(const fr_group *group, fr_status mine, verdict *out)
{
    char host[64] = "?";
    const char *message = fr_ctx_error(group->ctx);
    (void)gethostname(host, sizeof host - 1);
    out->status = (int32_t)mine;
    (void)snprintf(out->message, sizeof out->message, "rank %d on %s: %s", group->rank,
                   host, message[0] != '\0' ? message : fr_status_text(mine));
    (void)snprintf(out->place, sizeof out->place, "%s", fr_ctx_error_place(group->ctx));
}

fr_status fr_group_agree(fr_group *group, fr_status mine)
{
    if (group->size == 1) {
        return mine;
    }
    int64_t first_failing = mine == FR_OK ? group->size : group->rank;
    FR_TRY(fr_group_allreduce(group, FR_MIN, &first_failing, 1));
    if (first_failing == group->size) {
        return FR_OK;
    }
    verdict shared;
    memset(&shared, 0, sizeof shared);
    if (first_failing == group->rank) {
        fill_verdict(group, mine, &shared);
    }
    FR_TRY(
        fr_group_broadcast(group, (int)first_failing, &shared, (int64_t)sizeof shared));
    char *colon = strrchr(shared.place, ':');
    int line = colon != NULL ? atoi(colon + 1) : 0;
    if (colon != NULL) {
        *colon = '\0';
    }
    fr_ctx_clear_error(group->ctx);
    return fr_fail_at(group->ctx, (fr_status)shared.status, shared.place, line, "%s",
                      shared.message);
}
