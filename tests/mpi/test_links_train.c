/*
 * Training with staged links, in small pieces, gives the bits of host links on every layout: two tasks whose microbatches
 * and sums are under way together, an evaluation, a prefix from a text, and a generation. So does training with ranks that
 * are spread over nodes in another way.
 */
#include "base/digest.h"
#include "base/exact.h"
#include "base/mem.h"
#include "device/host.h"
#include "model/files/safetensors.h"
#include "model/network/generate.h"
#include "support/model_files.h"
#include "support/suite.h"
#include "support/trainer.h"
#include "train/step/schedule.h"
#include "train/step/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_TASKS = 2, N_STEPS = 3, N_ROWS = 30, PATH_BYTES = 1024, N_TEXT = 9 };
enum { MAX_TENSORS = 128, NAME_BYTES = 96, COPIES = 2 };

/* ---- a model of four layers ------------------------------------------------------------------- */

/* The tensors of the tiny Llama, whose two layers come twice. */
typedef struct doubled {
    fr_safetensors *file;
    int64_t n;
    char names[MAX_TENSORS][NAME_BYTES];
    fr_safetensor tensors[MAX_TENSORS];
    const fr_safetensor *list[MAX_TENSORS];
} doubled;

static void add_tensor(doubled *d, const fr_safetensor *tensor, int copy)
{
    int layer = 0;
    int at = 0;
    bool in_layer =
        sscanf(tensor->name.data, "model.layers.%d.%n", &layer, &at) == 1 && at > 0;
    if (copy > 0 && !in_layer) {
        return;
    }
    CU_ASSERT_FATAL(d->n < MAX_TENSORS);
    int bytes = in_layer
                    ? snprintf(d->names[d->n], NAME_BYTES, "model.layers.%d.%s",
                               layer + 2 * copy, tensor->name.data + at)
                    : snprintf(d->names[d->n], NAME_BYTES, "%s", tensor->name.data);
    d->tensors[d->n] = *tensor;
    d->tensors[d->n].name = (fr_text){d->names[d->n], (size_t)bytes};
    d->list[d->n] = &d->tensors[d->n];
    d->n++;
}

static void write_model(char folder[PATH_BYTES])
{
    doubled d = {.file = NULL};
    (void)snprintf(folder, PATH_BYTES, "%s",
                   fr_test_model_folder("tiny_llama", "{\"num_hidden_layers\": 4}"));
    const char *path = fr_test_path(folder, "model.safetensors");
    FR_ASSERT_OK(fr_safetensors_open(fr_test_ctx(), path, &d.file));
    for (int copy = 0; copy < COPIES; copy++) {
        for (int64_t i = 0; i < fr_safetensors_n_tensors(d.file); i++) {
            add_tensor(&d, fr_safetensors_tensor_at(d.file, i), copy);
        }
    }
    CU_ASSERT_EQUAL_FATAL(unlink(path), 0); /* a link to the model's */
    fr_test_write_tensors(path, d.list, d.n);
    fr_safetensors_close(&d.file);
}

/* ---- one run ---------------------------------------------------------------------------------- */

typedef struct run {
    fr_trainer trainer;
    fr_engine *engine;
    fr_steps *steps;
    fr_schedule schedule;
    int64_t n_begun[N_TASKS];
} run;

/* What it leaves: K and V of each task's own layers, the loss of an evaluation, and keys of a text. */
typedef struct remains {
    float *start[N_TASKS]; /* K before the first step */
    float *k[N_TASKS];
    float *v[N_TASKS];
    float *keys;
    int64_t loss;
    fr_ids text;
    int stage;
    int replica;
} remains;

/* Floats in them. */
typedef struct sizes {
    int64_t prefix[N_TASKS];
    int64_t keys;
} sizes;

typedef struct place {
    fr_group *world;
    char model[PATH_BYTES];
    char rows[PATH_BYTES];
    fr_layout layout;
    const int64_t *nodes; /* as fr_trainer_open_on takes them */
} place;

