#include "support/serving.h"

#include "base/mem.h"
#include "base/rng.h"
#include "support/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 96, SLOTS = 5, N_LOGPROBS = 3 };

void fr_serving_bench_open(fr_group *world, fr_serving_bench *out)
{
    *out = (fr_serving_bench){.own = NULL};
    if (world == NULL) {
        FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &out->own));
        world = out->own;
    }
    out->params =
        (fr_inference_params){.model = fr_test_data("golden/families/smollm3"),
                              .precision = FR_PRECISION_F32,
                              .device = "cpu",
                              .threads = 1,
                              .stages = FR_AUTO,
                              .one_pipeline = true};
    FR_ASSERT_OK(
        fr_inference_open(fr_test_ctx(), world, &out->params, &out->inference));
    FR_ASSERT_OK(fr_inference_load(&out->inference, 128, 0.0));
    const fr_session *s = &out->inference.session;
    fr_generator_params generator = {
        .pipeline = s->grid.pipeline, .stage = s->stage, .link = s->link};
    FR_ASSERT_OK(fr_generator_create(fr_test_ctx(), &generator, &out->generator));
    if (fr_group_rank(world) == 0) {
        (void)snprintf(out->folder, sizeof out->folder, "%s/the prefixes",
                       fr_test_folder());
        FR_ASSERT_OK(fr_make_folder(fr_test_ctx(), out->folder));
    }
    FR_ASSERT_OK(fr_group_broadcast(world, 0, out->folder, sizeof out->folder));
}

void fr_serving_bench_close(fr_serving_bench *bench)
{
    fr_serving_destroy(&bench->serving);
    fr_shelf_close(&bench->shelf);
    fr_generator_destroy(&bench->generator);
    fr_inference_close(&bench->inference);
    if (bench->own != NULL) {
        fr_group_destroy(&bench->own);
    }
}

/* ---- prefixes ----------------------------------------------------------------------------------- */

static void fill_task(const fr_arch *arch, uint64_t seed, fr_checkpoint_task *task)
{
    task->length = SLOTS;
    task->n_layers = arch->n_layers;
    task->base_layers = arch->n_layers;
    task->n_kv_heads = arch->n_kv_heads;
    task->head_dim = arch->head_dim;
    task->base_norm_eps = (double)(float)arch->norm_eps;
    task->leading_bos = true;
    FR_ASSERT_OK(fr_copy_string(fr_test_ctx(), "random", &task->init));
    FR_ASSERT_OK(fr_checkpoint_task_alloc(fr_test_ctx(), task, false));
    int64_t n = SLOTS * task->n_layers * task->n_kv_heads * task->head_dim;
    for (int64_t i = 0; i < n; i++) {
        double k = fr_rng_uniform(seed, FR_RNG_TEST, 1, (uint64_t)i);
        double v = fr_rng_uniform(seed, FR_RNG_TEST, 2, (uint64_t)i);
        task->state.k[i] = (float)(4.0 * k - 2.0);
        task->state.v[i] = (float)(4.0 * v - 2.0);
    }
}

void fr_serving_write(const fr_serving_bench *bench, const char *file, int64_t n_tasks,
                      uint64_t seed)
{
    const fr_session *s = &bench->inference.session;
    fr_checkpoint *c = NULL;
    FR_ASSERT_OK(fr_checkpoint_create(fr_test_ctx(), n_tasks, &c));
    FR_ASSERT_OK(fr_copy_string(fr_test_ctx(), s->shape, &c->base_shape));
    memcpy(c->base_digest, s->digest, sizeof c->base_digest);
    for (int64_t i = 0; i < n_tasks; i++) {
        const char name[] = {(char)('a' + i), '\0'};
        FR_ASSERT_OK(fr_copy_string(fr_test_ctx(), name, &c->tasks[i].name));
        fill_task(fr_weights_arch(s->weights), 100 * seed + (uint64_t)i, &c->tasks[i]);
    }
    FR_ASSERT_OK(
        fr_checkpoint_write(fr_test_ctx(), fr_test_path(bench->folder, file), c));
    fr_checkpoint_destroy(&c);
}

/* ---- shelf and engine ----------------------------------------------------------------------------- */

void fr_serving_open_shelf(fr_serving_bench *bench, int64_t memory)
{
    fr_shelf_params params = {.folder = bench->folder,
                              .inference = &bench->inference,
                              .memory = memory,
                              .capacity = FR_SERVING_CAPACITY};
    if (fr_group_rank(bench->inference.session.world) == 0) {
        FR_ASSERT_OK(fr_shelf_open(fr_test_ctx(), &params, &bench->shelf));
    }
}

void fr_serving_open_engine(fr_serving_bench *bench, fr_serving_sizes sizes)
{
    const fr_session *s = &bench->inference.session;
    fr_serving_params params = {
        .world = s->world,
        .device = s->device,
        .first_layer = s->first_layer,
        .n_layers = s->n_layers,
        .generator = bench->generator,
        .generation = {.places = sizes.places > 0 ? sizes.places : 3,
                       .capacity = FR_SERVING_CAPACITY,
                       .cache_bytes = INT64_MAX,
                       .prompt_tokens = 4},
        .queue = sizes.queue > 0 ? sizes.queue : 64,
        .prefix_bytes = sizes.prefix_bytes};
    FR_ASSERT_OK(fr_serving_create(fr_test_ctx(), &params, &bench->serving));
}

/* ---- requests ----------------------------------------------------------------------------------- */

