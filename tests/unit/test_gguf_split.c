/* A GGUF model in several files is the model that one file holds, whichever part is given; what does not belong together is named. */
#define _GNU_SOURCE /* truncate */
#include "base/digest.h"
#include "base/file.h"
#include "model/files/gguf.h"
#include "model/weights/weights.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PARTS = 3 };

static fr_gguf_writer *writer_of_tiny(void)
{
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, fr_test_data("golden/tiny_llama"));
    return writer;
}

/* A folder of its own with the three parts of the tiny model. */
static const char *folder_of_parts(void)
{
    static int n = 0;
    static char folder[1024];
    fr_gguf_writer *writer = writer_of_tiny();
    (void)snprintf(folder, sizeof folder, "%s/parts-%d", fr_test_folder(), ++n);
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), folder));
    fr_gguf_writer_write_parts(writer, folder, "m", PARTS);
    fr_gguf_writer_destroy(&writer);
    return folder;
}

static const char *part_of(const char *folder, int number)
{
    char name[32];
    (void)snprintf(name, sizeof name, "m-%05d-of-%05d.gguf", number, (int)PARTS);
    return fr_test_path(folder, name);
}

static void refuses(const char *path, fr_status status, const char *file,
                    const char *part)
{
    fr_weights *weights = NULL;
    char wanted[2048];
    (void)snprintf(wanted, sizeof wanted, "%s: %s", file, part);
    FR_ASSERT_FAILS(fr_weights_open(fr_test_ctx(), path, &weights), status, wanted);
    CU_ASSERT_PTR_NULL(weights);
}

/* Replaces part `number` of `count` by one with another value. */
static void rewrite(const char *folder, int number, int count, const char *key,
                    const char *text, uint32_t value)
{
    fr_gguf_writer *whole = writer_of_tiny();
    fr_gguf_writer *part = fr_gguf_writer_part(whole, number, count);
    if (text != NULL) {
        fr_gguf_writer_set_text(part, key, text);
    } else {
        fr_gguf_writer_set_u32(part, key, value);
    }
    fr_gguf_writer_write(part, part_of(folder, number));
    fr_gguf_writer_destroy(&part);
    fr_gguf_writer_destroy(&whole);
}

static void any_part_opens_the_whole(void)
{
    fr_gguf_writer *writer = writer_of_tiny();
    const char *folder = folder_of_parts();
    const char *path = fr_test_path(folder, "whole.gguf");
    fr_weights *whole = NULL;
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), path, &whole));
    CU_ASSERT_PTR_NOT_NULL_FATAL(whole);
    CU_ASSERT_EQUAL(fr_weights_n_files(whole), 1);
    for (int number = 1; number <= PARTS; number++) {
        fr_weights *parts = NULL;
        FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), part_of(folder, number), &parts));
        CU_ASSERT_PTR_NOT_NULL_FATAL(parts);
        CU_ASSERT_EQUAL(fr_weights_n_tensors(parts), fr_weights_n_tensors(whole));
        CU_ASSERT_EQUAL(fr_weights_n_files(parts), PARTS);
        for (int64_t layer = -1; layer < fr_weights_arch(whole)->n_layers; layer++) {
            uint8_t a[FR_DIGEST_BYTES];
            uint8_t b[FR_DIGEST_BYTES];
            FR_ASSERT_OK(fr_weights_digest(fr_test_ctx(), whole, layer, a));
            FR_ASSERT_OK(fr_weights_digest(fr_test_ctx(), parts, layer, b));
            fr_assert_same_bytes("digest", b, a, sizeof a);
        }
        fr_weights_release(parts);
        fr_weights_close(&parts);
    }
    fr_weights_close(&whole);
}

