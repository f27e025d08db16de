#define _POSIX_C_SOURCE 200809L
#include "train/checkpoint/collection.h"

#include "base/file.h"
#include "base/mem.h"
#include "support/checkpoints.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, ALL_LAYERS_FLOATS = FR_FIXTURE_LAYERS * FR_FIXTURE_FLOATS };

static const char OWN[] = "own.h5";

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = NULL;
    FR_ASSERT_OK(fr_copy_optional(fr_test_ctx(), value, text));
}

/* The fixture's tasks made alike but for their names, numbers and progress: prefixes of one base. */
static fr_checkpoint *alike(int64_t n_tasks, bool moments, int64_t step)
{
    fr_checkpoint *c = fr_fixture_checkpoint(n_tasks, moments, step);
    for (int64_t i = 0; i < n_tasks; i++) {
        fr_checkpoint_task *task = &c->tasks[i];
        task->first_layer = 0;
        task->base_layers = FR_FIXTURE_LAYERS;
        task->base_norm_eps = (double)1e-5F;
        task->chat = false;
        task->special = false;
        task->leading_bos = true;
        set_text(&task->template_text, "{source}\n{target}");
        set_text(&task->chat_template, "{{ messages }}");
        set_text(&task->chat_arguments, "{}");
        set_text(&task->chat_clock, "2026-01-31");
        set_text(&task->init, "text: a secret");
        memset(task->valid_digest, 5, sizeof task->valid_digest);
    }
    set_text(&c->layout, "2x1 threads 1");
    return c;
}

static fr_status add(fr_checkpoint *collection, fr_checkpoint *from, int64_t index,
                     const char *name, bool *trained)
{
    fr_collection_source source = {"other.h5:x", from, index};
    return fr_collection_add(fr_test_ctx(), collection, OWN, &source, name, trained);
}

static fr_collection_names names_of(const char *const *names, int64_t n)
{
    return (fr_collection_names){names, n};
}

static void write_and_read(const char *name, const fr_checkpoint *c, char **bytes,
                           size_t *n)
{
    char path[PATH_BYTES];
    fr_checkpoint *read = NULL;
    fr_fixture_path(fr_test_folder(), name, path);
    FR_ASSERT_OK(fr_checkpoint_write(fr_test_ctx(), path, c));
    FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), path, &read));
    fr_fixture_assert_equal(read, c);
    fr_checkpoint_destroy(&read);
    FR_ASSERT_OK(fr_file_read(fr_test_ctx(), path, bytes, n));
}

/* ---- adding ----------------------------------------------------------------------------------- */

static void added_prefix_keeps_numbers_and_loses_what_only_training_needs(void)
{
    bool trained = false;
    fr_checkpoint *own = NULL;
    fr_checkpoint *other = alike(3, true, 7);
    fr_checkpoint *wanted = alike(3, false, 7);
    fr_fixture_add_mlp(&other->tasks[2]);
    FR_ASSERT_FAILS(fr_collection_check(fr_test_ctx(), "other.h5", other),
                    FR_ERR_CHECKPOINT, "forerun prefix add NEW.h5 other.h5:alpha");
    FR_ASSERT_OK(fr_collection_create(fr_test_ctx(), "other.h5", other, &own));
    CU_ASSERT_EQUAL(own->n_tasks, 0);
    FR_ASSERT_OK(add(own, other, 2, "one", &trained));
    CU_ASSERT_TRUE(trained);
    FR_ASSERT_OK(add(own, other, 0, NULL, &trained));
    CU_ASSERT_TRUE(trained);
    CU_ASSERT_PTR_NULL(other->tasks[0].state.k);
    FR_ASSERT_OK(fr_collection_check(fr_test_ctx(), OWN, own));
    CU_ASSERT_EQUAL_FATAL(own->n_tasks, 2);
    CU_ASSERT_STRING_EQUAL(own->tasks[0].name, "one");
    CU_ASSERT_STRING_EQUAL(own->tasks[1].name, "alpha");
    CU_ASSERT_PTR_NULL(own->config);
    CU_ASSERT_PTR_NULL(own->layout);
    fr_assert_same_bytes("k", own->tasks[0].state.k, wanted->tasks[2].state.k,
                         ALL_LAYERS_FLOATS * sizeof(float));
    fr_assert_same_bytes("v", own->tasks[1].state.v, wanted->tasks[0].state.v,
                         ALL_LAYERS_FLOATS * sizeof(float));
    CU_ASSERT_EQUAL(own->tasks[1].progress.step, 7);
    CU_ASSERT_STRING_EQUAL(own->arithmetic, "cpu 1");
    fr_checkpoint_destroy(&other);
    fr_checkpoint_destroy(&wanted);
    fr_checkpoint_destroy(&own);
}

