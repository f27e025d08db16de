#include "train/config/config_impl.h"

#include <stdlib.h>
#include <string.h>

void fr_config_free_texts(fr_key_owner owner)
{
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        const fr_config_key *key = &FR_CONFIG_KEYS[i];
        char **field = key->type == FR_KEY_TEXT ? fr_key_field(owner, key) : NULL;
        if (field != NULL) {
            /* init.text and init.file share prefix.text: it is freed once */
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
        fr_config_free_texts((fr_key_owner){.task = &c->tasks[i]});
    }
    fr_config_free_texts((fr_key_owner){.config = c});
    free(c->tasks);
    free(c);
    *config = NULL;
}

const fr_task_config *fr_config_find_task(const fr_config *config, const char *name)
{
    for (int64_t i = 0; i < config->n_tasks; i++) {
        const fr_task_config *task = &config->tasks[i];
        if (task->name != NULL && strcmp(task->name, name) == 0) {
            return task;
        }
    }
    return NULL;
}
