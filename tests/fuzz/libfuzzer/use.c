#include "fuzz/libfuzzer/use.h"

#include "device/cpu/cpu.h"
#include "device/cpu/quant_kernels.h"
#include "device/host.h"
#include "device/matrix.h"
#include "fuzz/libfuzzer/fuzz.h"
#include "model/text/dialogue.h"
#include "model/text/tokens.h"
#include "model/weights/identity.h"
#include "support/mutate.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>
#include <string.h>

static void *memory(size_t bytes)
{
    void *pointer = malloc(bytes);
    fuzz_check(pointer != NULL, "memory for what was read");
    return pointer;
}

static void read_weight(fr_ctx *ctx, const fr_weights *weights, fr_weight role,
                        int64_t layer)
{
    int64_t n_out = 0;
    int64_t n_in = 0;
    fr_weights_shape(weights, role, layer, &n_out, &n_in);
    for (int k = 0; k < 2; k++) {
        fr_dtype dtype = k == 0 ? FR_F32 : FR_BF16;
        void *out = memory((size_t)(n_out * n_in) * fr_dtype_bytes(dtype));
        fuzz_check(
            fuzz_answer(ctx, fr_weights_read(ctx, weights, role, layer, dtype, out)),
            "a weight of an opened model can be read");
        free(out);
    }
}

static void read_all(fr_ctx *ctx, const fr_weights *weights)
{
    uint8_t digest[FR_DIGEST_BYTES];
    const fr_arch *arch = fr_weights_arch(weights);
    for (int64_t layer = 0; layer < arch->n_layers; layer++) {
        for (int role = layer == 0 ? 0 : FR_W_HEAD + 1; role < FR_W_COUNT; role++) {
            if (fr_weights_has(weights, (fr_weight)role, layer)) {
                read_weight(ctx, weights, (fr_weight)role, layer);
            }
        }
        fuzz_check(fuzz_answer(ctx, fr_weights_digest(ctx, weights, layer, digest)),
                   "a layer of an opened model has a digest");
    }
}

static void multiply(fr_ctx *ctx, const fr_matrix *matrix)
{
    fr_device *device = NULL;
    float *x = memory((size_t)matrix->n_in * sizeof *x);
    float *y = memory((size_t)matrix->n_out * sizeof *y);
    memset(x, 0, (size_t)matrix->n_in * sizeof *x);
    fuzz_check(fuzz_answer(ctx, fr_cpu_create(ctx, 1, fr_isa_detect(), &device)),
               "a device");
    fuzz_check(fuzz_answer(ctx, fr_linear_few(device, 1, fr_host_view(x), matrix,
                                              fr_view_none(), fr_host_view(y))),
               "a matrix in the file can be multiplied");
    fr_device_destroy(&device);
    free(x);
    free(y);
}

/* A stack whose rows stay in the file: read and multiplied as products do it. */
static void use_stack(fr_ctx *ctx, const fr_weights *weights, const fr_stack *stack,
                      int64_t layer, fr_dtype dtype)
{
    const fr_holding holding = {weights, dtype, true};
    for (int i = 0; i < stack->n_roles; i++) {
        if (!fr_weights_has(weights, stack->roles[i], layer)) {
            return;
        }
    }
    if (!fr_weights_stay(&holding, stack, layer)) {
        return;
    }
    fr_matrix matrix = fr_weights_leave(&holding, stack, layer);
    void *rows = memory((size_t)(matrix.n_out * matrix.n_in) * fr_dtype_bytes(dtype));
    fr_matrix_read(fr_quant_kernels_select(fr_isa_detect()), &matrix, 0, matrix.n_out,
                   rows);
    free(rows);
    multiply(ctx, &matrix);
}

static void use_stacks(fr_ctx *ctx, const fr_weights *weights)
{
    const fr_stack *const stacks[] = {&FR_STACK_QKV, &FR_STACK_O,    &FR_STACK_GATE_UP,
                                      &FR_STACK_UP,  &FR_STACK_DOWN, &FR_STACK_TOKENS};
    const int64_t n_layers = fr_weights_arch(weights)->n_layers;
    for (size_t i = 0; i < sizeof stacks / sizeof stacks[0]; i++) {
        for (int64_t layer = 0; layer < n_layers; layer++) {
            use_stack(ctx, weights, stacks[i], layer, FR_F32);
            use_stack(ctx, weights, stacks[i], layer, FR_BF16);
        }
    }
}