/* A row of a few ids with options of its own. */
static fr_generate_row make_row(uint64_t number)
{
    fr_generate_row row = {.number = number,
                           .sample = {.temperature = number % 2 == 0 ? 0.0 : 2.0,
                                      .top_p = number % 3 == 0 ? 0.9 : 1.0,
                                      .repetition_penalty = number % 5 == 0 ? 1.2 : 1.0,
                                      .seed = number},
                           .max_new_tokens =
                               3 + (int64_t)(number % (FR_SERVING_NEW - 2)),
                           .n_logprobs = number % 2 == 0 ? N_LOGPROBS : 0};
    int64_t n = 1 + (int64_t)(number % 17);
    for (int64_t i = 0; i < n; i++) {
        double drawn = fr_rng_uniform(7, FR_RNG_TEST, number, (uint64_t)i);
        FR_ASSERT_OK(fr_ids_add(fr_test_ctx(), &row.prompt, (int32_t)(VOCAB * drawn)));
    }
    return row;
}

static void keep_event(void *user, const fr_serving_event *event)
{
    fr_serving_ask *ask = user;
    CU_ASSERT_EQUAL(ask->n_ends, 0);
    if (event->end != FR_SERVING_GOES_ON) {
        CU_ASSERT_EQUAL(event->id, FR_NO_TOKEN);
        ask->end = event->end;
        ask->has_message = event->message != NULL;
        ask->n_ends++;
        return;
    }
    CU_ASSERT_FATAL(ask->n < FR_SERVING_NEW);
    ask->ids[ask->n] = event->id;
    ask->chosen[ask->n] = event->logprobs != NULL ? event->logprobs->chosen : 1.0;
    ask->n++;
    if (ask->n == 1 && ask->at_first != NULL) {
        ask->at_first(ask->argument);
    }
    if (ask->n == ask->cancel_at) {
        fr_serving_cancel(ask->serving, ask->ticket);
    }
}

fr_serving_verdict fr_serving_ask_submit(fr_serving_bench *bench, fr_serving_ask *ask)
{
    fr_generate_row row = make_row(ask->number);
    fr_shelf_prefix *prefix = fr_shelf_find(bench->shelf, ask->prefix);
    CU_ASSERT_PTR_NOT_NULL_FATAL(prefix);
    fr_serving_request request = {.prefix = prefix,
                                  .prompt = row.prompt,
                                  .sample = row.sample,
                                  .number = row.number,
                                  .max_new_tokens = row.max_new_tokens,
                                  .n_logprobs = row.n_logprobs,
                                  .deadline_seconds = ask->deadline,
                                  .event = keep_event,
                                  .user = ask};
    ask->serving = bench->serving;
    fr_serving_verdict verdict =
        fr_serving_submit(bench->serving, &request, &ask->ticket);
    fr_ids_fini(&request.prompt);
    fr_shelf_release(prefix);
    return verdict;
}

/* A prefix of a file, as `generate` shows it to its stage. */
static void generate(const fr_serving_bench *bench, const fr_checkpoint_task *task,
                     fr_generate_row *row)
{
    const fr_session *s = &bench->inference.session;
    fr_prefix_image image = {0};
    fr_stage_prefix view = {0};
    fr_generate_params params = {.batch = 1, .cache_bytes = INT64_MAX};
    if (task != NULL) {
        fr_prefix_part part = fr_prefix_file_part(task, s->first_layer, s->n_layers);
        FR_ASSERT_OK(fr_prefix_image_open(s->device, part.k, part.v, part.n, &image));
        view = (fr_stage_prefix){.length = task->length,
                                 .k = image.k.device,
                                 .v = image.v.device,
                                 .layers = {task->first_layer, task->n_layers},
                                 .slides = task->slides};
    }
    row->prefix = &view;
    FR_ASSERT_OK(fr_generate(bench->generator, row, 1, &params));
    fr_prefix_image_close(s->device, &image);
}

void fr_serving_expect(const fr_serving_bench *bench, const char *file,
                       const char *task, fr_serving_ask *ask)
{
    fr_generate_row row = make_row(ask->number);
    fr_checkpoint *c = NULL;
    int64_t index = 0;
    if (file != NULL) {
        const char *path = fr_test_path(bench->folder, file);
        FR_ASSERT_OK(fr_checkpoint_read(fr_test_ctx(), path, &c));
        FR_ASSERT_OK(fr_checkpoint_find_task(fr_test_ctx(), c, path, task, &index));
    }
    generate(bench, c != NULL ? &c->tasks[index] : NULL, &row);
    ask->n = row.out.count;
    CU_ASSERT_FATAL(ask->n <= FR_SERVING_NEW);
    for (int64_t i = 0; i < ask->n; i++) {
        ask->ids[i] = row.out.data[i];
        ask->chosen[i] = row.logprobs != NULL ? row.logprobs[i].chosen : 1.0;
    }
    ask->end = row.state == FR_ROW_FULL ? FR_SERVING_FULL : FR_SERVING_STOPPED;
    ask->n_ends = 1;
    fr_checkpoint_destroy(&c);
    fr_generate_row_fini(&row);
}

void fr_serving_compare(const fr_serving_ask *got, const fr_serving_ask *wanted)
{
    CU_ASSERT_EQUAL(got->n_ends, 1);
    CU_ASSERT_EQUAL(got->end, wanted->end);
    CU_ASSERT_EQUAL_FATAL(got->n, wanted->n);
    fr_assert_same_bytes("tokens", got->ids, wanted->ids,
                         (size_t)wanted->n * sizeof *wanted->ids);
    fr_assert_same_bytes("logprobs", got->chosen, wanted->chosen,
                         (size_t)wanted->n * sizeof *wanted->chosen);
}
