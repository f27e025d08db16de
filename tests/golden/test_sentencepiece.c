/* sentencepiece/: folders with tokenizer.model alone, and what sentencepiece makes of odd texts. */
#include "model/text/tokens.h"
#include "support/suite.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The id of <unk> in all of these models; sentencepiece decodes it to a text of its own. */
enum { UNKNOWN = 0 };

static void check_text(const fr_tokenizer *tokenizer, const char *model,
                       const json_t *text, const json_t *wanted, const json_t *decoded)
{
    fr_ids ids = {0};
    FR_ASSERT_OK(fr_tokenizer_encode(fr_test_ctx(), tokenizer, json_string_value(text),
                                     json_string_length(text), false, &ids));
    bool same = ids.count == (int64_t)json_array_size(wanted);
    bool known = true;
    for (size_t i = 0; same && i < json_array_size(wanted); i++) {
        json_int_t id = json_integer_value(json_array_get(wanted, i));
        same = ids.data[i] == id;
        known = known && id != UNKNOWN;
    }
    CU_ASSERT_TRUE(same);
    if (!same) {
        (void)printf("    %s: '%s'\n", model, json_string_value(text));
    }
    if (same && known) {
        char *back = NULL;
        size_t bytes = 0;
        FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids.data, ids.count,
                                         false, &back, &bytes));
        CU_ASSERT_EQUAL(bytes, json_string_length(decoded));
        fr_assert_same_bytes(model, back, json_string_value(decoded), bytes);
        free(back);
    }
    fr_ids_fini(&ids);
}

static void the_ids_are_sentencepieces(void)
{
    json_error_t error;
    json_t *root = json_load_file(fr_test_data("golden/sentencepiece/ids.json"),
                                  JSON_ALLOW_NUL, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    const json_t *texts = json_object_get(root, "texts");
    const char *name = NULL;
    json_t *model = NULL;
    int n = 0;
    json_object_foreach(json_object_get(root, "models"), name, model)
    {
        char path[64];
        fr_tokenizer *tokenizer = NULL;
        (void)snprintf(path, sizeof path, "golden/sentencepiece/%s", name);
        FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), fr_test_data(path), &tokenizer));
        CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
        for (size_t i = 0; i < json_array_size(texts); i++) {
            check_text(tokenizer, name, json_array_get(texts, i),
                       json_array_get(json_object_get(model, "ids"), i),
                       json_array_get(json_object_get(model, "texts"), i));
        }
        CU_ASSERT_EQUAL(fr_tokenizer_eos(tokenizer), 2);
        CU_ASSERT_EQUAL(fr_tokenizer_leading_bos(tokenizer), -1);
        CU_ASSERT_EQUAL(fr_tokenizer_marker(tokenizer, "</s>"), 2);
        fr_tokenizer_close(&tokenizer);
        n++;
    }
    CU_ASSERT_EQUAL(n, 5);
    json_decref(root);
}

static const fr_case CASES[] = {FR_CASE(the_ids_are_sentencepieces)};

int main(int argc, char **argv)
{
    return fr_suite_main("sentencepiece", CASES, FR_N_CASES(CASES), argc, argv);
}
