/* From a model's name to a path: what a cache of the hub must hold. */
#define _POSIX_C_SOURCE 200809L
#include "model/files/where.h"

#include "base/file.h"
#include "model/weights/weights.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char COMMIT[] = "0123456789abcdef0123456789abcdef01234567";
static const char OTHER[] = "0123456fffffffffffffffffffffffffffffffff";
enum { PATH_BYTES = 2048 };

/* A cache of its own, with the model org/name. */
typedef struct cache {
    char root[PATH_BYTES / 4];
    char model[PATH_BYTES / 2];
} cache;

static void make_folder(const char *path)
{
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), path));
}

static cache new_cache(void)
{
    static int n = 0;
    cache c;
    (void)snprintf(c.root, sizeof c.root, "%s/cache-%d", fr_test_folder(), ++n);
    (void)snprintf(c.model, sizeof c.model, "%s/models--org--name", c.root);
    make_folder(fr_test_path(c.model, "refs"));
    make_folder(fr_test_path(c.model, "blobs"));
    make_folder(fr_test_path(c.model, "snapshots"));
    (void)setenv("HF_HUB_CACHE", c.root, 1);
    return c;
}

static const char *snapshot_of(const cache *c, const char *commit)
{
    return fr_test_path(fr_test_path(c->model, "snapshots"), commit);
}

static void set_ref(const cache *c, const char *name, const char *text)
{
    fr_test_write_text(fr_test_path(fr_test_path(c->model, "refs"), name), text);
}

/* A file of a snapshot as the hub keeps it: a link to a blob; `from` NULL: the link leads nowhere. */
static void add_file(const cache *c, const char *commit, const char *name,
                     const char *from)
{
    static int n = 0;
    char source[PATH_BYTES] = "";
    char blob[80];
    char target[128];
    char folder[PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s", snapshot_of(c, commit));
    if (from != NULL) {
        (void)snprintf(source, sizeof source, "%s", from);
    }
    make_folder(folder);
    (void)snprintf(blob, sizeof blob, "%064d", ++n);
    (void)snprintf(target, sizeof target, "../../blobs/%s", blob);
    CU_ASSERT_EQUAL(symlink(target, fr_test_path(folder, name)), 0);
    if (from != NULL) {
        char *data = NULL;
        size_t bytes = 0;
        FR_ASSERT_OK(fr_file_read(fr_test_ctx(), source, &data, &bytes));
        fr_test_write(fr_test_path(fr_test_path(c->model, "blobs"), blob), data, bytes);
        free(data);
    }
}

/* The folder of a tiny model as a snapshot. */
static void add_model(const cache *c, const char *commit)
{
    static const char *const NAMES[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        add_file(c, commit, NAMES[i],
                 fr_test_path(fr_test_data("golden/tiny_llama"), NAMES[i]));
    }
}

static void finds(const char *name, const char *wanted)
{
    char *path = NULL;
    FR_ASSERT_OK(fr_model_find(fr_test_ctx(), name, FR_MODEL_WHOLE, &path));
    CU_ASSERT_PTR_NOT_NULL_FATAL(path);
    CU_ASSERT_STRING_EQUAL(path, wanted);
    free(path);
}

static void refuses(const char *name, fr_status status, const char *part)
{
    char *path = NULL;
    FR_ASSERT_FAILS(fr_model_find(fr_test_ctx(), name, FR_MODEL_WHOLE, &path), status,
                    part);
    CU_ASSERT_PTR_NULL(path);
    free(path);
}

/* ---- snapshots ------------------------------------------------------------------------------------ */

static void a_snapshot_opens_as_a_folder(void)
{
    cache c = new_cache();
    fr_weights *weights = NULL;
    char wanted[PATH_BYTES];
    add_model(&c, COMMIT);
    set_ref(&c, "main", COMMIT);
    (void)snprintf(wanted, sizeof wanted, "%s", snapshot_of(&c, COMMIT));
    finds("org/name", wanted);
    finds("org/name@main", wanted);
    finds("org/name@0123456", wanted);
    finds("org/name@0123456789abcdef0123456789abcdef01234567", wanted);
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), wanted, &weights));
    fr_weights_close(&weights);
    /* as some tools write it */
    char line[64];
    (void)snprintf(line, sizeof line, "%s\n", COMMIT);
    set_ref(&c, "v1.0", line);
    finds("org/name@v1.0", wanted);
}

