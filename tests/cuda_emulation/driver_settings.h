/*
 * driver_settings.h - what the environment says to the emulated driver (driver.cpp lists the variables).
 */
#ifndef FR_CUDA_EMULATION_DRIVER_SETTINGS_H
#define FR_CUDA_EMULATION_DRIVER_SETTINGS_H

#include "gpu.h"

#include <algorithm>

namespace fr_emulation
{

/* The n-th call of a function fails. */
struct failure {
    std::string symbol;
    long n;
    fr_cu_result code;
};

struct settings {
    dice random;
    bool hurries; /* work runs early at times */
    bool
        overtakes; /* work of one stream runs before earlier work of others, unless it waits for it */
    bool has_no_wall;
    size_t memory_bytes;
    std::vector<int> gpus; /* numbers in the machine of those that the process sees */
    int generation;        /* 10 major + minor */
    int processors;
    std::vector<failure> failures;
};

inline const char *text_of(const char *name)
{
    const char *text = getenv(name);
    return text != nullptr ? text : "";
}

inline long number_of(const char *name, long otherwise)
{
    const char *text = text_of(name);
    return text[0] != '\0' ? strtol(text, nullptr, 0) : otherwise;
}

inline std::vector<failure> read_failures(const std::string &text)
{
    std::vector<failure> out;
    for (size_t at = 0; at < text.size();) {
        size_t end = text.find(',', at);
        end = end == std::string::npos ? text.size() : end;
        std::string one = text.substr(at, end - at);
        size_t n = one.find(':');
        size_t code = n == std::string::npos ? n : one.find(':', n + 1);
        if (code == std::string::npos) {
            stop("FR_EMULATED_ERROR", "it is cuName:n:code");
        }
        out.push_back(
            {one.substr(0, n), strtol(one.c_str() + n + 1, nullptr, 10),
             static_cast<fr_cu_result>(strtol(one.c_str() + code + 1, nullptr, 10))});
        at = end + 1;
    }
    return out;
}

/* CUDA_VISIBLE_DEVICES, a list of numbers: those GPUs in that order. A number that is none, or that was there before, hides
 * itself and all after it. Unset: all. */
inline std::vector<int> read_visible(int n_gpus)
{
    std::vector<int> out;
    const char *text = getenv("CUDA_VISIBLE_DEVICES");
    for (int i = 0; text == nullptr && i < n_gpus; i++) {
        out.push_back(i);
    }
    while (text != nullptr && *text != '\0') {
        char *end = nullptr;
        long n = strtol(text, &end, 10);
        bool is_number = end != text && (*end == ',' || *end == '\0');
        bool is_new = std::find(out.begin(), out.end(), n) == out.end();
        if (!is_number || n < 0 || n >= n_gpus || !is_new) {
            break;
        }
        out.push_back(static_cast<int>(n));
        text = *end == ',' ? end + 1 : end;
    }
    return out;
}

inline settings read_settings(void)
{
    auto seed = static_cast<uint64_t>(number_of("FR_EMULATED_SEED", 0));
    return {{seed * 0x2545f4914f6cdd1dULL},
            seed % 4 == 3,
            seed % 4 == 1,
            number_of("FR_EMULATED_WALL", 1) == 0,
            static_cast<size_t>(number_of("FR_EMULATED_MEMORY", 8L << 30)),
            read_visible(static_cast<int>(number_of("FR_EMULATED_GPUS", 1))),
            static_cast<int>(number_of("FR_EMULATED_SM", 90)),
            static_cast<int>(number_of("FR_EMULATED_PROCESSORS", 132)),
            read_failures(text_of("FR_EMULATED_ERROR"))};
}

} // namespace fr_emulation

#endif
