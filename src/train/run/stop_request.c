#define _POSIX_C_SOURCE 200809L
#include "train/run/stop_request.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char ASKED[] = "STOP";
static const char ANSWERED[] = "STOPPED";

/* A failure is ignored: an old STOPPED misleads only a reader, and stops no run. */
void fr_stop_request_forget(const fr_stop_request *request)
{
    char *path = NULL;
    if (request->folder != NULL &&
        fr_join_path(request->ctx, request->folder, ANSWERED, &path) == FR_OK) {
        (void)unlink(path);
    }
    free(path);
}

/* Memory that is short counts as no request; the next round looks again. */
static bool file_lies_there(const fr_stop_request *request)
{
    char *path = NULL;
    bool found = request->folder != NULL &&
                 fr_join_path(request->ctx, request->folder, ASKED, &path) == FR_OK &&
                 fr_file_exists(path);
    free(path);
    return found;
}

bool fr_stop_request_is_made(const fr_stop_request *request)
{
    return fr_signals_stop_wanted(request->signals) || file_lies_there(request);
}

void fr_stop_request_answer(const fr_stop_request *request)
{
    char *asked = NULL;
    char *answered = NULL;
    if (request->folder != NULL &&
        fr_join_path(request->ctx, request->folder, ASKED, &asked) == FR_OK &&
        fr_join_path(request->ctx, request->folder, ANSWERED, &answered) == FR_OK &&
        fr_file_exists(asked) && rename(asked, answered) != 0) {
        fr_log_own(request->ctx, FR_LOG_WARN,
                   "cannot rename %s (%s); remove it before the next start", asked,
                   strerror(errno));
    }
    free(asked);
    free(answered);
}
