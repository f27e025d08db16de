/* Pictures of known small schedules, letter by letter. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "support/suite.h"
#include "train/forecast/picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STAGES = 64 };

static const char *const NAMES[] = {"summaries", "titles & <more>"};

/* Stages of one layer whose passes all take a second. */
typedef struct drawn {
    int n_stages;
    int64_t n_tasks;
    int64_t n_microbatches;
    int64_t n_steps;
} drawn;

static void play(const drawn *d, fr_timeline *out)
{
    double ones[MAX_STAGES];
    int64_t n[] = {d->n_microbatches, d->n_microbatches};
    int64_t steps[] = {d->n_steps, d->n_steps};
    for (int i = 0; i < MAX_STAGES; i++) {
        ones[i] = 1.0;
    }
    fr_timeline_params params = {.n_stages = d->n_stages,
                                 .warmup_depth = 1,
                                 .n_tasks = d->n_tasks,
                                 .n_microbatches = n,
                                 .n_steps = steps,
                                 .forward = ones,
                                 .backward = ones};
    FR_ASSERT_OK(fr_timeline_run(fr_test_ctx(), &params, out));
}

/* The picture as text; columns 0: SVG. The caller frees. */
static char *draw(const drawn *d, int columns)
{
    fr_timeline timeline;
    int64_t bounds[MAX_STAGES + 1];
    char *text = NULL;
    size_t bytes = 0;
    for (int i = 0; i <= MAX_STAGES; i++) {
        bounds[i] = i;
    }
    play(d, &timeline);
    fr_picture picture = {.timeline = &timeline,
                          .n_stages = d->n_stages,
                          .n_tasks = d->n_tasks,
                          .task_names = NAMES,
                          .bounds = bounds,
                          .title = "title",
                          .subtitle = "idle < 1 %"};
    FILE *out = open_memstream(&text, &bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    if (columns > 0) {
        fr_picture_text(&picture, columns, out);
    } else {
        fr_picture_svg(&picture, out);
    }
    (void)fclose(out);
    fr_timeline_fini(&timeline);
    return text;
}

static void check_text(const drawn *d, int columns, const char *wanted)
{
    char *got = draw(d, columns);
    if (strcmp(got, wanted) != 0) {
        (void)fprintf(stderr, "got\n%s", got);
    }
    CU_ASSERT_STRING_EQUAL(got, wanted);
    free(got);
}

static void one_task_on_two_stages(void)
{
    check_text(&(drawn){2, 1, 3, 1}, 100,
               "stage 0    Fa0-Fa1-....Ba0=Fa2-Ba1=....Ba2=\n"
               "stage 1    ....Fa0-Ba0=Fa1-Ba1=Fa2-Ba2=....\n"
               "           a column is 0.25 s\n"
               "           a: summaries\n");
}

static void a_second_task_fills_the_bubble(void)
{
    check_text(&(drawn){2, 2, 2, 1}, 100,
               "stage 0    Fa0-Fa1-....Ba0=Fb0-Ba1=Fb1-Bb0=....Bb1=\n"
               "stage 1    ....Fa0-Ba0=Fa1-Ba1=Fb0-Bb0=Fb1-Bb1=....\n"
               "           a column is 0.25 s\n"
               "           a: summaries\n"
               "           b: titles & <more>\n");
}

static void what_is_too_wide_is_cut(void)
{
    check_text(&(drawn){2, 1, 8, 1}, 31,
               "stage 0    Fa0-Fa1-....Ba0=Fa2-\n"
               "stage 1    ....Fa0-Ba0=Fa1-Ba1=\n"
               "           a column is 0.25 s; cut: 5 s of 18 s are shown\n"
               "           a: summaries\n");
}

static void narrow_pictures_have_a_letter_a_pass(void)
{
    check_text(&(drawn){3, 1, 2, 1}, 31,
               "stage 0    aa...A.A\n"
               "stage 1    .aa.A.A.\n"
               "stage 2    ..aAaA..\n"
               "           a column is 1 s\n"
               "           small letters forward, capitals backward\n"
               "           a: summaries\n");
}

static void of_many_stages_the_middle_is_left_out(void)
{
    char *text = draw(&(drawn){64, 1, 4, 1}, 100);
    int lines = 0;
    for (const char *c = text; *c != '\0'; c++) {
        lines += *c == '\n';
    }
    CU_ASSERT_EQUAL(lines, 24 + 1 + 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "(40 stages)"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nstage 11 "));
    CU_ASSERT_PTR_NULL(strstr(text, "\nstage 12 "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nstage 52 "));
    free(text);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        n++;
    }
    return n;
}

static void svg_has_every_pass_and_escapes_names(void)
{
    char *svg = draw(&(drawn){4, 2, 3, 2}, 0);
    CU_ASSERT_EQUAL(count(svg, "<title>"), 4 * 2 * 2 * 3 * 2);
    CU_ASSERT_EQUAL(count(svg, "<title>forward of microbatch 2, step 1 of titles "
                               "&amp; &lt;more&gt;"),
                    4);
    CU_ASSERT_EQUAL(count(svg, "idle &lt; 1 %"), 1);
    CU_ASSERT_EQUAL(count(svg, "<more>"), 0);
    CU_ASSERT_EQUAL(count(svg, "</svg>"), 1);
    CU_ASSERT_EQUAL(count(svg, "cut:"), 0);
    free(svg);
}

/* Passes of less than six pixels would not be seen: 1190 pixels hold 198 of them. */
static void svg_of_a_long_run_is_cut(void)
{
    char *svg = draw(&(drawn){2, 1, 200, 1}, 0);
    CU_ASSERT_EQUAL(count(svg, "cut: 198 s of 402 s"), 1);
    CU_ASSERT(count(svg, "<title>") > 380 && count(svg, "<title>") < 400);
    free(svg);
}

static const fr_case CASES[] = {
    FR_CASE(one_task_on_two_stages),
    FR_CASE(a_second_task_fills_the_bubble),
    FR_CASE(what_is_too_wide_is_cut),
    FR_CASE(narrow_pictures_have_a_letter_a_pass),
    FR_CASE(of_many_stages_the_middle_is_left_out),
    FR_CASE(svg_has_every_pass_and_escapes_names),
    FR_CASE(svg_of_a_long_run_is_cut),
};

int main(int argc, char **argv)
{
    return fr_suite_main("picture", CASES, FR_N_CASES(CASES), argc, argv);
}
