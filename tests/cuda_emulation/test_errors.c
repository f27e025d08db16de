/*
 * What goes wrong at the driver: each of its functions fails at its first call, at a later one and at the last, in processes of
 * their own. Each gives one message that names the function and CUDA's error, and leaves nothing behind.
 *
 * The process that is tested is this program, too, called as `binary --journey REPORT`: it uses all of the host's side, and
 * writes the status and the message.
 */
#define _GNU_SOURCE /* dladdr */
#include "device/cuda/cuda.h"
#include "device/cuda/memory.h"
#include "device/rowwise.h"
#include "support/suite.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, TEXT_BYTES = 8192, SHORT_BYTES = 256, MIB = 1 << 20 };

/* CUDA's errors, one that ends with its call and one that stays. */
enum { INVALID_VALUE = 1, LAUNCH_FAILED = 719 };

/* ---- the journey ------------------------------------------------------------------------------------ */

/* Where nothing fails, the numbers are there. */
static void use(fr_device *device, fr_f32 *memory, float *pinned)
{
    enum { N = 1000, MARKS = 600, GETS = 300, MORE = 80 << 10 };
    float plain[N];
    const int32_t ids[] = {1, 2, 3};
    fr_cuda_list list = {ids, sizeof ids, NULL};
    void *scratch = NULL;
    for (int i = 0; i < N; i++) {
        plain[i] = (float)i;
    }
    fr_device_put(device, memory, plain, sizeof plain);
    fr_device_copy(device, memory + N, memory, sizeof plain);
    fr_device_zero(device, memory, sizeof plain);
    fr_scale(device, N, 2.0F, memory + N);
    fr_device_ahead(device, 1, memory + (ptrdiff_t)2 * N, pinned + (ptrdiff_t)2 * N,
                    sizeof plain);
    fr_device_await(device, 1);
    (void)fr_cuda_keep(device, fr_cuda_lists(device, 1, &list));
    (void)fr_cuda_keep(device,
                       fr_cuda_scratch(device, FR_CUDA_USE_SLICE, MIB, &scratch));
    fr_cuda_launch(
        device,
        &(fr_cuda_start){
            .kernel = FR_KERNEL_scale, .blocks = 1, .threads = 32, .shared = MORE},
        &(fr_run_arguments){0});
    fr_device_get(device, pinned, memory + N, sizeof plain);
    for (int i = 0; i < GETS; i++) {
        fr_device_get(device, &plain[i], memory + N + i, sizeof plain[i]);
    }
    for (int i = 0; i < MARKS; i++) {
        (void)fr_device_mark(device);
    }
    fr_mark mark = fr_device_mark(device);
    while (!fr_device_passed(device, mark)) {
    }
    for (int i = 0; i < N && fr_device_check(device) == FR_OK; i++) {
        float got = i < GETS ? plain[i] : pinned[i];
        if (got != 2.0F * (float)i) {
            printf("number %d is %g\n", i, (double)got);
            exit(3);
        }
    }
}

static fr_status allocate_and_use(fr_device *device)
{
    fr_f32 *memory = NULL;
    float *pinned = NULL;
    fr_status status = fr_device_reserve(device, 2 * MIB);
    if (status == FR_OK) {
        status = fr_device_alloc(device, 3 * MIB, 1, &memory);
    }
    if (status == FR_OK) {
        status = fr_host_alloc(device, MIB, 1, &pinned);
    }
    if (status == FR_OK) {
        use(device, memory, pinned);
    }
    fr_device_free(device, memory);
    fr_host_free(device, pinned);
    return fr_first_failure(status, fr_device_check(device));
}

