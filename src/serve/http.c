/* The daemon, the list of its clients, and the patrol that looks after them.
 *
 * libmicrohttpd has a few threads; each handles many connections and never waits for one: a connection whose answer is not there
 * yet is suspended, and the engine's thread resumes it. A suspended connection is not looked at, so nothing would tell that its
 * client has gone, and what is left would be computed for nobody. And a client that sends a byte now and then would never be idle.
 * The patrol sees to both: several times a second it asks the system which clients have closed, and shuts connections whose
 * request takes too long to come, or whose answer takes too long to go.
 *
 * Locks: list_lock before a call's lock. What the engine's thread does under a call's lock, to resume a connection, takes no lock of ours.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include "serve/http.h"

#include "base/clock.h"
#include "base/mem.h"
#include "serve/http_impl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    THREADS = 4,
    PATROL_MS = 100,
    CONNECTION_MEMORY = 32 * 1024, /* also the most of a request's headers */
    OTHER_FILES = 256,             /* that the process has open beside connections */
    NS_IN_MS = 1000000
};

/* ---- clients ---------------------------------------------------------------------------------------- */

static fr_http_client *add_client(fr_http *h, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    fr_http_client *client = calloc(1, sizeof *client);
    if (client == NULL || info == NULL) {
        free(client);
        return NULL;
    }
    client->fd = info->connect_fd;
    client->reading_since = fr_clock_seconds();
    (void)pthread_mutex_lock(&h->list_lock);
    client->next = h->clients;
    if (client->next != NULL) {
        client->next->before = client;
    }
    h->clients = client;
    (void)pthread_mutex_unlock(&h->list_lock);
    return client;
}

static void remove_client(fr_http *h, fr_http_client *client)
{
    (void)pthread_mutex_lock(&h->list_lock);
    if (client->next != NULL) {
        client->next->before = client->before;
    }
    if (client->before != NULL) {
        client->before->next = client->next;
    } else {
        h->clients = client->next;
    }
    (void)pthread_mutex_unlock(&h->list_lock);
    free(client);
}

/* A client that cannot be added is refused at its first request. */
static void notify(void *cls, struct MHD_Connection *connection, void **socket_context,
                   enum MHD_ConnectionNotificationCode code)
{
    fr_http *h = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = add_client(h, connection);
        fr_metrics_connection(h->metrics, 1);
        return;
    }
    if (*socket_context != NULL) {
        remove_client(h, *socket_context);
    }
    *socket_context = NULL;
    fr_metrics_connection(h->metrics, -1);
}

void fr_http_client_set(fr_http *h, fr_http_client *client, bool is_reading,
                        fr_call *call)
{
    (void)pthread_mutex_lock(&h->list_lock);
    client->reading_since = is_reading ? fr_clock_seconds() : -1.0;
    client->call = call;
    (void)pthread_mutex_unlock(&h->list_lock);
}

/* ---- the patrol ------------------------------------------------------------------------------------- */

/* A client that closes its side wants no answer any more, as most proxies take it, too. */
static bool has_gone(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLRDHUP};
    return poll(&look, 1, 0) > 0 &&
           (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* After a shutdown the daemon reads the end of the connection and closes it. */
static void look_after(const fr_http *h, double now)
{
    for (const fr_http_client *c = h->clients; c != NULL; c = c->next) {
        if (c->reading_since >= 0.0 &&
            now - c->reading_since > (double)h->params.read_seconds) {
            (void)shutdown(c->fd, SHUT_RDWR);
        } else if (c->call != NULL && has_gone(c->fd)) {
            fr_call_abandon(c->call);
        } else if (c->call != NULL &&
                   fr_call_is_overdue(c->call, (double)h->params.read_seconds)) {
            (void)shutdown(c->fd, SHUT_RDWR);
        }
    }
}

static void *patrol(void *argument)
{
    fr_http *h = argument;
    while (!atomic_load(&h->is_ending)) {
        (void)pthread_mutex_lock(&h->list_lock);
        look_after(h, fr_clock_seconds());
        (void)pthread_mutex_unlock(&h->list_lock);
        if (h->params.tick(h->params.user)) {
            atomic_store(&h->is_draining, true);
        }
        fr_sleep_ns((int64_t)PATROL_MS * NS_IN_MS);
    }
    return NULL;
}

/* ---- begin and end ---------------------------------------------------------------------------------- */

/* Each connection is an open file, and many systems begin with a limit of 1024. */
static void raise_file_limit(fr_ctx *ctx, int64_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)(connections + OTHER_FILES);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || wanted < limit.rlim_max
                             ? wanted
                             : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur < wanted) {
            fr_log(ctx, FR_LOG_WARN,
                   "the limit of open files is %llu, too few for %lld connections; "
                   "raise it by ulimit -n, or give fewer --connections",
                   (unsigned long long)limit.rlim_cur, (long long)connections);
        }
    }
}

