/*
 * shell.h - quoting of words, for command lines that the program suggests to the user.
 */
#ifndef FR_BASE_SHELL_H
#define FR_BASE_SHELL_H

#include <stdio.h>

/** Print a word so that a POSIX shell reads it as it is: in single quotes unless all its characters are harmless. */
void fr_print_shell_word(FILE *out, const char *word);

#endif
