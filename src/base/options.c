/*
 * Parsing of a command line by the table of a command, and the help text from the same table.
 *
 * Parsing stores what was given, in order, and checks names and the presence of values. The typed functions (_int,
 * _real, _size) check a value when it is asked for. So an option has its range where it is used, and the table needs
 * no types. Nothing is copied: all texts point into argv.
 */
#include "base/options.h"

#include "base/quantity.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One option as it was given. */
typedef struct given {
    const fr_option *option;
    const char *value;
} given;

struct fr_options {
    bool help;
    int64_t n_given;
    given *given;
    int verb; /* place in the command's table; -1: none */
    int n_positionals;
    char **positionals; /* without the verb */
    char **words;       /* with it; owns the memory */
};

/* Levenshtein distance with one row of the table; longer words than a row count as infinitely far. */
static size_t edit_distance(const char *a, const char *b)
{
    /* Bounds the row on the stack; names of options and config keys are far shorter. */
    enum { LONGEST = 63 };
    size_t row[LONGEST + 1];
    size_t n = strlen(b);
    if (n > LONGEST) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t change = diagonal + (a[i] != b[j]);
            size_t shorter = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = change < shorter ? change : shorter;
        }
    }
    return row[n];
}

/* A candidate counts as near if fewer edits lead to it than half of the word's letters and two. A word that shares
 * little with any candidate gets no suggestion. */
const char *fr_nearest_word(const char *word, const void *candidates, size_t count,
                            size_t stride)
{
    enum {
        LONGEST = 64
    }; /* a foreign text may be of any length, and the work grows with it */
    const char *best = NULL;
    size_t min = strlen(word) / 2 + 2;
    if (strlen(word) > LONGEST) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const char *candidate = NULL;
        memcpy(&candidate, (const char *)candidates + i * stride, sizeof candidate);
        size_t distance = edit_distance(word, candidate);
        if (distance < min) {
            min = distance;
            best = candidate;
        }
    }
    return best;
}

/* The table ends with a row without a name. */
static size_t count_options(const fr_command *command)
{
    size_t n = 0;
    while (command->options[n].name != NULL) {
        n++;
    }
    return n;
}

/* `length` bytes of `name`, so that a value after "=" does not count as part of a misspelt name. */
static fr_status fail_unknown(fr_ctx *ctx, const fr_command *command, const char *name,
                              size_t length)
{
    enum { NAME_BYTES = 64 };
    char word[NAME_BYTES];
    (void)snprintf(word, sizeof word, "%.*s",
                   (int)(length < sizeof word ? length : sizeof word - 1), name);
    const char *nearest = fr_nearest_word(word, command->options,
                                          count_options(command), sizeof(fr_option));
    if (nearest != NULL) {
        return FR_FAIL(ctx, FR_ERR_ARG, "unknown option --%s; did you mean --%s?", word,
                       nearest);
    }
    return FR_FAIL(ctx, FR_ERR_ARG, "unknown option --%s; forerun %s --help lists all",
                   word, command->name);
}

/* Names must match in full: an abbreviation would change its meaning when an option is added. */
static const fr_option *find_option(const fr_command *command, const char *name,
                                    size_t length)
{
    for (const fr_option *o = command->options; o->name != NULL; o++) {
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0) {
            return o;
        }
    }
    return NULL;
}

/* One "--name..." argument; *next is the argument after it and moves on if it is taken as value. */
static fr_status add_option(fr_ctx *ctx, const fr_command *command, char **argv,
                            int argc, int *next, fr_options *options)
{
    const char *argument = argv[*next - 1];
    const char *equals = strchr(argument, '=');
    size_t length =
        equals != NULL ? (size_t)(equals - argument) - 2 : strlen(argument) - 2;
    const fr_option *option = find_option(command, argument + 2, length);
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (option == NULL) {
        return fail_unknown(ctx, command, argument + 2, length);
    }
    if (option->value == NULL && value != NULL) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--%s takes no value, got %s", option->name,
                       value);
    }
    /* an optional value comes with "=" only: a word after the option may be a positional */
    bool needs_value = option->value != NULL && option->value[0] != '[';
    if (needs_value && value == NULL) {
        if (*next >= argc) {
            return FR_FAIL(ctx, FR_ERR_ARG, "--%s needs a value (%s)", option->name,
                           option->value);
        }
        value = argv[(*next)++];
    }
    options->given[options->n_given++] = (given){option, value};
    return FR_OK;
}

/* The verbs of a command; the table ends with a row without a name. */
static size_t count_verbs(const fr_command *command)
{
    size_t n = 0;
    while (command->verbs[n].name != NULL) {
        n++;
    }
    return n;
}

