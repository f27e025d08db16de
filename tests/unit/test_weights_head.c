/* Which tensors a folder's weights are read from: a head of its own or the embedding, names with and without the inner
 * model's, and names that belong to no model. */
#include "device/cpu/quant_kernels.h"
#include "model/weights/weights.h"
#include "support/gguf_writer.h"
#include "support/model_files.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX = 64 };

/* The tensors of a folder, to be changed and written again. */
typedef struct tensor_list {
    fr_safetensors *file;
    fr_safetensor tensors[MAX];
    int64_t n;
} tensor_list;

static void read_list(const char *folder, tensor_list *out)
{
    const char *path = fr_test_path(folder, "model.safetensors");
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), path, &out->file));
    CU_ASSERT_PTR_NOT_NULL_FATAL(out->file);
    out->n = fr_safetensors_n_tensors(out->file);
    CU_ASSERT_FATAL(out->n < MAX);
    for (int64_t i = 0; i < out->n; i++) {
        out->tensors[i] = *fr_safetensors_tensor_at(out->file, i);
    }
}

static fr_safetensor *find(tensor_list *list, const char *name)
{
    for (int64_t i = 0; i < list->n; i++) {
        if (strcmp(list->tensors[i].name.data, name) == 0) {
            return &list->tensors[i];
        }
    }
    return NULL;
}

