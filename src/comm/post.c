#define _POSIX_C_SOURCE 200809L
#include "comm/post.h"

#include "base/machine.h"
#include "base/mem.h"

#include <stdlib.h>
#include <unistd.h>

/*
 * Rank lines as messages in a star around rank 0 (post.h).
 *
 * Creation is collective and blocking: each rank and rank 0 send each other a first line, so that a report can name
 * every host. From then on a thread of the watch calls exchange about twice a second. Each call takes in what has
 * arrived and sends one line to each peer that has taken the one before. Nothing waits, so a peer that has stopped
 * holds up nobody; its line only stays as it is. At the end every rank sends a last line and receives those of its
 * peers. Only then may the group be destroyed, because no receive must be under way.
 */

/* Messages of one peer that one call takes in. A peer sends two a second, so more of them wait only after this rank was
 * held up: it catches up within a few calls, and each call stays short. */
enum { MAX_AT_ONCE = 8 };

/* A rank line on its way, and whether it is the last one. */
typedef struct letter {
    int64_t is_last;
    char line[FR_RANK_LINE_BYTES];
} letter;

/* The messages between this rank and one other. */
typedef struct peer {
    int rank;
    fr_request sending;
    fr_request receiving;
    letter out;
    letter in;
    bool has_begun;  /* the first receive is under way */
    bool has_ended;  /* the last line was sent */
    bool has_closed; /* the peer's last line has arrived */
    bool is_known;   /* `newest` holds a line */
    fr_rank_line newest;
} peer;

struct fr_post {
    fr_group *group;
    fr_ctx *ctx; /* for what fails in the thread */
    fr_watch_channel channel;
    int n_peers;
    peer *peers;
};

