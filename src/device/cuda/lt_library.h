/*
 * lt_library.h - the functions of cuBLASLt that the backend calls. The library is opened at run time (libcublasLt.so.13 or .12): a
 * program with this backend starts, and computes its products itself, on a machine that has none.
 *
 * Types and numbers are declared here, so that nothing of the CUDA Toolkit is needed to compile. They are those of the library's
 * documentation (cuBLAS, "cuBLASLt Data Types" and "cuBLASLt API"); attributes are never given another meaning or number.
 */
#ifndef FR_DEVICE_CUDA_LT_LIBRARY_H
#define FR_DEVICE_CUDA_LT_LIBRARY_H

#include "device/cuda/driver.h"

typedef int fr_lt_result; /* 0: success */
typedef struct fr_lt_handle_of *fr_lt_handle;
typedef struct fr_lt_operation_of *fr_lt_operation;
typedef struct fr_lt_layout_of *fr_lt_layout;
typedef struct fr_lt_preference_of *fr_lt_preference;

enum {
    FR_LT_SUCCESS = 0,
    FR_LT_INVALID_VALUE = 7,
    FR_LT_NOT_SUPPORTED = 15,

    FR_LT_TYPE_F32 = 0, /* types of numbers */
    FR_LT_TYPE_BF16 = 14,
    FR_LT_COMPUTE_F32 = 68, /* sums in f32, of operands as they are: no TF32 */

    FR_LT_OPERATION_TRANSPOSE_A = 3, /* attributes of an operation */
    FR_LT_TRANSPOSED = 1,

    FR_LT_LAYOUT_ROWS = 2, /* attributes of a layout */
    FR_LT_LAYOUT_COLUMNS = 3,
    FR_LT_LAYOUT_STRIDE = 4,

    FR_LT_PREFER_WORKSPACE = 1, /* attributes of a preference: most bytes */
    FR_LT_PREFER_REDUCTIONS = 3,
    FR_LT_PREFER_ALIGNMENT_A = 5, /* and B, C, D */
    FR_LT_OPERANDS = 4,

    FR_LT_CONFIG_SPLITS =
        2, /* what an algorithm is: of the depth, parts that are summed apart */
    FR_LT_CONFIG_REDUCTION = 3,
    FR_LT_CONFIG_INNER_SHAPE = 7, /* this and the next take 16 bits, the others 32 */
    FR_LT_CONFIGS = 9,

    FR_LT_CAN_BE_APART = 4, /* what it can do: D need not be C */
    FR_LT_CAN_NUMBERS = 15, /* how it computes: */
    FR_LT_SUMS_MASK = 0xff << 8,
    FR_LT_SUMS_F32 = 0x02 << 8,
    FR_LT_ENTERS_MASK = 0xff << 16,
    FR_LT_ENTERS_BF16 = 0x02 << 16,
    FR_LT_ENTERS_F32 = 0x08 << 16,
};

/** A copy is as good as the algorithm itself, for the same version of the library. */
typedef struct fr_lt_algorithm {
    uint64_t data[8];
} fr_lt_algorithm;

/** What the library offers, best first. */
typedef struct fr_lt_offer {
    fr_lt_algorithm algorithm;
    size_t workspace; /* bytes that it needs */
    fr_lt_result state;
    float waves;
    int reserved[4];
} fr_lt_offer;

