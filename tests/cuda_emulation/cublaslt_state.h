/*
 * cublaslt_state.h - what the emulated cuBLASLt keeps (cublaslt.cpp), what each call begins with, and its sums.
 */
#ifndef FR_CUDA_EMULATION_CUBLASLT_STATE_H
#define FR_CUDA_EMULATION_CUBLASLT_STATE_H

#include "cublaslt_counts.h"
#include "device/bf16.h"
#include "device/cuda/lt_library.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <string>

#define FR_DECLARE(result, name, symbol, parameters)                                   \
    extern "C" __attribute__((visibility("default")))                                  \
    result fr_emulated_lt_##name parameters __asm__(symbol);
FR_LT_FUNCTIONS(FR_DECLARE)
#undef FR_DECLARE

namespace
{

enum call {
#define FR_CALL(result, name, symbol, parameters) CALL_##name,
    FR_LT_FUNCTIONS(FR_CALL)
#undef FR_CALL
        CALLS
};
const char *const SYMBOLS[] = {
#define FR_SYMBOL(result, name, symbol, parameters) symbol,
    FR_LT_FUNCTIONS(FR_SYMBOL)
#undef FR_SYMBOL
};

enum { NOT_INITIALIZED = 1, EXECUTION_FAILED = 13, ALIGNMENT = 16 };
constexpr uint64_t MAGIC = 0x6c74616c676f7269;

[[noreturn]] void stop(const char *call, const char *what)
{
    (void)fprintf(stderr, "emulation: %s: %s\n", call, what);
    abort();
}

const char *text_of(const char *name)
{
    const char *text = getenv(name);
    return text != nullptr ? text : "";
}

bool is_said(const char *word)
{
    std::string words = std::string(",") + text_of("FR_EMULATED_LT") + ",";
    return words.find(std::string(",") + word + ",") != std::string::npos;
}

/* An algorithm as the emulation keeps it in fr_lt_algorithm. */
struct algorithm {
    uint64_t magic;
    uint32_t id;
    uint32_t piece; /* of the depth that is summed by itself */
    uint32_t splits;
    uint32_t reduction;
    uint64_t numbers;
    uint32_t is_apart;
    uint32_t workspace;
    uint32_t least_rows;
    uint32_t depends; /* on the number of rows */
    uint64_t rounds_first;
    uint64_t reserved;
};
static_assert(sizeof(algorithm) == sizeof(fr_lt_algorithm), "a copy is all of it");

struct operation {
    int compute;
    int scale;
    int transposed;
};
struct layout {
    int type;
    uint64_t rows;
    uint64_t columns;
    int64_t stride;
};
struct preference {
    uint64_t workspace;
    uint32_t reductions;
    uint32_t alignment[FR_LT_OPERANDS];
};

/* A product that is asked for. */
struct product {
    algorithm how;
    layout a;
    layout b;
    layout c;
    bool transposed;
    float alpha;
    float beta;
    const char *at_a;
    const char *at_b;
    const char *at_c;
    char *at_d;
};

struct library : fr_emulation::lt_counts {
    long since_start[CALLS] = {};
    int (*may_use)(const void *, size_t) = nullptr;
    int (*ask)(fr_cu_stream, void (*)(const void *), const void *, size_t) = nullptr;
} all;

/* @return 0, or the code that the call has to return */
fr_lt_result enter(call which)
{
    long n = ++all.since_start[which];
    std::string list = text_of("FR_EMULATED_LT_ERROR");
    std::string wanted = std::string(SYMBOLS[which]) + ":" + std::to_string(n) + ":";
    size_t at = ("," + list).find("," + wanted);
    return at == std::string::npos
               ? FR_LT_SUCCESS
               : static_cast<int>(
                     strtol(list.c_str() + at + wanted.size(), nullptr, 10));
}

#define FR_ENTER(name)                                                                 \
    fr_lt_result refused = enter(CALL_##name);                                         \
    if (refused != FR_LT_SUCCESS)                                                      \
    return refused
#define FR_REFUSE_IF(condition, code)                                                  \
    if (condition)                                                                     \
    return (code)

template <typename T, typename H> T *of(H handle)
{
    return reinterpret_cast<T *>(handle);
}

template <typename T, typename H> void make(H *out, const T &value)
{
    *out = reinterpret_cast<H>(new T(value));
    all.objects++;
}

template <typename T, typename H> fr_lt_result give_back(H handle)
{
    FR_REFUSE_IF(handle == nullptr, FR_LT_INVALID_VALUE);
    delete of<T>(handle);
    all.objects--;
    return FR_LT_SUCCESS;
}

/* ---- the product ---------------------------------------------------------------------------------- */

size_t bytes_of(int type)
{
    return type == FR_LT_TYPE_BF16 ? 2 : 4;
}

float read(const char *at, int type, uint64_t i)
{
    if (type == FR_LT_TYPE_BF16) {
        return fr_bf16_widen(reinterpret_cast<const uint16_t *>(at)[i]);
    }
    return reinterpret_cast<const float *>(at)[i];
}

/* Depths [first, end) of one number, in pieces. */
float sum_of(const product &p, uint64_t row, uint64_t column, uint64_t first,
             uint64_t end)
{
    auto a_stride = static_cast<uint64_t>(p.a.stride);
    auto b_stride = static_cast<uint64_t>(p.b.stride);
    uint64_t piece = p.how.piece;
    float sum = 0;
    if (p.how.depends != 0 && p.b.columns > 64) {
        piece /= 2;
    }
    for (uint64_t at = first; at < end; at += piece) {
        float part = 0;
        for (uint64_t d = at; d < at + piece && d < end; d++) {
            uint64_t i = p.transposed ? row * a_stride + d : d * a_stride + row;
            part += read(p.at_a, p.a.type, i) *
                    read(p.at_b, p.b.type, column * b_stride + d);
        }
        sum += part;
    }
    return sum;
}

/* No bf16: a probe sees that it is not rounded before something is added. */
constexpr float UNCOMPUTED = 0x1.001p-8F;

void compute(const void *arguments)
{
    product p;
    memcpy(&p, arguments, sizeof p);
    uint64_t depth = is_said("uncomputed") ? 0 : p.b.rows;
    uint64_t split = (depth + p.how.splits - 1) / p.how.splits;
    for (uint64_t column = 0; column < p.c.columns; column++) {
        for (uint64_t row = 0; row < p.c.rows; row++) {
            uint64_t i = column * static_cast<uint64_t>(p.c.stride) + row;
            float sum = depth > 0 ? 0 : UNCOMPUTED;
            for (uint64_t at = 0; at < depth; at += split) {
                uint64_t end = at + split < depth ? at + split : depth;
                sum += sum_of(p, row, column, at, end);
            }
            sum *= p.alpha;
            if (p.how.rounds_first != 0 && p.c.type == FR_LT_TYPE_BF16) {
                sum = fr_bf16_widen(fr_bf16_round(sum));
            }
            if (p.beta != 0) { /* else C is not read */
                sum += p.beta * read(p.at_c, p.c.type, i);
            }
            if (p.c.type == FR_LT_TYPE_BF16) {
                reinterpret_cast<uint16_t *>(p.at_d)[i] = fr_bf16_round(sum);
            } else {
                reinterpret_cast<float *>(p.at_d)[i] = sum;
            }
        }
    }
}

} // namespace

#endif
