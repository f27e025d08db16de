/* The emulated driver catches what it must, and gives the errors that the real one would. */
#define _GNU_SOURCE
#include "block.h"
#include "child.h"
#include "device/cuda/driver.h"

enum {
    N = 4096,
    BYTES = 4 * N,
    GRAIN = 2 << 20,
    MAPPED = 4 * GRAIN,
    RESERVED = 64 * GRAIN,
    RUBBISH = 0xA7,
    INVALID_VALUE = 1,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    FAILED = 99 /* the code of a child in which something unwanted happens */
};

/* ---- two kernels ------------------------------------------------------------------------------------- */

typedef struct double_of {
    uint32_t *x;
    int64_t n;
} double_of;

static void twice(const void *arguments)
{
    const double_of *a = arguments;
    int64_t i = fr_emulated.block * fr_emulated.threads + fr_emulated.thread;
    if (i < a->n) {
        a->x[i] *= 2U;
    }
}
static void uses_shared(const void *arguments)
{
    (void)arguments;
    ((char *)fr_emulated.shared)[fr_emulated.thread] = 1;
}

static const fr_emulated_kernel TWICE = {"twice", twice, sizeof(double_of), 256};
static const fr_emulated_kernel SHARED = {"shared", uses_shared, 0, 1024};
static const fr_emulated_kernel *const KERNELS[] = {&TWICE, &SHARED};
static const fr_emulated_image IMAGE = {FR_EMULATED_MAGIC, 2, KERNELS, fr_emulated_run};

/* ---- a GPU with some memory ------------------------------------------------------------------------- */

static fr_cuda_driver d;
static fr_cu_context context;
static fr_cu_stream stream;
static fr_cu_event event;
static fr_cu_module module;
static fr_cu_function double_it;
static fr_cu_function shared_kernel;
static fr_cu_address memory;
static int32_t *pinned; /* i at i */
static int32_t numbers[N];

static const fr_cu_allocation KIND = {.type = FR_CU_PINNED,
                                      .location = {FR_CU_ON_DEVICE, 0}};
static const fr_cu_access ACCESS = {{FR_CU_ON_DEVICE, 0}, FR_CU_READ_WRITE};

static void must(fr_cu_result result)
{
    if (result != FR_CU_SUCCESS) {
        (void)fprintf(stderr, "unexpected: %d\n", result);
        _exit(FAILED);
    }
}

static void open_gpu(void)
{
    fr_cu_device device = -1;
    unsigned long long handle = 0;
    void *block = NULL;
    if (fr_cuda_driver_open(fr_test_ctx(), &d) != FR_OK) {
        _exit(FAILED);
    }
    must(d.device_get(&device, 0));
    must(d.context_retain(&context, device));
    must(d.context_set(context));
    must(d.stream_create(&stream, FR_CU_STREAM_NON_BLOCKING));
    must(d.event_create(&event, FR_CU_EVENT_DISABLE_TIMING));
    must(d.module_load(&module, &IMAGE));
    must(d.module_function(&double_it, module, "twice"));
    must(d.module_function(&shared_kernel, module, "shared"));
    must(d.address_reserve(&memory, RESERVED, 0, 0, 0));
    must(d.memory_create(&handle, MAPPED, &KIND, 0));
    must(d.memory_map(memory, MAPPED, 0, handle, 0));
    must(d.memory_access(memory, MAPPED, &ACCESS, 1));
    must(d.memory_release(handle));
    must(d.host_alloc(&block, BYTES, FR_CU_HOST_PORTABLE));
    pinned = block;
    for (int i = 0; i < N; i++) {
        pinned[i] = i;
        numbers[i] = i;
    }
}

static void close_gpu(void)
{
    must(d.stream_synchronize(stream));
    must(d.host_free(pinned));
    must(d.module_unload(module));
    must(d.event_destroy(event));
    must(d.stream_destroy(stream));
    must(d.memory_unmap(memory, MAPPED));
    must(d.address_free(memory, RESERVED));
    must(d.context_release(0));
}

static fr_cu_result launch_on(fr_cu_address x, int64_t n)
{
    double_of a = {(uint32_t *)(uintptr_t)x, n};
    void *list[] = {&a};
    return d.launch(double_it, (unsigned)((n + 255) / 256), 1, 1, 256, 1, 1, 0, stream,
                    list, NULL);
}

