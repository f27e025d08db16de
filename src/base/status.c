#include "base/status.h"

typedef struct status_row {
    int exit_code;
    const char *text;
} status_row;

static const status_row STATUS_ROWS[FR_STATUS_COUNT] = {
#define FR_STATUS_ROW(name, exit_code, text) {exit_code, text},
    FR_STATUS_LIST(FR_STATUS_ROW)
#undef FR_STATUS_ROW
};

/* A status may come from another rank as a plain number. */
static int is_known(fr_status status)
{
    return (int)status >= 0 && status < FR_STATUS_COUNT;
}

const char *fr_status_text(fr_status status)
{
    return is_known(status) ? STATUS_ROWS[status].text : "unknown status";
}

int fr_status_exit_code(fr_status status)
{
    return is_known(status) ? STATUS_ROWS[status].exit_code : 1;
}

fr_status fr_first_failure(fr_status first, fr_status next)
{
    return first == FR_OK ? next : first;
}
