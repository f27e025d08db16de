/*
 * lt.h - products by cuBLASLt, each by one algorithm for all numbers of rows, so that a row has the same bits in any call.
 *
 * A matrix is multiplied in blocks of rows whose number depends on its shape alone (fr_lt_block): so results do not depend on how
 * it is stored. For each shape the library is asked once, at the start (lt_ready.c), at FR_LT_ROWS rows; of what it offers, the
 * first that sums the depth in one piece in f32 without memory of its own is pinned (lt_choose.c). Nothing is timed, so the choice
 * is a function of the GPU and the library, and a digest of what it would be for a list of shapes is part of the
 * arithmetic's name. Then a probe compares rows among different numbers of rows (lt_probe.c); a shape that fails it on any
 * rank is multiplied by the own kernels (product.c) on all, as is one for which nothing is offered, or that nobody tried.
 */
#ifndef FR_DEVICE_CUDA_LT_H
#define FR_DEVICE_CUDA_LT_H

#include "base/digest.h"
#include "device/cuda/lt_library.h"
#include "device/cuda/runtime.h"
#include "device/matrix.h"

enum {
    FR_LT_ROWS = 4096,                      /* at which the library is asked */
    FR_LT_BYTES = FR_SCRATCH_CUDA_PRODUCTS, /* of the device, for operands and probes */
    FR_LT_GRAIN = 8,      /* widths are multiples of it, so that rows are aligned: */
    FR_LT_ALIGNMENT = 16, /* bytes, of operands */
    FR_LT_MOST_BLOCK = 32768, /* rows of a matrix that are multiplied at a time */
    FR_LT_LEAST_PROBE = 65,   /* rows that a probe has at least */
};

/** What an algorithm is pinned for. `in` is the type of both operands, `out` that of the library's result (fr_lt_out). */
typedef fr_product_shape fr_lt_shape;

typedef struct fr_lt_pin {
    struct fr_lt_pin *next;
    fr_lt_shape shape;
    bool
        is_used; /* an algorithm was found, it passed the probe, here and on all ranks */
    fr_lt_algorithm algorithm;
    fr_lt_operation operation;
    fr_lt_layout
        weights; /* A; the left operand is B, the result C and D: row by row seen as column by column */
    fr_lt_layout left;
    fr_lt_layout out;
    int64_t m; /* what the layouts say, and the algorithm was checked for; 0: nothing */
    int64_t columns;
    int64_t depth;
    int64_t left_stride;
    int64_t out_stride;
} fr_lt_pin;

typedef struct fr_lt {
    fr_lt_library library;
    fr_lt_handle handle;
    fr_lt_preference preference;
    fr_lt_pin *pins;
    char *
        memory; /* [FR_LT_BYTES] of the device: left operands in another type, or a probe's */
} fr_lt;

/**
 * Use cuBLASLt if it can be opened, and say so in the arithmetic's name. What keeps it from being used is no error: the log
 * has it, and cuda->lt is NULL. After fr_cuda_memory_open.
 * @return FR_OK; FR_ERR_NO_MEMORY; FR_ERR_DEVICE (the device failed)
 */
FR_MUST_CHECK fr_status fr_cuda_lt_open(fr_cuda *cuda);
/** Before fr_cuda_memory_close; the device's work is done. Accepts a device without it. */
void fr_cuda_lt_close(fr_cuda *cuda);

/** Bytes of a GPU that products by cuBLASLt would take: 0 where it cannot be opened. */
int64_t fr_cuda_lt_bytes(fr_ctx *ctx);

/** Rows of a matrix that are multiplied at a time, a multiple of FR_LT_GRAIN; 0: such a matrix is not for cuBLASLt. */
int64_t fr_lt_block(const fr_lt_shape *shape);

/** The type of the library's results for such a product: f32 where sums of several blocks add up. */
fr_dtype fr_lt_out(const fr_lt_shape *shape);

/** Bytes of the first block of a matrix. */
int64_t fr_lt_block_bytes(const fr_lt_shape *shape);