/* Who this rank is, before it has a watch. */
static fr_rank_line first_line(int rank)
{
    char host[FR_RANK_LINE_HOST_BYTES];
    fr_rank_line line = {.rank = rank,
                         .pid = (int64_t)getpid(),
                         .peer = -1,
                         .step = -1,
                         .microbatch = -1};
    fr_machine_host("", host, sizeof host);
    fr_rank_line_word(host, line.host, FR_RANK_LINE_HOST_BYTES);
    fr_rank_line_word("starting", line.state, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(NULL, line.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(NULL, line.task, FR_RANK_LINE_TASK_BYTES);
    return line;
}

/* Each rank's host is known to whoever hears of it before any rank can stop. Rank 0 receives first, so nobody waits in
 * a circle. */
static fr_status introduce(fr_post *post, int rank)
{
    fr_rank_line own = first_line(rank);
    for (int i = 0; i < post->n_peers; i++) {
        peer *other = &post->peers[i];
        fr_rank_line_format(&own, other->out.line);
        if (rank != 0) {
            FR_TRY(fr_group_send(post->group, other->rank, FR_TAG_RANK_LINE,
                                 &other->out, sizeof other->out));
        }
        FR_TRY(fr_group_receive(post->group, other->rank, FR_TAG_RANK_LINE, &other->in,
                                sizeof other->in));
        if (rank == 0) {
            FR_TRY(fr_group_send(post->group, other->rank, FR_TAG_RANK_LINE,
                                 &other->out, sizeof other->out));
        }
        other->is_known = fr_rank_line_parse(other->in.line, &other->newest);
    }
    return FR_OK;
}

/* The calls of the watch channel, which passes the post as an untyped argument. */
static bool channel_exchange(void *argument, const fr_rank_line *own)
{
    return fr_post_exchange(argument, own);
}

static bool channel_close(void *argument, const fr_rank_line *last, bool *is_over)
{
    return fr_post_close(argument, last, is_over);
}

static bool channel_read(void *argument, int rank, fr_rank_line *out)
{
    return fr_post_read(argument, rank, out);
}

const fr_watch_channel *fr_post_channel(const fr_post *post)
{
    return &post->channel;
}

/* One agreement covers all allocations and one the first messages, so no rank waits for one that has failed. Later
 * a thread uses the group, and a context belongs to one thread: hence a context of its own. */
fr_status fr_post_create(fr_ctx *ctx, fr_group *world, fr_post **out)
{
    int size = fr_group_size(world);
    int rank = fr_group_rank(world);
    fr_post *post = NULL;
    fr_group *group = NULL;
    *out = NULL;
    fr_status status = fr_group_split(world, 0, rank, &group);
    if (status == FR_OK) {
        status = fr_alloc(ctx, 1, sizeof *post, &post);
    }
    if (status == FR_OK) {
        post->group = group;
        post->channel = (fr_watch_channel){.exchange = channel_exchange,
                                           .close = channel_close,
                                           .read = channel_read,
                                           .argument = post};
        post->n_peers = rank == 0 ? size - 1 : 1;
        post->ctx = fr_ctx_create();
        status = fr_check_memory(ctx, post->ctx != NULL, sizeof post->ctx);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, post->n_peers, sizeof *post->peers, &post->peers);
    }
    status = fr_group_agree(world, status);
    if (status != FR_OK) {
        if (post == NULL) {
            fr_group_destroy(&group);
        }
        fr_post_destroy(&post);
        return status;
    }
    for (int i = 0; i < post->n_peers; i++) {
        post->peers[i].rank = rank == 0 ? i + 1 : 0;
    }
    /* Until here the main thread uses the group, and errors go to its context. */
    status = fr_group_agree(world, introduce(post, rank));
    fr_ctx_set_rank(post->ctx, rank, size);
    fr_group_set_ctx(group, post->ctx);
    if (status != FR_OK) {
        fr_post_destroy(&post);
    }
    *out = post;
    return status;
}

/* The context goes last, since destroying the group may use it. */
void fr_post_destroy(fr_post **post)
{
    fr_post *p = *post;
    *post = NULL;
    if (p != NULL) {
        fr_group_destroy(&p->group);
        if (p->ctx != NULL) {
            fr_ctx_destroy(&p->ctx);
        }
        free(p->peers);
        free(p);
    }
}

/* Tests the receive that is under way; once it is complete, takes its line and begins the next receive, until none
 * has arrived. A line that cannot be parsed leaves the newest good one in place. */
static fr_status receive(fr_post *post, peer *other)
{
    bool is_done = true;
    for (int n = 0; is_done && !other->has_closed && n < MAX_AT_ONCE; n++) {
        if (other->has_begun) {
            FR_TRY(fr_group_test(post->group, &other->receiving, &is_done));
        }
        if (!is_done) {
            break;
        }
        if (other->has_begun) {
            other->is_known =
                fr_rank_line_parse(other->in.line, &other->newest) || other->is_known;
            other->has_closed = other->in.is_last != 0;
        }
        other->has_begun = true;
        if (!other->has_closed) {
            FR_TRY(fr_group_receive_begin(post->group, other->rank, FR_TAG_RANK_LINE,
                                          &other->in, sizeof other->in,
                                          &other->receiving));
        }
    }
    return FR_OK;
}

/* One line is under way to each peer at most: `out` is its buffer. A peer that takes no messages therefore costs
 * one line, and lines never pile up. */
static fr_status send(fr_post *post, peer *other, const fr_rank_line *own, bool is_last)
{
    bool is_done = true;
    FR_TRY(fr_group_test(post->group, &other->sending, &is_done));
    if (!is_done || other->has_ended) {
        return FR_OK;
    }
    other->out.is_last = is_last ? 1 : 0;
    fr_rank_line_format(own, other->out.line);
    other->has_ended = is_last;
    return fr_group_send_begin(post->group, other->rank, FR_TAG_RANK_LINE, &other->out,
                               sizeof other->out, &other->sending);
}

/* After a failure nothing more is sent, because a group is of no use after FR_ERR_COMM. */
static bool exchange(fr_post *post, const fr_rank_line *own, bool is_last)
{
    for (int i = 0; i < post->n_peers; i++) {
        if (receive(post, &post->peers[i]) != FR_OK ||
            send(post, &post->peers[i], own, is_last) != FR_OK) {
            return false;
        }
    }
    return true;
}

bool fr_post_exchange(fr_post *post, const fr_rank_line *own)
{
    return exchange(post, own, false);
}

/* Over when the last line of each peer has arrived and the own one has left: then no message is under way, and MPI
 * can be finalised. */
bool fr_post_close(fr_post *post, const fr_rank_line *last, bool *is_over)
{
    bool is_good = exchange(post, last, true);
    *is_over = true;
    for (int i = 0; i < post->n_peers; i++) {
        const peer *other = &post->peers[i];
        *is_over = *is_over && other->has_closed && other->has_ended &&
                   other->sending.handle == NULL;
    }
    return is_good;
}

bool fr_post_read(const fr_post *post, int rank, fr_rank_line *out)
{
    for (int i = 0; i < post->n_peers; i++) {
        if (post->peers[i].rank == rank && post->peers[i].is_known) {
            *out = post->peers[i].newest;
            return true;
        }
    }
    return false;
}
