/* A tokenizer.json or a configuration that is wrong in one place: refused, with that place in the message. */
#include "support/model_files.h"
#include "support/tiny_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One value of the file set to the JSON text `value` (NULL: removed), and what must come of it. */
typedef struct change {
    const char *place; /* names and positions with '/' between */
    const char *value;
    fr_status wanted;
    const char *part;
} change;

static void set_at(json_t *root, const char *place, const char *value)
{
    char path[64];
    json_t *at = root;
    (void)snprintf(path, sizeof path, "%s", place);
    char *name = path;
    for (char *slash = strchr(name, '/'); slash != NULL; slash = strchr(name, '/')) {
        *slash = '\0';
        at = json_is_array(at) ? json_array_get(at, strtoul(name, NULL, 10))
                               : json_object_get(at, name);
        name = slash + 1;
    }
    json_t *made = value != NULL ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    CU_ASSERT_TRUE_FATAL(value == NULL || made != NULL);
    int failed = json_is_array(at)
                     ? json_array_set_new(at, strtoul(name, NULL, 10), made)
                 : made != NULL ? json_object_set_new(at, name, made)
                                : json_object_del(at, name);
    CU_ASSERT_EQUAL(failed, 0);
}

#define REFUSED FR_ERR_UNSUPPORTED
static const change JSON_CHANGES[] = {
    {"model", NULL, FR_ERR_FORMAT, "the object 'model' is missing"},
    {"model", "[]", FR_ERR_FORMAT, "the object 'model' is missing"},
    {"model/type", "\"WordPiece\"", REFUSED, "model 'WordPiece'"},
    {"model/type", "1", REFUSED, "supported: BPE"},
    {"model/dropout", "0.1", REFUSED, "dropout"},
    {"model/byte_fallback", "true", REFUSED, "byte_fallback"},
    {"model/type", "\"WordLevel\"", REFUSED, "model 'WordLevel'"},
    {"model/type", "\"Unigram\"", REFUSED, "a Unigram model with ByteLevel"},
    {"model/ignore_merges", "true", FR_OK, NULL},
    {"model/unk_token", "\"A\"", FR_OK, NULL},
    {"model/end_of_word_suffix", "\"</w>\"", REFUSED, "end_of_word_suffix"},
    {"model/continuing_subword_prefix", "\"##\"", REFUSED, "continuing_subword"},
    {"model/dropout", "0.0", FR_OK, NULL},
    {"model/end_of_word_suffix", "\"\"", FR_OK, NULL},
    {"model/type", NULL, FR_OK, NULL},
    {"normalizer", "{\"type\": \"NFC\"}", FR_OK, NULL},
    {"normalizer", "{\"type\": \"Sequence\", \"normalizers\": []}", FR_OK, NULL},
    {"normalizer", "{\"type\": \"Sequence\"}", FR_ERR_FORMAT, "must have a list"},
    {"normalizer", "{\"type\": \"BertNormalizer\"}", REFUSED,
     "normalizer 'BertNormalizer' is not supported; supported: NFC"},
    {"normalizer", "{}", REFUSED, "normalizer is not supported"},
    {"normalizer", "[]", REFUSED, "normalizer is not supported"},
    {"normalizer", "{\"type\": \"Strip\", \"strip_left\": 1}", FR_ERR_FORMAT,
     "strip_left must be true or false"},
    {"normalizer", "{\"type\": \"Prepend\"}", FR_ERR_FORMAT, "a string 'prepend'"},
    {"normalizer", "{\"type\": \"Replace\", \"content\": \"\"}", FR_ERR_FORMAT,
     "must have a 'pattern'"},
    {"normalizer",
     "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\"}, \"content\": \"x\"}",
     REFUSED, "0 bytes"},
    {"normalizer",
     "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(\"}, \"content\": \"x\"}",
     REFUSED, "tokenizer.json: the regular expression '('"},
    {"normalizer",
     "{\"type\": \"Prepend\", \"prepend\": "
     "\"12345678901234567890123456789012345678901234567890123456789012345\"}",
     REFUSED, "puts 65 bytes"},
    {"normalizer", NULL, FR_OK, NULL},
    {"post_processor", "{\"type\": \"TemplateProcessing\"}", REFUSED,
     "post_processor 'TemplateProcessing'"},
    {"post_processor", "{\"type\": \"Other\"}", REFUSED, "post_processor 'Other'"},
    {"post_processor",
     "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": "
     "\"A\"}}]}",
     FR_OK, NULL},
    {"post_processor",
     "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": "
     "\"B\"}}]}",
     REFUSED, "one token in front of a text"},
    {"post_processor",
     "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": "
     "\"A\"}}, {\"SpecialToken\": {\"id\": \"<|im_end|>\"}}], \"special_tokens\": "
     "{\"<|im_end|>\": {\"ids\": [266]}}}",
     REFUSED, "with the eos_token behind a text"},
    {"post_processor",
     "{\"type\": \"RobertaProcessing\", \"cls\": [\"a\"], \"sep\": [\"b\", 1]}",
     FR_ERR_FORMAT, "has no id"},
    {"post_processor",
     "{\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, {}]}",
     REFUSED, "post_processor is not supported"},
    {"post_processor", "{\"type\": \"Sequence\", \"processors\": []}", FR_OK, NULL},
    {"post_processor", "{\"type\": \"ByteLevel\"}", FR_OK, NULL},
    {"decoder", "{\"type\": \"ByteLevel\"}", FR_OK, NULL},
    {"decoder", "{\"type\": \"WordPiece\"}", REFUSED, "decoder 'WordPiece'"},
    {"decoder", "{\"type\": \"Metaspace\", \"replacement\": \"_\"}", REFUSED,
     "decoder 'Metaspace'"},
    {"decoder", "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}]}",
     REFUSED, "ByteLevel for byte-level vocabularies"},
    {"pre_tokenizer", NULL, REFUSED, "decoder 'ByteLevel'"},
    {"pre_tokenizer", "null", REFUSED, "decoder 'ByteLevel'"},
    {"pre_tokenizer/type", "\"UnicodeScripts\"", REFUSED,
     "pre_tokenizer 'UnicodeScripts' is not supported; supported: ByteLevel"},
    {"pre_tokenizer/type", "\"Metaspace\"", FR_ERR_FORMAT, "as 'replacement'"},
    {"pre_tokenizer/type", "\"CharDelimiterSplit\"", FR_ERR_FORMAT, "as 'delimiter'"},
    {"pre_tokenizer/type", "\"Split\"", FR_ERR_FORMAT, "must have a 'pattern'"},
    {"pre_tokenizer",
     "{\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, \"behavior\": \"x\"}",
     FR_ERR_FORMAT, "behavior of a pre_tokenizer"},
    {"pre_tokenizer",
     "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a)\\\\1\"}, \"behavior\": "
     "\"Isolated\"}",
     REFUSED, "an escape"},
    {"pre_tokenizer/add_prefix_space", "true", FR_OK, NULL},
    {"pre_tokenizer/add_prefix_space", NULL, FR_ERR_FORMAT,
     "must have add_prefix_space"},
    {"pre_tokenizer/use_regex", "false", FR_OK, NULL},
    {"pre_tokenizer/use_regex", "1", FR_ERR_FORMAT, "use_regex must be true or false"},
    {"pre_tokenizer/use_regex", NULL, FR_OK, NULL},
    {"pre_tokenizer", "{\"type\": \"Sequence\", \"pretokenizers\": []}", REFUSED,
     "decoder 'ByteLevel'"},
    {"pre_tokenizer",
     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", "
     "\"individual_digits\": false}, {\"type\": \"ByteLevel\", "
     "\"add_prefix_space\": false}]}",
     FR_OK, NULL},
    {"pre_tokenizer",
     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\", "
     "\"add_prefix_space\": false}, {\"type\": \"ByteLevel\", "
     "\"add_prefix_space\": false}]}",
     REFUSED, "twice"},
    {"model/vocab", NULL, FR_ERR_FORMAT, "model.vocab must be an object"},
    {"model/vocab", "[\"a\"]", FR_ERR_FORMAT, "model.vocab must be an object"},
    {"model/vocab", "{}", FR_ERR_FORMAT, ""},
    {"model/vocab/A", "\"65\"", FR_ERR_FORMAT, "whole number"},
    {"model/vocab/A", "65.5", FR_ERR_FORMAT, "whole number"},
    {"model/vocab/A", "-1", FR_ERR_FORMAT, "whole number"},
    {"model/vocab/A", "1048576", FR_ERR_FORMAT, "whole number from 0 to 1048575"},
    {"model/vocab/A", "267", FR_OK, NULL},
    {"model/vocab/A", "9223372036854775807", FR_ERR_FORMAT, "whole number"},
    {"model/vocab/A", "66", FR_ERR_FORMAT, "the id 66 is given to"},
    {"model/vocab/A", NULL, FR_OK, NULL},
    {"model/vocab/he", NULL, FR_ERR_FORMAT, ""},
    {"model/vocab/a b", "267", FR_OK, NULL},
    {"model/vocab/\xE2\x82\xAC", "267", FR_OK, NULL},
    {"model/vocab/", "267", FR_OK, NULL},
    {"model/merges", NULL, FR_ERR_FORMAT, "model.merges must be a list"},
    {"model/merges", "{}", FR_ERR_FORMAT, "model.merges must be a list"},
    {"model/merges", "[]", FR_OK, NULL},
    {"model/merges/1", "\"ll\"", FR_ERR_FORMAT, "model.merges[1]"},
    {"model/merges/1", "\"l l l\"", FR_ERR_FORMAT, "model.merges[1]"},
    {"model/merges/1", "7", FR_ERR_FORMAT, "model.merges[1]"},
    {"model/merges/1", "[\"l\"]", FR_ERR_FORMAT, "model.merges[1]"},
    {"model/merges/1", "[\"l\", 7]", FR_ERR_FORMAT, "model.merges[1]"},
    {"model/merges/1", "[\"l\", \"l\", \"l\"]", FR_ERR_FORMAT, "model.merges[1]"},
    {"model/merges/1", "\"l q\"", FR_ERR_FORMAT, "merge 1 names 'lq'"},
    {"model/merges/1", "\"xyz l\"", FR_ERR_FORMAT, "merge 1 names 'xyz'"},
    {"model/merges/1", "\"l xyz\"", FR_ERR_FORMAT, "merge 1 names 'xyz'"},
    {"model/merges/1", "\" l\"", FR_ERR_FORMAT, "merge 1 names ''"},
    {"model/merges/1", "\"h e\"", FR_ERR_FORMAT, "merges 0 and 1"},
    {"added_tokens", NULL, FR_OK, NULL},
    {"added_tokens", "{}", FR_ERR_FORMAT, "added_tokens a list"},
    {"added_tokens/0", "7", FR_ERR_FORMAT, "must have a string 'content'"},
    {"added_tokens/0/content", NULL, FR_ERR_FORMAT, "must have a string 'content'"},
    {"added_tokens/0/content", "\"\"", FR_OK, NULL},
    {"added_tokens/0/content", "\"<|im_end|>\"", FR_ERR_FORMAT,
     "has the id 264, but added_tokens gives it 266"},
    {"added_tokens/0/content", "\"he\"", FR_ERR_FORMAT,
     "has the id 256, but added_tokens gives it 264"},
    {"added_tokens/0/id", NULL, FR_ERR_FORMAT, "whole number"},
    {"added_tokens/0/id", "267", FR_OK, NULL},
    {"added_tokens/0/id", "1048576", FR_ERR_FORMAT, "whole number"},
    {"added_tokens/0/id", "265", FR_ERR_FORMAT, "the id 265 is given to"},
    {"added_tokens/0/id", "65", FR_ERR_FORMAT, "the id 65 is given to"},
    {"added_tokens/0/lstrip", "true", FR_OK, NULL},
    {"added_tokens/0/rstrip", "true", FR_OK, NULL},
    {"added_tokens/0/single_word", "true", FR_OK, NULL},
};

