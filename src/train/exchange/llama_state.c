/* State files of llama.cpp. One walk over the content is made twice: first it counts bytes, then it writes them. */
#include "train/exchange/llama_state.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { TYPE_F32 = 0, TYPE_F16 = 1 };

/* Which layers a cache holds. */
typedef enum layer_kind { ALL_LAYERS, WITHOUT_WINDOW, WITH_WINDOW } layer_kind;

/* `data` NULL: bytes are counted alone. */
typedef struct sink {
    uint8_t *data;
    size_t bytes;
} sink;

static void put(sink *s, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes && s->data != NULL; i++) {
        s->data[s->bytes + i] = (uint8_t)(value >> 8 * i);
    }
    s->bytes += bytes;
}

static void put_u32(sink *s, int64_t value)
{
    put(s, (uint64_t)value, 4);
}

/* ---- numbers ----------------------------------------------------------------------------------- */

/* A half has 10 bits of fraction behind 13 that a float has more. What lies halfway to the next power of two beyond
 * 65504 would become infinite. */
static bool fits_half(float value)
{
    return fabsf(value) < 65520.0F;
}

/* The half nearest to a number that fits; of two the even one. The sum with 0.5 rounds a number below 2^-14 to a multiple of
 * 2^-24, as subnormal halves are. */
static uint16_t half_of(float value)
{
    const uint32_t half = 0x3f000000U; /* 0.5 */
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000U;
    uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude < 113U << 23) {
        float sum = fabsf(value) + 0.5F;
        memcpy(&bits, &sum, sizeof bits);
        return (uint16_t)(sign | (bits - half));
    }
    uint32_t rounded = magnitude + 0xfffU + (magnitude >> 13 & 1U);
    return (uint16_t)(sign | (rounded - (112U << 23)) >> 13);
}

static void put_number(sink *s, bool f16, float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    put(s, f16 ? half_of(value) : bits, f16 ? 2 : 4);
}

/* ---- checks ------------------------------------------------------------------------------------- */

static fr_status check_layers(fr_ctx *ctx, const fr_llama_state *state)
{
    const fr_checkpoint_task *task = state->task;
    if (task->n_layers == state->arch->n_layers) {
        return FR_OK;
    }
    return FR_FAIL(
        ctx, FR_ERR_UNSUPPORTED,
        "%s: the prefix stands on layers %lld to %lld, and the base has %lld; "
        "llama.cpp has the same positions in all layers, so export a prefix "
        "that was trained on all of them",
        state->name, (long long)task->first_layer,
        (long long)(task->first_layer + task->n_layers - 1),
        (long long)state->arch->n_layers);
}

/* Readers drop a window that is as long as the context. llama.cpp has its second cache all the same, and which layers are in it is
 * no longer known. */
static fr_status check_window(fr_ctx *ctx, const fr_llama_state *state)
{
    const fr_arch *arch = state->arch;
    if (!state->family->window_cache) {
        return FR_OK;
    }
    if (arch->window == 0) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: the model has no window below its context of %lld "
                       "positions, but llama.cpp keeps layers with a window apart in "
                       "models of the family %s; give a model with a shorter window",
                       state->name, (long long)arch->context_length,
                       state->family->title);
    }
    if (state->task->slides) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                   "%s: every token sees all slots (prefix.window: always), but in "
                   "layers with a window llama.cpp hides slots that are %lld or more "
                   "positions back; train with prefix.window: slides",
                   state->name, (long long)arch->window);
}

static fr_status check_range(fr_ctx *ctx, const fr_llama_state *state,
                             const float *numbers, const char *what)
{
    const fr_checkpoint_task *task = state->task;
    int64_t row = task->n_kv_heads * task->head_dim;
    int64_t layer = task->length * row;
    for (int64_t i = 0; i < task->n_layers * layer; i++) {
        if (!fits_half(numbers[i])) {
            return FR_FAIL(
                ctx, FR_ERR_NUMERIC,
                "%s: %s %lld of slot %lld in layer %lld is %g, but f16 holds "
                "numbers up to 65504; export with --cache-type f32, and "
                "start llama.cpp with -ctk f32 -ctv f32",
                state->name, what, (long long)(i % row), (long long)(i % layer / row),
                (long long)(i / layer), (double)numbers[i]);
        }
    }
    return FR_OK;
}

fr_status fr_llama_state_check(fr_ctx *ctx, const fr_llama_state *state)
{
    if (state->family->gguf == NULL) {
        return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                       "%s: llama.cpp has no form for models of the family %s",
                       state->name, state->family->title);
    }
    FR_TRY(check_layers(ctx, state));
    FR_TRY(check_window(ctx, state));
    if (state->f16) {
        FR_TRY(check_range(ctx, state, state->task->state.k, "key number"));
        FR_TRY(check_range(ctx, state, state->task->state.v, "value number"));
    }
    return FR_OK;
}

/* ---- content ------------------------------------------------------------------------------------ */

