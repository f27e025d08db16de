#include "base/text_map.h"
#include "model/text/special_tokens.h"
#include "support/suite.h"

#include <stdio.h>
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
            d->bytes[d->n][j] = (char)('b' + number(round, 1000 + 10 * i + j, letters));
        }
        if (!is_there(d, text)) {
            d->texts[d->n] = text;
            d->ids[d->n] = (int32_t)(7 * d->n + 3);
            d->n++;
        }
    }
}

/* The token that `text` begins with, the longest of several; n if there is none. */
static int64_t longest_at(const drawn *d, const char *text, size_t bytes)
{
    size_t longest = 0;
    int64_t token = d->n;
    for (int64_t i = 0; i < d->n; i++) {
        size_t n = d->texts[i].bytes;
        if (n <= bytes && n > longest && memcmp(d->texts[i].data, text, n) == 0) {
            longest = n;
            token = i;
        }
    }
    return token;
}

/* Parts as "[id]" and the text between, and where each part begins. */
typedef struct parts {
    char shown[256];
    size_t n;
    int64_t stop_after; /* 0: never */
    int64_t count;
} parts;

static fr_status collect(void *user, int32_t id, fr_text part, size_t at)
{
    parts *p = user;
    size_t room = sizeof p->shown - p->n;
    int n = id >= 0 ? snprintf(p->shown + p->n, room, "[%d]", (int)id)
                    : snprintf(p->shown + p->n, room, "%zu:%.*s;", at, (int)part.bytes,
                               part.data);
    CU_ASSERT_TRUE_FATAL(n > 0 && (size_t)n < room);
    CU_ASSERT_TRUE(id >= 0 || part.bytes > 0);
    p->n += (size_t)n;
    p->count++;
    return p->count == p->stop_after ? FR_ERR_STOPPED : FR_OK;
}

static fr_status cut(const fr_special *tokens, int64_t n, fr_text text, parts *out)
{
    fr_specials *specials = NULL;
    FR_ASSERT_OK(fr_specials_create(fr_test_ctx(), tokens, n, &specials));
    CU_ASSERT_EQUAL(fr_specials_any(specials), n > 0);
    fr_status status = fr_specials_cut(fr_test_ctx(), specials, text, collect, out);
    fr_specials_destroy(&specials);
    CU_ASSERT_PTR_NULL(specials);
    return status;
}

/* What a search that looks at every token at every byte gives. */
static void cut_slowly(const drawn *d, fr_text text, parts *out)
{
    size_t done = 0;
    for (size_t at = 0; at < text.bytes;) {
        int64_t token = longest_at(d, text.data + at, text.bytes - at);
        if (token == d->n) {
            at++;
            continue;
        }
        if (at > done) {
            (void)collect(out, -1, (fr_text){text.data + done, at - done}, done);
        }
        (void)collect(out, d->ids[token], (fr_text){NULL, 0}, at);
        at += d->texts[token].bytes;
        done = at;
    }
    if (done < text.bytes) {
        (void)collect(out, -1, (fr_text){text.data + done, text.bytes - done}, done);
    }
}

static void a_text_is_cut_at_the_leftmost_and_longest(void)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        drawn d;
        char text[TEXT_BYTES];
        fr_special tokens[MAX_TOKENS];
        parts got = {0};
        parts wanted = {0};
        draw(round, &d);
        for (size_t i = 0; i < TEXT_BYTES; i++) {
            text[i] = (char)('b' + number(round, 5000 + i, 3));
        }
        for (int64_t i = 0; i < d.n; i++) {
            tokens[i] = (fr_special){d.texts[i], d.ids[i], 0};
        }
        FR_ASSERT_OK(cut(tokens, d.n, (fr_text){text, TEXT_BYTES}, &got));
        cut_slowly(&d, (fr_text){text, TEXT_BYTES}, &wanted);
        CU_ASSERT_STRING_EQUAL_FATAL(got.shown, wanted.shown);
    }
}

static void a_token_is_found_by_its_whole_text(void)
{
    static const fr_special TOKENS[] = {{{"<a>", 3}, 5, 0}, {{"<a>b", 4}, 6, 0}};
    fr_specials *specials = NULL;
    FR_ASSERT_OK(fr_specials_create(fr_test_ctx(), TOKENS, 2, &specials));
    CU_ASSERT_EQUAL(fr_specials_whole(specials, (fr_text){"", 0}), -1);
    CU_ASSERT_EQUAL(fr_specials_whole(specials, (fr_text){"<a>", 3}), 5);
    CU_ASSERT_EQUAL(fr_specials_whole(specials, (fr_text){"<a>b", 4}), 6);
    CU_ASSERT_EQUAL(fr_specials_whole(specials, (fr_text){"<a>c", 4}), -1);
    fr_specials_destroy(&specials);
}

/* The cases of Hugging Face's tokenizers: white space around a token, and letters that touch it. */
static void flags_take_white_space_and_refuse_words(void)
{
    static const fr_special TOKENS[] = {{{"<l>", 3}, 1, FR_SPECIAL_LSTRIP},
                                        {{"<r>", 3}, 2, FR_SPECIAL_RSTRIP},
                                        {{"ing", 3}, 3, FR_SPECIAL_SINGLE_WORD},
                                        {{" ", 1}, 4, 0}};
    static const struct {
        const char *text;
        const char *wanted;
        int64_t n; /* of TOKENS */
    } CASES[] = {{"a \t\n<l> b", "0:a;[1]7: b;", 3},
                 {"a <r> \xC2\xA0 b", "0:a ;[2]9:b;", 3},
                 {"<r>  <l>x", "[2][1]8:x;", 3},
                 {"ing king -ing- ing", "[3]3: king -;[3]13:- ;[3]", 3},
                 {"ing\xCC\x81 _ing", "0:ing\xCC\x81 _ing;", 3},
                 {"ing\xFF", "[3]3:\xFF;", 3},
                 {"\xE2\x80\x8Ding", "0:\xE2\x80\x8Ding;", 3},
                 {"<r>  x", "[2][4][4]5:x;", 4},
                 {"", "", 4}};
    for (int i = 0; i < FR_N_CASES(CASES); i++) {
        parts got = {0};
        FR_ASSERT_OK(cut(TOKENS, CASES[i].n, fr_text_of(CASES[i].text), &got));
        CU_ASSERT_STRING_EQUAL(got.shown, CASES[i].wanted);
    }
}

static void a_failure_ends_the_cutting(void)
{
    static const fr_special TOKENS[] = {{{"<a>", 3}, 5, 0}};
    parts got = {.stop_after = 2};
    CU_ASSERT_EQUAL(cut(TOKENS, 1, fr_text_of("x<a>y"), &got), FR_ERR_STOPPED);
    CU_ASSERT_STRING_EQUAL(got.shown, "0:x;[5]");
}

static const fr_case CASES[] = {
    FR_CASE(a_text_is_cut_at_the_leftmost_and_longest),
    FR_CASE(a_token_is_found_by_its_whole_text),
    FR_CASE(flags_take_white_space_and_refuse_words),
    FR_CASE(a_failure_ends_the_cutting),
};

int main(int argc, char **argv)
{
    return fr_suite_main("special_tokens", CASES, FR_N_CASES(CASES), argc, argv);
}
