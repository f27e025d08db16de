/* The life of a task on one rank: open, allocate, initialise, train, close.
 *
 * Opening reads all that needs no weights. It finds the layers that have a prefix, then the length of the prefix,
 * then the rows. The length comes before the rows because it decides how much of the context is left for a row. The
 * rows come before the arrays because the layout of the run is chosen from them, and only the layout says which
 * layers this rank has. fr_task_alloc then makes the arrays for these layers, and the prefix comes either from its
 * init or from a checkpoint (restore.h).
 *
 * What always holds: `layers` is the range of the model's layers that have a prefix, the same on all ranks. `local`
 * is the part of it on this rank, and may be empty. All local arrays are [local layer][slot][KV head][head
 * dimension]. A random number is drawn from the layer's place in the model and the element's place in the layer, so
 * that the prefix starts from the same bits on every layout.
 *
 * An init text or file is read twice: for its length here, and for its contents when the engine is loaded. A
 * file may have changed in between, so it is checked again. */
#include "train/step/task.h"

#include "base/exact.h"
#include "base/mem.h"
#include "base/rng.h"
#include "train/data/chat_identity.h"
#include "train/step/init_file.h"
#include "train/step/init_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Compared by subtraction, because first + count may overflow. */
static fr_status find_layers(const fr_task_env *env, const fr_task_config *config,
                             fr_layer_range *layers)
{
    int64_t n = env->arch->n_layers;
    int64_t first = config->prefix.first_layer;
    int64_t count = config->prefix.n_layers;
    if (first >= n || count > n - first) {
        return FR_FAIL(env->ctx, FR_ERR_CONFIG,
                       "tasks.%s.prefix.layers reaches up to layer %lld, the base has "
                       "layers 0 to %lld; lower layers.first or layers.count",
                       config->name, (long long)(first + (count > 0 ? count - 1 : 0)),
                       (long long)(n - 1));
    }
    *layers = fr_layers_within((fr_layer_range){first, count}, 0, n);
    return FR_OK;
}

/* The tokens are only counted and the note is kept; the text is encoded again when the engine is there. */
static fr_status length_from_text(const fr_task_env *env, fr_task *task)
{
    fr_ids ids = {0};
    fr_status status = fr_init_text_ids(env, task->config, &ids, &task->init_note);
    task->length = ids.count;
    fr_ids_fini(&ids);
    return status;
}

static fr_status find_length(const fr_task_env *env, fr_task *task)
{
    switch (task->config->prefix.init) {
    case FR_INIT_TEXT:
        return length_from_text(env, task);
    case FR_INIT_FILE:
        return fr_init_file_length(env, task->config, &task->length);
    case FR_INIT_RANDOM:
    case FR_INIT_ZERO:
    default:
        task->length = task->config->prefix.length;
        return FR_OK;
    }
}

fr_status fr_task_data_params(const fr_task_env *env, const fr_task *task,
                              const char *path, fr_data_params *out)
{
    const fr_task_config *c = task->config;
    /* A row needs two tokens: one that is read and one that is predicted from it. */
    int64_t max = env->arch->context_length - task->length;
    if (max < 2) {
        return FR_FAIL(
            env->ctx, FR_ERR_CONFIG,
            "tasks.%s.prefix.length %lld leaves no room in the context of %lld",
            c->name, (long long)task->length, (long long)env->arch->context_length);
    }
    if (c->max_tokens != FR_AUTO && c->max_tokens < max) {
        max = c->max_tokens;
    }
    *out = (fr_data_params){.path = path,
                            .tokenizer = env->tokenizer,
                            .why_no_tokenizer = env->no_tokenizer,
                            .vocab_size = env->arch->vocab_size,
                            .template_text = c->template_text,
                            .chat = c->chat,
                            .chat_template = task->chat,
                            .eos = c->eos,
                            .eos_id = env->eos,
                            .special = c->special,
                            .loss_last = c->loss_last,
                            .cut_long_rows = c->long_rows == FR_LONG_CUT,
                            .without_bos = !task->leading_bos,
                            .max_tokens = max,
                            .cache_folder = env->config->run.dir,
                            .ignore = c->ignore,
                            .fields = c->fields,
                            .skip_bad_rows = c->skip_bad_rows};
    return FR_OK;
}

