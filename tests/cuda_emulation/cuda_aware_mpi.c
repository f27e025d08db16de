/*
 * cuda_aware_mpi.c - a stand-in for an MPI that takes the memory of GPUs: linked into a test's program, it answers in the place of
 * MPI_Isend, MPI_Irecv, MPI_Test, MPI_Iprobe and MPIX_Query_cuda_support, and has real messages carry the bytes.
 *
 *     FR_EMULATED_MPI   aware    it takes the memory of the emulated GPU
 *                       corrupt  and turns a bit of one long message in the middle of it
 *                       cut      and loses the last byte of each short one
 *                       lost     and never delivers
 *                       broken   and fails
 *                       else     it is the MPI that is there
 *
 * It does what a real one may do to a program that counts on more. What is sent is read at once or at a later look at any
 * message; memory that is received into is rubbish from the start and holds the bytes when the message is complete, which is
 * some looks after they have come. FR_EMULATED_SEED decides when. No order of the GPU's work is kept: what should have been computed
 * before a message begins is not waited for. A request of such a message is an address of this file's, as Open MPI's are
 * addresses; calls that are not listed above must not see one.
 */
#define _POSIX_C_SOURCE 200809L
#include <mpi.h>

#include <dlfcn.h>
#include <mpi-ext.h> /* behind mpi.h */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUBBISH = 0xB3, MOST_LOOKS = 12, SHORT = 1 << 16 };

typedef struct message {
    void *device;
    char *held; /* what goes over MPI */
    int bytes;
    bool is_sent; /* or received */
    bool is_read; /* from the device */
    bool has_begun;
    bool has_come;
    int looks; /* until it is read, or its end is told */
    int peer;
    int tag;
    MPI_Comm comm;
    MPI_Request request;
    MPI_Status status;
    struct message *next;
} message;

/* An MPI has no place for a caller's state. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static message *oldest;
static uint64_t drawn;
static int (*holds)(const void *at);
static void (*copy_now)(void *to, const void *from, size_t bytes);

static bool is_mode(const char *mode)
{
    const char *said = getenv("FR_EMULATED_MPI");
    return said != NULL && strcmp(said, mode) == 0;
}

static bool is_aware(void)
{
    return is_mode("aware") || is_mode("corrupt") || is_mode("cut") ||
           is_mode("lost") || is_mode("broken");
}

static int draw(int below)
{
    const char *seed = getenv("FR_EMULATED_SEED");
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (drawn == 0) {
        drawn = 1 + 8 * (seed != NULL ? strtoull(seed, NULL, 10) : 0) +
                (rank != NULL ? strtoull(rank, NULL, 10) : 0);
    }
    drawn = drawn * 6364136223846793005ULL + 1442695040888963407ULL;
    return (int)((drawn >> 33) % (uint64_t)below);
}

/* The driver that the program has opened. */
static bool is_device(const void *at)
{
    void *driver =
        holds == NULL ? dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD) : NULL;
    if (driver != NULL) {
        void *found = dlsym(driver, "fr_emulated_holds");
        memcpy(&holds, &found, sizeof holds);
        found = dlsym(driver, "fr_emulated_copy_now");
        memcpy(&copy_now, &found, sizeof copy_now);
    }
    return holds != NULL && is_aware() && holds(at);
}

static message *find(MPI_Request request)
{
    message *m = oldest;
    while (m != NULL && (MPI_Request)(void *)m != request) {
        m = m->next;
    }
    return m;
}

/* In the order in which they were begun: one that is not read yet holds up the others. */
static void send_what_is_read(void)
{
    bool waits = is_mode("lost");
    for (message *m = oldest; m != NULL && !waits; m = m->next) {
        if (!m->is_sent || m->has_begun) {
            continue;
        }
        if (!m->is_read && --m->looks <= 0) {
            copy_now(m->held, m->device, (size_t)m->bytes);
            m->is_read = true;
        }
        waits = !m->is_read;
        if (m->is_read) {
            int bytes = m->bytes - (is_mode("cut") && m->bytes > 0 && m->bytes < SHORT);
            (void)PMPI_Isend(m->held, bytes, MPI_BYTE, m->peer, m->tag, m->comm,
                             &m->request);
            m->has_begun = true;
        }
    }
}

