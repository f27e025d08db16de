#include "model/text/byte_table.h"
#include "support/suite.h"

#include <string.h>

static void known_bytes_have_their_characters(void)
{
    static const struct {
        uint8_t byte;
        const char *character;
    } KNOWN[] = {{' ', "\xC4\xA0"},  {'\n', "\xC4\x8A"}, {'\t', "\xC4\x89"},
                 {0x00, "\xC4\x80"}, {'!', "!"},         {'~', "~"},
                 {0x7F, "\xC4\xA1"}, {0xA0, "\xC5\x82"}, {0xA1, "\xC2\xA1"},
                 {0xAD, "\xC5\x83"}, {0xAE, "\xC2\xAE"}, {0xFF, "\xC3\xBF"}};
    for (int i = 0; i < FR_N_CASES(KNOWN); i++) {
        char text[FR_BYTE_CHAR_BYTES] = "";
        size_t n = fr_byte_to_char(KNOWN[i].byte, text);
        CU_ASSERT_EQUAL(n, strlen(KNOWN[i].character));
        CU_ASSERT_EQUAL(memcmp(text, KNOWN[i].character, n), 0);
    }
}

static void every_byte_comes_back(void)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[FR_BYTE_CHAR_BYTES] = "";
        size_t used = 0;
        size_t n = fr_byte_to_char((uint8_t)byte, text);
        CU_ASSERT_EQUAL(fr_byte_from_char(text, n, &used), byte);
        CU_ASSERT_EQUAL(used, n);
    }
}

static void other_characters_stand_for_no_byte(void)
{
    static const char *const OTHERS[] = {
        " ",        "\n",           "\x7F", "\xC2\xA0", "\xC2\xAD", "\xC2\x80",
        "\xC5\x84", "\xE2\x82\xAC", "\xC3", "\x80",     "\xC3\x41", "\xC1\x81"};
    for (int i = 0; i < FR_N_CASES(OTHERS); i++) {
        size_t used = 0;
        CU_ASSERT_EQUAL(fr_byte_from_char(OTHERS[i], strlen(OTHERS[i]), &used), -1);
    }
    size_t used = 0;
    CU_ASSERT_EQUAL(fr_byte_from_char("\xC4\xA0", 1, &used), -1);
    CU_ASSERT_EQUAL(fr_byte_from_char("", 0, &used), -1);
}

static const fr_case CASES[] = {FR_CASE(known_bytes_have_their_characters),
                                FR_CASE(every_byte_comes_back),
                                FR_CASE(other_characters_stand_for_no_byte)};

int main(int argc, char **argv)
{
    return fr_suite_main("byte_table", CASES, FR_N_CASES(CASES), argc, argv);
}
