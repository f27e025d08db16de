/*
 * trainer.h - the objects of a small training run, without its files: for tests of what trains.
 */
#ifndef FR_TESTS_TRAINER_H
#define FR_TESTS_TRAINER_H

#include "train/session/session.h"
#include "train/step/task.h"

typedef struct fr_trainer {
    fr_config *config;
    fr_group
        *own; /* the world of this process alone; NULL: it was opened on another one */
    fr_session session;
    fr_task_env env;
    int64_t n_tasks;
    fr_task *tasks;
} fr_trainer;

/** Write `n` rows of ids to folder/name: five sources that begin alike, with targets of all sorts of lengths. The path
 * lies in the ring of fr_test_path. */
const char *fr_trainer_rows(const char *folder, const char *name, int n);

/** Open a config, given as YAML whose `base` is left out: the tiny Llama is put in front. One rank, f32, two threads,
 * depth 1. Ends the case if it cannot. */
void fr_trainer_open(const char *config, fr_trainer *out);
/** The same for all ranks of a world (borrowed), in a layout and with a model folder; one thread a rank. `nodes`: where the
 * ranks are taken to be, as fr_placement_init takes them; NULL: where they are. */
void fr_trainer_open_on(fr_group *world, const int64_t *nodes, fr_layout layout,
                        const char *model, const char *config, fr_trainer *out);
void fr_trainer_close(fr_trainer *trainer);

#endif
