#define _POSIX_C_SOURCE 200809L
#include "train/config_impl.h"

#include <stdlib.h>

enum { INDENT = 2 };

static void write_section(FILE *out, fr_section_id section, const void *object,
                          int indent)
{
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        const fr_config_key *key = &FR_CONFIG_KEYS[i];
        if (key->section == section && fr_config_has_value(key, object)) {
            (void)fprintf(out, "%*s%s: ", indent, "", key->name);
            fr_config_print_value(out, key, object);
            (void)fputc('\n', out);
        }
    }
    for (fr_section_id s = section + 1; s < FR_SECTION_COUNT; s++) {
        if (FR_CONFIG_SECTIONS[s].parent == section) {
            (void)fprintf(out, "%*s%s:\n", indent, "", FR_CONFIG_SECTIONS[s].name);
            write_section(out, s, object, indent + INDENT);
        }
    }
}

static void write_all(FILE *out, const fr_config *config)
{
    for (fr_section_id s = FR_SECTION_BASE; s < FR_SECTION_TASK; s++) {
        (void)fprintf(out, "%s:\n", FR_CONFIG_SECTIONS[s].name);
        write_section(out, s, config, INDENT);
    }
    (void)fprintf(out, "%s:\n", FR_CONFIG_SECTIONS[FR_SECTION_TASK].name);
    for (int64_t i = 0; i < config->n_tasks; i++) {
        (void)fprintf(out, "%*s-\n", INDENT, "");
        write_section(out, FR_SECTION_TASK, &config->tasks[i], 2 * INDENT);
    }
}

fr_status fr_config_write(fr_ctx *ctx, const fr_config *config, char **out)
{
    size_t bytes = 0;
    *out = NULL;
    FILE *stream = open_memstream(out, &bytes);
    FR_TRY(fr_check_memory(ctx, stream != NULL, sizeof *config));
    write_all(stream, config);
    bool failed = ferror(stream) != 0;
    failed = fclose(stream) != 0 || failed;
    if (failed) {
        free(*out);
        *out = NULL;
    }
    return fr_check_memory(ctx, !failed, bytes);
}
