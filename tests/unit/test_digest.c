#include "base/digest.h"
#include "support/suite.h"

#include <string.h>

/* Known answers of SHA-256 from FIPS 180-4's examples. */
static const char EMPTY[] =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char ABC[] =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char MILLION_A[] =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void check_digest(const void *data, size_t bytes, const char *wanted)
{
    uint8_t digest[FR_DIGEST_BYTES];
    char text[FR_DIGEST_HEX];
    FR_ASSERT_OK(fr_digest_of(fr_test_ctx(), data, bytes, digest));
    fr_digest_hex(digest, text);
    CU_ASSERT_STRING_EQUAL(text, wanted);
}

static void one_call_gives_the_published_answers(void)
{
    check_digest("", 0, EMPTY);
    check_digest("abc", 3, ABC);
}

static void nothing_added_is_the_empty_digest(void)
{
    fr_digest *digest = NULL;
    uint8_t bytes[FR_DIGEST_BYTES];
    char text[FR_DIGEST_HEX];
    FR_ASSERT_OK(fr_digest_create(fr_test_ctx(), &digest));
    FR_ASSERT_OK(fr_digest_end(fr_test_ctx(), digest, bytes));
    fr_digest_hex(bytes, text);
    CU_ASSERT_STRING_EQUAL(text, EMPTY);
    fr_digest_destroy(&digest);
    CU_ASSERT_PTR_NULL(digest);
    fr_digest_destroy(&digest);
}

static void pieces_of_any_size_give_the_same_digest(void)
{
    enum { TOTAL = 1000000, PIECES = 4 };
    static const size_t PIECE[PIECES] = {1, 63, 64, 997};
    char buffer[997];
    memset(buffer, 'a', sizeof buffer);
    fr_digest *digest = NULL;
    FR_ASSERT_OK(fr_digest_create(fr_test_ctx(), &digest));
    size_t added = 0;
    for (int i = 0; added < TOTAL; i++) {
        size_t piece = PIECE[i % PIECES];
        piece = piece < TOTAL - added ? piece : TOTAL - added;
        FR_ASSERT_OK(fr_digest_add(fr_test_ctx(), digest, buffer, piece));
        added += piece;
    }
    uint8_t bytes[FR_DIGEST_BYTES];
    char text[FR_DIGEST_HEX];
    FR_ASSERT_OK(fr_digest_end(fr_test_ctx(), digest, bytes));
    fr_digest_hex(bytes, text);
    CU_ASSERT_STRING_EQUAL(text, MILLION_A);
    fr_digest_destroy(&digest);
}

static void hex_is_lower_case_and_ends_with_nul(void)
{
    uint8_t bytes[FR_DIGEST_BYTES];
    char text[FR_DIGEST_HEX + 1];
    memset(text, '#', sizeof text);
    for (int i = 0; i < FR_DIGEST_BYTES; i++) {
        bytes[i] = (uint8_t)(0xF0 - i);
    }
    fr_digest_hex(bytes, text);
    CU_ASSERT_EQUAL(strncmp(text, "f0efeeed", 8), 0);
    CU_ASSERT_EQUAL(strlen(text), FR_DIGEST_HEX - 1);
    CU_ASSERT_EQUAL(text[FR_DIGEST_HEX], '#');
}

static const fr_case CASES[] = {
    FR_CASE(one_call_gives_the_published_answers),
    FR_CASE(nothing_added_is_the_empty_digest),
    FR_CASE(pieces_of_any_size_give_the_same_digest),
    FR_CASE(hex_is_lower_case_and_ends_with_nul),
};

int main(int argc, char **argv)
{
    return fr_suite_main("digest", CASES, FR_N_CASES(CASES), argc, argv);
}
