/* What people give in a model's place is named for what it is, with the way out. */
#include "model/files/foreign.h"

#include "model/text/tokens.h"
#include "model/weights/weights.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void refuses(const char *path, fr_status status, const char *part)
{
    fr_weights *weights = NULL;
    FR_ASSERT_FAILS(fr_weights_open(fr_test_ctx(), path, &weights), status, part);
    CU_ASSERT_PTR_NULL(weights);
}

/* ---- paths ------------------------------------------------------------------------------------- */

static void names_of_a_hub_are_told_from_paths(void)
{
    fr_arch arch;
    fr_tokenizer *tokenizer = NULL;
    static const char NAME[] = "Owner-1/Some.Model_7B";
    static const char WANTED[] =
        "'hf download Owner-1/Some.Model_7B' and give Owner-1/Some.Model_7B";
    refuses(NAME, FR_ERR_DATA, WANTED);
    FR_ASSERT_FAILS(fr_arch_read(fr_test_ctx(), NAME, &arch), FR_ERR_DATA, WANTED);
    FR_ASSERT_FAILS(fr_tokenizer_open(fr_test_ctx(), NAME, &tokenizer), FR_ERR_DATA,
                    WANTED);
    static const char *const PATHS[] = {
        "model", "owner/model.gguf", "a/b/c",      "./a",       "/a/b", "a/", "../a",
        "a/b c", "a/b.safetensors",  ".hidden/ab", "a/.hidden", ""};
    for (int i = 0; i < FR_N_CASES(PATHS); i++) {
        refuses(PATHS[i], FR_ERR_DATA, "No such file or directory");
    }
}

static void addresses_are_told_from_paths(void)
{
    static const char *const HUB[] = {"https://huggingface.co/a/b",
                                      "hf://a/b",
                                      "http://huggingface.co/a/b/",
                                      "huggingface.co/a/b",
                                      "https://huggingface.co/a/b/tree/main",
                                      "https://hf.co/a/b?x=1",
                                      "hf://models/a/b@main",
                                      "https://huggingface.co/a/b#use"};
    static const char *const OTHERS[] = {"https://example.org/m.gguf", "s3://a/b",
                                         "https://huggingface.co/a", "hf://", "hf:///"};
    for (int i = 0; i < FR_N_CASES(HUB); i++) {
        refuses(HUB[i], FR_ERR_DATA, "'hf download a/b' and give a/b");
    }
    for (int i = 0; i < FR_N_CASES(OTHERS); i++) {
        refuses(OTHERS[i], FR_ERR_DATA, "is an address, and Forerun downloads nothing");
    }
}

static void a_slip_in_a_path_is_no_hub_name(void)
{
    const char *folder = fr_test_folder();
    char before[4096];
    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(before, sizeof before));
    CU_ASSERT_EQUAL_FATAL(chdir(folder), 0);
    CU_ASSERT_EQUAL(mkdir("models", 0700), 0);
    refuses("models/smol", FR_ERR_DATA, "No such file or directory");
    CU_ASSERT_EQUAL_FATAL(chdir(before), 0);
}

static void a_part_of_a_folder_names_the_folder(void)
{
    static const char *const NAMES[] = {"model.safetensors", "config.json",
                                        "tokenizer.json", "tokenizer_config.json",
                                        "model.safetensors.index.json"};
    const char *folder = fr_test_folder();
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        const char *path = fr_test_path(folder, NAMES[i]);
        fr_test_write_text(path, "{}");
        refuses(path, FR_ERR_DATA, "is one file of a model's folder; give the folder");
    }
}

/* ---- folders ----------------------------------------------------------------------------------- */

typedef struct folder_case {
    const char *name;
    const char *part;
} folder_case;

static void folders_without_a_config_are_told(void)
{
    static const folder_case FOLDERS[] = {
        {"adapter_config.json",
         "holds adapter_config.json, so it is an adapter (PEFT)"},
        {"adapter_model.safetensors", "so it is an adapter (PEFT)"},
        {"model_index.json", "a pipeline of several models"},
        {"small-q4.gguf", "holds small-q4.gguf; give that file, not the folder"},
        {"snapshots", "a hub's cache; give the folder inside snapshots"},
        {"best.h5", "a run's folder, not a model; prefixes go to --prefix"},
        {"checkpoint-000012.h5", "a run's folder, not a model"},
        {"checkpoint-500", "holds checkpoint-500 and no config.json"},
        {"consolidated.00.pth", "in the form of transformers"},
        {"README.md", "config.json: No such file"},
    };
    for (int i = 0; i < FR_N_CASES(FOLDERS); i++) {
        fr_arch arch;
        const char *folder = fr_test_folder();
        fr_test_write_text(fr_test_path(folder, FOLDERS[i].name), "x");
        refuses(folder, FR_ERR_DATA, FOLDERS[i].part);
        FR_ASSERT_FAILS(fr_arch_read(fr_test_ctx(), folder, &arch), FR_ERR_DATA,
                        FOLDERS[i].part);
    }
}

