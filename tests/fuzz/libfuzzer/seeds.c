/* First inputs that need a writer; `fuzz_seeds NAME` writes those of one fuzzer into the folder FUZZ_SEEDS. */
#include "fuzz/libfuzzer/seeds.h"

#include "base/file.h"
#include "model/quant.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"
#include "support/tiny_tokenizer.h"

#include <stdlib.h>

void seed_write(const char *name, const void *data, size_t bytes)
{
    const char *folder = getenv("FUZZ_SEEDS");
    if (folder == NULL) {
        fr_test_give_up("set", "FUZZ_SEEDS");
    }
    fr_test_write(fr_test_path(folder, name), data, bytes);
}

void seed_copy(const char *name, const char *path)
{
    char *bytes = NULL;
    size_t n_bytes = 0;
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, &bytes, &n_bytes));
    seed_write(name, bytes, n_bytes);
    free(bytes);
}

static void seed_writer(const char *name, fr_gguf_writer *writer)
{
    size_t n_bytes = 0;
    uint8_t *bytes = fr_gguf_writer_bytes(writer, &n_bytes);
    seed_write(name, bytes, n_bytes);
    free(bytes);
    fr_gguf_writer_destroy(&writer);
}

static void gguf_model(const char *name, fr_family family)
{
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, fr_test_micro_folder(family, "F32"));
    seed_writer(name, writer);
}

static void gguf_values(void)
{
    static const char *const WORDS[] = {"a", "", "long one"};
    static const int32_t NUMBERS[] = {1, -2, 3};
    static const float REALS[] = {1.0F, -2.5F};
    fr_gguf_writer *writer = fr_gguf_writer_create();
    float data[64] = {1.0F};
    fr_gguf_writer_set_text(writer, "general.architecture", "llama");
    fr_gguf_writer_set_u32(writer, "general.alignment", 32);
    fr_gguf_writer_set_f32(writer, "f", 1e-5F);
    fr_gguf_writer_set_bool(writer, "b", true);
    fr_gguf_writer_set_texts(writer, "words", WORDS, 3);
    fr_gguf_writer_set_ints(writer, "numbers", NUMBERS, 3);
    fr_gguf_writer_set_reals(writer, "reals", REALS, 2);
    fr_gguf_writer_set_tensor(writer, "a", FR_QUANT_F32, 4, 8, data);
    fr_gguf_writer_set_tensor(writer, "b", FR_QUANT_Q8_0, 2, 32, data);
    seed_writer("values", writer);
}

static void gguf(void)
{
    gguf_model("llama", FR_LLAMA);
    gguf_model("gpt2", FR_GPT2);
    gguf_values();
    seed_writer("tokenizer", fr_tiny_gguf());
}

static const fr_case CASES[] = {
    FR_CASE(gguf),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fuzz_seeds", CASES, FR_N_CASES(CASES), argc, argv);
}