static void a_path_that_exists_comes_first(void)
{
    cache c = new_cache();
    char before[PATH_BYTES];
    add_model(&c, COMMIT);
    set_ref(&c, "main", COMMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(before, sizeof before));
    CU_ASSERT_EQUAL_FATAL(chdir(c.root), 0);
    make_folder("org/name");
    finds("org/name", "org/name");
    CU_ASSERT_EQUAL(rmdir("org/name"), 0);
    /* a folder of the owner's name alone is no path of a model */
    finds("org/name", snapshot_of(&c, COMMIT));
    finds("org/other", "org/other");
    CU_ASSERT_EQUAL_FATAL(chdir(before), 0);
    finds("/nowhere/at/all", "/nowhere/at/all");
}

static void what_was_not_fetched_is_named(void)
{
    cache c = new_cache();
    refuses("org/absent", FR_ERR_DATA,
            "fetch it with 'hf download org/absent' and give");
    refuses("org/absent", FR_ERR_DATA, c.root);
    refuses("org/name", FR_ERR_DATA,
            "has no revision main of this model; fetch it with");
    add_model(&c, COMMIT);
    refuses("org/name", FR_ERR_DATA,
            "but 1 other; fetch it with 'hf download org/name', or give "
            "org/name@0123456789abcdef0123456789abcdef01234567");
    refuses("org/name@v2", FR_ERR_DATA, "'hf download org/name --revision v2'");
    refuses("org/name@012345", FR_ERR_DATA, "has no revision 012345 of");
    set_ref(&c, "main", OTHER);
    refuses("org/name", FR_ERR_DATA, "has no revision main of");
    add_model(&c, OTHER);
    finds("org/name", snapshot_of(&c, OTHER));
    refuses("org/name@0123456", FR_ERR_DATA,
            "2 snapshots of the hub's cache begin with 0123456");
    finds("org/name@01234567", snapshot_of(&c, COMMIT));
}

static void damaged_refs_are_refused(void)
{
    static const char *const TEXTS[] = {"",   "\n",  "../../../etc", "/etc",
                                        "..", "a b", "\033[1m"};
    cache c = new_cache();
    add_model(&c, COMMIT);
    for (int i = 0; i < FR_N_CASES(TEXTS); i++) {
        set_ref(&c, "main", TEXTS[i]);
        refuses("org/name", FR_ERR_FORMAT, "refs/main: the file must hold a commit");
    }
    char *large = fr_test_memory(calloc(1, 1 << 20));
    memset(large, 'a', (1 << 20) - 1);
    set_ref(&c, "main", large);
    refuses("org/name", FR_ERR_FORMAT, "refs/main: the file must hold a commit");
    free(large);
    CU_ASSERT_EQUAL(unlink(fr_test_path(fr_test_path(c.model, "refs"), "main")), 0);
    CU_ASSERT_EQUAL(mkfifo(fr_test_path(fr_test_path(c.model, "refs"), "main"), 0600),
                    0);
    refuses("org/name", FR_ERR_DATA, "has no revision main");
}

