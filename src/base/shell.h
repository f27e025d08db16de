/*
 * shell.h - words as a shell reads them back, for lines that a person is to type.
 *
 * Layer L0.
 */
#ifndef FR_BASE_SHELL_H
#define FR_BASE_SHELL_H

#include <stdio.h>

/** Print a word so that a POSIX shell reads it as it is: in single quotes unless all its characters are harmless. */
void fr_print_shell_word(FILE *out, const char *word);

#endif
