#include "model/text/chat.h"

#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static const fr_chat_names NAMES = {"<s>", "</s>"};
static const char TURNS[] =
    "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";

/* Renders one user's turn with `tools` (JSON, or NULL) and compares the text. */
static void check(const fr_chat_settings *settings, const char *tools,
                  const char *wanted)
{
    fr_chat *chat = NULL;
    fr_jinja_rendered rendered = {0};
    int64_t steps = FR_CHAT_STEPS;
    fr_chat_said said = {
        json_pack("[{s:s, s:s, s:i}]", "role", "user", "content", "a", "weight", 1),
        tools != NULL ? json_loads(tools, 0, NULL) : NULL};
    FR_ASSERT_OK(fr_chat_open(fr_test_ctx(), settings, &NAMES, &chat));
    FR_ASSERT_OK(
        fr_chat_render(fr_test_ctx(), chat, &said, 1, true, &steps, &rendered));
    CU_ASSERT_STRING_EQUAL(rendered.text, wanted);
    CU_ASSERT_TRUE(steps < FR_CHAT_STEPS);
    fr_jinja_rendered_fini(&rendered);
    json_decref(said.messages);
    json_decref(said.tools);
    fr_chat_close(&chat);
}

static void a_template_sees_what_transformers_gives(void)
{
    check(&(fr_chat_settings){TURNS, NULL, NULL}, NULL, "user:a;");
    check(
        &(fr_chat_settings){"{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}"
                            "{{ tools }}{{ documents }}{{ messages[0] }}",
                            NULL, NULL},
        NULL, "<s></s>TrueNoneNone{'role': 'user', 'content': 'a'}");
}

static void settings_reach_the_template(void)
{
    static const char TEXT[] =
        "{{ strftime_now('%d.%m.%Y %H') }} {{ mode.x }} {{ tools|join }}";
    fr_chat_settings settings = {TEXT, "{\"tools\": [1, 2], \"mode\": {\"x\": false}}",
                                 "1999-12-31 07:00:00"};
    check(&settings, NULL, "31.12.1999 07 False 12");
    check(&settings, "[\"t\"]", "31.12.1999 07 False t");
    settings.arguments = "{\"mode\": {\"x\": null}, \"tools\": []}";
    check(&settings, NULL, "31.12.1999 07 None ");
    settings = (fr_chat_settings){"{{ bos_token }}", "{\"bos_token\": \"B\"}", NULL};
    check(&settings, NULL, "B");
}

static void settings_are_kept_in_one_form(void)
{
    fr_chat *chat = NULL;
    const fr_chat_settings settings = {"{{ b }}{{ a }}", " {\"b\": 1, \"a\": [ ]}",
                                       "2026-01-31"};
    FR_ASSERT_OK(fr_chat_open(fr_test_ctx(), &settings, &NAMES, &chat));
    const fr_chat_settings kept = fr_chat_settings_of(chat);
    CU_ASSERT_STRING_EQUAL(kept.template_text, settings.template_text);
    CU_ASSERT_STRING_EQUAL(kept.arguments, "{\"a\":[],\"b\":1}");
    CU_ASSERT_STRING_EQUAL(kept.clock, "2026-01-31");
    fr_chat_close(&chat);
}

static void bad_settings_are_named(void)
{
    static const struct {
        fr_chat_settings settings;
        const char *part;
    } BAD[] = {
        {{TURNS, "[]", NULL}, "the arguments of the chat template must be an object"},
        {{TURNS, "{", NULL}, "the arguments of the chat template must be an object"},
        {{TURNS, "{\"messages\": 1}", NULL}, "must not set messages"},
        {{TURNS, "{\"add_generation_prompt\": 1}", NULL},
         "must not set add_generation_prompt"},
        {{NULL, "{\"messages\": 1}", NULL}, "must not set messages"},
        {{TURNS, "{\"rle\": 1}", NULL}, "does not read the argument 'rle'"},
        {{TURNS, "{\"rol\": 1}", NULL}, "does not read the argument 'rol'"},
        {{TURNS, "{\"essages\": 1}", NULL}, "does not read the argument 'essages'"},
        {{TURNS, "{\"\": 1}", NULL}, "does not read the argument ''"},
        {{TURNS, NULL, "2026"},
         "the clock of the chat template is '2026', but must be"},
        {{TURNS, NULL, ""}, "the clock of the chat template is ''"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        fr_chat *chat = NULL;
        FR_ASSERT_FAILS(fr_chat_open(fr_test_ctx(), &BAD[i].settings, &NAMES, &chat),
                        FR_ERR_CONFIG, BAD[i].part);
        CU_ASSERT_PTR_NULL(chat);
    }
}

/* A model with such a template works for everything else. */
static void a_refused_template_fails_only_when_rendered(void)
{
    fr_chat *chat = NULL;
    fr_jinja_rendered rendered = {0};
    int64_t steps = FR_CHAT_STEPS;
    const fr_chat_settings settings = {"\n{% if %}", "{\"anything\": 1}", NULL};
    const fr_chat_said said = {json_array(), NULL};
    FR_ASSERT_OK(fr_chat_open(fr_test_ctx(), &settings, &NAMES, &chat));
    CU_ASSERT_FALSE(fr_chat_is_usable(chat));
    CU_ASSERT_PTR_NOT_NULL_FATAL(fr_chat_refusal(chat));
    CU_ASSERT_PTR_NOT_NULL(strstr(fr_chat_refusal(chat), "line 2"));
    FR_ASSERT_FAILS(
        fr_chat_render(fr_test_ctx(), chat, &said, 0, true, &steps, &rendered),
        FR_ERR_UNSUPPORTED, "the chat template cannot be used: ");
    json_decref(said.messages);
    fr_chat_close(&chat);
    FR_ASSERT_OK(fr_chat_open(fr_test_ctx(), &(fr_chat_settings){NULL, NULL, NULL},
                              &NAMES, &chat));
    CU_ASSERT_PTR_NULL(fr_chat_refusal(chat));
    CU_ASSERT_FALSE(fr_chat_is_usable(chat));
    fr_chat_close(&chat);
}

static const fr_case CASES[] = {
    FR_CASE(a_template_sees_what_transformers_gives),
    FR_CASE(settings_reach_the_template),
    FR_CASE(settings_are_kept_in_one_form),
    FR_CASE(bad_settings_are_named),
    FR_CASE(a_refused_template_fails_only_when_rendered),
};

int main(int argc, char **argv)
{
    return fr_suite_main("chat", CASES, FR_N_CASES(CASES), argc, argv);
}