static void interrupted_downloads_are_named(void)
{
    cache c = new_cache();
    char *path = NULL;
    char tiny[PATH_BYTES];
    (void)snprintf(tiny, sizeof tiny, "%s", fr_test_data("golden/tiny_llama"));
    set_ref(&c, "main", COMMIT);
    add_file(&c, COMMIT, "README.md", fr_test_path(tiny, "config.json"));
    fr_test_write_text(fr_test_path(fr_test_path(c.model, "blobs"), "ab.12.incomplete"),
                       "x");
    refuses(
        "org/name", FR_ERR_DATA,
        "has no weights (safetensors or GGUF) (1 download was begun and not ended); "
        "fetch it with 'hf download org/name'");
    add_file(&c, COMMIT, "config.json", fr_test_path(tiny, "config.json"));
    refuses("org/name", FR_ERR_DATA, "has no weights");
    /* the settings are enough for a plan */
    FR_ASSERT_OK(fr_model_find(fr_test_ctx(), "org/name", FR_MODEL_HEAD, &path));
    CU_ASSERT_STRING_EQUAL(path, snapshot_of(&c, COMMIT));
    free(path);
    add_file(&c, COMMIT, "model.safetensors", NULL);
    refuses("org/name", FR_ERR_DATA, "has a link model.safetensors that leads nowhere");
    CU_ASSERT_EQUAL(unlink(fr_test_path(snapshot_of(&c, COMMIT), "model.safetensors")),
                    0);
    add_file(&c, COMMIT, "model.safetensors.index.json",
             fr_test_path(tiny, "config.json"));
    refuses("org/name", FR_ERR_DATA, "has no weights");
    add_file(&c, COMMIT, "model-00001-of-00002.safetensors",
             fr_test_path(tiny, "model.safetensors"));
    refuses(
        "org/name", FR_ERR_DATA,
        "lacks model-00002-of-00002.safetensors, part 2 of 2 (1 download was begun");
    add_file(&c, OTHER, "model.safetensors", fr_test_path(tiny, "model.safetensors"));
    refuses("org/name@0123456f", FR_ERR_DATA, "has weights and no config.json");
}

static void other_weights_are_left_to_their_reader(void)
{
    cache c = new_cache();
    fr_weights *weights = NULL;
    char config[PATH_BYTES];
    (void)snprintf(config, sizeof config, "%s/config.json",
                   fr_test_data("golden/tiny_llama"));
    set_ref(&c, "main", COMMIT);
    add_file(&c, COMMIT, "config.json", config);
    add_file(&c, COMMIT, "pytorch_model.bin", config);
    finds("org/name", snapshot_of(&c, COMMIT));
    FR_ASSERT_FAILS(fr_weights_open(fr_test_ctx(), snapshot_of(&c, COMMIT), &weights),
                    FR_ERR_DATA, "holds pytorch_model.bin and no safetensors");
}

static void gguf_files_are_chosen(void)
{
    cache c = new_cache();
    char some[PATH_BYTES];
    (void)snprintf(some, sizeof some, "%s/config.json",
                   fr_test_data("golden/tiny_llama"));
    char wanted[PATH_BYTES];
    set_ref(&c, "main", COMMIT);
    add_file(&c, COMMIT, "m-00002-of-00002.gguf", some);
    refuses("org/name", FR_ERR_DATA,
            "lacks m-00001-of-00002.gguf, part 1 of 2; fetch it with 'hf download "
            "org/name m-00001-of-00002.gguf'");
    add_file(&c, COMMIT, "m-00001-of-00002.gguf", some);
    (void)snprintf(wanted, sizeof wanted, "%s/m-00001-of-00002.gguf",
                   snapshot_of(&c, COMMIT));
    finds("org/name", wanted);
    add_file(&c, COMMIT, "q4.gguf", some);
    refuses("org/name", FR_ERR_DATA,
            "has several GGUF models: m-00001-of-00002.gguf, q4.gguf; give one as "
            "org/name:FILE");
    refuses(
        "org/name@main:x.gguf", FR_ERR_DATA,
        "lacks this file; fetch it with 'hf download org/name x.gguf --revision "
        "main'; GGUF files that are there: m-00001-of-00002.gguf, q4.gguf; give one "
        "as org/name@main:FILE");
    (void)snprintf(wanted, sizeof wanted, "%s/q4.gguf", snapshot_of(&c, COMMIT));
    finds("org/name:q4.gguf", wanted);
    finds("org/name@main:q4.gguf", wanted);
    add_file(&c, COMMIT, "lost.gguf", NULL);
    refuses("org/name:lost.gguf", FR_ERR_DATA,
            "has a link lost.gguf that leads nowhere; fetch it with 'hf download "
            "org/name lost.gguf'");
    /* a folder of the repository, and whole weights beside it */
    add_model(&c, OTHER);
    (void)snprintf(wanted, sizeof wanted, "%s", snapshot_of(&c, OTHER));
    make_folder(fr_test_path(wanted, "gguf"));
    fr_test_write_text(fr_test_path(fr_test_path(wanted, "gguf"), "m.gguf"), "x");
    finds("org/name@0123456f", wanted);
    (void)snprintf(wanted, sizeof wanted, "%s/gguf/m.gguf", snapshot_of(&c, OTHER));
    finds("org/name@0123456f:gguf/m.gguf", wanted);
    refuses("org/name@0123456f:gguf", FR_ERR_DATA, "lacks this file");
    refuses("org/name@0123456f:config.json", FR_ERR_DATA,
            "config.json is not a GGUF file");
}