static fr_status open_rows(const fr_task_env *env, const fr_task *task,
                           const char *path, int64_t max_rows, bool sample,
                           fr_dataset **out)
{
    fr_data_params params;
    FR_TRY(fr_task_data_params(env, task, path, &params));
    params.max_rows = max_rows;
    params.sample = sample;
    return fr_dataset_open(env->ctx, &params, out);
}

static void report_rows(const fr_task_env *env, const fr_task *task)
{
    const fr_data_stats *s = fr_dataset_stats(task->train);
    fr_log(env->ctx, FR_LOG_INFO,
           "task %s: %lld rows, %lld examples, %lld target tokens, prefix of %lld",
           task->config->name, (long long)s->n_rows, (long long)s->n_examples,
           (long long)s->n_target_tokens, (long long)task->length);
    if (s->n_dropped + s->n_cut > 0) {
        fr_log(env->ctx, FR_LOG_INFO,
               "task %s: %lld too long examples dropped, %lld cut", task->config->name,
               (long long)s->n_dropped, (long long)s->n_cut);
    }
}

/* As many steps as take every example `epochs` times at least; what is left of the last one comes from the next epoch.
 * A resume finds the same number, since its data are the same. */
static fr_status count_steps(const fr_task_env *env, fr_task *task)
{
    enum { MOST = 1000000000 }; /* what the key steps allows */
    const int64_t epochs = fr_task_epochs(env->config, task->config);
    const int64_t n = fr_dataset_stats(task->train)->n_examples;
    const int64_t batch = task->config->batch.examples;
    int64_t examples = 0;
    if (epochs == 0) {
        return FR_OK;
    }
    bool fits = fr_mul_i64(epochs, n, &examples) && examples / batch < MOST;
    task->n_steps = fits ? examples / batch + (examples % batch != 0) : 0;
    if (!fits) {
        return FR_FAIL(env->ctx, FR_ERR_CONFIG,
                       "tasks.%s: %lld epochs of %lld examples are more than %d steps; "
                       "lower epochs",
                       task->config->name, (long long)epochs, (long long)n, (int)MOST);
    }
    fr_log(env->ctx, FR_LOG_INFO,
           "task %s: %lld epochs of %lld examples are %lld steps of %lld",
           task->config->name, (long long)epochs, (long long)n,
           (long long)task->n_steps, (long long)batch);
    return FR_OK;
}

/* A config may have many tasks, so what is wrong with a chat is told with its task. */
static fr_status open_chat(const fr_task_env *env, fr_task *task)
{
    enum { WHY_BYTES = 1024 };
    char why[WHY_BYTES];
    const fr_task_config *c = task->config;
    const fr_chat_source source = {c->chat_template,
                                   {NULL, c->chat_arguments, c->chat_clock}};
    if (!c->chat) {
        return FR_OK;
    }
    fr_status status =
        fr_chat_source_open(env->ctx, env->tokenizer, &source, &task->chat);
    if (status != FR_ERR_CONFIG) {
        return status;
    }
    (void)snprintf(why, sizeof why, "%s", fr_ctx_error(env->ctx));
    fr_ctx_clear_error(env->ctx);
    return FR_FAIL(env->ctx, status, "tasks.%s.chat: %s", c->name, why);
}

