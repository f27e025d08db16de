#define _POSIX_C_SOURCE 200809L
#include "cli/row_output.h"

#include "base/file.h"
#include "base/print.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static fr_status fail_write(fr_ctx *ctx)
{
    return FR_FAIL(ctx, FR_ERR_IO, "cannot write the output: %s", strerror(errno));
}

fr_status fr_write_line(fr_ctx *ctx, FILE *out, char *text, size_t bytes)
{
    text[bytes] = '\n'; /* in place of the closing zero */
    return fr_write_whole(fileno(out), text, bytes + 1) ? FR_OK : fail_write(ctx);
}

fr_status fr_write_text(fr_ctx *ctx, FILE *out, char *text, size_t bytes)
{
    char none[1] = "";
    if (text == NULL || isatty(fileno(out)) != 1) {
        return fr_write_line(ctx, out, text != NULL ? text : none, bytes);
    }
    fr_print_text(out, text, bytes);
    return fputc('\n', out) != EOF && fflush(out) == 0 ? FR_OK : fail_write(ctx);
}
