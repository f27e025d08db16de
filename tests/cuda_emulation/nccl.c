/*
 * nccl.c - an emulated libnccl.so.2: the functions of the list in src/comm/nccl.h, over MPI, for ranks with emulated GPUs.
 *
 * It does what NCCL may do and a program may not count on. A communicator comes to be after some questions for its state. A sum
 * is put on its stream at the call or some questions later, and until then nothing may be asked for. When the stream reaches it, the values are
 * read and rubbish stands in their place, and nothing else of the GPU runs until all ranks have come as far and the sum is there. What NCCL
 * leaves undefined ends the program with a message: a call while another one is in progress, two operations at once, ranks that
 * sum different numbers of values, a communicator that is used behind its end, or destroyed before it was finalized.
 *
 *     FR_EMULATED_SEED          how late it is
 *     FR_EMULATED_NCCL_VERSION  of the library (default 22809)
 *     FR_EMULATED_NCCL_ERROR    name:n:code[,...]: the n-th call of that function since the version was last asked for does nothing
 *                               and returns the code. `init` and `sum` for what a call began: its communicator's state
 *                               becomes the code later; -1: it never comes; -9: this process is killed then. `wrong`: a sum is wrong
 *
 * Messages go over MPI_COMM_WORLD, which Forerun itself does not use, through the first rank of a communicator.
 */
#define _POSIX_C_SOURCE 200809L
#include "comm/nccl.h"

#include <mpi.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FR_DECLARE(type, name, symbol, parameters)                                     \
    __attribute__((visibility("default")))                                             \
    type emulated_##name parameters __asm__(symbol);
FR_NCCL(FR_DECLARE)
#undef FR_DECLARE

enum { RUBBISH = 0xC5, MOST_LOOKS = 6, MOST_RANKS = 64, TAGS = 20000, NAMES = 16 };
enum { NEVER = -1, KILLED = -9 };
enum { INVALID_ARGUMENT = 4, INVALID_USAGE = 5 };

/* Kinds of messages, each with a tag of its own. */
enum { HELLO, TABLE, VALUES, SUM, GONE, KINDS };

typedef struct operation {
    fr_nccl_comm comm;
    int64_t *device; /* [n] */
    int64_t *values; /* [n], the host's */
    int64_t *sent;   /* [n], what goes over MPI */
    size_t n;
    void *stream;
    int n_come; /* of the other ranks' values */
    bool has_begun;
    bool has_come[MOST_RANKS];
    bool is_over;
    struct operation *older; /* all that were ever made: MPI may still read there */
} operation;

struct fr_nccl_comm_of {
    int n;
    int rank;
    int root;              /* in MPI's world */
    int tags;              /* of its messages: from here on */
    int table[MOST_RANKS]; /* in MPI's world, from the rank */
    int state;
    int later; /* the state that it will have; NEVER */
    int looks; /* until then */
    int n_hello;
    bool is_ready;
    bool is_finalized;
    bool has_ended;
    operation *posted; /* not on its stream yet */
    operation *latest;
    struct fr_nccl_comm_of *older; /* all that were ever made */
};

/* The interface has no place for a caller's state. */
static struct {
    fr_nccl_comm newest;
    int n_ids;
    uint64_t drawn;
    char counted[NAMES][32];
    int counts[NAMES];
} all;

__attribute__((noreturn)) static void stop(const char *call, const char *what)
{
    (void)fprintf(stderr, "emulation: %s: %s\n", call, what);
    abort();
}

static int draw(int below)
{
    const char *seed = getenv("FR_EMULATED_SEED");
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (all.drawn == 0) {
        all.drawn = 1 + 8 * (seed != NULL ? strtoull(seed, NULL, 10) : 0) +
                    (rank != NULL ? strtoull(rank, NULL, 10) : 0);
    }
    all.drawn = all.drawn * 6364136223846793005ULL + 1442695040888963407ULL;
    return (int)((all.drawn >> 33) % (uint64_t)below);
}

/* ---- errors on request ------------------------------------------------------------------------ */

static int count(const char *name)
{
    int i = 0;
    while (all.counted[i][0] != '\0' && strcmp(all.counted[i], name) != 0) {
        i++;
    }
    (void)snprintf(all.counted[i], sizeof all.counted[i], "%s", name);
    return ++all.counts[i];
}