/* All of a task that needs no rows: its layers and the length of its prefix. */
static fr_status begin_open(const fr_task_env *env, const fr_task_config *config,
                            fr_task *out)
{
    *out = (fr_task){.config = config,
                     .microbatch_tokens = fr_microbatch_tokens(config, 0),
                     .progress = fr_progress_start()};
    /* Exactly one BOS stands before a row: the first slot of a text prefix holds it, else the row brings its own. */
    bool has_bos =
        env->tokenizer != NULL && fr_tokenizer_leading_bos(env->tokenizer) >= 0;
    out->leading_bos = has_bos && config->prefix.init != FR_INIT_TEXT;
    out->n_steps = fr_task_epochs(env->config, config) > 0
                       ? 0
                       : fr_task_steps(env->config, config);
    if (config->prefix.slides && env->arch->window == 0) {
        fr_log(
            env->ctx, FR_LOG_INFO,
            "tasks.%s.prefix.window is slides, and no layer of the base has a window: "
            "it has no effect",
            config->name);
    }
    FR_TRY(find_layers(env, config, &out->layers));
    return find_length(env, out);
}

fr_status fr_task_open_reader(const fr_task_env *env, const fr_task_config *config,
                              fr_task *out)
{
    fr_status status = begin_open(env, config, out);
    if (status == FR_OK) {
        status = open_chat(env, out);
    }
    if (status != FR_OK) {
        fr_task_close(out);
    }
    return status;
}

/* Forecasts need the shape of the rows alone, and a cache would lie beside a run that may never be started. */
fr_status fr_task_open_sample(const fr_task_env *env, const fr_task_config *config,
                              int64_t max_rows, fr_task *out)
{
    fr_status status = begin_open(env, config, out);
    if (status == FR_OK && max_rows > 0) {
        status = open_chat(env, out);
    }
    if (status == FR_OK && max_rows > 0) {
        status = open_rows(env, out, config->train, max_rows, true, &out->train);
    }
    if (status != FR_OK) {
        fr_task_close(out);
    }
    return status;
}

fr_status fr_task_open(const fr_task_env *env, const fr_task_config *config,
                       fr_task *out)
{
    fr_status status = begin_open(env, config, out);
    if (status == FR_OK) {
        status = open_chat(env, out);
    }
    if (status == FR_OK) {
        status = open_rows(env, out, config->train, 0, false, &out->train);
    }
    if (status == FR_OK && config->valid != NULL) {
        status =
            open_rows(env, out, config->valid, config->valid_rows, false, &out->valid);
    }
    if (status == FR_OK && out->valid != NULL) {
        status =
            fr_dataset_digest_first(env->ctx, out->valid, INT64_MAX, out->valid_digest);
    }
    if (status == FR_OK) {
        int64_t n = fr_dataset_stats(out->train)->n_examples;
        /* The sampler reads the data set only to keep the examples of one source together. */
        bool by_source = config->batch.order == FR_ORDER_BY_SOURCE;
        status = fr_sampler_init(env->ctx, config->seed, n,
                                 by_source ? out->train : NULL, &out->sampler);
        report_rows(env, out);
    }
    if (status == FR_OK) {
        status = count_steps(env, out);
    }
    if (status != FR_OK) {
        fr_task_close(out);
    }
    return status;
}

/* For the current prefix and for the best one, whose moments are always NULL. */
static void free_state(fr_prefix_state *state)
{
    free(state->k);
    free(state->v);
    free(state->m_k);
    free(state->m_v);
    free(state->s_k);
    free(state->s_v);
    *state = (fr_prefix_state){0};
}

void fr_task_close(fr_task *task)
{
    fr_chat_close(&task->chat);
    fr_dataset_close(&task->train);
    fr_dataset_close(&task->valid);
    fr_sampler_fini(&task->sampler);
    fr_step_plan_fini(&task->plan);
    free_state(&task->state);
    free_state(&task->best);
    fr_reparam_destroy(&task->reparam);
    if (task->device != NULL) {
        fr_prefix_image_close(task->device, &task->image);
        fr_image_close(task->device, &task->sum_image);
    }
    free(task->sum);
    free(task->gradient);
    free(task->init_note);
    *task = (fr_task){0};
}

