/* Logits behind a prefix, in f32 on the CPU, for compare_peft.py: prefix_logits MODEL PREFIX, where PREFIX is FILE[:TASK]. A line of
 * standard input has ids separated by blanks; what answers it on standard output are the logits of each of its tokens, [tokens,
 * vocabulary], as numbers of the machine. */
#include "base/mem.h"
#include "device/memory.h"
#include "train/inference/inference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IDS = 1024, LINE_BYTES = 16 * MAX_IDS };

/* Ids of a line, and one more that nothing reads: the last token's logits predict it. */
static int64_t read_ids(char *line, int32_t ids[MAX_IDS + 1])
{
    int64_t n = 0;
    char *end = NULL;
    long id = strtol(line, &end, 10);
    while (end != line && n < MAX_IDS) {
        ids[n++] = (int32_t)id;
        line = end;
        id = strtol(line, &end, 10);
    }
    ids[n] = 0;
    return n;
}

static fr_status compute(const fr_session *s, fr_batch *batch,
                         fr_activations *activations, const fr_stage_prefix *prefix,
                         float *out)
{
    int64_t n = batch->n_read * fr_weights_arch(s->weights)->vocab_size;
    fr_f32 *logits = NULL;
    int32_t rows[MAX_IDS];
    for (int32_t t = 0; t < batch->n_read; t++) {
        rows[t] = t;
    }
    FR_TRY(fr_activations_prepare(s->stage, activations, batch, prefix));
    FR_TRY(fr_stage_forward(s->stage, batch, prefix, NULL, activations));
    FR_TRY(fr_device_alloc(s->device, n, sizeof *logits, &logits));
    fr_status status =
        fr_stage_logits(s->stage, activations, batch->n_read, rows, logits);
    if (status == FR_OK) {
        fr_device_get(s->device, out, logits, n * (int64_t)sizeof *out);
    }
    fr_device_free(s->device, logits);
    return status;
}

static fr_status answer(fr_ctx *ctx, const fr_inference *inference,
                        fr_activations *activations, char *line)
{
    const fr_session *s = &inference->session;
    int32_t ids[MAX_IDS + 1];
    uint8_t counted[MAX_IDS];
    int64_t n = read_ids(line, ids);
    int64_t n_numbers = n * fr_weights_arch(s->weights)->vocab_size;
    fr_batch batch = {0};
    float *logits = NULL;
    memset(counted, 1, sizeof counted);
    fr_sequence source = {ids, NULL, 1};
    fr_sequence target = {ids + 1, counted, n};
    FR_TRY(fr_alloc(ctx, n_numbers, sizeof *logits, &logits));
    fr_status status =
        fr_batch_add(ctx, &batch, inference->prefix->length, &source, &target, 1);
    if (status == FR_OK) {
        status = compute(s, &batch, activations, &inference->prefix->view, logits);
    }
    if (status == FR_OK && fwrite(logits, sizeof *logits, (size_t)n_numbers, stdout) !=
                               (size_t)n_numbers) {
        status = FR_FAIL(ctx, FR_ERR_IO, "standard output takes no more");
    }
    fr_batch_fini(&batch);
    free(logits);
    return status;
}

static fr_status run(fr_ctx *ctx, fr_group *world, const char *model,
                     const char *prefix)
{
    static char line[LINE_BYTES];
    const fr_inference_params params = {.model = model,
                                        .prefix = prefix,
                                        .precision = FR_PRECISION_F32,
                                        .device = "cpu"};
    fr_inference inference;
    fr_activations *activations = NULL;
    FR_TRY(fr_inference_open(ctx, world, &params, &inference));
    int64_t most = inference.prefix->length + MAX_IDS;
    int64_t context = fr_weights_arch(inference.session.weights)->context_length;
    fr_status status =
        fr_inference_load(&inference, most < context ? most : context, 1.0);
    if (status == FR_OK) {
        status = fr_activations_create(inference.session.stage, false, &activations);
    }
    while (status == FR_OK && fgets(line, sizeof line, stdin) != NULL) {
        status = answer(ctx, &inference, activations, line);
    }
    fr_activations_destroy(&activations);
    fr_inference_close(&inference);
    return status;
}

int main(int argc, char **argv)
{
    fr_ctx *ctx = fr_ctx_create();
    fr_group *world = NULL;
    if (argc != 3 || ctx == NULL) {
        (void)fprintf(stderr, "usage: prefix_logits MODEL FILE[:TASK] <ids\n");
        return 2;
    }
    fr_status status = fr_group_create_self(ctx, &world);
    if (status == FR_OK) {
        status = run(ctx, world, argv[1], argv[2]);
    }
    if (status != FR_OK) {
        fr_log(ctx, FR_LOG_ERROR, "%s", fr_ctx_error(ctx));
    }
    fr_group_destroy(&world);
    fr_ctx_destroy(&ctx);
    return fr_status_exit_code(status);
}