static fr_status start_daemon(fr_ctx *ctx, fr_http *h)
{
    if (listen(h->params.socket, SOMAXCONN) != 0) {
        return FR_FAIL(ctx, FR_ERR_IO, "cannot listen: %s", strerror(errno));
    }
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        fr_http_access, h, MHD_OPTION_LISTEN_SOCKET, h->params.socket,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned int)THREADS, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)h->params.connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned int)h->params.read_seconds, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_CONNECTION, notify, h, MHD_OPTION_NOTIFY_COMPLETED,
        fr_http_completed, h, MHD_OPTION_END);
    if (h->daemon == NULL) {
        return FR_FAIL(ctx, FR_ERR_INTERNAL,
                       "the HTTP server cannot start: %s; see ulimit -u and ulimit -n",
                       strerror(errno));
    }
    h->params.socket = -1; /* the daemon closes it */
    return FR_OK;
}

/* Signals go to the thread that takes them, never to the patrol. */
static fr_status start_patrol(fr_ctx *ctx, fr_http *h)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&h->patrol, NULL, patrol, h);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    h->has_patrol = code == 0;
    return code == 0 ? FR_OK
                     : FR_FAIL(ctx, FR_ERR_INTERNAL,
                               "cannot start a thread of the HTTP server: %s; see "
                               "ulimit -u",
                               strerror(code));
}

static void release(fr_http *h)
{
    if (h->params.socket >= 0) {
        (void)close(h->params.socket);
    }
    (void)pthread_mutex_destroy(&h->list_lock);
    fr_metrics_destroy(&h->metrics);
    free(h);
}

static void end_patrol(fr_http *h)
{
    atomic_store(&h->is_ending, true);
    if (h->has_patrol) {
        (void)pthread_join(h->patrol, NULL);
    }
}

fr_status fr_http_start(fr_ctx *ctx, const fr_http_params *params, fr_http **out)
{
    fr_http *h = NULL;
    *out = NULL;
    fr_status status = fr_alloc(ctx, 1, sizeof *h, &h);
    if (status != FR_OK) {
        (void)close(params->socket);
        return status;
    }
    h->params = *params;
    (void)pthread_mutex_init(&h->list_lock, NULL);
    raise_file_limit(ctx, params->connections);
    status = fr_metrics_create(ctx, &h->metrics);
    if (status == FR_OK) {
        status = start_patrol(ctx, h);
    }
    if (status == FR_OK) {
        status = start_daemon(ctx, h);
    }
    if (status != FR_OK) {
        end_patrol(h);
        release(h);
        return status;
    }
    *out = h;
    return FR_OK;
}

static bool is_busy(fr_http *h)
{
    bool busy = false;
    (void)pthread_mutex_lock(&h->list_lock);
    for (const fr_http_client *c = h->clients; c != NULL; c = c->next) {
        busy = busy || c->reading_since < 0.0;
    }
    (void)pthread_mutex_unlock(&h->list_lock);
    return busy;
}

/* The daemon must not have a suspended connection when it ends: calls that are left, which no engine answers, are abandoned. */
static void abandon_all(fr_http *h)
{
    (void)pthread_mutex_lock(&h->list_lock);
    for (const fr_http_client *c = h->clients; c != NULL; c = c->next) {
        if (c->call != NULL) {
            fr_call_abandon(c->call);
        }
    }
    (void)pthread_mutex_unlock(&h->list_lock);
}

void fr_http_stop(fr_http **http, double seconds)
{
    fr_http *h = *http;
    *http = NULL;
    if (h == NULL) {
        return;
    }
    double until = fr_clock_seconds() + seconds;
    atomic_store(&h->is_draining, true);
    MHD_socket listening = MHD_quiesce_daemon(h->daemon);
    while (is_busy(h) && fr_clock_seconds() < until) {
        fr_sleep_ns((int64_t)PATROL_MS / 10 * NS_IN_MS);
    }
    abandon_all(h);
    end_patrol(h);
    MHD_stop_daemon(h->daemon);
    if (listening != MHD_INVALID_SOCKET) {
        (void)close(listening);
    }
    release(h);
}
