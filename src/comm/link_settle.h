/*
 * link_settle.h - which kind of link carries the messages of a run.
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

#endif