static void equal_content_has_equal_bytes_however_it_came_there(void)
{
    static const char *const GONE[] = {"beta"};
    char *bytes[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    bool trained = true;
    for (int i = 0; i < 2; i++) {
        fr_checkpoint *own = NULL;
        fr_checkpoint *other = alike(3, i == 0, 7);
        fr_collection_names gone = names_of(GONE, 1);
        FR_ASSERT_OK(fr_collection_create(fr_test_ctx(), "other.h5", other, &own));
        FR_ASSERT_OK(add(own, other, 0, i == 0 ? "zeta" : NULL, &trained));
        CU_ASSERT_EQUAL(trained, i == 0);
        if (i == 0) {
            FR_ASSERT_OK(add(own, other, 1, NULL, &trained));
            FR_ASSERT_OK(
                fr_collection_rename(fr_test_ctx(), own, OWN, "zeta", "alpha"));
        }
        FR_ASSERT_OK(add(own, other, 2, NULL, &trained));
        if (i == 0) {
            FR_ASSERT_OK(fr_collection_remove(fr_test_ctx(), own, OWN, &gone));
        }
        write_and_read(i == 0 ? "a.h5" : "b.h5", own, &bytes[i], &n[i]);
        fr_checkpoint_destroy(&other);
        fr_checkpoint_destroy(&own);
    }
    CU_ASSERT_EQUAL_FATAL(n[0], n[1]);
    fr_assert_same_bytes("file", bytes[0], bytes[1], n[0]);
    free(bytes[0]);
    free(bytes[1]);
}

static void what_two_runs_computed_with_stays_only_if_it_is_the_same(void)
{
    bool trained = false;
    fr_checkpoint *own = alike(1, false, 1);
    fr_checkpoint *other = alike(2, false, 2);
    set_text(&other->isa, "avx512");
    FR_ASSERT_OK(add(own, other, 1, NULL, &trained));
    CU_ASSERT_PTR_NULL(own->isa);
    CU_ASSERT_STRING_EQUAL(own->arithmetic, "cpu 1");
    set_text(&other->arithmetic, NULL);
    FR_ASSERT_OK(add(own, other, 0, "last", &trained));
    CU_ASSERT_PTR_NULL(own->arithmetic);
    fr_checkpoint_destroy(&own);
    fr_checkpoint_destroy(&other);
}

typedef void (*change)(fr_checkpoint *other);
static void other_shape(fr_checkpoint *c)
{
    set_text(&c->base_shape, "gpt2 2x8");
}
static void other_digest(fr_checkpoint *c)
{
    c->base_digest[31] = 0;
}
static void other_eps(fr_checkpoint *c)
{
    c->tasks[0].base_norm_eps = (double)1e-6F;
}
static void other_heads(fr_checkpoint *c)
{
    c->tasks[0].n_kv_heads = 4;
    c->tasks[0].head_dim = 2;
}
static void other_depth(fr_checkpoint *c)
{
    c->tasks[0].base_layers++;
}
static void no_base(fr_checkpoint *c)
{
    set_text(&c->base_shape, NULL);
}
static void bad_name(fr_checkpoint *c)
{
    set_text(&c->tasks[0].name, "a/b");
}
static void taken_name(fr_checkpoint *c)
{
    set_text(&c->tasks[0].name, "beta");
}

static void other_bases_and_names_are_refused_and_nothing_changes(void)
{
    static const struct {
        change make;
        fr_status status;
        const char *part;
    } BAD[] = {
        {other_shape, FR_ERR_CHECKPOINT, "'gpt2 2x8' against 'llama 2x8"},
        {other_digest, FR_ERR_CHECKPOINT, "other weights than own.h5: sha256 abab"},
        {other_eps, FR_ERR_CHECKPOINT, "norms have epsilon 9.99999997e-07, own.h5"},
        {other_heads, FR_ERR_CHECKPOINT, "of 2 layers x 4 key/value heads x 2, own.h5"},
        {other_depth, FR_ERR_CHECKPOINT, "of 3 layers x 2 key/value heads x 4, own.h5"},
        {no_base, FR_ERR_CHECKPOINT, "other.h5:x does not name its base"},
        {bad_name, FR_ERR_ARG, "'a/b' cannot be the name of a prefix; use 1 to 100"},
        {taken_name, FR_ERR_ARG, "own.h5 holds a prefix beta already"},
    };
    fr_checkpoint *own = alike(2, false, 3);
    fr_checkpoint *as_before = alike(2, false, 3);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        bool trained = false;
        fr_checkpoint *other = alike(1, true, 4);
        set_text(&other->tasks[0].name, "fresh");
        BAD[i].make(other);
        FR_ASSERT_FAILS(add(own, other, 0, NULL, &trained), BAD[i].status, BAD[i].part);
        fr_fixture_assert_equal(own, as_before);
        CU_ASSERT_PTR_NOT_NULL(other->tasks[0].state.m_k);
        fr_checkpoint_destroy(&other);
    }
    fr_checkpoint_destroy(&own);
    fr_checkpoint_destroy(&as_before);
}