static void describe_all(fr_ctx *ctx, const fr_weights *weights)
{
    char line[512];
    char *shape = NULL;
    uint64_t sum = 1;
    for (int64_t i = 0; i < fr_weights_n_tensors(weights); i++) {
        if (fuzz_answer(ctx, fr_weights_describe(ctx, weights, i, line, sizeof line))) {
            sum += strlen(line);
        }
    }
    if (fuzz_answer(ctx, fr_identity_shape(ctx, weights, NULL, &shape))) {
        sum += strlen(shape);
    }
    free(shape);
    fuzz_check(sum > 0, "a sum");
}

bool fuzz_use_model(fr_ctx *ctx, const char *path)
{
    fr_weights *weights = NULL;
    fr_arch arch;
    bool has_arch = fuzz_answer(ctx, fr_arch_read(ctx, path, &arch));
    bool accepted = fuzz_answer(ctx, fr_weights_open(ctx, path, &weights));
    fuzz_check(has_arch || !accepted, "a model that opens tells what it is");
    if (accepted) {
        read_all(ctx, weights);
        use_stacks(ctx, weights);
        describe_all(ctx, weights);
    }
    fr_weights_close(&weights);
    return accepted;
}

/* `same`: decoding gives the bytes again, as it does without normalizers and without marks for spaces. */
static void use_text(fr_ctx *ctx, const fr_tokenizer *tokenizer, const char *text,
                     size_t bytes, bool same)
{
    for (int special = 0; special < 2; special++) {
        fr_ids ids = {NULL, 0, 0};
        char *back = NULL;
        size_t n_back = 0;
        if (fuzz_answer(ctx, fr_tokenizer_encode(ctx, tokenizer, text, bytes,
                                                 special != 0, &ids))) {
            for (int64_t i = 0; i < ids.count; i++) {
                fuzz_check(ids.data[i] >= 0 &&
                               ids.data[i] < fr_test_n_tokens(tokenizer),
                           "an id lies within the vocabulary");
            }
            bool decoded =
                fuzz_answer(ctx, fr_tokenizer_decode(ctx, tokenizer, ids.data,
                                                     ids.count, false, &back, &n_back));
            fuzz_check(decoded, "ids decode");
            fuzz_check(!same || (n_back == bytes && memcmp(back, text, bytes) == 0),
                       "decoding gives the text again");
        }
        free(back);
        fr_ids_fini(&ids);
    }
}

void fuzz_use_text(fr_ctx *ctx, const fr_tokenizer *tokenizer, const char *text,
                   size_t bytes)
{
    use_text(ctx, tokenizer, text, bytes, true);
}

/* Once to learn from and once as a prompt. */
static void use_chat(fr_ctx *ctx, const fr_tokenizer *tokenizer)
{
    json_t *messages =
        json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", "user", "content",
                  "a <|im_end|> \xC3\xA9", "role", "assistant", "content", "the\n");
    for (int special = 0; special < 2; special++) {
        fr_dialogue_ids got = {.n_parts = 0};
        const fr_dialogue dialogue = {.messages = messages,
                                      .special_in_content = special != 0,
                                      .open_assistant = special != 0};
        bool accepted =
            fuzz_answer(ctx, fr_dialogue_encode(ctx, tokenizer, &dialogue, &got));
        fuzz_check(got.ids.count == got.counted.count && got.ids.count == got.own.count,
                   "every id has its flags");
        fuzz_check(accepted == (got.n_parts > 0), "a dialogue is an example");
        fr_dialogue_ids_fini(&got);
    }
    json_decref(messages);
}

/* Every token's own text, and all ids decoded at once. */
static void use_tokens(fr_ctx *ctx, const fr_tokenizer *tokenizer)
{
    int64_t n = fr_test_n_tokens(tokenizer);
    int32_t *ids = memory((size_t)n * sizeof *ids);
    char *text = NULL;
    size_t bytes = 0;
    int64_t n_special = 0;
    for (int64_t i = 0; i < n; i++) {
        ids[i] = (int32_t)i;
        n_special += fr_tokenizer_is_special(tokenizer, (int32_t)i) ? 1 : 0;
    }
    fuzz_check(n_special <= n, "special tokens are tokens");
    fuzz_check(fuzz_answer(ctx, fr_tokenizer_decode(ctx, tokenizer, ids, n, true, &text,
                                                    &bytes)),
               "all tokens can be decoded");
    free(text);
    free(ids);
}

