#include "base/text_map.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>

enum { N_KEYS = 5000, KEY_BYTES = 16 };

static fr_text view(const char *text)
{
    return (fr_text){text, strlen(text)};
}

static void every_added_key_is_found(void)
{
    static char keys[N_KEYS][KEY_BYTES];
    fr_text_map map;
    FR_ASSERT_OK(fr_text_map_init(fr_test_ctx(), &map, N_KEYS));
    for (int i = 0; i < N_KEYS; i++) {
        (void)snprintf(keys[i], KEY_BYTES, "k%d", i);
        CU_ASSERT_EQUAL(fr_text_map_add(&map, view(keys[i]), i), i);
    }
    for (int i = 0; i < N_KEYS; i++) {
        CU_ASSERT_EQUAL(fr_text_map_find(&map, view(keys[i])), i);
    }
    CU_ASSERT_EQUAL(fr_text_map_find(&map, view("k")), -1);
    CU_ASSERT_EQUAL(fr_text_map_find(&map, view("k5000")), -1);
    fr_text_map_fini(&map);
}

static void a_second_value_is_not_taken(void)
{
    fr_text_map map;
    FR_ASSERT_OK(fr_text_map_init(fr_test_ctx(), &map, 2));
    CU_ASSERT_EQUAL(fr_text_map_add(&map, view("twice"), 7), 7);
    CU_ASSERT_EQUAL(fr_text_map_add(&map, view("twice"), 8), 7);
    CU_ASSERT_EQUAL(fr_text_map_find(&map, view("twice")), 7);
    fr_text_map_fini(&map);
}

static void keys_are_bytes_not_strings(void)
{
    static const char BYTES[] = {'a', '\0', 'b', '\0', 'c'};
    fr_text_map map;
    FR_ASSERT_OK(fr_text_map_init(fr_test_ctx(), &map, 3));
    CU_ASSERT_EQUAL(fr_text_map_add(&map, (fr_text){BYTES, 1}, 1), 1);
    CU_ASSERT_EQUAL(fr_text_map_add(&map, (fr_text){BYTES, 3}, 2), 2);
    CU_ASSERT_EQUAL(fr_text_map_add(&map, (fr_text){BYTES, 5}, 3), 3);
    CU_ASSERT_EQUAL(fr_text_map_find(&map, (fr_text){BYTES, 3}), 2);
    CU_ASSERT_EQUAL(fr_text_map_find(&map, (fr_text){BYTES, 2}), -1);
    fr_text_map_fini(&map);
}

static void a_full_map_still_tells_absent_keys(void)
{
    static const char *const KEYS[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    fr_text_map map;
    FR_ASSERT_OK(fr_text_map_init(fr_test_ctx(), &map, FR_N_CASES(KEYS)));
    CU_ASSERT_EQUAL(fr_text_map_find(&map, view("a")), -1);
    for (int i = 0; i < FR_N_CASES(KEYS); i++) {
        CU_ASSERT_EQUAL(fr_text_map_add(&map, view(KEYS[i]), i), i);
    }
    CU_ASSERT_EQUAL(fr_text_map_find(&map, view("i")), -1);
    fr_text_map_fini(&map);
}

static const fr_case CASES[] = {
    FR_CASE(every_added_key_is_found), FR_CASE(a_second_value_is_not_taken),
    FR_CASE(keys_are_bytes_not_strings), FR_CASE(a_full_map_still_tells_absent_keys)};

int main(int argc, char **argv)
{
    return fr_suite_main("text_map", CASES, FR_N_CASES(CASES), argc, argv);
}
