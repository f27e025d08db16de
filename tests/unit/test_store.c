/* A store grows, keeps its bytes, leaves no file behind, and goes on in memory where there is no folder for it. */
#include "base/store.h"

#include "support/model_files.h"

#include <dirent.h>

static void fill(const char *folder)
{
    enum { BYTES = 3 << 20, STEP = 4099 };
    fr_store store = {.folder = folder};
    for (size_t n = STEP; n < BYTES; n += STEP) {
        FR_ASSERT_OK(fr_store_grow(fr_test_ctx(), &store, n));
        CU_ASSERT_TRUE(store.bytes >= n);
        CU_ASSERT_EQUAL(store.data[n - 1], 0);
        store.data[n - 1] = (uint8_t)(n % 251);
    }
    for (size_t n = STEP; n < BYTES; n += STEP) {
        CU_ASSERT_EQUAL(store.data[n - 1], n % 251);
    }
    fr_store_close(&store);
    CU_ASSERT_PTR_NULL(store.data);
    fr_store_close(&store);
}

static void bytes_stay_and_no_file_is_left(void)
{
    const char *folder = fr_test_folder();
    int n = 0;
    fill(folder);
    DIR *entries = opendir(folder);
    CU_ASSERT_PTR_NOT_NULL_FATAL(entries);
    while (readdir(entries) != NULL) {
        n++;
    }
    (void)closedir(entries);
    CU_ASSERT_EQUAL(n, 2); /* . and .. */
}

static void without_a_folder_it_lies_in_memory(void)
{
    fill(NULL);
    fill("/proc/no-such-folder");
}

static const fr_case CASES[] = {
    FR_CASE(bytes_stay_and_no_file_is_left),
    FR_CASE(without_a_folder_it_lies_in_memory),
};

int main(int argc, char **argv)
{
    return fr_suite_main("store", CASES, FR_N_CASES(CASES), argc, argv);
}
