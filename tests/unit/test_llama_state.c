#include "device/quant_values.h"
#include "model/families/families.h"
#include "support/checkpoints.h"
#include "support/tiny_tokenizer.h"
#include "train/exchange/llama_state.h"
#include "train/exchange/llama_tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = FR_FIXTURE_SLOTS, LAYERS = FR_FIXTURE_LAYERS, HEADS = 2, WIDTH = 4 };
enum { ROW = HEADS * WIDTH, LAYER = SLOTS * ROW };

static const int32_t IDS[] = {7, 9, 9, 11};

/* A prefix of the fixture, and a file of it. */
static fr_checkpoint *checkpoint;
static fr_checkpoint_task *task;
static fr_arch arch;
static fr_llama_state state;
static uint8_t *image;
static size_t bytes;

static void make_state(const fr_family *family)
{
    checkpoint = fr_fixture_checkpoint(1, false, 3);
    task = &checkpoint->tasks[0];
    arch = fr_arch_plain();
    arch.n_layers = LAYERS;
    arch.context_length = 64;
    for (int64_t i = 0; i < (int64_t)LAYERS * LAYER; i++) {
        task->state.k[i] = (float)(i + 1) / 3.0F;
        task->state.v[i] = -(float)(i + 1) / 7.0F;
    }
    state = (fr_llama_state){.name = "p.h5",
                             .task = task,
                             .arch = &arch,
                             .family = family,
                             .flash_attention = true,
                             .tokens = IDS,
                             .n_tokens = SLOTS};
}

static void make_image(void)
{
    FR_ASSERT_OK(fr_llama_state_check(fr_test_ctx(), &state));
    FR_ASSERT_OK(fr_llama_state_image(fr_test_ctx(), &state, &image, &bytes));
}

static void drop(void)
{
    free(image);
    image = NULL;
    fr_checkpoint_destroy(&checkpoint);
}

/* ---- a reader of its own ------------------------------------------------------------------------ */

static size_t at;

static uint64_t take(size_t n)
{
    uint64_t value = 0;
    CU_ASSERT_FATAL(at + n <= bytes);
    for (size_t i = n; i > 0; i--) {
        value = value << 8 | image[at + i - 1];
    }
    at += n;
    return value;
}

