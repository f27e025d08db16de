#include "support/model_cases.h"

#include "support/suite.h"

#include <stdio.h>
#include <string.h>

enum { MAX = 1024, PATH_BYTES = 128 };

json_t *fr_cases_read(const char *name)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "golden/%s", name);
    json_t *root = json_load_file(fr_test_data(path), 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    return root;
}

static int64_t read_ids(const json_t *array, int32_t *out)
{
    int64_t n = (int64_t)json_array_size(array);
    CU_ASSERT_TRUE_FATAL(n > 0 && n <= MAX);
    for (int64_t i = 0; i < n; i++) {
        out[i] = (int32_t)json_integer_value(json_array_get(array, (size_t)i));
    }
    return n;
}

/* The ids before `from` are a source, so that the head computes only what is compared. */
void fr_cases_check_nats(fr_tiny *tiny, const fr_stage_prefix *prefix,
                         const json_t *one)
{
    int32_t ids[MAX];
    uint8_t counted[MAX];
    double nll[MAX];
    float got[MAX];
    float wanted[MAX];
    const json_t *nats = json_object_get(one, "nats");
    const json_t *first = json_object_get(one, "from");
    int64_t n = read_ids(json_object_get(one, "ids"), ids);
    int64_t from = first != NULL ? json_integer_value(first) : 1;
    CU_ASSERT_EQUAL_FATAL((int64_t)json_array_size(nats), n - from);
    memset(counted, 1, sizeof counted);
    fr_sequence source = {ids, NULL, from};
    fr_sequence target = {ids + from, counted, n - from};
    fr_batch_clear(&tiny->batch);
    FR_ASSERT_OK(
        fr_batch_add(fr_test_ctx(), &tiny->batch, prefix->length, &source, &target, 1));
    (void)fr_tiny_loss(tiny, prefix, NULL);
    fr_tiny_nats(tiny, nll);
    for (int64_t i = 0; i < n - from; i++) {
        got[i] = (float)nll[i];
        wanted[i] = (float)json_real_value(json_array_get(nats, (size_t)i));
    }
    fr_assert_close("nats", got, wanted, n - from, 2e-4);
}

void fr_cases_check_greedy(fr_generator *generator, const fr_stage_prefix *prefix,
                           const json_t *one)
{
    int32_t ids[MAX];
    int32_t wanted[MAX];
    fr_generate_row row = {.prefix = prefix, .prompt = {.data = ids}};
    int64_t n_new = read_ids(json_object_get(one, "greedy"), wanted);
    fr_generate_params params = {.batch = 1};
    row.max_new_tokens = n_new;
    row.prompt.count = read_ids(json_object_get(one, "ids"), ids);
    FR_ASSERT_OK(fr_generate(generator, &row, 1, &params));
    CU_ASSERT_EQUAL_FATAL(row.out.count, n_new);
    fr_assert_same_bytes("greedy ids", row.out.data, wanted,
                         (size_t)n_new * sizeof *wanted);
    fr_ids_fini(&row.out);
}