/* What this call of `name` gives instead of what it does; 0: nothing. */
static int error_of(const char *name)
{
    const char *said = getenv("FR_EMULATED_NCCL_ERROR");
    const char *at = said != NULL ? said : "";
    size_t length = strlen(name);
    int n = count(name);
    while (at != NULL && *at != '\0') {
        int wanted = 0;
        int code = 0;
        if (strncmp(at, name, length) == 0 &&
            sscanf(at + length, ":%d:%d", &wanted, &code) == 2 && wanted == n) {
            return code;
        }
        at = strchr(at, ',');
        at = at != NULL ? at + 1 : NULL;
    }
    return 0;
}

/* ---- the driver ------------------------------------------------------------------------------- */

typedef int ask_function(void *on, int (*step)(void *argument), void *argument,
                         const void *at, size_t bytes);

static ask_function *find_ask(void)
{
    ask_function *ask = NULL;
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    void *found = driver != NULL ? dlsym(driver, "fr_emulated_ask") : NULL;
    memcpy(&ask, &found, sizeof ask);
    return ask;
}

/* ---- messages --------------------------------------------------------------------------------- */

/* What has come from one rank, or from any; nothing is waited for. @return whether */
static bool take(const struct fr_nccl_comm_of *c, int kind, int from, void *to,
                 int bytes, int *source)
{
    int found = 0;
    int length = 0;
    MPI_Status status;
    (void)PMPI_Iprobe(from, c->tags + kind, MPI_COMM_WORLD, &found, &status);
    if (!found) {
        return false;
    }
    (void)PMPI_Get_count(&status, MPI_BYTE, &length);
    if (length != bytes) {
        stop("ncclAllReduce", "ranks sum different numbers of values");
    }
    (void)PMPI_Recv(to, bytes, MPI_BYTE, status.MPI_SOURCE, c->tags + kind,
                    MPI_COMM_WORLD, &status);
    *source = status.MPI_SOURCE;
    return true;
}

/* Nobody asks when it has left: what is sent stays where it is. */
static void give(const struct fr_nccl_comm_of *c, int kind, int to, const void *data,
                 int bytes)
{
    MPI_Request request;
    (void)PMPI_Isend(data, bytes, MPI_BYTE, to, c->tags + kind, MPI_COMM_WORLD,
                     &request);
    (void)PMPI_Request_free(&request);
}

/* The root learns where the others are, and then they learn it from it. */
static void connect_root(fr_nccl_comm c)
{
    int rank = 0;
    int source = 0;
    while (c->n_hello + 1 < c->n &&
           take(c, HELLO, MPI_ANY_SOURCE, &rank, sizeof rank, &source)) {
        c->table[rank] = source;
        c->n_hello++;
    }
    c->is_ready = c->n_hello + 1 == c->n;
    for (int i = 1; i < c->n && c->is_ready; i++) {
        give(c, TABLE, c->table[i], c->table, (int)sizeof c->table);
    }
}

static void connect(fr_nccl_comm c)
{
    int source = 0;
    if (c->rank == 0) {
        connect_root(c);
    } else {
        c->is_ready = take(c, TABLE, c->root, c->table, (int)sizeof c->table, &source);
    }
}

static void leave(const struct fr_nccl_comm_of *c)
{
    static const int NOTHING = 0;
    for (int i = 0; i < c->n; i++) {
        bool is_known = i != c->rank && c->table[i] >= 0;
        if (is_known) {
            give(c, GONE, c->table[i], &NOTHING, sizeof NOTHING);
        }
    }
}

/* ---- sums ------------------------------------------------------------------------------------- */

static int bytes_of(const operation *o)
{
    return (int)(o->n * sizeof *o->values);
}

static void begin(operation *o)
{
    const struct fr_nccl_comm_of *c = o->comm;
    memcpy(o->values, o->device, (size_t)bytes_of(o));
    memcpy(o->sent, o->device, (size_t)bytes_of(o));
    memset(o->device, RUBBISH, (size_t)bytes_of(o));
    if (c->rank != 0) {
        give(c, VALUES, c->root, o->sent, bytes_of(o));
    }
    o->has_begun = true;
}