/* The number of all prefix layers fixes the unit of the shared gradient's integer sum, whatever the stage has. */
static fr_status alloc_reparam(const fr_task_env *env, fr_device *device, fr_task *task)
{
    const fr_task_config *c = task->config;
    int64_t width =
        c->prefix.mlp_width != FR_AUTO ? c->prefix.mlp_width : env->arch->d_model;
    fr_reparam_params params = {.device = device,
                                .config = c,
                                .shape = {.length = task->length,
                                          .n_kv_heads = env->arch->n_kv_heads,
                                          .head_dim = env->arch->head_dim,
                                          .hidden = c->prefix.mlp_hidden,
                                          .width = width},
                                .n_layers = task->local.count,
                                .n_all_layers = task->layers.count};
    return fr_reparam_create(env->ctx, &params, &task->reparam);
}

/* K and V of prefix and best prefix, and of both moments where no reparam holds them. */
enum { MAX_ARRAYS = 8, REPARAM_ARRAYS = 4 };

static int n_arrays_of(bool has_reparam)
{
    return has_reparam ? REPARAM_ARRAYS : MAX_ARRAYS;
}

/* The forecast of memory counts with this, so it must follow every change of fr_task_alloc. */
int64_t fr_task_array_bytes(int64_t n, bool has_reparam)
{
    int64_t n_floats = n_arrays_of(has_reparam) + 2; /* gradient of K and V */
    return n_floats * n * (int64_t)sizeof(float) + 2 * n * (int64_t)sizeof(int64_t);
}

/* As open_images opens them: K and V, and the sum of their gradients. */
int64_t fr_task_image_bytes(int64_t n)
{
    return 2 * n * (int64_t)(sizeof(float) + sizeof(int64_t));
}

/* The images come last: they are of arrays that do not move any more. */
static fr_status open_images(fr_task *task)
{
    int64_t bytes = 2 * task->n_local * (int64_t)sizeof *task->sum;
    FR_TRY(fr_prefix_image_open(task->device, task->state.k, task->state.v,
                                task->n_local, &task->image));
    return fr_image_open(task->device, task->sum, bytes, &task->sum_image);
}

fr_status fr_task_alloc(const fr_task_env *env, const fr_stage *stage, fr_device *host,
                        fr_task *task)
{
    bool direct = task->config->prefix.mlp_hidden == 0;
    task->layer_floats = fr_arch_prefix_elements(env->arch, task->length);
    task->local = fr_layers_within(task->layers, fr_stage_first_layer(stage),
                                   fr_stage_n_layers(stage));
    task->device = fr_stage_device(stage);
    int64_t n = task->n_local = task->local.count * task->layer_floats;
    float **arrays[MAX_ARRAYS] = {&task->state.k,   &task->state.v,   &task->best.k,
                                  &task->best.v,    &task->state.m_k, &task->state.m_v,
                                  &task->state.s_k, &task->state.s_v};
    for (int i = 0; i < n_arrays_of(!direct); i++) {
        FR_TRY(fr_alloc(env->ctx, n, sizeof(float), arrays[i]));
    }
    if (!direct) {
        FR_TRY(alloc_reparam(env, host, task));
    }
    FR_TRY(fr_alloc(env->ctx, 2 * n, sizeof *task->sum, &task->sum));
    FR_TRY(fr_alloc(env->ctx, 2 * n, sizeof *task->gradient, &task->gradient));
    return open_images(task);
}

/* The keys and values that the base computes for a text, its own windows included, are the prefix that stands for it: the
 * first step sees the model as if it were prompted. Under windows this holds of a prefix that slides; one that does not
 * stays in sight where the text would not. */
