/* Texts as they come: the same as whole texts, with stops where they are. */
#include "model/text/text_stream.h"

#include "base/rng.h"
#include "base/utf8.h"
#include "support/model_files.h"
#include "support/suite.h"
#include "support/tiny_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 8192 };

static fr_tokenizer *bytes_tokenizer(void)
{
    json_t *root = fr_tiny_json();
    fr_tokenizer *tokenizer = fr_tiny_tokenizer(root, NULL);
    json_decref(root);
    return tokenizer;
}

static fr_tokenizer *scored_tokenizer(const char *model)
{
    fr_tokenizer *tokenizer = NULL;
    fr_gguf_writer *writer = fr_tiny_scored_gguf(model);
    const char *path = fr_test_path(fr_test_folder(), "stream.gguf");
    fr_gguf_writer_write(writer, path);
    fr_gguf_writer_destroy(&writer);
    FR_ASSERT_OK(fr_tokenizer_open(fr_test_ctx(), path, &tokenizer));
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokenizer);
    return tokenizer;
}

static void append(char out[TEXT_BYTES], fr_text piece)
{
    size_t used = strlen(out);
    CU_ASSERT_FATAL(used + piece.bytes < TEXT_BYTES);
    CU_ASSERT_EQUAL(strlen(piece.data), piece.bytes);
    memcpy(out + used, piece.data, piece.bytes + 1);
}

/* Streams ids; pieces are joined with '|' between them if `cuts`. Whether a stop was met. */
static bool stream_ids(const fr_tokenizer *tokenizer, const int32_t *ids, int64_t n,
                       const char *const *stops, bool cuts, char out[TEXT_BYTES])
{
    fr_text_stream *stream = NULL;
    fr_text piece;
    bool stopped = false;
    int64_t n_stops = 0;
    while (stops != NULL && stops[n_stops] != NULL) {
        n_stops++;
    }
    out[0] = '\0';
    FR_ASSERT_OK(
        fr_text_stream_open(fr_test_ctx(), tokenizer, stops, n_stops, &stream));
    for (int64_t i = 0; i < n; i++) {
        bool before = stopped;
        FR_ASSERT_OK(fr_text_stream_add(stream, ids[i], &piece, &stopped));
        CU_ASSERT(!before || (stopped && piece.bytes == 0));
        append(out, piece);
        if (cuts) {
            append(out, fr_text_of("|"));
        }
    }
    FR_ASSERT_OK(fr_text_stream_end(stream, &piece));
    append(out, piece);
    fr_text_stream_close(&stream);
    return stopped;
}

/* The ids are bytes of the tiny tokenizer. */
static bool stream_bytes(const char *text, const char *const *stops, bool cuts,
                         char out[TEXT_BYTES])
{
    fr_tokenizer *tokenizer = bytes_tokenizer();
    int32_t ids[256];
    size_t n = strlen(text);
    CU_ASSERT_FATAL(n < 256);
    for (size_t i = 0; i < n; i++) {
        ids[i] = (unsigned char)text[i];
    }
    bool stopped = stream_ids(tokenizer, ids, (int64_t)n, stops, cuts, out);
    fr_tokenizer_close(&tokenizer);
    return stopped;
}

static void check(const char *text, const char *const *stops, bool cuts,
                  const char *wanted)
{
    char got[TEXT_BYTES];
    (void)stream_bytes(text, stops, cuts, got);
    if (strcmp(got, wanted) != 0) {
        (void)printf("    gives  %s\n    wanted %s\n", got, wanted);
        CU_FAIL("another text");
    }
}

static void characters_come_whole(void)
{
    check("a\xC3\xA9z", NULL, true, "a||\xC3\xA9|z|");
    check("\xF0\x9F\x98\x80", NULL, true, "|||\xF0\x9F\x98\x80|");
}

/* A character that is not completed is given when it is sure that it will not be. */
static void broken_characters_are_replaced(void)
{
    check("\xC3z", NULL, true, "|\xEF\xBF\xBDz|");
    check("\xFFz", NULL, true, "\xEF\xBF\xBD|z|");
    check("z\xF0\x9F", NULL, true, "z|||\xEF\xBF\xBD");
    check("\xE2\x82\xE2\x82\xAC", NULL, true, "||\xEF\xBF\xBD||\xE2\x82\xAC|");
}