/* The cache of digests relies on it: each file's own path and stamp. */
static void every_part_has_its_stamp(void)
{
    const char *folder = folder_of_parts();
    fr_gguf *gguf = NULL;
    FR_ASSERT_OK(fr_gguf_open(fr_test_ctx(), part_of(folder, 2), &gguf));
    CU_ASSERT_PTR_NOT_NULL_FATAL(gguf);
    CU_ASSERT_STRING_EQUAL(fr_gguf_path(gguf), part_of(folder, 1));
    CU_ASSERT_EQUAL_FATAL(fr_gguf_n_files(gguf), PARTS);
    for (int i = 0; i < PARTS; i++) {
        fr_stamp opened;
        fr_stamp now;
        const char *path = fr_gguf_file(gguf, i, &opened);
        CU_ASSERT_STRING_EQUAL(path, part_of(folder, i + 1));
        CU_ASSERT_TRUE_FATAL(fr_file_stamp(path, &now));
        fr_assert_same_bytes("stamp", &opened, &now, sizeof now);
    }
    fr_gguf_close(&gguf);
}

static void a_missing_part_is_named(void)
{
    for (int number = 1; number <= PARTS; number++) {
        const char *folder = folder_of_parts();
        const char *missing = part_of(folder, number);
        CU_ASSERT_EQUAL(unlink(missing), 0);
        refuses(part_of(folder, number % PARTS + 1), FR_ERR_DATA, missing,
                "this part of the model is missing");
    }
}

static void a_name_that_hides_the_parts_is_told(void)
{
    const char *folder = folder_of_parts();
    const char *other = fr_test_path(folder, "blob");
    CU_ASSERT_EQUAL(rename(part_of(folder, 2), other), 0);
    refuses(other, FR_ERR_DATA, other,
            "the file is part 2 of 3 of a model, but its name does not end in "
            "-00002-of-00003.gguf");
    /* under the name of another part */
    CU_ASSERT_EQUAL(rename(other, part_of(folder, 3)), 0);
    refuses(part_of(folder, 3), FR_ERR_DATA, part_of(folder, 3),
            "the file is part 2 of 3");
    CU_ASSERT_EQUAL(link(part_of(folder, 3), part_of(folder, 2)), 0);
    refuses(part_of(folder, 1), FR_ERR_FORMAT, part_of(folder, 3),
            "by its name the file is part 3 of 3, and by its split.no and split.count "
            "part 2 of 3");
    CU_ASSERT_EQUAL(unlink(part_of(folder, 1)), 0);
    CU_ASSERT_EQUAL(link(part_of(folder, 3), part_of(folder, 1)), 0);
    refuses(part_of(folder, 2), FR_ERR_FORMAT, part_of(folder, 1),
            "by its name the file is part 1 of 3");
}

static void parts_of_other_models_are_refused(void)
{
    const char *folder = folder_of_parts();
    rewrite(folder, 2, PARTS, "split.count", NULL, 4);
    refuses(part_of(folder, 1), FR_ERR_FORMAT, part_of(folder, 2),
            "by its name the file is part 2 of 3, and by its split.no and split.count "
            "part 2 of 4");
    rewrite(folder, 2, PARTS, "split.count", NULL, 1);
    refuses(part_of(folder, 1), FR_ERR_FORMAT, part_of(folder, 2), "by its name");
    rewrite(folder, 2, PARTS, "split.tensors.count", NULL, 2);
    refuses(part_of(folder, 1), FR_ERR_FORMAT, part_of(folder, 2),
            "split.tensors.count is 2, that of ");
    rewrite(folder, 2, PARTS, "general.architecture", "qwen2", 0);
    refuses(part_of(folder, 3), FR_ERR_FORMAT, part_of(folder, 2),
            "general.architecture differs from that of ");
    rewrite(folder, 2, PARTS, "general.architecture", "llama", 0);
    fr_weights *weights = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), part_of(folder, 3), &weights));
    fr_weights_close(&weights);
}

static void numbers_out_of_bounds_are_refused(void)
{
    static const struct {
        const char *key;
        uint32_t value;
        const char *part;
    } CASES[] = {
        {"split.count", 100000, "split.count must be a whole number from 0 to 99999"},
        {"split.no", 3, "split.no must be a whole number from 0 to 2"},
        {"split.tensors.count", 1U << 30,
         "split.tensors.count must be a whole number from 0 to"}};
    for (int i = 0; i < FR_N_CASES(CASES); i++) {
        const char *folder = folder_of_parts();
        rewrite(folder, 1, PARTS, CASES[i].key, NULL, CASES[i].value);
        refuses(part_of(folder, 2), FR_ERR_FORMAT, part_of(folder, 1), CASES[i].part);
        rewrite(folder, 1, PARTS, CASES[i].key, "two", 0);
        refuses(part_of(folder, 1), FR_ERR_FORMAT, part_of(folder, 1), "split.");
    }
}

