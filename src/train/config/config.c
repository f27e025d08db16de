#include "train/config/config_impl.h"

#include <stdlib.h>

void fr_config_free_texts(bool task, void *object)
{
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        const fr_config_key *key = &FR_CONFIG_KEYS[i];
        bool here = (key->section >= FR_SECTION_TASK) == task;
        if (here && key->type == FR_KEY_TEXT) {
            char **field = (void *)((char *)object + key->offset);
            /* two keys share prefix.text: it is freed once */
            free(*field);
            *field = NULL;
        }
    }
}

void fr_config_destroy(fr_config **config)
{
    fr_config *c = *config;
    if (c == NULL) {
        return;
    }
    for (int64_t i = 0; i < c->n_tasks; i++) {
        fr_config_free_texts(true, &c->tasks[i]);
    }
    fr_config_free_texts(false, c);
    free(c->tasks);
    free(c->source_path);
    free(c);
    *config = NULL;
}
