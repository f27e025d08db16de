#include "model/text/dialogue.h"
#include "support/suite.h"
#include "support/tiny_model.h"
#include "support/tiny_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 4096 };

#define PROMPT                                                                         \
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
#define TURNS                                                                          \
    "{% for m in messages %}{{'<|im_start|>' + m.role + '\n' + m.content + "           \
    "'<|im_end|>\n'}}{% endfor %}"
#define KIND                                                                           \
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n"    \
    "{% endif %}"

static const char CHATML[] = KIND TURNS PROMPT;

/* Marks what the assistant says. */
static const char MARKED[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}"
    "{{ m.content }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}" PROMPT;

/* As Llama 2: roles without tokens of their own, answers between spaces. */
static const char LLAMA2[] =
    "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' "
    "[/INST]' }}{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}"
    "{% endfor %}";

/* As Gemma: another name for the assistant, contents without white space at their ends. */
static const char GEMMA[] =
    "{{ bos_token }}{% for m in messages %}{% set role = 'model' if m.role == "
    "'assistant' else m.role %}{{ '<|im_start|>' + role + '\n' + m.content | trim + "
    "'<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>model\n' }}{% endif %}";

/* As Llama 3: an empty line behind the role. */
static const char LLAMA3[] =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '<|im_start|>\n\n' + "
    "m.content "
    "| trim + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant<|im_start|>\n\n' }}{% endif %}";

/* As Alpaca: no special token at all. */
static const char ALPACA[] =
    "{% for m in messages %}{% if m.role == 'user' %}### Instruction:\n{{ m.content "
    "}}\n"
    "\n{% else %}### Response:\n{{ m.content }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Response:\n{% endif %}";

/* As Qwen 3: an answer has thoughts, until another question follows. */
static const char THINKS[] =
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}"
    "{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and loop.index0 > "
    "ns.last %}{{ '<think>' + (m.thoughts or '') + '</think>' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}" PROMPT;

/* Opens an answer with more than it writes of a finished one. */
static const char OPENS_MORE[] =
    TURNS "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}"
          "{% endif %}";

static fr_tokenizer *open_with(const char *template)
{
    json_t *root = fr_tiny_json();
    json_t *config =
        json_pack("{s:s, s:s, s:s}", "chat_template", template, "bos_token",
                  "<|im_start|>", "eos_token", "<|endoftext|>");
    char *text = json_dumps(config, 0);
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, text);
    free(text);
    json_decref(config);
    json_decref(root);
    return tokenizer;
}

/* The ids as text, those with a flag between [ and ]. */
static void show(const fr_tokenizer *tokenizer, const fr_ids *ids, const fr_ids *flags,
                 char out[TEXT_BYTES])
{
    size_t used = 0;
    CU_ASSERT_EQUAL_FATAL(ids->count, flags->count);
    out[0] = '\0';
    for (int64_t i = 0; i < ids->count; i++) {
        char *text = NULL;
        size_t bytes = 0;
        bool begins = flags->data[i] != 0 && (i == 0 || flags->data[i - 1] == 0);
        bool ends =
            flags->data[i] != 0 && (i + 1 == ids->count || flags->data[i + 1] == 0);
        FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, &ids->data[i], 1,
                                         false, &text, &bytes));
        used += (size_t)snprintf(out + used, TEXT_BYTES - used, "%s%s%s",
                                 begins ? "[" : "", text, ends ? "]" : "");
        free(text);
    }
}

static void check_text(const char *what, const char *got, const char *wanted)
{
    if (strcmp(got, wanted) != 0) {
        (void)printf("    %s\n    gives  %s\n    wanted %s\n", what, got, wanted);
        CU_FAIL("another text");
    }
}

