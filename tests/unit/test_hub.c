/* Which texts are names of the hub, where its cache is, and which names of files are those of parts. */
#define _POSIX_C_SOURCE 200809L
#include "model/files/hub.h"

#include "model/files/part_name.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------------------- */

static void names_are_read(void)
{
    static const struct {
        const char *text;
        const char *revision;
        const char *file;
    } CASES[] = {{"a/b", "", ""},
                 {"Org-1/Some.Model_7B", "", ""},
                 {"a/b@main", "main", ""},
                 {"a/b@refs/pr/1", "refs/pr/1", ""},
                 {"a/b:m.gguf", "", "m.gguf"},
                 {"a/b@v1.0:sub/m q.gguf", "v1.0", "sub/m q.gguf"},
                 {"a/b:x@y.gguf", "", "x@y.gguf"}};
    for (int i = 0; i < FR_N_CASES(CASES); i++) {
        fr_hub_name name;
        CU_ASSERT_TRUE_FATAL(fr_hub_name_read(CASES[i].text, &name));
        CU_ASSERT_TRUE(
            name.revision.bytes == strlen(CASES[i].revision) &&
            (name.revision.bytes == 0 || fr_text_is(name.revision, CASES[i].revision)));
        CU_ASSERT_TRUE(name.file.bytes == strlen(CASES[i].file) &&
                       (name.file.bytes == 0 || fr_text_is(name.file, CASES[i].file)));
    }
}

static void other_texts_are_no_names(void)
{
    static const char *const TEXTS[] = {
        "",         "a",        "/a/b",       "a/b/c",
        "a//b",     "../a",     "a/..",       "a/.b",
        ".a/b",     "-a/b",     "a-/b",       "a/b.",
        "a/b--c",   "a--b/c",   "a/b..c",     "a/b.git",
        "a/m.gguf", "a/b c",    "a/b\n",      "\033[1m/b",
        "a/b@",     "a/b@../x", "a/b@x/..",   "a/b@-x",
        "a/b@x//y", "a/b@.x",   "a/b@x y",    "a/b:",
        "a/b:/x",   "a/b:../x", "a/b:x/../y", "a/b:-x.gguf",
        "a/b:x\n",  "a/b:x/",   "a/b@/x",     "caf\xc3\xa9/b",
        "~/b",      "a/$HOME",  "./a",        "a/b@x\\y:z",
        "a/b:'x'",  "a/b:$(x)", "a/b:\"x",    "a/b:`x`"};
    fr_hub_name name;
    char text[1024];
    for (int i = 0; i < FR_N_CASES(TEXTS); i++) {
        CU_ASSERT_FALSE(fr_hub_name_read(TEXTS[i], &name));
    }
    for (int n = 95; n <= 97; n++) {
        (void)snprintf(text, sizeof text, "%0*d/b", n, 1);
        CU_ASSERT_EQUAL(fr_hub_name_read(text, &name), n <= 96);
        (void)snprintf(text, sizeof text, "b/%0*d", n, 1);
        CU_ASSERT_EQUAL(fr_hub_name_read(text, &name), n <= 96);
    }
    (void)snprintf(text, sizeof text, "a/b@%0*d", 201, 1);
    CU_ASSERT_FALSE(fr_hub_name_read(text, &name));
    (void)snprintf(text, sizeof text, "a/b:%0*d", 513, 1);
    CU_ASSERT_FALSE(fr_hub_name_read(text, &name));
}

static void commands_fetch_what_is_named(void)
{
    static const struct {
        const char *text;
        const char *command;
    } CASES[] = {{"a/b", "hf download a/b"},
                 {"a/b@v1", "hf download a/b --revision v1"},
                 {"a/b@v1:m.gguf", "hf download a/b m.gguf --revision v1"},
                 {"a/b:m (x).gguf", "hf download a/b \"m (x).gguf\""}};
    for (int i = 0; i < FR_N_CASES(CASES); i++) {
        fr_hub_name name;
        CU_ASSERT_TRUE_FATAL(fr_hub_name_read(CASES[i].text, &name));
        CU_ASSERT_STRING_EQUAL(fr_hub_command_for(&name).text, CASES[i].command);
    }
}

static void names_of_parts_are_read(void)
{
    static const char *const WRONG[] = {
        "a-00001-of-00002",      "a-0001-of-0002.gguf",   "a-00003-of-00002.gguf",
        "a-00000-of-00002.gguf", "-of-00002.gguf",        ".gguf",
        "a-00001_of-00002.gguf", "a-0000x-of-00002.gguf", "a-00001-of-00002.gguf.part"};
    fr_part_name name;
    char *path = NULL;
    for (int i = 0; i < FR_N_CASES(WRONG); i++) {
        CU_ASSERT_FALSE(fr_part_name_read(WRONG[i], ".gguf", &name));
    }
    CU_ASSERT_TRUE_FATAL(fr_part_name_read("x/a-00002-of-00012.gguf", ".gguf", &name));
    CU_ASSERT_TRUE(name.stem == 3 && name.number == 2 && name.count == 12);
    FR_ASSERT_OK(fr_part_path(fr_test_ctx(), "x/a-00002-of-00012.gguf", &name, ".gguf",
                              11, &path));
    CU_ASSERT_STRING_EQUAL(path, "x/a-00011-of-00012.gguf");
    free(path);
}

/* ---- where the cache is --------------------------------------------------------------------------- */

static void is_folder_of_cache(const char *wanted)
{
    char *folder = NULL;
    FR_ASSERT_OK(fr_hub_folder(fr_test_ctx(), &folder));
    CU_ASSERT_TRUE(wanted != NULL ? folder != NULL && strcmp(folder, wanted) == 0
                                  : folder == NULL);
    free(folder);
}

/* From the weakest variable to the strongest. */
static void the_cache_is_where_the_hub_has_it(void)
{
    static const char *const NAMES[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE",
                                        "HF_HOME", "XDG_CACHE_HOME", "HOME"};
    char *home = fr_test_memory(strdup(getenv("HOME") != NULL ? getenv("HOME") : "/"));
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        (void)unsetenv(NAMES[i]);
    }
    is_folder_of_cache(NULL);
    (void)setenv("HOME", "/of/me", 1);
    is_folder_of_cache("/of/me/.cache/huggingface/hub");
    (void)setenv("XDG_CACHE_HOME", "/xdg", 1);
    is_folder_of_cache("/xdg/huggingface/hub");
    (void)setenv("HF_HOME", "~/hf", 1);
    is_folder_of_cache("/of/me/hf/hub");
    (void)setenv("HF_HOME", "/scratch/$HOME/${XDG_CACHE_HOME}$NOT_SET_HERE${x", 1);
    is_folder_of_cache("/scratch//of/me//xdg$NOT_SET_HERE${x/hub");
    (void)setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
    is_folder_of_cache("/old");
    (void)setenv("HF_HUB_CACHE", "", 1);
    is_folder_of_cache("/old");
    (void)setenv("HF_HUB_CACHE", "~", 1);
    is_folder_of_cache("/of/me");
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        (void)unsetenv(NAMES[i]);
    }
    (void)setenv("HOME", home, 1);
    free(home);
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(names_are_read),
        FR_CASE(other_texts_are_no_names),
        FR_CASE(commands_fetch_what_is_named),
        FR_CASE(names_of_parts_are_read),
        FR_CASE(the_cache_is_where_the_hub_has_it),
    };
    return fr_suite_main("hub", CASES, FR_N_CASES(CASES), argc, argv);
}