/** F(result, name here, name in the library, parameters). D = alpha op(A) op(B) + beta C, matrices column by column. */
#define FR_LT_FUNCTIONS(F)                                                             \
    F(const char *, result_name, "cublasLtGetStatusName", (fr_lt_result result))       \
    F(fr_lt_result, property, "cublasLtGetProperty", (int which, int *value))          \
    F(fr_lt_result, create, "cublasLtCreate", (fr_lt_handle * handle))                 \
    F(fr_lt_result, destroy, "cublasLtDestroy", (fr_lt_handle handle))                 \
    F(fr_lt_result, operation_create, "cublasLtMatmulDescCreate",                      \
      (fr_lt_operation * operation, int compute, int scale))                           \
    F(fr_lt_result, operation_destroy, "cublasLtMatmulDescDestroy",                    \
      (fr_lt_operation operation))                                                     \
    F(fr_lt_result, operation_set, "cublasLtMatmulDescSetAttribute",                   \
      (fr_lt_operation operation, int attribute, const void *value, size_t bytes))     \
    F(fr_lt_result, layout_create, "cublasLtMatrixLayoutCreate",                       \
      (fr_lt_layout * layout, int type, uint64_t rows, uint64_t columns,               \
       int64_t stride))                                                                \
    F(fr_lt_result, layout_destroy, "cublasLtMatrixLayoutDestroy",                     \
      (fr_lt_layout layout))                                                           \
    F(fr_lt_result, layout_set, "cublasLtMatrixLayoutSetAttribute",                    \
      (fr_lt_layout layout, int attribute, const void *value, size_t bytes))           \
    F(fr_lt_result, preference_create, "cublasLtMatmulPreferenceCreate",               \
      (fr_lt_preference * preference))                                                 \
    F(fr_lt_result, preference_destroy, "cublasLtMatmulPreferenceDestroy",             \
      (fr_lt_preference preference))                                                   \
    F(fr_lt_result, preference_set, "cublasLtMatmulPreferenceSetAttribute",            \
      (fr_lt_preference preference, int attribute, const void *value, size_t bytes))   \
    F(fr_lt_result, offers, "cublasLtMatmulAlgoGetHeuristic",                          \
      (fr_lt_handle handle, fr_lt_operation operation, fr_lt_layout a, fr_lt_layout b, \
       fr_lt_layout c, fr_lt_layout d, fr_lt_preference preference, int wanted,        \
       fr_lt_offer *offers, int *n_offers))                                            \
    F(fr_lt_result, check, "cublasLtMatmulAlgoCheck",                                  \
      (fr_lt_handle handle, fr_lt_operation operation, fr_lt_layout a, fr_lt_layout b, \
       fr_lt_layout c, fr_lt_layout d, const fr_lt_algorithm *algorithm,               \
       fr_lt_offer *result))                                                           \
    F(fr_lt_result, config, "cublasLtMatmulAlgoConfigGetAttribute",                    \
      (const fr_lt_algorithm *algorithm, int attribute, void *value, size_t bytes,     \
       size_t *written))                                                               \
    F(fr_lt_result, ability, "cublasLtMatmulAlgoCapGetAttribute",                      \
      (const fr_lt_algorithm *algorithm, int attribute, void *value, size_t bytes,     \
       size_t *written))                                                               \
    F(fr_lt_result, multiply, "cublasLtMatmul",                                        \
      (fr_lt_handle handle, fr_lt_operation operation, const void *alpha,              \
       const void *a, fr_lt_layout a_layout, const void *b, fr_lt_layout b_layout,     \
       const void *beta, const void *c, fr_lt_layout c_layout, void *d,                \
       fr_lt_layout d_layout, const fr_lt_algorithm *algorithm, void *workspace,       \
       size_t workspace_bytes, fr_cu_stream stream))

typedef struct fr_lt_library {
    void *library;
#define FR_LT_FIELD(result, name, symbol, parameters) result(*name) parameters;
    FR_LT_FUNCTIONS(FR_LT_FIELD)
#undef FR_LT_FIELD
    char version[24]; /* "13.1.0" */
} fr_lt_library;

/**
 * Open the library: that for CUDA 13 if the driver is for it, else that for CUDA 12.
 * @param[out] why_not  why it is not open, in words; "" where it is
 * @return whether it is; else *out is zeroed
 */
bool fr_lt_library_open(const fr_cuda_driver *driver, fr_lt_library *out,
                        char why_not[256]);
/** Accepts a zeroed one. */
void fr_lt_library_close(fr_lt_library *library);

#endif
