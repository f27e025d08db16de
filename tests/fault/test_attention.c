#include "device/cpu/cpu.h"
#include "device/host.h"
#include "support/attention_case.h"
#include "support/devices.h"
#include "support/fault.h"
#include "support/suite.h"

static fr_status run_both_ways(fr_device *device, fr_attention_case *c)
{
    fr_attention_gradients gradients = {
        fr_host_view(c->dq),       fr_host_view(c->dk),       fr_host_view(c->dv),
        fr_host_f32(c->dprefix_k), fr_host_f32(c->dprefix_v), c->n_units};
    FR_TRY(fr_attention(device, &c->params, fr_host_view(c->q), fr_host_view(c->k),
                        fr_host_view(c->v), fr_host_view(c->o), fr_host_f32(c->lse)));
    return fr_attention_back(device, &c->params, fr_host_view(c->q), fr_host_view(c->k),
                             fr_host_view(c->v), fr_host_view(c->o),
                             fr_host_f32(c->lse), fr_host_view(c->d_o), &gradients);
}

static fr_attention_case *make_case(void)
{
    return fr_attention_case_create(&fr_attention_shapes[0],
                                    fr_training_layouts[1].n_segments,
                                    fr_training_layouts[1].segments);
}

static fr_status run_on_new_device(fr_ctx *ctx, void *argument)
{
    fr_device *device = NULL;
    fr_status status = fr_cpu_create(ctx, 1, fr_isa_detect(), &device);
    if (status == FR_OK) {
        status = run_both_ways(device, argument);
    }
    fr_device_destroy(&device);
    return status;
}

static void lack_of_memory_is_reported_and_leaks_nothing(void)
{
    fr_attention_case *c = make_case();
    int n_disturbed = fr_fault_sweep("attention", run_on_new_device, c);
    CU_ASSERT(n_disturbed >= 3); /* the device and both directions' scratch */
    fr_attention_case_destroy(&c);
}

/** A device that has served the case before. */
typedef struct warm_device {
    fr_device *device;
    fr_attention_case *served;
} warm_device;

static fr_status run_on_warm_device(fr_ctx *ctx, void *argument)
{
    (void)ctx;
    const warm_device *warm = argument;
    return run_both_ways(warm->device, warm->served);
}

static void later_calls_of_the_same_size_allocate_nothing(void)
{
    warm_device warm = {fr_test_device(fr_isa_detect(), 2), make_case()};
    FR_ASSERT_OK(run_both_ways(warm.device, warm.served));
    fr_fault_outcome outcome =
        fr_fault_run(fr_test_ctx(), 1, run_on_warm_device, &warm);
    CU_ASSERT_EQUAL(outcome.status, FR_OK);
    CU_ASSERT(!outcome.fired);
    fr_device_destroy(&warm.device);
    fr_attention_case_destroy(&warm.served);
}

static const fr_case CASES[] = {
    FR_CASE(lack_of_memory_is_reported_and_leaks_nothing),
    FR_CASE(later_calls_of_the_same_size_allocate_nothing),
};

int main(int argc, char **argv)
{
    return fr_suite_main("fault_attention", CASES, FR_N_CASES(CASES), argc, argv);
}
