/*
 * Layers that stay on the host: their memory there, the two slots of the device, and which layer is copied when.
 *
 * What always holds: a slot's layer is replaced only behind the call that asked for the last work with it (fr_offload_end, or the
 * beginning of a pass), which fr_device_ahead counts from; and work with a slot is asked only when its copies were awaited.
 */
#include "model/network/offload.h"

#include "base/integer.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Of the parts of matrices, as a pool of memory has it: what kernels read in one piece is never split. */
enum { ALIGNMENT = 256, MATRICES = 4 };

struct fr_offload_layer {
    char *host;
    int64_t bytes;
};

fr_offload fr_offload_of(fr_ctx *ctx, fr_device *device, int64_t n, int64_t n_layers)
{
    fr_offload out = {.ctx = ctx,
                      .device = device,
                      .n = fr_device_in_host_memory(device) ? 0 : n,
                      .n_layers = n_layers};
    for (int slot = 0; slot < FR_AHEAD_SLOTS; slot++) {
        out.in[slot] = -1;
    }
    return out;
}

void fr_offload_fini(fr_offload *offload)
{
    fr_offload *o = offload;
    for (int slot = 0; slot < FR_AHEAD_SLOTS; slot++) {
        if (o->slots[slot] != NULL) {
            fr_device_await(o->device, slot);
            fr_device_free(o->device, o->slots[slot]);
        }
    }
    for (int64_t k = 0; k < o->n_added; k++) {
        fr_host_free(o->device, o->layers[k].host);
    }
    free(o->layers);
    *o = (fr_offload){0};
}

/* ---- loading ------------------------------------------------------------------------------------ */

int64_t fr_offload_bytes(int64_t bytes)
{
    return fr_round_up(bytes, ALIGNMENT);
}

static void list_matrices(fr_layer *layer, fr_matrix *out[MATRICES])
{
    out[0] = &layer->qkv;
    out[1] = &layer->o;
    out[2] = &layer->up;
    out[3] = &layer->down;
}

static int64_t bytes_of(fr_layer *layer)
{
    fr_matrix *matrices[MATRICES];
    int64_t bytes = 0;
    list_matrices(layer, matrices);
    for (int i = 0; i < MATRICES; i++) {
        for (int p = 0; p < matrices[i]->n_parts; p++) {
            bytes += fr_offload_bytes(
                fr_constants_part_bytes(matrices[i], &matrices[i]->parts[p]));
        }
    }
    return bytes;
}

fr_status fr_offload_add(fr_offload *offload, fr_layer *layer)
{
    fr_offload *o = offload;
    fr_matrix *matrices[MATRICES];
    if (o->layers == NULL) {
        FR_TRY(fr_alloc(o->ctx, o->n, sizeof *o->layers, &o->layers));
    }
    struct fr_offload_layer *added = &o->layers[o->n_added];
    added->bytes = bytes_of(layer);
    FR_TRY(fr_host_alloc(o->device, added->bytes, 1, &added->host));
    o->n_added++;
    char *at = added->host;
    list_matrices(layer, matrices);
    for (int i = 0; i < MATRICES; i++) {
        for (int p = 0; p < matrices[i]->n_parts; p++) {
            fr_matrix_part *part = &matrices[i]->parts[p];
            int64_t bytes = fr_constants_part_bytes(matrices[i], part);
            memcpy(at, part->rows, (size_t)bytes);
            part->rows = at;
            at += fr_offload_bytes(bytes);
        }
    }
    o->slot_bytes = fr_max(o->slot_bytes, added->bytes);
    return FR_OK;
}

fr_status fr_offload_open(fr_offload *offload)
{
    fr_offload *o = offload;
    for (int slot = 0; slot < FR_AHEAD_SLOTS && slot < o->n; slot++) {
        FR_TRY(fr_device_alloc(o->device, o->slot_bytes, 1, &o->slots[slot]));
    }
    return FR_OK;
}

/* ---- what is where ------------------------------------------------------------------------------ */

/* The slot of a layer; -1: it is in none. */
static int slot_of(const fr_offload *o, int64_t k)
{
    int slot = FR_AHEAD_SLOTS - 1;
    while (slot >= 0 && o->in[slot] != k) {
        slot--;
    }
    return slot;
}

static void fetch(fr_offload *o, int64_t k, int slot)
{
    const struct fr_offload_layer *layer = &o->layers[k];
    fr_device_ahead(o->device, slot, o->slots[slot], layer->host, layer->bytes);
    o->in[slot] = k;
    o->has_arrived[slot] = false;
}

/* The two layers that are used next, the first of them before the other, get to the slots if they are not there. */
static void want(fr_offload *o, int64_t first, int64_t second)
{
    if (slot_of(o, first) < 0) {
        fetch(o, first, o->in[0] == second && first != second ? 1 : 0);
    }
    if (slot_of(o, second) < 0) {
        fetch(o, second, 1 - slot_of(o, first));
    }
}

static fr_offload_way next(const fr_offload *o, fr_offload_way way)
{
    if (way.at == way.last) {
        return o->then;
    }
    way.at += way.step;
    return way;
}

/* ---- passes ------------------------------------------------------------------------------------- */

void fr_offload_forward(fr_offload *offload, bool is_kept)
{
    fr_offload *o = offload;
    if (o->n > 0) {
        int64_t top = o->n - 1;
        o->now = (fr_offload_way){0, top, 1};
        o->then = is_kept ? (fr_offload_way){top, 0, -1} : o->now;
        want(o, 0, next(o, o->now).at);
    }
}

void fr_offload_backward(fr_offload *offload, int64_t lowest)
{
    fr_offload *o = offload;
    int64_t last = o->n > 0 ? lowest * o->n / o->n_layers : 0; /* of those that stay */
    if (last < o->n) {
        o->now = (fr_offload_way){o->n - 1, last, -1};
        o->then = (fr_offload_way){0, o->n - 1, 1};
        want(o, o->now.at, next(o, o->now).at);
    }
}

fr_layer fr_offload_begin(fr_offload *offload, int64_t index, const fr_layer *layer)
{
    fr_offload *o = offload;
    fr_layer out = *layer;
    fr_matrix *matrices[MATRICES];
    if (!fr_offload_has(o, index)) {
        return out;
    }
    int slot =
        slot_of(o, o->now.at); /* a pass begins, and goes on, with its layer there */
    if (!o->has_arrived[slot]) {
        fr_device_await(o->device, slot);
        o->has_arrived[slot] = true;
    }
    const char *host = o->layers[o->now.at].host;
    list_matrices(&out, matrices);
    for (int i = 0; i < MATRICES; i++) {
        for (int p = 0; p < matrices[i]->n_parts; p++) {
            fr_matrix_part *part = &matrices[i]->parts[p];
            part->rows = o->slots[slot] + ((const char *)part->rows - host);
        }
    }
    return out;
}

void fr_offload_end(fr_offload *offload, int64_t index)
{
    fr_offload *o = offload;
    if (fr_offload_has(o, index)) {
        fr_offload_way first = next(o, o->now);
        o->now = first;
        want(o, first.at, next(o, first).at);
    }
}
