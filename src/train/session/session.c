/* A session in order: open the files (fr_session_open), then load (fr_session_load): grid, device, split of layers,
 * weights, digest.
 *
 * Everything that a rank may fail at alone is followed by fr_group_agree, so that all ranks return the same status
 * and none waits for another in a later collective. Each rank picks its own instruction set, but all must have the
 * same arithmetic, since bits depend on that; for the same reason they agree on what each product is computed by.
 *
 * The ranks of a node share the frozen weights and the work of converting and hashing them; their group exists only
 * while weights are loaded. The pages of the model file are released afterwards, as everything that is needed is in
 * memory of its own or mapped by the stage.
 */
#include "train/session/session.h"

#include "base/mem.h"
#include "base/quantity.h"
#include "comm/link_settle.h"
#include "comm/placement.h"
#include "device/kinds.h"
#include "device/memory.h"
#include "model/files/where.h"
#include "model/network/products.h"
#include "train/session/rank_share.h"
#include "train/step/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A model without a tokenizer is accepted until a text comes: pre-tokenised rows need none. */
static fr_status open_path(fr_ctx *ctx, const char *path, fr_session *s)
{
    fr_tokens tokens;
    FR_TRY(fr_weights_open(ctx, path, &s->weights));
    FR_TRY(fr_tokens_open(ctx, path, &tokens));
    s->tokenizer = tokens.tokenizer;
    s->no_tokenizer = tokens.no_tokenizer;
    s->ends = tokens.ends;
    return fr_identity_shape(ctx, s->weights, s->tokenizer, &s->shape);
}

static fr_status open_files(fr_ctx *ctx, const char *model, fr_session *s)
{
    char *path = NULL;
    FR_TRY(fr_model_find(ctx, model, FR_MODEL_WHOLE, &path));
    fr_status status = open_path(ctx, path, s);
    free(path);
    return status;
}

static fr_status find_nodes(fr_session *s)
{
    fr_status status =
        fr_alloc(s->ctx, fr_group_size(s->world), sizeof *s->nodes, &s->nodes);
    FR_TRY(fr_group_agree(s->world, status));
    return fr_group_nodes(s->world, s->nodes);
}

fr_status fr_session_open(fr_ctx *ctx, fr_group *world, const char *model,
                          fr_session *out)
{
    *out = (fr_session){.ctx = ctx, .world = world, .ends = FR_NO_ENDS};
    fr_status status = fr_group_agree(world, open_files(ctx, model, out));
    if (status == FR_OK) {
        status = find_nodes(out);
    }
    if (status != FR_OK) {
        fr_session_close(out);
    }
    return status;
}

/* At once and before anything is loaded, so that a rank whose device has too little says so in its first second. */
static fr_status reserve(const fr_session *s, int64_t bytes)
{
    char text[FR_SIZE_BYTES];
    if (fr_device_in_host_memory(s->device)) {
        return FR_OK;
    }
    FR_TRY(fr_device_reserve(s->device, bytes));
    fr_size_text((double)bytes, text);
    fr_log(s->ctx, FR_LOG_INFO, "memory of the device: %s are reserved, by forecast",
           text);
    return FR_OK;
}

/* How good the forecast was. */
static void log_most_used(const fr_session *s)
{
    char text[FR_SIZE_BYTES];
    if (s->device != NULL && !fr_device_in_host_memory(s->device)) {
        fr_size_text((double)fr_device_most_used(s->device), text);
        fr_log(s->ctx, FR_LOG_DEBUG, "memory of the device: %s were used at most",
               text);
    }
}

/* Each rank computes with the best that its processor has. */
static fr_status make_device(fr_session *s, const fr_session_params *session)
{
    fr_share share;
    fr_device_params params = {.n_threads = 1,
                               .node_rank = fr_group_node_rank(s->world),
                               .own_products = session->own_products};
    FR_TRY(fr_group_agree(s->world, fr_device_settle(s->ctx, session->device,
                                                     params.node_rank, &params.kind)));
    s->device_kind = params.kind;
    FR_TRY(fr_rank_share(s->ctx, s->world, &share));
    FR_TRY(fr_group_agree(s->world, fr_rank_threads(s->ctx, &share, session->threads,
                                                    &params.n_threads)));
    (void)snprintf(s->layout, sizeof s->layout, "%dx%d, %d thread%s a rank",
                   s->grid.n_stages, s->grid.n_replicas, params.n_threads,
                   params.n_threads == 1 ? "" : "s");
    fr_status status = fr_device_create(s->ctx, &params, &s->device);
    if (status == FR_OK && fr_device_in_host_memory(s->device)) {
        s->host = s->device;
    } else if (status == FR_OK) {
        status = fr_device_create_host(s->ctx, params.n_threads, &s->host);
    }
    FR_TRY(fr_group_agree(s->world, status));
    FR_TRY(fr_group_agree_text(
        s->world, "the arithmetic", fr_device_arithmetic(s->device),
        "start the same Forerun on every rank, on devices of one kind"));
    return fr_group_agree(s->world, reserve(s, session->needs.bytes));
}

