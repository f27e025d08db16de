/* Forms in which other projects publish rows and which are not read as they are (row_shape.h has those that are), recognised
 * by their keys. A new form goes into FORMS and docs/data.md. */
#include "train/data/row_files.h"

#include <string.h>

/* Keys that recognise a form; three tell a preference pair with a prompt from one without. */
enum { MAX_KEYS = 3 };

typedef struct form {
    const char *keys[MAX_KEYS]; /* the row has all of them */
    const char *name;
    const char *program; /* of jq, row by row */
    const char *hint;
} form;

#define FORM(form_name, jq_program, note)                                              \
    .name = (form_name), .program = (jq_program),                                      \
    .hint = "the row is " form_name "; convert the file: jq -c '" jq_program           \
            "' FILE >rows.jsonl" note

#define AS_PAIR(source, target) "{source: ." source ", target: ." target "}"
#define PAIR(source, target)                                                           \
    {                                                                                  \
        .keys = {source, target},                                                      \
        .name = "a pair of \"" source "\" and \"" target "\"",                         \
        .program = AS_PAIR(source, target),                                            \
        .hint = "the row is a pair of \"" source "\" and \"" target                    \
                "\"; name its members: data.fields: {source: " source                  \
                ", target: " target "} (--fields source=" source ",target=" target ")" \
    }
#define TALK(key)                                                                      \
    {                                                                                  \
        .keys = {key}, FORM("a dialogue in \"" key "\"", "{messages: ." key "}",       \
                            "; set chat: true (--chat)")                               \
    }
#define HOLDS(key)                                                                     \
    {                                                                                  \
        .keys = {key},                                                                 \
        FORM("a whole data set, its rows in \"" key "\"", "." key "[]", "")            \
    }

/* The first match counts, so forms with more keys come first. */
static const form FORMS[] = {
    {.keys = {"chosen", "rejected", "prompt"},
     FORM("a preference pair (DPO)",
          "if (.chosen | type) == \"array\" then {messages: .chosen} "
          "else {source: .prompt, target: .chosen} end",
          ", which trains on the preferred answers alone")},
    {.keys = {"chosen", "rejected"},
     FORM("a preference pair without a prompt",
          "if (.chosen | type) == \"array\" then {messages: .chosen} "
          "else {target: .chosen} end",
          ", which trains on the preferred texts alone")},
    {.keys = {"instruction", "response"},
     FORM("in Dolly's form",
          "{source: (.instruction + (if (.context // \"\") == \"\" then \"\" "
          "else \"\\n\" + .context end)), target: .response}",
          "")},
    {.keys = {"question", "answers"},
     FORM("in SQuAD's form",
          "{source: ((if .context then .context + \"\\n\" else \"\" end) + .question), "
          "target: (.answers.text? // .answers)}",
          "; rows without an answer go away with: select(.target != [])")},
    PAIR("prompt", "response"),
    PAIR("question", "answer"),
    PAIR("question", "response"),
    PAIR("query", "response"),
    PAIR("query", "answer"),
    PAIR("input", "output"),
    PAIR("input", "target"),
    PAIR("inputs", "targets"),
    PAIR("src", "tgt"),
    PAIR("document", "summary"),
    PAIR("article", "highlights"),
    PAIR("text", "summary"),
    PAIR("user", "assistant"),
    {.keys = {"text", "label"},
     FORM("a text with its label", "{source: .text, target: (.label | tostring)}",
          ", with the labels' names in place of their numbers")},
    {.keys = {"translation"},
     FORM("a translation", "{source: .translation.en, target: .translation.de}",
          ", with the languages that the rows have")},
    {.keys = {"input_ids", "labels"},
     FORM("already tokenised (labels of -100 are not in the loss)",
          "[.labels | to_entries[] | select(.value != -100) | .key] as $k | "
          "{source_ids: "
          ".input_ids[:$k[0]], target_ids: .input_ids[$k[0]:($k[-1] + 1)]}",
          "; set eos: false")},
    {.keys = {"input_ids"},
     FORM("already tokenised", "{source_ids: [], target_ids: .input_ids}", "")},
    TALK("conversation"),
    TALK("dialogue"),
    TALK("dialog"),
    {.keys = {"rows"},
     FORM("a whole data set, its rows in \"rows\"", ".rows[] | (.row // .)", "")},
    HOLDS("data"),
    HOLDS("train"),
    HOLDS("examples"),
    {.keys = {"text"},
     FORM("a plain text", "{target: .text}", "; its template is \"{target}\"")},
    {.keys = {"content"},
     FORM("a plain text in \"content\"", "{target: .content}",
          "; its template is \"{target}\"")},
};

static bool has_key(const char *const *keys, size_t n, const char *wanted)
{
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        found = strcmp(keys[i], wanted) == 0;
    }
    return found;
}

const char *fr_rows_form_hint(const char *const *keys, size_t n)
{
    for (size_t f = 0; f < sizeof FORMS / sizeof FORMS[0]; f++) {
        bool fits = true;
        for (int k = 0; k < MAX_KEYS && FORMS[f].keys[k] != NULL; k++) {
            fits = fits && has_key(keys, n, FORMS[f].keys[k]);
        }
        if (fits) {
            return FORMS[f].hint;
        }
    }
    return NULL;
}

bool fr_rows_form(size_t index, const char **name, const char **program)
{
    if (index >= sizeof FORMS / sizeof FORMS[0]) {
        return false;
    }
    *name = FORMS[index].name;
    *program = FORMS[index].program;
    return true;
}
