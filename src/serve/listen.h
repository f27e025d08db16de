/*
 * listen.h - the socket that a server listens on.
 */
#ifndef FR_SERVE_LISTEN_H
#define FR_SERVE_LISTEN_H

#include "base/ctx.h"

enum { FR_LISTEN_BYTES = 80 };

/** Where a server is. */
typedef struct fr_listen {
    int socket; /* bound, and not listening yet; -1: none */
    char name
        [FR_LISTEN_BYTES]; /* ADDRESS:PORT as a URL writes it, with the port that was given */
    bool is_loopback; /* only this machine reaches it */
} fr_listen;

/**
 * Bind ADDRESS:PORT: numbers of IPv4, of IPv6 in brackets, or "localhost" (127.0.0.1). Port 0: any that is free.
 * @return FR_OK; FR_ERR_ARG (not such a text); FR_ERR_IO (the address or the port cannot be had)
 */
FR_MUST_CHECK fr_status fr_listen_bind(fr_ctx *ctx, const char *where, fr_listen *out);
void fr_listen_close(fr_listen *l);

#endif