static void epsilon_that_is_not_known_fits_any(void)
{
    bool trained = false;
    fr_checkpoint *own = alike(1, false, 3);
    fr_checkpoint *other = alike(2, false, 4);
    other->tasks[1].base_norm_eps = 0;
    FR_ASSERT_OK(add(own, other, 1, NULL, &trained));
    fr_checkpoint_destroy(&own);
    fr_checkpoint_destroy(&other);
}

/* ---- removing and renaming ---------------------------------------------------------------------- */

static void removed_prefixes_leave_the_others_in_their_order(void)
{
    static const char *const GONE[] = {"gamma", "alpha", "gamma"};
    static const char *const ALL[] = {"beta", "delta-4.x_Y", "beta"};
    static const char *const NONE[] = {"beta", "nobody"};
    fr_checkpoint *own = alike(4, false, 3);
    fr_collection_names which = names_of(GONE, 3);
    FR_ASSERT_OK(fr_collection_remove(fr_test_ctx(), own, OWN, &which));
    CU_ASSERT_EQUAL_FATAL(own->n_tasks, 2);
    CU_ASSERT_STRING_EQUAL(own->tasks[0].name, "beta");
    CU_ASSERT_STRING_EQUAL(own->tasks[1].name, "delta-4.x_Y");
    CU_ASSERT_PTR_NULL(own->config);
    which = names_of(ALL, 3);
    FR_ASSERT_FAILS(fr_collection_remove(fr_test_ctx(), own, OWN, &which), FR_ERR_ARG,
                    "own.h5 would hold no prefix any more; to be rid of all of them "
                    "remove the file itself: rm own.h5");
    which = names_of(NONE, 2);
    FR_ASSERT_FAILS(fr_collection_remove(fr_test_ctx(), own, OWN, &which),
                    FR_ERR_CHECKPOINT, "own.h5 holds no task nobody; it holds beta, ");
    CU_ASSERT_EQUAL(own->n_tasks, 2);
    fr_checkpoint_destroy(&own);
}

