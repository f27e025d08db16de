/*
 * Which algorithm of cuBLASLt a shape gets.
 *
 * The library's offers for FR_LT_ROWS rows are gone through in its order, and the first that will do is taken:
 *
 *   - it sums the depth in one piece: one split, no reduction;
 *   - it needs no workspace. That also leaves out what cuts the depth by the number of processors and tiles ("stream-K"): no
 *     attribute names it, but it has to keep unfinished sums somewhere. What should slip through, the probe sees;
 *   - it sums in f32, of operands as they are: bf16, or f32 that is not shortened to TF32;
 *   - its result may lie elsewhere than what is added.
 */
#include "base/integer.h"
#include "base/mem.h"
#include "device/cuda/lt.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_OFFERS = 32 };

/* ---- what describes a product -------------------------------------------------------------------- */

void fr_lt_pin_destroy(const fr_lt *lt, fr_lt_pin **pin)
{
    fr_lt_pin *p = *pin;
    if (p == NULL) {
        return;
    }
    fr_lt_layout layouts[] = {p->weights, p->left, p->out};
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (layouts[i] != NULL) {
            (void)lt->library.layout_destroy(layouts[i]);
        }
    }
    if (p->operation != NULL) {
        (void)lt->library.operation_destroy(p->operation);
    }
    free(p);
    *pin = NULL;
}

static int type_of(fr_dtype dtype)
{
    return dtype == FR_BF16 ? FR_LT_TYPE_BF16 : FR_LT_TYPE_F32;
}

/* Sizes are said later (fr_lt_describe). */
static fr_lt_result make_layout(const fr_lt_library *library, fr_dtype dtype,
                                fr_lt_layout *out)
{
    fr_lt_result result = library->layout_create(out, type_of(dtype), FR_LT_GRAIN,
                                                 FR_LT_GRAIN, FR_LT_GRAIN);
    if (result != FR_LT_SUCCESS) {
        *out = NULL;
    }
    return result;
}

static fr_lt_result make_parts(const fr_lt_library *library, fr_lt_pin *pin,
                               const char **call)
{
    const int32_t transposed = FR_LT_TRANSPOSED;
    *call = "cublasLtMatmulDescCreate";
    fr_lt_result result =
        library->operation_create(&pin->operation, FR_LT_COMPUTE_F32, FR_LT_TYPE_F32);
    if (result != FR_LT_SUCCESS) {
        pin->operation = NULL;
        return result;
    }
    if (!pin->shape.back) {
        *call = "cublasLtMatmulDescSetAttribute";
        result = library->operation_set(pin->operation, FR_LT_OPERATION_TRANSPOSE_A,
                                        &transposed, sizeof transposed);
    }
    fr_dtype types[] = {pin->shape.in, pin->shape.in, pin->shape.out};
    fr_lt_layout *layouts[] = {&pin->weights, &pin->left, &pin->out};
    for (int i = 0; i < 3 && result == FR_LT_SUCCESS; i++) {
        *call = "cublasLtMatrixLayoutCreate";
        result = make_layout(library, types[i], layouts[i]);
    }
    return result;
}

/* ---- the choice ---------------------------------------------------------------------------------- */

/* -1: this version of the library does not know the attribute. */
static int64_t config_of(const fr_lt *lt, const fr_lt_algorithm *algorithm, int which)
{
    uint16_t small = 0;
    uint32_t value = 0;
    bool is_small = which >= FR_LT_CONFIG_INNER_SHAPE;
    size_t written = 0;
    fr_lt_result result =
        is_small ? lt->library.config(algorithm, which, &small, sizeof small, &written)
                 : lt->library.config(algorithm, which, &value, sizeof value, &written);
    if (result != FR_LT_SUCCESS) {
        return -1;
    }
    return is_small ? small : value;
}

static uint64_t numbers_of(const fr_lt *lt, const fr_lt_algorithm *algorithm)
{
    uint64_t flags = 0;
    size_t written = 0;
    fr_lt_result result = lt->library.ability(algorithm, FR_LT_CAN_NUMBERS, &flags,
                                              sizeof flags, &written);
    return result == FR_LT_SUCCESS ? flags : 0;
}

static bool may_be_apart(const fr_lt *lt, const fr_lt_algorithm *algorithm)
{
    int32_t value = 0;
    size_t written = 0;
    return lt->library.ability(algorithm, FR_LT_CAN_BE_APART, &value, sizeof value,
                               &written) == FR_LT_SUCCESS &&
           value != 0;
}

static bool will_do(const fr_lt *lt, const fr_lt_pin *pin, const fr_lt_offer *offer)
{
    const fr_lt_algorithm *algorithm = &offer->algorithm;
    uint64_t numbers = numbers_of(lt, algorithm);
    uint64_t enters = pin->shape.in == FR_BF16 ? FR_LT_ENTERS_BF16 : FR_LT_ENTERS_F32;
    int64_t splits = config_of(lt, algorithm, FR_LT_CONFIG_SPLITS);
    return offer->state == FR_LT_SUCCESS && offer->workspace == 0 &&
           (splits == 0 || splits == 1) &&
           config_of(lt, algorithm, FR_LT_CONFIG_REDUCTION) == 0 &&
           (numbers & FR_LT_SUMS_MASK) == FR_LT_SUMS_F32 &&
           (numbers & FR_LT_ENTERS_MASK) == enters && may_be_apart(lt, algorithm);
}

