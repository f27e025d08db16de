#include "model/text/dialogue.h"
#include "support/suite.h"
#include "support/tiny_model.h"
#include "support/tiny_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 4096 };

/* Writes a default system message; "%s" is where it stands. */
#define TEMPLATE(system)                                                               \
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != "        \
    "'system' %}{{ '<|im_start|>system\n" system "<|im_end|>\n' }}{% endif %}"         \
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "                \
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"                  \
    "{{ '<|im_start|>assistant\n' }}{% endif %}"

static const char KIND[] = "Be kind.";

#define SAYS(role, content)                                                            \
    {                                                                                  \
        role, content, sizeof(content) - 1, false                                      \
    }
#define SKIPPED(role, content)                                                         \
    {                                                                                  \
        role, content, sizeof(content) - 1, true                                       \
    }

static fr_tokenizer *open_with(const char *template)
{
    json_t *root = fr_tiny_json();
    json_t *config = json_pack("{s:s}", "chat_template", template);
    char *text = json_dumps(config, 0);
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, text);
    free(text);
    json_decref(config);
    json_decref(root);
    return tokenizer;
}

/* What the template writes; `system` is its default system message, NULL for none. */
static void render(const char *system, const fr_message *messages, int64_t n,
                   bool open_assistant, char out[TEXT_BYTES])
{
    size_t used = 0;
    out[0] = '\0';
    if (system != NULL && strcmp(messages[0].role, "system") != 0) {
        used += (size_t)snprintf(out, TEXT_BYTES, "<|im_start|>system\n%s<|im_end|>\n",
                                 system);
    }
    for (int64_t i = 0; i < n; i++) {
        used += (size_t)snprintf(out + used, TEXT_BYTES - used,
                                 "<|im_start|>%s\n%s<|im_end|>\n", messages[i].role,
                                 messages[i].content);
    }
    (void)snprintf(out + used, TEXT_BYTES - used, "%s",
                   open_assistant ? "<|im_start|>assistant\n" : "");
}

/* Text of the counted ids (or of the others). */
static char *text_of(const fr_tokenizer *tokenizer, const fr_ids *ids,
                     const fr_ids *counted, int32_t wanted)
{
    char *text = NULL;
    size_t bytes = 0;
    fr_ids kept = {0};
    for (int64_t i = 0; i < ids->count; i++) {
        if (counted->data[i] == wanted) {
            FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &kept, ids->data[i]));
        }
    }
    FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, kept.data, kept.count,
                                     false, &text, &bytes));
    fr_ids_fini(&kept);
    return text;
}

static const fr_message TALK[] = {SAYS("user", "hello  12"),
                                  SAYS("assistant", "hell\n\nhello"),
                                  SAYS("user", "  what?\n"), SAYS("assistant", "he w")};

static void check_counted(const fr_tokenizer *tokenizer, bool last_only,
                          const char *wanted)
{
    fr_ids ids = {0};
    fr_ids counted = {0};
    FR_ASSERT_OK(fr_dialogue_encode(fr_test_ctx(), tokenizer,
                                    &(fr_dialogue){TALK, 4, last_only, false, false},
                                    &ids, &counted, NULL));
    CU_ASSERT_EQUAL(ids.count, counted.count);
    char *text = text_of(tokenizer, &ids, &counted, 1);
    CU_ASSERT_STRING_EQUAL(text, wanted);
    free(text);
    fr_ids_fini(&ids);
    fr_ids_fini(&counted);
}

static void assistant_content_and_its_end_are_counted(void)
{
    fr_tokenizer *tokenizer = open_with(TEMPLATE("Be kind."));
    check_counted(tokenizer, false, "hell\n\nhello<|im_end|>he w<|im_end|>");
    check_counted(tokenizer, true, "he w<|im_end|>");
    CU_ASSERT_EQUAL(fr_tokenizer_chat_frame(tokenizer)->end, FR_TINY_IM_END);
    fr_tokenizer_close(&tokenizer);
}

