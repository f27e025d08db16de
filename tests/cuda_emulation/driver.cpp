/*
 * driver.cpp - an emulated libcuda.so.1: the functions of the list in src/device/cuda/driver.h, on the CPU.
 *
 * It does all that the real driver may do and a program may not count on. Work that is asked for is queued, and runs when
 * something waits for it, or asks for an event often enough (a number that FR_EMULATED_SEED decides). Copies from pinned memory
 * read it when they run; copies to the host leave rubbish in their target until then. Memory of the device is closed to the
 * host. What the real driver refuses gets its error; what it leaves undefined ends the program with a message.
 *
 *     FR_EMULATED_SEED      the order of what has none; one seed in four also runs work early at times, and one runs
 *                           work of a stream before earlier work of others wherever it does not wait for it (default 0:
 *                           never)
 *     FR_EMULATED_MEMORY    bytes of a GPU (default 8 GiB)
 *     FR_EMULATED_WALL      0: memory of the device stays open to the host once work has used it, which is faster where it is large
 *     FR_EMULATED_GPUS      how many the machine has (default 1); CUDA_VISIBLE_DEVICES chooses among them
 *     FR_EMULATED_SM        their generation, 10 major + minor (default 90)
 *     FR_EMULATED_PROCESSORS  of each (default 132)
 *     FR_EMULATED_VERSION   of the driver (default 13000)
 *     FR_EMULATED_ERROR     cuName:n:code[,...]: the n-th call of that function does nothing and returns the code; codes from
 *                           700 on are returned by all later calls too
 *     FR_EMULATED_COUNT     a file that gets, at the end, how often each function was called, of them since the settings were
 *                           last read (which is what n counts), bytes that were copied within
 *                           the GPU's memory or set there, and what nobody gave back
 *
 * They are read when the library is loaded, and again by cuInit while no context is in use.
 */
#include "driver_crash.h"
#include "driver_memory.h"
#include "driver_reach.h"
#include "driver_state.h"
#include "driver_streams.h"

driver::~driver()
{
    const char *name = text_of("FR_EMULATED_COUNT");
    FILE *file = name[0] != '\0' ? fopen(name, "w") : nullptr;
    if (file == nullptr) {
        return;
    }
    for (int i = 0; i < CALLS; i++) {
        (void)fprintf(file, "%s %ld %ld\n", SYMBOLS[i], counts[i], since_start[i]);
    }
    int contexts = 0;
    for (const gpu &g : gpus) {
        contexts += g.retained;
    }
    (void)fprintf(file, "moved: copied %zu, set %zu bytes\n", copied_bytes, set_bytes);
    (void)fprintf(
        file, "left: contexts %d, objects %zu, pinned %zu, addresses %zu\n", contexts,
        left + streams.size() + events.size() + modules.size() + memories.size(),
        pinned.size(), space.reserved.size());
    (void)fclose(file);
}