/* What the ranks compute with and were asked to compute with, for messages. */
static fr_status gather_variants(fr_session *s, char text[FR_VARIANTS_TEXT])
{
    fr_device_variant mine = fr_device_variant_of(s->device);
    fr_device_variant *ranks = NULL;
    FR_TRY(fr_variants_gather(s->ctx, s->world, &mine, &ranks));
    fr_variants_names(ranks, fr_group_size(s->world), s->variants);
    fr_variants_text(ranks, fr_group_size(s->world), text);
    free(ranks);
    return FR_OK;
}

static fr_status choose_layers(fr_session *s, double target_share)
{
    const fr_arch *arch = fr_weights_arch(s->weights);
    int64_t *bounds = NULL;
    FR_TRY(fr_alloc(s->ctx, s->grid.n_stages + 1, sizeof *bounds, &bounds));
    fr_split_layers(arch->n_layers, fr_head_cost(arch, target_share), s->grid.n_stages,
                    bounds);
    s->first_layer = bounds[s->grid.stage];
    s->n_layers = bounds[s->grid.stage + 1] - s->first_layer;
    free(bounds);
    return FR_OK;
}

static void log_offload(const fr_session *s, int64_t offload)
{
    if (offload > 0 && !fr_device_in_host_memory(s->device)) {
        fr_log(
            s->ctx, FR_LOG_INFO,
            "%lld of this rank's %lld layers stay in the host's memory and are copied "
            "to the device while it computes (base.offload)",
            (long long)offload, (long long)s->n_layers);
    }
}

static fr_dtype dtype_of(const fr_session_params *params)
{
    return params->precision == FR_PRECISION_BF16 ? FR_BF16 : FR_F32;
}

/* Each rank tries the shapes of its own stage, before it has weights, and where one is refused anywhere all ranks do without the
 * library. */
static fr_status settle_products(fr_session *s, const fr_session_params *params)
{
    const fr_arch *arch = fr_weights_arch(s->weights);
    fr_dtype dtype = dtype_of(params);
    fr_model_products all = fr_model_products_of(
        arch, dtype, fr_device_work(s->device, dtype), params->warmup_depth > 0);
    bool has_head = s->first_layer + s->n_layers == arch->n_layers;
    int64_t refused[FR_MODEL_PRODUCTS] = {0};
    FR_TRY(fr_group_agree(s->world,
                          fr_products_try(s->device, has_head ? all.n : all.n_of_layers,
                                          all.shapes, refused)));
    FR_TRY(fr_group_allreduce(s->world, FR_MAX, refused, all.n));
    return fr_group_agree(s->world,
                          fr_products_settle(s->device, all.n, all.shapes, refused));
}

static fr_status load_stage(fr_session *s, const fr_session_params *params,
                            fr_group *node)
{
    fr_stage_params stage = {.weights = s->weights,
                             .device = s->device,
                             .dtype = dtype_of(params),
                             .recompute = params->recompute,
                             .first_layer = s->first_layer,
                             .n_layers = s->n_layers,
                             .max_position = params->max_position,
                             .in_file = params->quantised,
                             .offload = params->needs.offload,
                             .node = node};
    FR_TRY(fr_stage_create(s->ctx, &stage, &s->stage));
    log_offload(s, params->needs.offload);
    fr_engine_params engine = {
        .grid = &s->grid,
        .stage = s->stage,
        .max_in_flight = fr_schedule_max_in_flight(s->grid.n_stages, s->grid.stage,
                                                   params->warmup_depth),
        .link = s->link,
        .sums = s->sums};
    return fr_engine_create(s->ctx, &engine, &s->engine);
}

