/* What an engine computes on one rank, against the stage's own functions. */
#include "base/mem.h"
#include "support/suite.h"
#include "support/tiny_model.h"
#include "train/step/engine.h"

#include <stdlib.h>

enum { TEXT = 7 };

static const int32_t IDS[TEXT] = {5, 17, 99, 3, 64, 21, 7};
static const char *const MODELS[] = {"golden/tiny_llama", "golden/tiny_gpt2"};

/* Also after another text went through the same memory. */
static void keys_of_text_on_some_layers_are_those_of_all(void)
{
    static const fr_layer_range ALL = {0, 0};
    static const fr_layer_range LOWER = {0, 1};
    static const fr_layer_range UPPER = {1, 1};
    for (int m = 0; m < 4; m++) {
        fr_tiny tiny;
        fr_group *self = NULL;
        fr_grid grid;
        fr_engine *engine = NULL;
        float *keys[3] = {NULL};
        float *values[3] = {NULL};
        fr_tiny_open(fr_test_data(MODELS[m % 2]), m < 2 ? FR_F32 : FR_BF16, 64, &tiny);
        FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &self));
        FR_ASSERT_OK(fr_grid_init(fr_test_ctx(), self, 1, 1, &grid));
        fr_engine_params params = {&grid, tiny.stage, tiny.device, 1};
        FR_ASSERT_OK(fr_engine_create(fr_test_ctx(), &params, &engine));
        int64_t layer = fr_arch_prefix_elements(tiny.arch, TEXT);
        const fr_layer_range *const ranges[] = {&ALL, &UPPER, &LOWER};
        for (int i = 0; i < 3; i++) {
            FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * layer, sizeof(float), &keys[i]));
            FR_ASSERT_OK(fr_alloc(fr_test_ctx(), 2 * layer, sizeof(float), &values[i]));
            FR_ASSERT_OK(fr_engine_keys_of_text(engine, IDS, TEXT, *ranges[i], keys[i],
                                                values[i]));
        }
        size_t bytes = (size_t)layer * sizeof(float);
        fr_assert_same_bytes("upper keys", keys[1], keys[0] + layer, bytes);
        fr_assert_same_bytes("upper values", values[1], values[0] + layer, bytes);
        fr_assert_same_bytes("lower keys", keys[2], keys[0], bytes);
        fr_assert_same_bytes("lower values", values[2], values[0], bytes);
        CU_ASSERT(keys[0][0] != 0.0f && keys[1][layer] == 0.0f);
        for (int i = 0; i < 3; i++) {
            free(keys[i]);
            free(values[i]);
        }
        fr_engine_destroy(&engine);
        fr_grid_fini(&grid);
        fr_group_destroy(&self);
        fr_tiny_close(&tiny);
    }
}

static const fr_case CASES[] = {
    FR_CASE(keys_of_text_on_some_layers_are_those_of_all),
};

int main(int argc, char **argv)
{
    return fr_suite_main("engine", CASES, FR_N_CASES(CASES), argc, argv);
}