/* Rank 0 writes the files. */
static void open_place(int n_stages, place *p)
{
    *p = (place){.world = fr_test_world()};
    p->layout = (fr_layout){n_stages, fr_group_size(p->world) / n_stages};
    if (fr_group_rank(p->world) == 0) {
        write_model(p->model);
        (void)snprintf(p->rows, PATH_BYTES, "%s",
                       fr_trainer_rows(p->model, "rows.jsonl", N_ROWS));
    }
    FR_ASSERT_OK(fr_group_broadcast(p->world, 0, p->model, sizeof p->model));
    FR_ASSERT_OK(fr_group_broadcast(p->world, 0, p->rows, sizeof p->rows));
}

static void open_run(const place *p, fr_link_kind kind, run *r)
{
    char text[4 * PATH_BYTES];
    fr_session *session = &r->trainer.session;
    (void)snprintf(text, sizeof text,
                   "run: {dir: \"%s\", steps: 9}\n"
                   "tasks:\n"
                   "- {name: a, train: \"%s\", eos: false,\n"
                   "   batch: {examples: 12, microbatch_tokens: 20},\n"
                   "   prefix: {init: {random: 0.5}, length: 4}}\n"
                   "- {name: b, train: \"%s\", eos: false,\n"
                   "   batch: {examples: 7, microbatch_tokens: 40},\n"
                   "   prefix: {init: {random: 0.5}, length: 3}}\n",
                   p->model, p->rows, p->rows);
    *r = (run){.engine = NULL};
    fr_trainer_open_on(p->world, p->nodes, p->layout, p->model, text, &r->trainer);
    int64_t max =
        fr_schedule_max_in_flight(session->grid.n_stages, session->grid.stage, 2);
    fr_engine_params engine = {.grid = &session->grid,
                               .stage = session->stage,
                               .max_in_flight = max,
                               .link = kind,
                               .link_piece = 1000};
    FR_ASSERT_OK(fr_engine_create(fr_test_ctx(), &engine, &r->engine));
    FR_ASSERT_OK(fr_steps_create(&r->trainer.env, &session->grid,
                                 fr_engine_replicas(r->engine), r->trainer.tasks,
                                 N_TASKS, &r->steps));
    FR_ASSERT_OK(fr_schedule_init(fr_test_ctx(), N_TASKS, max, &r->schedule));
}

static void close_run(run *r)
{
    fr_schedule_fini(&r->schedule);
    fr_steps_destroy(&r->steps);
    fr_engine_destroy(&r->engine);
    fr_trainer_close(&r->trainer);
}

static void answer(run *r, const fr_action *action)
{
    int64_t n = 0;
    fr_step_result result;
    if (!action->must) {
        fr_schedule_defer(&r->schedule);
    } else if (action->act == FR_ACT_OPEN) {
        if (r->n_begun[action->task]++ > 0) {
            FR_ASSERT_OK(fr_step_finish(r->steps, action->task, &result));
        }
        FR_ASSERT_OK(fr_step_begin(r->steps, action->task, &n));
        CU_ASSERT_TRUE_FATAL(n > 0);
        fr_schedule_open(&r->schedule, n, true);
        fr_pass *pass = fr_step_pass(r->steps, action->task);
        FR_ASSERT_OK(fr_engine_expect(r->engine, pass, 0));
    } else if (r->n_begun[0] == N_STEPS) {
        fr_schedule_end(&r->schedule);
    } else {
        fr_schedule_begin_round(&r->schedule);
    }
}

static void run_pass(run *r, const fr_action *action)
{
    fr_pass *pass = fr_step_pass(r->steps, action->task);
    if (action->act == FR_ACT_FORWARD) {
        FR_ASSERT_OK(fr_engine_forward(r->engine, pass, action->microbatch));
        if (!action->closes) {
            FR_ASSERT_OK(fr_engine_expect(r->engine, pass, action->microbatch + 1));
        }
        return;
    }
    FR_ASSERT_OK(fr_engine_backward(r->engine));
    if (action->closes) {
        fr_step_close(r->steps, action->task, false, false);
    }
}

/* As run/rounds.c does, but for what is reported and saved. */
static void train(run *r)
{
    fr_step_result result;
    for (;;) {
        fr_action next = fr_schedule_next(&r->schedule);
        if (next.act == FR_ACT_END) {
            break;
        }
        if (next.act == FR_ACT_ROUND || next.act == FR_ACT_OPEN) {
            answer(r, &next);
        } else {
            run_pass(r, &next);
        }
    }
    for (int64_t task = 0; task < N_TASKS; task++) {
        FR_ASSERT_OK(fr_step_finish(r->steps, task, &result));
        CU_ASSERT_FALSE(result.skipped);
    }
    FR_ASSERT_OK(fr_engine_settle(r->engine));
}

