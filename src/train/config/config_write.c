#define _POSIX_C_SOURCE 200809L
#include "train/config/config_impl.h"

enum { INDENT = 2 };

/* The first line: without it texts stand as they are (fr_config_parse_saved). */
const char FR_CONFIG_MARK[] = "# Forerun config 2";

/* Whether one of a section's own keys has a value. */
static bool has_values(fr_section_id section, fr_key_view view)
{
    bool found = false;
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        const fr_config_key *key = &FR_CONFIG_KEYS[i];
        found = found || (key->section == section && fr_config_has_value(key, view));
    }
    return found;
}

/* The key `chat` is left out where the section of this name says more. */
static bool is_said_by_section(const fr_config_key *key, fr_key_view view)
{
    fr_section_id same = fr_config_find_section(key->section, key->name);
    return same != FR_SECTION_COUNT && has_values(same, view);
}

static fr_status write_section(fr_ctx *ctx, FILE *out, fr_section_id section,
                               fr_key_view view, int indent)
{
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        const fr_config_key *key = &FR_CONFIG_KEYS[i];
        if (key->section == section && fr_config_has_value(key, view) &&
            !is_said_by_section(key, view)) {
            (void)fprintf(out, "%*s%s: ", indent, "", key->name);
            FR_TRY(fr_config_print_value(ctx, out, key, view));
            (void)fputc('\n', out);
        }
    }
    for (fr_section_id s = section + 1; s < FR_SECTION_COUNT; s++) {
        if (FR_CONFIG_SECTIONS[s].parent == section &&
            (s != FR_SECTION_CHAT || has_values(s, view))) {
            (void)fprintf(out, "%*s%s:\n", indent, "", FR_CONFIG_SECTIONS[s].name);
            FR_TRY(write_section(ctx, out, s, view, indent + INDENT));
        }
    }
    return FR_OK;
}

static fr_status write_all(fr_ctx *ctx, FILE *out, const fr_config *config)
{
    (void)fprintf(out,
                  "%s: in template and init text \\n, \\t and \\\\ stand for a "
                  "newline, a tab and a "
                  "backslash\n",
                  FR_CONFIG_MARK);
    for (fr_section_id s = FR_SECTION_BASE; s < FR_SECTION_TASK; s++) {
        (void)fprintf(out, "%s:\n", FR_CONFIG_SECTIONS[s].name);
        FR_TRY(write_section(ctx, out, s, (fr_key_view){.config = config}, INDENT));
    }
    (void)fprintf(out, "%s:\n", FR_CONFIG_SECTIONS[FR_SECTION_TASK].name);
    for (int64_t i = 0; i < config->n_tasks; i++) {
        (void)fprintf(out, "%*s-\n", INDENT, "");
        FR_TRY(write_section(ctx, out, FR_SECTION_TASK,
                             (fr_key_view){.task = &config->tasks[i]}, 2 * INDENT));
    }
    return FR_OK;
}

fr_status fr_config_write(fr_ctx *ctx, const fr_config *config, char **out)
{
    size_t bytes = 0;
    *out = NULL;
    FILE *stream = open_memstream(out, &bytes);
    FR_TRY(fr_check_memory(ctx, stream != NULL, sizeof *config));
    return fr_config_end_text(ctx, stream, write_all(ctx, stream, config), out);
}
