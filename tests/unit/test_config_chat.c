/* The key `chat`: true, false, or a section whose arguments are a map of any values. */
#include "train/config/config.h"

#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 4096 };

#define HEAD                                                                           \
    "base: {path: m.gguf}\nrun: {dir: out, steps: 5}\ntasks:\n"                        \
    "  - {name: t, train: a.jsonl, prefix: {init: {text: hello}}, "

static fr_status read(const char *keys, fr_config **out)
{
    char text[3 * TEXT_BYTES];
    (void)snprintf(text, sizeof text, HEAD "%s}\n", keys);
    return fr_config_parse(fr_test_ctx(), "x.yaml", text, out);
}

static void check_arguments(const char *yaml, const char *json)
{
    char keys[2 * TEXT_BYTES];
    fr_config *config = NULL;
    fr_config *again = NULL;
    char *written = NULL;
    (void)snprintf(keys, sizeof keys, "chat: {arguments: %s}", yaml);
    FR_ASSERT_OK(read(keys, &config));
    CU_ASSERT_TRUE(config->tasks[0].chat);
    CU_ASSERT_STRING_EQUAL(config->tasks[0].chat_arguments, json);
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), config, &written));
    FR_ASSERT_OK(fr_config_parse(fr_test_ctx(), "y.yaml", written, &again));
    CU_ASSERT_STRING_EQUAL(again->tasks[0].chat_arguments, json);
    CU_ASSERT_TRUE(again->tasks[0].chat);
    free(written);
    fr_config_destroy(&config);
    fr_config_destroy(&again);
}

static void values_are_what_json_takes_them_for(void)
{
    check_arguments("{b: true, a: false, c: null, d: ~, e: }",
                    "{\"a\":false,\"b\":true,\"c\":null,\"d\":null,\"e\":null}");
    check_arguments("{a: 1, b: -2.5, c: 1e3, d: 007, e: y, f: 0x10, g: .5}",
                    "{\"a\":1,\"b\":-2.5,\"c\":1000.0,\"d\":\"007\",\"e\":\"y\","
                    "\"f\":\"0x10\",\"g\":\".5\"}");
    check_arguments(
        "{a: \"1\", b: 'true', c: \"\", d: plain text, \"e f\": \"\\u00e9\\n\"}",
        "{\"a\":\"1\",\"b\":\"true\",\"c\":\"\",\"d\":\"plain text\","
        "\"e f\":\"\xC3\xA9\\n\"}");
    check_arguments("{tools: [{name: f, parameters: {x: [1, [2]]}}, {}]}",
                    "{\"tools\":[{\"name\":\"f\",\"parameters\":{\"x\":[1,[2]]}},{}]}");
    check_arguments("'{\"a\": [1, \"\\u0085\\u2028\"]}'",
                    "{\"a\":[1,\"\xC2\x85\xE2\x80\xA8\"]}");
    check_arguments("{a: &x [1], b: *x}", "{\"a\":[1],\"b\":[1]}");
    check_arguments("{}", "{}");
}

static void chat_is_a_word_or_a_section(void)
{
    fr_config *config = NULL;
    char *written = NULL;
    FR_ASSERT_OK(read("chat: true", &config));
    CU_ASSERT_TRUE(config->tasks[0].chat);
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), config, &written));
    CU_ASSERT_PTR_NOT_NULL(strstr(written, "    chat: true\n"));
    CU_ASSERT_PTR_NULL(strstr(written, "chat:\n"));
    free(written);
    fr_config_destroy(&config);
    FR_ASSERT_OK(
        read("chat: {template: f.jinja, clock: 2026-01-31}, loss: last", &config));
    CU_ASSERT_TRUE(config->tasks[0].chat);
    CU_ASSERT_STRING_EQUAL(config->tasks[0].chat_template, "f.jinja");
    CU_ASSERT_STRING_EQUAL(config->tasks[0].chat_clock, "2026-01-31");
    CU_ASSERT_PTR_NULL(config->tasks[0].chat_arguments);
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), config, &written));
    CU_ASSERT_PTR_NOT_NULL(strstr(written, "    chat:\n      template: \"f.jinja\"\n"
                                           "      clock: \"2026-01-31\"\n"));
    CU_ASSERT_PTR_NULL(strstr(written, "chat: true"));
    free(written);
    fr_config_destroy(&config);
}

