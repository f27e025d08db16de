#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/user_cache.h"
#include "support/suite.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 1024 };
static const char DATA[] = "digests";

typedef struct fixture {
    char folder[PATH_BYTES];
    char entry[PATH_BYTES + 8];
    fr_ctx *ctx;
} fixture;

/* A context whose cache is the folder `name`, not there yet, with one entry in it. */
static fixture open_cache(const char *name)
{
    fixture f;
    (void)snprintf(f.folder, sizeof f.folder, "%s/%s/deep", fr_test_folder(), name);
    (void)snprintf(f.entry, sizeof f.entry, "%s/a", f.folder);
    (void)setenv("FORERUN_CACHE", f.folder, 1);
    f.ctx = fr_ctx_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(f.ctx);
    fr_user_cache_write(f.ctx, "a", DATA, sizeof DATA);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(f.ctx), "");
    return f;
}

static bool is_read(const fixture *f)
{
    char data[sizeof DATA] = "";
    bool got = fr_user_cache_read(f->ctx, "a", data, sizeof data);
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(f->ctx), "");
    return got && memcmp(data, DATA, sizeof DATA) == 0;
}

static void what_is_kept_is_read(void)
{
    fixture f = open_cache("kept");
    char longer[sizeof DATA + 1];
    struct stat info;
    CU_ASSERT_TRUE(is_read(&f));
    CU_ASSERT_FALSE(fr_user_cache_read(f.ctx, "a", longer, sizeof longer));
    CU_ASSERT_FALSE(fr_user_cache_read(f.ctx, "b", longer, sizeof DATA));
    CU_ASSERT_EQUAL_FATAL(stat(f.folder, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0700);
    fr_ctx_destroy(&f.ctx);
}

static void what_others_may_write_to_is_not_read(void)
{
    fixture f = open_cache("open");
    char moved[PATH_BYTES + 16];
    CU_ASSERT_EQUAL(chmod(f.entry, 0664), 0);
    CU_ASSERT_FALSE(is_read(&f));
    CU_ASSERT_EQUAL(chmod(f.entry, 0644), 0);
    CU_ASSERT_TRUE(is_read(&f));
    CU_ASSERT_EQUAL(chmod(f.folder, 0777), 0);
    CU_ASSERT_FALSE(is_read(&f));
    CU_ASSERT_EQUAL(chmod(f.folder, 0700), 0);
    if (geteuid() == 0) { /* of another user */
        CU_ASSERT_EQUAL(chown(f.entry, 12345, 12345), 0);
        CU_ASSERT_FALSE(is_read(&f));
        CU_ASSERT_EQUAL(chown(f.entry, 0, 0), 0);
        CU_ASSERT_EQUAL(chown(f.folder, 12345, 12345), 0);
        CU_ASSERT_FALSE(is_read(&f));
        CU_ASSERT_EQUAL(chown(f.folder, 0, 0), 0);
    }
    CU_ASSERT_TRUE(is_read(&f));
    (void)snprintf(moved, sizeof moved, "%s.moved", f.entry);
    CU_ASSERT_EQUAL(rename(f.entry, moved), 0);
    CU_ASSERT_EQUAL(symlink(moved, f.entry), 0);
    CU_ASSERT_FALSE(is_read(&f));
    CU_ASSERT_EQUAL(unlink(f.entry), 0);
    CU_ASSERT_EQUAL(mkfifo(f.entry, 0600), 0);
    CU_ASSERT_FALSE(is_read(&f)); /* and nothing waits */
    fr_ctx_destroy(&f.ctx);
}

static void every_changed_byte_is_seen(void)
{
    fixture f = open_cache("changed");
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), f.entry, &text, &bytes));
    for (size_t i = 0; i <= bytes && text != NULL; i++) {
        if (i < bytes) {
            text[i] = (char)(text[i] ^ 1);
        }
        FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), f.entry, text, bytes));
        CU_ASSERT_EQUAL(is_read(&f), i == bytes);
        if (i < bytes) {
            text[i] = (char)(text[i] ^ 1);
        }
    }
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), f.entry, text, bytes - 1));
    CU_ASSERT_FALSE(is_read(&f));
    free(text);
    fr_ctx_destroy(&f.ctx);
}

static void a_folder_that_cannot_be_is_no_error(void)
{
    char file[PATH_BYTES];
    fixture f = {.ctx = NULL};
    (void)snprintf(file, sizeof file, "%s/file", fr_test_folder());
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), file, "", 0));
    (void)setenv("FORERUN_CACHE", file, 1);
    f.ctx = fr_ctx_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(f.ctx);
    fr_user_cache_write(f.ctx, "a", DATA, sizeof DATA);
    CU_ASSERT_FALSE(is_read(&f));
    fr_ctx_destroy(&f.ctx);
    (void)setenv("FORERUN_CACHE", "0", 1);
    f.ctx = fr_ctx_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(f.ctx);
    fr_user_cache_write(f.ctx, "a", DATA, sizeof DATA);
    CU_ASSERT_FALSE(is_read(&f));
    fr_ctx_destroy(&f.ctx);
}

static void the_folder_follows_the_environment(void)
{
    static const struct {
        const char *own;
        const char *cache_home;
        const char *home;
        const char *folder; /* NULL: none */
    } SETTINGS[] = {{"/c", "/x", "/h", "/c"},
                    {"0", "/x", "/h", NULL},
                    {"", "/x", "/h", "/x/forerun"},
                    {NULL, "/x", "/h", "/x/forerun"},
                    {NULL, "x", "/h", "/h/.cache/forerun"},
                    {NULL, NULL, "/h", "/h/.cache/forerun"},
                    {NULL, NULL, "", NULL},
                    {NULL, NULL, NULL, NULL}};
    for (size_t i = 0; i < sizeof SETTINGS / sizeof SETTINGS[0]; i++) {
        const char *const names[] = {"FORERUN_CACHE", "XDG_CACHE_HOME", "HOME"};
        const char *const values[] = {SETTINGS[i].own, SETTINGS[i].cache_home,
                                      SETTINGS[i].home};
        char folder[PATH_BYTES];
        for (int n = 0; n < 3; n++) {
            (void)(values[n] != NULL ? setenv(names[n], values[n], 1)
                                     : unsetenv(names[n]));
        }
        fr_ctx *ctx = fr_ctx_create();
        CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
        bool found = fr_ctx_cache_folder(ctx, folder, sizeof folder);
        CU_ASSERT_EQUAL(found, SETTINGS[i].folder != NULL);
        if (found && SETTINGS[i].folder != NULL) {
            CU_ASSERT_STRING_EQUAL(folder, SETTINGS[i].folder);
        }
        CU_ASSERT_FALSE(fr_ctx_cache_folder(ctx, folder, 2));
        fr_ctx_destroy(&ctx);
    }
}

static const fr_case CASES[] = {
    FR_CASE(what_is_kept_is_read),
    FR_CASE(what_others_may_write_to_is_not_read),
    FR_CASE(every_changed_byte_is_seen),
    FR_CASE(a_folder_that_cannot_be_is_no_error),
    FR_CASE(the_folder_follows_the_environment),
};

int main(int argc, char **argv)
{
    return fr_suite_main("user_cache", CASES, FR_N_CASES(CASES), argc, argv);
}