static fr_status init_from_text(const fr_task_env *env, fr_engine *engine,
                                fr_task *task)
{
    fr_ids ids = {0};
    fr_status status = fr_init_text_ids(env, task->config, &ids, NULL);
    if (status == FR_OK) {
        status = fr_engine_keys_of_text(engine, ids.data, ids.count, task->layers,
                                        task->state.k, task->state.v);
    }
    fr_ids_fini(&ids);
    return status;
}

/* Keyed by the layer of the model and not by the local one: no split over stages changes a bit. */
static void init_random(fr_task *task)
{
    uint64_t seed = task->config->seed;
    double std = task->config->prefix.random_std;
    for (int64_t i = 0; i < task->local.count; i++) {
        uint64_t layer = (uint64_t)(task->local.first + i);
        for (int64_t j = 0; j < task->layer_floats; j++) {
            int64_t at = i * task->layer_floats + j;
            uint64_t element = (uint64_t)j;
            task->state.k[at] =
                (float)(std * fr_rng_normal(seed, FR_RNG_INIT_K, layer, element));
            task->state.v[at] =
                (float)(std * fr_rng_normal(seed, FR_RNG_INIT_V, layer, element));
        }
    }
}

static fr_status init_keys(const fr_task_env *env, fr_engine *engine, fr_task *task)
{
    switch (task->config->prefix.init) {
    case FR_INIT_TEXT:
        return init_from_text(env, engine, task);
    case FR_INIT_FILE:
        return fr_init_from_file(env, task);
    case FR_INIT_RANDOM:
        init_random(task);
        return FR_OK;
    case FR_INIT_ZERO:
    default:
        return FR_OK;
    }
}

/* Numbers that are not finite would make every step a skipped one, and the run would end far from the cause. */
fr_status fr_task_init_prefix(const fr_task_env *env, fr_engine *engine, fr_task *task)
{
    FR_TRY(init_keys(env, engine, task));
    if (!fr_all_finite(task->state.k, task->n_local) ||
        !fr_all_finite(task->state.v, task->n_local)) {
        return FR_FAIL(env->ctx, FR_ERR_NUMERIC,
                       "tasks.%s.prefix.init gives numbers that are not finite; look "
                       "at the model file%s",
                       task->config->name,
                       task->config->prefix.init == FR_INIT_FILE ? " and the init file"
                                                                 : "");
    }
    if (task->reparam != NULL) {
        FR_TRY(fr_reparam_start(task->reparam, &task->state));
    }
    fr_task_show_prefix(task);
    return FR_OK;
}

void fr_prefix_list_arrays(const fr_prefix_state *state,
                           float *arrays[FR_PREFIX_ARRAYS])
{
    float *const all[FR_PREFIX_ARRAYS] = {state->k,   state->v,   state->m_k,
                                          state->m_v, state->s_k, state->s_v};
    memcpy(arrays, all, sizeof all);
}

void fr_task_show_prefix(fr_task *task)
{
    fr_prefix_image_put(task->device, &task->image);
}

fr_exact_sum fr_task_sum(const fr_task *task, fr_i64 *n_refused)
{
    fr_i64 *sum = task->sum_image.device;
    /* a unit adds one term to a sum, and there are at most as many units as examples */
    return (fr_exact_sum){.k = sum,
                          .v = sum + task->n_local,
                          .exponent = fr_exact_exponent(task->config->batch.examples),
                          .n_refused = n_refused};
}

fr_stage_prefix fr_task_prefix(const fr_task *task)
{
    return (fr_stage_prefix){.length = task->length,
                             .k = task->image.k.device,
                             .v = task->image.v.device,
                             .layers = task->layers,
                             .slides = task->config->prefix.slides};
}

int64_t fr_task_max_position(const fr_task *task)
{
    int64_t longest = fr_dataset_stats(task->train)->longest;
    if (task->valid != NULL && fr_dataset_stats(task->valid)->longest > longest) {
        longest = fr_dataset_stats(task->valid)->longest;
    }
    return task->length + longest;
}
