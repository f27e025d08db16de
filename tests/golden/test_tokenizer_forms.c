/* tokenizers.json: what Hugging Face's tokenizers makes of odd texts, with normalizers and pre-tokenizers alone and with small
 * tokenizers in the forms of well-known models. */
#include "model/text/tokenizer_json.h"
#include "model/text/tokens.h"
#include "support/model_files.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *load(void)
{
    json_error_t error;
    json_t *root =
        json_load_file(fr_test_data("golden/tokenizers.json"), JSON_ALLOW_NUL, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    return root;
}

static fr_text text_of(const json_t *value)
{
    return (fr_text){json_string_value(value), json_string_length(value)};
}

/* Compares bytes, which may hold NUL, and names the case. */
static void check_text(const char *what, fr_text got, const json_t *wanted)
{
    fr_text text = text_of(wanted);
    bool same = got.bytes == text.bytes && memcmp(got.data, text.data, text.bytes) == 0;
    CU_ASSERT_TRUE(same);
    if (!same) {
        (void)printf("    %s: got '%.*s', wanted '%s'\n", what, (int)got.bytes,
                     got.data, text.data);
    }
}

static void normalizers_give_the_references_texts(void)
{
    json_t *root = load();
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(root, "normalizers"), i, item)
    {
        fr_token_draft draft = {.path = "step"};
        const json_t *step = json_object_get(item, "step");
        char *what = json_dumps(step, 0);
        FR_ASSERT_OK(fr_tokenizer_read_normalizer(fr_test_ctx(), step, &draft));
        size_t t = 0;
        json_t *text = NULL;
        json_array_foreach(json_object_get(root, "texts"), t, text)
        {
            char *out = NULL;
            size_t bytes = 0;
            FR_ASSERT_OK(fr_normalizer_run(fr_test_ctx(), draft.normalizer,
                                           text_of(text), &out, &bytes));
            check_text(what, (fr_text){out, bytes},
                       json_array_get(json_object_get(item, "texts"), t));
            free(out);
        }
        free(what);
        fr_token_draft_fini(&draft);
    }
    json_decref(root);
}

/* The pieces that are wanted, and how many came. */
typedef struct pieces {
    const char *what;
    const json_t *wanted;
    size_t count;
} pieces;

static fr_status check_piece(void *user, const char *piece, size_t bytes)
{
    pieces *p = user;
    const json_t *wanted = json_array_get(p->wanted, p->count++);
    CU_ASSERT_PTR_NOT_NULL(wanted);
    if (wanted != NULL) {
        check_text(p->what, (fr_text){piece, bytes}, wanted);
    }
    return FR_OK;
}

static void splitters_give_the_references_pieces(void)
{
    json_t *root = load();
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(root, "splitters"), i, item)
    {
        fr_token_draft draft = {.path = "step"};
        const json_t *step = json_object_get(item, "step");
        char *what = json_dumps(step, 0);
        FR_ASSERT_OK(fr_tokenizer_read_splitter(fr_test_ctx(), step, &draft));
        size_t t = 0;
        json_t *text = NULL;
        json_array_foreach(json_object_get(root, "texts"), t, text)
        {
            pieces p = {what, json_array_get(json_object_get(item, "pieces"), t), 0};
            FR_ASSERT_OK(fr_splitter_run(fr_test_ctx(), draft.splitter, text_of(text),
                                         true, check_piece, &p));
            CU_ASSERT_EQUAL(p.count, json_array_size(p.wanted));
            if (p.count != json_array_size(p.wanted)) {
                (void)printf("    %s: %zu pieces of text %zu\n", what, p.count, t);
            }
        }
        free(what);
        fr_token_draft_fini(&draft);
    }
    json_decref(root);
}

static fr_tokenizer *open_form(const json_t *item)
{
    fr_tokenizer *tokenizer = NULL;
    const char *folder = fr_test_folder();
    const json_t *config = json_object_get(item, "config");
    CU_ASSERT_EQUAL(json_dump_file(json_object_get(item, "tokenizer"),
                                   fr_test_path(folder, "tokenizer.json"), 0),
                    0);
    CU_ASSERT_EQUAL(
        json_dump_file(config, fr_test_path(folder, "tokenizer_config.json"), 0), 0);
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    return tokenizer;
}

