#include "base/task_name.h"

#include <string.h>

/* Names of tasks become names of files and keys in lines of text: no slash, space or quote. */
static const char ALLOWED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                              "0123456789._-";

bool fr_task_name_may_hold(char c)
{
    return c != '\0' && strchr(ALLOWED, c) != NULL;
}

/* A name of dots alone would be a folder ("." or ".."). */
bool fr_task_name_check(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= FR_TASK_NAME_MAX &&
           strspn(name, ALLOWED) == length && strspn(name, ".") < length;
}