/* @return whether x[i] is factor * i */
static int are_times(const int32_t *x, int factor)
{
    for (int i = 0; i < N; i++) {
        if (x[i] != factor * i) {
            return 0;
        }
    }
    return 1;
}

/* ---- order of work ----------------------------------------------------------------------------------- */

static int by_event(void)
{
    static int32_t got[N];
    open_gpu();
    must(d.copy_to_device(memory, pinned, BYTES, stream));
    must(launch_on(memory, N));
    must(d.copy_on_device(memory + BYTES, memory, BYTES, stream));
    must(d.set_bytes(memory, 7, BYTES, stream));
    must(launch_on(memory + BYTES, N));
    must(d.copy_to_host(got, memory + BYTES, BYTES, stream));
    must(d.event_record(event, stream));
    fr_cu_result result = FR_CU_NOT_READY;
    for (int i = 0; i < 1000 && result == FR_CU_NOT_READY; i++) {
        result = d.event_query(event);
    }
    must(result);
    int out = are_times(got, 4);
    close_gpu();
    return out;
}
static int pageable_reused(void)
{
    open_gpu();
    must(d.copy_to_device(memory, numbers, BYTES, stream));
    memset(numbers, 0, sizeof numbers);
    must(d.copy_to_host(pinned, memory, BYTES, stream));
    must(d.stream_synchronize(stream));
    return are_times(pinned, 1);
}
static int pinned_reused(void)
{
    open_gpu();
    must(d.copy_to_device(memory, pinned, BYTES, stream));
    memset(pinned, 0, BYTES);
    must(d.copy_to_host(numbers, memory, BYTES, stream));
    must(d.stream_synchronize(stream));
    return are_times(numbers, 1);
}
static int get_read_early(void)
{
    open_gpu();
    must(d.copy_to_device(memory, pinned, BYTES, stream));
    must(d.copy_to_host(numbers, memory, BYTES, stream));
    return are_times(numbers, 1);
}
static int arguments_reused(void)
{
    open_gpu();
    must(d.copy_to_device(memory, pinned, BYTES, stream));
    must(launch_on(memory, N)); /* its structure is gone at the return */
    must(d.copy_to_host(numbers, memory, BYTES, stream));
    must(d.event_record(event, stream));
    must(d.event_synchronize(event));
    return are_times(numbers, 2);
}
static int stream_destroyed(void)
{
    open_gpu();
    must(d.copy_to_device(memory, pinned, BYTES, stream));
    must(d.copy_to_host(numbers, memory, BYTES, stream));
    must(d.event_record(event, stream));
    must(d.stream_destroy(stream));
    if (d.stream_synchronize(stream) != INVALID_HANDLE) {
        return FAILED;
    }
    must(d.event_synchronize(event));
    return are_times(numbers, 1);
}
/* More than the driver keeps without waiting. */
static int much_work(void)
{
    open_gpu();
    must(d.copy_to_device(memory, pinned, BYTES, stream));
    for (int i = 0; i < 3000; i++) {
        must(d.copy_on_device(memory + (i % 2 == 0 ? BYTES : 2 * BYTES), memory, BYTES,
                              stream));
    }
    must(d.copy_to_host(numbers, memory + BYTES, BYTES, stream));
    must(d.stream_synchronize(stream));
    return are_times(numbers, 1);
}

static void test_order(void)
{
    fr_child_assert("an event", by_event, 1);
    fr_child_assert("pageable memory is read at once", pageable_reused, 1);
    fr_child_assert_at_times("pinned memory is read late", pinned_reused, 0);
    fr_child_assert_at_times("a get comes late", get_read_early, 0);
    fr_child_assert("arguments are copied", arguments_reused, 1);
    fr_child_assert("a destroyed stream", stream_destroyed, 1);
    fr_child_assert("much work", much_work, 1);
}

/* ---- memory ------------------------------------------------------------------------------------------ */