/* The ids of the dialogue are those of the rendered text. */
static void check_rendered(const fr_tokenizer *tokenizer, const char *system,
                           const fr_message *messages, int64_t n, bool open_assistant)
{
    char text[TEXT_BYTES];
    fr_ids ids = {0};
    fr_ids counted = {0};
    render(system, messages, n, open_assistant, text);
    FR_ASSERT_OK(
        fr_dialogue_encode(fr_test_ctx(), tokenizer,
                           &(fr_dialogue){messages, n, false, open_assistant, false},
                           &ids, &counted, NULL));
    CU_ASSERT_EQUAL(ids.count, counted.count);
    fr_assert_encodes(tokenizer, text, strlen(text), true, ids.data, ids.count);
    fr_ids_fini(&ids);
    fr_ids_fini(&counted);
}

static const fr_message GUIDED[] = {SAYS("system", "  Be short."),
                                    SAYS("user", "\n\nhello"),
                                    SAYS("assistant", " hello w")};
static const fr_message UNICODE[] = {
    SAYS("user", "\xC3\xA9\xE4\xBD\xA0 <|not special|>\t"), SAYS("assistant", "")};

static void check_all_rendered(const fr_tokenizer *tokenizer, const char *system)
{
    check_rendered(tokenizer, system, TALK, 4, false);
    check_rendered(tokenizer, system, TALK, 3, true);
    check_rendered(tokenizer, system, GUIDED, 3, false);
    check_rendered(tokenizer, system, GUIDED, 2, true);
    check_rendered(tokenizer, system, UNICODE, 2, true);
}

static void ids_are_those_of_the_rendered_text(void)
{
    fr_tokenizer *tokenizer = open_with(TEMPLATE("Be kind."));
    check_all_rendered(tokenizer, KIND);
    fr_tokenizer_close(&tokenizer);
}

static void ids_are_those_of_the_rendered_text_of_smollm2(void)
{
    fr_tokenizer *tokenizer = NULL;
    if (fr_real_model() == NULL) {
        fr_skip("SmolLM2 is not there: launch/fetch-model.sh gets it");
        return;
    }
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), fr_real_model(), &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    check_all_rendered(tokenizer,
                       "You are a helpful AI assistant named SmolLM, trained "
                       "by Hugging Face");
    fr_tokenizer_close(&tokenizer);
}

/* Training must continue the ids that an opened assistant turn ends with, whatever the answer begins
 * with. */
static void an_answer_continues_the_ids_of_the_opened_turn(void)
{
    static const fr_message SPACED[] = {SAYS("user", "hello"),
                                        SAYS("assistant", "\n\n\nhello")};
    fr_tokenizer *tokenizer = open_with(TEMPLATE("Be kind."));
    fr_ids opened = {0};
    fr_ids whole = {0};
    fr_ids flags = {0};
    FR_ASSERT_OK(fr_dialogue_encode(fr_test_ctx(), tokenizer,
                                    &(fr_dialogue){SPACED, 1, false, true, false},
                                    &opened, &flags, NULL));
    flags.count = 0;
    FR_ASSERT_OK(fr_dialogue_encode(fr_test_ctx(), tokenizer,
                                    &(fr_dialogue){SPACED, 2, false, false, false},
                                    &whole, &flags, NULL));
    CU_ASSERT_TRUE_FATAL(whole.count > opened.count);
    fr_assert_same_bytes("opening", whole.data, opened.data,
                         (size_t)opened.count * sizeof *opened.data);
    for (int64_t i = 0; i < whole.count; i++) {
        bool counted = i >= opened.count && i < whole.count - 1;
        CU_ASSERT_EQUAL(flags.data[i], counted ? 1 : 0);
    }
    fr_ids_fini(&opened);
    fr_ids_fini(&whole);
    fr_ids_fini(&flags);
    fr_tokenizer_close(&tokenizer);
}

static void check_refused(const fr_message *messages, int64_t n, const char *part)
{
    fr_tokenizer *tokenizer = open_with(TEMPLATE("Be kind."));
    fr_ids ids = {0};
    fr_ids counted = {0};
    FR_ASSERT_FAILS(fr_dialogue_encode(fr_test_ctx(), tokenizer,
                                       &(fr_dialogue){messages, n, false, false, false},
                                       &ids, &counted, NULL),
                    FR_ERR_DATA, part);
    CU_ASSERT_EQUAL(ids.count, 0);
    CU_ASSERT_EQUAL(counted.count, 0);
    fr_tokenizer_close(&tokenizer);
}

