#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/lock.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static const char *lock_path(char out[PATH_BYTES])
{
    (void)snprintf(out, PATH_BYTES, "%s/lock", fr_test_folder());
    return out;
}

/* A child that holds the lock until it is killed; returns once it does. */
static pid_t start_holder(const char *path)
{
    int ends[2];
    char byte = 0;
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        fr_lock *lock = NULL;
        if (fr_lock_take(fr_test_ctx(), path, "test", 0, &lock) == FR_OK &&
            write(ends[1], "x", 1) == 1) {
            (void)pause();
        }
        _exit(1);
    }
    (void)close(ends[1]);
    CU_ASSERT_EQUAL(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    return child;
}

static void end_holder(pid_t child)
{
    CU_ASSERT_EQUAL(kill(child, SIGKILL), 0);
    CU_ASSERT_EQUAL(waitpid(child, NULL, 0), child);
}

static void another_process_is_refused_and_told_the_holder(void)
{
    char path[PATH_BYTES];
    char wanted[64];
    fr_lock *lock = NULL;
    pid_t child = start_holder(lock_path(path));
    (void)snprintf(wanted, sizeof wanted, "another run (pid %ld on ", (long)child);
    FR_ASSERT_FAILS(fr_lock_take(fr_test_ctx(), path, "run folder x", 0, &lock),
                    FR_ERR_IO, wanted);
    CU_ASSERT_PTR_NULL(lock);
    FR_ASSERT_FAILS(fr_lock_take(fr_test_ctx(), path, "run folder x", 0.1, &lock),
                    FR_ERR_IO, "writing to the run folder x;");
    end_holder(child);
}

static void a_killed_holder_leaves_the_lock_free(void)
{
    char path[PATH_BYTES];
    fr_lock *lock = NULL;
    pid_t child = start_holder(lock_path(path));
    end_holder(child);
    CU_ASSERT_TRUE(fr_file_exists(path));
    FR_ASSERT_OK(fr_lock_take(fr_test_ctx(), path, "test", 0, &lock));
    fr_lock_release(&lock);
    CU_ASSERT_PTR_NULL(lock);
}

/* The holder is killed a moment after the wait begins. */
static void waiting_ends_with_the_holder(void)
{
    char path[PATH_BYTES];
    static const struct timespec MOMENT = {0, 200 * 1000 * 1000};
    fr_lock *lock = NULL;
    pid_t holder = start_holder(lock_path(path));
    pid_t killer = fork();
    if (killer == 0) {
        (void)nanosleep(&MOMENT, NULL);
        (void)kill(holder, SIGKILL);
        _exit(0);
    }
    FR_ASSERT_OK(fr_lock_take(fr_test_ctx(), path, "test", 60, &lock));
    fr_lock_release(&lock);
    CU_ASSERT_EQUAL(waitpid(killer, NULL, 0), killer);
    CU_ASSERT_EQUAL(waitpid(holder, NULL, 0), holder);
}

static void released_lock_can_be_taken_by_another(void)
{
    char path[PATH_BYTES];
    fr_lock *lock = NULL;
    FR_ASSERT_OK(fr_lock_take(fr_test_ctx(), lock_path(path), "test", 0, &lock));
    fr_lock_release(&lock);
    end_holder(start_holder(path));
    fr_lock_release(&lock);
}

static void missing_folder_is_named(void)
{
    char path[PATH_BYTES];
    fr_lock *lock = NULL;
    (void)snprintf(path, sizeof path, "%s/no/lock", fr_test_folder());
    FR_ASSERT_FAILS(fr_lock_take(fr_test_ctx(), path, "test", 0, &lock), FR_ERR_IO,
                    "no/lock");
    CU_ASSERT_PTR_NULL(lock);
}

static void check_text(const char *path, const char *wanted)
{
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &text, &bytes));
    CU_ASSERT_STRING_EQUAL(text, wanted);
    free(text);
}

