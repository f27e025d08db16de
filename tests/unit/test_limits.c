#define _POSIX_C_SOURCE 200809L
/* Limits out of planted copies of /proc and of control groups. */
#include "base/file.h"
#include "base/limits.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, MIB = 1 << 20 };

static const char V2[] =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
static const char V1[] =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup "
    "rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

static void plant(const char *root, const char *name, const char *text)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    *strrchr(path, '/') = '\0';
    FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), path));
    path[strlen(path)] = '/';
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), path, text, strlen(text)));
}

/* A machine of 8 GiB with 6 GiB free. */
static const char *make_root(const char *name, const char *cgroup, const char *mounts)
{
    static char root[PATH_BYTES];
    (void)snprintf(root, sizeof root, "%s/%s", fr_test_folder(), name);
    plant(
        root, "proc/meminfo",
        "MemTotal:        8388608 kB\nMemFree:  17 kB\nMemAvailable:    6291456 kB\n");
    plant(root, "proc/self/cgroup", cgroup);
    plant(root, "proc/self/mountinfo", mounts);
    return root;
}

static int64_t available(const char *root, fr_memory_bound *bound)
{
    fr_limits limits;
    fr_memory_share share;
    fr_limits_read(root, &limits);
    fr_limits_memory(&limits, &share);
    *bound = share.bound;
    return share.bytes / MIB;
}

static void expect_memory(const char *root, int64_t mib, fr_memory_bound wanted)
{
    fr_memory_bound bound = FR_BOUND_PROCESS;
    CU_ASSERT_EQUAL(available(root, &bound), mib);
    CU_ASSERT_EQUAL(bound, wanted);
}

static double quota(const char *root)
{
    fr_limits limits;
    double min = 0.0;
    fr_limits_read(root, &limits);
    for (int i = 0; i < limits.n_cpu; i++) {
        double q = limits.cpu[i].processors;
        min = min > 0.0 && min < q ? min : q;
    }
    return min;
}

static void without_a_group_the_machine_counts(void)
{
    const char *root = make_root("none", "0::/\n", V2);
    expect_memory(root, 6144, FR_BOUND_MACHINE);
    CU_ASSERT_EQUAL(quota(root), 0.0);
    plant(root, "proc/meminfo", "MemTotal: 4096000 kB\n"); /* an old kernel */
    expect_memory(root, 4000, FR_BOUND_MACHINE);
    expect_memory("/nowhere/at/all",
                  (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE) /
                      MIB,
                  FR_BOUND_MACHINE);
}