/* The first positional is the verb, also where options stand before it; the others move up. */
static fr_status take_verb(fr_ctx *ctx, const fr_command *command, fr_options *options)
{
    if (options->n_positionals == 0) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "forerun %s needs a word that says what to do, such as %s; "
                       "forerun %s --help lists all",
                       command->name, command->verbs[0].name, command->name);
    }
    const char *word = options->positionals[0];
    for (int i = 0; command->verbs[i].name != NULL; i++) {
        if (strcmp(command->verbs[i].name, word) == 0) {
            options->verb = i;
            options->positionals++;
            options->n_positionals--;
            return FR_OK;
        }
    }
    const char *nearest =
        fr_nearest_word(word, command->verbs, count_verbs(command), sizeof(fr_verb));
    return FR_FAIL(ctx, FR_ERR_ARG,
                   "forerun %s does not know the word %.64s%s%s%s; forerun %s --help "
                   "lists all",
                   command->name, word, nearest != NULL ? "; did you mean " : "",
                   nearest != NULL ? nearest : "", nearest != NULL ? "?" : "",
                   command->name);
}

/* Whether `name` is one of the words of `list`. */
static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    while (*list != '\0') {
        size_t word = strcspn(list, " ");
        if (word == length && strncmp(list, name, length) == 0) {
            return true;
        }
        list += word + strspn(list + word, " ");
    }
    return false;
}

/* An option that does nothing for this verb is a mistake, and not passed over. */
static fr_status check_verb(fr_ctx *ctx, const fr_command *command,
                            const fr_options *options)
{
    const fr_verb *verb = &command->verbs[options->verb];
    for (int64_t i = 0; i < options->n_given; i++) {
        const char *name = options->given[i].option->name;
        if (!is_listed(verb->options, name)) {
            return FR_FAIL(ctx, FR_ERR_ARG,
                           "forerun %s %s does not take --%s; see forerun %s --help",
                           command->name, verb->name, name, command->name);
        }
    }
    if (options->n_positionals >= verb->least && options->n_positionals <= verb->most) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_ARG,
                   "forerun %s %s takes %s%d argument%s (%s), got %d; see forerun %s "
                   "--help",
                   command->name, verb->name,
                   verb->least < verb->most ? "at least " : "", verb->least,
                   verb->least == 1 ? "" : "s", verb->positionals,
                   options->n_positionals, command->name);
}

/* With --help the number of positionals is not checked, since a user who asks for help often gives none. */
static fr_status parse_all(fr_ctx *ctx, const fr_command *command, int argc,
                           char **argv, fr_options *options)
{
    bool only_positionals = false;
    for (int next = 1; next < argc;) {
        char *argument = argv[next++];
        if (only_positionals || strncmp(argument, "--", 2) != 0) {
            options->positionals[options->n_positionals++] = argument;
        } else if (argument[2] == '\0') {
            only_positionals = true;
        } else if (strcmp(argument, "--help") == 0) {
            options->help = true;
        } else {
            FR_TRY(add_option(ctx, command, argv, argc, &next, options));
        }
    }
    if (options->help) {
        return FR_OK;
    }
    if (command->verbs != NULL) {
        FR_TRY(take_verb(ctx, command, options));
        return check_verb(ctx, command, options);
    }
    if (options->n_positionals != command->n_positionals) {
        return FR_FAIL(
            ctx, FR_ERR_ARG,
            "forerun %s takes %d argument%s (%s), got %d; see forerun %s --help",
            command->name, command->n_positionals,
            command->n_positionals == 1 ? "" : "s", command->positionals,
            options->n_positionals, command->name);
    }
    return FR_OK;
}

/* Both arrays have argc elements, which no command line can exceed. So adding to them needs no check. */
fr_status fr_options_parse(fr_ctx *ctx, const fr_command *command, int argc,
                           char **argv, fr_options **out)
{
    fr_options *options = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *options, &options));
    fr_status status = fr_alloc(ctx, argc, sizeof *options->given, &options->given);
    if (status == FR_OK) {
        status = fr_alloc(ctx, argc, sizeof *options->words, &options->words);
    }
    if (status == FR_OK) {
        options->verb = -1;
        options->positionals = options->words;
        status = parse_all(ctx, command, argc, argv, options);
    }
    if (status != FR_OK) {
        fr_options_destroy(&options);
    }
    *out = options;
    return status;
}

void fr_options_destroy(fr_options **options)
{
    if (*options != NULL) {
        free((*options)->given);
        free((*options)->words);
        free(*options);
        *options = NULL;
    }
}

