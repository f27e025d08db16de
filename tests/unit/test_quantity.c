#include "base/quantity.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>

static int64_t size_of(const char *text)
{
    int64_t bytes = -1;
    return fr_size_read(text, &bytes) ? bytes : -1;
}

static void sizes_are_read_as_people_write_them(void)
{
    CU_ASSERT_EQUAL(size_of("1"), 1);
    CU_ASSERT_EQUAL(size_of("4096B"), 4096);
    CU_ASSERT_EQUAL(size_of("1e9"), 1000000000);
    CU_ASSERT_EQUAL(size_of("2K"), 2048);
    CU_ASSERT_EQUAL(size_of("2k"), 2048);
    CU_ASSERT_EQUAL(size_of("2KiB"), 2048);
    CU_ASSERT_EQUAL(size_of("2kB"), 2000);
    CU_ASSERT_EQUAL(size_of("512MB"), 512000000);
    CU_ASSERT_EQUAL(size_of("80G"), (int64_t)80 << 30);
    CU_ASSERT_EQUAL(size_of("80GiB"), (int64_t)80 << 30);
    CU_ASSERT_EQUAL(size_of("80GB"), 80000000000);
    CU_ASSERT_EQUAL(size_of("80 GB"), 80000000000);
    CU_ASSERT_EQUAL(size_of("1.5TB"), 1500000000000);
    CU_ASSERT_EQUAL(size_of("1.5T"), (int64_t)3 << 39);
    CU_ASSERT_EQUAL(size_of(".5P"), (int64_t)1 << 49);
}

static void what_is_no_size_is_refused(void)
{
    static const char *const BAD[] = {
        "",     "G",     "-1G",  "+1G", " 1G",  "1 ",   "1  G", "80X",   "80Gb",
        "80gb", "80Gi",  "80GG", "0",   "0x10", "0.5",  "inf",  "nan",   "1e30",
        "1e9e", "2048P", "1,5G", "1G ", "80 ",  "80BB", "1..5", "80GiBs"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        if (size_of(BAD[i]) != -1) {
            CU_FAIL("read");
            (void)printf("\"%s\" was read\n", BAD[i]);
        }
    }
}

static void sizes_are_printed_with_the_largest_unit(void)
{
    char text[FR_SIZE_BYTES];
    fr_size_text(1023.0, text);
    CU_ASSERT_STRING_EQUAL(text, "1023 B");
    fr_size_text(157286400.0, text);
    CU_ASSERT_STRING_EQUAL(text, "150.00 MiB");
    fr_size_text(1e30, text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "PiB"));
}

static const fr_case CASES[] = {
    FR_CASE(sizes_are_read_as_people_write_them),
    FR_CASE(what_is_no_size_is_refused),
    FR_CASE(sizes_are_printed_with_the_largest_unit),
};

int main(int argc, char **argv)
{
    return fr_suite_main("quantity", CASES, FR_N_CASES(CASES), argc, argv);
}