static bool is_in(const fr_llama_state *state, layer_kind kind, int64_t layer)
{
    bool has_window = fr_arch_window(state->arch, layer) > 0;
    return kind == ALL_LAYERS || has_window == (kind == WITH_WINDOW);
}

/* Where rows of Q and K have pairs adjacent, element e of a stored head is that of the halves' order: */
static int64_t element_of(const fr_llama_state *state, int64_t e)
{
    int64_t half = state->task->head_dim / 2;
    return state->family->gguf->rope_pairs ? e / 2 + e % 2 * half : e;
}

static void put_keys(sink *s, const fr_llama_state *state, int64_t layer, int64_t first)
{
    const fr_checkpoint_task *task = state->task;
    int64_t heads = task->length * task->n_kv_heads;
    const float *k = task->state.k + layer * heads * task->head_dim;
    for (int64_t h = first * task->n_kv_heads; h < heads; h++) {
        for (int64_t e = 0; e < task->head_dim; e++) {
            put_number(s, state->f16, k[h * task->head_dim + element_of(state, e)]);
        }
    }
}

static void put_values(sink *s, const fr_llama_state *state, int64_t layer,
                       int64_t first)
{
    const fr_checkpoint_task *task = state->task;
    int64_t row = task->n_kv_heads * task->head_dim;
    const float *v = task->state.v + layer * task->length * row;
    if (state->flash_attention) {
        for (int64_t i = first * row; i < task->length * row; i++) {
            put_number(s, state->f16, v[i]);
        }
        return;
    }
    for (int64_t e = 0; e < row; e++) {
        for (int64_t slot = first; slot < task->length; slot++) {
            put_number(s, state->f16, v[slot * row + e]);
        }
    }
}

/* Keys of all layers, then values of all. */
static void put_arrays(sink *s, const fr_llama_state *state, layer_kind kind,
                       int64_t first)
{
    int64_t row = state->task->n_kv_heads * state->task->head_dim;
    int64_t number = state->f16 ? 2 : 4;
    for (int64_t layer = 0; layer < state->arch->n_layers; layer++) {
        if (is_in(state, kind, layer)) {
            put_u32(s, state->f16 ? TYPE_F16 : TYPE_F32);
            put(s, (uint64_t)(row * number), 8);
            put_keys(s, state, layer, first);
        }
    }
    for (int64_t layer = 0; layer < state->arch->n_layers; layer++) {
        if (!is_in(state, kind, layer)) {
            continue;
        }
        put_u32(s, state->f16 ? TYPE_F16 : TYPE_F32);
        if (state->flash_attention) {
            put(s, (uint64_t)(row * number), 8);
        } else {
            put_u32(s, number);
            put_u32(s, row);
        }
        put_values(s, state, layer, first);
    }
}

/* A cache with a window leaves out the slots that are hidden from the last one, as llama.cpp does when it saves: its room is
 * for the window alone. */
static void put_cache(sink *s, const fr_llama_state *state, layer_kind kind)
{
    int64_t length = state->task->length;
    int64_t window = state->arch->window;
    int64_t first = kind == WITH_WINDOW && length > window ? length - window : 0;
    int64_t n_layers = 0;
    put_u32(s, 1);
    put_u32(s, length - first);
    for (int64_t slot = first; slot < length; slot++) {
        put_u32(s, slot);
        put_u32(s, 1);
        put_u32(s, 0);
    }
    for (int64_t layer = 0; layer < state->arch->n_layers; layer++) {
        n_layers += is_in(state, kind, layer);
    }
    put_u32(s, state->flash_attention ? 0 : 1);
    put_u32(s, n_layers);
    put_arrays(s, state, kind, first);
}

static void put_file(sink *s, const fr_llama_state *state)
{
    const char *architecture = state->family->gguf_types[0];
    put_u32(s, state->session ? 0x6767736e : 0x67677371);
    put_u32(s, state->session ? FR_LLAMA_SESSION_VERSION : FR_LLAMA_SEQUENCE_VERSION);
    put_u32(s, state->n_tokens);
    for (int64_t i = 0; i < state->n_tokens; i++) {
        put_u32(s, state->tokens[i]);
    }
    if (state->session) {
        put_u32(s, (int64_t)strlen(architecture));
        for (const char *c = architecture; *c != '\0'; c++) {
            put(s, (uint8_t)*c, 1);
        }
    }
    if (state->family->window_cache) {
        put_cache(s, state, WITHOUT_WINDOW);
        put_cache(s, state, WITH_WINDOW);
    } else {
        put_cache(s, state, ALL_LAYERS);
    }
}

fr_status fr_llama_state_image(fr_ctx *ctx, const fr_llama_state *state,
                               uint8_t **image, size_t *bytes)
{
    sink s = {NULL, 0};
    *image = NULL;
    *bytes = 0;
    put_file(&s, state);
    size_t counted = s.bytes;
    FR_TRY(fr_alloc(ctx, (int64_t)counted, 1, &s.data));
    s.bytes = 0;
    put_file(&s, state);
    *image = s.data;
    *bytes = s.bytes;
    return FR_OK;
}
