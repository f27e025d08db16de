/* A model's name and what a cache of the hub holds. Parts: the name, refs/main, and names of files in the snapshot, one a line. What is
 * found lies in the cache. */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/libfuzzer/fuzz.h"
#include "model/files/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 8, NAME_BYTES = 200 };
#define MODEL "hub/models--org--name"
#define SNAPSHOT MODEL "/snapshots/0123456789abcdef0123456789abcdef01234567/"

/* The folder's own part of each path is that of this program. */
static bool is_harmless(const char *name, size_t bytes)
{
    if (bytes == 0 || bytes >= NAME_BYTES || name[0] == '/' || name[bytes - 1] == '/') {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        bool is_start = i == 0 || name[i - 1] == '/';
        if (name[i] == '\0' || (is_start && (name[i] == '.' || name[i] == '/'))) {
            return false;
        }
    }
    return true;
}

static int write_files(const char *names, char made[MAX_FILES][NAME_BYTES + 128])
{
    int n = 0;
    for (const char *at = names; *at != '\0' && n < MAX_FILES;) {
        size_t bytes = strcspn(at, "\n");
        /* a name that is a folder of an earlier one could not be written */
        if (is_harmless(at, bytes) && memchr(at, '/', bytes) == NULL) {
            (void)snprintf(made[n], sizeof made[n], SNAPSHOT "%.*s", (int)bytes, at);
            (void)fuzz_write(made[n], "x", 1);
            n++;
        }
        at += bytes + (at[bytes] != '\0' ? 1 : 0);
    }
    return n;
}

static void check_name(const fr_hub_name *name)
{
    fr_text words[] = {name->owner, name->name};
    for (int i = 0; i < 2; i++) {
        fuzz_check(words[i].bytes > 0 && words[i].data[0] != '.' &&
                       memchr(words[i].data, '/', words[i].bytes) == NULL,
                   "a word of a name is one part of a path");
    }
    fuzz_check(strncmp(fr_hub_command_for(name).text, "hf download ", 12) == 0,
               "a command");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char cache[4096];
    char made[MAX_FILES][NAME_BYTES + 128];
    fuzz_part parts[3];
    fr_ctx *ctx = fuzz_ctx();
    fr_hub_name name;
    int n_made = 0;
    int n = fuzz_split(data, size, parts, 3);
    char *text = fuzz_text(parts[0]);
    if (cache[0] == '\0') {
        (void)snprintf(cache, sizeof cache, "%s", fuzz_path("hub"));
        (void)setenv("HF_HUB_CACHE", cache, 1);
        (void)fuzz_write(SNAPSHOT "README.md", "x", 1);
    }
    if (n > 1) {
        (void)fuzz_write(MODEL "/refs/main", parts[1].data, parts[1].bytes);
    }
    if (n > 2) {
        char *names = fuzz_text(parts[2]);
        n_made = write_files(names, made);
        free(names);
    }
    if (fr_hub_name_read(text, &name)) {
        char *path = NULL;
        check_name(&name);
        bool is_found =
            fuzz_answer(ctx, fr_hub_find(ctx, text, &name, size % 2 == 0, &path));
        fuzz_check(is_found || path == NULL, "a path only where one is found");
        fuzz_check(path == NULL || (strncmp(path, cache, strlen(cache)) == 0 &&
                                    strstr(path, "/..") == NULL),
                   "what is found lies in the cache");
        free(path);
    }
    for (int i = 0; i < n_made; i++) {
        fuzz_remove(made[i]);
    }
    free(text);
    return 0;
}