static void folders_without_readable_weights_are_told(void)
{
    static const folder_case FOLDERS[] = {
        {"pytorch_model.bin", "holds pytorch_model.bin and no safetensors"},
        {"model.pt", "holds model.pt and no safetensors"},
        {"model.pth", "convert it with transformers"},
        {"model.ckpt", "convert it with transformers"},
        {"flax_model.msgpack", "convert it with transformers"},
        {"tf_model.h5", "convert it with transformers"},
        {"model.onnx", "convert it with transformers"},
        {"adapter_model.safetensors", "so it is an adapter (PEFT)"},
        {"model-00001-of-00002.safetensors", "no model.safetensors.index.json"},
        {"weights.safetensors", "weights are looked for in model.safetensors"},
        {"consolidated.safetensors", "in the form of transformers"},
        {"model.Q4_0.gguf", "give that file, not the folder"},
        {"README.md", "has neither model.safetensors nor"},
    };
    for (int i = 0; i < FR_N_CASES(FOLDERS); i++) {
        const char *folder = fr_test_model_folder("tiny_llama", NULL);
        CU_ASSERT_EQUAL(unlink(fr_test_path(folder, "model.safetensors")), 0);
        fr_test_write_text(fr_test_path(folder, FOLDERS[i].name), "x");
        refuses(folder, FR_ERR_DATA, FOLDERS[i].part);
    }
}

/* The first name in the order of bytes, whatever the order of the folder. */
static void one_of_several_files_is_named(void)
{
    const char *folder = fr_test_folder();
    fr_test_write_text(fr_test_path(folder, "b.gguf"), "x");
    fr_test_write_text(fr_test_path(folder, "a.gguf"), "x");
    fr_test_write_text(fr_test_path(folder, "c.gguf"), "x");
    refuses(folder, FR_ERR_DATA, "holds a.gguf;");
    fr_test_write_text(fr_test_path(folder, "adapter_config.json"), "x");
    refuses(folder, FR_ERR_DATA, "holds adapter_config.json");
}

/* ---- contents ---------------------------------------------------------------------------------- */

typedef struct content {
    const char *bytes;
    size_t n;
    const char *part;
} content;

#define TEXT(text) (text), sizeof(text) - 1

static const content CONTENTS[] = {
    {TEXT("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 134\n"),
     "git lfs pull"},
    {TEXT("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"), "packed by gzip"},
    {TEXT("PK\x03\x04\x14\x00\x00\x00\x00\x00"), "a zip archive"},
    {TEXT("<!DOCTYPE html><html>"), "a web page"},
    {TEXT("Entry not found"), "a hub's answer"},
    {TEXT("\x89HDF\r\n\x1a\n\x02\x08\x08\x00"), "an HDF5 file"},
    {TEXT("Forerun checkpoint 2.0\nsha256 "), "goes to --prefix"},
};

static void a_file_of_another_kind_is_named_in_each_place(void)
{
    static const char *const NAMES[] = {"model.gguf", "model.safetensors",
                                        "config.json", "model.safetensors.index.json"};
    for (int i = 0; i < FR_N_CASES(CONTENTS); i++) {
        for (int j = 0; j < FR_N_CASES(NAMES); j++) {
            const char *folder = fr_test_model_folder("tiny_llama", NULL);
            const char *path = fr_test_path(folder, NAMES[j]);
            if (j != 0) {
                CU_ASSERT_EQUAL(unlink(fr_test_path(folder, "model.safetensors")), 0);
            }
            (void)unlink(path);
            fr_test_write(path, CONTENTS[i].bytes, CONTENTS[i].n);
            refuses(j == 0 ? path : folder, FR_ERR_FORMAT, CONTENTS[i].part);
        }
    }
}

