#define _POSIX_C_SOURCE 200809L
#include "comm/group_impl.h"

#include "base/clock.h"
#include "base/machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What all kinds of group share: checks of arguments, the turns of a wait, and agreement. A kind (group_self.c,
 * group_mpi.c) gets checked arguments alone, and messages and collectives only where there are several ranks.
 *
 * Agreement at the end of a phase is one reduction, which finds the lowest failing rank. Only if there is one, that
 * rank broadcasts its status and message. So a phase that succeeds costs one reduction of one value.
 */
/* What is longer is cut; MESSAGE_BYTES and FILE_BYTES hold all that a context keeps of an error, but for the
 * longest messages. */
enum { HOST_BYTES = 256, FILE_BYTES = 128, MESSAGE_BYTES = 4096, TEXT_BYTES = 128 };

/* Of fr_group_turn. Waits within a step mostly end within UNWATCHED_TURNS, some hundred microseconds: the watch
 * does not hear of them. After SLEEPLESS_TURNS, about a millisecond, a sleep's delay is small beside the wait. */
enum { UNWATCHED_TURNS = 200, SLEEPLESS_TURNS = 1000 };

/* What the failing rank sends to the others; plain bytes of fixed size, for one broadcast. */
typedef struct verdict {
    int64_t status;
    int64_t line;
    char file[FILE_BYTES];
    char message[MESSAGE_BYTES];
} verdict;

/* Only the environment is asked, because to ask MPI it would have to be started. The names are those of Open MPI,
 * of PMIx (srun, newer launchers) and of PMI (MPICH). */
bool fr_group_launched_by_mpi(void)
{
    static const char *const NAMES[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK",
                                        "PMI_RANK"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        const char *value = getenv(NAMES[i]);
        if (value != NULL && value[0] != '\0') {
            return true;
        }
    }
    return false;
}

/* Watch and progress function lie in the root alone, so that groups which were split earlier use them too. */
void fr_group_set_watch(fr_group *world, fr_watch *watch)
{
    world->root->watch = watch;
}

fr_watch *fr_group_watch(const fr_group *group)
{
    return group->root->watch;
}

void fr_group_set_progress(fr_group *world, void (*progress)(void *argument),
                           void *argument)
{
    world->root->progress = progress;
    world->root->progress_argument = argument;
}

/* `in_progress` keeps the function from being entered again by a wait within it. */
void fr_group_progress(fr_group *group)
{
    fr_group *root = group->root;
    if (root->progress != NULL && !root->in_progress) {
        root->in_progress = true;
        root->progress(root->progress_argument);
        root->in_progress = false;
    }
}

void fr_group_add_advance(fr_group *group, fr_advance *entry)
{
    entry->next = group->root->advances;
    group->root->advances = entry;
}

void fr_group_remove_advance(fr_group *group, const fr_advance *entry)
{
    fr_advance **at = &group->root->advances;
    while (*at != NULL && *at != entry) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = entry->next;
    }
}

void fr_group_advance(fr_group *group)
{
    for (const fr_advance *a = group->root->advances; a != NULL; a = a->next) {
        a->advance(a->argument);
    }
}

void fr_group_set_ctx(fr_group *group, fr_ctx *ctx)
{
    group->ctx = ctx;
}

bool fr_group_is_threaded(const fr_group *group)
{
    return group->root->is_threaded;
}

bool fr_group_is_abandoned(const fr_group *group)
{
    return group->root->is_abandoned;
}

/* MPI takes a negative color as an error or as "no group"; here every rank gets a group. */
fr_status fr_group_split(fr_group *group, int color, int key, fr_group **out)
{
    *out = NULL;
    if (color < 0) {
        return FR_FAIL(group->ctx, FR_ERR_INTERNAL,
                       "color %d of a group split is negative", color);
    }
    return group->ops->split(group, color, key, out);
}

/* The lowest rank of a node in this group differs from node to node, so it serves as the color. */
fr_status fr_group_split_node(fr_group *group, fr_group **out)
{
    return fr_group_split(group, group->node_leader, group->rank, out);
}