/* Encodes with `how`, whose messages come from `json`. */
static fr_status encode(const fr_tokenizer *tokenizer, const char *json,
                        fr_dialogue how, fr_dialogue_ids *out)
{
    json_error_t error;
    how.messages = json_loads(json, JSON_ALLOW_NUL, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(how.messages);
    fr_status status = fr_dialogue_encode(fr_test_ctx(), tokenizer, &how, out);
    json_decref(how.messages);
    return status;
}

static void check_counted(const fr_tokenizer *tokenizer, const char *json,
                          fr_dialogue how, const char *wanted)
{
    char text[TEXT_BYTES];
    fr_dialogue_ids got = {0};
    FR_ASSERT_OK(encode(tokenizer, json, how, &got));
    show(tokenizer, &got.ids, &got.counted, text);
    check_text(json, text, wanted);
    CU_ASSERT_EQUAL(got.n_parts, 1);
    fr_dialogue_ids_fini(&got);
}

static void check_refused(const char *template, const char *json, fr_dialogue how,
                          fr_status wanted, const char *part)
{
    fr_tokenizer *tokenizer = open_with(template);
    fr_dialogue_ids got = {0};
    FR_ASSERT_FAILS(encode(tokenizer, json, how, &got), wanted, part);
    CU_ASSERT_PTR_NULL(got.ids.data);
    CU_ASSERT_PTR_NULL(got.counted.data);
    CU_ASSERT_PTR_NULL(got.own.data);
    fr_tokenizer_close(&tokenizer);
}

#define SAYS(role, content) "{\"role\": \"" role "\", \"content\": \"" content "\"}"

static const char TALK[] =
    "[" SAYS("user", "hello  12") ", " SAYS("assistant", "hell\\n\\nhello") ", " SAYS(
        "user", "what?") ", " SAYS("assistant", "he w") "]";

static const fr_dialogue ALL = {.messages = NULL};

static void answers_and_their_ends_are_counted(void)
{
    static const bool SKIP[] = {false, false, false, true};
    fr_tokenizer *tokenizer = open_with(CHATML);
    check_counted(tokenizer, TALK, ALL,
                  "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhello  "
                  "12<|im_end|>\n<|im_start|>assistant\n[hell\n\nhello<|im_end|>]\n"
                  "<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>assistant\n[he "
                  "w<|im_end|>]\n");
    check_counted(tokenizer, TALK, (fr_dialogue){.last_only = true},
                  "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhello  "
                  "12<|im_end|>\n<|im_start|>assistant\nhell\n\nhello<|im_end|>\n"
                  "<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>assistant\n[he "
                  "w<|im_end|>]\n");
    /* what follows the last answer that is learned is left out */
    check_counted(tokenizer, TALK, (fr_dialogue){.skip = SKIP},
                  "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhello  "
                  "12<|im_end|>\n<|im_start|>assistant\n[hell\n\nhello<|im_end|>]\n");
    check_counted(tokenizer, "[" SAYS("system", "s") ", " SAYS("user", "hello") "]",
                  (fr_dialogue){.open_assistant = true},
                  "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n"
                  "<|im_start|>assistant\n");
    fr_tokenizer_close(&tokenizer);
}

/* A template with what it writes of TALK; what is counted was found by hand. */
static const struct {
    const char *template;
    const char *wanted;
} FAMILIES[] = {
    {MARKED, "<|im_start|>user\nhello  12<|im_end|>\n<|im_start|>assistant\n[hell\n\n"
             "hello<|im_end|>]\n<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>"
             "assistant\n[he w<|im_end|>]\n"},
    {LLAMA2, "[INST] hello  12 [/INST][ hell\n\nhello <|endoftext|>][INST] what? "
             "[/INST][ he w <|endoftext|>]"},
    {GEMMA, "<|im_start|><|im_start|>user\nhello  12<|im_end|>\n<|im_start|>model\n"
            "[hell\n\nhello<|im_end|>]\n<|im_start|>user\nwhat?<|im_end|>\n"
            "<|im_start|>model\n[he w<|im_end|>]\n"},
    {LLAMA3, "<|im_start|>user<|im_start|>\n\nhello  12<|im_end|><|im_start|>assistant"
             "<|im_start|>\n\n[hell\n\nhello<|im_end|>]<|im_start|>user<|im_start|>\n\n"
             "what?<|im_end|><|im_start|>assistant<|im_start|>\n\n[he w<|im_end|>]"},
    {ALPACA, "### Instruction:\nhello  12\n\n### Response:\n[hell\n\nhello\n\n]### "
             "Instruction:\nwhat?\n\n### Response:\n[he w\n\n]"},
    {OPENS_MORE, "<|im_start|>user\nhello  12<|im_end|>\n<|im_start|>assistant\n[hell\n"
                 "\nhello<|im_end|>]\n<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>"
                 "assistant\n[he w<|im_end|>]\n"}};

static void answers_are_found_in_templates_of_many_families(void)
{
    for (int i = 0; i < FR_N_CASES(FAMILIES); i++) {
        fr_tokenizer *tokenizer = open_with(FAMILIES[i].template);
        check_counted(tokenizer, TALK, ALL, FAMILIES[i].wanted);
        fr_tokenizer_close(&tokenizer);
    }
}

static void marks_are_taken_for_the_answers_they_belong_to(void)
{
    static const bool SKIP[] = {false, true, false, false};
    fr_tokenizer *tokenizer = open_with(MARKED);
    check_counted(tokenizer, TALK, (fr_dialogue){.skip = SKIP},
                  "<|im_start|>user\nhello  12<|im_end|>\n<|im_start|>assistant\nhell\n"
                  "\nhello<|im_end|>\n<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>"
                  "assistant\n[he w<|im_end|>]\n");
    fr_tokenizer_close(&tokenizer);
}

/* An answer may begin like what a template opens an answer with. */
static void an_answer_is_not_taken_for_its_opening(void)
{
    fr_tokenizer *tokenizer = open_with(OPENS_MORE);
    check_counted(
        tokenizer, "[" SAYS("user", "a") ", " SAYS("assistant", "<b>") "]", ALL,
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n[<b><|im_end|>]"
        "\n");
    fr_tokenizer_close(&tokenizer);
}

/* Where a later turn changes an answer, each is an example of its own, with the answers before it as the template has them. */
static void answers_that_later_turns_change_are_examples_of_their_own(void)
{
    static const char *const WANTED[] = {
        "<|im_start|>user\nhello  12<|im_end|>\n<|im_start|>assistant\n[<think></think>"
        "hell\n\nhello<|im_end|>]\n",
        "<|im_start|>user\nhello  12<|im_end|>\n<|im_start|>assistant\nhell\n\nhello"
        "<|im_end|>\n<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>assistant\n[<think>"
        "</think>he w<|im_end|>]\n"};
    fr_tokenizer *tokenizer = open_with(THINKS);
    for (int part = 0; part < 2; part++) {
        char text[TEXT_BYTES];
        fr_dialogue_ids got = {0};
        FR_ASSERT_OK(encode(tokenizer, TALK, (fr_dialogue){.part = part}, &got));
        show(tokenizer, &got.ids, &got.counted, text);
        check_text("part", text, WANTED[part]);
        CU_ASSERT_EQUAL(got.n_parts, 2);
        fr_dialogue_ids_fini(&got);
    }
    /* one answer is one example */
    check_counted(tokenizer, TALK, (fr_dialogue){.last_only = true}, WANTED[1]);
    fr_tokenizer_close(&tokenizer);
}

static void check_ids(const fr_tokenizer *tokenizer, const char *json, bool opens,
                      const char *text)
{
    fr_dialogue_ids got = {0};
    FR_ASSERT_OK(encode(tokenizer, json, (fr_dialogue){.open_assistant = opens}, &got));
    fr_assert_encodes(tokenizer, text, strlen(text), true, got.ids.data, got.ids.count);
    fr_dialogue_ids_fini(&got);
}

static void ids_are_those_of_the_rendered_text(void)
{
    fr_tokenizer *tokenizer = open_with(TURNS PROMPT);
    check_ids(tokenizer,
              "[" SAYS("system", "  Be short.") ", " SAYS(
                  "user", "\\n\\nhello") ", " SAYS("assistant", " hello w") "]",
              false,
              "<|im_start|>system\n  Be short.<|im_end|>\n<|im_start|>user\n\n\nhello"
              "<|im_end|>\n<|im_start|>assistant\n hello w<|im_end|>\n");
    check_ids(tokenizer,
              "[" SAYS("user", "\xC3\xA9\xE4\xBD\xA0 <|not special|>\\t") ", " SAYS(
                  "assistant", "") "]",
              true,
              "<|im_start|>user\n\xC3\xA9\xE4\xBD\xA0 <|not special|>\t<|im_end|>\n"
              "<|im_start|>assistant\n<|im_end|>\n<|im_start|>assistant\n");
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
    check_ids(
        tokenizer, TALK, false,
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained "
        "by Hugging Face<|im_end|>\n<|im_start|>user\nhello  12<|im_end|>\n"
        "<|im_start|>assistant\nhell\n\nhello<|im_end|>\n<|im_start|>user\nwhat?"
        "<|im_end|>\n<|im_start|>assistant\nhe w<|im_end|>\n");
    fr_tokenizer_close(&tokenizer);
}

/* Training must continue the ids that an opened answer ends with, whatever the answer begins with. */
static void an_answer_continues_the_ids_of_the_opened_turn(void)
{
    fr_tokenizer *tokenizer = open_with(CHATML);
    fr_dialogue_ids opened = {0};
    fr_dialogue_ids whole = {0};
    FR_ASSERT_OK(encode(tokenizer, "[" SAYS("user", "hello") "]",
                        (fr_dialogue){.open_assistant = true}, &opened));
    FR_ASSERT_OK(
        encode(tokenizer,
               "[" SAYS("user", "hello") ", " SAYS("assistant", "\\n\\n\\nhello") "]",
               ALL, &whole));
    CU_ASSERT_TRUE_FATAL(whole.ids.count > opened.ids.count);
    fr_assert_same_bytes("opening", whole.ids.data, opened.ids.data,
                         (size_t)opened.ids.count * sizeof *opened.ids.data);
    for (int64_t i = 0; i < whole.ids.count; i++) {
        bool counted = i >= opened.ids.count && i < whole.ids.count - 1;
        CU_ASSERT_EQUAL(whole.counted.data[i], counted ? 1 : 0);
    }
    fr_dialogue_ids_fini(&opened);
    fr_dialogue_ids_fini(&whole);
    fr_tokenizer_close(&tokenizer);
}

static void check_own(const char *template, const char *json, const char *wanted)
{
    char text[TEXT_BYTES];
    fr_tokenizer *tokenizer = open_with(template);
    fr_dialogue_ids got = {0};
    FR_ASSERT_OK(encode(tokenizer, json, ALL, &got));
    show(tokenizer, &got.ids, &got.own, text);
    check_text(json, text, wanted);
    fr_dialogue_ids_fini(&got);
    fr_tokenizer_close(&tokenizer);
}

/* A token of the role's line end and the content's is the template's; words of the template are not taken for contents. */
static void contents_are_told_from_the_template(void)
{
    check_own(CHATML,
              "[" SAYS("system", "\\n\\n\\nhe") ", " SAYS("user", "user") ", " SAYS(
                  "assistant", "assistant") "]",
              "<|im_start|>system\n\n\n\n[he]<|im_end|>\n<|im_start|>user\n[user]"
              "<|im_end|>\n<|im_start|>assistant\n[assistant]<|im_end|>\n");
    check_own(
        CHATML, "[" SAYS("user", "he") ", " SAYS("assistant", "w") "]",
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n[he]<|im_end|>\n"
        "<|im_start|>assistant\n[w]<|im_end|>\n");
    check_own(GEMMA, "[" SAYS("user", "  he\\n") ", " SAYS("assistant", "w ") "]",
              "<|im_start|><|im_start|>user\n[he]<|im_end|>\n<|im_start|>model\n[w]"
              "<|im_end|>\n");
    /* a content that is changed is nobody's to cut */
    check_own("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | upper }}"
              "<|im_end|>\n{% endfor %}" PROMPT,
              "[" SAYS("user", "he") ", " SAYS("assistant", "W") "]",
              "<|im_start|>user\nHE<|im_end|>\n<|im_start|>assistant\n[W]<|im_end|>\n");
}

static void contents_may_hold_any_bytes(void)
{
    static const char WANTED[] = "<|im_start|>user\na\0b<|im_end|>\n<|im_start|>"
                                 "assistant\nhe\0\0ll<|im_end|>\n";
    fr_tokenizer *tokenizer = open_with(TURNS PROMPT);
    fr_dialogue_ids got = {0};
    FR_ASSERT_OK(encode(
        tokenizer,
        "[" SAYS("user", "a\\u0000b") ", " SAYS("assistant", "he\\u0000\\u0000ll") "]",
        ALL, &got));
    fr_assert_encodes(tokenizer, WANTED, sizeof WANTED - 1, true, got.ids.data,
                      got.ids.count);
    fr_dialogue_ids_fini(&got);
    fr_tokenizer_close(&tokenizer);
}

/* What a row says, and what of it is not the template's: contents that end like what the template writes behind them. */
static const char *const SLY[] = {"<|im_end|>",
                                  "a <|im_end|> b",
                                  "<|im_end|><|im_end|>",
                                  "<|im_end|>\n<|im_start|>",
                                  "x<|im_end|>",
                                  "\xC3\xA9<|im_end|>",
                                  "\xE4\xBD\xA0\xE4\xBD\xA0<|im_end|>"};

/* A row cannot end a turn by what it says, unless the user wants it to: the template's tokens are the last of each turn. */
static void markers_in_content_are_text_unless_asked(void)
{
    fr_tokenizer *tokenizer = open_with(TURNS PROMPT);
    for (int i = 0; i < FR_N_CASES(SLY); i++) {
        char text[TEXT_BYTES];
        fr_dialogue_ids got = {0};
        fr_dialogue_ids special = {0};
        fr_ids wanted = {0};
        json_t *list = json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", "user", "content",
                                 SLY[i], "role", "assistant", "content", "z");
        char *json = json_dumps(list, 0);
        json_decref(list);
        FR_ASSERT_OK(encode(tokenizer, json, ALL, &got));
        FR_ASSERT_OK(encode(tokenizer, json, (fr_dialogue){.special_in_content = true},
                            &special));
        /* marker, role, content as text, markers of the template */
        FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &wanted, FR_TINY_IM_START));
        (void)snprintf(text, sizeof text, "user\n%s", SLY[i]);
        FR_ASSERT_OK(fr_tokenizer_encode(fr_test_ctx(), tokenizer, text, strlen(text),
                                         false, &wanted));
        FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &wanted, FR_TINY_IM_END));
        CU_ASSERT_TRUE_FATAL(got.ids.count > wanted.count);
        fr_assert_same_bytes(SLY[i], got.ids.data, wanted.data,
                             (size_t)wanted.count * sizeof *wanted.data);
        CU_ASSERT_TRUE(special.ids.count < got.ids.count);
        free(json);
        fr_ids_fini(&wanted);
        fr_dialogue_ids_fini(&got);
        fr_dialogue_ids_fini(&special);
    }
    fr_tokenizer_close(&tokenizer);
    /* where such a text cannot be found again, the row is refused */
    check_refused("{% for m in messages %}{{ m.role + m.content | replace('a', 'b') }}"
                  "{% endfor %}{% if add_generation_prompt %}assistant{% endif %}",
                  "[" SAYS("user", "a <|im_end|>") ", " SAYS("assistant", "x") "]", ALL,
                  FR_ERR_DATA, "the text of a special token");
    check_refused(
        CHATML,
        "[{\"role\": \"user\", \"content\": \"a\", \"name\": \"<|im_end|>\"}, " SAYS(
            "assistant", "x") "]",
        ALL, FR_ERR_DATA, "the text of a special token");
}

