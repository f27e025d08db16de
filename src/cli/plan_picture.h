/*
 * plan_picture.h - the schedule of a forecast as text and as an SVG file.
 */
#ifndef FR_CLI_PLAN_PICTURE_H
#define FR_CLI_PLAN_PICTURE_H

#include "train/forecast/forecast.h"

#include <stdio.h>

typedef struct fr_plan_picture {
    const fr_forecast_params *params;
    const fr_forecast *forecast;
    const char *const *task_names; /* [n_tasks] */
    const char *svg;               /* file to write; NULL: none */
} fr_plan_picture;

/** Draw on `out` (NULL: no text) and write the SVG file. FR_ERR_IO if that fails. */
FR_MUST_CHECK fr_status fr_plan_draw(fr_ctx *ctx, const fr_plan_picture *picture,
                                     FILE *out);

#endif
