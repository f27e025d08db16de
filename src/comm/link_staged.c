/*
 * The kind of link that goes through blocks of host memory, for a device whose memory MPI must not touch.
 *
 * Each stream (the messages of one peer, tag and direction; the sums) is a queue of transfers, cut into pieces of
 * one size. Its blocks form a ring, and each piece takes the next free one, in order:
 *
 *   send      FETCHING: the device copies into it - MOVING: MPI sends it - free
 *   receive                                         MOVING: MPI receives it, then the device copies out of it - free
 *   sum       FETCHING                            - MOVING: MPI sums it, then the device copies out of it - free
 *
 * A block leaves FETCHING when the mark behind the copy has passed, and MOVING when MPI says so. A copy out of it is done
 * with it at return (fr_device_put). Blocks enter each state in the order of the ring. So the pieces of a stream match
 * those of the other side, which cuts alike. Streams share no block: none ever waits for another one, and what moves on
 * with requests of MPI alone moves on here.
 *
 * `advance` takes each step that is possible and never waits. It runs at begin, test and join, and from the world's advance list.
 */
#include "comm/link_impl.h"

#include "base/mem.h"

#include <stdlib.h>

typedef enum direction { SEND, RECEIVE, SUM } direction;

/* For the watch, as group_mpi.c calls them. */
static const char *const WORDS[] = {
    [SEND] = "send", [RECEIVE] = "receive", [SUM] = "reduction"};

/* One transfer. `from` and `to` are its memory in the device: NULL where it is only written or only read. */
typedef struct staged {
    fr_link_spare spare; /* first */
    struct stream *stream;
    const char *from;
    char *to;
    int64_t bytes;
    int64_t n_pieces; /* an empty message is one empty piece */
    int64_t n_begun;
    int64_t n_done;
    struct staged *next; /* of the stream */
} staged;

typedef enum block_state { FREE, FETCHING, MOVING } block_state;

typedef struct block {
    char *memory;
    block_state state;
    staged *owner;
    int64_t at; /* of the piece in its transfer */
    int64_t bytes;
    fr_mark mark; /* FETCHING: behind the copy */
    fr_request request;
} block;

typedef struct stream {
    direction direction;
    int peer; /* FR_ALL_RANKS for sums */
    fr_tag tag;
    staged *next; /* whose piece begins next; NULL: all have begun */
    staged *last;
    int64_t
        n_taken; /* pieces, of all transfers: block n % FR_LINK_BLOCKS is the next */
    int64_t n_freed;
    block blocks[FR_LINK_BLOCKS];
} stream;

typedef struct staged_link {
    fr_link base;
    fr_advance entry;
    fr_status status; /* of what failed in an advance */
    bool is_advancing;
    int64_t piece_bytes;
    int n_streams; /* in use */
    int max_streams;
    stream *streams; /* [max_streams] */
    char *memory;    /* of all blocks */
    fr_link_spares spares;
} staged_link;

static staged_link *from_base(fr_link *base)
{
    return (staged_link *)(void *)base;
}

/* ---- pieces ----------------------------------------------------------------------------------- */

static block *block_at(stream *s, int64_t n)
{
    return &s->blocks[n % FR_LINK_BLOCKS];
}

/* Give the stream's next piece a block; there is one. */
static void take_piece(staged_link *l, stream *s)
{
    block *b = block_at(s, s->n_taken++);
    staged *t = s->next;
    b->owner = t;
    b->at = t->n_begun++ * l->piece_bytes;
    b->bytes = t->bytes - b->at < l->piece_bytes ? t->bytes - b->at : l->piece_bytes;
    b->state = FETCHING;
    b->mark = (fr_mark){0};
    if (t->from != NULL && b->bytes > 0) {
        fr_device_get(l->base.device, b->memory, t->from + b->at, b->bytes);
        b->mark = fr_device_mark(l->base.device);
    }
    if (t->n_begun == t->n_pieces) {
        s->next = t->next;
    }
}

/* Hand a fetched block to MPI. */
static fr_status begin_moving(staged_link *l, const stream *s, block *b)
{
    fr_group *group = l->base.group;
    b->state = MOVING;
    switch (s->direction) {
    case SEND:
        return fr_group_send_begin(group, s->peer, s->tag, b->memory, b->bytes,
                                   &b->request);
    case RECEIVE:
        return fr_group_receive_begin(group, s->peer, s->tag, b->memory, b->bytes,
                                      &b->request);
    case SUM:
    default:
        return fr_group_allreduce_begin(group, FR_SUM, (int64_t *)(void *)b->memory,
                                        b->bytes / (int64_t)sizeof(int64_t),
                                        &b->request);
    }
}