/* The ranks of a node share their weights and the work on them. */
static fr_status load_weights(fr_session *s, const fr_session_params *params)
{
    fr_group *node = NULL;
    FR_TRY(fr_group_agree(s->world, fr_group_split_node(s->world, &node)));
    fr_status status = fr_group_agree(s->world, load_stage(s, params, node));
    if (status == FR_OK) {
        status = fr_identity_digest(s->ctx, s->weights, &s->grid, node, s->first_layer,
                                    s->n_layers, s->digest);
    }
    fr_group_destroy(&node);
    fr_weights_release(s->weights);
    return status;
}

/* Which of LongRoPE's factors a run has depends on its longest row, so two runs of one prefix can differ in it. */
static void log_long_rotation(const fr_session *s)
{
    const fr_rotation *rotation = &fr_weights_arch(s->weights)->rotation;
    if (rotation->long_from > 0) {
        fr_log(s->ctx, FR_LOG_INFO,
               "LongRoPE: the %s factors turn all rows, since prefix and rows take up "
               "to %lld positions and the short factors are for up to %lld",
               fr_stage_turns_long(s->stage) ? "long" : "short",
               (long long)fr_stage_max_position(s->stage),
               (long long)rotation->long_from);
    }
}

/* Nothing where ranks and stages follow each other, on as many nodes as there are whole replicas. */
static fr_status log_placement(const fr_session *s)
{
    char text[FR_PLACEMENT_TEXT];
    fr_placement placement;
    fr_status status = fr_placement_init(s->ctx, s->nodes, fr_group_size(s->world),
                                         s->grid.n_stages, &placement);
    FR_TRY(fr_group_agree(s->world, status));
    fr_placement_text(&placement, text);
    if (text[0] != '\0') {
        fr_log(s->ctx, FR_LOG_INFO, "%s", text);
    }
    fr_placement_fini(&placement);
    return FR_OK;
}

/* A base that is only evaluated sums nothing on its device. */
static fr_status settle_links(fr_session *s, const fr_session_params *params)
{
    fr_sums_wanted sums = {.asked = params->sums,
                           .kind = s->device_kind,
                           .is_shared = params->device_is_shared};
    FR_TRY(fr_link_settle(s->ctx, &s->grid, s->device, s->device_kind,
                          params->links != NULL ? params->links : "auto", &s->link));
    return params->sums != NULL
               ? fr_link_settle_sums(s->ctx, &s->grid, s->device, &sums, &s->sums)
               : FR_OK;
}

/* It does not change results, but a file says all that it was computed with. */
static void add_sums(fr_session *s)
{
    char name[FR_LINK_NAME_BYTES];
    size_t used = strlen(s->layout);
    if (s->sums != NULL) {
        fr_link_name_of_sums(s->sums, name);
        (void)snprintf(s->layout + used, sizeof s->layout - used, ", sums over %s",
                       name);
    }
}

fr_status fr_session_load(fr_session *session, const fr_session_params *params)
{
    char text[FR_VARIANTS_TEXT];
    fr_session *s = session;
    FR_TRY(fr_group_agree(s->world, fr_grid_init(s->ctx, s->world, s->nodes,
                                                 params->layout.n_stages,
                                                 params->layout.n_replicas, &s->grid)));
    FR_TRY(log_placement(s));
    FR_TRY(make_device(s, params));
    FR_TRY(settle_links(s, params));
    FR_TRY(gather_variants(s, text));
    FR_TRY(choose_layers(s, params->target_share));
    FR_TRY(settle_products(s, params));
    FR_TRY(load_weights(s, params));
    fr_log(s->ctx, FR_LOG_INFO, "base %s: %s", fr_weights_path(s->weights), s->shape);
    log_long_rotation(s);
    fr_log(s->ctx, FR_LOG_INFO, "layout %s (stages x replicas), %s%s, %s", s->layout,
           params->precision == FR_PRECISION_BF16 ? "bf16" : "f32",
           params->quantised ? ", weights as in the file" : "", text);
    add_sums(s);
    return FR_OK;
}

void fr_session_close(fr_session *session)
{
    log_most_used(session);
    fr_engine_destroy(&session->engine);
    fr_link_close(&session->sums);
    fr_stage_destroy(&session->stage);
    if (session->host != session->device) {
        fr_device_destroy(&session->host);
    }
    session->host = NULL;
    fr_device_destroy(&session->device);
    fr_grid_fini(&session->grid);
    fr_tokenizer_close(&session->tokenizer);
    fr_weights_close(&session->weights);
    free(session->nodes);
    session->nodes = NULL;
    free(session->no_tokenizer);
    session->no_tokenizer = NULL;
    free(session->shape);
    session->shape = NULL;
}
