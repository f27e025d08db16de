/* Layers of hand-made tasks come together on rank 0, however many stages hold them. */
#include "support/suite.h"
#include "train/run/gather.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL_LAYERS = 7, N_TASKS = 2, FLOATS = 6, ROUNDS = 3 };

/* The layers with a prefix: all of them, and some in the middle, which some stages have none of. */
static const fr_layer_range LAYERS[N_TASKS] = {{0, MODEL_LAYERS}, {2, 3}};

/* What stands in an array of a task: another number for each task, array, layer of the model and round. */
static float value_at(int task, int array, int64_t layer, int64_t i, int round)
{
    return (float)(((task * 10 + array) * 10 + layer) * 100 + i * 10 + round);
}

static float *new_array(int64_t layers)
{
    float *array = calloc((size_t)(layers * FLOATS) + 1, sizeof *array);
    CU_ASSERT_PTR_NOT_NULL_FATAL(array);
    return array;
}

static void fill_state(int index, const fr_task *task, int first_array, int round,
                       float *arrays[FR_PREFIX_ARRAYS])
{
    for (int a = 0; a < FR_PREFIX_ARRAYS && arrays[a] != NULL; a++) {
        for (int64_t i = 0; i < task->local.count * FLOATS; i++) {
            arrays[a][i] = value_at(index, first_array + a,
                                    task->local.first + i / FLOATS, i % FLOATS, round);
        }
    }
}

/* This rank's part of a task whose model is split evenly over the stages of the grid. */
static void make_task(const fr_grid *grid, int index, fr_task *out)
{
    int64_t first = MODEL_LAYERS * (int64_t)grid->stage / grid->n_stages;
    int64_t end = MODEL_LAYERS * (int64_t)(grid->stage + 1) / grid->n_stages;
    int64_t from = first > LAYERS[index].first ? first : LAYERS[index].first;
    int64_t all_end = LAYERS[index].first + LAYERS[index].count;
    int64_t to = end < all_end ? end : all_end;
    int64_t n = to > from ? to - from : 0;
    *out = (fr_task){.layers = LAYERS[index],
                     .local = {from, n},
                     .layer_floats = FLOATS,
                     .n_local = n * FLOATS,
                     .state = {new_array(n), new_array(n), new_array(n), new_array(n),
                               new_array(n), new_array(n)},
                     .best = {.k = new_array(n), .v = new_array(n)}};
    out->progress.step = 10 + index;
    out->progress.best_loss = index == 0 ? 1.5 : (double)INFINITY;
}

static void free_task(fr_task *task)
{
    float *state[FR_PREFIX_ARRAYS];
    fr_prefix_list_arrays(&task->state, state);
    for (int a = 0; a < FR_PREFIX_ARRAYS; a++) {
        free(state[a]);
    }
    free(task->best.k);
    free(task->best.v);
}

static void fill_tasks(fr_task *tasks, int round)
{
    for (int t = 0; t < N_TASKS; t++) {
        float *arrays[FR_PREFIX_ARRAYS];
        fr_prefix_list_arrays(&tasks[t].state, arrays);
        fill_state(t, &tasks[t], 0, round, arrays);
        fr_prefix_list_arrays(&tasks[t].best, arrays);
        fill_state(t, &tasks[t], FR_PREFIX_ARRAYS, round, arrays);
    }
}

static fr_checkpoint *make_checkpoint(bool with_moments)
{
    fr_checkpoint *into = NULL;
    FR_ASSERT_OK(fr_checkpoint_create(fr_test_ctx(), N_TASKS, &into));
    for (int t = 0; t < N_TASKS; t++) {
        into->tasks[t].length = FLOATS;
        into->tasks[t].n_layers = LAYERS[t].count;
        into->tasks[t].n_kv_heads = 1;
        into->tasks[t].head_dim = 1;
        FR_ASSERT_OK(
            fr_checkpoint_task_alloc(fr_test_ctx(), &into->tasks[t], with_moments));
    }
    return into;
}