/* MPI is done with the stream's oldest block. */
static void end_piece(staged_link *l, stream *s, block *b)
{
    staged *t = b->owner;
    if (t->to != NULL && b->bytes > 0) {
        fr_device_put(l->base.device, t->to + b->at, b->memory, b->bytes);
    }
    b->state = FREE;
    t->n_done++;
    s->n_freed++;
}

/* Blocks that were fetched begin to move, in order: an older one that is not there yet holds up the others. */
static fr_status move_fetched(staged_link *l, stream *s, bool *moved)
{
    for (int64_t n = s->n_freed; n < s->n_taken; n++) {
        block *b = block_at(s, n);
        if (b->state == MOVING) {
            continue;
        }
        if (!fr_device_passed(l->base.device, b->mark)) {
            break;
        }
        FR_TRY(fr_device_check(l->base.device)); /* else rubbish would be sent */
        *moved = true;
        FR_TRY(begin_moving(l, s, b));
    }
    return FR_OK;
}

/* A piece may end, and its block take the next one, in one call: a device or an MPI that is fast waits for no second. */
static fr_status advance_stream(staged_link *l, stream *s)
{
    bool moved = true;
    while (moved) {
        moved = false;
        while (s->next != NULL && s->n_taken - s->n_freed < FR_LINK_BLOCKS) {
            take_piece(l, s);
        }
        FR_TRY(move_fetched(l, s, &moved));
        block *oldest = block_at(s, s->n_freed);
        bool is_done = false;
        if (s->n_freed < s->n_taken && oldest->state == MOVING) {
            FR_TRY(fr_group_test(l->base.group, &oldest->request, &is_done));
        }
        if (is_done) {
            moved = true;
            end_piece(l, s, oldest);
        }
    }
    return FR_OK;
}

/* Not within itself, should a copy of the device poll. After a failure, or when this rank has abandoned the others, nothing
 * moves any more. */
static void advance(void *argument)
{
    staged_link *l = argument;
    if (l->is_advancing || fr_group_is_abandoned(l->base.group)) {
        return;
    }
    l->is_advancing = true;
    for (int i = 0; i < l->n_streams && l->status == FR_OK; i++) {
        l->status = advance_stream(l, &l->streams[i]);
    }
    l->is_advancing = false;
}

/* ---- transfers -------------------------------------------------------------------------------- */

/* NULL: there is no room for another one. */
static stream *find_stream(staged_link *l, direction way, int peer, fr_tag tag)
{
    for (int i = 0; i < l->n_streams; i++) {
        stream *s = &l->streams[i];
        if (s->direction == way && s->peer == peer && s->tag == tag) {
            return s;
        }
    }
    if (l->n_streams == l->max_streams) {
        return NULL;
    }
    stream *s = &l->streams[l->n_streams++];
    s->direction = way;
    s->peer = peer;
    s->tag = tag;
    return s;
}

/* Queue a transfer, of which `what` says stream, memory and bytes; its first pieces begin at once. */
static fr_status begin(staged_link *l, const staged *what, void **handle)
{
    stream *s = what->stream;
    fr_link_spare *spare = NULL;
    if (s == NULL) {
        return FR_FAIL(l->base.ctx, FR_ERR_INTERNAL,
                       "a link that was opened for %d streams needs one more",
                       l->max_streams);
    }
    FR_TRY(l->status);
    FR_TRY(fr_link_take(l->base.ctx, &l->spares, sizeof(staged), &spare));
    staged *t = (staged *)(void *)spare;
    fr_link_spare kept = *spare;
    *t = *what;
    t->spare = kept;
    t->n_pieces =
        what->bytes > 0 ? (what->bytes + l->piece_bytes - 1) / l->piece_bytes : 1;
    if (s->next == NULL) {
        s->next = t;
    } else {
        s->last->next = t;
    }
    s->last = t;
    advance(l);
    *handle = l->status == FR_OK ? t : NULL;
    return l->status;
}

static fr_status staged_send_begin(fr_link *base, int peer, fr_tag tag,
                                   const void *data, int64_t bytes, void **handle)
{
    staged_link *l = from_base(base);
    staged what = {
        .stream = find_stream(l, SEND, peer, tag), .from = data, .bytes = bytes};
    return begin(l, &what, handle);
}

static fr_status staged_receive_begin(fr_link *base, int peer, fr_tag tag, void *data,
                                      int64_t bytes, void **handle)
{
    staged_link *l = from_base(base);
    staged what = {
        .stream = find_stream(l, RECEIVE, peer, tag), .to = data, .bytes = bytes};
    return begin(l, &what, handle);
}

static fr_status staged_sum_begin(fr_link *base, fr_i64 *values, int64_t n,
                                  void **handle)
{
    staged_link *l = from_base(base);
    staged what = {.stream = find_stream(l, SUM, FR_ALL_RANKS, FR_TAG_POLL),
                   .from = (char *)(void *)values,
                   .to = (char *)(void *)values,
                   .bytes = n * (int64_t)sizeof(int64_t)};
    return begin(l, &what, handle);
}