static float take_number(void)
{
    if (state.f16) {
        return fr_half_value((uint16_t)take(2));
    }
    uint32_t bits = (uint32_t)take(4);
    float value = 0.0F;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void expect(size_t n, uint64_t wanted)
{
    CU_ASSERT_EQUAL(take(n), wanted);
}

/* Within the rounding of a half where numbers are halves. */
static void expect_number(float wanted)
{
    float tolerance = state.f16 ? fabsf(wanted) / 2048.0F : 0.0F;
    CU_ASSERT(fabsf(take_number() - wanted) <= tolerance);
}

static void expect_head(uint32_t magic, uint32_t version, int64_t n_tokens)
{
    at = 0;
    expect(4, magic);
    expect(4, version);
    expect(4, (uint64_t)n_tokens);
    for (int64_t i = 0; i < n_tokens; i++) {
        expect(4, (uint64_t)IDS[i]);
    }
}

/* A cache of the layers [from, to) that holds the slots from `first` on. `order`: of a stored head's elements. */
static void expect_cache(int64_t from, int64_t to, int64_t first, const int *order)
{
    uint64_t number = state.f16 ? 2 : 4;
    expect(4, 1);
    expect(4, (uint64_t)(SLOTS - first));
    for (int64_t slot = first; slot < SLOTS; slot++) {
        expect(4, (uint64_t)slot);
        expect(4, 1);
        expect(4, 0);
    }
    expect(4, state.flash_attention ? 0 : 1);
    expect(4, (uint64_t)(to - from));
    for (int64_t layer = from; layer < to; layer++) {
        expect(4, state.f16 ? 1 : 0);
        expect(8, ROW * number);
        for (int64_t i = first * ROW; i < LAYER; i++) {
            expect_number(
                task->state.k[layer * LAYER + i / WIDTH * WIDTH + order[i % WIDTH]]);
        }
    }
    for (int64_t layer = from; layer < to; layer++) {
        const float *v = task->state.v + layer * LAYER;
        expect(4, state.f16 ? 1 : 0);
        expect(state.flash_attention ? 8 : 4,
               state.flash_attention ? ROW * number : number);
        if (!state.flash_attention) {
            expect(4, ROW);
        }
        int64_t n = (SLOTS - first) * ROW;
        for (int64_t i = 0; i < n; i++) {
            int64_t slot = state.flash_attention ? i / ROW : i % (SLOTS - first);
            int64_t element = state.flash_attention ? i % ROW : i / (SLOTS - first);
            expect_number(v[(first + slot) * ROW + element]);
        }
    }
}

static const int PAIRS[] = {0, 2, 1, 3};
static const int HALVES[] = {0, 1, 2, 3};

/* ---- cases -------------------------------------------------------------------------------------- */

static void a_llamas_keys_have_pairs_adjacent(void)
{
    make_state(&FR_FAMILY_LLAMA);
    make_image();
    expect_head(0x67677371, 3, SLOTS);
    expect_cache(0, LAYERS, 0, PAIRS);
    CU_ASSERT_EQUAL(at, bytes);
    drop();
}

static void other_families_keep_halves(void)
{
    make_state(&FR_FAMILY_QWEN3);
    make_image();
    expect_head(0x67677371, 3, SLOTS);
    expect_cache(0, LAYERS, 0, HALVES);
    CU_ASSERT_EQUAL(at, bytes);
    drop();
}

static void values_are_transposed_without_flash_attention(void)
{
    for (int f16 = 0; f16 < 2; f16++) {
        make_state(&FR_FAMILY_LLAMA);
        state.flash_attention = false;
        state.f16 = f16 == 1;
        make_image();
        expect_head(0x67677371, 3, SLOTS);
        expect_cache(0, LAYERS, 0, PAIRS);
        CU_ASSERT_EQUAL(at, bytes);
        drop();
    }
}

static void a_session_names_the_architecture(void)
{
    make_state(&FR_FAMILY_GPT_NEOX);
    state.session = true;
    state.f16 = true;
    state.n_tokens = SLOTS + 1;
    make_image();
    expect_head(0x6767736e, 10, SLOTS + 1);
    expect(4, 7);
    CU_ASSERT(memcmp(image + at, "gptneox", 7) == 0);
    at += 7;
    expect_cache(0, LAYERS, 0, HALVES);
    CU_ASSERT_EQUAL(at, bytes);
    drop();
}

static void set_window(int64_t window)
{
    arch.window = window;
    arch.layers[1] = FR_LAYER_WINDOW;
    task->slides = true;
}

static void layers_with_a_window_have_a_cache_of_their_own(void)
{
    make_state(&FR_FAMILY_GEMMA2);
    set_window(2);
    make_image();
    expect_head(0x67677371, 3, SLOTS);
    expect_cache(0, 1, 0, HALVES);
    expect_cache(1, 2, 1, HALVES);
    CU_ASSERT_EQUAL(at, bytes);
    drop();
    make_state(&FR_FAMILY_GEMMA2);
    set_window(SLOTS);
    make_image();
    expect_head(0x67677371, 3, SLOTS);
    expect_cache(0, 1, 0, HALVES);
    expect_cache(1, 2, 0, HALVES);
    CU_ASSERT_EQUAL(at, bytes);
    drop();
}

static void families_whose_window_llama_cpp_leaves_out_have_one_cache(void)
{
    make_state(&FR_FAMILY_PHI3);
    set_window(2);
    make_image();
    expect_head(0x67677371, 3, SLOTS);
    expect_cache(0, LAYERS, 0, HALVES);
    CU_ASSERT_EQUAL(at, bytes);
    drop();
}

static void halves_are_the_nearest_and_of_two_the_even_one(void)
{
    static const struct {
        float value;
        float half;
    } ROUNDED[] = {
        {1.0F, 1.0F},
        {1.0F + 0x1p-11F, 1.0F},
        {1.0F + 0x1.8p-11F, 1.0F + 0x1p-10F},
        {1.0F + 0x3p-11F, 1.0F + 0x1p-9F},
        {-0x1.fffp0F, -2.0F},
        {65504.0F, 65504.0F},
        {65519.996F, 65504.0F},
        {-65519.996F, -65504.0F},
        {0x1p-14F, 0x1p-14F},
        {0x1.ffap-15F, 0x1.ff8p-15F},
        {0x1.ffcp-15F, 0x1p-14F},
        {0x1.fffp-15F, 0x1p-14F},
        {0x1p-24F, 0x1p-24F},
        {0x1p-25F, 0.0F},
        {0x1.8p-24F, 0x1p-23F},
        {0x1.000002p-25F, 0x1p-24F},
        {-0x1p-30F, -0.0F},
        {0.0F, 0.0F},
    };
    enum { N = sizeof ROUNDED / sizeof ROUNDED[0] };
    make_state(&FR_FAMILY_QWEN3);
    state.f16 = true;
    for (int i = 0; i < N; i++) {
        task->state.k[i] = ROUNDED[i].value;
    }
    make_image();
    at = 4 * (3 + SLOTS) + 4 * (2 + 3 * SLOTS) + 8 + 12;
    for (int i = 0; i < N; i++) {
        float half = take_number();
        CU_ASSERT_EQUAL(half, ROUNDED[i].half);
        CU_ASSERT_EQUAL(signbit(half) != 0, signbit(ROUNDED[i].half) != 0);
    }
    drop();
}

static void numbers_beyond_halves_are_named(void)
{
    make_state(&FR_FAMILY_LLAMA);
    state.f16 = true;
    task->state.v[LAYER + 2 * ROW + 5] = -65520.0F;
    FR_ASSERT_FAILS(fr_llama_state_check(fr_test_ctx(), &state), FR_ERR_NUMERIC,
                    "p.h5: value number 5 of slot 2 in layer 1 is -65520");
    task->state.k[ROW] = 1e30F;
    FR_ASSERT_FAILS(fr_llama_state_check(fr_test_ctx(), &state), FR_ERR_NUMERIC,
                    "key number 0 of slot 1 in layer 0 is 1e+30");
    state.f16 = false;
    make_image();
    expect_head(0x67677371, 3, SLOTS);
    expect_cache(0, LAYERS, 0, PAIRS);
    drop();
}

static void what_llama_cpp_cannot_hold_is_refused(void)
{
    make_state(&FR_FAMILY_LLAMA);
    arch.n_layers = LAYERS + 1;
    FR_ASSERT_FAILS(fr_llama_state_check(fr_test_ctx(), &state), FR_ERR_UNSUPPORTED,
                    "stands on layers 0 to 1, and the base has 3");
    drop();
    make_state(&FR_FAMILY_OPT);
    FR_ASSERT_FAILS(fr_llama_state_check(fr_test_ctx(), &state), FR_ERR_UNSUPPORTED,
                    "no form for models of the family");
    drop();
    make_state(&FR_FAMILY_GEMMA2);
    set_window(8);
    task->slides = false;
    FR_ASSERT_FAILS(fr_llama_state_check(fr_test_ctx(), &state), FR_ERR_UNSUPPORTED,
                    "hides slots that are 8 or more positions back");
    task->slides = true;
    FR_ASSERT_OK(fr_llama_state_check(fr_test_ctx(), &state));
    arch.window = 0;
    FR_ASSERT_FAILS(fr_llama_state_check(fr_test_ctx(), &state), FR_ERR_UNSUPPORTED,
                    "has no window below its context of 64 positions");
    drop();
}

static void the_marker_is_a_special_token_that_ends_nothing(void)
{
    json_t *json = fr_tiny_json();
    fr_tokens tokens = {.tokenizer = fr_tiny_tokenizer(json, NULL), .ends = FR_NO_ENDS};
    fr_llama_tokens base = {&tokens, FR_TINY_VOCABULARY, -1};
    int32_t ids[SLOTS];
    int32_t marker = -1;
    FR_ASSERT_OK(fr_llama_tokens_fill(fr_test_ctx(), &base, ids, SLOTS, &marker));
    CU_ASSERT_EQUAL(marker, FR_TINY_IM_END);
    CU_ASSERT(ids[0] == marker && ids[1] == marker && ids[2] == marker);
    tokens.ends.stop[0] = FR_TINY_IM_END;
    tokens.ends.n_stop = 1;
    FR_ASSERT_OK(fr_llama_tokens_fill(fr_test_ctx(), &base, ids, SLOTS, &marker));
    CU_ASSERT_EQUAL(marker, FR_TINY_IM_START);
    base.vocab_size = FR_TINY_END;
    FR_ASSERT_FAILS(fr_llama_tokens_fill(fr_test_ctx(), &base, ids, SLOTS, &marker),
                    FR_ERR_UNSUPPORTED, "no special token besides");
    base.marker = FR_TINY_END;
    FR_ASSERT_FAILS(fr_llama_tokens_fill(fr_test_ctx(), &base, ids, SLOTS, &marker),
                    FR_ERR_DATA, "--marker");
    base.marker = 5;
    FR_ASSERT_OK(fr_llama_tokens_fill(fr_test_ctx(), &base, ids, SLOTS, &marker));
    CU_ASSERT(marker == 5 && ids[2] == 5);
    fr_tokenizer_close(&tokens.tokenizer);
    json_decref(json);
}

static void a_bos_in_front_of_every_prompt_comes_first(void)
{
    static const char CONFIG[] =
        "{\"bos_token\": \"<|endoftext|>\", \"add_bos_token\": true}";
    json_t *json = fr_tiny_json();
    fr_tokens tokens = {.tokenizer = fr_tiny_tokenizer(json, CONFIG),
                        .ends = FR_NO_ENDS};
    fr_llama_tokens base = {&tokens, FR_TINY_VOCABULARY, -1};
    int32_t ids[SLOTS];
    int32_t marker = -1;
    FR_ASSERT_OK(fr_llama_tokens_fill(fr_test_ctx(), &base, ids, SLOTS, &marker));
    CU_ASSERT_EQUAL(ids[0], FR_TINY_END);
    CU_ASSERT(marker == FR_TINY_IM_END && ids[1] == marker && ids[2] == marker);
    base.vocab_size = FR_TINY_END + 1; /* only the BOS is left */
    FR_ASSERT_OK(fr_llama_tokens_fill(fr_test_ctx(), &base, ids, SLOTS, &marker));
    CU_ASSERT(marker == FR_TINY_END && ids[2] == FR_TINY_END);
    fr_tokenizer_close(&tokens.tokenizer);
    char none[] = "the model has none";
    tokens.no_tokenizer = none;
    FR_ASSERT_FAILS(fr_llama_tokens_fill(fr_test_ctx(), &base, ids, SLOTS, &marker),
                    FR_ERR_UNSUPPORTED,
                    "the model has none; or name one with --marker");
    json_decref(json);
}

static const fr_case CASES[] = {
    FR_CASE(a_llamas_keys_have_pairs_adjacent),
    FR_CASE(other_families_keep_halves),
    FR_CASE(values_are_transposed_without_flash_attention),
    FR_CASE(a_session_names_the_architecture),
    FR_CASE(layers_with_a_window_have_a_cache_of_their_own),
    FR_CASE(families_whose_window_llama_cpp_leaves_out_have_one_cache),
    FR_CASE(halves_are_the_nearest_and_of_two_the_even_one),
    FR_CASE(numbers_beyond_halves_are_named),
    FR_CASE(what_llama_cpp_cannot_hold_is_refused),
    FR_CASE(the_marker_is_a_special_token_that_ends_nothing),
    FR_CASE(a_bos_in_front_of_every_prompt_comes_first),
};

int main(int argc, char **argv)
{
    return fr_suite_main("llama_state", CASES, FR_N_CASES(CASES), argc, argv);
}
