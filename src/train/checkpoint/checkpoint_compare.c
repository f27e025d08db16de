/*
 * Compares two checkpoints, or two of their tasks, bit for bit, and keeps the largest difference and its place.
 *
 * First the names of tasks and their shapes are compared. Where they differ the files are incomparable, and the note
 * says why: no number of one file has a counterpart in the other. Otherwise the counts (step, cursor, sizes of the MLP)
 * and then all numbers are compared. The result names the first count and the largest number that differ, since a user
 * asks whether the files are equal and, if not, how far apart they are.
 *
 * Moments and MLPs are compared only where both tasks have them: a file for inference equals the checkpoint that it was
 * made from. Texts, digests and losses are not compared, so that runs with other paths or layouts can be equal.
 */
#include "train/checkpoint/checkpoint_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Bytes of a place or a note: a task's name, cut to 64 bytes, and up to eight numbers. A longer text is cut. */
enum { NOTE_BYTES = 256 };

/* Result so far: the largest difference of an array, and the first difference of a count. */
typedef struct finding {
    bool differs; /* an array differs */
    double largest;
    char place[NOTE_BYTES];
    char note[NOTE_BYTES]; /* first difference of a count; "" if there is none */
    bool incomparable;     /* tasks or shapes differ; `note` says how */
} finding;

/* Only the first difference of a count is kept: later ones usually follow from it. */
static void note_count(finding *found, const char *task, const char *what, int64_t a,
                       int64_t b)
{
    if (a != b && found->note[0] == '\0') {
        (void)snprintf(found->note, sizeof found->note,
                       "task %.64s: %s %lld against %lld", task, what, (long long)a,
                       (long long)b);
    }
}

static void note_missing(finding *found, const char *task, const char *where)
{
    found->incomparable = true;
    (void)snprintf(found->note, sizeof found->note, "task %.64s is only in the %s",
                   task, where);
}

/* Equal numbers mean something else if windows hide them. */
static void note_slides(finding *found, const fr_checkpoint_task *a,
                        const fr_checkpoint_task *b)
{
    if (a->slides != b->slides && found->note[0] == '\0') {
        (void)snprintf(
            found->note, sizeof found->note, "task %.64s: window %s against %s",
            a->name, a->slides ? "slides" : "always", b->slides ? "slides" : "always");
    }
}

/* Compare bits: NaN equals itself, 0 differs from -0. A difference that is NaN counts as infinite.
 * @return whether a and b differ by more than all pairs before, so that the caller must note the place */
static bool is_largest(float a, float b, finding *found)
{
    if (memcmp(&a, &b, sizeof a) == 0) {
        return false;
    }
    double difference = fabs((double)a - (double)b);
    difference = isfinite(difference) ? difference : (double)INFINITY;
    if (found->differs && difference <= found->largest) {
        return false;
    }
    found->differs = true;
    found->largest = difference;
    return true;
}

/* Arrays are [layers][slots][key/value heads][head width]; the place names the layer by its number in the base. */
static void compare_values(const fr_checkpoint_task *task, int array, const float *a,
                           const float *b, finding *found)
{
    int64_t floats = 0;
    (void)fr_layer_floats(task, &floats);
    int64_t per_slot = task->n_kv_heads * task->head_dim;
    for (int64_t i = 0; i < floats * task->n_layers; i++) {
        if (is_largest(a[i], b[i], found)) {
            (void)snprintf(
                found->place, sizeof found->place,
                "task %.64s layer %lld %s[%lld, %lld, %lld]: %.9g against %.9g",
                task->name, (long long)(task->first_layer + i / floats),
                FR_STATE_ARRAYS[array].name, (long long)(i % floats / per_slot),
                (long long)(i % per_slot / task->head_dim),
                (long long)(i % task->head_dim), (double)a[i], (double)b[i]);
        }
    }
}

static void compare_mlp_array(const fr_checkpoint_task *task, int array, const float *a,
                              const float *b, finding *found)
{
    fr_mlp_array what = fr_mlp_describe(&task->mlp.shape, array);
    int64_t n = what.floats * (what.shared ? 1 : task->n_layers);
    char where[32] = "shared";
    for (int64_t i = 0; i < n; i++) {
        if (!is_largest(a[i], b[i], found)) {
            continue;
        }
        if (!what.shared) {
            (void)snprintf(where, sizeof where, "layer %lld",
                           (long long)(task->first_layer + i / what.floats));
        }
        (void)snprintf(found->place, sizeof found->place,
                       "task %.64s %s %s element %lld: %.9g against %.9g", task->name,
                       where, what.name, (long long)(i % what.floats), (double)a[i],
                       (double)b[i]);
    }
}

