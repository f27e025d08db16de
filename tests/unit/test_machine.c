#include "base/machine.h"
#include "support/suite.h"

#include <string.h>

enum { MAX_PROCESSORS = 8192, HOST_BYTES = 128 };

static void the_host_has_a_name_that_fits(void)
{
    char whole[HOST_BYTES];
    char cut[3];
    fr_machine_host("unknown", whole, sizeof whole);
    fr_machine_host("unknown", cut, sizeof cut);
    CU_ASSERT_TRUE(strlen(whole) > 0 && strlen(whole) < sizeof whole);
    CU_ASSERT_TRUE(strlen(cut) > 0 && strlen(cut) < sizeof cut);
}

static void processors_are_those_of_the_set(void)
{
    static int64_t allowed[MAX_PROCESSORS];
    int64_t n = 0;
    fr_machine_processor_set(MAX_PROCESSORS, allowed);
    for (int i = 0; i < MAX_PROCESSORS; i++) {
        CU_ASSERT_TRUE(allowed[i] == 0 || allowed[i] == 1);
        n += allowed[i];
    }
    CU_ASSERT_TRUE(n >= 1);
    CU_ASSERT_EQUAL(n, fr_machine_processors());
}

static void a_short_list_is_a_beginning_of_the_set(void)
{
    static int64_t whole[MAX_PROCESSORS];
    int64_t some[2] = {-1, -1};
    fr_machine_processor_set(MAX_PROCESSORS, whole);
    fr_machine_processor_set(1, some);
    CU_ASSERT_EQUAL(some[0], whole[0]);
    CU_ASSERT_EQUAL(some[1], -1);
}

static void memory_is_made_of_pages(void)
{
    int64_t page = fr_machine_page_bytes();
    CU_ASSERT_TRUE(page >= 4096 && (page & (page - 1)) == 0);
    CU_ASSERT_TRUE(fr_machine_memory() > page);
    CU_ASSERT_EQUAL(fr_machine_memory() % page, 0);
}

static const fr_case CASES[] = {
    FR_CASE(the_host_has_a_name_that_fits),
    FR_CASE(processors_are_those_of_the_set),
    FR_CASE(a_short_list_is_a_beginning_of_the_set),
    FR_CASE(memory_is_made_of_pages),
};

int main(int argc, char **argv)
{
    return fr_suite_main("machine", CASES, FR_N_CASES(CASES), argc, argv);
}