/* A model that opens with its tokenizer opens without: what cannot be used is a reason. */
static void use_ends(fr_ctx *ctx, const char *path, bool accepted)
{
    enum { VOCABULARY = 300 };
    fr_tokens tokens;
    uint8_t *never = NULL;
    bool opened = fuzz_answer(ctx, fr_tokens_open(ctx, path, &tokens));
    fuzz_check(opened || !accepted, "a model whose tokenizer opens does");
    if (opened) {
        fuzz_check((tokens.tokenizer == NULL) == (tokens.no_tokenizer != NULL),
                   "a tokenizer or a reason");
        fuzz_check(tokens.ends.n_stop <= FR_MAX_ENDS, "the list is bounded");
        fr_ends_within(ctx, path, VOCABULARY, &tokens.ends);
        for (int32_t i = 0; i < tokens.ends.n_stop; i++) {
            fuzz_check(tokens.ends.stop[i] >= 0 && tokens.ends.stop[i] < VOCABULARY,
                       "ends lie within the vocabulary");
        }
        (void)fuzz_answer(ctx, fr_tokens_textless(ctx, tokens.tokenizer, &tokens.ends,
                                                  VOCABULARY, &never));
        free(never);
        fr_tokens_close(&tokens);
    }
}

bool fuzz_use_tokenizer(fr_ctx *ctx, const char *path)
{
    static const char TEXT[] =
        "The abba's  12 x\n\n\t y\xC3\xA9 \xE4\xB8\xAD\xF0\x9F\x98\x80\xFF "
        "hello <s><|im_start|>the</s><|endoftext|>\0 theory";
    uint8_t digest[FR_DIGEST_BYTES];
    fr_tokenizer *tokenizer = NULL;
    bool accepted = fuzz_answer(ctx, fr_tokenizer_open(ctx, path, &tokenizer));
    if (accepted) {
        int64_t n = fr_test_n_tokens(tokenizer);
        fuzz_check(fr_tokenizer_leading_bos(tokenizer) < n,
                   "BOS lies within the vocabulary");
        fr_tokenizer_digest(tokenizer, digest);
        fuzz_check(fr_test_sum(digest, sizeof digest) > 0, "a digest");
        use_tokens(ctx, tokenizer);
        use_text(ctx, tokenizer, TEXT, sizeof TEXT - 1, false);
        use_chat(ctx, tokenizer);
    }
    fr_tokenizer_close(&tokenizer);
    use_ends(ctx, path, accepted);
    return accepted;
}

static void use_sequence(fr_sequence s, int64_t vocab_size)
{
    fuzz_check(s.count >= 0, "a sequence has a length");
    for (int64_t i = 0; i < s.count; i++) {
        fuzz_check(s.ids[i] >= 0 && s.ids[i] < vocab_size,
                   "an id lies within the vocabulary");
        fuzz_check(s.counted[i] <= 1, "a flag is 0 or 1");
    }
}

void fuzz_use_dataset(const fr_dataset *dataset, int64_t vocab_size, int64_t max_tokens)
{
    const fr_data_stats *stats = fr_dataset_stats(dataset);
    int64_t n_examples = 0;
    fuzz_check(stats->n_rows > 0 && stats->n_target_tokens > 0, "something to learn");
    for (int64_t row = 0; row < stats->n_rows; row++) {
        use_sequence(fr_dataset_source(dataset, row), vocab_size);
        fuzz_check(fr_dataset_line(dataset, row) > 0, "a row has a line");
        n_examples += fr_dataset_n_targets(dataset, row);
    }
    fuzz_check(n_examples == stats->n_examples, "every example is a row's");
    for (int64_t e = 0; e < stats->n_examples; e++) {
        int64_t row = -1;
        int64_t target = -1;
        fr_dataset_example(dataset, e, &row, &target);
        fuzz_check(row >= 0 && row < stats->n_rows && target >= 0 &&
                       target < fr_dataset_n_targets(dataset, row),
                   "an example is one of its row's");
        int64_t source_row = fr_dataset_source_row(dataset, e);
        fuzz_check(source_row >= 0 && source_row <= row,
                   "a source is an earlier row's");
        fr_sequence s = fr_dataset_example_target(dataset, e);
        use_sequence(s, vocab_size);
        fuzz_check(fr_dataset_source(dataset, row).count + s.count <= max_tokens &&
                       fr_dataset_source(dataset, row).count + s.count <=
                           stats->longest,
                   "an example is no longer than allowed");
    }
}