/* Asked first by every command, since a command line with --help may lack what it needs. */
bool fr_options_help(const fr_options *options)
{
    return options->help;
}

/* Where the explanations begin; a longer name pushes its own explanation to the right. */
enum { COLUMN = 26 };

/* Verbs with their arguments are longer than options, so the explanations stand below them. */
static void print_verbs(const fr_command *command, FILE *out)
{
    enum { INDENT = 8 };
    for (const fr_verb *v = command->verbs; v->name != NULL; v++) {
        (void)fprintf(out, "  %s %s%s\n%*s%s\n", v->name, v->positionals,
                      v->options[0] != '\0' ? " [options]" : "", INDENT, "", v->help);
    }
    (void)fputc('\n', out);
}

void fr_command_help(const fr_command *command, FILE *out)
{
    (void)fprintf(out, "usage: forerun %s %s%s[options]\n\n%s\n\n", command->name,
                  command->positionals, command->positionals[0] != '\0' ? " " : "",
                  command->summary);
    if (command->verbs != NULL) {
        (void)fprintf(out, "verbs:\n");
        print_verbs(command, out);
    }
    (void)fprintf(out, "options:\n");
    for (const fr_option *o = command->options; o->name != NULL; o++) {
        bool optional = o->value != NULL && o->value[0] == '[';
        int used = fprintf(out, "  --%s%s%s", o->name,
                           o->value == NULL ? ""
                           : optional       ? ""
                                            : " ",
                           o->value == NULL ? "" : o->value);
        (void)fprintf(out, "%*s%s\n", used < COLUMN ? COLUMN - used : 1, "", o->help);
    }
    (void)fprintf(out, "  --help%*sprint this text\n", COLUMN - 8, "");
}

/* Counts the occurrences of one name in the order of the command line. */
const char *fr_options_nth(const fr_options *options, const char *name, int64_t index)
{
    for (int64_t i = 0; i < options->n_given; i++) {
        if (strcmp(options->given[i].option->name, name) == 0 && index-- == 0) {
            return options->given[i].value;
        }
    }
    return NULL;
}

bool fr_options_has(const fr_options *options, const char *name)
{
    for (int64_t i = 0; i < options->n_given; i++) {
        if (strcmp(options->given[i].option->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* From the end, so the last occurrence holds: a user can override a script's option by adding one. */
const char *fr_options_text(const fr_options *options, const char *name)
{
    for (int64_t i = options->n_given - 1; i >= 0; i--) {
        if (strcmp(options->given[i].option->name, name) == 0) {
            return options->given[i].value;
        }
    }
    return NULL;
}

const char *fr_options_positional(const fr_options *options, int index)
{
    return index < options->n_positionals ? options->positionals[index] : NULL;
}

int fr_options_n_positionals(const fr_options *options)
{
    return options->n_positionals;
}

int fr_options_verb(const fr_options *options)
{
    return options->verb;
}

fr_status fr_options_need(fr_ctx *ctx, const fr_options *options, const char *name,
                          const char **out)
{
    *out = fr_options_text(options, name);
    return *out != NULL ? FR_OK : FR_FAIL(ctx, FR_ERR_ARG, "--%s is missing", name);
}

/* The end of the number must be the end of the text, and errno shows what does not fit a long long. */
fr_status fr_options_int(fr_ctx *ctx, const fr_options *options, const char *name,
                         int64_t lowest, int64_t highest, int64_t *out)
{
    const char *text = fr_options_text(options, name);
    if (text == NULL) {
        return FR_OK;
    }
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < lowest ||
        value > highest) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "--%s is %s, but must be a whole number from %lld to %lld", name,
                       text, (long long)lowest, (long long)highest);
    }
    *out = value;
    return FR_OK;
}

/* NaN and infinities are refused, though strtod reads them. */
fr_status fr_options_real(fr_ctx *ctx, const fr_options *options, const char *name,
                          double *out)
{
    const char *text = fr_options_text(options, name);
    if (text == NULL) {
        return FR_OK;
    }
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value)) {
        return FR_FAIL(ctx, FR_ERR_ARG, "--%s is %s, but must be a number", name, text);
    }
    *out = value;
    return FR_OK;
}

fr_status fr_options_size(fr_ctx *ctx, const fr_options *options, const char *name,
                          int64_t *out)
{
    const char *text = fr_options_text(options, name);
    if (text == NULL || fr_size_read(text, out)) {
        return FR_OK;
    }
    return FR_FAIL(ctx, FR_ERR_ARG, "--%s is %s, must be " FR_SIZE_FORMS, name, text);
}