static void contents_are_told_from_the_template(void)
{
    static const fr_message MINE[] = {
        SAYS("system", "\n\n\nhe"), SAYS("user", "hello w"), SAYS("assistant", "hell")};
    fr_tokenizer *tokenizer = open_with(TEMPLATE("Be kind."));
    fr_ids ids = {0};
    fr_ids counted = {0};
    fr_ids own = {0};
    /* the role's line end and that of the content are one token: the template's */
    FR_ASSERT_OK(fr_dialogue_encode(fr_test_ctx(), tokenizer,
                                    &(fr_dialogue){MINE, 3, false, true, false}, &ids,
                                    &counted, &own));
    CU_ASSERT_EQUAL(own.count, ids.count);
    char *text = text_of(tokenizer, &ids, &own, 1);
    CU_ASSERT_STRING_EQUAL(text, "\n\nhehello whell");
    free(text);
    ids.count = counted.count = own.count = 0;
    /* the template's own system message is no row's */
    FR_ASSERT_OK(fr_dialogue_encode(fr_test_ctx(), tokenizer,
                                    &(fr_dialogue){MINE + 1, 2, false, false, false},
                                    &ids, &counted, &own));
    text = text_of(tokenizer, &ids, &own, 1);
    CU_ASSERT_STRING_EQUAL(text, "hello whell");
    free(text);
    fr_ids_fini(&ids);
    fr_ids_fini(&counted);
    fr_ids_fini(&own);
    fr_tokenizer_close(&tokenizer);
}

static void skipped_turns_are_not_counted(void)
{
    static const fr_message SOME[] = {SAYS("user", "a"), SAYS("assistant", "he"),
                                      SAYS("user", "b"), SKIPPED("assistant", "ll")};
    static const fr_message NONE[] = {SKIPPED("user", "a"), SKIPPED("assistant", "he")};
    fr_tokenizer *tokenizer = open_with(TEMPLATE("Be kind."));
    for (int last_only = 0; last_only < 2; last_only++) {
        fr_ids ids = {0};
        fr_ids counted = {0};
        FR_ASSERT_OK(
            fr_dialogue_encode(fr_test_ctx(), tokenizer,
                               &(fr_dialogue){SOME, 4, last_only != 0, false, false},
                               &ids, &counted, NULL));
        char *text = text_of(tokenizer, &ids, &counted, 1);
        CU_ASSERT_STRING_EQUAL(text, "he<|im_end|>");
        free(text);
        fr_ids_fini(&ids);
        fr_ids_fini(&counted);
    }
    fr_tokenizer_close(&tokenizer);
    check_refused(NONE, 2, "kept out of the loss");
}

static void contents_may_hold_any_bytes(void)
{
    static const fr_message ODD[] = {SAYS("user", "a\0b"),
                                     SAYS("assistant", "he\0\0ll")};
    fr_tokenizer *tokenizer = open_with(TEMPLATE("Be kind."));
    fr_ids ids = {0};
    fr_ids counted = {0};
    fr_ids own = {0};
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(fr_dialogue_encode(fr_test_ctx(), tokenizer,
                                    &(fr_dialogue){ODD, 2, false, false, false}, &ids,
                                    &counted, &own));
    FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids.data, ids.count,
                                     true, &text, &bytes));
    static const char WANTED[] = "system\nBe kind.\nuser\na\0b\nassistant\nhe\0\0ll\n";
    CU_ASSERT_EQUAL_FATAL(bytes, sizeof WANTED - 1);
    fr_assert_same_bytes("dialogue", text, WANTED, bytes);
    free(text);
    fr_ids_fini(&ids);
    fr_ids_fini(&counted);
    fr_ids_fini(&own);
    fr_tokenizer_close(&tokenizer);
}

static int64_t count_id(const fr_ids *ids, int32_t id)
{
    int64_t n = 0;
    for (int64_t i = 0; i < ids->count; i++) {
        n += ids->data[i] == id;
    }
    return n;
}

static void markers_in_content_are_text_unless_asked(void)
{
    static const fr_message SLY[] = {SAYS("user", "<|im_end|>"),
                                     SAYS("assistant", "<|im_end|>")};
    fr_tokenizer *tokenizer = open_with(TEMPLATE("Be kind."));
    for (int special = 0; special < 2; special++) {
        fr_ids ids = {0};
        fr_ids counted = {0};
        FR_ASSERT_OK(fr_dialogue_encode(
            fr_test_ctx(), tokenizer,
            &(fr_dialogue){SLY, 2, false, false, special != 0}, &ids, &counted, NULL));
        CU_ASSERT_EQUAL(count_id(&ids, FR_TINY_IM_END), special != 0 ? 5 : 3);
        fr_ids_fini(&ids);
        fr_ids_fini(&counted);
    }
    fr_tokenizer_close(&tokenizer);
}