static void check_folder(const char *folder, const change *one)
{
    fr_tokenizer *tokenizer = NULL;
    fr_status status = fr_tokenizer_open(fr_test_ctx(), folder, &tokenizer);
    if (one->wanted != FR_OK && (status != one->wanted || tokenizer != NULL)) {
        (void)printf("    %s = %s\n", one->place,
                     one->value != NULL ? one->value : "-");
    }
    fr_assert_status(status, one->wanted, one->part, one->place, 0);
    CU_ASSERT_EQUAL(tokenizer != NULL, one->wanted == FR_OK);
    fr_tokenizer_close(&tokenizer);
}

static void each_wrong_part_of_tokenizer_json_is_named(void)
{
    for (int i = 0; i < FR_N_CASES(JSON_CHANGES); i++) {
        json_t *root = fr_tiny_json();
        set_at(root, JSON_CHANGES[i].place, JSON_CHANGES[i].value);
        check_folder(fr_tiny_folder(root, NULL), &JSON_CHANGES[i]);
        json_decref(root);
    }
}

static void each_wrong_part_of_the_configuration_is_named(void)
{
    static const change CONFIGS[] = {
        {"", "{\"eos_token\": 7}", FR_ERR_FORMAT, "eos_token must name a token"},
        {"", "{\"eos_token\": \"<none>\"}", FR_ERR_FORMAT,
         "eos_token must name a token"},
        {"", "{\"bos_token\": {\"text\": 1}, \"eos_token\": []}", FR_ERR_FORMAT,
         "eos_token must name a token"},
        {"", "{\"add_bos_token\": true}", FR_ERR_FORMAT, "no begin-of-sequence token"},
        {"", "{\"add_bos_token\": true, \"bos_token\": \"<none>\"}", FR_ERR_FORMAT,
         "tokenizer_config.json: bos_token must name a token"},
        {"", "{\"bos_token\": \"<none>\"}", FR_OK, NULL},
        {"", "{\"added_tokens_decoder\": []}", FR_ERR_FORMAT, "must be an object"},
        {"", "{\"added_tokens_decoder\": {\"9\": 7}}", FR_ERR_FORMAT,
         "must have a string 'content'"},
        {"", "{\"added_tokens_decoder\": {\"9 \": {\"content\": \"<a>\"}}}",
         FR_ERR_FORMAT,
         "tokenizer_config.json: the id of the token '<a>' must be a whole number"},
        {"", "{\"added_tokens_decoder\": {\"1048576\": {\"content\": \"<a>\"}}}",
         FR_ERR_FORMAT, "must be a whole number from 0 to 1048575"},
        {"", "{\"added_tokens_decoder\": {\"9999\": {\"content\": \"<a>\"}}}", FR_OK,
         NULL},
        {"", "{\"added_tokens_decoder\": {\"266\": {\"content\": \"<a>\"}}}",
         FR_ERR_FORMAT,
         "the id 266 is given to '<|im_end|>' and to '<a>', the latter in "
         "added_tokens_"},
        {"", "{\"added_tokens_decoder\": {\"267\": {\"content\": \"<|im_end|>\"}}}",
         FR_ERR_FORMAT,
         "the token '<|im_end|>' has the id 266, but added_tokens_decoder of"},
        {"",
         "{\"added_tokens_decoder\": {\"267\": {\"content\": \"<a>\", \"lstrip\": "
         "true}}}",
         FR_OK, NULL},
        {"", "{\"added_tokens_decoder\": {\"267\": {\"content\": \"\"}}}", FR_OK, NULL},
        {"", "{\"add_bos_token\": 1}", FR_ERR_FORMAT,
         "add_bos_token must be true or false"},
        {"", "[]", FR_ERR_FORMAT, "not a JSON object"},
        {"", "{", FR_ERR_FORMAT, "tokenizer_config.json:1"},
        {"", "", FR_ERR_FORMAT, "tokenizer_config.json:1"},
    };
    static const change ENDS[] = {
        {"", "{\"eos_token_id\": \"2\"}", FR_ERR_FORMAT,
         "eos_token_id must be a token"},
        {"", "{\"eos_token_id\": [1, 2.5]}", FR_ERR_FORMAT,
         "eos_token_id must be a token"},
        {"", "{\"eos_token_id\": true}", FR_ERR_FORMAT, "eos_token_id must be a token"},
        {"", "{\"eos_token_id\": [-1]}", FR_OK, NULL},
        {"", "{\"eos_token_id\": 267}", FR_OK, NULL},
        {"", "{\"bos_token_id\": 4000000000}", FR_OK, NULL},
        {"", "{\"bos_token_id\": \"x\"}", FR_OK, NULL},
    };
    json_t *root = fr_tiny_json();
    for (int i = 0; i < FR_N_CASES(CONFIGS); i++) {
        check_folder(fr_tiny_folder(root, CONFIGS[i].value), &CONFIGS[i]);
    }
    for (int i = 0; i < FR_N_CASES(ENDS); i++) {
        const char *folder = fr_tiny_folder(root, NULL);
        fr_test_write_text(fr_test_path(folder, "config.json"), ENDS[i].value);
        check_folder(folder, &ENDS[i]);
    }
    json_decref(root);
}

