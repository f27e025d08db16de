/* Sizes of the kernels of attention, from their headers. */
#include "device/cuda/attention_size.h"

#include <assert.h>

/* Of a head size: rows of a tile forward and backward, bytes of shared memory of each pass, blocks of a tile of keys. */
typedef struct tensor_size {
    int64_t head_dim;
    int64_t rows;
    int64_t rows_back;
    int64_t shared[FR_ATTEND_KEY_BACK + 1];
    int64_t parts;
} tensor_size;

#define BACK_SHARED(dim)                                                               \
    FR_ATTEND_TENSOR_SHARED(dim, 2, FR_ATTEND_TENSOR_ROWS_BACK(dim),                   \
                            FR_ATTEND_TENSOR_STEP_BACK(dim))
#define TENSOR_SIZE(dim)                                                               \
    {                                                                                  \
        (dim), FR_ATTEND_TENSOR_ROWS(dim), FR_ATTEND_TENSOR_ROWS_BACK(dim),            \
            {FR_ATTEND_TENSOR_SHARED(dim, 1, FR_ATTEND_TENSOR_ROWS(dim),               \
                                     FR_ATTEND_TENSOR_STEP(dim)) +                     \
                 FR_ATTEND_TENSOR_ROWS(dim) * (int)sizeof(fr_attend_row),              \
             BACK_SHARED(dim),                                                         \
             BACK_SHARED(dim) +                                                        \
                 FR_ATTEND_TENSOR_SHARED_FACTS(FR_ATTEND_TENSOR_STEP_BACK(dim))},      \
            (dim) / FR_ATTEND_TENSOR_PART(dim)                                         \
    }
static const tensor_size TENSOR_SIZES[] = {TENSOR_SIZE(64), TENSOR_SIZE(96),
                                           TENSOR_SIZE(128), TENSOR_SIZE(256)};
enum { N_TENSOR_SIZES = sizeof TENSOR_SIZES / sizeof *TENSOR_SIZES };

fr_attend_size fr_attend_size_of(int64_t head_dim, fr_dtype dtype, bool back)
{
    fr_attend_size size = {
        .head_dim = head_dim,
        .type = dtype == FR_BF16 ? 1U : 0U,
    };
    assert(head_dim <= FR_ATTEND_DIM);
    for (unsigned i = 0; i < N_TENSOR_SIZES && dtype == FR_BF16; i++) {
        const tensor_size *of = TENSOR_SIZES + i;
        if (of->head_dim == head_dim) {
            size.on_tensor_cores = true;
            size.kernel = i;
            size.rows = back ? of->rows_back : of->rows;
            return size;
        }
    }
    int64_t chunks = 1;
    while (chunks * FR_ATTEND_CHUNK < head_dim) {
        chunks *= 2;
        size.kernel++;
    }
    size.rows = back ? FR_ATTEND_ROWS_BACK(chunks) : FR_ATTEND_ROWS(chunks);
    return size;
}

static fr_cuda_start tensor_start(const fr_attend_size *size, fr_attend_pass pass,
                                  int64_t n_tiles)
{
    static const fr_cuda_kernel FIRST[] = {FR_KERNEL_attend_tensor_64,
                                           FR_KERNEL_attend_tensor_query_back_64,
                                           FR_KERNEL_attend_tensor_key_back_64};
    const tensor_size *of = TENSOR_SIZES + size->kernel;
    return (fr_cuda_start){.kernel = FIRST[pass] + size->kernel,
                           .blocks = pass == FR_ATTEND_KEY_BACK ? n_tiles * of->parts
                                                                : n_tiles,
                           .shared = of->shared[pass]};
}

/* Shared memory has one or two matrices of own rows, a chunk of what passes by, one or two tiles of weights, and four numbers
 * a row. */
static fr_cuda_start plain_start(const fr_attend_size *size, fr_attend_pass pass,
                                 int64_t n_tiles)
{
    static const fr_cuda_kernel FIRST[] = {FR_KERNEL_attend_64_0,
                                           FR_KERNEL_attend_query_back_64_0,
                                           FR_KERNEL_attend_key_back_64_0};
    int64_t matrices = pass == FR_ATTEND_FORWARD ? 1 : 2;
    int64_t weights = pass == FR_ATTEND_KEY_BACK ? 2 : 1;
    int64_t numbers =
        matrices * size->rows * FR_ATTEND_ROW_LD((int64_t)1 << size->kernel) +
        FR_ATTEND_STEP * FR_ATTEND_CHUNK_LD + weights * size->rows * FR_ATTEND_STEP_LD +
        4 * size->rows;
    return (fr_cuda_start){.kernel = FIRST[pass] + 2 * size->kernel + size->type,
                           .blocks = n_tiles,
                           .shared = numbers * (int64_t)sizeof(float)};
}

fr_cuda_start fr_attend_start(const fr_attend_size *size, fr_attend_pass pass,
                              int64_t n_tiles, int64_t n_kv_heads)
{
    fr_cuda_start start = size->on_tensor_cores ? tensor_start(size, pass, n_tiles)
                                                : plain_start(size, pass, n_tiles);
    start.blocks_y = n_kv_heads;
    start.threads = FR_ATTEND_THREADS;
    return start;
}

bool fr_attend_is_wide(const fr_attend_size *size, const void *at, size_t number,
                       int64_t stride)
{
    size_t bytes = size->on_tensor_cores ? 16 : 4 * number;
    return (uintptr_t)at % bytes == 0 && (size_t)stride * number % bytes == 0;
}