static void new_name_must_be_free_and_allowed(void)
{
    fr_ctx *ctx = fr_test_ctx();
    fr_checkpoint *own = alike(2, false, 3);
    FR_ASSERT_FAILS(fr_collection_rename(ctx, own, OWN, "alpha", "beta"), FR_ERR_ARG,
                    "forerun prefix remove own.h5 beta");
    FR_ASSERT_FAILS(fr_collection_rename(ctx, own, OWN, "alpha", ".."), FR_ERR_ARG,
                    "'..' cannot be the name of a prefix");
    FR_ASSERT_FAILS(fr_collection_rename(ctx, own, OWN, "gamma", "x"),
                    FR_ERR_CHECKPOINT, "holds no task gamma");
    CU_ASSERT_PTR_NOT_NULL(own->config);
    FR_ASSERT_OK(fr_collection_rename(ctx, own, OWN, "alpha", "x"));
    CU_ASSERT_STRING_EQUAL(own->tasks[0].name, "x");
    CU_ASSERT_PTR_NULL(own->config);
    fr_checkpoint_destroy(&own);
}

/* ---- averages --------------------------------------------------------------------------------- */

/* The first mean is 1 + 2^-23 * 5 / 3. Summed in f32 it would come to 1 + 2^-23. */
static void mean_is_summed_in_f64_and_rounded_once(void)
{
    static const char *const NAMES[] = {"alpha", "beta", "gamma"};
    fr_collection_names which = names_of(NAMES, 3);
    fr_checkpoint *own = alike(3, false, 3);
    own->tasks[0].state.k[0] = 3.0F;
    own->tasks[1].state.k[0] = 0x1p-22F;
    own->tasks[2].state.k[0] = 0x1p-22F + 0x1p-23F;
    own->tasks[0].state.v[0] = 3.4e38F;
    own->tasks[1].state.v[0] = 3.4e38F;
    own->tasks[2].state.v[0] = 3.4e38F;
    own->tasks[0].base_norm_eps = 0;
    FR_ASSERT_OK(fr_collection_average(fr_test_ctx(), own, OWN, &which, "mean"));
    CU_ASSERT_EQUAL_FATAL(own->n_tasks, 4);
    const fr_checkpoint_task *mean = &own->tasks[3];
    CU_ASSERT_EQUAL(mean->state.k[0], 1.0F + 0x1p-22F);
    CU_ASSERT_EQUAL(mean->state.v[0], 3.4e38F);
    for (int i = 1; i < ALL_LAYERS_FLOATS; i++) {
        double k =
            ((double)own->tasks[0].state.k[i] + (double)own->tasks[1].state.k[i] +
             (double)own->tasks[2].state.k[i]) /
            3.0;
        CU_ASSERT_EQUAL(mean->state.k[i], (float)k);
    }
    fr_progress fresh = fr_progress_start();
    CU_ASSERT_STRING_EQUAL(mean->name, "mean");
    CU_ASSERT_EQUAL(mean->progress.step, fresh.step);
    CU_ASSERT_EQUAL(mean->progress.best_step, fresh.best_step);
    CU_ASSERT_TRUE(isinf(mean->progress.best_loss));
    CU_ASSERT_EQUAL(mean->base_norm_eps, (double)1e-5F);
    CU_ASSERT_STRING_EQUAL(mean->template_text, "{source}\n{target}");
    CU_ASSERT_STRING_EQUAL(mean->chat_template, "{{ messages }}");
    CU_ASSERT_STRING_EQUAL(mean->chat_arguments, "{}");
    CU_ASSERT_STRING_EQUAL(mean->chat_clock, "2026-01-31");
    CU_ASSERT_STRING_EQUAL(mean->init, "average of 3 prefixes: alpha, beta, gamma");
    for (int i = 0; i < FR_DIGEST_BYTES; i++) {
        CU_ASSERT_EQUAL(mean->data_digest[i] | mean->valid_digest[i], 0);
    }
    char *bytes = NULL;
    size_t n = 0;
    write_and_read("mean.h5", own, &bytes, &n);
    free(bytes);
    fr_checkpoint_destroy(&own);
}

static void shorter(fr_checkpoint *c)
{
    c->tasks[0].length--;
}
static void higher(fr_checkpoint *c)
{
    c->tasks[0].first_layer++;
}
static void sliding(fr_checkpoint *c)
{
    c->tasks[0].slides = true;
}
static void other_end(fr_checkpoint *c)
{
    c->tasks[0].eos = !c->tasks[0].eos;
}

