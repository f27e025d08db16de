/* Files that people have in hand, told from their first bytes. */
#include "base/file_kind.h"

#include "support/suite.h"

#include <string.h>

static bool says(const char *bytes, size_t n, const char *word)
{
    const char *what = fr_file_kind(bytes, n);
    return what != NULL && strstr(what, word) != NULL;
}

static void kinds_are_named_with_the_way_out(void)
{
    static const char LFS[] = "version https://git-lfs.github.com/spec/v1\noid sha256:";
    CU_ASSERT_TRUE(says(LFS, sizeof LFS - 1, "git lfs pull"));
    CU_ASSERT_TRUE(says("\x1f\x8b\x08", 3, "gunzip"));
    CU_ASSERT_TRUE(says("\x28\xb5\x2f\xfd", 4, "unzstd"));
    CU_ASSERT_TRUE(says("PK\x03\x04", 4, "zip"));
    CU_ASSERT_TRUE(says("PAR1", 4, "Parquet"));
    CU_ASSERT_TRUE(says("<!DOCTYPE html>", 15, "web page"));
    CU_ASSERT_TRUE(says("\xff\xfe{", 3, "UTF-16"));
}

static void a_tar_is_known_by_what_stands_behind_its_first_name(void)
{
    char bytes[FR_FILE_KIND_BYTES] = "rows.jsonl";
    CU_ASSERT_PTR_NULL(fr_file_kind(bytes, sizeof bytes));
    memcpy(bytes + 257, "ustar", 5);
    CU_ASSERT_TRUE(says(bytes, sizeof bytes, "tar"));
    CU_ASSERT_PTR_NULL(fr_file_kind(bytes, 260));
}

static void other_bytes_are_no_kind(void)
{
    CU_ASSERT_PTR_NULL(fr_file_kind("", 0));
    CU_ASSERT_PTR_NULL(fr_file_kind("{\"source\": \"a\"}", 15));
    CU_ASSERT_PTR_NULL(fr_file_kind("\x1f", 1));
}

static const fr_case CASES[] = {
    FR_CASE(kinds_are_named_with_the_way_out),
    FR_CASE(a_tar_is_known_by_what_stands_behind_its_first_name),
    FR_CASE(other_bytes_are_no_kind),
};

int main(int argc, char **argv)
{
    return fr_suite_main("file_kind", CASES, FR_N_CASES(CASES), argc, argv);
}