/* A listing takes bounded memory, and a folder that leads into itself ends. */
static void a_listing_is_bounded(void)
{
    cache c = new_cache();
    char name[64];
    set_ref(&c, "main", COMMIT);
    add_model(&c, COMMIT);
    CU_ASSERT_EQUAL(symlink(".", fr_test_path(snapshot_of(&c, COMMIT), "loop")), 0);
    finds("org/name", snapshot_of(&c, COMMIT));
    make_folder(snapshot_of(&c, OTHER));
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "%d.json", i);
        fr_test_write_text(fr_test_path(snapshot_of(&c, OTHER), name), "");
    }
    refuses("org/name@0123456f", FR_ERR_DATA, "has more than 4096 files of models");
    for (int i = 0; i < 70; i++) {
        (void)snprintf(name, sizeof name, "loop-%d", i);
        CU_ASSERT_EQUAL(symlink(".", fr_test_path(snapshot_of(&c, COMMIT), name)), 0);
    }
    refuses("org/name", FR_ERR_DATA, "has more than 65536 entries");
}

/* ---- outputs --------------------------------------------------------------------------------------- */

static void outputs_are_apart_from_all_files(void)
{
    cache c = new_cache();
    char some[PATH_BYTES];
    (void)snprintf(some, sizeof some, "%s/config.json",
                   fr_test_data("golden/tiny_llama"));
    const char *folder = fr_test_folder();
    char blob[PATH_BYTES];
    ssize_t n = 0;
    set_ref(&c, "main", COMMIT);
    add_model(&c, COMMIT);
    char link[PATH_BYTES];
    (void)snprintf(link, sizeof link, "%s/config.json", snapshot_of(&c, COMMIT));
    char target[PATH_BYTES] = "";
    n = readlink(link, target, sizeof target - 1);
    CU_ASSERT_TRUE_FATAL(n > 0);
    (void)snprintf(blob, sizeof blob, "%s/%.500s", snapshot_of(&c, COMMIT), target);
    FR_ASSERT_FAILS(
        fr_model_apart(fr_test_ctx(), "--output", blob, "--model", "org/name"),
        FR_ERR_ARG, "is a file of the folder that --model reads");
    FR_ASSERT_OK(
        fr_model_apart(fr_test_ctx(), "--output", some, "--model", "org/name"));
    FR_ASSERT_OK(
        fr_model_apart(fr_test_ctx(), "--output", some, "--model", "org/none"));
    FR_ASSERT_OK(
        fr_model_apart(fr_test_ctx(), "--output", NULL, "--model", "org/name"));
    fr_test_write_text(fr_test_path(folder, "p-00001-of-00002.gguf"), "");
    fr_test_write_text(fr_test_path(folder, "p-00002-of-00002.gguf"), "");
    FR_ASSERT_FAILS(fr_model_apart(fr_test_ctx(), "--output",
                                   fr_test_path(folder, "p-00001-of-00002.gguf"),
                                   "--model",
                                   fr_test_path(folder, "p-00002-of-00002.gguf")),
                    FR_ERR_ARG, "is the file that --model reads");
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(a_snapshot_opens_as_a_folder),
        FR_CASE(a_path_that_exists_comes_first),
        FR_CASE(what_was_not_fetched_is_named),
        FR_CASE(damaged_refs_are_refused),
        FR_CASE(interrupted_downloads_are_named),
        FR_CASE(other_weights_are_left_to_their_reader),
        FR_CASE(gguf_files_are_chosen),
        FR_CASE(a_listing_is_bounded),
        FR_CASE(outputs_are_apart_from_all_files),
    };
    return fr_suite_main("where", CASES, FR_N_CASES(CASES), argc, argv);
}
