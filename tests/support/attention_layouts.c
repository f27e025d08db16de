#include "support/attention_case.h"

const fr_attention_shape fr_attention_shapes[FR_ATTENTION_SHAPES] = {
    {.n_heads = 9, .n_kv_heads = 3, .head_dim = 64, .prefix_length = 32},
    {.n_heads = 4, .n_kv_heads = 4, .head_dim = 16, .prefix_length = 0},
    {.n_heads = 6, .n_kv_heads = 2, .head_dim = 80, .prefix_length = 33},
    {.n_heads = 3, .n_kv_heads = 1, .head_dim = 2, .prefix_length = 1},
    {.n_heads = 62, .n_kv_heads = 1, .head_dim = 6, .prefix_length = 5},
    {.n_heads = 8, .n_kv_heads = 2, .head_dim = 64, .prefix_length = 100},
};

/* Fields: q_first, q_count, own_first, position (see fr_attention_case_create), unit, sees_prefix, n_spans, spans. */
const fr_attention_layout fr_training_layouts[FR_TRAINING_LAYOUTS] = {
    {"one sequence", 1, {{0, 67, 0, 0, 0, true, 0, {{0, 0, 0}}}}},
    {"a source with three targets",
     4,
     {{0, 70, 0, 0, 0, true, 0, {{0, 0, 0}}},
      {70, 10, 70, 0, 0, true, 1, {{0, 70, 0}}},
      {80, 17, 80, 0, 0, true, 1, {{0, 70, 0}}},
      {97, 33, 97, 0, 0, true, 1, {{0, 70, 0}}}}},
    {"units, an empty segment and a gap",
     6,
     {{2, 5, 2, 0, 0, true, 0, {{0, 0, 0}}},
      {7, 1, 7, 0, 0, true, 1, {{2, 5, 0}}},
      {8, 64, 8, 0, 1, true, 0, {{0, 0, 0}}},
      {72, 0, 72, 0, 1, true, 1, {{8, 64, 0}}},
      {75, 65, 75, 0, 2, false, 0, {{0, 0, 0}}},
      {140, 20, 140, 0, 2, true, 1, {{75, 65, 0}}}}},
    {"three spans, one of them empty",
     4,
     {{0, 3, 0, 0, 0, true, 0, {{0, 0, 0}}},
      {3, 65, 3, 0, 0, false, 1, {{0, 3, 0}}},
      {68, 20, 68, 0, 0, true, 3, {{3, 65, 0}, {68, 0, 0}, {0, 3, 0}}},
      {88, 19, 88, 0, 1, false, 0, {{0, 0, 0}}}}},
};

/* Fields: name, factor, cap, window, prefix_slides, slopes. */
const fr_attention_scores fr_attention_scores_list[FR_ATTENTION_SCORES] = {
    {"another scale", 2.5, 0, 0, false, false},
    {"cap", 4, 1.5F, 0, false, false},
    {"slopes", 1, 0, 0, false, true},
    {"window of 1", 1, 0, 1, false, false},
    {"window of 1 that slides", 1, 0, 1, true, false},
    {"window of 5", 1, 0, 5, false, false},
    {"window of 5 that slides", 1, 0, 5, true, false},
    {"window of a tile that slides", 1, 0, 64, true, false},
    {"window over a tile", 1, 0, 70, false, false},
    {"window over a tile that slides", 1, 0, 90, true, false},
    {"cap and window", 4, 1.5F, 20, false, false},
    {"cap and sliding window", 0.5, 30, 41, true, false},
    {"slopes and sliding window", 1, 0, 33, true, true},
    {"all", 3, 2, 37, true, true},
};

const fr_attention_layout fr_decode_layout = {
    "decode",
    2,
    {{0, 2, 130, 0, 0, true, 1, {{0, 130, 0}}},
     {2, 1, 143, 0, 1, true, 1, {{140, 3, 0}}}},
};

void fr_attention_unit(int64_t first, int64_t unit,
                       fr_segment segments[FR_UNIT_SEGMENTS])
{
    static const int64_t COUNTS[FR_UNIT_SEGMENTS] = {69, 13, 31};
    int64_t row = first;
    for (int i = 0; i < FR_UNIT_SEGMENTS; i++) {
        segments[i] = (fr_segment){.q_first = row,
                                   .q_count = COUNTS[i],
                                   .own_first = row,
                                   .unit = unit,
                                   .sees_prefix = true,
                                   .n_spans = i == 0 ? 0 : 1,
                                   .spans = {{first, COUNTS[0], 0}}};
        row += COUNTS[i];
    }
}
