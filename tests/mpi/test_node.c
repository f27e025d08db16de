#define _POSIX_C_SOURCE 200809L
#include "comm/node.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PART = 3 << 20 };

/* The ranks of this test are all of one node. */
static fr_group *node_of_all(void)
{
    fr_group *world = fr_test_world();
    CU_ASSERT_EQUAL_FATAL(fr_group_node_size(world), fr_group_size(world));
    return world;
}

static void the_ranks_of_a_node_are_a_group(void)
{
    fr_group *world = fr_test_world();
    fr_group *node = NULL;
    FR_ASSERT_OK(fr_group_split_node(world, &node));
    CU_ASSERT_EQUAL(fr_group_size(node), fr_group_node_size(world));
    CU_ASSERT_EQUAL(fr_group_rank(node), fr_group_node_rank(world));
    fr_group_destroy(&node);
    fr_group_destroy(&world);
}

/* Each rank writes its part; all of them see all (shared), or each its own alone. */
static void fill_and_look(fr_group *node, fr_node_memory *memory)
{
    int64_t size = fr_group_size(node);
    int64_t rank = fr_group_rank(node);
    uint8_t *bytes = memory->data;
    int64_t n_wrong = 0;
    for (int64_t i = 0; !memory->is_shared && i < size * PART; i++) {
        bytes[i] = 0;
    }
    memset(bytes + rank * PART, (int)rank + 1, PART);
    FR_ASSERT_OK(fr_node_memory_seal(fr_test_ctx(), node, memory));
    for (int64_t i = 0; i < size * PART; i++) {
        int64_t owner = i / PART;
        uint8_t wanted = memory->is_shared || owner == rank ? (uint8_t)(owner + 1) : 0;
        n_wrong += bytes[i] != wanted;
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
}

static void every_rank_sees_what_every_other_wrote(void)
{
    fr_group *node = node_of_all();
    fr_node_memory memory;
    FR_ASSERT_OK(fr_node_memory_init(
        fr_test_ctx(), node, (int64_t)fr_group_size(node) * PART, "/proc", &memory));
    CU_ASSERT_TRUE(memory.is_shared);
    fill_and_look(node, &memory);
    fr_node_memory_fini(&memory);
    CU_ASSERT_PTR_NULL(memory.data);
    fr_group_destroy(&node);
}

static void a_write_after_sealing_ends_the_process(void)
{
    fr_group *node = node_of_all();
    fr_node_memory memory;
    int how = 0;
    FR_ASSERT_OK(fr_node_memory_init(fr_test_ctx(), node, PART, "/proc", &memory));
    FR_ASSERT_OK(fr_node_memory_seal(fr_test_ctx(), node, &memory));
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile char *)memory.data = 1;
        _exit(0);
    }
    CU_ASSERT_EQUAL(waitpid(child, &how, 0), child);
    CU_ASSERT_TRUE(WIFSIGNALED(how));
    fr_node_memory_fini(&memory);
    fr_group_destroy(&node);
}

/* The last rank sees no other process: all take memory of their own. */
static void one_rank_that_cannot_share_makes_all_keep_their_own(void)
{
    fr_group *node = node_of_all();
    fr_node_memory memory;
    bool is_last = fr_group_rank(node) == fr_group_size(node) - 1;
    FR_ASSERT_OK(fr_node_memory_init(fr_test_ctx(), node,
                                     (int64_t)fr_group_size(node) * PART,
                                     is_last ? "/nonexistent" : "/proc", &memory));
    CU_ASSERT_FALSE(memory.is_shared);
    fill_and_look(node, &memory);
    fr_node_memory_fini(&memory);
    fr_group_destroy(&node);
}

/* More than any machine has: the lack is told, on all ranks. */
static void memory_that_nobody_has_is_refused_on_all_ranks(void)
{
    fr_group *node = node_of_all();
    fr_node_memory memory;
    FR_ASSERT_FAILS(
        fr_node_memory_init(fr_test_ctx(), node, INT64_MAX / 2, "/proc", &memory),
        FR_ERR_NO_MEMORY, "could not allocate");
    CU_ASSERT_PTR_NULL(memory.data);
    fr_group_destroy(&node);
}

static int64_t own_address_space(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fscanf(file, "%lld", &pages), 1);
    (void)fclose(file);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static void one_rank_without_memory_ends_all_with_its_name(void)
{
    fr_group *node = node_of_all();
    fr_node_memory memory;
    struct rlimit before;
    int64_t bytes = (int64_t)64 * PART;
    bool is_short = fr_group_rank(node) == 1;
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_AS, &before), 0);
    if (is_short) {
        struct rlimit tight = before;
        tight.rlim_cur = (rlim_t)(own_address_space() + bytes / 2);
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_AS, &tight), 0);
    }
    fr_status status =
        fr_node_memory_init(fr_test_ctx(), node, bytes, "/proc", &memory);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_AS, &before), 0);
    FR_ASSERT_FAILS(status, FR_ERR_NO_MEMORY, "rank 1 on ");
    CU_ASSERT_PTR_NULL(memory.data);
    fr_group_destroy(&node);
}

static void no_bytes_are_fine(void)
{
    fr_group *node = node_of_all();
    fr_node_memory memory;
    FR_ASSERT_OK(fr_node_memory_init(fr_test_ctx(), node, 0, "/proc", &memory));
    FR_ASSERT_OK(fr_node_memory_seal(fr_test_ctx(), node, &memory));
    fr_node_memory_fini(&memory);
    fr_group_destroy(&node);
}

/* Nothing stays open, and no name appears anywhere. */
static void the_file_behind_it_is_closed(void)
{
    fr_group *node = node_of_all();
    fr_node_memory memory;
    int before = dup(0);
    FR_ASSERT_OK(fr_node_memory_init(fr_test_ctx(), node, PART, "/proc", &memory));
    int after = dup(0);
    CU_ASSERT_EQUAL(before + 1, after);
    (void)close(before);
    (void)close(after);
    fr_node_memory_fini(&memory);
    fr_group_destroy(&node);
}

static const fr_case CASES[] = {
    FR_CASE(the_ranks_of_a_node_are_a_group),
    FR_CASE(every_rank_sees_what_every_other_wrote),
    FR_CASE(a_write_after_sealing_ends_the_process),
    FR_CASE(one_rank_that_cannot_share_makes_all_keep_their_own),
    FR_CASE(memory_that_nobody_has_is_refused_on_all_ranks),
    FR_CASE(one_rank_without_memory_ends_all_with_its_name),
    FR_CASE(no_bytes_are_fine),
    FR_CASE(the_file_behind_it_is_closed),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("node", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