/* MLPs of different shapes are a difference of counts; the prefixes that they make are still comparable. */
static void compare_mlps(const fr_checkpoint_task *a, const fr_checkpoint_task *b,
                         finding *found)
{
    if (!fr_mlp_is_there(&a->mlp) || !fr_mlp_is_there(&b->mlp)) {
        return;
    }
    note_count(found, a->name, "mlp.hidden", a->mlp.shape.hidden, b->mlp.shape.hidden);
    note_count(found, a->name, "mlp.width", a->mlp.shape.width, b->mlp.shape.width);
    if (fr_mlp_same_shape(&a->mlp.shape, &b->mlp.shape)) {
        for (int i = 0; i < FR_MLP_ARRAYS; i++) {
            compare_mlp_array(a, i, a->mlp.arrays[i], b->mlp.arrays[i], found);
        }
    }
}

static void compare_tasks(const fr_checkpoint_task *a, const fr_checkpoint_task *b,
                          finding *found)
{
    if (a->length != b->length || a->n_layers != b->n_layers ||
        a->n_kv_heads != b->n_kv_heads || a->head_dim != b->head_dim) {
        found->incomparable = true;
        (void)snprintf(found->note, sizeof found->note,
                       "task %.64s: shape %lld x %lld x %lld x %lld against %lld x "
                       "%lld x %lld x %lld",
                       a->name, (long long)a->n_layers, (long long)a->length,
                       (long long)a->n_kv_heads, (long long)a->head_dim,
                       (long long)b->n_layers, (long long)b->length,
                       (long long)b->n_kv_heads, (long long)b->head_dim);
        return;
    }
    if (a->first_layer != b->first_layer) {
        found->incomparable = true;
        note_count(found, a->name, "first layer", a->first_layer, b->first_layer);
        return;
    }
    note_slides(found, a, b);
    note_count(found, a->name, "step", a->progress.step, b->progress.step);
    note_count(found, a->name, "cursor", a->progress.cursor, b->progress.cursor);
    bool moments = fr_state_has_moments(&a->state) && fr_state_has_moments(&b->state);
    int n_arrays = moments ? FR_N_STATE_ARRAYS : FR_N_PREFIX_ARRAYS;
    for (int i = 0; i < n_arrays; i++) {
        compare_values(a, i, fr_state_array_get(&a->state, i),
                       fr_state_array_get(&b->state, i), found);
    }
    compare_mlps(a, b, found);
}

static void compare_all(const fr_checkpoint *a, const fr_checkpoint *b, finding *found)
{
    for (int64_t i = 0; i < b->n_tasks && !found->incomparable; i++) {
        if (fr_checkpoint_task_named(a, b->tasks[i].name) == NULL) {
            note_missing(found, b->tasks[i].name, "second file");
        }
    }
    for (int64_t i = 0; i < a->n_tasks && !found->incomparable; i++) {
        const fr_checkpoint_task *other = fr_checkpoint_task_named(b, a->tasks[i].name);
        if (other == NULL) {
            note_missing(found, a->tasks[i].name, "first file");
        } else {
            compare_tasks(&a->tasks[i], other, found);
        }
    }
}

/* A place belongs to numbers that were compared, so an incomparable result drops one that an earlier task left. */
static void conclude(const finding *found, fr_difference *out)
{
    const char *note = found->note;
    const char *place = found->incomparable || !found->differs ? "" : found->place;
    *out = (fr_difference){
        .identical = !found->differs && !found->incomparable && note[0] == '\0',
        .largest = found->incomparable ? (double)INFINITY : found->largest};
    (void)snprintf(out->place, sizeof out->place, "%.100s%s%.150s", note,
                   note[0] != '\0' && place[0] != '\0' ? "; " : "", place);
}

fr_status fr_checkpoint_compare(fr_ctx *ctx, const fr_checkpoint *a,
                                const fr_checkpoint *b, fr_difference *out)
{
    finding found = {.differs = false};
    (void)ctx;
    compare_all(a, b, &found);
    conclude(&found, out);
    return FR_OK;
}

fr_status fr_checkpoint_compare_task(fr_ctx *ctx, const fr_checkpoint_task *a,
                                     const fr_checkpoint_task *b, fr_difference *out)
{
    finding found = {.differs = false};
    (void)ctx;
    compare_tasks(a, b, &found);
    conclude(&found, out);
    return FR_OK;
}