/* The first block, at the canonical number of rows. */
static fr_lt_product canonical(const fr_lt_shape *shape)
{
    int64_t block = fr_lt_block(shape);
    return (fr_lt_product){.left_stride = shape->back ? shape->n_out : shape->n_in,
                           .out_stride = shape->back ? shape->n_in : shape->n_out,
                           .m = FR_LT_ROWS,
                           .columns = shape->back ? shape->n_in : block,
                           .depth = shape->back ? block : shape->n_in};
}

/* That nothing is offered is an answer, not a failure. */
static fr_lt_result ask(const fr_lt *lt, fr_lt_pin *pin, bool *found)
{
    fr_lt_offer offers[MOST_OFFERS];
    int n = 0;
    fr_lt_result result =
        lt->library.offers(lt->handle, pin->operation, pin->weights, pin->left,
                           pin->out, pin->out, lt->preference, MOST_OFFERS, offers, &n);
    *found = false;
    for (int i = 0; i < n && result == FR_LT_SUCCESS && !*found; i++) {
        if (will_do(lt, pin, &offers[i])) {
            pin->algorithm = offers[i].algorithm;
            *found = true;
        }
    }
    return result == FR_LT_NOT_SUPPORTED || result == FR_LT_INVALID_VALUE
               ? FR_LT_SUCCESS
               : result;
}

fr_status fr_lt_choose(fr_cuda *cuda, fr_lt *lt, const fr_lt_shape *shape,
                       fr_lt_pin **out)
{
    const char *call = NULL;
    bool found = false;
    fr_lt_product product = canonical(shape);
    FR_TRY(fr_alloc(cuda->base.ctx, 1, sizeof **out, out));
    fr_lt_pin *pin = *out;
    pin->shape = *shape;
    if (fr_lt_block(shape) == 0) {
        return FR_OK;
    }
    fr_lt_result result = make_parts(&lt->library, pin, &call);
    if (result == FR_LT_SUCCESS) {
        call = "cublasLtMatrixLayoutSetAttribute";
        result = fr_lt_describe(lt, pin, &product);
    }
    if (result == FR_LT_SUCCESS) {
        call = "cublasLtMatmulAlgoGetHeuristic";
        result = ask(lt, pin, &found);
    }
    if (result != FR_LT_SUCCESS) {
        return fr_lt_failed(cuda, result, call);
    }
    if (!found) {
        (void)lt->library.operation_destroy(pin->operation);
        pin->operation = NULL;
    }
    return FR_OK;
}

/* ---- the digest ------------------------------------------------------------------------------------ */

/* Widths of common models and two that are smaller: enough to show that a library chooses otherwise. */
static const int64_t WIDTHS[][2] = {{64, 128},     {256, 1024},   {2048, 2048},
                                    {4096, 4096},  {6144, 4096},  {28672, 4096},
                                    {4096, 14336}, {8192, 28672}, {128256, 4096}};

/* What is read of an algorithm, not its bytes, of which some may mean nothing. */
static void describe(const fr_lt *lt, const fr_lt_pin *pin, int64_t out[FR_LT_CONFIGS])
{
    for (int i = 0; i < FR_LT_CONFIGS; i++) {
        out[i] = pin->operation != NULL ? config_of(lt, &pin->algorithm, i) : -2;
    }
}

static fr_status add_shape(fr_cuda *cuda, fr_lt *lt, const fr_lt_shape *shape,
                           fr_digest *digest)
{
    int64_t configs[FR_LT_CONFIGS];
    fr_lt_pin *pin = NULL;
    fr_status status = fr_lt_choose(cuda, lt, shape, &pin);
    if (status == FR_OK) {
        describe(lt, pin, configs);
        status = fr_digest_add(cuda->base.ctx, digest, configs, sizeof configs);
    }
    fr_lt_pin_destroy(lt, &pin);
    return status;
}

static fr_status add_shapes(fr_cuda *cuda, fr_lt *lt, fr_digest *digest)
{
    static const fr_dtype TYPES[][2] = {
        {FR_BF16, FR_BF16}, {FR_BF16, FR_F32}, {FR_F32, FR_F32}};
    for (size_t i = 0; i < sizeof WIDTHS / sizeof WIDTHS[0]; i++) {
        for (size_t t = 0; t < sizeof TYPES / sizeof TYPES[0]; t++) {
            for (int back = 0; back < 2; back++) {
                fr_lt_shape shape = {.n_out = WIDTHS[i][0],
                                     .n_in = WIDTHS[i][1],
                                     .back = back == 1,
                                     .in = TYPES[t][0],
                                     .out = TYPES[t][1]};
                FR_TRY(add_shape(cuda, lt, &shape, digest));
            }
        }
    }
    return FR_OK;
}

fr_status fr_lt_digits(fr_cuda *cuda, fr_digest *digest, char out[FR_LT_DIGITS])
{
    uint8_t bytes[FR_DIGEST_BYTES];
    char hex[FR_DIGEST_HEX];
    FR_TRY(fr_digest_end(cuda->base.ctx, digest, bytes));
    fr_digest_hex(bytes, hex);
    memcpy(out, hex, FR_LT_DIGITS - 1);
    out[FR_LT_DIGITS - 1] = '\0';
    return FR_OK;
}

fr_status fr_lt_digest(fr_cuda *cuda, fr_lt *lt, char out[FR_LT_DIGITS])
{
    fr_digest *digest = NULL;
    FR_TRY(fr_digest_create(cuda->base.ctx, &digest));
    fr_status status = add_shapes(cuda, lt, digest);
    if (status == FR_OK) {
        status = fr_lt_digits(cuda, digest, out);
    }
    fr_digest_destroy(&digest);
    return status;
}