/* One that failed stays in its stream, where blocks may name it, until the link is closed. */
static bool release_done(staged_link *l, staged *t)
{
    bool is_done = t->n_done == t->n_pieces;
    if (is_done) {
        fr_link_give_back(&l->spares, &t->spare);
    }
    return is_done;
}

static fr_status staged_test(fr_link *base, void *handle, bool *is_done)
{
    staged_link *l = from_base(base);
    advance(l);
    *is_done = release_done(l, handle);
    return *is_done ? FR_OK : l->status;
}

typedef struct joined {
    staged_link *link;
    staged *transfer;
} joined;

/* A transfer waits for the oldest block of its stream, be it its own or that of one before it. */
static const char *waits_for(void *argument, int *peer)
{
    joined *j = argument;
    stream *s = j->transfer->stream;
    advance(j->link);
    if (j->transfer->n_done == j->transfer->n_pieces || j->link->status != FR_OK ||
        fr_group_is_abandoned(j->link->base.group)) {
        return NULL;
    }
    bool awaits_device = block_at(s, s->n_freed)->state == FETCHING;
    *peer = awaits_device ? FR_ALL_RANKS : s->peer;
    return awaits_device ? "device" : WORDS[s->direction];
}

static fr_status staged_join(fr_link *base, void *handle)
{
    staged_link *l = from_base(base);
    joined j = {l, handle};
    fr_group_wait_for(base->group, waits_for, &j);
    if (release_done(l, j.transfer)) {
        return FR_OK;
    }
    return l->status != FR_OK
               ? l->status
               : FR_FAIL(base->ctx, FR_ERR_COMM,
                         "this rank abandoned the others in the middle of a %s",
                         WORDS[j.transfer->stream->direction]);
}

/* ---- the link --------------------------------------------------------------------------------- */

/* Whether MPI or the device may still read or write a block. */
static bool is_in_use(const staged_link *l)
{
    bool is = false;
    for (int i = 0; i < l->n_streams * FR_LINK_BLOCKS; i++) {
        const block *b = &l->streams[i / FR_LINK_BLOCKS].blocks[i % FR_LINK_BLOCKS];
        is = is || (b->state == MOVING && b->request.handle != NULL) ||
             (b->state == FETCHING && !fr_device_passed(l->base.device, b->mark));
    }
    return is;
}

/* This rank has failed where blocks are in use: they are left behind, for what still writes them must not hit other
 * memory, and waiting for it might never end. */
static void staged_close(fr_link *base)
{
    staged_link *l = from_base(base);
    fr_group_remove_advance(base->group, &l->entry);
    if (l->memory != NULL && !is_in_use(l)) {
        fr_host_free(base->device, l->memory);
    }
    fr_link_free_spares(&l->spares);
    free(l->streams);
    free(l);
}

static const fr_link_ops STAGED_OPS = {
    .send_begin = staged_send_begin,
    .receive_begin = staged_receive_begin,
    .sum_begin = staged_sum_begin,
    .join = staged_join,
    .test = staged_test,
    .close = staged_close,
};

/* No stream: no block. */
static fr_status make_blocks(staged_link *l)
{
    int64_t bytes = fr_link_bytes(FR_LINK_STAGED, l->max_streams, l->piece_bytes);
    if (l->max_streams == 0) {
        return FR_OK;
    }
    FR_TRY(fr_alloc(l->base.ctx, l->max_streams, sizeof *l->streams, &l->streams));
    FR_TRY(fr_host_alloc(l->base.device, bytes, 1, &l->memory));
    for (int64_t i = 0; i < (int64_t)l->max_streams * FR_LINK_BLOCKS; i++) {
        l->streams[i / FR_LINK_BLOCKS].blocks[i % FR_LINK_BLOCKS].memory =
            l->memory + i * l->piece_bytes;
    }
    return FR_OK;
}

fr_status fr_link_open_staged(const fr_link *base, const fr_link_params *params,
                              fr_link **out)
{
    staged_link *l = NULL;
    FR_TRY(fr_alloc(base->ctx, 1, sizeof *l, &l));
    l->base = *base;
    l->base.ops = &STAGED_OPS;
    l->entry = (fr_advance){.advance = advance, .argument = l};
    l->piece_bytes =
        params->piece_bytes > 0 ? params->piece_bytes : FR_LINK_PIECE_BYTES;
    l->max_streams = params->n_streams;
    fr_group_add_advance(base->group, &l->entry);
    fr_status status = make_blocks(l);
    if (status != FR_OK) {
        staged_close(&l->base);
        return status;
    }
    *out = &l->base;
    return FR_OK;
}
