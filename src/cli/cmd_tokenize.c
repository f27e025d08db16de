#define _POSIX_C_SOURCE 200809L
#include "cli/commands.h"
#include "model/hf_json.h"
#include "model/tokenizer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    {"model", "PATH", "GGUF file or Hugging Face folder"},
    {"jsonl", NULL, "a JSON string a line in, a JSON array of ids a line out"},
    {"no-special", NULL, "special tokens in the text are plain text"},
    {NULL, NULL, NULL},
};

const fr_command FR_TOKENIZE_COMMAND = {"tokenize", "", 0,
                                        "ids of the text on standard input", OPTIONS};

static fr_status print_ids(const fr_cli *cli, const fr_tokenizer *tokenizer,
                           const char *text, size_t bytes, bool as_json)
{
    fr_ids ids = {0};
    bool special = !fr_options_has(cli->options, "no-special");
    fr_status status =
        fr_tokenizer_encode(cli->ctx, tokenizer, text, bytes, special, &ids);
    if (status == FR_OK) {
        (void)printf("%s", as_json ? "[" : "");
        for (int64_t i = 0; i < ids.count; i++) {
            (void)printf("%s%d", i == 0 ? "" : as_json ? ", " : " ", ids.data[i]);
        }
        (void)printf("%s", as_json ? "]\n" : "\n");
    }
    fr_ids_fini(&ids);
    return status;
}

static fr_status tokenize_line(const fr_cli *cli, const fr_tokenizer *tokenizer,
                               const char *line, size_t bytes, int64_t number)
{
    json_error_t error;
    fr_place place = {"standard input", number};
    FR_TRY(fr_json_check_cost(cli->ctx, FR_ERR_DATA, place, line, bytes));
    json_t *text = json_loadb(line, bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    fr_status status = FR_OK;
    if (!json_is_string(text)) {
        status =
            FR_FAIL(cli->ctx, FR_ERR_DATA, "standard input:%lld: %s", (long long)number,
                    text != NULL ? "not a JSON string" : error.text);
    } else {
        status = print_ids(cli, tokenizer, json_string_value(text),
                           json_string_length(text), true);
    }
    json_decref(text);
    return status;
}

/* No more comes: a read that failed must not pass for the end. */
static fr_status check_input(const fr_cli *cli)
{
    return feof(stdin) != 0
               ? FR_OK
               : FR_FAIL(cli->ctx, FR_ERR_IO, "cannot read standard input: %s",
                         strerror(errno));
}

static fr_status tokenize_lines(const fr_cli *cli, const fr_tokenizer *tokenizer)
{
    char *line = NULL;
    size_t room = 0;
    fr_status status = FR_OK;
    for (int64_t number = 1; status == FR_OK; number++) {
        ssize_t bytes = getline(&line, &room, stdin);
        if (bytes < 0) {
            status = check_input(cli);
            break;
        }
        if (bytes > 0 && line[0] != '\n') {
            status = tokenize_line(cli, tokenizer, line, (size_t)bytes, number);
        }
    }
    free(line);
    return status;
}

/* All of standard input, any bytes. */
static fr_status read_all(const fr_cli *cli, char **text, size_t *bytes)
{
    enum { SMALLEST = 65536 };
    size_t room = 0;
    for (*bytes = 0;;) {
        if (*bytes == room) {
            room = room > 0 ? 2 * room : SMALLEST;
            char *grown = realloc(*text, room);
            FR_TRY(fr_check_memory(cli->ctx, grown != NULL, room));
            *text = grown;
        }
        size_t n = fread(*text + *bytes, 1, room - *bytes, stdin);
        *bytes += n;
        if (n == 0) {
            return check_input(cli);
        }
    }
}

static fr_status tokenize_all(const fr_cli *cli, const fr_tokenizer *tokenizer)
{
    char *text = NULL;
    size_t bytes = 0;
    fr_status status = read_all(cli, &text, &bytes);
    if (status == FR_OK && bytes > 0) {
        status = print_ids(cli, tokenizer, text, bytes, false);
    }
    free(text);
    return status;
}

fr_status fr_cmd_tokenize(const fr_cli *cli)
{
    const char *model = NULL;
    fr_tokenizer *tokenizer = NULL;
    FR_TRY(fr_options_need(cli->ctx, cli->options, "model", &model));
    FR_TRY(fr_tokenizer_open(cli->ctx, model, &tokenizer));
    fr_status status = fr_options_has(cli->options, "jsonl")
                           ? tokenize_lines(cli, tokenizer)
                           : tokenize_all(cli, tokenizer);
    fr_tokenizer_close(&tokenizer);
    return status;
}
