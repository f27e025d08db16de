#define _POSIX_C_SOURCE 200809L /* strtok_r */
/* Divisors and scales of rotary embeddings against transformers (tests/data/make_rotation.py). */
#include "base/elementary.h"
#include "model/rotation.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 1024, PAIRS = 16 };

/* As the script has them. */
static void set_longrope(fr_rotation *rotation)
{
    double shorts[PAIRS];
    double longs[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        shorts[i] = 1.0 + 0.05 * i;
        longs[i] = 1.0 + 0.7 * i;
    }
    fr_longrope by = {shorts, longs, 4096, 32.0, 0.0};
    fr_rotation_longrope(rotation, &by);
    CU_ASSERT_EQUAL(rotation->long_from, 4096);
}

static void set_rotation(const char *name, fr_rotation *rotation)
{
    static const struct {
        const char *name;
        fr_yarn by;
    } YARNS[] = {
        {"yarn", {4, 4096, 32, 1, true, 0, 0, 0}},
        {"yarn_whole", {40, 64, 16, 2, false, 0, 0.7, 1.2}},
        {"yarn_scale", {2, 64, 32, 1, true, 1.5, 0, 0}},
    };
    if (strcmp(name, "linear") == 0) {
        fr_rotation_linear(rotation, 4.0);
    } else if (strcmp(name, "llama3") == 0) {
        fr_rotation_llama3(rotation, &(fr_llama3){8, 1, 4, 8192});
    } else if (strcmp(name, "llama3_near") == 0) {
        fr_rotation_llama3(rotation, &(fr_llama3){2, 0.5, 2, 64});
    } else if (strncmp(name, "longrope", 8) == 0) {
        set_longrope(rotation);
    }
    for (int i = 0; i < FR_N_CASES(YARNS); i++) {
        if (strcmp(name, YARNS[i].name) == 0) {
            fr_rotation_yarn(rotation, &YARNS[i].by);
        }
    }
}

/* The reference computes in f32. */
static bool is_near(double a, double b)
{
    return fabs(a - b) <= 3e-6 * fabs(b);
}

static void check_line(char *line)
{
    char *at = NULL;
    const char *name = strtok_r(line, "\t", &at);
    double theta = strtod(strtok_r(NULL, "\t", &at), NULL);
    int64_t rotary = strtol(strtok_r(NULL, "\t", &at), NULL, 10);
    double scale = strtod(strtok_r(NULL, "\t", &at), NULL);
    fr_rotation rotation = fr_rotation_plain(theta, rotary);
    CU_ASSERT_EQUAL_FATAL(rotary, 2 * PAIRS);
    set_rotation(name, &rotation);
    bool right = is_near(rotation.scale, scale);
    const double *divisors =
        strcmp(name, "longrope_long") == 0 ? rotation.long_divisors : rotation.divisors;
    for (int i = 0; i < PAIRS; i++) {
        double wanted = strtod(strtok_r(NULL, "\t", &at), NULL);
        double exponent = 2.0 * i / (double)rotary;
        right = right &&
                is_near(1.0 / (fr_power_of(theta, exponent) * divisors[i]), wanted);
    }
    if (!right) {
        (void)printf("%s differs, its scale is %g\n", name, rotation.scale);
    }
    CU_ASSERT(right);
}

static void scaled_rotations_are_those_of_transformers(void)
{
    char line[LINE_BYTES];
    int n = 0;
    FILE *file = fopen(fr_test_data("data/rotation.tsv"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] != '#') {
            check_line(line);
            n++;
        }
    }
    (void)fclose(file);
    CU_ASSERT_EQUAL(n, 8);
}

static void factors_of_one_change_nothing(void)
{
    fr_rotation rotation = fr_rotation_plain(1e4, 32);
    fr_rotation_linear(&rotation, 1.0);
    fr_rotation_llama3(&rotation, &(fr_llama3){1, 1, 4, 8192});
    fr_rotation_yarn(&rotation, &(fr_yarn){1, 4096, 32, 1, true, 0, 0, 0});
    CU_ASSERT_EQUAL(rotation.scale, 1.0);
    for (int i = 0; i < FR_ROTATION_MAX_PAIRS; i++) {
        CU_ASSERT(fabs(rotation.divisors[i] - 1.0) < 1e-15);
    }
}

static const fr_case CASES[] = {
    FR_CASE(scaled_rotations_are_those_of_transformers),
    FR_CASE(factors_of_one_change_nothing),
};

int main(int argc, char **argv)
{
    return fr_suite_main("rotation", CASES, FR_N_CASES(CASES), argc, argv);
}
