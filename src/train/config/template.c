#include "train/config/template.h"

#include <string.h>

static const char SOURCE[] = "{source}";
static const char TARGET[] = "{target}";

fr_status fr_template_parse(fr_ctx *ctx, const char *where, const char *text,
                            fr_template *out)
{
    const char *source = strstr(text, SOURCE);
    const char *target = strstr(text, TARGET);
    if (target == NULL || strstr(target + 1, TARGET) != NULL) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "%s '%s' holds {target} %s; it must hold it exactly once", where,
                       text, target == NULL ? "nowhere" : "more than once");
    }
    if (source != NULL && (source > target || strstr(source + 1, SOURCE) != NULL)) {
        return FR_FAIL(ctx, FR_ERR_CONFIG,
                       "%s '%s' holds {source} %s; it may hold it once, before "
                       "{target}",
                       where, text, source > target ? "after {target}" : "twice");
    }
    const char *before_end = source != NULL ? source : target;
    const char *between = source != NULL ? source + strlen(SOURCE) : target;
    const char *after = target + strlen(TARGET);
    *out = (fr_template){.before = text,
                         .before_bytes = (size_t)(before_end - text),
                         .has_source = source != NULL,
                         .between = between,
                         .between_bytes = (size_t)(target - between),
                         .after = after,
                         .after_bytes = strlen(after)};
    return FR_OK;
}
