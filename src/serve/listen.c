/* Addresses are numbers: a name would ask a resolver, and could mean another host tomorrow. The socket is bound before a model is
 * loaded, so that a port that is taken costs no time, and listens only when answers can be given.
 */
#define _POSIX_C_SOURCE 200809L
#include "serve/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Both families in one. */
typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

enum { HOST_BYTES = 64, LARGEST_PORT = 65535 };

static fr_status refuse(fr_ctx *ctx, const char *where)
{
    return FR_FAIL(ctx, FR_ERR_ARG,
                   "--listen is %s; it must be ADDRESS:PORT, the address in numbers or "
                   "localhost, e.g. 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:0",
                   where);
}

/* "host:port" or "[host]:port" */
static bool split(const char *where, char host[HOST_BYTES], long *port)
{
    bool in_brackets = where[0] == '[';
    const char *begin = where + (in_brackets ? 1 : 0);
    const char *end = in_brackets ? strchr(begin, ']') : strrchr(begin, ':');
    if (end == NULL || end - begin >= HOST_BYTES || (in_brackets && end[1] != ':')) {
        return false;
    }
    const char *digits = end + (in_brackets ? 2 : 1);
    size_t n = strlen(digits);
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    if (n == 0 || n > 5 || strspn(digits, "0123456789") != n) {
        return false;
    }
    *port = strtol(digits, NULL, 10);
    return *port <= LARGEST_PORT && (in_brackets || strchr(host, ':') == NULL);
}

static bool read_address(const char *host, long port, address *out, socklen_t *bytes)
{
    const char *number = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, number, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        *bytes = sizeof out->v4;
        return true;
    }
    if (inet_pton(AF_INET6, number, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        *bytes = sizeof out->v6;
        return true;
    }
    return false;
}

static void describe(const char *host, const address *bound, fr_listen *out)
{
    bool is_v6 = bound->any.sa_family == AF_INET6;
    unsigned port = ntohs(is_v6 ? bound->v6.sin6_port : bound->v4.sin_port);
    out->is_loopback = is_v6 ? IN6_IS_ADDR_LOOPBACK(&bound->v6.sin6_addr) != 0
                             : ntohl(bound->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    (void)snprintf(out->name, sizeof out->name, is_v6 ? "[%s]:%u" : "%s:%u", host,
                   port);
}

fr_status fr_listen_bind(fr_ctx *ctx, const char *where, fr_listen *out)
{
    char host[HOST_BYTES];
    long port = 0;
    address wanted;
    socklen_t bytes = 0;
    int yes = 1;
    *out = (fr_listen){.socket = -1};
    if (!split(where, host, &port) || !read_address(host, port, &wanted, &bytes)) {
        return refuse(ctx, where);
    }
    int made = socket(wanted.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made >= 0) {
        (void)setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    }
    if (made < 0 || bind(made, &wanted.any, bytes) != 0 ||
        getsockname(made, &wanted.any, &bytes) != 0) {
        fr_status status =
            FR_FAIL(ctx, FR_ERR_IO, "cannot listen at %s: %s; choose another --listen",
                    where, strerror(errno));
        if (made >= 0) {
            (void)close(made);
        }
        return status;
    }
    describe(host, &wanted, out);
    out->socket = made;
    return FR_OK;
}

void fr_listen_close(fr_listen *l)
{
    if (l->socket >= 0) {
        (void)close(l->socket);
    }
    l->socket = -1;
}