static void stops_end_texts(void)
{
    static const char *const STOP[] = {"END", NULL};
    char got[TEXT_BYTES];
    CU_ASSERT_TRUE(stream_bytes("a E ENENDz", STOP, false, got));
    CU_ASSERT_STRING_EQUAL(got, "a E EN");
    check("a ENz", STOP, true, "a| |||ENz|");
    check("a EN", STOP, true, "a| |||EN");
    CU_ASSERT_FALSE(stream_bytes("a EN", STOP, false, got));
    check("END", STOP, false, "");
}

/* The stop that is complete first counts; of two that end together the longer one. */
static void stops_may_overlap(void)
{
    static const char *const NESTED[] = {"b", "abc", "xab", NULL};
    static const char *const INSIDE[] = {"abcd", "bc", NULL};
    static const char *const AGAIN[] = {"aab", NULL};
    static const char *const ACCENT[] = {"\xC3\xA9!", "\xEF\xBF\xBD", NULL};
    check("zxab", NESTED, false, "z");
    check("zab", NESTED, false, "za");
    check("zabcd", INSIDE, false, "za");
    check("zabab", INSIDE, true, "z|||ab||ab");
    check("aaaab", AGAIN, true, "||a|a||");
    check("\xC3\xA9\xC3\xA9!", ACCENT, true, "|||\xC3\xA9||");
    check("\xC3\xA8\xC3\xA9?", ACCENT, false, "\xC3\xA8\xC3\xA9?");
    check("a\xC3", ACCENT, false, "a"); /* what is put in for a broken one stops too */
}

/* Merged tokens hold what stands around a stop. */
static void a_stop_may_lie_inside_an_id(void)
{
    static const char *const STOPS[] = {"el", "o w", NULL};
    const int32_t inside[] = {FR_TINY_HELLO, 'x'};
    const int32_t across[] = {'o', FR_TINY_SPACE_W, 'x'};
    const int32_t special[] = {'e', FR_TINY_IM_END, 'l'}; /* which is left out */
    char got[TEXT_BYTES];
    fr_tokenizer *tokenizer = bytes_tokenizer();
    CU_ASSERT_TRUE(stream_ids(tokenizer, inside, 2, STOPS, true, got));
    CU_ASSERT_STRING_EQUAL(got, "h||");
    CU_ASSERT_TRUE(stream_ids(tokenizer, across, 3, STOPS, true, got));
    CU_ASSERT_STRING_EQUAL(got, "|||");
    CU_ASSERT_TRUE(stream_ids(tokenizer, special, 3, STOPS, true, got));
    CU_ASSERT_STRING_EQUAL(got, "|||");
    fr_tokenizer_close(&tokenizer);
}

