#define _POSIX_C_SOURCE 200809L
#include "comm/post.h"

#include "base/mem.h"
#include "comm/group_impl.h"

#include <stdlib.h>
#include <unistd.h>

enum { MAX_AT_ONCE = 8 };

/* A slot on its way, and whether it is the last one. */
typedef struct letter {
    int64_t is_last;
    char line[FR_RANK_LINE_BYTES];
} letter;

/* What goes to and fro between this rank and another. */
typedef struct line {
    int peer;
    fr_request sending;
    fr_request receiving;
    letter out;
    letter in;
    bool has_begun;  /* the first receive is under way */
    bool is_told;    /* the last slot was sent */
    bool has_closed; /* the peer's last slot has come */
    bool is_known;
    fr_rank_line slot;
} line;

struct fr_post {
    fr_group *group;
    fr_ctx *ctx; /* for what fails in the thread */
    int n_lines;
    line *lines;
};

/* Who this rank is, before it has a watch. */
static fr_rank_line first_slot(int rank)
{
    char host[FR_RANK_LINE_HOST_BYTES] = "";
    fr_rank_line slot = {.rank = rank,
                         .pid = (int64_t)getpid(),
                         .peer = -1,
                         .step = -1,
                         .microbatch = -1};
    (void)gethostname(host, sizeof host - 1);
    fr_rank_line_word(host, slot.host, FR_RANK_LINE_HOST_BYTES);
    fr_rank_line_word("starting", slot.state, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(NULL, slot.what, FR_RANK_LINE_WORD_BYTES);
    fr_rank_line_word(NULL, slot.task, FR_RANK_LINE_TASK_BYTES);
    return slot;
}

/* Everybody's host is known before anybody can stop. */
static fr_status introduce(fr_post *post, int rank)
{
    fr_rank_line own = first_slot(rank);
    for (int i = 0; i < post->n_lines; i++) {
        line *l = &post->lines[i];
        fr_rank_line_format(&own, l->out.line);
        if (rank != 0) {
            FR_TRY(fr_group_send(post->group, l->peer, FR_TAG_RANK_LINE, &l->out,
                                 sizeof l->out));
        }
        FR_TRY(fr_group_receive(post->group, l->peer, FR_TAG_RANK_LINE, &l->in,
                                sizeof l->in));
        if (rank == 0) {
            FR_TRY(fr_group_send(post->group, l->peer, FR_TAG_RANK_LINE, &l->out,
                                 sizeof l->out));
        }
        l->is_known = fr_rank_line_parse(l->in.line, &l->slot);
    }
    return FR_OK;
}

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
        post->n_lines = rank == 0 ? size - 1 : 1;
        post->ctx = fr_ctx_create();
        status = fr_check_memory(ctx, post->ctx != NULL, sizeof post->ctx);
    }
    if (status == FR_OK) {
        status = fr_alloc(ctx, post->n_lines, sizeof *post->lines, &post->lines);
    }
    status = fr_group_agree(world, status);
    if (status != FR_OK) {
        if (post == NULL) {
            fr_group_destroy(&group);
        }
        fr_post_destroy(&post);
        return status;
    }
    for (int i = 0; i < post->n_lines; i++) {
        post->lines[i].peer = rank == 0 ? i + 1 : 0;
    }
    status = fr_group_agree(world, introduce(post, rank));
    fr_ctx_set_rank(post->ctx, rank, size);
    group->ctx = post->ctx;
    if (status != FR_OK) {
        fr_post_destroy(&post);
    }
    *out = post;
    return status;
}

void fr_post_destroy(fr_post **post)
{
    fr_post *p = *post;
    *post = NULL;
    if (p != NULL) {
        fr_group_destroy(&p->group);
        if (p->ctx != NULL) {
            fr_ctx_destroy(&p->ctx);
        }
        free(p->lines);
        free(p);
    }
}

static fr_status receive(fr_post *post, line *l)
{
    bool is_done = true;
    for (int n = 0; is_done && !l->has_closed && n < MAX_AT_ONCE; n++) {
        if (l->has_begun) {
            FR_TRY(fr_group_test(post->group, &l->receiving, &is_done));
        }
        if (!is_done) {
            break;
        }
        if (l->has_begun) {
            l->is_known = fr_rank_line_parse(l->in.line, &l->slot) || l->is_known;
            l->has_closed = l->in.is_last != 0;
        }
        l->has_begun = true;
        if (!l->has_closed) {
            FR_TRY(fr_group_receive_begin(post->group, l->peer, FR_TAG_RANK_LINE,
                                          &l->in, sizeof l->in, &l->receiving));
        }
    }
    return FR_OK;
}

static fr_status send(fr_post *post, line *l, const fr_rank_line *own, bool is_last)
{
    bool is_done = true;
    FR_TRY(fr_group_test(post->group, &l->sending, &is_done));
    if (!is_done || l->is_told) {
        return FR_OK;
    }
    l->out.is_last = is_last ? 1 : 0;
    fr_rank_line_format(own, l->out.line);
    l->is_told = is_last;
    return fr_group_send_begin(post->group, l->peer, FR_TAG_RANK_LINE, &l->out,
                               sizeof l->out, &l->sending);
}

static bool exchange(fr_post *post, const fr_rank_line *own, bool is_last)
{
    for (int i = 0; i < post->n_lines; i++) {
        if (receive(post, &post->lines[i]) != FR_OK ||
            send(post, &post->lines[i], own, is_last) != FR_OK) {
            return false;
        }
    }
    return true;
}

bool fr_post_exchange(fr_post *post, const fr_rank_line *own)
{
    return exchange(post, own, false);
}

bool fr_post_close(fr_post *post, const fr_rank_line *last, bool *is_over)
{
    bool is_good = exchange(post, last, true);
    *is_over = true;
    for (int i = 0; i < post->n_lines; i++) {
        const line *l = &post->lines[i];
        *is_over = *is_over && l->has_closed && l->is_told && l->sending.handle == NULL;
    }
    return is_good;
}

bool fr_post_read(const fr_post *post, int rank, fr_rank_line *out)
{
    for (int i = 0; i < post->n_lines; i++) {
        if (post->lines[i].peer == rank && post->lines[i].is_known) {
            *out = post->lines[i].slot;
            return true;
        }
    }
    return false;
}