static const char *const NAMES[] = {"beta", "alpha"};

static void prefixes_that_are_not_alike_have_no_mean(void)
{
    static const struct {
        change make;
        const char *part;
    } BAD[] = {
        {shorter, "own.h5: the prefixes beta and alpha differ in their length"},
        {higher, "differ in their layers"},
        {other_heads, "differ in their base"},
        {other_eps, "differ in their base"},
        {sliding, "differ in their window"},
        {other_end, "differ in their form of rows"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        fr_collection_names which = names_of(NAMES, 2);
        fr_checkpoint *own = alike(3, false, 3);
        BAD[i].make(own);
        FR_ASSERT_FAILS(fr_collection_average(fr_test_ctx(), own, OWN, &which, "mean"),
                        FR_ERR_SHAPE, BAD[i].part);
        CU_ASSERT_EQUAL(own->n_tasks, 3);
        fr_checkpoint_destroy(&own);
    }
}

static void texts_that_are_not_alike_forbid_a_mean(void)
{
    for (int i = 0; i < 6; i++) {
        fr_collection_names which = names_of(NAMES, 2);
        fr_checkpoint *own = alike(3, false, 3);
        fr_checkpoint_task *t = &own->tasks[0];
        char **texts[] = {&t->template_text, &t->chat_arguments, &t->chat_clock};
        set_text(texts[i / 2], i % 2 == 0 ? "another" : NULL);
        FR_ASSERT_FAILS(fr_collection_average(fr_test_ctx(), own, OWN, &which, "mean"),
                        FR_ERR_SHAPE, i < 2 ? "in their template" : "in their chat's");
        fr_checkpoint_destroy(&own);
    }
}

static void mean_needs_two_prefixes_and_a_free_name(void)
{
    static const char *const TWICE[] = {"beta", "alpha", "beta"};
    static const char *const NOBODY[] = {"beta", "nobody"};
    fr_ctx *ctx = fr_test_ctx();
    fr_checkpoint *own = alike(2, false, 3);
    fr_collection_names which = names_of(TWICE, 3);
    FR_ASSERT_FAILS(fr_collection_average(ctx, own, OWN, &which, "mean"), FR_ERR_ARG,
                    "prefix beta is named twice");
    which.n = 1;
    FR_ASSERT_FAILS(fr_collection_average(ctx, own, OWN, &which, "mean"), FR_ERR_ARG,
                    "needs two prefixes or more, got 1");
    which.n = 2;
    FR_ASSERT_FAILS(fr_collection_average(ctx, own, OWN, &which, "alpha"), FR_ERR_ARG,
                    "holds a prefix alpha already");
    which = names_of(NOBODY, 2);
    FR_ASSERT_FAILS(fr_collection_average(ctx, own, OWN, &which, "mean"),
                    FR_ERR_CHECKPOINT, "holds no task nobody");
    CU_ASSERT_EQUAL(own->n_tasks, 2);
    fr_checkpoint_destroy(&own);
}

/* ---- the rest --------------------------------------------------------------------------------- */

static bool holds(const char *bytes, size_t n, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= n; i++) {
        if (memcmp(bytes + i, text, length) == 0) {
            return true;
        }
    }
    return false;
}

