/*
 * images.h - the prefixes that are loaded into the devices of a pipeline's ranks, by numbers that are the same on every rank.
 *
 * Rank 0 chooses the number, loads and drops. It has all layers on the host, and sends each rank those of its stage; so no
 * other rank sees the folder, and all have what rank 0 has checked.
 */
#ifndef FR_SERVE_IMAGES_H
#define FR_SERVE_IMAGES_H

#include "comm/group.h"
#include "model/network/prefix_image.h"
#include "model/network/stage.h"
#include "serve/shelf.h"

typedef struct fr_images fr_images;

/** Most at a time, whatever memory they take. No image: the base alone. */
enum { FR_IMAGES_MAX = 1024, FR_NO_IMAGE = -1 };

typedef struct fr_images_params {
    fr_group *world; /* borrowed, as the device */
    fr_device *device;
    int64_t first_layer; /* of this rank's stage */
    int64_t n_layers;
    int64_t bytes; /* most of all images on a rank; 0: any */
} fr_images_params;

/** Collective. */
FR_MUST_CHECK fr_status fr_images_create(fr_ctx *ctx, const fr_images_params *params,
                                         fr_images **out);
/** Accepts NULL inside. Local. */
void fr_images_destroy(fr_images **images);

/**
 * Collective: what rank 0 has in `prefix` becomes image `number`, which is free. Others pass NULL. All leave alike.
 * @return FR_OK; FR_ERR_NO_MEMORY (on any rank: there is no image); FR_ERR_COMM, and others, end everything
 */
FR_MUST_CHECK fr_status fr_images_load(fr_images *images, int64_t number,
                                       fr_shelf_prefix *prefix);
/** Every rank calls this alike. Nobody uses it. */
void fr_images_drop(fr_images *images, int64_t number);

/** Of this rank's layers, until it is dropped; also of FR_NO_IMAGE. */
const fr_stage_prefix *fr_images_view(const fr_images *images, int64_t number);
/** A row that uses it enters (+1) or has ended (-1). */
void fr_images_use(fr_images *images, int64_t number, int64_t change);

/* ---- rank 0 ------------------------------------------------------------------------------------- */

/** The number of a prefix's image, FR_NO_IMAGE for the base alone. False: it is not loaded. */
bool fr_images_find(const fr_images *images, const fr_shelf_prefix *prefix,
                    int64_t *number);
/** A free number for a prefix for which there is room. False: others must be dropped before. */
bool fr_images_room(const fr_images *images, const fr_shelf_prefix *prefix,
                    int64_t *number);
/** Of those that nobody uses: one that the shelf does not have any more, else with `any` the one that was used longest ago. */
bool fr_images_idle(const fr_images *images, bool any, int64_t *number);
/** How many there are, and their bytes on the rank that has most. */
int64_t fr_images_count(const fr_images *images, int64_t *bytes);

#endif