static void drop(tensor_list *list, const char *name)
{
    fr_safetensor *dropped = find(list, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(dropped);
    *dropped = list->tensors[--list->n];
}

static void rename_to(tensor_list *list, const char *name, const char *new_name)
{
    fr_safetensor *renamed = find(list, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(renamed);
    renamed->name.data = new_name;
    renamed->name.bytes = strlen(new_name);
}

/* A folder with these tensors in place of its own. */
static const char *write_list(const char *folder, tensor_list *list)
{
    const fr_safetensor *pointers[MAX];
    const char *path = fr_test_path(folder, "model.safetensors");
    for (int64_t i = 0; i < list->n; i++) {
        pointers[i] = &list->tensors[i];
    }
    CU_ASSERT_EQUAL(unlink(path), 0);
    fr_test_write_tensors(path, pointers, list->n);
    fr_safetensors_close(&list->file);
    return folder;
}

static fr_weights *open_weights(const char *path)
{
    fr_weights *weights = NULL;
    FR_ASSERT_OK(fr_weights_open(fr_test_ctx(), path, &weights));
    CU_ASSERT_PTR_NOT_NULL_FATAL(weights);
    return weights;
}

static void refuses(const char *path, fr_status status, const char *part)
{
    fr_weights *weights = NULL;
    FR_ASSERT_FAILS(fr_weights_open(fr_test_ctx(), path, &weights), status, part);
    CU_ASSERT_PTR_NULL(weights);
}

static float *read_rows(const fr_weights *weights, fr_weight role)
{
    int64_t n_out = 0;
    int64_t n_in = 0;
    fr_weights_shape(weights, role, 0, &n_out, &n_in);
    float *rows = fr_test_memory(malloc((size_t)(n_out * n_in) * sizeof *rows));
    FR_ASSERT_OK(fr_weights_read(fr_test_ctx(), weights, role, 0, FR_F32, rows));
    return rows;
}

static void check_rows(const fr_weights *weights, fr_weight role, const void *wanted,
                       size_t bytes)
{
    float *rows = read_rows(weights, role);
    fr_assert_same_bytes("rows", rows, wanted, bytes);
    free(rows);
}

/* ---- the head ---------------------------------------------------------------------------------- */

static const char TIED[] = "{\"tie_word_embeddings\":true}";

static void a_head_of_its_own_is_used_whatever_the_flag_says(void)
{
    static const char *const CHANGES[] = {TIED, "{\"tie_word_embeddings\":false}",
                                          "{\"tie_word_embeddings\":null}"};
    for (int i = 0; i < FR_N_CASES(CHANGES); i++) {
        tensor_list list;
        fr_arch arch;
        const char *folder = fr_test_model_folder("tiny_llama", CHANGES[i]);
        read_list(folder, &list);
        fr_weights *weights = open_weights(folder);
        const fr_safetensor *head = find(&list, "lm_head.weight");
        CU_ASSERT(!fr_weights_arch(weights)->tied_head);
        check_rows(weights, FR_W_HEAD, head->data, head->bytes);
        FR_ASSERT_OK(fr_arch_read(fr_test_ctx(), folder, &arch));
        CU_ASSERT(!arch.tied_head);
        fr_weights_close(&weights);
        fr_safetensors_close(&list.file);
    }
}

static void equal_heads_are_tied(void)
{
    tensor_list list;
    const char *folder = fr_test_model_folder("tiny_llama", TIED);
    read_list(folder, &list);
    find(&list, "lm_head.weight")->data =
        find(&list, "model.embed_tokens.weight")->data;
    fr_weights *weights = open_weights(write_list(folder, &list));
    CU_ASSERT(fr_weights_arch(weights)->tied_head);
    fr_weights_close(&weights);
}

/* One number of a head in f32 over an embedding in bf16 makes the difference. */
static void heads_of_another_type_are_compared_by_value(void)
{
    for (int changed = 0; changed < 2; changed++) {
        tensor_list list;
        const char *folder = fr_test_micro_folder(FR_LLAMA, "BF16");
        const char *path = fr_test_path(folder, "config.json");
        json_t *config = fr_test_memory(json_load_file(path, 0, NULL));
        (void)json_object_set_new(config, "tie_word_embeddings", json_true());
        CU_ASSERT_EQUAL(json_dump_file(config, path, 0), 0);
        json_decref(config);
        read_list(folder, &list);
        fr_safetensor *head = find(&list, "lm_head.weight");
        const fr_safetensor *tokens = find(&list, "model.embed_tokens.weight");
        CU_ASSERT_PTR_NOT_NULL_FATAL(head);
        float *values = fr_test_memory(malloc((size_t)tokens->n * sizeof *values));
        fr_quant_widen(&fr_quant_generic, fr_quant_find(FR_QUANT_BF16), tokens->data,
                       tokens->n, values);
        values[tokens->n - 1] += changed != 0 ? 1.0F : 0.0F;
        head->dtype = "F32";
        head->data = (const uint8_t *)values;
        head->bytes = (size_t)tokens->n * sizeof *values;
        fr_weights *weights = open_weights(write_list(folder, &list));
        CU_ASSERT_EQUAL(fr_weights_arch(weights)->tied_head, changed == 0);
        fr_weights_close(&weights);
        free(values);
    }
}

static void a_missing_head_is_tied_or_refused(void)
{
    tensor_list list;
    const char *folder = fr_test_model_folder("tiny_llama", TIED);
    read_list(folder, &list);
    drop(&list, "lm_head.weight");
    fr_weights *weights = open_weights(write_list(folder, &list));
    CU_ASSERT(fr_weights_arch(weights)->tied_head);
    float *tokens = read_rows(weights, FR_W_TOKENS);
    check_rows(weights, FR_W_HEAD, tokens, 128 * 64 * sizeof *tokens);
    free(tokens);
    fr_weights_close(&weights);
    folder = fr_test_model_folder("tiny_llama",
                                  "{\"tie_word_embeddings\":null}"); /* false */
    read_list(folder, &list);
    drop(&list, "lm_head.weight");
    refuses(write_list(folder, &list), FR_ERR_FORMAT,
            "tensor lm_head.weight is missing, and tie_word_embeddings of config.json");
}

static void a_tied_embedding_is_found_under_the_heads_name(void)
{
    tensor_list list;
    const char *folder = fr_test_model_folder("tiny_llama", TIED);
    read_list(folder, &list);
    drop(&list, "model.embed_tokens.weight");
    fr_weights *weights = open_weights(write_list(folder, &list));
    CU_ASSERT(fr_weights_arch(weights)->tied_head);
    fr_weights_close(&weights);
    folder = fr_test_model_folder("tiny_llama", NULL);
    read_list(folder, &list);
    drop(&list, "model.embed_tokens.weight");
    refuses(write_list(folder, &list), FR_ERR_FORMAT,
            "tensor model.embed_tokens.weight is missing");
}

static void a_head_of_another_shape_is_refused(void)
{
    tensor_list list;
    const char *folder = fr_test_model_folder("tiny_llama", TIED);
    read_list(folder, &list);
    fr_safetensor *head = find(&list, "lm_head.weight");
    head->shape[0] /= 2;
    head->bytes /= 2;
    refuses(write_list(folder, &list), FR_ERR_FORMAT,
            "tensor lm_head.weight has shape [64, 64]");
}

static void a_gguf_head_of_its_own_is_used(void)
{
    enum { N = 128 * 64 };
    float *ones = fr_test_memory(malloc(N * sizeof *ones));
    for (int i = 0; i < N; i++) {
        ones[i] = 1.0F;
    }
    fr_gguf_writer *writer = fr_gguf_writer_create();
    fr_gguf_writer_add_folder(writer, fr_test_data("golden/tiny_llama"));
    fr_gguf_writer_set_tensor(writer, "output.weight", FR_QUANT_F32, 128, 64, ones);
    const char *path = fr_test_path(fr_test_folder(), "model.gguf");
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    fr_weights *weights = open_weights(path);
    CU_ASSERT(!fr_weights_arch(weights)->tied_head);
    check_rows(weights, FR_W_HEAD, ones, N * sizeof *ones);
    fr_weights_close(&weights);
    free(ones);
}

/* ---- names ------------------------------------------------------------------------------------- */

static void names_without_the_outer_model_are_read(void)
{
    tensor_list list;
    static const char PREFIX[] = "model.";
    const char *whole = fr_test_data("golden/tiny_llama");
    const char *folder = fr_test_model_folder("tiny_llama", NULL);
    read_list(folder, &list);
    for (int64_t i = 0; i < list.n; i++) {
        fr_text *name = &list.tensors[i].name;
        if (strncmp(name->data, PREFIX, sizeof PREFIX - 1) == 0) {
            name->data += sizeof PREFIX - 1;
        }
    }
    fr_weights *weights = open_weights(write_list(folder, &list));
    fr_weights *wanted = open_weights(whole);
    for (int64_t layer = -1; layer < 2; layer++) {
        uint8_t digests[2][FR_DIGEST_BYTES];
        FR_ASSERT_OK(fr_weights_digest(fr_test_ctx(), weights, layer, digests[0]));
        FR_ASSERT_OK(fr_weights_digest(fr_test_ctx(), wanted, layer, digests[1]));
        fr_assert_same_bytes("digest", digests[0], digests[1], FR_DIGEST_BYTES);
    }
    fr_weights_close(&weights);
    fr_weights_close(&wanted);
}

static void names_of_no_model_are_told(void)
{
    static const struct {
        const char *name;
        const char *part;
    } NAMES[] = {
        {"model.layers.0.self_attn.q_proj.qweight", "quantised (GPTQ or AWQ)"},
        {"model.layers.0.self_attn.q_proj.qzeros", "quantised (GPTQ or AWQ)"},
        {"model.layers.0.self_attn.q_proj.weight.absmax", "quantised (bitsandbytes)"},
        {"model.layers.0.self_attn.q_proj.SCB", "quantised (bitsandbytes)"},
        {"model.layers.0.self_attn.q_proj.weight_packed", "compressed-tensors"},
        {"model.layers.0.self_attn.q_proj.weight_scale_inv", "FP8"},
        {"model.layers.0.mlp.experts.gate_up_proj_blocks", "MXFP4"},
        {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
         "an adapter"},
        {"base_model.model.model.norm.weight", "an adapter"},
    };
    for (int i = 0; i < FR_N_CASES(NAMES); i++) {
        tensor_list list;
        const char *folder = fr_test_model_folder("tiny_llama", NULL);
        read_list(folder, &list);
        rename_to(&list, "model.layers.0.self_attn.q_proj.weight", NAMES[i].name);
        refuses(write_list(folder, &list), FR_ERR_UNSUPPORTED, NAMES[i].part);
    }
}

/* FP8 without a word about it in config.json: half the bytes of the same tensor. */
static void eight_bit_floats_are_named(void)
{
    static const char *const DTYPES[] = {"F8_E4M3", "F8_E5M2", "F8_E8M0"};
    for (int i = 0; i < FR_N_CASES(DTYPES); i++) {
        tensor_list list;
        const char *folder = fr_test_model_folder("tiny_llama", NULL);
        read_list(folder, &list);
        fr_safetensor *tensor = find(&list, "model.layers.0.self_attn.q_proj.weight");
        tensor->dtype = DTYPES[i];
        tensor->bytes /= 4;
        refuses(write_list(folder, &list), FR_ERR_UNSUPPORTED,
                "supported: F32, F16, BF16; give the model with weights of such types");
    }
}

static const fr_case CASES[] = {
    FR_CASE(a_head_of_its_own_is_used_whatever_the_flag_says),
    FR_CASE(equal_heads_are_tied),
    FR_CASE(heads_of_another_type_are_compared_by_value),
    FR_CASE(a_missing_head_is_tied_or_refused),
    FR_CASE(a_tied_embedding_is_found_under_the_heads_name),
    FR_CASE(a_head_of_another_shape_is_refused),
    FR_CASE(a_gguf_head_of_its_own_is_used),
    FR_CASE(names_without_the_outer_model_are_read),
    FR_CASE(names_of_no_model_are_told),
    FR_CASE(eight_bit_floats_are_named),
};

int main(int argc, char **argv)
{
    return fr_suite_main("weights_head", CASES, FR_N_CASES(CASES), argc, argv);
}
