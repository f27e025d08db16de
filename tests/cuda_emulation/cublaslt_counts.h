/*
 * cublaslt_counts.h - the products that the emulated cuBLASLt was asked for (cublaslt.cpp).
 */
#ifndef FR_CUDA_EMULATION_CUBLASLT_COUNTS_H
#define FR_CUDA_EMULATION_CUBLASLT_COUNTS_H

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace fr_emulation
{

enum { ALGORITHMS = 16 };

/* Of products with one matrix, each operand read or written once. */
struct lt_traffic {
    uint64_t products;
    uint64_t operations; /* 2 rows columns depth */
    uint64_t read;       /* bytes */
    uint64_t written;
};

/* They go to files when the process ends. */
struct lt_counts {
    int handles = 0;
    int objects = 0;
    long by_algorithm[ALGORITHMS] = {};
    std::map<std::string, lt_traffic> by_shape;

    void add(uint32_t algorithm, const std::string &shape, const lt_traffic &one)
    {
        by_algorithm[algorithm % ALGORITHMS]++;
        lt_traffic &sum = by_shape[shape];
        sum.products += one.products;
        sum.operations += one.operations;
        sum.read += one.read;
        sum.written += one.written;
    }

    void forget(void)
    {
        by_shape.clear();
    }

    static FILE *file_of(const char *variable)
    {
        const char *name = getenv(variable);
        return name != nullptr && name[0] != '\0' ? fopen(name, "w") : nullptr;
    }

    ~lt_counts()
    {
        FILE *file = file_of("FR_EMULATED_LT_COUNT");
        for (int i = 0; i < ALGORITHMS && file != nullptr; i++) {
            if (by_algorithm[i] > 0) {
                (void)fprintf(file, "algorithm %d: %ld products\n", i, by_algorithm[i]);
            }
        }
        if (file != nullptr) {
            (void)fprintf(file, "left: handles %d, objects %d\n", handles, objects);
            (void)fclose(file);
        }
        file = file_of("FR_EMULATED_LT_TRAFFIC");
        for (auto i = by_shape.cbegin(); file != nullptr && i != by_shape.cend(); ++i) {
            (void)fprintf(file, "%s %llu %llu %llu %llu\n", i->first.c_str(),
                          static_cast<unsigned long long>(i->second.products),
                          static_cast<unsigned long long>(i->second.operations),
                          static_cast<unsigned long long>(i->second.read),
                          static_cast<unsigned long long>(i->second.written));
        }
        if (file != nullptr) {
            (void)fclose(file);
        }
    }
};

} // namespace fr_emulation

#endif