fr_status fr_group_split_trial(fr_group *group, fr_group **out)
{
    *out = NULL;
    return group->size == 1 ? fr_group_create_self(group->ctx, out)
                            : group->ops->split_trial(group, out);
}

bool fr_group_takes_cuda(const fr_group *group)
{
    return group->size > 1 && group->ops->takes_cuda();
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

/* With one rank nobody is waited for. The same holds for the collectives below, once their arguments are checked:
 * errors of a caller show with one rank as well. */
fr_status fr_group_barrier(fr_group *group)
{
    return group->size == 1 ? FR_OK : group->ops->barrier(group);
}

fr_status fr_group_allreduce(fr_group *group, fr_reduce op, int64_t *values, int64_t n)
{
    if (n < 0 || (op != FR_SUM && op != FR_MIN && op != FR_MAX)) {
        return FR_FAIL(group->ctx, FR_ERR_INTERNAL,
                       "reduction %d of %lld values; allowed are sum, min and max of "
                       "at least 0 values",
                       (int)op, (long long)n);
    }
    return group->size == 1 || n == 0 ? FR_OK
                                      : group->ops->allreduce(group, op, values, n);
}

/* Each rank sets its own part and leaves the others zero, so that the sum is all of them. */
fr_status fr_group_gather(fr_group *group, const int64_t *mine, int64_t n, int64_t *all)
{
    memset(all, 0, (size_t)(group->size * n) * sizeof *all);
    memcpy(all + group->rank * n, mine, (size_t)n * sizeof *all);
    return fr_group_allreduce(group, FR_SUM, all, group->size * n);
}

fr_status fr_group_nodes(fr_group *group, int64_t *nodes)
{
    int64_t leader = group->node_leader;
    return fr_group_gather(group, &leader, 1, nodes);
}

fr_status fr_group_allreduce_begin(fr_group *group, fr_reduce op, int64_t *values,
                                   int64_t n, fr_request *request)
{
    request->handle = NULL;
    if (n < 0 || n > INT32_MAX || (op != FR_SUM && op != FR_MIN && op != FR_MAX)) {
        return FR_FAIL(group->ctx, FR_ERR_INTERNAL,
                       "reduction %d of %lld values; allowed are sum, min and max of 0 "
                       "to %d values",
                       (int)op, (long long)n, (int)INT32_MAX);
    }
    return group->size == 1 || n == 0
               ? FR_OK
               : group->ops->allreduce_begin(group, op, values, n, request);
}

fr_status fr_group_broadcast(fr_group *group, int root, void *data, int64_t bytes)
{
    if (root < 0 || root >= group->size || bytes < 0) {
        return FR_FAIL(
            group->ctx, FR_ERR_INTERNAL,
            "broadcast of %lld bytes from rank %d of %d; allowed are at least 0 "
            "bytes and the ranks of the group",
            (long long)bytes, root, group->size);
    }
    return group->size == 1 || bytes == 0
               ? FR_OK
               : group->ops->broadcast(group, root, data, bytes);
}

/* A message to oneself is refused: a blocking one would wait for itself. */
static fr_status check_message(fr_group *group, int peer, fr_tag tag, int64_t bytes)
{
    if (peer < 0 || peer >= group->size || peer == group->rank) {
        return FR_FAIL(group->ctx, FR_ERR_INTERNAL,
                       "message between rank %d and rank %d of %d; the peer must be "
                       "another rank of the group",
                       group->rank, peer, group->size);
    }
    int number = (int)tag;
    if (number < 0 || number > (int)FR_TAG_GATHER_LAST || bytes < 0) {
        return FR_FAIL(group->ctx, FR_ERR_INTERNAL,
                       "message of %lld bytes with tag %d; allowed are at least 0 "
                       "bytes and tags 0 to %d",
                       (long long)bytes, number, (int)FR_TAG_GATHER_LAST);
    }
    return FR_OK;
}

fr_status fr_group_send_begin(fr_group *group, int peer, fr_tag tag, const void *data,
                              int64_t bytes, fr_request *request)
{
    request->handle = NULL;
    FR_TRY(check_message(group, peer, tag, bytes));
    return group->ops->send_begin(group, peer, tag, data, bytes, request);
}

fr_status fr_group_receive_begin(fr_group *group, int peer, fr_tag tag, void *data,
                                 int64_t bytes, fr_request *request)
{
    request->handle = NULL;
    FR_TRY(check_message(group, peer, tag, bytes));
    return group->ops->receive_begin(group, peer, tag, data, bytes, request);
}

/* The request is empty before the wait, so that a failed one cannot be waited for twice. */
fr_status fr_group_wait(fr_group *group, fr_request *request)
{
    void *handle = request->handle;
    request->handle = NULL;
    return handle == NULL ? FR_OK : group->ops->wait(group, handle);
}

fr_status fr_group_test(fr_group *group, fr_request *request, bool *is_done)
{
    *is_done = true;
    if (request->handle == NULL) {
        return FR_OK;
    }
    fr_status status = group->ops->test(group, request->handle, is_done);
    if (*is_done || status != FR_OK) {
        request->handle = NULL;
    }
    return status;
}

bool fr_group_turn(int *turns)
{
    enum { PAUSE_NS = 20000 }; /* 20 us: what a wait may end late by */
    if (*turns < SLEEPLESS_TURNS) {
        (*turns)++;
        (void)sched_yield();
    } else {
        fr_sleep_ns(PAUSE_NS);
    }
    return *turns == UNWATCHED_TURNS;
}

/* Waits below this length never reached the watch, so they must not end one there. */
bool fr_group_is_watched(int turns)
{
    return turns >= UNWATCHED_TURNS;
}

/* The watch hears of the wait only once it is long: publishing each short wait would cost more than the wait. */
void fr_group_wait_until(fr_group *group, const char *what,
                         bool (*is_over)(void *argument), void *argument)
{
    fr_watch *watch = fr_group_watch(group);
    int turns = 0;
    while (!is_over(argument)) {
        fr_group_poll(group);
        if (fr_group_turn(&turns)) {
            fr_watch_wait_begin(watch, what, FR_ALL_RANKS);
        }
    }
    if (fr_group_is_watched(turns)) {
        fr_watch_wait_end(watch);
    }
}

/* A watch that knows of the wait hears each change at once: it must not blame a peer for a device, nor the other way
 * round. */
void fr_group_wait_for(fr_group *group,
                       const char *(*waits_for)(void *argument, int *peer),
                       void *argument)
{
    fr_watch *watch = fr_group_watch(group);
    const char *told = NULL;
    int turns = 0;
    int peer = FR_ALL_RANKS;
    const char *what = waits_for(argument, &peer);
    while (what != NULL) {
        fr_group_poll(group);
        fr_group_progress(group);
        if (fr_group_turn(&turns) || (told != NULL && told != what)) {
            if (told != NULL) {
                fr_watch_wait_end(watch);
            }
            fr_watch_wait_begin(
                watch, what,
                peer == FR_ALL_RANKS ? peer : group->ops->world_rank(group, peer));
            told = what;
        }
        what = waits_for(argument, &peer);
    }
    if (told != NULL) {
        fr_watch_wait_end(watch);
    }
}

fr_status fr_group_send(fr_group *group, int peer, fr_tag tag, const void *data,
                        int64_t bytes)
{
    fr_request request;
    FR_TRY(fr_group_send_begin(group, peer, tag, data, bytes, &request));
    return fr_group_wait(group, &request);
}

fr_status fr_group_receive(fr_group *group, int peer, fr_tag tag, void *data,
                           int64_t bytes)
{
    fr_request request;
    FR_TRY(fr_group_receive_begin(group, peer, tag, data, bytes, &request));
    return fr_group_wait(group, &request);
}

/* With one rank there are no messages, and what is in the list may still wait for a device. */
void fr_group_poll(fr_group *group)
{
    fr_group_advance(group);
    if (group->size > 1) {
        group->ops->poll(group);
    }
}

/* An agreement inside an agreement must not name a second rank: the first one named is the one that failed. */
static bool names_a_rank(const char *message)
{
    int rank = 0;
    int used = 0;
    return sscanf(message, "rank %d on %n", &rank, &used) == 1 && used > 0 &&
           strstr(message + used, ": ") != NULL;
}

/* The failing rank's own error: the message with this rank's name in front, and the line that detected it. */
static void describe_failure(const fr_group *group, fr_status mine, verdict *out)
{
    char host[HOST_BYTES];
    const char *message = fr_ctx_error(group->ctx);
    const char *place = fr_ctx_error_place(group->ctx);
    const char *colon = strrchr(place, ':');
    out->status = (int64_t)mine;
    if (message[0] == '\0') {
        message = fr_status_text(mine);
    }
    if (colon != NULL) {
        (void)snprintf(out->file, sizeof out->file, "%.*s", (int)(colon - place),
                       place);
        out->line = strtol(colon + 1, NULL, 10);
    }
    if (names_a_rank(message)) {
        (void)snprintf(out->message, sizeof out->message, "%s", message);
        return;
    }
    fr_machine_host("unknown host", host, sizeof host);
    (void)snprintf(out->message, sizeof out->message, "rank %d on %s: %s", group->rank,
                   host, message);
}

/* All ranks take the same way through it: whether a broadcast follows depends on the reduced value alone. If
 * agreeing itself fails, a rank reports its own error first, since the failed messages are probably a consequence. */
fr_status fr_group_agree(fr_group *group, fr_status mine)
{
    if (group->size == 1 || (mine != FR_OK && fr_group_is_abandoned(group))) {
        return mine;
    }
    int64_t failing = mine == FR_OK ? group->size : group->rank;
    verdict shared = {0};
    fr_status status = fr_group_allreduce(group, FR_MIN, &failing, 1);
    if (status == FR_OK && failing == group->size) {
        return FR_OK;
    }
    if (status == FR_OK) {
        if (failing == group->rank) {
            describe_failure(group, mine, &shared);
        }
        status = fr_group_broadcast(group, (int)failing, &shared, sizeof shared);
    }
    if (status != FR_OK) {
        return mine != FR_OK ? mine : status;
    }
    fr_ctx_clear_error(group->ctx);
    return fr_fail_at(group->ctx, (fr_status)shared.status, shared.file,
                      (int)shared.line, "%s", shared.message);
}

/* No message is sent, since the others may be in any call. */
fr_status fr_group_abandon(fr_group *group, fr_status mine)
{
    verdict own = {0};
    if (group->root->size == 1) {
        return mine;
    }
    describe_failure(group, mine, &own);
    group->root->is_abandoned = true;
    fr_ctx_clear_error(group->ctx);
    fr_group_advance(
        group); /* what is under way elsewhere hears of it before anything waits for that */
    return fr_fail_at(group->ctx, mine, own.file, (int)own.line, "%s", own.message);
}

/* Rank 0 broadcasts, and each rank compares on its own: one message, however many ranks differ. */
fr_status fr_group_agree_text(fr_group *group, const char *name, const char *text,
                              const char *remedy)
{
    struct {
        char host[HOST_BYTES];
        char text[TEXT_BYTES];
    } first = {0};
    char mine[TEXT_BYTES] = "";
    fr_status status = FR_OK;
    (void)snprintf(mine, sizeof mine, "%s", text);
    if (group->rank == 0) {
        fr_machine_host("unknown host", first.host, sizeof first.host);
        memcpy(first.text, mine, sizeof mine);
    }
    FR_TRY(fr_group_broadcast(group, 0, &first, sizeof first));
    if (strcmp(first.text, mine) != 0) {
        status = FR_FAIL(group->ctx, FR_ERR_UNSUPPORTED,
                         "%s is \"%s\" here and \"%s\" on rank 0 (%s); %s", name, mine,
                         first.text, first.host, remedy);
    }
    return fr_group_agree(group, status);
}
