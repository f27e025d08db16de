/* Activations: which kernel has an operator's types, and how its threads share the rows (wide.h). */
#include "device/cuda/operators.h"
#include "device/cuda/wide.h"

/* Start a kernel over rows of gate and up. `a` lacks how the row is shared; `saved` has the type of the first view if nothing is
 * kept apart. */
static void start_rows(fr_device *device, unsigned kernel, fr_view x, fr_view saved,
                       fr_gated_arguments *a)
{
    int64_t side = fr_cuda_side(x, saved);
    a->wide = a->width % side == 0 && fr_cuda_aligned(a->gate_up) &&
              fr_cuda_aligned(a->saved) && fr_cuda_aligned(a->dy) &&
              fr_cuda_aligned(a->out);
    fr_cuda_start start = fr_cuda_share_rows(kernel, a->n_tokens,
                                             a->wide != 0 ? a->width / side : a->width);
    a->step = fr_cuda_row_step(&start);
    fr_cuda_launch(device, &start, a);
}

void fr_cuda_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                   int64_t width, fr_view gate_up, fr_view y)
{
    fr_gated_arguments a = {.gate_up = gate_up.at,
                            .out = y.at,
                            .n_tokens = n_tokens,
                            .width = width,
                            .activation = (int32_t)activation};
    start_rows(device, FR_KERNEL_gated_0 + fr_cuda_digits_1(y), y, y, &a);
}

void fr_cuda_gated_back(fr_device *device, fr_activation activation, int64_t n_tokens,
                        int64_t width, fr_view gate_up, fr_view dy, fr_view dgate_up)
{
    fr_gated_arguments a = {.gate_up = gate_up.at,
                            .dy = dy.at,
                            .out = dgate_up.at,
                            .n_tokens = n_tokens,
                            .width = width,
                            .activation = (int32_t)activation};
    start_rows(device, FR_KERNEL_gated_back_0 + fr_cuda_digits_1(dy), dy, dy, &a);
}

void fr_cuda_save_gated(fr_device *device, fr_activation activation, int64_t n_tokens,
                        int64_t width, fr_view gate_up, fr_view saved, fr_view y)
{
    fr_gated_arguments a = {.gate_up = gate_up.at,
                            .saved = saved.at,
                            .out = y.at,
                            .n_tokens = n_tokens,
                            .width = width,
                            .activation = (int32_t)activation};
    start_rows(device, FR_KERNEL_save_gated_00 + fr_cuda_digits_2(y, saved), y, saved,
               &a);
}

void fr_cuda_restore_gated_back(fr_device *device, fr_activation activation,
                                int64_t n_tokens, int64_t width, fr_view saved,
                                fr_view dy, fr_view dgate_up)
{
    fr_gated_arguments a = {.saved = saved.at,
                            .dy = dy.at,
                            .out = dgate_up.at,
                            .n_tokens = n_tokens,
                            .width = width,
                            .activation = (int32_t)activation};
    start_rows(device, FR_KERNEL_restore_gated_back_00 + fr_cuda_digits_2(saved, dy),
               dy, saved, &a);
}

static void start_run(fr_device *device, unsigned kernel, fr_view x,
                      fr_activate_arguments *a)
{
    bool wide =
        fr_cuda_aligned(a->x) && fr_cuda_aligned(a->dy) && fr_cuda_aligned(a->out);
    a->n_groups = wide ? a->n / fr_cuda_side(x, x) : 0;
    fr_cuda_start start = fr_cuda_share(kernel, a->n, a->n_groups);
    fr_cuda_launch(device, &start, a);
}

void fr_cuda_activate(fr_device *device, fr_activation activation, int64_t n, fr_view x,
                      fr_view y)
{
    fr_activate_arguments a = {
        .x = x.at, .out = y.at, .n = n, .activation = (int32_t)activation};
    start_run(device, FR_KERNEL_activate_0 + fr_cuda_digits_1(x), x, &a);
}

void fr_cuda_activate_back(fr_device *device, fr_activation activation, int64_t n,
                           fr_view x, fr_view dy, fr_view dx)
{
    fr_activate_arguments a = {.x = x.at,
                               .dy = dy.at,
                               .out = dx.at,
                               .n = n,
                               .activation = (int32_t)activation};
    start_run(device, FR_KERNEL_activate_back_0 + fr_cuda_digits_1(x), x, &a);
}