static void refuses(const char *keys, const char *part)
{
    fr_config *config = NULL;
    FR_ASSERT_FAILS(read(keys, &config), FR_ERR_CONFIG, part);
    CU_ASSERT_PTR_NULL(config);
}

static void bad_sections_are_named(void)
{
    refuses("chat: {}", "tasks[0].chat is an empty map, must be true, false, or");
    refuses("chat: [true]", "must be true, false or a map");
    refuses("chat: yes", "must be true or false");
    refuses("chat: true, chat: {clock: 2026-01-31}", "tasks[0].chat is given twice");
    refuses("chat: {clock: 2026-01-31}, chat: false", "tasks[0].chat is given twice");
    refuses("chat: {clock: 2026-02-30}",
            "tasks[0].chat.clock is 2026-02-30, must be a date");
    refuses("chat: {arguments: [1]}",
            "tasks[0].chat.arguments is a list, must be a map");
    refuses("chat: {arguments: 3}", "tasks[0].chat.arguments must be an object");
    refuses("chat: {arguments: {a: 1, a: 2}}", "holds the key a twice");
    refuses("chat: {arguments: {[a]: 1}}", "holds a key that is not a word");
    refuses("chat: {arguments: {a: \"x\\0y\"}}", "holds a NUL character");
    refuses("chat: {arguments: {a: False}}",
            "holds False, which is not a value of JSON");
    refuses("chat: {arguments: {a: [1, {b: off}]}}", "write true, false or null, or");
    refuses("chat: {arguments: }", "tasks[0].chat.arguments has no value");
    refuses("chat: {kwargs: {a: 1}}", "unknown key tasks[0].chat.kwargs");
    refuses("chat: {clock: 2026-01-31}, template: \"{target}\"",
            "tasks[0].template and chat exclude each other");
}

/* Aliases of aliases: a few hundred bytes that stand for billions of values. */
static void repeated_values_are_counted(void)
{
    char keys[TEXT_BYTES];
    size_t used =
        (size_t)snprintf(keys, sizeof keys, "chat: {arguments: {a0: &a0 [1, 1]");
    for (int i = 1; i < 30; i++) {
        used += (size_t)snprintf(keys + used, sizeof keys - used,
                                 ", a%d: &a%d [*a%d, *a%d, *a%d]", i, i, i - 1, i - 1,
                                 i - 1);
    }
    (void)snprintf(keys + used, sizeof keys - used, "}}");
    refuses(keys, "has more than 100000 values");
}

/* Keys count as values do: an alias repeats them, too. */
static void repeated_keys_are_counted(void)
{
    enum {
        KEY_BYTES = 60000,
        REPEATED = 600,
        BYTES = KEY_BYTES + 16 * REPEATED + 4096
    };
    static const char BEGIN[] = HEAD "chat: {arguments: {a: [&k {? \"";
    fr_config *config = NULL;
    char *text = malloc(BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    size_t used = sizeof BEGIN - 1;
    memcpy(text, BEGIN, used);
    memset(text + used, 'k', KEY_BYTES);
    used += KEY_BYTES;
    used += (size_t)snprintf(text + used, BYTES - used, "\" : 1}");
    for (int i = 0; i < REPEATED; i++) {
        used += (size_t)snprintf(text + used, BYTES - used, ", *k");
    }
    (void)snprintf(text + used, BYTES - used, "]}}}\n");
    FR_ASSERT_FAILS(fr_config_parse(fr_test_ctx(), "x.yaml", text, &config),
                    FR_ERR_CONFIG, "the values take more than 32 MiB together");
    free(text);
}

static const fr_case CASES[] = {
    FR_CASE(values_are_what_json_takes_them_for),
    FR_CASE(chat_is_a_word_or_a_section),
    FR_CASE(bad_sections_are_named),
    FR_CASE(repeated_values_are_counted),
    FR_CASE(repeated_keys_are_counted),
};

int main(int argc, char **argv)
{
    return fr_suite_main("config_chat", CASES, FR_N_CASES(CASES), argc, argv);
}