/* The loss of the last step's plan, forward only, of this replica. */
static int64_t evaluate(run *r)
{
    fr_task *task = &r->trainer.tasks[0];
    fr_stage_prefix prefix = fr_task_prefix(task);
    int64_t totals[FR_PASS_TOTALS] = {0};
    fr_pass pass = {.dataset = task->train,
                    .plan = &task->plan,
                    .prefix = &prefix,
                    .totals = fr_host_i64(totals),
                    .loss_exponent = fr_exact_exponent(task->plan.n_counted)};
    FR_ASSERT_OK(fr_engine_run(r->engine, &pass));
    return totals[FR_PASS_LOSS];
}

static float *copy(const float *from, int64_t n)
{
    float *to = NULL;
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), n, sizeof *to, &to));
    memcpy(to, from, (size_t)n * sizeof *to);
    return to;
}

/* A prompt goes on behind a trained prefix. */
static void generate(const run *r, fr_link_kind kind, fr_ids *out)
{
    static int32_t prompt[] = {5, 17, 99};
    const fr_session *session = &r->trainer.session;
    fr_stage_prefix prefix = fr_task_prefix(&r->trainer.tasks[0]);
    fr_generator *generator = NULL;
    fr_generator_params params = {.pipeline = session->grid.pipeline,
                                  .stage = session->stage,

                                  .link = kind,
                                  .link_piece = 96};
    fr_generate_row row = {.prefix = &prefix,
                           .prompt = {.data = prompt, .count = 3},
                           .max_new_tokens = N_TEXT};
    fr_generate_params how = {.batch = 1};
    FR_ASSERT_OK(fr_generator_create(fr_test_ctx(), &params, &generator));
    FR_ASSERT_OK(fr_generate(generator, &row, 1, &how));
    *out = row.out;
    fr_generator_destroy(&generator);
}

static void run_and_keep(const place *p, fr_link_kind kind, sizes *n, remains *out)
{
    static const int32_t IDS[N_TEXT] = {5, 17, 99, 3, 64, 21, 7, 8, 9};
    run r;
    open_run(p, kind, &r);
    fr_trainer *t = &r.trainer;
    int64_t half = t->session.n_layers * fr_arch_prefix_elements(t->env.arch, N_TEXT);
    n->keys = 2 * half;
    out->stage = t->session.grid.stage;
    out->replica = t->session.grid.replica;
    for (int i = 0; i < N_TASKS; i++) {
        n->prefix[i] = t->tasks[i].n_local;
        out->start[i] = copy(t->tasks[i].state.k, n->prefix[i]);
    }
    train(&r);
    for (int i = 0; i < N_TASKS; i++) {
        out->k[i] = copy(t->tasks[i].state.k, n->prefix[i]);
        out->v[i] = copy(t->tasks[i].state.v, n->prefix[i]);
    }
    out->loss = evaluate(&r);
    FR_ASSERT_OK(fr_alloc(fr_test_ctx(), n->keys, sizeof *out->keys, &out->keys));
    FR_ASSERT_OK(fr_engine_keys_of_text(r.engine, IDS, N_TEXT, (fr_layer_range){0, 0},
                                        out->keys, out->keys + half));
    generate(&r, kind, &out->text);
    close_run(&r);
}

static void free_remains(remains *r)
{
    for (int i = 0; i < N_TASKS; i++) {
        free(r->start[i]);
        free(r->k[i]);
        free(r->v[i]);
    }
    free(r->keys);
    fr_ids_fini(&r->text);
}

