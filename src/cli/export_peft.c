/* `forerun export --to peft`. */
#include "cli/export.h"
#include "train/exchange/peft.h"

static fr_status check(const fr_export *e)
{
    return fr_peft_check_target(e->cli->ctx, e->target);
}

static fr_status write(const fr_export *e)
{
    const char *base = fr_options_text(e->cli->options, "base");
    if (base == NULL && e->checkpoint->base_path != NULL) {
        base = e->checkpoint->base_path;
    }
    FR_TRY(fr_peft_write(e->cli->ctx, e->target, e->task, base != NULL ? base : ""));
    fr_log(e->cli->ctx, FR_LOG_INFO,
           "%s: an adapter of %lld slots for the base %s; PEFT keeps no template: "
           "`forerun inspect` shows how rows of this prefix are read",
           e->target, (long long)e->task->length,
           base != NULL ? base : "without a name");
    return FR_OK;
}

const fr_export_format FR_EXPORT_PEFT = {"peft", "base anyway", false,
                                         check,  NULL,          write};