/* The root adds what has come, and sends the sum when all have. @return whether */
static bool add_up(operation *o)
{
    const struct fr_nccl_comm_of *c = o->comm;
    int64_t *others = malloc((size_t)bytes_of(o) + 1);
    int source = 0;
    for (int i = 1; i < c->n && others != NULL; i++) {
        if (o->has_come[i] ||
            !take(c, VALUES, c->table[i], others, bytes_of(o), &source)) {
            continue;
        }
        o->has_come[i] = true;
        o->n_come++;
        for (size_t j = 0; j < o->n; j++) {
            o->values[j] = (int64_t)((uint64_t)o->values[j] + (uint64_t)others[j]);
        }
    }
    free(others);
    if (o->n_come + 1 < c->n) {
        return false;
    }
    memcpy(o->sent, o->values, (size_t)bytes_of(o));
    for (int i = 1; i < c->n; i++) {
        give(c, SUM, c->table[i], o->sent, bytes_of(o));
    }
    return true;
}

/* The root's is there when it has added up; the others' comes from it. */
static bool has_sum(operation *o)
{
    int source = 0;
    const struct fr_nccl_comm_of *c = o->comm;
    return c->rank == 0 ? add_up(o)
                        : take(c, SUM, c->root, o->values, bytes_of(o), &source);
}

/* For the driver: the stream has reached it. */
static int step(void *argument)
{
    operation *o = argument;
    fr_nccl_comm c = o->comm;
    if (c->has_ended || o->is_over) {
        o->is_over = true;
        return 1;
    }
    if (c->later == KILLED) {
        (void)raise(SIGKILL);
    }
    if (c->later != 0) {
        return 0;
    }
    if (!o->has_begun) {
        begin(o);
    }
    if (!has_sum(o)) {
        return 0;
    }
    o->values[o->n / 2] += error_of("wrong");
    memcpy(o->device, o->values, (size_t)bytes_of(o));
    o->is_over = true;
    return 1;
}

static void post(fr_nccl_comm c)
{
    operation *o = c->posted;
    ask_function *ask = find_ask();
    c->posted = NULL;
    if (ask == NULL || !ask(o->stream, step, o, o->device, (size_t)bytes_of(o))) {
        stop("ncclAllReduce", "no such stream, or memory that is not a GPU's");
    }
}

/* ---- communicators ---------------------------------------------------------------------------- */

/* One that is there and may be asked for more. */
static void expect(const char *call, fr_nccl_comm comm, bool may_be_in_progress)
{
    fr_nccl_comm c = all.newest;
    while (c != NULL && c != comm) {
        c = c->older;
    }
    if (c == NULL || c->has_ended) {
        stop(call, "the communicator has ended, or never was");
    }
    if (!may_be_in_progress && c->state == FR_NCCL_IN_PROGRESS) {
        stop(call, "something else is in progress");
    }
}

static void advance(fr_nccl_comm c)
{
    int nothing = 0;
    int source = 0;
    if (take(c, GONE, MPI_ANY_SOURCE, &nothing, sizeof nothing, &source)) {
        c->state = FR_NCCL_REMOTE_ERROR;
    }
    if (c->later != 0 && c->looks-- <= 0) {
        c->state = c->later == NEVER ? c->state : c->later;
        return;
    }
    if (c->state != FR_NCCL_IN_PROGRESS || c->later != 0) {
        return;
    }
    if (!c->is_ready) {
        connect(c);
    }
    if (!c->is_ready || c->looks-- > 0) {
        return;
    }
    if (c->posted != NULL) {
        post(c);
    }
    c->state = FR_NCCL_SUCCESS;
}

int emulated_get_version(int *version)
{
    const char *said = getenv("FR_EMULATED_NCCL_VERSION");
    memset(all.counts, 0, sizeof all.counts);
    *version = said != NULL ? atoi(said) : 22809;
    return error_of("ncclGetVersion");
}

int emulated_get_id(fr_nccl_id *id)
{
    int error = error_of("ncclGetUniqueId");
    int where[2] = {0, all.n_ids++};
    (void)PMPI_Comm_rank(MPI_COMM_WORLD, &where[0]);
    memset(id, RUBBISH, sizeof *id);
    memcpy(id, where, sizeof where);
    return error;
}

