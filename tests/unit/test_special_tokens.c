#include "base/text_map.h"
#include "model/text/special_tokens.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 12, MAX_BYTES = 6, TEXT_BYTES = 40, ROUNDS = 3000 };

/* Some different texts over two or three letters, so that they begin and end with each other. */
typedef struct drawn {
    char bytes[MAX_TOKENS][MAX_BYTES];
    fr_text texts[MAX_TOKENS];
    int32_t ids[MAX_TOKENS];
    int64_t n;
} drawn;

static bool is_there(const drawn *d, fr_text text)
{
    for (int64_t i = 0; i < d->n; i++) {
        if (d->texts[i].bytes == text.bytes &&
            memcmp(d->texts[i].data, text.data, text.bytes) == 0) {
            return true;
        }
    }
    return false;
}

static uint64_t number(uint64_t round, uint64_t index, uint64_t below)
{
    return fr_hash_word(round, index) % below;
}

static void draw(uint64_t round, drawn *d)
{
    uint64_t letters = 1 + number(round, 0, 3);
    uint64_t wanted = number(round, 1, MAX_TOKENS + 1);
    d->n = 0;
    for (uint64_t i = 0; i < wanted; i++) {
        fr_text text = {d->bytes[d->n], 1 + number(round, 100 + i, MAX_BYTES)};
        for (size_t j = 0; j < text.bytes; j++) {
            d->bytes[d->n][j] =
                (char)(0xFE + number(round, 1000 + 10 * i + j, letters));
        }
        if (!is_there(d, text)) {
            d->texts[d->n] = text;
            d->ids[d->n] = (int32_t)(7 * d->n + 3);
            d->n++;
        }
    }
}

static int32_t longest_at(const drawn *d, const char *text, size_t bytes)
{
    size_t longest = 0;
    int32_t id = -1;
    for (int64_t i = 0; i < d->n; i++) {
        size_t n = d->texts[i].bytes;
        if (n <= bytes && n > longest && memcmp(d->texts[i].data, text, n) == 0) {
            longest = n;
            id = d->ids[i];
        }
    }
    return id;
}

static void the_longest_token_at_each_byte_is_found(void)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        drawn d;
        char text[TEXT_BYTES];
        fr_specials *specials = NULL;
        int32_t *found = NULL;
        draw(round, &d);
        for (size_t i = 0; i < TEXT_BYTES; i++) {
            text[i] = (char)(0xFE + number(round, 5000 + i, 3));
        }
        FR_ASSERT_OK(fr_specials_create(fr_test_ctx(), d.texts, d.ids, d.n, &specials));
        CU_ASSERT_EQUAL(fr_specials_any(specials), d.n > 0);
        FR_ASSERT_OK(fr_specials_find(fr_test_ctx(), specials,
                                      (fr_text){text, TEXT_BYTES}, &found));
        for (size_t i = 0; i < TEXT_BYTES; i++) {
            fr_text rest = {text + i, TEXT_BYTES - i};
            int32_t wanted = longest_at(&d, rest.data, rest.bytes);
            CU_ASSERT_EQUAL_FATAL(found[i], wanted);
            CU_ASSERT_EQUAL_FATAL(fr_specials_longest(specials, rest), wanted);
        }
        free(found);
        fr_specials_destroy(&specials);
    }
}

static void an_empty_text_holds_none(void)
{
    static const fr_text TOKENS[] = {{"<a>", 3}};
    static const int32_t IDS[] = {5};
    fr_specials *specials = NULL;
    int32_t *found = NULL;
    FR_ASSERT_OK(fr_specials_create(fr_test_ctx(), TOKENS, IDS, 1, &specials));
    FR_ASSERT_OK(fr_specials_find(fr_test_ctx(), specials, (fr_text){"", 0}, &found));
    CU_ASSERT_EQUAL(fr_specials_longest(specials, (fr_text){"", 0}), -1);
    CU_ASSERT_EQUAL(fr_specials_longest(specials, (fr_text){"<a>b", 4}), 5);
    free(found);
    fr_specials_destroy(&specials);
    CU_ASSERT_PTR_NULL(specials);
}

static const fr_case CASES[] = {
    FR_CASE(the_longest_token_at_each_byte_is_found),
    FR_CASE(an_empty_text_holds_none),
};

int main(int argc, char **argv)
{
    return fr_suite_main("special_tokens", CASES, FR_N_CASES(CASES), argc, argv);
}
