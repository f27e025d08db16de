/*
 * print.h - texts that come from files, on their way to a terminal or a log.
 *
 * Texts of others must not command the terminal, nor look like lines of this program. Control characters
 * (C0, DEL, C1), characters that change the direction of writing or end a line in Unicode, and bytes that are not UTF-8
 * are shown as \n, \t, \r, \xHH or \uHHHH.
 * All messages are escaped here (ctx.c), and results for people are printed by fr_print_line. Data (JSON, ids, config
 * files, generated text in a file) stays unchanged.
 */
#ifndef FR_BASE_PRINT_H
#define FR_BASE_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/** Length of the UTF-8 character at `text` (of `bytes` > 0) and its code point; 0 if it is broken. */
size_t fr_utf8_next(const char *text, size_t bytes, uint32_t *code);

/** Whether a character may not stand in a name or a path, and is escaped in what is printed. */
bool fr_is_control(uint32_t code);

/** Escape a string into `out` of `capacity` > 0 bytes with its closing zero; what does not fit is cut off. Escaping a
 * second time changes nothing. */
void fr_escape(const char *text, char *out, size_t capacity);

/** Print one line: the formatted text escaped, a newline after it. */
void fr_print_line(FILE *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Print a text escaped but for its newlines and tabs: what a model wrote, on a terminal. */
void fr_print_text(FILE *out, const char *text, size_t bytes);

#endif