static int journey(const char *report)
{
    fr_ctx *ctx = fr_ctx_create();
    fr_device *device = NULL;
    fr_device_facts facts;
    FILE *file = fopen(report, "w");
    if (ctx == NULL || file == NULL) {
        return 2;
    }
    fr_status status = fr_cuda_create(ctx, 0, 1, &device);
    if (status ==
        FR_OK) { /* the emulated driver goes on counting while a device is open */
        status = fr_cuda_backend.facts(ctx, 0, &facts);
    }
    if (status == FR_OK) {
        status = allocate_and_use(device);
    }
    fr_device_destroy(&device);
    (void)fprintf(file, "%d %s\n", (int)status, fr_ctx_error(ctx));
    (void)fclose(file);
    fr_ctx_destroy(&ctx);
    return 0;
}

/* ---- how it is made ------------------------------------------------------------------------------------ */

typedef struct outcome {
    int exit_code; /* -1: it was killed */
    fr_status status;
    char message[TEXT_BYTES];
    char counts[TEXT_BYTES]; /* of the driver's calls, and what was left */
} outcome;

static void read_file(const char *path, char *out)
{
    out[0] = '\0';
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        out[fread(out, 1, TEXT_BYTES - 1, file)] = '\0';
        (void)fclose(file);
    }
}

static const char *folder(void)
{
    static const char *made = NULL;
    made = made != NULL ? made : fr_test_folder();
    return made;
}

/* With settings "NAME=value", ended by NULL. */
static outcome travel(const char *const *settings)
{
    char self[PATH_BYTES] = "";
    char report[PATH_BYTES];
    char counts[PATH_BYTES];
    char text[TEXT_BYTES] = "";
    outcome out = {.exit_code = -1};
    CU_ASSERT(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    (void)snprintf(report, sizeof report, "%s/report", folder());
    (void)snprintf(counts, sizeof counts, "%s/counts", folder());
    (void)unlink(report);
    (void)unlink(counts);
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        (void)setenv("FR_EMULATED_COUNT", counts, 1);
        for (int i = 0; settings[i] != NULL; i++) {
            (void)putenv((char *)(uintptr_t)settings[i]);
        }
        (void)execl(self, self, "--journey", report, (char *)NULL);
        _exit(127);
    }
    int state = 0;
    if (child > 0 && waitpid(child, &state, 0) == child && WIFEXITED(state)) {
        out.exit_code = WEXITSTATUS(state);
    }
    read_file(report, text);
    read_file(counts, out.counts);
    char *end = text;
    out.status = (fr_status)strtol(text, &end, 10);
    (void)snprintf(out.message, sizeof out.message, "%s",
                   end[0] != '\0' ? end + 1 : "");
    return out;
}

/* With FR_EMULATED_ERROR and one more setting or NULL. Where the driver does not take back what it gave, the sanitizer's search
 * for leaks would find that. */
static outcome travel_with(const char *errors, bool may_leave, const char *setting)
{
    char error[TEXT_BYTES];
    char sanitizer[TEXT_BYTES];
    const char *settings[4] = {error, setting};
    const char *options = getenv("ASAN_OPTIONS");
    (void)snprintf(error, sizeof error, "FR_EMULATED_ERROR=%s", errors);
    (void)snprintf(sanitizer, sizeof sanitizer, "ASAN_OPTIONS=%s:detect_leaks=0",
                   options != NULL ? options : "");
    if (may_leave) {
        settings[setting != NULL ? 2 : 1] = sanitizer;
    }
    return travel(settings);
}

static void fail(const char *what, const outcome *out)
{
    printf("%s: exit %d, status %d, \"%s\"\n%s", what, out->exit_code, (int)out->status,
           out->message, out->counts);
    CU_FAIL("a journey ended wrongly");
}

/* The emulated driver ends its counts with "left: contexts 0, ...". */
static bool left_nothing(const outcome *out)
{
    const char *left = strstr(out->counts, "left: ");
    return left != NULL && strpbrk(left, "123456789") == NULL;
}

static void assert_refused(const char *const *settings, const char *part)
{
    outcome out = travel(settings);
    bool is_good = out.exit_code == 0 && out.status == FR_ERR_UNSUPPORTED &&
                   strstr(out.message, part) != NULL;
    if (!is_good) {
        fail(part, &out);
    }
}

