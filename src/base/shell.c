#include "base/shell.h"

#include <string.h>

/* For commands in messages that users copy: within single quotes nothing has a meaning but the quote itself, which
 * is written as '\''. */
void fr_print_shell_word(FILE *out, const char *word)
{
    static const char HARMLESS[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        "0123456789_./:=@%+,-";
    if (word[0] != '\0' && word[strspn(word, HARMLESS)] == '\0') {
        (void)fputs(word, out);
        return;
    }
    (void)fputc('\'', out);
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            (void)fputs("'\\''", out);
        } else {
            (void)fputc(*word, out);
        }
    }
    (void)fputc('\'', out);
}
