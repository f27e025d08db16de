/* A server without memory. Some failures end a request alone, so that a run may end well although an allocation failed; but each
 * request gets one end, what is refused is told, and nothing is left behind. */
#include "support/fault.h"
#include "support/serving.h"

#include <stdlib.h>
#include <string.h>

enum { N_ASKS = 3 };

/* The prefix of each request. */
static const char *const NAMES[N_ASKS] = {"one", NULL, "two:b"};

typedef struct kept {
    int64_t n_tokens;
    int n_ends;
} kept;

static void keep(void *user, const fr_serving_event *event)
{
    kept *k = user;
    k->n_tokens += event->end == FR_SERVING_GOES_ON;
    k->n_ends += event->end != FR_SERVING_GOES_ON;
    CU_ASSERT_TRUE(event->end != FR_SERVING_FAILED || strlen(event->message) > 0);
}

static fr_status submit(fr_ctx *ctx, fr_shelf *shelf, fr_serving *serving, int i,
                        kept *k)
{
    fr_ids ids = {0};
    uint64_t ticket = 0;
    json_t *row = json_loads("{\"source_ids\": [5, 17, 90]}", 0, NULL);
    fr_shelf_prefix *prefix = fr_shelf_find(shelf, NAMES[i]);
    fr_status status = fr_shelf_encode(ctx, shelf, prefix, row, &ids);
    fr_serving_request request = {.prefix = prefix,
                                  .prompt = ids,
                                  .sample = {.temperature = 1.0, .top_p = 1.0},
                                  .max_new_tokens = 6,
                                  .n_logprobs = i,
                                  .event = keep,
                                  .user = k};
    if (status == FR_OK) {
        fr_serving_verdict verdict = fr_serving_submit(serving, &request, &ticket);
        k->n_ends -= verdict == FR_SERVING_TAKEN; /* which its end makes good */
        CU_ASSERT_TRUE(verdict == FR_SERVING_TAKEN || verdict == FR_SERVING_NO_MEMORY);
    }
    fr_ids_fini(&request.prompt);
    fr_shelf_release(prefix);
    json_decref(row);
    return status;
}

static fr_status serve(fr_ctx *ctx, const fr_serving_bench *b, fr_shelf **shelf,
                       fr_serving **serving, kept *k)
{
    const fr_session *s = &b->inference.session;
    const fr_shelf_params folder = {
        .folder = b->folder, .inference = &b->inference, .capacity = 32};
    const fr_serving_params params = {
        .world = s->world,
        .device = s->device,
        .n_layers = s->n_layers,
        .generator = b->generator,
        .generation = {.places = 2, .capacity = 32, .cache_bytes = INT64_MAX},
        .queue = N_ASKS,
        .prefix_bytes = 1};
    FR_TRY(fr_shelf_open(ctx, &folder, shelf));
    FR_TRY(fr_shelf_look(ctx, *shelf));
    FR_TRY(fr_serving_create(ctx, &params, serving));
    for (int i = 0; i < N_ASKS; i++) {
        FR_TRY(submit(ctx, *shelf, *serving, i, k));
    }
    fr_serving_drain(*serving, 1000.0);
    return fr_serving_run(*serving);
}

static fr_status run(fr_ctx *ctx, void *bench)
{
    fr_shelf *shelf = NULL;
    fr_serving *serving = NULL;
    kept k = {0};
    fr_status status = serve(ctx, bench, &shelf, &serving, &k);
    fr_serving_destroy(&serving);
    fr_shelf_close(&shelf);
    CU_ASSERT_EQUAL(k.n_ends, 0);
    return status;
}

static void a_server_survives_each_failed_allocation(void)
{
    fr_serving_bench b;
    int64_t n_ended = 0;
    int64_t n_went_on = 0;
    bool fired = true;
    fr_serving_bench_open(NULL, &b);
    fr_serving_write(&b, "one.h5", 1, 1);
    fr_serving_write(&b, "two.h5", 2, 2);
    /* the generator keeps what it needed for its first rows */
    FR_ASSERT_OK(run(fr_test_ctx(), &b));
    for (int64_t n = 1; fired; n++) {
        fr_ctx *ctx = fr_test_ctx();
        fr_fault_outcome result = fr_fault_run(ctx, n, run, &b);
        fired = result.fired;
        CU_ASSERT_TRUE(result.status == FR_OK || result.status == FR_ERR_NO_MEMORY);
        CU_ASSERT_TRUE(result.status == FR_OK || strlen(fr_ctx_error(ctx)) > 0);
        CU_ASSERT_FALSE(result.overfull);
        CU_ASSERT_EQUAL(result.n_kept, 0);
        n_ended += result.status != FR_OK;
        n_went_on += fired && result.status == FR_OK;
    }
    CU_ASSERT_TRUE(n_ended >= 30);
    CU_ASSERT_TRUE(n_went_on >= 1);
    fr_ctx_clear_error(fr_test_ctx());
    fr_serving_bench_close(&b);
}

static const fr_case CASES[] = {
    FR_CASE(a_server_survives_each_failed_allocation),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_serve", CASES, FR_N_CASES(CASES), argc, argv);
}
