/* Which kind of device "auto" means: the first of the list that is installed and says what it is, else the last. The program
 * has a list of its own: a kind that is not the CPU, and the CPU. */
#include "device/backends.h"
#include "device/cpu/cpu.h"
#include "device/kinds.h"
#include "support/suite.h"

#include <stdbool.h>

static struct {
    bool is_installed;
    bool is_wrong; /* its environment */
    int n_asked;   /* for its facts */
    int node_rank; /* for which it was asked */
    fr_status facts;
} other;

static bool is_installed(void)
{
    return other.is_installed;
}

static fr_status check(fr_ctx *ctx)
{
    return other.is_wrong ? FR_FAIL(ctx, FR_ERR_ARG, "a wrong environment") : FR_OK;
}

static fr_status facts(fr_ctx *ctx, int node_rank, fr_device_facts *out)
{
    other.n_asked++;
    other.node_rank = node_rank;
    *out = (fr_device_facts){.bytes = 7, .which = "number 3"};
    return other.facts == FR_OK ? FR_OK : FR_FAIL(ctx, other.facts, "it is too old");
}

static fr_status create(fr_ctx *ctx, const fr_device_params *params, fr_device **out)
{
    *out = NULL;
    return FR_FAIL(ctx, FR_ERR_DEVICE, "made for rank %d of the node",
                   params->node_rank);
}

static int64_t products_bytes(fr_ctx *ctx)
{
    (void)ctx;
    return 11;
}

static const fr_backend OTHER = {"other", check,  is_installed,
                                 facts,   create, products_bytes};
const fr_backend *const fr_backends[] = {&OTHER, &fr_cpu_backend, NULL};

static const char *settled(const char *asked)
{
    const char *kind = NULL;
    FR_ASSERT_OK(fr_device_settle(fr_test_ctx(), asked, 2, &kind));
    return kind;
}

static void auto_takes_the_first_that_is_here(void)
{
    other.is_installed = true;
    other.facts = FR_OK;
    CU_ASSERT_STRING_EQUAL(settled("auto"), "other");
    CU_ASSERT_EQUAL(other.node_rank, 2);
    CU_ASSERT_STRING_EQUAL(settled("cpu"), "cpu");
}

static void auto_passes_over_what_cannot_be_used(void)
{
    other.is_installed = false;
    other.n_asked = 0;
    CU_ASSERT_STRING_EQUAL(settled("auto"), "cpu");
    CU_ASSERT_EQUAL(other.n_asked, 0);
    other.is_installed = true;
    other.facts = FR_ERR_UNSUPPORTED;
    CU_ASSERT_STRING_EQUAL(settled("auto"), "cpu");
    CU_ASSERT_STRING_EQUAL(fr_ctx_error(fr_test_ctx()), "");
}

static void a_kind_by_name_is_not_replaced(void)
{
    fr_device_facts got;
    fr_device *device = NULL;
    fr_device_params params = {.kind = "other", .n_threads = 1, .node_rank = 5};
    other.is_installed = true;
    other.facts = FR_ERR_UNSUPPORTED;
    CU_ASSERT_STRING_EQUAL(settled("other"), "other");
    FR_ASSERT_FAILS(fr_device_facts_of(fr_test_ctx(), "other", 0, &got),
                    FR_ERR_UNSUPPORTED, "it is too old");
    FR_ASSERT_FAILS(fr_device_create(fr_test_ctx(), &params, &device), FR_ERR_DEVICE,
                    "made for rank 5 of the node");
    FR_ASSERT_FAILS(fr_device_check_kind(fr_test_ctx(), "run.device", "third"),
                    FR_ERR_CONFIG, "set it to auto or other or cpu");
}

static void facts_are_of_the_kind_that_is_meant(void)
{
    fr_device_facts got;
    other.is_installed = true;
    other.facts = FR_OK;
    FR_ASSERT_OK(fr_device_facts_of(fr_test_ctx(), "auto", 0, &got));
    CU_ASSERT_FALSE(got.in_host_memory);
    CU_ASSERT_STRING_EQUAL(got.which, "number 3");
    FR_ASSERT_OK(fr_device_facts_of(fr_test_ctx(), "cpu", 0, &got));
    CU_ASSERT_TRUE(got.in_host_memory);
    CU_ASSERT_STRING_EQUAL(got.which, "");
    CU_ASSERT_EQUAL(fr_device_products_bytes(fr_test_ctx(), "other"), 11);
    CU_ASSERT_EQUAL(fr_device_products_bytes(fr_test_ctx(), "cpu"), 0);
}

static void auto_checks_every_environment_and_looks_for_nothing(void)
{
    other.n_asked = 0;
    other.is_wrong = true;
    FR_ASSERT_FAILS(fr_device_check_kind(fr_test_ctx(), "the device", "auto"),
                    FR_ERR_ARG, "a wrong environment");
    FR_ASSERT_OK(fr_device_check_kind(fr_test_ctx(), "the device", "cpu"));
    other.is_wrong = false;
    FR_ASSERT_OK(fr_device_check_kind(fr_test_ctx(), "the device", "auto"));
    CU_ASSERT_EQUAL(other.n_asked, 0);
}

int main(int argc, char **argv)
{
    static const fr_case CASES[] = {
        FR_CASE(auto_takes_the_first_that_is_here),
        FR_CASE(auto_passes_over_what_cannot_be_used),
        FR_CASE(a_kind_by_name_is_not_replaced),
        FR_CASE(facts_are_of_the_kind_that_is_meant),
        FR_CASE(auto_checks_every_environment_and_looks_for_nothing),
    };
    return fr_suite_main("kinds", CASES, FR_N_CASES(CASES), argc, argv);
}