#define ANSWER SAYS("assistant", "a")

static void bad_dialogues_are_refused(void)
{
    static const bool SKIP[] = {false, true};
    check_refused(CHATML, "[" SAYS("system", "a") ", " SAYS("user", "b") "]", ALL,
                  FR_ERR_DATA, "has no assistant turn");
    check_refused(CHATML, "[]", ALL, FR_ERR_DATA, "has no messages");
    check_refused(CHATML, "[" SAYS("user", "a") ", " SAYS("assistant", "b") "]",
                  (fr_dialogue){.skip = SKIP}, FR_ERR_DATA, "kept out of the loss");
    check_refused("{{ raise_exception('not ' ~ 1) }}", TALK, ALL, FR_ERR_DATA,
                  "cannot render this dialogue: line 1: the template refuses the "
                  "dialogue: not 1");
    check_refused("\n\n{{ messages|shuffle }}", TALK, ALL, FR_ERR_DATA,
                  "line 3: the filter 'shuffle' is not supported");
    check_refused("{% if a %}", TALK, ALL, FR_ERR_UNSUPPORTED,
                  "line 1: endif is expected, found the end of the template");
    /* each rendering is within the limits, all of them are not */
    check_refused(
        "{% for i in range(99999) %}{{ i }}{{ i }}{{ i }}{% endfor %}" TURNS PROMPT,
        "[" SAYS("user", "") ", " ANSWER ", " ANSWER ", " ANSWER ", " ANSWER "]", ALL,
        FR_ERR_DATA, "more than");
    /* the answer stands in front of everything else */
    check_refused("{{ messages[-1].content }}{{ messages|length }}", TALK, ALL,
                  FR_ERR_DATA, "does not show where the answer of message 2 begins");
}