static void what_is_no_stop_is_refused(void)
{
    fr_tokenizer *tokenizer = bytes_tokenizer();
    fr_text_stream *stream = NULL;
    const char *empty[] = {"a", ""};
    const char *broken[] = {"\xC3"};
    const char *many[FR_MAX_STOPS + 1];
    char *longest = calloc(FR_MAX_STOP_BYTES + 2, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(longest);
    memset(longest, 'a', FR_MAX_STOP_BYTES + 1);
    for (int i = 0; i <= FR_MAX_STOPS; i++) {
        many[i] = "a";
    }
    FR_ASSERT_FAILS(fr_text_stream_open(fr_test_ctx(), tokenizer, empty, 2, &stream),
                    FR_ERR_ARG, "0 bytes");
    FR_ASSERT_FAILS(fr_text_stream_open(fr_test_ctx(), tokenizer, broken, 1, &stream),
                    FR_ERR_ARG, "must be UTF-8");
    FR_ASSERT_FAILS(
        fr_text_stream_open(fr_test_ctx(), tokenizer, many, FR_MAX_STOPS + 1, &stream),
        FR_ERR_ARG, "at most 64");
    const char *one[] = {longest};
    FR_ASSERT_FAILS(fr_text_stream_open(fr_test_ctx(), tokenizer, one, 1, &stream),
                    FR_ERR_ARG, "4097 bytes");
    CU_ASSERT_PTR_NULL(stream);
    FR_ASSERT_OK(fr_text_stream_open(fr_test_ctx(), tokenizer, NULL, 0, &stream));
    fr_text piece;
    bool stopped = true;
    FR_ASSERT_FAILS(fr_text_stream_add(stream, -1, &piece, &stopped), FR_ERR_ARG,
                    "negative");
    fr_text_stream_close(&stream);
    free(longest);
    fr_tokenizer_close(&tokenizer);
}

/* The text of ids as answers have it, up to the first complete stop, found in another way than the stream does. */
static void decode_whole(const fr_tokenizer *tokenizer, const int32_t *ids, int64_t n,
                         const char *const *stops, char out[TEXT_BYTES])
{
    char *text = NULL;
    size_t bytes = 0;
    FR_ASSERT_OK(
        fr_tokenizer_decode(fr_test_ctx(), tokenizer, ids, n, true, &text, &bytes));
    FR_ASSERT_OK(fr_utf8_repair(fr_test_ctx(), &text, &bytes, NULL));
    size_t end = bytes;
    for (size_t i = 1; i <= bytes && end == bytes; i++) {
        size_t longest = 0;
        for (int k = 0; stops != NULL && stops[k] != NULL; k++) {
            size_t m = strlen(stops[k]);
            if (m <= i && m > longest && memcmp(text + i - m, stops[k], m) == 0) {
                longest = m;
            }
        }
        if (longest > 0) {
            end = i - longest;
            break;
        }
    }
    CU_ASSERT_FATAL(end < TEXT_BYTES);
    memcpy(out, text, end);
    out[end] = '\0';
    free(text);
}

/* Few different ids, so that stops and broken characters occur. Zeros would end the C strings that this compares. */
static void check_random(const fr_tokenizer *tokenizer, const int32_t *from,
                         uint32_t n_from)
{
    enum { TRIALS = 3000, MOST = 24 };
    static const char *const STOPS[] = {"aa", "b\xC3\xA9", " w", "lo", NULL};
    char got[TEXT_BYTES];
    char wanted[TEXT_BYTES];
    int n_wrong = 0;
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        int32_t ids[MOST];
        for (uint64_t i = 0; i < MOST; i++) {
            ids[i] = from[fr_rng_u64(1, FR_RNG_TEST, trial, i) % n_from];
        }
        const char *const *stops = trial % 2 == 0 ? STOPS : NULL;
        (void)stream_ids(tokenizer, ids, MOST, stops, false, got);
        decode_whole(tokenizer, ids, MOST, stops, wanted);
        n_wrong += strcmp(got, wanted) != 0;
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
}

static void random_ids_give_the_whole_text(void)
{
    static const int32_t BYTES[] = {'a',
                                    'b',
                                    ' ',
                                    'l',
                                    0xC3,
                                    0xA9,
                                    0xE2,
                                    0x82,
                                    0xAC,
                                    0xF0,
                                    0x9F,
                                    FR_TINY_HELLO,
                                    FR_TINY_SPACE_W,
                                    FR_TINY_SPACES,
                                    FR_TINY_IM_END,
                                    100000};
    fr_tokenizer *tokenizer = bytes_tokenizer();
    check_random(tokenizer, BYTES, FR_N_CASES(BYTES));
    fr_tokenizer_close(&tokenizer);
}

/* All ids of models that put a space in front of texts, and that have tokens of single bytes. */
static void scored_ids_give_the_whole_text(void)
{
    static const char *const MODELS[] = {"llama", "t5"};
    for (int m = 0; m < FR_N_CASES(MODELS); m++) {
        int32_t ids[4096];
        fr_tokenizer *tokenizer = scored_tokenizer(MODELS[m]);
        int64_t n = fr_test_n_tokens(tokenizer);
        uint32_t n_from = 0;
        CU_ASSERT_TRUE(fr_tokenizer_adds_space(tokenizer));
        for (int32_t i = 0; i < n && n_from < 4096; i++) {
            char *text = NULL;
            size_t bytes = 0;
            FR_ASSERT_OK(fr_tokenizer_decode(fr_test_ctx(), tokenizer, &i, 1, false,
                                             &text, &bytes));
            if (strlen(text) == bytes) {
                ids[n_from++] = i;
            }
            free(text);
        }
        check_random(tokenizer, ids, n_from);
        fr_tokenizer_close(&tokenizer);
    }
}

static const fr_case CASES[] = {
    FR_CASE(characters_come_whole),
    FR_CASE(broken_characters_are_replaced),
    FR_CASE(stops_end_texts),
    FR_CASE(stops_may_overlap),
    FR_CASE(a_stop_may_lie_inside_an_id),
    FR_CASE(what_is_no_stop_is_refused),
    FR_CASE(random_ids_give_the_whole_text),
    FR_CASE(scored_ids_give_the_whole_text),
};

int main(int argc, char **argv)
{
    return fr_suite_main("text_stream", CASES, FR_N_CASES(CASES), argc, argv);
}