int emulated_init(fr_nccl_comm *comm, int n_ranks, fr_nccl_id id, int rank,
                  fr_nccl_config *config)
{
    static const char CALL[] = "ncclCommInitRankConfig";
    int where[2];
    int error = error_of(CALL);
    *comm = NULL;
    if (config->size < offsetof(fr_nccl_config, network) ||
        config->magic != FR_NCCL_MAGIC || config->version < 21400 || n_ranks < 1 ||
        n_ranks > MOST_RANKS || rank < 0 || rank >= n_ranks) {
        return INVALID_ARGUMENT;
    }
    if (config->blocking != 0) {
        stop(CALL, "it would block");
    }
    if (error != 0) {
        return error;
    }
    fr_nccl_comm c = calloc(1, sizeof *c);
    if (c == NULL) {
        abort();
    }
    memcpy(where, &id, sizeof where);
    *c = (struct fr_nccl_comm_of){.n = n_ranks,
                                  .rank = rank,
                                  .root = where[0],
                                  .tags = TAGS + KINDS * where[1],
                                  .state = FR_NCCL_IN_PROGRESS,
                                  .later = error_of("init"),
                                  .looks = draw(MOST_LOOKS),
                                  .older = all.newest};
    memset(c->table, -1, sizeof c->table);
    c->table[0] = c->root;
    all.newest = c;
    if (c->rank != 0 && c->later == 0) {
        give(c, HELLO, c->root, &c->rank, sizeof c->rank);
    }
    *comm = c;
    return FR_NCCL_IN_PROGRESS;
}

int emulated_state(fr_nccl_comm comm, int *state)
{
    expect("ncclCommGetAsyncError", comm, true);
    advance(comm);
    *state = comm->state;
    return error_of("ncclCommGetAsyncError");
}

int emulated_all_reduce(const void *from, void *to, size_t n, int type, int which,
                        fr_nccl_comm comm, void *stream)
{
    static const char CALL[] = "ncclAllReduce";
    expect(CALL, comm, false);
    int error = error_of(CALL);
    if (error != 0 || comm->state != FR_NCCL_SUCCESS) {
        return error != 0 ? error : INVALID_USAGE;
    }
    if (from != to || type != FR_NCCL_INT64 || which != FR_NCCL_SUM || n == 0) {
        return INVALID_ARGUMENT;
    }
    if (comm->latest != NULL && !comm->latest->is_over) {
        stop(CALL, "two operations at once");
    }
    operation *o = calloc(1, sizeof *o);
    if (o == NULL) {
        abort();
    }
    *o = (operation){
        .comm = comm, .device = to, .n = n, .stream = stream, .older = comm->latest};
    o->values = malloc(n * sizeof *o->values);
    o->sent = malloc(n * sizeof *o->sent);
    if (o->values == NULL || o->sent == NULL) {
        abort();
    }
    comm->later = error_of("sum");
    comm->looks = draw(MOST_LOOKS);
    comm->posted = o;
    comm->latest = o;
    if (draw(2) == 0 || comm->later != 0) {
        post(comm);
        return FR_NCCL_SUCCESS;
    }
    comm->state = FR_NCCL_IN_PROGRESS;
    return FR_NCCL_IN_PROGRESS;
}

int emulated_finalize(fr_nccl_comm comm)
{
    static const char CALL[] = "ncclCommFinalize";
    expect(CALL, comm, false);
    int error = error_of(CALL);
    if (comm->is_finalized || (comm->latest != NULL && !comm->latest->is_over)) {
        stop(CALL, "a second time, or with a sum under way");
    }
    comm->later = error == NEVER ? NEVER : 0;
    comm->looks = draw(MOST_LOOKS);
    comm->is_finalized = true;
    comm->state = FR_NCCL_IN_PROGRESS;
    return error > 0 ? error : (int)FR_NCCL_IN_PROGRESS;
}

int emulated_destroy(fr_nccl_comm comm)
{
    expect("ncclCommDestroy", comm, false);
    if (!comm->is_finalized) {
        stop("ncclCommDestroy", "the communicator was not finalized");
    }
    comm->has_ended = true;
    return error_of("ncclCommDestroy");
}

/* What is on the GPU ends at once; other ranks hear of it. */
int emulated_abort(fr_nccl_comm comm)
{
    expect("ncclCommAbort", comm, true);
    comm->has_ended = true;
    leave(comm);
    return error_of("ncclCommAbort");
}

const char *emulated_last_error(fr_nccl_comm comm)
{
    (void)comm;
    return getenv("FR_EMULATED_NCCL_ERROR") != NULL ? "on request" : "";
}
