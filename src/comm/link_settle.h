/*
 * link_settle.h - which kinds of link carry the messages and the sums of a run.
 */
#ifndef FR_COMM_LINK_SETTLE_H
#define FR_COMM_LINK_SETTLE_H

#include "comm/grid.h"
#include "comm/link.h"

/** How long a trial of direct links waits for a message. */
enum { FR_LINK_TRIAL_SECONDS = 10 };

/**
 * Collective over the grid's world; equal on all ranks, whose devices are of one kind.
 *
 *   "auto"    direct where MPI says on all ranks that it takes a GPU's memory (fr_group_takes_cuda) and a trial between all
 *             neighbours of the pipelines passes; else the kind of fr_link_kind_for, with a warning where the trial failed
 *   "staged"  the kind of fr_link_kind_for
 *   "direct"  direct, or an error that says why not
 *
 * A device in the host's memory has host links; where there is one stage, no message crosses, and nothing is tried. MPI is
 * asked and tried for devices of the kind "cuda" alone.
 * @param kind  the device's (fr_device_settle)
 * @return FR_OK; FR_ERR_UNSUPPORTED ("direct" that cannot be); what fails otherwise: FR_ERR_COMM, FR_ERR_NO_MEMORY,
 *         FR_ERR_DEVICE
 */
FR_MUST_CHECK fr_status fr_link_settle(fr_ctx *ctx, const fr_grid *grid,
                                       fr_device *device, const char *kind,
                                       const char *asked, fr_link_kind *out);

/**
 * Collective over the group: messages that are shorter and longer than what MPI sends at once go from device memory to device
 * memory between ranks whose numbers follow each other, and what has come is compared. A failure leaves the group as it was.
 * @param group  several ranks, on each of which fr_group_takes_cuda is true
 * @return the same on all ranks: FR_OK; FR_ERR_UNSUPPORTED: another byte came, MPI failed, or nothing came in time; what fails
 *         otherwise: FR_ERR_NO_MEMORY, FR_ERR_DEVICE, FR_ERR_COMM
 */
FR_MUST_CHECK fr_status fr_link_try(fr_ctx *ctx, fr_group *group, fr_device *device,
                                    int seconds);

/** What is asked for, and what decides. */
typedef struct fr_sums_wanted {
    const char *asked; /* see below */
    const char *kind;  /* the device's (fr_device_settle) */
    bool is_shared;    /* two ranks of the run share a device; equal on all ranks */
    int seconds;       /* as in fr_link_params; 0 but in tests */
} fr_sums_wanted;

/**
 * Collective over the grid's world; equal on all ranks. Opens the link for the sums of the replicas where these go over NCCL.
 *
 *   "auto"    NCCL where GPUs compute, several replicas have one each, every rank finds the same version of the library, and a first sum
 *             comes out right; the log says why not
 *   "staged"  no NCCL
 *   "nccl"    NCCL, or an error that says why not
 *
 * Where there is one replica nothing is summed, and nothing is opened.
 * @param[out] out  NULL: sums have a link of the kind of fr_link_kind_of_sums; closed before the grid and the device
 * @return FR_OK; FR_ERR_UNSUPPORTED ("nccl" that cannot be); what fails otherwise: FR_ERR_COMM, FR_ERR_NO_MEMORY, FR_ERR_DEVICE
 */
FR_MUST_CHECK fr_status fr_link_settle_sums(fr_ctx *ctx, const fr_grid *grid,
                                            fr_device *device,
                                            const fr_sums_wanted *wanted,
                                            fr_link **out);

enum { FR_SUMS_TEXT = 384 };
/**
 * What sums will go over as far as this rank can tell alone, before anything is opened, for people: "NCCL 2.28.9", or "the host's memory" and
 * why. Local. Whether NCCL comes to be, and ranks' versions are equal, the start of a run shows.
 * @param n_replicas  of the run
 */
void fr_sums_likely(fr_ctx *ctx, const fr_sums_wanted *wanted, int n_replicas,
                    char out[FR_SUMS_TEXT]);

enum { FR_LINK_NAME_BYTES = 48 };
/** "NCCL 2.28.9", of a link that fr_link_settle_sums gave; "" of NULL. */
void fr_link_name_of_sums(const fr_link *sums, char out[FR_LINK_NAME_BYTES]);

#endif
