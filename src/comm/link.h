/*
 * link.h - what crosses between ranks in the memory of a device: messages, and exact sums.
 *
 * A group (group.h) is for the host: control, agreement, broadcasts. A link is for what a device has computed or goes on with.
 * It belongs to one group: peers are ranks of it, and all of them open links of one kind. There are four kinds:
 *
 *   host    MPI reads and writes the device's memory: only for a device that works in the host's
 *   staged  through blocks of host memory (fr_host_alloc), piece by piece: the device copies one piece while MPI moves
 *           another
 *   direct  MPI reads and writes the memory of a device with memory of its own, where it can (link_settle.h), behind marks of
 *           the device
 *   nccl    sums alone, from GPU to GPU over NVIDIA's NCCL (nccl.h), where a run has it (link_settle.h)
 *
 * Messages go direct, sums stay staged: MPIs that take a GPU's memory in messages often refuse it in a reduction that is not
 * waited for, or copy it to the host in one piece and sum there, as a staged link does piece by piece. So a direct link
 * carries messages alone, and sums have a link of the kind that fr_link_kind_of_sums says, or one over NCCL. A link over NCCL carries
 * sums alone.
 *
 * A transfer is begun and later joined, both in the device's order of work (device/memory.h). What is sent is what the
 * device has computed before begin, and what is received is written behind the work before begin. Between begin and join
 * the device must not write what is sent, nor touch what is received or summed. Work after join sees what has arrived and may
 * overwrite what was sent; the host sees it behind a mark.
 *
 * Transfers may be under way in any number. Those between two ranks with one tag keep their order, and all ranks of a
 * group begin their sums in the same order. A tag belongs to the link alone, and while a sum is under way no other
 * collective of the group is begun: a staged link begins its pieces late.
 *
 * A staged or direct transfer, or a sum over NCCL, moves only while the host polls: in fr_group_poll and in every wait of the world. A device that
 * calls fr_group_poll while it computes (fr_device_set_progress) therefore lets that call copy.
 *
 * Memory. A staged link holds two pieces for each stream from open to close (fr_link_bytes), and a few words for each
 * transfer under way, which it uses again. A stream is all messages from or to one peer with one tag; the sums are one. The
 * other kinds hold no memory for what they move.
 *
 * Errors are those of group.h; a direct link and one over NCCL give those of fr_device_check too. FR_ERR_COMM of NCCL names its function and
 * result. After one a link may only be closed; what failed while it was polled comes out at
 * the next call. Not thread-safe.
 */
#ifndef FR_COMM_LINK_H
#define FR_COMM_LINK_H

#include "comm/group.h"
#include "device/memory.h"

typedef enum fr_link_kind {
    FR_LINK_HOST,
    FR_LINK_STAGED,
    FR_LINK_DIRECT,
    FR_LINK_NCCL
} fr_link_kind;

enum {
    FR_LINK_PIECE_BYTES = 4 << 20,
    FR_LINK_BLOCKS = 2, /* pieces that a stream has under way at most */
    FR_LINK_START_SECONDS = 60
};

/** The kind that always works for this device: host or staged. Equal on all ranks, whose devices are of one kind. */
fr_link_kind fr_link_kind_for(const fr_device *device);

/** The kind of a link for sums, beside one of this kind for messages. */
fr_link_kind fr_link_kind_of_sums(fr_link_kind messages);

/** Bytes of host memory (fr_host_alloc) that a link holds. @param piece_bytes  as in fr_link_params */
int64_t fr_link_bytes(fr_link_kind kind, int n_streams, int64_t piece_bytes);

typedef struct fr_link_params {
    fr_group *group;   /* borrowed */
    fr_device *device; /* borrowed; owns the memory of all transfers */
    fr_link_kind kind; /* equal on all ranks of the group */
    int n_streams;     /* staged: more are refused */
    int64_t
        piece_bytes; /* staged: a multiple of 8, equal on all ranks; 0: FR_LINK_PIECE_BYTES */
    int seconds; /* nccl: how long others may take for each part of its start and its end;
                        0: FR_LINK_START_SECONDS */
} fr_link_params;

typedef struct fr_link fr_link;

/** On all ranks of the group, which agree on the result themselves. FR_ERR_NO_MEMORY; FR_ERR_INTERNAL. One over NCCL is started, and
 * sums once: FR_ERR_UNSUPPORTED where that fails, on all ranks of the group; FR_ERR_DEVICE; FR_ERR_COMM. */
FR_MUST_CHECK fr_status fr_link_open(fr_ctx *ctx, const fr_link_params *params,
                                     fr_link **out);

/** On all ranks of the group, before it and the device are destroyed; accepts NULL inside, nulls the pointer. Waits for
 * nobody: all transfers have been joined, unless this rank has failed. One over NCCL waits some seconds for the others at most, and
 * not at all where this rank has failed. */
void fr_link_close(fr_link **link);

/** A transfer under way; {0}: none. Its memory must live until it is joined, or has tested as done. */
typedef struct fr_transfer {
    void *handle;
} fr_transfer;

/** Message of exactly `bytes` to or from rank `peer`. */
FR_MUST_CHECK fr_status fr_link_send_begin(fr_link *link, int peer, fr_tag tag,
                                           const void *data, int64_t bytes,
                                           fr_transfer *transfer);
FR_MUST_CHECK fr_status fr_link_receive_begin(fr_link *link, int peer, fr_tag tag,
                                              void *data, int64_t bytes,
                                              fr_transfer *transfer);

/** Sum over all ranks of the group, in place; not over a direct link. @param values  [n]; n <= INT32_MAX */
FR_MUST_CHECK fr_status fr_link_sum_begin(fr_link *link, fr_i64 *values, int64_t n,
                                          fr_transfer *transfer);

/** Wait until later work of the device is behind the transfer, and release it; FR_OK at once where none is under way. The watch
 * hears of a long wait: "send", "receive", "reduction", or "device". */
FR_MUST_CHECK fr_status fr_link_join(fr_link *link, fr_transfer *transfer);
/** Whether a join would return at once; if so, the transfer is released as by join. Never blocks. */
FR_MUST_CHECK fr_status fr_link_test(fr_link *link, fr_transfer *transfer,
                                     bool *is_done);

#endif
