/*
 * peers.h - whether the other ranks of this host are still there.
 *
 * A rank that is killed leaves the others in a wait that ends when the launcher kills them, too. Rank 0 of a server looks for itself,
 * so that it can tell its clients before.
 */
#ifndef FR_SERVE_PEERS_H
#define FR_SERVE_PEERS_H

#include "comm/group.h"

typedef struct fr_peers fr_peers;

/** Collective. @param nodes  of each rank (fr_group_nodes); ranks of other nodes are not looked for */
FR_MUST_CHECK fr_status fr_peers_open(fr_ctx *ctx, fr_group *world,
                                      const int64_t *nodes, fr_peers **out);
void fr_peers_close(fr_peers **peers);

/** A rank of this host that has ended; -1: none. Any thread. */
int fr_peers_find_lost(const fr_peers *peers);

#endif