/** @return the pin of a shape that was tried; NULL: none was */
fr_lt_pin *fr_lt_find(const fr_lt *lt, const fr_lt_shape *shape);

/**
 * The pin of a shape that is new: made, and probed, which waits for the device.
 * @param weights  memory of the device for the first block of a matrix, of which the probe makes one
 * @param[out] out  lives as long as cuda->lt
 * @return FR_OK; FR_ERR_NO_MEMORY (of the host); FR_ERR_DEVICE
 */
FR_MUST_CHECK fr_status fr_lt_try(fr_cuda *cuda, const fr_lt_shape *shape,
                                  void *weights, fr_lt_pin **out);

/** A shape that nobody tried is for the own kernels, from its first product on, which is told. FR_ERR_NO_MEMORY. */
FR_MUST_CHECK fr_status fr_lt_leave(fr_cuda *cuda, const fr_lt_shape *shape);

/** What is multiplied; strides count numbers. Addresses are multiples of FR_LT_ALIGNMENT. */
typedef struct fr_lt_product {
    const void *left; /* [m, depth] */
    int64_t left_stride;
    const void *weights; /* forward [columns, depth], back [depth, columns], dense */
    const void *add;     /* [m, columns] like out, which it may be; NULL: nothing */
    void *out;           /* [m, columns] */
    int64_t out_stride;
    int64_t m;
    int64_t columns;
    int64_t depth;
} fr_lt_product;

/** out = add + left weights by the pinned algorithm, in the stream's order: sums in f32, to which `add` is added before the result
 * is rounded, once. What fails becomes the device's failure. */
void fr_lt_multiply(fr_cuda *cuda, fr_lt_pin *pin, const fr_lt_product *product);

/* ---- its parts ------------------------------------------------------------------------------------- */

/** A pin with what describes its product; pin->operation == NULL: nothing is offered that will do. Errors as fr_lt_try; the
 * pin is given back by fr_lt_pin_destroy in any case. */
FR_MUST_CHECK fr_status fr_lt_choose(fr_cuda *cuda, fr_lt *lt, const fr_lt_shape *shape,
                                     fr_lt_pin **out);
void fr_lt_pin_destroy(const fr_lt *lt, fr_lt_pin **pin);

/** Hex digits of what would be chosen for a list of shapes. Errors as fr_lt_try. */
enum { FR_LT_DIGITS = 9 };
FR_MUST_CHECK fr_status fr_lt_digest(fr_cuda *cuda, fr_lt *lt, char out[FR_LT_DIGITS]);
/** The end of a digest, to which nothing can be added any more, in as many digits. FR_ERR_NO_MEMORY. */
FR_MUST_CHECK fr_status fr_lt_digits(fr_cuda *cuda, fr_digest *digest,
                                     char out[FR_LT_DIGITS]);

/** Have the layouts say such a product; its pointers are not looked at. */
fr_lt_result fr_lt_describe(const fr_lt *lt, fr_lt_pin *pin,
                            const fr_lt_product *product);

/** The same, and whether the pinned algorithm takes it. @param[out] result  what the library says */
bool fr_lt_takes(const fr_lt *lt, fr_lt_pin *pin, const fr_lt_product *product,
                 fr_lt_result *result);

/** Whether rows have the same bits among other numbers of rows and at other places; a shape that fails is told of. Waits for the
 * device. Errors, and `weights`, as fr_lt_try. */
FR_MUST_CHECK fr_status fr_lt_probe(fr_cuda *cuda, fr_lt_pin *pin, void *weights,
                                    bool *passes);

enum { FR_LT_SHAPE_TEXT = 96 };

/** "a matrix of 64 x 128, forward, bf16 to f32" */
void fr_lt_shape_text(const fr_lt_shape *shape, char out[FR_LT_SHAPE_TEXT]);

/** A call that returned something else than success: the device's failure. @return its status */
fr_status fr_lt_failed(fr_cuda *cuda, fr_lt_result result, const char *call);

#endif
