/* How long the base takes to load: bytes that each node reads, over its disk, and then the digest of the weights.
 *
 * The ranks of a node share what they read, so the bytes are counted by node and not by rank. The size of a stage is
 * known as bf16; it is scaled by the size of the model's files, whose numbers may take more or fewer bytes. Without
 * the files the scale is 1. Reading ends with the slowest node, or with the storage that all nodes share, whichever
 * takes longer.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli/plan_loading.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/integer.h"
#include "base/mem.h"
#include "base/quantity.h"
#include "cli/path_ending.h"
#include "model/files/part_name.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- how much ---------------------------------------------------------------------------------- */

static int64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : 0;
}

/* The other parts of a model in several GGUF files. */
static fr_status add_parts(fr_ctx *ctx, const char *model, int64_t *bytes)
{
    static const char GGUF[] = ".gguf";
    fr_part_name part;
    if (!fr_part_name_read(model, GGUF, &part)) {
        return FR_OK;
    }
    for (int64_t i = 1; i <= part.count; i++) {
        char *path = NULL;
        FR_TRY(fr_part_path(ctx, model, &part, GGUF, i, &path));
        *bytes += i != part.number ? size_of(path) : 0;
        free(path);
    }
    return FR_OK;
}

/* Of a GGUF file with its other parts, or of a folder's safetensors; 0: they do not exist here. */
static fr_status file_bytes(fr_ctx *ctx, const char *model, int64_t *out)
{
    *out = size_of(model);
    DIR *folder = *out == 0 ? opendir(model) : NULL;
    fr_status status = *out > 0 ? add_parts(ctx, model, out) : FR_OK;
    const struct dirent *entry = NULL;
    while (status == FR_OK && folder != NULL && (entry = readdir(folder)) != NULL) {
        char *path = NULL;
        if (fr_path_ends_with(entry->d_name, ".safetensors")) {
            status = fr_join_path(ctx, model, entry->d_name, &path);
            *out += path != NULL ? size_of(path) : 0;
            free(path);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return status;
}

/* bf16 whatever the run's precision: only the proportions between stages matter (count_bytes scales them). */
static int64_t stage_bytes(const fr_plan_report *r, int64_t first, int64_t n)
{
    fr_stage_shape shape = {.arch = r->problem->arch,
                            .dtype = FR_BF16,
                            .first_layer = first,
                            .n_layers = n};
    return fr_stage_weight_bytes(&shape);
}

/* The ranks of a node are consecutive, and so are the stages of a replica: a node holds consecutive stages. */
static void count_bytes(const fr_plan_report *r, double scale, fr_plan_loading *out)
{
    const fr_forecast *f = r->forecast;
    int64_t n_ranks = r->problem->n_ranks;
    int64_t per_node = r->ranks_per_node < n_ranks ? r->ranks_per_node : n_ranks;
    int64_t n_held = per_node < f->n_stages ? per_node : f->n_stages;
    out->n_nodes = fr_ceil_div(n_ranks, per_node);
    for (int64_t node = 0; node < out->n_nodes; node++) {
        double bytes = 0.0;
        for (int64_t i = 0; i < n_held && node * per_node + i < n_ranks; i++) {
            const fr_stage_forecast *s =
                &f->stages[(node * per_node + i) % f->n_stages];
            bytes += scale * (double)stage_bytes(r, s->first_layer, s->n_layers);
        }
        out->total_bytes += (int64_t)bytes;
        out->node_bytes =
            (int64_t)bytes > out->node_bytes ? (int64_t)bytes : out->node_bytes;
    }
}

/* ---- how fast ---------------------------------------------------------------------------------- */

/* The best of a few tries, so that a busy moment does not count. */
static fr_status measure_hash(fr_ctx *ctx, double *rate)
{
    enum { BYTES = 4 << 20, TRIES = 4 };
    uint8_t *data = NULL;
    uint8_t digest[FR_DIGEST_BYTES];
    fr_status status = fr_alloc(ctx, BYTES, 1, &data);
    *rate = 1.0;
    for (int i = 0; i < TRIES && status == FR_OK; i++) {
        double begin = fr_clock_seconds();
        status = fr_digest_of(ctx, data, BYTES, digest);
        double now = (double)BYTES / (fr_clock_seconds() - begin + 1e-9);
        *rate = now > *rate ? now : *rate;
    }
    free(data);
    return status;
}

/* The ranks of a node divide the hashing by layers, so at most one rank a layer and one for the rest can take part. */
fr_status fr_plan_loading_forecast(fr_ctx *ctx, fr_plan_report *report)
{
    fr_plan_loading *out = &report->loading;
    int64_t n_layers = report->problem->arch->n_layers;
    double whole = (double)stage_bytes(report, 0, n_layers);
    FR_TRY(file_bytes(ctx, report->path, &out->model_bytes));
    out->file_is_here = out->model_bytes > 0;
    if (!out->file_is_here) {
        out->model_bytes = (int64_t)whole;
    }
    count_bytes(report, (double)out->model_bytes / whole, out);
    double own = (double)out->node_bytes / (double)out->disk;
    double shared = out->disk_shared > 0
                        ? (double)out->total_bytes / (double)out->disk_shared
                        : 0.0;
    out->read_seconds = own > shared ? own : shared;
    FR_TRY(measure_hash(ctx, &out->hash_rate));
    int64_t n_ranks = report->ranks_per_node < report->problem->n_ranks
                          ? report->ranks_per_node
                          : report->problem->n_ranks;
    n_ranks = n_ranks < n_layers + 1 ? n_ranks : n_layers + 1; /* whole layers */
    out->hash_seconds = (double)out->node_bytes / ((double)n_ranks * out->hash_rate);
    return FR_OK;
}

void fr_plan_loading_print(const fr_plan_report *report, FILE *out)
{
    const fr_plan_loading *l = &report->loading;
    char model[FR_SIZE_BYTES];
    char node[FR_SIZE_BYTES];
    char total[FR_SIZE_BYTES];
    fr_size_text((double)l->model_bytes, model);
    fr_size_text((double)l->node_bytes, node);
    fr_size_text((double)l->total_bytes, total);
    (void)fprintf(
        out,
        "\nloading    a base of %s (%s)\n"
        "  each of %lld node%s reads the layers of its ranks once: at most %s, "
        "%s in all\n",
        model,
        l->file_is_here ? "its files" : "as bf16; its files are not on this machine",
        (long long)l->n_nodes, l->n_nodes == 1 ? "" : "s", node, total);
    (void)fprintf(out, "  %.3g s at %.3g GB/s a node (%s)", l->read_seconds,
                  (double)l->disk * 1e-9,
                  l->disk_assumed ? "assumed; --disk" : "--disk");
    if (l->disk_shared > 0) {
        (void)fprintf(out, " and %.3g GB/s for all (--disk-shared)\n",
                      (double)l->disk_shared * 1e-9);
    } else {
        (void)fprintf(out, ", each from a disk of its own (else: --disk-shared)\n");
    }
    (void)fprintf(
        out,
        "  then %.3g s for the digest of the weights, at %.3g GB/s of SHA-256 a "
        "rank (measured here); starts that follow take it from the cache\n",
        l->hash_seconds, l->hash_rate * 1e-9);
}