/* The run with links of this kind against the one with host links, on this rank. */
static void compare(const place *p, const remains *host, fr_link_kind kind)
{
    remains other;
    sizes n;
    run_and_keep(p, kind, &n, &other);
    for (int i = 0; i < N_TASKS; i++) {
        size_t bytes = (size_t)n.prefix[i] * sizeof(float);
        fr_assert_same_bytes("keys", other.k[i], host->k[i], bytes);
        fr_assert_same_bytes("values", other.v[i], host->v[i], bytes);
        CU_ASSERT_NOT_EQUAL(memcmp(host->k[i], host->start[i], bytes), 0);
    }
    fr_assert_same_bytes("keys of a text", other.keys, host->keys,
                         (size_t)n.keys * sizeof(float));
    CU_ASSERT_EQUAL(other.loss, host->loss);
    CU_ASSERT_EQUAL_FATAL(host->text.count, N_TEXT);
    CU_ASSERT_EQUAL_FATAL(other.text.count, N_TEXT);
    fr_assert_same_bytes("text", other.text.data, host->text.data,
                         N_TEXT * sizeof *host->text.data);
    free_remains(&other);
}

/* All stages in one replica; with four ranks also two stages in two replicas, and four replicas of one stage. */
static void all_links_give_the_bits_of_host_links(void)
{
    fr_group *world = fr_test_world();
    int n_ranks = fr_group_size(world);
    fr_group_destroy(&world);
    for (int n_stages = 1; n_stages <= n_ranks; n_stages++) {
        if (n_ranks % n_stages == 0) {
            place p;
            remains host;
            sizes n;
            open_place(n_stages, &p);
            run_and_keep(&p, FR_LINK_HOST, &n, &host);
            compare(&p, &host, FR_LINK_STAGED);
            compare(&p, &host, FR_LINK_DIRECT);
            free_remains(&host);
            fr_group_destroy(&p.world);
        }
    }
}

/* What the rank of each stage and replica leaves, the same on all ranks: digests of K and V of each task, and the loss. */
enum { MAX_RANKS = 4, DIGEST_WORDS = FR_DIGEST_BYTES / 8 };
typedef struct all_remains {
    int64_t words[MAX_RANKS][2 * N_TASKS * DIGEST_WORDS + 1];
} all_remains;

static void run_all(const place *p, all_remains *out)
{
    remains own;
    sizes n;
    run_and_keep(p, FR_LINK_HOST, &n, &own);
    *out = (all_remains){0};
    int64_t *words = out->words[own.replica * p->layout.n_stages + own.stage];
    for (int i = 0; i < N_TASKS; i++) {
        size_t bytes = (size_t)n.prefix[i] * sizeof(float);
        uint8_t *digests = (uint8_t *)(words + (ptrdiff_t)2 * i * DIGEST_WORDS);
        FR_ASSERT_OK(fr_digest_of(fr_test_ctx(), own.k[i], bytes, digests));
        FR_ASSERT_OK(
            fr_digest_of(fr_test_ctx(), own.v[i], bytes, digests + FR_DIGEST_BYTES));
    }
    words[2 * N_TASKS * DIGEST_WORDS] = own.loss;
    free_remains(&own);
    FR_ASSERT_OK(fr_group_allreduce(p->world, FR_SUM, &out->words[0][0],
                                    sizeof *out / sizeof(int64_t)));
}

/* Three stages, or two stages in two replicas, on nodes that hold ranks 0, 3 and 1, 2. Rank 0 has the first stage of the
 * first replica in any case; all others change. Two ranks are in a row on any nodes. */
static void other_nodes_give_the_same_bits(void)
{
    static const int64_t THREE[] = {0, 1, 0};
    static const int64_t FOUR[] = {0, 1, 1, 0};
    place p;
    all_remains wanted;
    all_remains got;
    fr_group *world = fr_test_world();
    int n_ranks = fr_group_size(world);
    fr_group_destroy(&world);
    if (n_ranks > 2) {
        open_place(n_ranks == 3 ? 3 : 2, &p);
        run_all(&p, &wanted);
        p.nodes = n_ranks == 3 ? THREE : FOUR;
        run_all(&p, &got);
        fr_assert_same_bytes("stages", got.words, wanted.words, sizeof got);
        fr_group_destroy(&p.world);
    }
}

static const fr_case CASES[] = {
    FR_CASE(all_links_give_the_bits_of_host_links),
    FR_CASE(other_nodes_give_the_same_bits),
};

int main(int argc, char **argv)
{
    return fr_suite_main_mpi("links_train", CASES, FR_N_CASES(CASES), 0, &argc, &argv);
}