/* A stranger's folder may hold a lock that leads elsewhere. */
static void another_file_under_its_name_is_left_alone(void)
{
    char path[PATH_BYTES];
    char target[PATH_BYTES];
    fr_lock *lock = NULL;
    (void)snprintf(target, sizeof target, "%s/target", fr_test_folder());
    FR_ASSERT_OK(fr_file_replace(fr_test_ctx(), target, "precious\n", 9));
    CU_ASSERT_EQUAL_FATAL(symlink(target, lock_path(path)), 0);
    FR_ASSERT_FAILS(fr_lock_take(fr_test_ctx(), path, "test", 0, &lock), FR_ERR_IO,
                    "a symbolic link");
    CU_ASSERT_PTR_NULL(lock);
    check_text(target, "precious\n");
    CU_ASSERT_EQUAL_FATAL(unlink(path), 0);
    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    FR_ASSERT_FAILS(fr_lock_take(fr_test_ctx(), path, "test", 0, &lock), FR_ERR_IO,
                    "not a regular file");
    CU_ASSERT_EQUAL_FATAL(unlink(path), 0);
    CU_ASSERT_EQUAL_FATAL(link(target, path), 0);
    FR_ASSERT_OK(fr_lock_take(fr_test_ctx(), path, "test", 0, &lock));
    fr_lock_release(&lock);
    check_text(target, "precious\n");
}

/* A child that holds the file's lock until told to end as holders do: it removes the file, a moment later here. */
static _Noreturn void hold_and_remove(const char *path, int told, int tells)
{
    static const struct timespec MOMENT = {0, 200 * 1000 * 1000};
    fr_lock *lock = NULL;
    char byte = 0;
    bool good =
        fr_lock_take_removable(fr_test_ctx(), path, "output x", 0, &lock) == FR_OK &&
        write(fr_lock_file(lock), "mine", 4) == 4 && write(tells, "x", 1) == 1 &&
        read(told, &byte, 1) == 1;
    (void)nanosleep(&MOMENT, NULL);
    good = unlink(path) == 0 && good;
    _exit(good ? 0 : 1);
}

static void what_was_removed_while_waiting_is_made_anew(void)
{
    char path[PATH_BYTES];
    char wanted[64];
    fr_lock *lock = NULL;
    int to_child[2];
    int to_parent[2];
    int code = -1;
    char byte = 0;
    CU_ASSERT_EQUAL_FATAL(pipe(to_child), 0);
    CU_ASSERT_EQUAL_FATAL(pipe(to_parent), 0);
    (void)lock_path(path);
    pid_t child = fork();
    if (child == 0) {
        hold_and_remove(path, to_child[0], to_parent[1]);
    }
    CU_ASSERT_EQUAL(read(to_parent[0], &byte, 1), 1);
    (void)snprintf(wanted, sizeof wanted,
                   "another process (pid %ld) is writing to the output x", (long)child);
    FR_ASSERT_FAILS(fr_lock_take_removable(fr_test_ctx(), path, "output x", 0, &lock),
                    FR_ERR_IO, wanted);
    CU_ASSERT_EQUAL(write(to_child[1], "x", 1), 1);
    FR_ASSERT_OK(fr_lock_take_removable(fr_test_ctx(), path, "output x", 30, &lock));
    CU_ASSERT_TRUE(fr_file_exists(path));
    CU_ASSERT_EQUAL(lseek(fr_lock_file(lock), 0, SEEK_END), 0);
    fr_lock_release(&lock);
    CU_ASSERT_EQUAL(waitpid(child, &code, 0), child);
    CU_ASSERT_EQUAL(code, 0);
    for (int i = 0; i < 2; i++) {
        (void)close(to_child[i]);
        (void)close(to_parent[i]);
    }
}

static const fr_case CASES[] = {
    FR_CASE(what_was_removed_while_waiting_is_made_anew),
    FR_CASE(another_file_under_its_name_is_left_alone),
    FR_CASE(another_process_is_refused_and_told_the_holder),
    FR_CASE(a_killed_holder_leaves_the_lock_free),
    FR_CASE(waiting_ends_with_the_holder),
    FR_CASE(released_lock_can_be_taken_by_another),
    FR_CASE(missing_folder_is_named),
};

int main(int argc, char **argv)
{
    return fr_suite_main("lock", CASES, FR_N_CASES(CASES), argc, argv);
}
