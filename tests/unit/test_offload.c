/*
 * Which layer that stays on the host is copied when: over a device that does nothing but note copies ahead, whose targets hold
 * rubbish until they are awaited.
 */
#include "device/backend.h"
#include "model/network/offload.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_COPIES = 8, MOST_LAYERS = 16, WIDTH = 5, RUBBISH = 0x6B };

typedef struct copy {
    int slot;
    void *to;
    const void *from;
    int64_t bytes;
} copy;

typedef struct noting {
    fr_device base; /* first */
    copy copies[MOST_COPIES];
    int n_copies;                 /* not awaited yet */
    int n_asked;                  /* ever */
    int n_works;                  /* layers that were computed with */
    int asked_at[FR_AHEAD_SLOTS]; /* n_works when the slot's last copy was asked for */
    int n_waits; /* times that no work lay between a copy and its use */
} noting;

static fr_status take(fr_device *device, int64_t bytes, void **out)
{
    (void)device;
    *out = calloc(1, (size_t)bytes);
    return FR_OK;
}

static void give(fr_device *device, void *memory)
{
    (void)device;
    free(memory);
}

static void ahead(fr_device *device, int slot, void *to, const void *from,
                  int64_t bytes)
{
    noting *d = (noting *)device;
    CU_ASSERT_FATAL(d->n_copies < MOST_COPIES);
    d->copies[d->n_copies++] = (copy){slot, to, from, bytes};
    d->n_asked++;
    d->asked_at[slot] = d->n_works;
    memset(to, RUBBISH, (size_t)bytes);
}

static void await(fr_device *device, int slot)
{
    noting *d = (noting *)device;
    int n = 0;
    d->n_waits += d->asked_at[slot] == d->n_works;
    for (int i = 0; i < d->n_copies; i++) {
        const copy *c = &d->copies[i];
        if (c->slot == slot) {
            memcpy(c->to, c->from, (size_t)c->bytes);
        } else {
            d->copies[n++] = *c;
        }
    }
    d->n_copies = n;
}

static const fr_device_ops OPS = {.alloc = take,
                                  .free = give,
                                  .host_alloc = take,
                                  .host_free = give,
                                  .ahead = ahead,
                                  .await = await};

/* ---- a stage ------------------------------------------------------------------------------------- */

typedef struct stage {
    noting device;
    int64_t n_layers;
    float numbers[MOST_LAYERS][4][2][WIDTH]; /* of a layer's four matrices */
    fr_layer layers[MOST_LAYERS];
    fr_offload offload;
} stage;

static void make_layer(stage *s, int64_t i)
{
    fr_layer *layer = &s->layers[i];
    fr_matrix *matrices[] = {&layer->qkv, &layer->o, &layer->up, &layer->down};
    for (int m = 0; m < 4; m++) {
        for (int64_t k = 0; k < 2 * (int64_t)WIDTH; k++) {
            s->numbers[i][m][k / WIDTH][k % WIDTH] = (float)(100 * i + 10 * m + k);
        }
        *matrices[m] = fr_matrix_of(s->numbers[i][m], FR_F32, 2, WIDTH);
    }
    /* one in two parts of a row each */
    layer->up.n_parts = 2;
    layer->up.parts[0].n_rows = 1;
    layer->up.parts[1] = layer->up.parts[0];
    layer->up.parts[1].rows = s->numbers[i][2][1];
}

static stage *make_stage(int64_t n_layers, int64_t n)
{
    stage *s = calloc(1, sizeof *s);
    s->device.base = (fr_device){.ops = &OPS, .ctx = fr_test_ctx()};
    s->n_layers = n_layers;
    s->offload = fr_offload_of(fr_test_ctx(), &s->device.base, n, n_layers);
    int64_t n_taken = 0;
    for (int64_t i = 0; i < n_layers; i++) {
        make_layer(s, i);
        if (fr_offload_has(&s->offload, i)) {
            FR_ASSERT_OK(fr_offload_add(&s->offload, &s->layers[i]));
            n_taken++;
        }
    }
    CU_ASSERT_EQUAL(n_taken, n);
    FR_ASSERT_OK(fr_offload_open(&s->offload));
    return s;
}

static void free_stage(stage *s)
{
    fr_offload_fini(&s->offload);
    free(s);
}

static void check_part(const fr_matrix_part *part, const float *wanted)
{
    fr_assert_same_bytes("rows", part->rows, wanted,
                         (size_t)part->n_rows * WIDTH * sizeof *wanted);
}

