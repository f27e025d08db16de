#define _POSIX_C_SOURCE 200809L
#include "cli/row_output.h"

#include "base/file.h"
#include "base/print.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static fr_status fail_write(fr_ctx *ctx, const char *name)
{
    return FR_FAIL(ctx, FR_ERR_IO, "cannot write to %s: %s%s", name, strerror(errno),
                   errno == ENOSPC ? "; free space or choose another folder" : "");
}

fr_status fr_write_line(fr_ctx *ctx, int file, const char *name, char *text,
                        size_t bytes)
{
    text[bytes] = '\n'; /* in place of the closing zero */
    return fr_write_whole(file, text, bytes + 1) ? FR_OK : fail_write(ctx, name);
}

/* A terminal gets the text escaped, since a model may write control characters; files and pipes get its bytes. */
fr_status fr_write_text(fr_ctx *ctx, FILE *out, const char *name, char *text,
                        size_t bytes)
{
    char none[1] = "";
    if (text == NULL || isatty(fileno(out)) != 1) {
        return fr_write_line(ctx, fileno(out), name, text != NULL ? text : none, bytes);
    }
    fr_print_text(out, text, bytes);
    return fputc('\n', out) != EOF && fflush(out) == 0 ? FR_OK : fail_write(ctx, name);
}
