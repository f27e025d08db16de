/* Libraries that are opened at run time, by one that each C program has. */
#include "base/library.h"
#include "support/suite.h"

#include <string.h>

typedef struct maths {
    int before;
    double (*square_root)(double x);
    double (*floor_of)(double x);
} maths;

static void functions_are_found_by_their_names(void)
{
    static const fr_library_function FUNCTIONS[] = {
        {"sqrt", offsetof(maths, square_root)}, {"floor", offsetof(maths, floor_of)}};
    maths found = {.before = 7};
    void *library = fr_library_open("libm.so.6", NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(library);
    CU_ASSERT_PTR_NULL(fr_library_find(library, FUNCTIONS, 2, &found));
    CU_ASSERT_EQUAL(found.before, 7);
    CU_ASSERT_DOUBLE_EQUAL(found.square_root(9.0), 3.0, 0.0);
    CU_ASSERT_DOUBLE_EQUAL(found.floor_of(2.5), 2.0, 0.0);
    fr_library_close(library);
}

static void the_first_function_that_is_missing_is_named(void)
{
    static const fr_library_function FUNCTIONS[] = {
        {"sqrt", offsetof(maths, square_root)},
        {"no_such_function", offsetof(maths, floor_of)},
        {"nor_this_one", offsetof(maths, floor_of)}};
    maths found = {0};
    void *library = fr_library_open("libm.so.6", NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(library);
    CU_ASSERT_STRING_EQUAL(fr_library_find(library, FUNCTIONS, 3, &found),
                           "no_such_function");
    CU_ASSERT_TRUE(found.floor_of == NULL);
    fr_library_close(library);
}

static void what_is_not_there_is_told(void)
{
    const char *why_not = NULL;
    CU_ASSERT_PTR_NULL(fr_library_open("libno_such_library.so.9", &why_not));
    CU_ASSERT_PTR_NOT_NULL_FATAL(why_not);
    CU_ASSERT_PTR_NOT_NULL(strstr(why_not, "libno_such_library.so.9"));
    fr_library_close(NULL);
}

static const fr_case CASES[] = {
    FR_CASE(functions_are_found_by_their_names),
    FR_CASE(the_first_function_that_is_missing_is_named),
    FR_CASE(what_is_not_there_is_told),
};

int main(int argc, char **argv)
{
    return fr_suite_main("library", CASES, FR_N_CASES(CASES), argc, argv);
}