/* The layer is whole while it is computed with, even if the other slot is filled. */
static void use(stage *s, int64_t i)
{
    fr_layer layer = fr_offload_begin(&s->offload, i, &s->layers[i]);
    check_part(&layer.qkv.parts[0], s->numbers[i][0][0]);
    check_part(&layer.o.parts[0], s->numbers[i][1][0]);
    check_part(&layer.up.parts[0], s->numbers[i][2][0]);
    check_part(&layer.up.parts[1], s->numbers[i][2][1]);
    check_part(&layer.down.parts[0], s->numbers[i][3][0]);
    s->device.n_works++;
    fr_offload_end(&s->offload, i);
}

static void forward(stage *s, bool is_kept)
{
    fr_offload_forward(&s->offload, is_kept);
    for (int64_t i = 0; i < s->n_layers; i++) {
        use(s, i);
    }
}

static void backward(stage *s, int64_t lowest)
{
    fr_offload_backward(&s->offload, lowest);
    for (int64_t i = s->n_layers - 1; i >= lowest; i--) {
        use(s, i);
    }
}

/* ---- tests --------------------------------------------------------------------------------------- */

/* The last two layers of a forward pass are there when the backward pass begins with them, and the other way round. */
static void passes_that_turn_round_copy_all_but_two_layers(void)
{
    for (int64_t n = 1; n <= 8; n++) {
        stage *s = make_stage(8, n);
        forward(s, true);
        CU_ASSERT_EQUAL(s->device.n_asked, n);
        for (int i = 1; i <= 6; i++) {
            if (i % 2 == 1) {
                backward(s, 0);
            } else {
                forward(s, true);
            }
            CU_ASSERT_EQUAL(s->device.n_asked, n + (n > 2 ? i * (n - 2) : 0));
        }
        CU_ASSERT_EQUAL(s->device.n_waits, n == 8); /* for the very first layer */
        free_stage(s);
    }
}

static void forward_passes_begin_with_what_the_one_before_fetched(void)
{
    for (int64_t n = 1; n <= 8; n++) {
        enum { PASSES = 5 };
        stage *s = make_stage(8, n);
        for (int i = 0; i < PASSES; i++) {
            forward(s, false);
        }
        /* and the first two for a sixth */
        CU_ASSERT_EQUAL(s->device.n_asked, n > 2 ? PASSES * n + 2 : n);
        CU_ASSERT_EQUAL(s->device.n_waits, n == 8);
        free_stage(s);
    }
}

static void a_backward_pass_may_end_early(void)
{
    for (int64_t lowest = 0; lowest <= 8; lowest++) {
        stage *s = make_stage(8, 8);
        for (int i = 0; i < 3; i++) {
            forward(s, lowest < 8);
            backward(s, lowest);
        }
        CU_ASSERT_EQUAL(s->device.n_waits, 1);
        free_stage(s);
    }
}

/* In any order every layer is what it is. */
static void any_passes_find_their_layers(void)
{
    uint64_t random = 5;
    for (int64_t n = 1; n <= 11; n++) {
        stage *s = make_stage(11, n);
        for (int i = 0; i < 60; i++) {
            random = random * 6364136223846793005ULL + 1442695040888963407ULL;
            uint64_t draw = random >> 40;
            if (draw % 2 == 0) {
                forward(s, draw % 4 == 0);
            } else {
                backward(s, (int64_t)(draw / 4 % 12));
            }
        }
        free_stage(s);
    }
}

static void layers_that_stay_are_spread(void)
{
    for (int64_t n = 0; n <= 12; n++) {
        int64_t last = -1;
        int64_t count = 0;
        for (int64_t i = 0; i < 12; i++) {
            if (fr_offload_takes(n, 12, i)) {
                CU_ASSERT(i - last <= (12 + n - 1) / n);
                last = i;
                count++;
            }
        }
        CU_ASSERT_EQUAL(count, n);
    }
}

static const fr_case CASES[] = {
    FR_CASE(passes_that_turn_round_copy_all_but_two_layers),
    FR_CASE(forward_passes_begin_with_what_the_one_before_fetched),
    FR_CASE(a_backward_pass_may_end_early),
    FR_CASE(any_passes_find_their_layers),
    FR_CASE(layers_that_stay_are_spread),
};

int main(int argc, char **argv)
{
    return fr_suite_main("offload", CASES, FR_N_CASES(CASES), argc, argv);
}