static int host_reads(void)
{
    open_gpu();
    return *(volatile int32_t *)(uintptr_t)memory;
}
static int host_writes(void)
{
    open_gpu();
    must(d.copy_to_device(memory, pinned, BYTES, stream));
    must(d.stream_synchronize(stream));
    *(volatile int32_t *)(uintptr_t)memory = 1;
    return 0;
}
static int kernel_beyond(void)
{
    open_gpu();
    must(launch_on(memory + MAPPED - BYTES, 2 * N));
    return d.stream_synchronize(stream);
}
static int kernel_elsewhere(void)
{
    open_gpu();
    must(launch_on(8, 1));
    return d.stream_synchronize(stream);
}
static int unmapped_early(void)
{
    open_gpu();
    must(d.copy_to_device(memory, pinned, BYTES, stream));
    return d.memory_unmap(memory, MAPPED);
}
static int freed_early(void)
{
    open_gpu();
    must(d.copy_to_device(memory, pinned, BYTES, stream));
    return d.host_free(pinned);
}
static int overlap(void)
{
    open_gpu();
    return d.copy_on_device(memory, memory + 8, BYTES, stream);
}
static int is_rubbish(void)
{
    open_gpu();
    must(d.copy_to_host(numbers, memory + MAPPED - BYTES, BYTES, stream));
    must(d.stream_synchronize(stream));
    const unsigned char *bytes = (const unsigned char *)numbers;
    return bytes[0] == RUBBISH && bytes[BYTES - 1] == RUBBISH;
}
static int pinned_is_rubbish(void)
{
    void *block = NULL;
    open_gpu();
    must(d.host_alloc(&block, BYTES, 0));
    return *(unsigned char *)block == RUBBISH;
}

static void test_walls(void)
{
    fr_child_assert_crash("the host reads", host_reads, "the host touches");
    fr_child_assert_crash("the host writes", host_writes, "the host touches");
    fr_child_assert_crash("beyond what is mapped", kernel_beyond,
                          "kernel twice touches");
    fr_child_assert_crash("elsewhere", kernel_elsewhere, "kernel twice touches");
    fr_child_assert_crash("unmapped early", unmapped_early, "cuMemUnmap");
    fr_child_assert_crash("freed early", freed_early, "cuMemFreeHost");
    fr_child_assert_crash("overlap", overlap, "overlap");
    fr_child_assert("new memory", is_rubbish, 1);
    fr_child_assert("new pinned memory", pinned_is_rubbish, 1);
}

/* ---- errors ------------------------------------------------------------------------------------------ */