static void the_least_of_all_ancestors_counts_in_version_2(void)
{
    const char *root = make_root("v2", "0::/a/job/task\n", V2);
    plant(root, "sys/fs/cgroup/a/job/task/memory.max", "max\n");
    plant(root, "sys/fs/cgroup/a/job/task/memory.high", "max\n");
    plant(root, "sys/fs/cgroup/a/job/task/cpu.max", "max 100000\n");
    expect_memory(root, 6144, FR_BOUND_MACHINE);
    plant(root, "sys/fs/cgroup/a/job/memory.max", "1073741824\n");
    plant(root, "sys/fs/cgroup/a/job/memory.current", "536870912\n");
    plant(root, "sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    expect_memory(root, 512, FR_BOUND_CONTAINER);
    CU_ASSERT_EQUAL(quota(root), 1.5);
    /* pages of files leave when they must */
    plant(root, "sys/fs/cgroup/a/job/memory.stat",
          "anon 1\ninactive_file 104857600\nactive_file 104857600\nslab 5\n");
    expect_memory(root, 712, FR_BOUND_CONTAINER);
    plant(root, "sys/fs/cgroup/a/memory.high", "157286400\n");
    expect_memory(root, 150, FR_BOUND_CONTAINER);
    plant(root, "sys/fs/cgroup/a/memory.current", "999999999\n"); /* beyond it */
    expect_memory(root, 0, FR_BOUND_CONTAINER);
}

static void version_1_and_both_together(void)
{
    const char *root = make_root(
        "v1", "9:name=systemd:/x\n4:memory:/box/in\n2:cpuacct,cpu:/box\n0::/x\n", V1);
    char hybrid[2048];
    plant(root, "sys/fs/cgroup/memory/box/in/memory.limit_in_bytes",
          "9223372036854771712\n");
    plant(root, "sys/fs/cgroup/memory/box/in/memory.use_hierarchy", "1\n");
    plant(root, "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "-1\n");
    plant(root, "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
    expect_memory(root, 6144, FR_BOUND_MACHINE);
    CU_ASSERT_EQUAL(quota(root), 0.0);
    plant(root, "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "250000\n");
    CU_ASSERT_EQUAL(quota(root), 2.5);
    /* a limit above what can be seen */
    plant(root, "sys/fs/cgroup/memory/box/in/memory.stat",
          "hierarchical_memory_limit 2147483648\ntotal_inactive_file 104857600\n");
    expect_memory(root, 2048, FR_BOUND_CONTAINER);
    plant(root, "sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1073741824\n");
    plant(root, "sys/fs/cgroup/memory/box/memory.usage_in_bytes", "209715200\n");
    plant(root, "sys/fs/cgroup/memory/box/memory.stat",
          "total_inactive_file 104857600\n");
    expect_memory(root, 924, FR_BOUND_CONTAINER);
    plant(root, "sys/fs/cgroup/memory/box/memory.use_hierarchy", "0\n");
    expect_memory(root, 2048, FR_BOUND_CONTAINER);
    (void)snprintf(hybrid, sizeof hybrid,
                   "%s41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
                   V1);
    plant(root, "proc/self/mountinfo", hybrid);
    plant(root, "sys/fs/cgroup/unified/x/memory.max", "1048576\n");
    expect_memory(root, 1, FR_BOUND_CONTAINER);
}

static void containers_see_their_own_group_alone(void)
{
    /* a namespace of groups: the container's is the root */
    const char *root = make_root("namespace", "0::/\n", V2);
    plant(root, "sys/fs/cgroup/memory.max", "157286400\n");
    expect_memory(root, 150, FR_BOUND_CONTAINER);
    /* version 1 without one: what is mounted is the group of the path */
    root = make_root("docker1", "4:memory:/docker/0a1b/in\n",
                     "35 31 0:32 /docker/0a1b /sys/fs/cgroup/memory\\040of ro - cgroup "
                     "cgroup rw,memory\n");
    plant(root, "sys/fs/cgroup/memory of/in/memory.limit_in_bytes",
          "9223372036854771712\n");
    plant(root, "sys/fs/cgroup/memory of/memory.limit_in_bytes", "157286400\n");
    expect_memory(root, 150, FR_BOUND_CONTAINER);
    /* the path is that of the host, of which nothing is mounted but the group */
    root = make_root("bind", "0::/system.slice/box.scope\n", V2);
    plant(root, "sys/fs/cgroup/memory.max", "104857600\n");
    expect_memory(root, 100, FR_BOUND_CONTAINER);
    root = make_root("outside", "0::/../../other\n",
                     "30 23 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    plant(root, "sys/fs/cgroup/memory.max", "209715200\n");
    expect_memory(root, 200, FR_BOUND_CONTAINER);
    /* the second of two mounts holds it */
    root = make_root("two", "0::/pod/c\n",
                     "30 23 0:26 / /empty rw - cgroup2 cgroup2 rw\n"
                     "31 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    plant(root, "sys/fs/cgroup/pod/memory.max", "104857600\n");
    plant(root, "sys/fs/cgroup/pod/c/memory.max", "max\n");
    expect_memory(root, 100, FR_BOUND_CONTAINER);
}

static void odd_contents_are_no_limit(void)
{
    static const char *const ODD[] = {"",
                                      "max",
                                      "\n",
                                      "-1\n",
                                      "99999999999999999999999999\n",
                                      "much\n",
                                      "0x10\n",
                                      "9223372036854775807\n",
                                      "8589934592\n"};
    const char *root = make_root("odd", "0::/a\n", V2);
    for (size_t i = 0; i < sizeof ODD / sizeof ODD[0]; i++) {
        plant(root, "sys/fs/cgroup/a/cpu.max", ODD[i]);
        plant(root, "sys/fs/cgroup/a/memory.current", ODD[i]);
        plant(root, "sys/fs/cgroup/a/memory.stat", ODD[i]);
        if (strcmp(ODD[i], "0x10\n") != 0) { /* begins with a number */
            plant(root, "sys/fs/cgroup/a/memory.max", ODD[i]);
            expect_memory(root, 6144, FR_BOUND_MACHINE);
        }
        CU_ASSERT_EQUAL(quota(root), 0.0);
    }
    static const char *const GROUPS[] = {"",    "\n",    ":::::\n", "0:\n",
                                         "0::", "::/\n", "x"};
    static const char *const MOUNTS[] = {"",
                                         "\n",
                                         "1 2 3 4 5 - cgroup2\n",
                                         " - cgroup2 \n",
                                         "- - - - - - - - \n",
                                         "1 2 3 / \\777\\04 - cgroup2 a rw\n"};
    for (size_t i = 0; i < sizeof GROUPS / sizeof GROUPS[0]; i++) {
        for (size_t j = 0; j < sizeof MOUNTS / sizeof MOUNTS[0]; j++) {
            root = make_root("odder", GROUPS[i], MOUNTS[j]);
            expect_memory(root, 6144, FR_BOUND_MACHINE);
        }
    }
}

static void deep_and_long_paths_are_followed_within_bounds(void)
{
    enum { LEVELS = 200 };
    char group[8 * LEVELS] = "0::";
    char file[8 * LEVELS] = "sys/fs/cgroup";
    for (int i = 0; i < LEVELS; i++) {
        (void)strcat(group, "/g");
        (void)strcat(file, "/g");
    }
    const char *root = make_root("deep", group, V2);
    (void)strcat(file, "/memory.max");
    plant(root, file, "157286400\n");
    expect_memory(root, 150, FR_BOUND_CONTAINER);
}

static void limits_of_the_process_are_its_own(void)
{
    const char *root = make_root("process", "0::/\n", V2);
    char text[FR_LIMIT_TEXT];
    fr_limits limits;
    plant(root, "proc/self/limits",
          "Limit                     Soft Limit           Hard Limit           Units   "
          "  \n"
          "Max data size             unlimited            unlimited            bytes   "
          "  \n"
          "Max address space         1073741824           unlimited            bytes   "
          "  \n");
    plant(root, "proc/self/statm", "1024 300 200 50 0 600 0\n");
    fr_limits_read(root, &limits);
    CU_ASSERT_EQUAL(limits.process_bytes, 1073741824);
    CU_ASSERT_EQUAL(limits.process_available,
                    1073741824 - 1024 * (int64_t)sysconf(_SC_PAGESIZE));
    plant(root, "proc/self/limits", "Max data size  1048576  unlimited  bytes\n");
    fr_limits_read(root, &limits);
    CU_ASSERT_EQUAL(limits.process_bytes, 1048576);
    CU_ASSERT_EQUAL(limits.process_available, 0);
    fr_memory_share share = {.bytes = 0,
                             .n_sharers = 1,
                             .bound = FR_BOUND_PROCESS,
                             .limit = 1048576,
                             .machine = (int64_t)6 << 30};
    fr_memory_share_text(&share, text);
    CU_ASSERT_STRING_EQUAL(text,
                           "0 B (the process's (ulimit -v or -d) limit of 1.00 MiB; "
                           "the machine has 6.00 GiB free)");
}

static void limits_of_this_machine_make_sense(void)
{
    fr_limits limits;
    fr_limits_read("/", &limits);
    CU_ASSERT(limits.machine_bytes > 0);
    CU_ASSERT(limits.machine_available > 0);
    CU_ASSERT(limits.machine_available <= limits.machine_bytes);
    CU_ASSERT(limits.n_memory <= FR_LIMIT_LEVELS && limits.n_cpu <= FR_LIMIT_LEVELS);
}

static const fr_case CASES[] = {
    FR_CASE(without_a_group_the_machine_counts),
    FR_CASE(the_least_of_all_ancestors_counts_in_version_2),
    FR_CASE(version_1_and_both_together),
    FR_CASE(containers_see_their_own_group_alone),
    FR_CASE(odd_contents_are_no_limit),
    FR_CASE(deep_and_long_paths_are_followed_within_bounds),
    FR_CASE(limits_of_the_process_are_its_own),
    FR_CASE(limits_of_this_machine_make_sense),
};

int main(int argc, char **argv)
{
    return fr_suite_main("limits", CASES, FR_N_CASES(CASES), argc, argv);
}