fr_cu_result fr_driver_init(unsigned flags)
{
    bool is_used = false;
    for (const gpu &g : all.gpus) {
        is_used = is_used || g.retained > 0;
    }
    if (!is_used) {
        all.start_again();
    }
    FR_ENTER_AS(init, false);
    FR_REFUSE_IF(flags != 0, INVALID_VALUE);
    FR_REFUSE_IF(all.set.gpus.empty(), FR_CU_NO_DEVICE);
    all.is_started = true;
    watch_for_crashes();
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_version(int *version)
{
    FR_ENTER_AS(version, false);
    FR_REFUSE_IF(version == nullptr, INVALID_VALUE);
    *version = static_cast<int>(number_of("FR_EMULATED_VERSION", 13000));
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_error_name(fr_cu_result result, const char **text)
{
    static const std::map<fr_cu_result, const char *> names = {
        {0, "CUDA_SUCCESS"},
        {1, "CUDA_ERROR_INVALID_VALUE"},
        {2, "CUDA_ERROR_OUT_OF_MEMORY"},
        {3, "CUDA_ERROR_NOT_INITIALIZED"},
        {100, "CUDA_ERROR_NO_DEVICE"},
        {101, "CUDA_ERROR_INVALID_DEVICE"},
        {200, "CUDA_ERROR_INVALID_IMAGE"},
        {201, "CUDA_ERROR_INVALID_CONTEXT"},
        {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
        {214, "CUDA_ERROR_ECC_UNCORRECTABLE"},
        {400, "CUDA_ERROR_INVALID_HANDLE"},
        {500, "CUDA_ERROR_NOT_FOUND"},
        {600, "CUDA_ERROR_NOT_READY"},
        {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
        {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
        {702, "CUDA_ERROR_LAUNCH_TIMEOUT"},
        {716, "CUDA_ERROR_MISALIGNED_ADDRESS"},
        {719, "CUDA_ERROR_LAUNCH_FAILED"},
        {801, "CUDA_ERROR_NOT_SUPPORTED"},
        {999, "CUDA_ERROR_UNKNOWN"},
    };
    FR_ENTER_AS(error_name, false);
    FR_REFUSE_IF(text == nullptr, INVALID_VALUE);
    auto it = names.find(result);
    *text = it != names.end() ? it->second : nullptr;
    return it != names.end() ? +FR_CU_SUCCESS : +INVALID_VALUE;
}

fr_cu_result fr_driver_device_count(int *count)
{
    FR_ENTER_AS(device_count, false);
    FR_REFUSE_IF(count == nullptr, INVALID_VALUE);
    *count = n_gpus();
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_device_get(fr_cu_device *device, int ordinal)
{
    FR_ENTER_AS(device_get, false);
    FR_REFUSE_IF(device == nullptr, INVALID_VALUE);
    FR_REFUSE_IF(!is_device(ordinal), INVALID_DEVICE);
    *device = ordinal;
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_device_uuid(fr_cu_uuid *uuid, fr_cu_device device)
{
    FR_ENTER_AS(device_uuid, false);
    FR_REFUSE_IF(uuid == nullptr, INVALID_VALUE);
    FR_REFUSE_IF(!is_device(device), INVALID_DEVICE);
    int number = all.set.gpus[static_cast<size_t>(device)];
    *uuid = {{0xfe, static_cast<unsigned char>(number)}};
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_device_name(char *name, int bytes, fr_cu_device device)
{
    FR_ENTER_AS(device_name, false);
    FR_REFUSE_IF(name == nullptr || bytes < 1, INVALID_VALUE);
    FR_REFUSE_IF(!is_device(device), INVALID_DEVICE);
    (void)snprintf(name, static_cast<size_t>(bytes), "Emulated GPU");
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_device_attribute(int *value, int attribute, fr_cu_device device)
{
    FR_ENTER_AS(device_attribute, false);
    const std::map<int, int> values = {{FR_CU_MAJOR, all.set.generation / 10},
                                       {FR_CU_MINOR, all.set.generation % 10},
                                       {FR_CU_PROCESSORS, all.set.processors},
                                       {FR_CU_VIRTUAL_MEMORY, 1},
                                       {FR_CU_SHARED_OPTIN, SHARED_MOST}};
    auto it = values.find(attribute);
    FR_REFUSE_IF(value == nullptr || it == values.end(), INVALID_VALUE);
    FR_REFUSE_IF(!is_device(device), INVALID_DEVICE);
    *value = it->second;
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_context_retain(fr_cu_context *context, fr_cu_device device)
{
    FR_ENTER_AS(context_retain, false);
    FR_REFUSE_IF(context == nullptr, INVALID_VALUE);
    FR_REFUSE_IF(!is_device(device), INVALID_DEVICE);
    all.gpus[device].retained++;
    *context = reinterpret_cast<fr_cu_context>(&all.gpus[device]);
    return FR_CU_SUCCESS;
}

/* @return how many there were */
template <typename K, typename V>
static size_t forget_of(std::map<K, V> &things, int gpu)
{
    size_t before = things.size();
    for (auto it = things.begin(); it != things.end();) {
        it = it->second.gpu == gpu ? things.erase(it) : std::next(it);
    }
    return before - things.size();
}

/* What a context leaves behind ends with it. */
fr_cu_result fr_driver_context_release(fr_cu_device device)
{
    FR_ENTER_AS(context_release, false);
    FR_REFUSE_IF(!is_device(device), INVALID_DEVICE);
    FR_REFUSE_IF(all.gpus[device].retained == 0, INVALID_CONTEXT);
    if (--all.gpus[device].retained == 0) {
        forget_work(device);
        all.left += forget_memory(device) + forget_of(all.streams, device) +
                    forget_of(all.events, device) + forget_of(all.modules, device);
        (void)forget_of(all.functions, device);
        all.destroyed.clear();
    }
    return all.sticky;
}

fr_cu_result fr_driver_context_set(fr_cu_context context)
{
    FR_ENTER_AS(context_set, false);
    int found = context == nullptr ? -1 : ALL_GPUS;
    for (int i = 0; i < ALL_GPUS && context != nullptr; i++) {
        if (reinterpret_cast<fr_cu_context>(&all.gpus[i]) == context &&
            all.gpus[i].retained > 0) {
            found = i;
        }
    }
    FR_REFUSE_IF(found == ALL_GPUS, INVALID_CONTEXT);
    current = found;
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_stream_create(fr_cu_stream *out, unsigned flags)
{
    FR_ENTER(stream_create);
    FR_REFUSE_IF(out == nullptr || flags > 1, INVALID_VALUE);
    if (flags != FR_CU_STREAM_NON_BLOCKING) {
        stop("cuStreamCreate", "the emulation has streams that do not block alone");
    }
    *out = all.handle<fr_cu_stream>();
    all.streams[*out] = {current, 0, 0, 0, {}};
    return FR_CU_SUCCESS;
}

/* Its work stays queued, as the real driver lets it run on. */
fr_cu_result fr_driver_stream_destroy(fr_cu_stream s)
{
    FR_ENTER(stream_destroy);
    FR_REFUSE_IF(!is_stream(s), INVALID_HANDLE);
    if (all.streams[s].queue.empty()) {
        all.streams.erase(s);
    } else {
        all.destroyed.insert(s);
    }
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_stream_synchronize(fr_cu_stream s)
{
    FR_ENTER(stream_synchronize);
    FR_REFUSE_IF(!is_stream(s), INVALID_HANDLE);
    all.finish(s, all.streams[s].asked);
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_event_create(fr_cu_event *out, unsigned flags)
{
    FR_ENTER(event_create);
    FR_REFUSE_IF(out == nullptr || flags > 7, INVALID_VALUE);
    *out = all.handle<fr_cu_event>();
    all.events[*out] = {current, nullptr, 0};
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_event_destroy(fr_cu_event e)
{
    FR_ENTER(event_destroy);
    return all.events.erase(e) != 0 ? +FR_CU_SUCCESS : +INVALID_HANDLE;
}

fr_cu_result fr_driver_event_record(fr_cu_event e, fr_cu_stream s)
{
    FR_ENTER(event_record);
    auto it = all.events.find(e);
    FR_REFUSE_IF(it == all.events.end() || !is_stream(s), INVALID_HANDLE);
    FR_REFUSE_IF(it->second.gpu != all.streams[s].gpu, INVALID_HANDLE);
    it->second.stream = s;
    it->second.at = all.streams[s].asked;
    return FR_CU_SUCCESS;
}

/* It holds for the event as it is now. One that was never recorded has passed. */
fr_cu_result fr_driver_stream_wait(fr_cu_stream s, fr_cu_event e, unsigned flags)
{
    FR_ENTER(stream_wait);
    auto it = all.events.find(e);
    FR_REFUSE_IF(it == all.events.end() || !is_stream(s), INVALID_HANDLE);
    FR_REFUSE_IF(flags != 0, INVALID_VALUE);
    FR_REFUSE_IF(it->second.stream == nullptr, FR_CU_SUCCESS);
    work w = {work::WAIT, nullptr, nullptr, 0, 0, {}, {}, nullptr};
    w.behind = it->second.stream;
    w.at = it->second.at;
    return all.ask(s, std::move(w));
}

/* @return the stream that has to run yet, or nullptr */
static stream *behind(const event &e)
{
    auto it = all.streams.find(e.stream);
    return it != all.streams.end() && it->second.done < e.at ? &it->second : nullptr;
}

fr_cu_result fr_driver_event_query(fr_cu_event e)
{
    FR_ENTER(event_query);
    auto it = all.events.find(e);
    FR_REFUSE_IF(it == all.events.end(), INVALID_HANDLE);
    const stream *s = behind(it->second);
    FR_REFUSE_IF(s == nullptr, FR_CU_SUCCESS);
    switch (all.set.random.draw() % 4) {
    case 0: /* some of the work, perhaps all that is before the event */
        all.run(it->second.stream, s->done + 1 + all.set.random.draw() % 8);
        break;
    case 1:
        all.run(it->second.stream, it->second.at);
        break;
    default:
        break;
    }
    return behind(it->second) == nullptr ? FR_CU_SUCCESS : FR_CU_NOT_READY;
}

fr_cu_result fr_driver_event_synchronize(fr_cu_event e)
{
    FR_ENTER(event_synchronize);
    auto it = all.events.find(e);
    FR_REFUSE_IF(it == all.events.end(), INVALID_HANDLE);
    all.finish(it->second.stream, it->second.at);
    return FR_CU_SUCCESS;
}

/* @return 0: none of these bytes is pinned; 1: all, in one block; -1: some */
static int how_pinned(const void *memory, size_t bytes)
{
    auto at = static_cast<const char *>(memory);
    auto it = all.pinned.upper_bound(at);
    if (it != all.pinned.end() && it->first < at + bytes) {
        return -1;
    }
    if (it == all.pinned.begin()) {
        return 0;
    }
    --it;
    const char *end = it->first + it->second;
    if (at >= end) {
        return 0;
    }
    return at + bytes <= end ? 1 : -1;
}

fr_cu_result fr_driver_copy_to_device(fr_cu_address to, const void *from, size_t bytes,
                                      fr_cu_stream s)
{
    FR_ENTER(copy_to_device);
    FR_REFUSE_IF(!is_stream(s), INVALID_HANDLE);
    FR_REFUSE_IF(bytes == 0, FR_CU_SUCCESS);
    int pinned = how_pinned(from, bytes);
    FR_REFUSE_IF(from == nullptr || pinned < 0 || !all.space.holds(to, bytes),
                 INVALID_VALUE);
    work w = {work::TO_DEVICE_LATE, host(to), from, bytes, 0, {}, {}, nullptr};
    if (pinned == 0) {
        auto all_of = static_cast<const unsigned char *>(from);
        w.what = work::TO_DEVICE;
        w.held.assign(all_of, all_of + bytes);
    }
    return all.ask(s, std::move(w));
}

fr_cu_result fr_driver_copy_to_host(void *to, fr_cu_address from, size_t bytes,
                                    fr_cu_stream s)
{
    FR_ENTER(copy_to_host);
    FR_REFUSE_IF(!is_stream(s), INVALID_HANDLE);
    FR_REFUSE_IF(bytes == 0, FR_CU_SUCCESS);
    FR_REFUSE_IF(to == nullptr || how_pinned(to, bytes) < 0 ||
                     !all.space.holds(from, bytes),
                 INVALID_VALUE);
    memset(to, RUBBISH, bytes);
    return all.ask(s, {work::TO_HOST, to, host(from), bytes, 0, {}, {}, nullptr});
}

fr_cu_result fr_driver_copy_on_device(fr_cu_address to, fr_cu_address from,
                                      size_t bytes, fr_cu_stream s)
{
    FR_ENTER(copy_on_device);
    FR_REFUSE_IF(!is_stream(s), INVALID_HANDLE);
    FR_REFUSE_IF(bytes == 0, FR_CU_SUCCESS);
    FR_REFUSE_IF(!all.space.holds(to, bytes) || !all.space.holds(from, bytes),
                 INVALID_VALUE);
    if (to < from + bytes && from < to + bytes) {
        stop("cuMemcpyDtoDAsync", "the two overlap");
    }
    all.copied_bytes += bytes;
    return all.ask(s,
                   {work::ON_DEVICE, host(to), host(from), bytes, 0, {}, {}, nullptr});
}

fr_cu_result fr_driver_set_bytes(fr_cu_address to, unsigned char value, size_t bytes,
                                 fr_cu_stream s)
{
    FR_ENTER(set_bytes);
    FR_REFUSE_IF(!is_stream(s), INVALID_HANDLE);
    FR_REFUSE_IF(bytes == 0, FR_CU_SUCCESS);
    FR_REFUSE_IF(!all.space.holds(to, bytes), INVALID_VALUE);
    all.set_bytes += bytes;
    return all.ask(s, {work::SET, host(to), nullptr, bytes, value, {}, {}, nullptr});
}

fr_cu_result fr_driver_module_load(fr_cu_module *out, const void *image)
{
    FR_ENTER(module_load);
    FR_REFUSE_IF(out == nullptr || image == nullptr, INVALID_VALUE);
    auto emulated = static_cast<const fr_emulated_image *>(image);
    FR_REFUSE_IF(emulated->magic != FR_EMULATED_MAGIC, INVALID_IMAGE);
    *out = all.handle<fr_cu_module>();
    all.modules[*out] = {current, emulated, {}};
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_module_unload(fr_cu_module m)
{
    FR_ENTER(module_unload);
    auto it = all.modules.find(m);
    FR_REFUSE_IF(it == all.modules.end(), INVALID_HANDLE);
    for (const auto &f : it->second.functions) {
        all.functions.erase(f.second);
    }
    for (const auto &s : all.streams) {
        for (const work &w : s.second.queue) {
            if (w.image == it->second.image) {
                stop("cuModuleUnload", "a kernel of the module is queued");
            }
        }
    }
    all.modules.erase(it);
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_module_function(fr_cu_function *out, fr_cu_module m,
                                       const char *name)
{
    FR_ENTER(module_function);
    FR_REFUSE_IF(out == nullptr || name == nullptr, INVALID_VALUE);
    auto it = all.modules.find(m);
    FR_REFUSE_IF(it == all.modules.end(), INVALID_HANDLE);
    const fr_emulated_image *image = it->second.image;
    for (int i = 0; i < image->n_kernels; i++) {
        if (strcmp(image->kernels[i]->name, name) == 0) {
            fr_cu_function &known = it->second.functions[name];
            if (known == nullptr) {
                known = all.handle<fr_cu_function>();
                all.functions[known] = {it->second.gpu, image->kernels[i], image,
                                        SHARED_DEFAULT};
            }
            *out = known;
            return FR_CU_SUCCESS;
        }
    }
    return NOT_FOUND;
}

fr_cu_result fr_driver_function_set(fr_cu_function f, int attribute, int value)
{
    FR_ENTER(function_set);
    auto it = all.functions.find(f);
    FR_REFUSE_IF(it == all.functions.end(), INVALID_HANDLE);
    FR_REFUSE_IF(attribute != FR_CU_FUNCTION_SHARED || value < 0 || value > SHARED_MOST,
                 INVALID_VALUE);
    it->second.shared_bytes = static_cast<size_t>(value);
    return FR_CU_SUCCESS;
}

fr_cu_result fr_driver_launch(fr_cu_function f, unsigned grid_x, unsigned grid_y,
                              unsigned grid_z, unsigned block_x, unsigned block_y,
                              unsigned block_z, unsigned shared_bytes, fr_cu_stream s,
                              void **arguments, void **extra)
{
    FR_ENTER(launch);
    auto it = all.functions.find(f);
    FR_REFUSE_IF(it == all.functions.end() || !is_stream(s), INVALID_HANDLE);
    const function &known = it->second;
    FR_REFUSE_IF(known.gpu != all.streams[s].gpu, INVALID_HANDLE);
    FR_REFUSE_IF(grid_x == 0 || grid_x > INT32_MAX || grid_y == 0 || grid_y > 65535 ||
                     grid_z != 1 || block_x == 0 || block_y != 1 || block_z != 1,
                 INVALID_VALUE);
    FR_REFUSE_IF(block_x > static_cast<unsigned>(known.kernel->threads) ||
                     shared_bytes > known.shared_bytes || arguments == nullptr ||
                     extra != nullptr,
                 INVALID_VALUE);
    work w = {work::LAUNCH, nullptr, nullptr, 0, 0, {}, {}, known.image};
    auto bytes = static_cast<const unsigned char *>(arguments[0]);
    w.held.assign(bytes, bytes + known.kernel->argument_bytes);
    w.launch.kernel = known.kernel;
    w.launch.blocks = grid_x;
    w.launch.blocks_y = grid_y;
    w.launch.threads = static_cast<int>(block_x);
    w.launch.shared_bytes = shared_bytes;
    w.launch.seed = all.set.random.draw();
    return all.ask(s, std::move(w));
}

/* Bytes for FR_EMULATED_COUNT are counted anew: for a program that finds it with dlsym. */
extern "C" __attribute__((visibility("default"))) void fr_emulated_moved_forget(void);
void fr_emulated_moved_forget(void)
{
    all.copied_bytes = all.set_bytes = 0;
}