/* Each is what the real driver gives. @return the number of the first that differs */
#define REFUSED(call, code)                                                            \
    do {                                                                               \
        fr_cu_result result_ = (call);                                                 \
        if (result_ != (code)) {                                                       \
            (void)fprintf(stderr, "%s gives %d\n", #call, result_);                    \
            return 1;                                                                  \
        }                                                                              \
    } while (0)

static int refuses_copies(void)
{
    fr_cu_address stack = (fr_cu_address)(uintptr_t)numbers;
    fr_cu_stream unknown = (fr_cu_stream)(uintptr_t)0x12345;
    open_gpu();
    fr_cu_address end = memory + MAPPED;
    REFUSED(d.copy_to_device(end - 4, pinned, 8, stream), INVALID_VALUE);
    REFUSED(d.copy_to_device(memory, (char *)pinned + BYTES - 4, BYTES, stream),
            INVALID_VALUE);
    REFUSED(d.copy_to_host(pinned, end, 1, stream), INVALID_VALUE);
    REFUSED(d.copy_to_host(pinned, memory, BYTES + 1, stream), INVALID_VALUE);
    REFUSED(d.copy_on_device(memory, stack, 8, stream), INVALID_VALUE);
    REFUSED(d.set_bytes(memory - 1, 0, 8, stream), INVALID_VALUE);
    REFUSED(d.set_bytes(memory, 0, MAPPED + 1, stream), INVALID_VALUE);
    REFUSED(d.set_bytes(memory, 0, 8, unknown), INVALID_HANDLE);
    REFUSED(d.set_bytes(memory, 0, MAPPED, stream), FR_CU_SUCCESS);
    REFUSED(d.copy_to_host(pinned, memory, 0, stream), FR_CU_SUCCESS);
    close_gpu();
    return 0;
}

static int refuses_launches(void)
{
    double_of a = {(uint32_t *)(uintptr_t)memory, 0};
    void *list[] = {&a};
    fr_cu_function none = NULL;
    open_gpu();
#define LAUNCH(f, x, y, z, threads, bytes)                                             \
    d.launch(f, x, y, z, threads, 1, 1, bytes, stream, list, NULL)
    REFUSED(LAUNCH(double_it, 0, 1, 1, 32, 0), INVALID_VALUE);
    REFUSED(LAUNCH(double_it, 0x80000000U, 1, 1, 32, 0), INVALID_VALUE);
    REFUSED(LAUNCH(double_it, 1, 65536, 1, 32, 0), INVALID_VALUE);
    REFUSED(LAUNCH(double_it, 1, 65535, 1, 32, 0), FR_CU_SUCCESS);
    REFUSED(LAUNCH(double_it, 1, 1, 2, 32, 0), INVALID_VALUE);
    REFUSED(LAUNCH(double_it, 1, 1, 1, 288, 0), INVALID_VALUE);
    REFUSED(LAUNCH(shared_kernel, 1, 1, 1, 1056, 1056), INVALID_VALUE);
    REFUSED(LAUNCH(shared_kernel, 1, 1, 1, 32, 48 * 1024), FR_CU_SUCCESS);
    REFUSED(LAUNCH(shared_kernel, 1, 1, 1, 32, 48 * 1024 + 4), INVALID_VALUE);
    REFUSED(d.function_set(shared_kernel, FR_CU_FUNCTION_SHARED, 227 * 1024),
            FR_CU_SUCCESS);
    REFUSED(LAUNCH(shared_kernel, 1, 1, 1, 1024, 227 * 1024), FR_CU_SUCCESS);
    REFUSED(LAUNCH(shared_kernel, 1, 1, 1, 32, 227 * 1024 + 4), INVALID_VALUE);
    REFUSED(d.function_set(shared_kernel, FR_CU_FUNCTION_SHARED, 228 * 1024),
            INVALID_VALUE);
    REFUSED(LAUNCH(none, 1, 1, 1, 32, 0), INVALID_HANDLE);
    REFUSED(d.module_function(&none, module, "thrice"), NOT_FOUND);
    close_gpu();
    return 0;
}

static int refuses_objects(void)
{
    unsigned long long handle = 0;
    open_gpu();
    fr_cu_event gone = event;
    REFUSED(d.event_destroy(gone), FR_CU_SUCCESS);
    REFUSED(d.event_destroy(gone), INVALID_HANDLE);
    REFUSED(d.event_query(gone), INVALID_HANDLE);
    REFUSED(d.event_create(&event, 0), FR_CU_SUCCESS);
    REFUSED(d.event_query(event), FR_CU_SUCCESS); /* never recorded */
    REFUSED(d.host_free((char *)pinned + 4), INVALID_VALUE);
    REFUSED(d.memory_create(&handle, GRAIN + 1, &KIND, 0), INVALID_VALUE);
    REFUSED(d.memory_create(&handle, GRAIN, &KIND, 0), FR_CU_SUCCESS);
    REFUSED(d.memory_map(memory, GRAIN, 0, handle, 0), INVALID_VALUE);
    REFUSED(d.memory_map(memory + RESERVED, GRAIN, 0, handle, 0), INVALID_VALUE);
    REFUSED(d.memory_map(memory + MAPPED, GRAIN, 0, handle, 0), FR_CU_SUCCESS);
    REFUSED(d.set_bytes(memory + MAPPED, 0, 1, stream), INVALID_VALUE); /* closed */
    REFUSED(d.memory_access(memory + MAPPED, GRAIN, &ACCESS, 1), FR_CU_SUCCESS);
    REFUSED(d.set_bytes(memory + MAPPED - 8, 0, 16, stream), FR_CU_SUCCESS);
    REFUSED(d.stream_synchronize(stream), FR_CU_SUCCESS);
    REFUSED(d.memory_release(handle), FR_CU_SUCCESS);
    REFUSED(d.memory_release(handle), INVALID_VALUE);
    REFUSED(d.address_free(memory, RESERVED), INVALID_VALUE);
    REFUSED(d.memory_unmap(memory, GRAIN), INVALID_VALUE);
    REFUSED(d.memory_unmap(memory + MAPPED, GRAIN), FR_CU_SUCCESS);
    REFUSED(d.device_get(&(fr_cu_device){0}, 1), 101);
    close_gpu();
    REFUSED(d.stream_create(&stream, 1), INVALID_CONTEXT);
    REFUSED(d.context_set(context), INVALID_CONTEXT);
    return 0;
}

static int runs_out_of_memory(void)
{
    size_t available = 0;
    size_t total = 0;
    unsigned long long handle = 0;
    (void)setenv("FR_EMULATED_MEMORY", "16777216", 1);
    open_gpu();
    REFUSED(d.memory_info(&available, &total), FR_CU_SUCCESS);
    if (total != 8 * GRAIN || available != total - MAPPED) {
        return FAILED;
    }
    REFUSED(d.memory_create(&handle, 5 * GRAIN, &KIND, 0), FR_CU_OUT_OF_MEMORY);
    REFUSED(d.memory_create(&handle, 4 * GRAIN, &KIND, 0), FR_CU_SUCCESS);
    REFUSED(d.memory_release(handle), FR_CU_SUCCESS);
    REFUSED(d.memory_info(&available, &total), FR_CU_SUCCESS);
    close_gpu();
    return available != total - MAPPED;
}

static void test_refusals(void)
{
    fr_child_assert("copies", refuses_copies, 0);
    fr_child_assert("launches", refuses_launches, 0);
    fr_child_assert("objects", refuses_objects, 0);
    fr_child_assert("memory", runs_out_of_memory, 0);
}

static int fails_once(void)
{
    (void)setenv("FR_EMULATED_ERROR", "cuMemsetD8Async:2:1,cuLaunchKernel:1:2", 1);
    open_gpu();
    REFUSED(d.set_bytes(memory, 0, 8, stream), FR_CU_SUCCESS);
    REFUSED(d.set_bytes(memory, 0, 8, stream), INVALID_VALUE);
    REFUSED(launch_on(memory, 1), FR_CU_OUT_OF_MEMORY);
    close_gpu();
    return 0;
}
static int fails_for_ever(void)
{
    (void)setenv("FR_EMULATED_ERROR", "cuLaunchKernel:2:700", 1);
    open_gpu();
    REFUSED(launch_on(memory, N), FR_CU_SUCCESS);
    REFUSED(launch_on(memory, N), ILLEGAL_ADDRESS);
    REFUSED(d.event_record(event, stream), ILLEGAL_ADDRESS);
    REFUSED(d.event_query(event), ILLEGAL_ADDRESS);
    REFUSED(d.stream_synchronize(stream), ILLEGAL_ADDRESS);
    REFUSED(d.host_free(pinned), ILLEGAL_ADDRESS);
    REFUSED(d.context_release(0), ILLEGAL_ADDRESS);
    (void)unsetenv("FR_EMULATED_ERROR"); /* the next one starts afresh */
    open_gpu();
    close_gpu();
    return 0;
}

static void test_failures(void)
{
    fr_child_assert("once", fails_once, 0);
    fr_child_assert("for ever", fails_for_ever, 0);
}

/* ---- counts ------------------------------------------------------------------------------------------ */

/* The counts are written when a process ends, so this case starts itself as another. */
static void test_counts(void)
{
    if (getenv("FR_EMULATED_COUNT") != NULL) {
        open_gpu();
        must(d.set_bytes(memory, 0, 8, stream));
        must(d.set_bytes(memory, 0, 8, stream));
        must(d.event_destroy(event));
        must(d.event_create(&event, 0));
        close_gpu();
        return;
    }
    char path[4096];
    char text[8192] = "";
    (void)snprintf(path, sizeof path, "%s/counts", fr_test_folder());
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)setenv("FR_EMULATED_COUNT", path, 1);
        (void)execl("/proc/self/exe", "emulation", "test_counts", (char *)NULL);
        _exit(FAILED);
    }
    int status = 0;
    CU_ASSERT(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    FILE *file = fopen(path, "r");
    CU_ASSERT_FATAL(file != NULL);
    CU_ASSERT(fread(text, 1, sizeof text - 1, file) > 0);
    (void)fclose(file);
    CU_ASSERT(strstr(text, "\ncuMemsetD8Async 2 2\n") != NULL);
    CU_ASSERT(strstr(text, "\ncuEventCreate 2 2\n") != NULL);
    CU_ASSERT(strstr(text, "contexts 0, objects 0, pinned 0, addresses 0") != NULL);
}

static const fr_case CASES[] = {
    FR_CASE(test_order),    FR_CASE(test_walls),  FR_CASE(test_refusals),
    FR_CASE(test_failures), FR_CASE(test_counts),
};

int main(int argc, char **argv)
{
    return fr_suite_main("emulation", CASES, FR_N_CASES(CASES), argc, argv);
}
