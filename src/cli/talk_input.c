/* Turns from a terminal or a pipe.
 *
 * Both are waited for by poll with a short limit, so that an interrupt, which only a counter tells (comm/signals.h), is seen while
 * nothing is typed. libedit calls read_key for each character and draws; a pipe's bytes are collected in `block`.
 *
 * A turn grows in `turn` up to its limit. What is beyond is read and dropped, so that the next turn begins at its own line, and memory
 * stays bounded.
 */
#define _DEFAULT_SOURCE
#include "cli/talk_input.h"

#include "base/mem.h"
#include "base/print.h"
#include "base/utf8.h"
#include "model/text/bytes.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

enum { BLOCK_BYTES = 1 << 16, WAIT_MS = 50, HISTORY_LINES = 1000, PROMPT_BYTES = 32 };

struct fr_talk_input {
    fr_ctx *ctx;
    const fr_signals *signals;
    bool colours;
    bool goes_on;   /* a line that ended in a backslash stands before */
    bool was_ended; /* the end of input was seen */
    bool was_interrupted;
    int failure;          /* errno of reading; 0: none */
    int64_t n_interrupts; /* that were seen */
    fr_bytes turn;
    bool is_too_long;
    EditLine *edit; /* NULL: no terminal */
    History *history;
    char prompt[PROMPT_BYTES]; /* libedit wants memory that may be written to */
    char block[BLOCK_BYTES];
    size_t at;
    size_t filled;
};

/* ---- bytes ------------------------------------------------------------------------------------------- */

/* Whether there are bytes; false at the end, after an interrupt and after a failure, which are remembered. */
static bool wait_for_bytes(fr_talk_input *in)
{
    struct pollfd wanted = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = 0;
    while (ready == 0) {
        if (fr_signals_interrupts(in->signals) != in->n_interrupts) {
            in->n_interrupts = fr_signals_interrupts(in->signals);
            in->was_interrupted = true;
            return false;
        }
        ready = poll(&wanted, 1, WAIT_MS);
        ready = ready < 0 && errno == EINTR ? 0 : ready;
    }
    in->failure = ready < 0 ? errno : 0;
    return ready > 0;
}

/* The next byte; false as wait_for_bytes says. */
static bool next_byte(fr_talk_input *in, char *byte)
{
    if (in->at == in->filled) {
        if (!wait_for_bytes(in)) {
            return false;
        }
        ssize_t n = read(STDIN_FILENO, in->block, in->edit != NULL ? 1 : BLOCK_BYTES);
        in->failure = n < 0 && errno != EIO ? errno : 0; /* EIO: the terminal is gone */
        in->was_ended = n <= 0 && in->failure == 0;
        in->at = 0;
        in->filled = n > 0 ? (size_t)n : 0;
        if (n <= 0) {
            return false;
        }
    }
    *byte = in->block[in->at++];
    return true;
}

/* ---- a terminal -------------------------------------------------------------------------------------- */

static const char *show_prompt(const fr_talk_input *in)
{
    static const char *const SHOWN[2][2] = {
        {"> ", ". "}, {"\1\033[1m\1> \1\033[0m\1", "\1\033[1m\1. \1\033[0m\1"}};
    return SHOWN[in->colours][in->goes_on];
}

static char *prompt(EditLine *edit)
{
    fr_talk_input *in = NULL;
    (void)el_get(edit, EL_CLIENTDATA, &in);
    (void)snprintf(in->prompt, sizeof in->prompt, "%s", show_prompt(in));
    return in->prompt;
}

/* One character for libedit: 1, or 0 where none comes. */
static int read_key(EditLine *edit, wchar_t *key)
{
    enum { MOST = 4, REPLACEMENT = 0xFFFD };
    fr_talk_input *in = NULL;
    char text[MOST] = {0};
    uint32_t code = REPLACEMENT;
    (void)el_get(edit, EL_CLIENTDATA, &in);
    if (!next_byte(in, &text[0])) {
        return 0;
    }
    size_t n = fr_utf8_whole_bytes(text[0]);
    for (size_t i = 1; i < n; i++) {
        if (!next_byte(in, &text[i])) {
            return 0;
        }
    }
    *key = fr_utf8_next(text, n, &code) == n ? (wchar_t)code : (wchar_t)REPLACEMENT;
    return 1;
}

/* Characters of a terminal are UTF-8 whatever the environment says, as all texts here are. */
static fr_status open_terminal(fr_talk_input *in)
{
    HistEvent event;
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    in->edit = el_init("forerun", stdin, stdout, stderr);
    in->history = history_init();
    FR_TRY(fr_check_memory(in->ctx, in->edit != NULL && in->history != NULL, 1));
    (void)history(in->history, &event, H_SETSIZE, (int)HISTORY_LINES);
    (void)history(in->history, &event, H_SETUNIQUE, 1);
    (void)el_set(in->edit, EL_CLIENTDATA, in);
    (void)el_set(in->edit, EL_EDITOR, "emacs");
    (void)el_set(in->edit, EL_PROMPT_ESC, prompt, '\1');
    (void)el_set(in->edit, EL_HIST, history, in->history);
    (void)el_set(in->edit, EL_GETCFN, read_key);
    return FR_OK;
}