/* A template and the default system message in it, or why it is refused. */
typedef struct template_case {
    const char *text;
    const char *system;
} template_case;

#define TURNS                                                                          \
    "{% for m in messages %}{{'<|im_start|>' + m.role + '\n' + m.content + "           \
    "'<|im_end|>\n'}}{% endfor %}"
#define PROMPT                                                                         \
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
#define SYSTEM(text) "<|im_start|>system\n" text "<|im_end|>\n"
#define NO_SYSTEM "{% if messages[0].role != 'system' %}"

static const template_case TEMPLATES[] = {
    {TURNS PROMPT, NULL},
    {TEMPLATE("It\\'s \\\"so\\\""), "It's \"so\""},
    {NO_SYSTEM "{{ \"" SYSTEM("It's so") "\" }}{% endif %}" TURNS PROMPT, "It's so"},
    {NO_SYSTEM "{{ '<|im_start|>' + 'system\\n' + 'a' + \"b\" + '<|im_end|>\n' "
               "}}{% endif %}" TURNS PROMPT,
     "ab"},
    {NO_SYSTEM SYSTEM("plain") "{% endif %}" TURNS PROMPT, "plain"},
    {NO_SYSTEM "{{- '<|im_start|>system\\n' -}}\n  {{- 'a\\tb' }}\n{{- "
               "'<|im_end|>\\n' }}{% endif %}" TURNS PROMPT,
     "a\tb"},
    {NO_SYSTEM SYSTEM("") "{% endif %}" TURNS PROMPT, ""},
    /* a system message that is found by running alone */
    {"{% set s = 'by ' ~ 'name' %}{% if messages[0]['role'] == 'system' %}{% set s = "
     "messages[0]['content'] %}{% endif %}{{ '" SYSTEM(
         "' + s + '") "' }}"
                      "{% for m in messages if m.role != 'system' %}{{'<|im_start|>' + "
                      "m.role + '\n' + "
                      "m.content + '<|im_end|>\n'}}{% endfor %}" PROMPT,
     "by name"},
    /* not written without tools */
    {"{% if tools %}" SYSTEM("Call them.") "{% endif %}" TURNS PROMPT, NULL},
    {"{# '" SYSTEM("no") "' #}" TURNS PROMPT, NULL},
};

static void the_default_system_message_is_read_from_the_template(void)
{
    for (int i = 0; i < FR_N_CASES(TEMPLATES); i++) {
        fr_tokenizer *tokenizer = open_with(TEMPLATES[i].text);
        check_rendered(tokenizer, TEMPLATES[i].system, TALK, 4, false);
        fr_tokenizer_close(&tokenizer);
    }
}

static void bad_dialogues_are_refused(void)
{
    static const fr_message TOOL[] = {SAYS("user", "a"), SAYS("tool", "b"),
                                      SAYS("assistant", "c")};
    static const fr_message CASED[] = {SAYS("Assistant", "c")};
    static const fr_message UNANSWERED[] = {SAYS("system", "a"), SAYS("user", "b")};
    check_refused(TOOL, 3, "message 2 has the role 'tool'");
    check_refused(CASED, 1, "message 1 has the role 'Assistant'");
    check_refused(UNANSWERED, 2, "has no assistant turn");
    check_refused(UNANSWERED, 0, "has no messages");
}