/* Rank 0: array a of a task holds the layers of array `first_array + a`. */
static void check_arrays(const fr_checkpoint *into, int task, int first_array,
                         int n_arrays, int round)
{
    float *arrays[FR_PREFIX_ARRAYS];
    int n_wrong = 0;
    fr_prefix_list_arrays(&into->tasks[task].state, arrays);
    for (int a = 0; a < n_arrays; a++) {
        for (int64_t i = 0; i < LAYERS[task].count * FLOATS; i++) {
            int64_t layer = LAYERS[task].first + i / FLOATS;
            n_wrong += arrays[a][i] !=
                       value_at(task, first_array + a, layer, i % FLOATS, round);
        }
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
}

typedef struct setting {
    fr_group *world;
    fr_grid grid;
    fr_task_env env;
    fr_task tasks[N_TASKS];
} setting;

static void open_setting(int n_replicas, setting *s)
{
    s->world = fr_test_world();
    s->env = (fr_task_env){.ctx = fr_test_ctx()};
    FR_ASSERT_OK(fr_grid_init(fr_test_ctx(), s->world, NULL,
                              fr_group_size(s->world) / n_replicas, n_replicas,
                              &s->grid));
    for (int t = 0; t < N_TASKS; t++) {
        make_task(&s->grid, t, &s->tasks[t]);
    }
}

static void close_setting(setting *s)
{
    for (int t = 0; t < N_TASKS; t++) {
        free_task(&s->tasks[t]);
    }
    fr_grid_fini(&s->grid);
    fr_group_destroy(&s->world);
}

/* One gather serves many rounds; what changes after its task was taken does not show. */
static void all_arrays_of_all_layers_arrive(int n_replicas)
{
    setting s;
    fr_gather *gather = NULL;
    open_setting(n_replicas, &s);
    FR_ASSERT_OK(
        fr_gather_create(&s.env, &s.grid, s.tasks, N_TASKS, FR_GATHER_ALL, &gather));
    for (int round = 0; round < ROUNDS; round++) {
        bool is_done = false;
        bool is_first = fr_group_rank(s.world) == 0;
        fr_checkpoint *into = is_first ? make_checkpoint(true) : NULL;
        FR_ASSERT_OK(fr_gather_begin(gather, into));
        fill_tasks(s.tasks, round);
        for (int t = N_TASKS - 1; t >= 0; t--) {
            FR_ASSERT_OK(fr_gather_test(gather, &is_done));
            CU_ASSERT_FALSE(is_done && s.grid.replica == 0);
            FR_ASSERT_OK(fr_gather_task(gather, t));
        }
        fill_tasks(s.tasks, 9);
        FR_ASSERT_OK(fr_gather_wait(gather));
        FR_ASSERT_OK(fr_gather_test(gather, &is_done));
        CU_ASSERT_TRUE(is_done);
        for (int t = 0; is_first && t < N_TASKS; t++) {
            check_arrays(into, t, 0, FR_PREFIX_ARRAYS, round);
            CU_ASSERT_EQUAL(into->tasks[t].progress.step, 10 + t);
        }
        fr_checkpoint_destroy(&into);
    }
    fr_gather_destroy(&gather);
    close_setting(&s);
}

static void layers_of_one_replica_arrive(void)
{
    all_arrays_of_all_layers_arrive(1);
}

static void a_second_replica_sends_nothing(void)
{
    fr_group *world = fr_test_world();
    bool splits = fr_group_size(world) % 2 == 0;
    fr_group_destroy(&world);
    if (splits) {
        all_arrays_of_all_layers_arrive(2);
    }
}

/* A task without a validation yet gives its current prefix. */
static void the_best_prefix_is_gathered_where_there_is_one(void)
{
    setting s;
    fr_gather *gather = NULL;
    open_setting(1, &s);
    fill_tasks(s.tasks, 0);
    FR_ASSERT_OK(
        fr_gather_create(&s.env, &s.grid, s.tasks, N_TASKS, FR_GATHER_BEST, &gather));
    bool is_first = fr_group_rank(s.world) == 0;
    fr_checkpoint *into = is_first ? make_checkpoint(false) : NULL;
    FR_ASSERT_OK(fr_gather_begin(gather, into));
    for (int t = 0; t < N_TASKS; t++) {
        FR_ASSERT_OK(fr_gather_task(gather, t));
    }
    FR_ASSERT_OK(fr_gather_wait(gather));
    if (is_first) {
        check_arrays(into, 0, FR_PREFIX_ARRAYS, 2, 0);
        check_arrays(into, 1, 0, 2, 0);
    }
    fr_checkpoint_destroy(&into);
    fr_gather_destroy(&gather);
    close_setting(&s);
}

static const fr_case CASES[] = {
    FR_CASE(layers_of_one_replica_arrive),
    FR_CASE(a_second_replica_sends_nothing),
    FR_CASE(the_best_prefix_is_gathered_where_there_is_one),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("gather", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