/* The same model as vocab.json and merges.txt, as older folders have it. */
static fr_tokenizer *open_merges(const json_t *item)
{
    fr_tokenizer *tokenizer = NULL;
    const char *folder = fr_test_folder();
    const json_t *root = json_object_get(item, "tokenizer");
    const json_t *model = json_object_get(root, "model");
    json_t *config = json_object_get(item, "config");
    FILE *file = fopen(fr_test_path(folder, "merges.txt"), "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fprintf(file, "#version: 0.2\n");
    size_t i = 0;
    json_t *merge = NULL;
    json_array_foreach(json_object_get(model, "merges"), i, merge)
    {
        (void)fprintf(file, "%s %s\n", json_string_value(json_array_get(merge, 0)),
                      json_string_value(json_array_get(merge, 1)));
    }
    CU_ASSERT_EQUAL(fclose(file), 0);
    (void)json_object_set_new(config, "tokenizer_class",
                              json_string("Qwen2TokenizerFast"));
    json_t *decoder = json_object();
    json_array_foreach(json_object_get(root, "added_tokens"), i, merge)
    {
        char id[16];
        (void)snprintf(id, sizeof id, "%lld",
                       (long long)json_integer_value(json_object_get(merge, "id")));
        (void)json_object_set(decoder, id, merge);
    }
    (void)json_object_set_new(config, "added_tokens_decoder", decoder);
    CU_ASSERT_EQUAL(json_dump_file(json_object_get(model, "vocab"),
                                   fr_test_path(folder, "vocab.json"), 0),
                    0);
    CU_ASSERT_EQUAL(
        json_dump_file(config, fr_test_path(folder, "tokenizer_config.json"), 0), 0);
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    return tokenizer;
}

static bool same_ids(const fr_ids *ids, const json_t *wanted)
{
    bool same = (size_t)ids->count == json_array_size(wanted);
    for (int64_t i = 0; same && i < ids->count; i++) {
        same = ids->data[i] == json_integer_value(json_array_get(wanted, (size_t)i));
    }
    return same;
}

static void check_form(const fr_tokenizer *tokenizer, const json_t *item,
                       const json_t *text, size_t t)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    const json_t *wanted = json_array_get(json_object_get(item, "ids"), t);
    fr_ids ids = {0};
    char *back = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_tokenizer_encode(fr_test_ctx(), tokenizer, json_string_value(text),
                                     json_string_length(text), true, &ids));
    bool same = same_ids(&ids, wanted);
    CU_ASSERT_TRUE(same);
    if (!same) {
        char *shown = json_dumps(wanted, 0);
        (void)printf("    %s, text %zu: got", name, t);
        for (int64_t i = 0; i < ids.count; i++) {
            (void)printf(" %d", (int)ids.data[i]);
        }
        (void)printf(", wanted %s\n", shown);
        free(shown);
    }
    FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids.data, ids.count,
                                     false, &back, &bytes));
    check_text(name, (fr_text){back, bytes},
               json_array_get(json_object_get(item, "decoded"), t));
    free(back);
    fr_ids_fini(&ids);
}

static void forms_give_the_references_ids(void)
{
    json_t *root = load();
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(root, "forms"), i, item)
    {
        fr_tokenizer *tokenizer = open_form(item);
        const json_t *front = json_object_get(item, "front");
        size_t t = 0;
        json_t *text = NULL;
        json_array_foreach(json_object_get(root, "texts"), t, text)
        {
            check_form(tokenizer, item, text, t);
        }
        CU_ASSERT_EQUAL(fr_tokenizer_leading_bos(tokenizer),
                        json_array_size(front) > 0
                            ? json_integer_value(json_array_get(front, 0))
                            : -1);
        fr_tokenizer_close(&tokenizer);
    }
    json_decref(root);
}

static void merges_and_a_class_are_a_tokenizer(void)
{
    json_t *root = load();
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(root, "forms"), i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "name")), "qwen-2") == 0) {
            fr_tokenizer *tokenizer = open_merges(item);
            size_t t = 0;
            json_t *text = NULL;
            json_array_foreach(json_object_get(root, "texts"), t, text)
            {
                check_form(tokenizer, item, text, t);
            }
            fr_tokenizer_close(&tokenizer);
        }
    }
    json_decref(root);
}

static const fr_case CASES[] = {FR_CASE(normalizers_give_the_references_texts),
                                FR_CASE(splitters_give_the_references_pieces),
                                FR_CASE(forms_give_the_references_ids),
                                FR_CASE(merges_and_a_class_are_a_tokenizer)};

int main(int argc, char **argv)
{
    return fr_suite_main("golden_tokenizer_forms", CASES, FR_N_CASES(CASES), argc,
                         argv);
}