static void a_tokenizer_of_another_kind_is_named(void)
{
    static const char *const NAMES[] = {"tokenizer.json", "tokenizer_config.json"};
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        fr_tokenizer *tokenizer = NULL;
        const char *folder = fr_test_model_folder("tiny_llama", NULL);
        fr_test_write_text(fr_test_path(folder, "tokenizer.json"), "{}");
        fr_test_write(fr_test_path(folder, NAMES[i]), CONTENTS[0].bytes, CONTENTS[0].n);
        FR_ASSERT_FAILS(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer),
                        FR_ERR_FORMAT, CONTENTS[0].part);
    }
}

/* A header's length may begin with the bytes of another kind: 640 is 0x80 0x02, a pickle's beginning. */
static void a_safetensors_file_is_not_taken_for_a_pickle(void)
{
    enum { LENGTH = 640 };
    char header[LENGTH + 1];
    size_t n = 0;
    fr_safetensors *file = NULL;
    memset(header, ' ', LENGTH);
    header[LENGTH] = '\0';
    memcpy(header, "{}", 2);
    uint8_t *bytes = fr_test_safetensors(header, NULL, 0, &n);
    const char *path = fr_test_path(fr_test_folder(), "x.safetensors");
    fr_test_write(path, bytes, n);
    free(bytes);
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), path, &file));
    fr_safetensors_close(&file);
}

static void a_byte_order_mark_before_json_is_skipped(void)
{
    enum { MAX = 4096 };
    char text[MAX] = "\xef\xbb\xbf";
    fr_weights *weights = NULL;
    const char *folder = fr_test_model_folder("tiny_llama", NULL);
    FILE *file = fopen(fr_test_path(folder, "config.json"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    size_t n = 3 + fread(text + 3, 1, MAX - 3, file);
    (void)fclose(file);
    fr_test_write(fr_test_path(folder, "config.json"), text, n);
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), folder, &weights));
    fr_weights_close(&weights);
}

/* ---- GGUF files that are no whole model --------------------------------------------------------- */

static const char *gguf_with(const char *key, const char *text, uint32_t number)
{
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, fr_test_data("golden/tiny_llama"));
    if (text != NULL) {
        fr_gguf_writer_set_text(writer, key, text);
    } else {
        fr_gguf_writer_set_u32(writer, key, number);
    }
    const char *path = fr_test_path(fr_test_folder(), "model.gguf");
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    return path;
}

static void ggufs_that_are_no_model_are_told(void)
{
    fr_weights *weights = NULL;
    refuses(gguf_with("general.type", "adapter", 0), FR_ERR_UNSUPPORTED,
            "general.type is adapter: it is an adapter");
    refuses(gguf_with("general.type", "mmproj", 0), FR_ERR_UNSUPPORTED, "a projector");
    refuses(gguf_with("general.type", "imatrix", 0), FR_ERR_UNSUPPORTED,
            "an importance matrix");
    refuses(gguf_with("general.type", "other", 0), FR_ERR_UNSUPPORTED,
            "general.type is other, supported: model");
    refuses(gguf_with("general.architecture", "clip", 0), FR_ERR_UNSUPPORTED,
            "general.architecture is clip: it is a projector");
    FR_ASSERT_OK(
        fr_weights_open(fr_test_ctx(), gguf_with("split.count", NULL, 1), &weights));
    fr_weights_close(&weights);
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), gguf_with("general.type", "model", 0),
                                 &weights));
    fr_weights_close(&weights);
}

static const fr_case CASES[] = {
    FR_CASE(names_of_a_hub_are_told_from_paths),
    FR_CASE(addresses_are_told_from_paths),
    FR_CASE(a_slip_in_a_path_is_no_hub_name),
    FR_CASE(a_part_of_a_folder_names_the_folder),
    FR_CASE(folders_without_a_config_are_told),
    FR_CASE(folders_without_readable_weights_are_told),
    FR_CASE(one_of_several_files_is_named),
    FR_CASE(a_file_of_another_kind_is_named_in_each_place),
    FR_CASE(a_tokenizer_of_another_kind_is_named),
    FR_CASE(a_safetensors_file_is_not_taken_for_a_pickle),
    FR_CASE(a_byte_order_mark_before_json_is_skipped),
    FR_CASE(ggufs_that_are_no_model_are_told),
};

int main(int argc, char **argv)
{
    return fr_suite_main("foreign", CASES, FR_N_CASES(CASES), argc, argv);
}