static void other_templates_are_refused(void)
{
    static const template_case OTHERS[] = {
        {"",
         "not ChatML as Forerun writes it: for a user turn it writes \"\" at byte 0"},
        {"[INST] {{ messages[0].content }} [/INST]", "it writes \"[INST] What"},
        {TURNS, "for a user turn it writes"},
        {"{{ '<s>' }}" TURNS PROMPT, "it writes \"<s><|im_start|>user"},
        {"{% for m in messages %}{{'<|im_start|>' + m.role + '<|im_sep|>' + m.content "
         "+ "
         "'<|im_end|>'}}{% endfor %}" PROMPT,
         "user<|im_sep|>What"},
        {"{% for m in messages %}{{'<|im_start|>' + m.role + '\n' + m.content|trim + "
         "'<|im_end|>\n'}}{% endfor %}" PROMPT,
         "for turns with white space, quotes, braces and accents it writes"},
        {SYSTEM("always") TURNS PROMPT,
         "for system, user and assistant turns it writes \">system\\nalways"},
        {"{% if messages|length == 3 %}x{% endif %}" TURNS PROMPT,
         "for system, user and assistant turns it writes \"x<"},
        {"{{ nothing.x }}" TURNS PROMPT, "line 1: 'nothing' is undefined"},
        {"\n\n{{ messages|shuffle }}", "line 3: the filter 'shuffle' is not supported"},
        {"{{ strftime_now('%Y') }}" TURNS PROMPT, "clock"},
        {"{{ raise_exception('not ' ~ 1) }}", "refuses the dialogue: not 1"},
        {"{% if a %}", "line 1: endif is expected, found the end of the template"},
    };
    for (int i = 0; i < FR_N_CASES(OTHERS); i++) {
        fr_tokenizer *tokenizer = open_with(OTHERS[i].text);
        fr_ids ids = {0};
        FR_ASSERT_FAILS(fr_dialogue_encode(fr_test_ctx(), tokenizer,
                                           &(fr_dialogue){TALK, 4, false, false, false},
                                           &ids, &ids, NULL),
                        FR_ERR_UNSUPPORTED, OTHERS[i].system);
        fr_tokenizer_close(&tokenizer);
    }
}

/* A tokenizer_config.json */
static const char CHATML[] =
    "{\"chat_template\": \"{% for m in messages %}{{'<|im_start|>' + m.role + '\\n' + "
    "m.content + '<|im_end|>\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\\n' }}{% endif %}\"}";

static void a_template_without_its_tokens_is_refused(void)
{
    json_t *root = fr_tiny_json();
    fr_ids ids = {0};
    (void)json_array_remove(json_object_get(root, "added_tokens"), 2);
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, CHATML);
    FR_ASSERT_FAILS(fr_dialogue_encode(fr_test_ctx(), tokenizer,
                                       &(fr_dialogue){TALK, 4, false, false, false},
                                       &ids, &ids, NULL),
                    FR_ERR_UNSUPPORTED, "special tokens");
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

static void a_failure_leaves_the_lists_as_they_were(void)
{
    json_t *root = fr_tiny_json();
    json_t *model = json_object_get(root, "model");
    static const fr_message NAUGHTY[] = {SAYS("user", "fine"),
                                         SAYS("assistant", "\x7F")};
    fr_ids ids = {0};
    fr_ids counted = {0};
    /* the byte 7F loses its token: the character that stands for it becomes another text */
    (void)json_object_del(json_object_get(model, "vocab"), "\xC4\xA1");
    (void)json_object_set_new(json_object_get(model, "vocab"), "zz",
                              json_integer(0x7F));
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, CHATML);
    FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &ids, 1));
    FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &counted, 0));
    FR_ASSERT_FAILS(fr_dialogue_encode(fr_test_ctx(), tokenizer,
                                       &(fr_dialogue){NAUGHTY, 2, false, false, false},
                                       &ids, &counted, NULL),
                    FR_ERR_DATA, "0x7F");
    CU_ASSERT_EQUAL(ids.count, 1);
    CU_ASSERT_EQUAL(counted.count, 1);
    fr_ids_fini(&ids);
    fr_ids_fini(&counted);
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

static const fr_case CASES[] = {
    FR_CASE(assistant_content_and_its_end_are_counted),
    FR_CASE(ids_are_those_of_the_rendered_text),
    FR_CASE(ids_are_those_of_the_rendered_text_of_smollm2),
    FR_CASE(an_answer_continues_the_ids_of_the_opened_turn),
    FR_CASE(contents_are_told_from_the_template),
    FR_CASE(skipped_turns_are_not_counted),
    FR_CASE(contents_may_hold_any_bytes),
    FR_CASE(markers_in_content_are_text_unless_asked),
    FR_CASE(the_default_system_message_is_read_from_the_template),
    FR_CASE(bad_dialogues_are_refused),
    FR_CASE(other_templates_are_refused),
    FR_CASE(a_template_without_its_tokens_is_refused),
    FR_CASE(a_failure_leaves_the_lists_as_they_were)};

int main(int argc, char **argv)
{
    return fr_suite_main("dialogue", CASES, FR_N_CASES(CASES), argc, argv);
}