/* One tensor too many, one too few. */
static void tensors_are_counted(void)
{
    static const float ZEROS[64] = {0};
    const char *folder = folder_of_parts();
    fr_gguf_writer *whole = writer_of_tiny();
    fr_gguf_writer *part = fr_gguf_writer_part(whole, 2, PARTS);
    fr_gguf_writer_set_tensor(part, "extra", 0, 0, 64, ZEROS);
    fr_gguf_writer_write(part, part_of(folder, 2));
    refuses(part_of(folder, 1), FR_ERR_FORMAT, part_of(folder, 1),
            "split.tensors.count is 21, but the 3 parts have 22 tensors together");
    fr_gguf_writer_destroy(&part);
    part = fr_gguf_writer_part(whole, 3, PARTS);
    fr_gguf_writer_remove(part, "output_norm.weight");
    fr_gguf_writer_write(part, part_of(folder, 3));
    fr_gguf_writer_destroy(&part);
    part = fr_gguf_writer_part(whole, 2, PARTS);
    fr_gguf_writer_write(part, part_of(folder, 2));
    refuses(part_of(folder, 1), FR_ERR_FORMAT, part_of(folder, 1),
            "split.tensors.count is 21, but the 3 parts have 20 tensors together");
    fr_gguf_writer_destroy(&part);
    fr_gguf_writer_destroy(&whole);
}

static void a_tensor_in_two_parts_is_named(void)
{
    static const float ZEROS[64] = {0};
    const char *folder = fr_test_path(fr_test_folder(), "twice");
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), folder));
    fr_gguf_writer *whole = fr_gguf_writer_create();
    fr_gguf *gguf = NULL;
    fr_gguf_writer_set_tensor(whole, "a", 0, 0, 64, ZEROS);
    fr_gguf_writer_set_tensor(whole, "b", 0, 0, 64, ZEROS);
    fr_gguf_writer *part = fr_gguf_writer_part(whole, 2, 2);
    fr_gguf_writer_write_parts(whole, folder, "m", 2);
    fr_gguf_writer_remove(part, "b");
    fr_gguf_writer_set_tensor(part, "a", 0, 0, 64, ZEROS);
    fr_gguf_writer_write(part, fr_test_path(folder, "m-00002-of-00002.gguf"));
    FR_ASSERT_FAILS(fr_gguf_open(fr_test_ctx(),
                                 fr_test_path(folder, "m-00002-of-00002.gguf"), &gguf),
                    FR_ERR_FORMAT, "tensor a is in this part and in ");
    CU_ASSERT_PTR_NULL(gguf);
    fr_gguf_writer_destroy(&part);
    fr_gguf_writer_destroy(&whole);
}

static void a_damaged_part_is_named(void)
{
    for (int number = 1; number <= PARTS; number++) {
        const char *folder = folder_of_parts();
        const char *path = part_of(folder, number);
        CU_ASSERT_EQUAL(truncate(path, 1000), 0);
        refuses(part_of(folder, number % PARTS + 1), FR_ERR_FORMAT, path, "");
        fr_test_write_text(path, "version https://git-lfs.github.com/spec/v1\n");
        refuses(part_of(folder, number % PARTS + 1), FR_ERR_FORMAT, path,
                "this is not a GGUF file: it is a Git LFS pointer");
    }
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(any_part_opens_the_whole),
        FR_CASE(every_part_has_its_stamp),
        FR_CASE(a_missing_part_is_named),
        FR_CASE(a_name_that_hides_the_parts_is_told),
        FR_CASE(parts_of_other_models_are_refused),
        FR_CASE(numbers_out_of_bounds_are_refused),
        FR_CASE(tensors_are_counted),
        FR_CASE(a_tensor_in_two_parts_is_named),
        FR_CASE(a_damaged_part_is_named),
    };
    return fr_suite_main("gguf_split", CASES, FR_N_CASES(CASES), argc, argv);
}