/* ---- lines ------------------------------------------------------------------------------------------- */

/* Adds to the turn; what is beyond its limit is dropped. */
static fr_status add(fr_talk_input *in, const char *data, size_t bytes)
{
    in->is_too_long = in->is_too_long || in->turn.count + bytes > FR_TURN_BYTES;
    return in->is_too_long ? FR_OK : fr_bytes_add(in->ctx, &in->turn, data, bytes);
}

/* *whole: the line has its end, or the input has ended behind some of it. */
static fr_status read_pipe_line(fr_talk_input *in, bool *whole)
{
    char byte = '\0';
    int64_t n = 0;
    *whole = false;
    while (next_byte(in, &byte)) {
        n++;
        if (byte == '\n') {
            *whole = true;
            return FR_OK;
        }
        FR_TRY(add(in, &byte, 1));
    }
    *whole = in->was_ended && n > 0;
    return FR_OK;
}

/* After an interrupt or the end the cursor stands behind a prompt. */
static fr_status read_edited_line(fr_talk_input *in, bool *whole)
{
    int n = 0;
    const char *line = el_gets(in->edit, &n);
    *whole = line != NULL && n > 0 && !in->was_interrupted;
    if (!*whole) {
        in->was_ended = in->was_ended || !in->was_interrupted; /* Ctrl-D */
        el_reset(in->edit);
        (void)fputs(in->was_interrupted ? "^C\n" : "\n", stdout);
        (void)fflush(stdout);
        return FR_OK;
    }
    size_t bytes = strlen(line);
    bytes -= bytes > 0 && line[bytes - 1] == '\n';
    return add(in, line, bytes);
}

/* The turn is complete; with a NUL behind it. */
static fr_status check_turn(fr_talk_input *in)
{
    fr_text turn = fr_bytes_text(&in->turn);
    uint32_t code = 0;
    if (in->is_too_long) {
        return FR_FAIL(in->ctx, FR_ERR_DATA,
                       "the line has more than %d bytes, so it was left out",
                       (int)FR_TURN_BYTES);
    }
    for (size_t at = 0; at < turn.bytes;) {
        size_t step = fr_utf8_next(turn.data + at, turn.bytes - at, &code);
        if (step == 0 || code == 0) {
            return FR_FAIL(in->ctx, FR_ERR_DATA,
                           "the line is not a text in UTF-8, so it was left out");
        }
        at += step;
    }
    return fr_bytes_add(in->ctx, &in->turn, "", 1);
}

static void remember(const fr_talk_input *in, const char *text)
{
    HistEvent event;
    if (in->history != NULL && text[0] != '\0') {
        (void)history(in->history, &event, H_ENTER, text);
    }
}

/* Takes a backslash at the end of the turn for a line end. */
static bool takes_more(fr_talk_input *in)
{
    bool more = in->turn.count > 0 && in->turn.data[in->turn.count - 1] == '\\';
    if (more) {
        in->turn.data[in->turn.count - 1] = '\n';
    }
    return more;
}

fr_status fr_talk_input_next(fr_talk_input *input, fr_turn_kind *kind,
                             const char **text)
{
    fr_talk_input *in = input;
    bool whole = false;
    *kind = FR_TURN_TEXT;
    *text = "";
    in->turn.count = 0;
    in->is_too_long = false;
    in->goes_on = false;
    in->was_interrupted = false;
    in->n_interrupts = fr_signals_interrupts(in->signals);
    do {
        FR_TRY(in->edit != NULL ? read_edited_line(in, &whole)
                                : read_pipe_line(in, &whole));
        in->goes_on = whole && !in->was_ended && takes_more(in);
    } while (in->goes_on);
    if (!whole && in->was_ended && in->turn.count > 0) {
        in->turn
            .count--; /* the input ends where the turn could go on: without that line end */
        whole = true;
    }
    if (in->failure != 0) {
        return FR_FAIL(in->ctx, FR_ERR_IO, "cannot read standard input: %s",
                       strerror(in->failure));
    }
    if (!whole) {
        *kind = in->was_interrupted ? FR_TURN_INTERRUPTED : FR_TURN_END;
        return FR_OK;
    }
    FR_TRY(check_turn(in));
    *text = fr_bytes_text(&in->turn).data;
    remember(in, *text);
    return FR_OK;
}

bool fr_talk_input_is_terminal(const fr_talk_input *input)
{
    return input->edit != NULL;
}

fr_status fr_talk_input_open(fr_ctx *ctx, const fr_signals *signals, bool colours,
                             fr_talk_input **out)
{
    fr_talk_input *in = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *in, &in));
    *out = in;
    in->ctx = ctx;
    in->signals = signals;
    in->colours = colours;
    return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 ? open_terminal(in)
                                                                   : FR_OK;
}

void fr_talk_input_close(fr_talk_input **input)
{
    fr_talk_input *in = *input;
    *input = NULL;
    if (in == NULL) {
        return;
    }
    if (in->edit != NULL) {
        el_end(in->edit);
    }
    if (in->history != NULL) {
        history_end(in->history);
    }
    fr_bytes_fini(&in->turn);
    free(in);
}
