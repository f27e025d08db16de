/*
 * hub_impl.h - a snapshot of the hub's cache, between hub.c, which finds it, and hub_snapshot.c, which finds the model in it.
 */
#ifndef FR_MODEL_FILES_HUB_IMPL_H
#define FR_MODEL_FILES_HUB_IMPL_H

#include "model/files/hub.h"

typedef struct fr_hub_snapshot {
    fr_ctx *ctx;
    const char *text; /* the name as it was given */
    const fr_hub_name *name;
    const char *model;  /* the folder models--OWNER--NAME */
    const char *folder; /* the snapshot's */
    bool with_weights;
} fr_hub_snapshot;

/** The model in a snapshot; see fr_hub_find. */
FR_MUST_CHECK fr_status fr_hub_choose(const fr_hub_snapshot *snapshot, char **path);

#endif