/* ---- each function --------------------------------------------------------------------------------------- */

typedef struct function {
    const char *symbol;
    long calls; /* on a journey without errors */
} function;

#define FUNCTION(name, symbol, parameters) {symbol, 0},
static function functions[] = {FR_CUDA_DRIVER(FUNCTION)};
#undef FUNCTION
enum { N_FUNCTIONS = sizeof functions / sizeof functions[0] };

/* What gives back fails in silence where the device ends; cuStreamSynchronize is called there alone. A failure that stays is
 * noticed by the next call. */
static bool may_fail_in_silence(const char *symbol)
{
    static const char *const CLOSERS[] = {"cuDevicePrimaryCtxRelease_v2",
                                          "cuMemUnmap",
                                          "cuMemAddressFree",
                                          "cuMemFreeHost",
                                          "cuStreamDestroy_v2",
                                          "cuStreamSynchronize",
                                          "cuEventDestroy_v2",
                                          "cuModuleUnload"};
    for (size_t i = 0; i < sizeof CLOSERS / sizeof CLOSERS[0]; i++) {
        if (strcmp(symbol, CLOSERS[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void count_calls(void)
{
    outcome out = travel((const char *const[]){"FR_EMULATED_ERROR=", NULL});
    if (out.exit_code != 0 || out.status != FR_OK || !left_nothing(&out)) {
        fail("without errors", &out);
    }
    for (int i = 0; i < N_FUNCTIONS; i++) {
        char line[PATH_BYTES];
        (void)snprintf(line, sizeof line, "%s ", functions[i].symbol);
        const char *at = strstr(out.counts, line);
        functions[i].calls = at != NULL ? strtol(at + strlen(line), NULL, 10) : 0;
    }
}

/* "cuMemGetInfo" of "cuMemGetInfo_v2". */
static void name_of(const char *symbol, char *out, size_t bytes)
{
    (void)snprintf(out, bytes, "%s", symbol);
    char *version = strstr(out, "_v2");
    if (version != NULL) {
        *version = '\0';
    }
}

static void fail_at(const function *f, long n, int code, const char *error_name)
{
    char error[SHORT_BYTES];
    char name[SHORT_BYTES];
    (void)snprintf(error, sizeof error, "%s:%ld:%d", f->symbol, n, code);
    name_of(f->symbol, name, sizeof name);
    bool is_silent = may_fail_in_silence(f->symbol);
    /* what fails to give back leaves something, and so does what fails for good */
    bool may_leave =
        is_silent || strcmp(f->symbol, "cuMemRelease") == 0 || code == LAUNCH_FAILED;
    outcome out = travel_with(error, may_leave, NULL);
    bool is_named =
        strstr(out.message, name) != NULL && strstr(out.message, error_name) != NULL;
    bool is_good = out.exit_code == 0 && (out.status != FR_OK || is_silent) &&
                   (out.status == FR_OK || is_named || is_silent);
    if (!is_good || (!may_leave && !left_nothing(&out))) {
        fail(error, &out);
    }
}

static void each_function_may_fail(int code, const char *error_name)
{
    count_calls();
    for (int i = 0; i < N_FUNCTIONS; i++) {
        const function *f = &functions[i];
        if (strcmp(f->symbol, "cuGetErrorName") == 0) {
            continue;
        }
        if (f->calls < 1) {
            printf("%s is not called\n", f->symbol);
            CU_FAIL("a function is not called");
        }
        fail_at(f, 1, code, error_name);
        if (strcmp(f->symbol, "cuDriverGetVersion") == 0) {
            continue; /* counted anew from cuInit on */
        }
        if (f->calls > 2) {
            fail_at(f, (f->calls + 1) / 2, code, error_name);
        }
        if (f->calls > 1) {
            fail_at(f, f->calls, code, error_name);
        }
    }
}

static void a_call_that_fails_is_named(void)
{
    each_function_may_fail(INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE");
}

static void a_failure_that_stays_is_named(void)
{
    each_function_may_fail(LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED");
}

static void a_lack_of_memory_is_one(void)
{
    static const char *const ERRORS[] = {
        "cuMemCreate:1:2",         "cuMemCreate:2:2",    "cuMemHostAlloc:1:2",
        "cuMemHostAlloc:3:2",      "cuStreamCreate:1:2", "cuModuleLoadData:1:2",
        "cuMemAddressReserve:1:2", "cuLaunchKernel:1:2"};
    for (size_t i = 0; i < sizeof ERRORS / sizeof ERRORS[0]; i++) {
        outcome out = travel_with(ERRORS[i], false, NULL);
        if (out.exit_code != 0 || out.status != FR_ERR_NO_MEMORY ||
            strstr(out.message, "CUDA_ERROR_OUT_OF_MEMORY") == NULL ||
            !left_nothing(&out)) {
            fail(ERRORS[i], &out);
        }
    }
}

static void an_error_without_a_name_has_its_number(void)
{
    outcome out = travel_with("cuMemGetInfo_v2:1:599,cuGetErrorName:1:1", false, NULL);
    if (out.exit_code != 0 || out.status != FR_ERR_DEVICE ||
        strstr(out.message, "cuMemGetInfo gave an error without a name (599)") ==
            NULL) {
        fail("no name", &out);
    }
}

/* ---- where the failure is ---------------------------------------------------------------------------- */

static void the_kernel_is_named_where_the_host_waits(void)
{
    outcome out = travel_with("cuStreamSynchronize:1:719", true, "FORERUN_SYNC=1");
    if (out.exit_code != 0 || out.status != FR_ERR_DEVICE ||
        strstr(out.message, "for scale") == NULL ||
        strstr(out.message, "FORERUN_SYNC") != NULL) {
        fail("FORERUN_SYNC=1", &out);
    }
    out = travel_with("cuEventQuery:1:719", true, NULL);
    if (out.exit_code != 0 || out.status != FR_ERR_DEVICE ||
        strstr(out.message, "FORERUN_SYNC=1") == NULL ||
        strstr(out.message, "the last kernel started was scale") == NULL) {
        fail("FORERUN_SYNC unset", &out);
    }
}

static void waiting_changes_nothing(void)
{
    outcome out = travel((const char *const[]){"FORERUN_SYNC=1", NULL});
    if (out.exit_code != 0 || out.status != FR_OK || !left_nothing(&out)) {
        fail("FORERUN_SYNC=1", &out);
    }
    out = travel((const char *const[]){"FORERUN_SYNC=0", NULL});
    if (out.exit_code != 0 || out.status != FR_OK) {
        fail("FORERUN_SYNC=0", &out);
    }
}

static void a_wrong_setting_is_refused(void)
{
    CU_ASSERT_EQUAL(setenv("FORERUN_SYNC", "yes", 1), 0);
    fr_device *device = NULL;
    FR_ASSERT_FAILS(fr_cuda_backend.check(fr_test_ctx()), FR_ERR_ARG,
                    "FORERUN_SYNC is \"yes\", but must be 0, or 1");
    FR_ASSERT_FAILS(fr_cuda_create(fr_test_ctx(), 0, 1, &device), FR_ERR_ARG,
                    "FORERUN_SYNC");
    CU_ASSERT_PTR_NULL(device);
    CU_ASSERT_EQUAL(unsetenv("FORERUN_SYNC"), 0);
    FR_ASSERT_OK(fr_cuda_backend.check(fr_test_ctx()));
}

/* ---- what is missing --------------------------------------------------------------------------------- */

static void a_driver_that_is_missing_is_said(void)
{
    if (access("/proc/driver/nvidia/version", F_OK) == 0) {
        fr_skip("this machine has NVIDIA's driver");
        return;
    }
    assert_refused((const char *const[]){"LD_LIBRARY_PATH=", NULL},
                   "NVIDIA's driver cannot be opened (libcuda.so.1:");
}

/* The C library under the driver's name. */
static void a_driver_that_lacks_a_function_is_said(void)
{
    char path[PATH_BYTES];
    char setting[PATH_BYTES];
    Dl_info info;
    CU_ASSERT(dladdr(dlsym(RTLD_DEFAULT, "getppid"), &info) != 0);
    (void)snprintf(path, sizeof path, "%s/libcuda.so.1", folder());
    (void)snprintf(setting, sizeof setting, "LD_LIBRARY_PATH=%s", folder());
    CU_ASSERT_EQUAL(symlink(info.dli_fname, path), 0);
    assert_refused((const char *const[]){setting, NULL}, "lacks the function cuInit");
}

static void a_driver_that_is_too_old_is_said(void)
{
    assert_refused((const char *const[]){"FR_EMULATED_VERSION=12070", NULL},
                   "is for CUDA 12.7, but must be for 12.8 or later");
}

static void a_machine_without_gpus_is_said(void)
{
    assert_refused((const char *const[]){"FR_EMULATED_GPUS=0", NULL},
                   "NVIDIA's driver finds none");
    assert_refused((const char *const[]){"FR_EMULATED_ERROR=cuInit:1:100", NULL},
                   "NVIDIA's driver finds none");
}

static void an_image_without_the_gpu_is_said(void)
{
    assert_refused(
        (const char *const[]){"FR_EMULATED_ERROR=cuModuleLoadData:1:209", NULL},
        "built without kernels for GPU 0 (Emulated GPU, cuda sm_90");
}

static void a_gpu_of_another_number_is_said(void)
{
    fr_device *device = NULL;
    FR_ASSERT_FAILS(fr_cuda_create(fr_test_ctx(), 1, 1, &device), FR_ERR_UNSUPPORTED,
                    "GPU 1 is wanted, but NVIDIA's driver has 1");
    FR_ASSERT_FAILS(fr_cuda_create(fr_test_ctx(), -1, 1, &device), FR_ERR_UNSUPPORTED,
                    "GPU -1 is wanted");
    CU_ASSERT_EQUAL(setenv("FR_EMULATED_GPUS", "2", 1), 0);
    FR_ASSERT_OK(fr_cuda_create(fr_test_ctx(), 1, 3, &device));
    CU_ASSERT_STRING_EQUAL(fr_device_arithmetic(device),
                           "cuda sm_90, 132 processors, 4");
    CU_ASSERT_STRING_EQUAL(fr_device_variant_of(device).name, "Emulated GPU");
    CU_ASSERT_EQUAL(fr_device_threads(device), 3);
    CU_ASSERT_FALSE(fr_device_in_host_memory(device));
    CU_ASSERT_EQUAL(fr_device_work(device, FR_BF16), FR_BF16);
    CU_ASSERT_EQUAL(fr_device_kept(device, FR_F32), FR_F32);
    fr_device_destroy(&device);
    CU_ASSERT_EQUAL(unsetenv("FR_EMULATED_GPUS"), 0);
}

static const fr_case CASES[] = {
    FR_CASE(a_call_that_fails_is_named),
    FR_CASE(a_failure_that_stays_is_named),
    FR_CASE(a_lack_of_memory_is_one),
    FR_CASE(an_error_without_a_name_has_its_number),
    FR_CASE(the_kernel_is_named_where_the_host_waits),
    FR_CASE(waiting_changes_nothing),
    FR_CASE(a_wrong_setting_is_refused),
    FR_CASE(a_driver_that_is_missing_is_said),
    FR_CASE(a_driver_that_lacks_a_function_is_said),
    FR_CASE(a_driver_that_is_too_old_is_said),
    FR_CASE(a_machine_without_gpus_is_said),
    FR_CASE(an_image_without_the_gpu_is_said),
    FR_CASE(a_gpu_of_another_number_is_said),
};

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--journey") == 0) {
        return journey(argv[2]);
    }
    return fr_suite_main("cuda_errors", CASES, FR_N_CASES(CASES), argc, argv);
}