/* vocab.json and merges.txt without tokenizer.json: the class decides, or the folder is refused. */
static void each_wrong_part_of_older_files_is_named(void)
{
    static const struct {
        const char *config;
        const char *vocabulary;
        const char *merges;
        fr_status wanted;
        const char *part;
    } OLDER[] = {{"{\"tokenizer_class\": \"GPT2Tokenizer\"}",
                  "{\"a\": 0, \"b\": 1, \"ab\": 2}", "#version: 0.2\r\na b\r\n\n",
                  FR_OK, NULL},
                 {"{\"tokenizer_class\": \"CTRLTokenizer\"}", "{\"a\": 0}", "", REFUSED,
                  "the tokenizer_class 'CTRLTokenizer'; supported: GPT2Tokenizer"},
                 {"{}", "{\"a\": 0}", "", REFUSED, "the tokenizer_class ''"},
                 {"{\"tokenizer_class\": \"Qwen2TokenizerFast\"}", "{\"a\": 0}",
                  "a b\n", FR_ERR_FORMAT, "merges.txt: merge 0 names 'b'"},
                 {"{\"tokenizer_class\": \"Qwen2Tokenizer\"}", "{\"a\": 0}", "ab\n",
                  FR_ERR_FORMAT, "merges[0]"},
                 {"{\"tokenizer_class\": \"Qwen2Tokenizer\"}", "{\"a\": 0}", "\xFF\n",
                  FR_ERR_FORMAT, "merges.txt: a line is not UTF-8"},
                 {"{\"tokenizer_class\": \"Qwen2Tokenizer\"}", "[", "a b\n",
                  FR_ERR_FORMAT, "vocab.json"}};
    for (int i = 0; i < FR_N_CASES(OLDER); i++) {
        const char *folder = fr_test_folder();
        const change one = {"", OLDER[i].config, OLDER[i].wanted, OLDER[i].part};
        fr_test_write_text(fr_test_path(folder, "tokenizer_config.json"),
                           OLDER[i].config);
        fr_test_write_text(fr_test_path(folder, "vocab.json"), OLDER[i].vocabulary);
        fr_test_write_text(fr_test_path(folder, "merges.txt"), OLDER[i].merges);
        check_folder(folder, &one);
    }
}

static void a_text_given_twice_in_the_file_is_refused(void)
{
    static const change TWICE = {"", "", FR_ERR_FORMAT, "duplicate"};
    json_t *root = fr_tiny_json();
    const char *folder = fr_tiny_folder(root, NULL);
    fr_test_write_text(fr_test_path(folder, "tokenizer.json"),
                       "{\"model\": {\"vocab\": {\"a\": 0, \"a\": 1}}}");
    check_folder(folder, &TWICE);
    json_decref(root);
}

static const fr_case CASES[] = {FR_CASE(each_wrong_part_of_tokenizer_json_is_named),
                                FR_CASE(each_wrong_part_of_the_configuration_is_named),
                                FR_CASE(each_wrong_part_of_older_files_is_named),
                                FR_CASE(a_text_given_twice_in_the_file_is_refused)};

int main(int argc, char **argv)
{
    return fr_suite_main("broken_tokenizer_json", CASES, FR_N_CASES(CASES), argc, argv);
}