static message *add(void *device, int count, MPI_Datatype type, int peer, int tag,
                    MPI_Comm comm)
{
    int size = 0;
    (void)PMPI_Type_size(type, &size);
    message *m = calloc(1, sizeof *m);
    char *held = malloc((size_t)count * (size_t)size + 1);
    if (m == NULL || held == NULL) {
        abort();
    }
    *m = (message){.device = device,
                   .held = held,
                   .bytes = count * size,
                   .looks = draw(2) * draw(MOST_LOOKS),
                   .peer = peer,
                   .tag = tag,
                   .comm = comm};
    message **end = &oldest;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = m;
    return m;
}

int MPIX_Query_cuda_support(void)
{
    return is_aware();
}

int MPI_Isend(const void *data, int count, MPI_Datatype type, int peer, int tag,
              MPI_Comm comm, MPI_Request *request)
{
    void *at = NULL;
    (void)pthread_mutex_lock(&lock);
    memcpy(&at, &data, sizeof at); /* without its const */
    int code = is_mode("broken") ? MPI_ERR_BUFFER : MPI_SUCCESS;
    if (!is_device(data)) {
        code = PMPI_Isend(data, count, type, peer, tag, comm, request);
    } else if (code == MPI_SUCCESS) {
        message *m = add(at, count, type, peer, tag, comm);
        m->is_sent = true;
        send_what_is_read();
        *request = (MPI_Request)(void *)m;
    }
    (void)pthread_mutex_unlock(&lock);
    return code;
}

int MPI_Irecv(void *data, int count, MPI_Datatype type, int peer, int tag,
              MPI_Comm comm, MPI_Request *request)
{
    int code = MPI_SUCCESS;
    (void)pthread_mutex_lock(&lock);
    if (!is_device(data)) {
        code = PMPI_Irecv(data, count, type, peer, tag, comm, request);
    } else {
        message *m = add(data, count, type, peer, tag, comm);
        memset(m->held, RUBBISH, (size_t)m->bytes);
        copy_now(m->device, m->held, (size_t)m->bytes);
        code = PMPI_Irecv(m->held, m->bytes, MPI_BYTE, peer, tag, comm, &m->request);
        m->has_begun = true;
        *request = (MPI_Request)(void *)m;
    }
    (void)pthread_mutex_unlock(&lock);
    return code;
}

static void remove_message(message *m)
{
    message **at = &oldest;
    while (*at != m) {
        at = &(*at)->next;
    }
    *at = m->next;
    free(m->held);
    free(m);
}

/* Whether the message is complete from now on. */
static int look(message *m, int *is_done)
{
    int code = MPI_SUCCESS;
    int has_come = 0;
    *is_done = 0;
    if (m->has_begun && !m->has_come) {
        code = PMPI_Test(&m->request, &has_come, &m->status);
        m->has_come = has_come != 0;
    }
    if (code != MPI_SUCCESS || !m->has_come || (!m->is_sent && --m->looks > 0)) {
        return code;
    }
    if (!m->is_sent) {
        m->held[m->bytes / 2] ^= (char)(is_mode("corrupt") && m->bytes >= SHORT);
        copy_now(m->device, m->held, (size_t)m->bytes);
    }
    *is_done = 1;
    return code;
}

int MPI_Test(MPI_Request *request, int *is_done, MPI_Status *status)
{
    int code = MPI_SUCCESS;
    (void)pthread_mutex_lock(&lock);
    send_what_is_read();
    message *m = find(*request);
    if (m == NULL) {
        code = PMPI_Test(request, is_done, status);
    } else {
        code = look(m, is_done);
    }
    if (m != NULL && *is_done) {
        if (status != MPI_STATUS_IGNORE) {
            *status = m->status;
        }
        *request = MPI_REQUEST_NULL;
        remove_message(m);
    }
    (void)pthread_mutex_unlock(&lock);
    return code;
}

int MPI_Iprobe(int peer, int tag, MPI_Comm comm, int *found, MPI_Status *status)
{
    (void)pthread_mutex_lock(&lock);
    send_what_is_read();
    int code = PMPI_Iprobe(peer, tag, comm, found, status);
    (void)pthread_mutex_unlock(&lock);
    return code;
}
