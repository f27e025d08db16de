/*
 * picture.h - a timeline drawn as text and as SVG: stages are rows, time runs to the right.
 *
 * What exceeds the width is cut off, and the picture says so.
 */
#ifndef FR_TRAIN_FORECAST_PICTURE_H
#define FR_TRAIN_FORECAST_PICTURE_H

#include "train/forecast/timeline.h"

#include <stdio.h>

typedef struct fr_picture {
    const fr_timeline *timeline;
    int n_stages;
    int64_t n_tasks;
    const char *const *task_names; /* [n_tasks] */
    const int64_t *bounds;         /* [n_stages + 1] layers, as fr_split_layers */
    const char *title;
    const char *subtitle;
} fr_picture;

/**
 * One line for each stage, at most `columns` wide. A pass is F or B, the task's letter (a to z, then again from a) and the number of the microbatch,
 * drawn out with - or = over its time; dots are idle time. Where two passes a stage do not fit side by side, a
 * pass is one column: the task's letter, lower case for forward, upper case for backward. Where there are too many
 * stages, those in the middle are left out.
 */
void fr_picture_text(const fr_picture *picture, int columns, FILE *out);

/** A whole SVG document. */
void fr_picture_svg(const fr_picture *picture, FILE *out);

#endif
