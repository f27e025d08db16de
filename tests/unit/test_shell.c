/* Words as a shell reads them back. */
#define _POSIX_C_SOURCE 200809L
#include "base/shell.h"

#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>

static void words_come_back_as_they_are(void)
{
    static const char *const WORDS[][2] = {
        {"runs/mine/best.h5:t-1", "runs/mine/best.h5:t-1"},
        {"two words", "'two words'"},
        {"it's", "'it'\\''s'"},
        {"$HOME;`x`", "'$HOME;`x`'"},
        {"~/m.gguf", "'~/m.gguf'"},
        {"\xC3\xA4", "'\xC3\xA4'"},
        {"", "''"}};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        char *text = NULL;
        size_t bytes = 0;
        FILE *out = open_memstream(&text, &bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(out);
        fr_print_shell_word(out, WORDS[i][0]);
        CU_ASSERT_EQUAL(fclose(out), 0);
        CU_ASSERT_STRING_EQUAL(text, WORDS[i][1]);
        free(text);
    }
}

static const fr_case CASES[] = {
    FR_CASE(words_come_back_as_they_are),
};

int main(int argc, char **argv)
{
    return fr_suite_main("shell", CASES, FR_N_CASES(CASES), argc, argv);
}