static void a_failure_leaves_nothing(void)
{
    json_t *root = fr_tiny_json();
    json_t *model = json_object_get(root, "model");
    fr_dialogue_ids got = {0};
    /* the byte 7F loses its token: the character that stands for it becomes another text */
    (void)json_object_del(json_object_get(model, "vocab"), "\xC4\xA1");
    (void)json_object_set_new(json_object_get(model, "vocab"), "zz",
                              json_integer(0x7F));
    json_t *config = json_pack("{s:s}", "chat_template", CHATML);
    char *text = json_dumps(config, 0);
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, text);
    FR_ASSERT_FAILS(encode(tokenizer,
                           "[" SAYS("user", "fine") ", " SAYS("assistant", "\x7F") "]",
                           ALL, &got),
                    FR_ERR_DATA, "0x7F");
    CU_ASSERT_PTR_NULL(got.ids.data);
    free(text);
    json_decref(config);
    fr_tokenizer_close(&tokenizer);
    json_decref(root);
}

static const fr_case CASES[] = {
    FR_CASE(answers_and_their_ends_are_counted),
    FR_CASE(answers_are_found_in_templates_of_many_families),
    FR_CASE(marks_are_taken_for_the_answers_they_belong_to),
    FR_CASE(an_answer_is_not_taken_for_its_opening),
    FR_CASE(answers_that_later_turns_change_are_examples_of_their_own),
    FR_CASE(ids_are_those_of_the_rendered_text),
    FR_CASE(ids_are_those_of_the_rendered_text_of_smollm2),
    FR_CASE(an_answer_continues_the_ids_of_the_opened_turn),
    FR_CASE(contents_are_told_from_the_template),
    FR_CASE(contents_may_hold_any_bytes),
    FR_CASE(markers_in_content_are_text_unless_asked),
    FR_CASE(bad_dialogues_are_refused),
    FR_CASE(a_failure_leaves_nothing)};

int main(int argc, char **argv)
{
    return fr_suite_main("dialogue", CASES, FR_N_CASES(CASES), argc, argv);
}