static void stripped_file_keeps_what_use_needs(void)
{
    char *bytes = NULL;
    size_t n = 0;
    fr_checkpoint *own = alike(2, false, 3);
    fr_checkpoint *whole = alike(2, false, 3);
    write_and_read("whole.h5", own, &bytes, &n);
    CU_ASSERT_TRUE(holds(bytes, n, "a secret"));
    CU_ASSERT_TRUE(holds(bytes, n, "m.gguf"));
    free(bytes);
    fr_collection_strip(own);
    write_and_read("stripped.h5", own, &bytes, &n);
    static const char *const GONE[] = {"a secret", "gguf", "path:", "2x1 threads",
                                       "avx2",     "0707", "\7\7",  "0505"};
    for (size_t i = 0; i < sizeof GONE / sizeof GONE[0]; i++) {
        CU_ASSERT_FALSE(holds(bytes, n, GONE[i]));
    }
    free(bytes);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_STRING_EQUAL(own->tasks[i].template_text, "{source}\n{target}");
        CU_ASSERT_EQUAL(own->tasks[i].progress.best_loss,
                        whole->tasks[i].progress.best_loss);
        fr_assert_same_bytes("k", own->tasks[i].state.k, whole->tasks[i].state.k,
                             ALL_LAYERS_FLOATS * sizeof(float));
    }
    CU_ASSERT_STRING_EQUAL(own->base_shape, whole->base_shape);
    CU_ASSERT_STRING_EQUAL(own->arithmetic, "cpu 1");
    fr_checkpoint_destroy(&own);
    fr_checkpoint_destroy(&whole);
}

/* As many tasks as the format allows, and all but one of them named at once. */
static void many_prefixes_take_little_time(void)
{
    enum { MANY = 65536, NAME_BYTES = 16 };
    fr_ctx *ctx = fr_test_ctx();
    fr_checkpoint *own = NULL;
    const char **names = NULL;
    FR_ASSERT_OK(fr_alloc(ctx, MANY, sizeof *names, &names));
    FR_ASSERT_OK(fr_checkpoint_create(ctx, MANY, &own));
    for (int64_t i = 0; i < MANY; i++) {
        fr_checkpoint_task *task = &own->tasks[i];
        char name[NAME_BYTES];
        (void)snprintf(name, sizeof name, "t%lld", (long long)i);
        set_text(&task->name, name);
        task->length = task->n_layers = task->n_kv_heads = task->head_dim = 1;
        task->base_layers = 1;
        FR_ASSERT_OK(fr_checkpoint_task_alloc(ctx, task, false));
        task->state.k[0] = (float)i;
        names[i] = task->name;
    }
    fr_collection_names all = names_of(names, MANY);
    FR_ASSERT_OK(fr_collection_average(ctx, own, OWN, &all, "mean"));
    CU_ASSERT_EQUAL(own->tasks[MANY].state.k[0], 32767.5F);
    CU_ASSERT_PTR_NOT_NULL(strstr(own->tasks[MANY].init, "t15, ..."));
    uint8_t *image = NULL;
    size_t bytes = 0;
    FR_ASSERT_FAILS(fr_checkpoint_image(ctx, OWN, own, &image, &bytes), FR_ERR_ARG,
                    "65537 tasks cannot be stored in a file, at most 65536");
    FR_ASSERT_OK(fr_collection_remove(ctx, own, OWN, &all));
    CU_ASSERT_EQUAL(own->n_tasks, 1);
    CU_ASSERT_STRING_EQUAL(own->tasks[0].name, "mean");
    free(names);
    fr_checkpoint_destroy(&own);
}

static const fr_case CASES[] = {
    FR_CASE(added_prefix_keeps_numbers_and_loses_what_only_training_needs),
    FR_CASE(equal_content_has_equal_bytes_however_it_came_there),
    FR_CASE(what_two_runs_computed_with_stays_only_if_it_is_the_same),
    FR_CASE(other_bases_and_names_are_refused_and_nothing_changes),
    FR_CASE(epsilon_that_is_not_known_fits_any),
    FR_CASE(removed_prefixes_leave_the_others_in_their_order),
    FR_CASE(new_name_must_be_free_and_allowed),
    FR_CASE(mean_is_summed_in_f64_and_rounded_once),
    FR_CASE(prefixes_that_are_not_alike_have_no_mean),
    FR_CASE(texts_that_are_not_alike_forbid_a_mean),
    FR_CASE(mean_needs_two_prefixes_and_a_free_name),
    FR_CASE(stripped_file_keeps_what_use_needs),
    FR_CASE(many_prefixes_take_little_time),
};

int main(int argc, char **argv)
{
    return fr_suite_main("collection", CASES, FR_N_CASES(CASES), argc, argv);
}
