/* Nats of single examples where sources are shared. */
#include "support/rows.h"
#include "train/session/session.h"
#include "train/step/evaluate.h"

#include <stdio.h>
#include <string.h>

enum { N_DIALOGUES = 4, MAX_TOKENS = 256 };

/* 0 and 3 differ in their last answer alone; the answer before it is in the loss too. */
static const char *const DIALOGUES[N_DIALOGUES] = {
    "{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
    "{\"role\":\"assistant\",\"content\":\"abc\"},{\"role\":\"user\",\"content\":\"v\"}"
    ","
    "{\"role\":\"assistant\",\"content\":\"xyz\"}]}\n",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"w\"},"
    "{\"role\":\"assistant\",\"content\":\"d\"}]}\n",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
    "{\"role\":\"assistant\",\"content\":\"ab\"},{\"role\":\"user\",\"content\":\"v\"},"
    "{\"role\":\"assistant\",\"content\":\"xyz\"}]}\n",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
    "{\"role\":\"assistant\",\"content\":\"abc\"},{\"role\":\"user\",\"content\":\"v\"}"
    ","
    "{\"role\":\"assistant\",\"content\":\"e\"}]}\n",
};

static void open_session(fr_group *world, fr_session *out)
{
    fr_session_params params = {.device = "auto",
                                .layout = {1, 1},
                                .precision = FR_PRECISION_F32,
                                .threads = 1,
                                .max_position = MAX_TOKENS,
                                .target_share = 0.5};
    FR_ASSERT_OK(
        fr_session_open(fr_test_ctx(), world, fr_test_data("golden/tiny_llama"), out));
    FR_ASSERT_OK(fr_session_load(out, &params));
}

/* Evaluate rows in microbatches of a few tokens; returns the sum of nats. */
static double evaluate(fr_session *s, const fr_tokenizer *tokenizer, const char *rows,
                       double *nll)
{
    static const fr_stage_prefix NONE = {0};
    fr_task_env env = {.ctx = fr_test_ctx(), .arch = fr_weights_arch(s->weights)};
    fr_data_params params = fr_test_text_params(fr_test_rows(rows), tokenizer);
    fr_dataset *data = NULL;
    fr_evaluation result = {0};
    params.template_text = NULL;
    params.chat = true;
    params.max_tokens = MAX_TOKENS;
    FR_ASSERT_OK(fr_dataset_open(fr_test_ctx(), &params, &data));
    FR_ASSERT_OK(
        fr_evaluate(&env, &s->grid, s->engine, data, &NONE, 100, nll, &result));
    fr_dataset_close(&data);
    return result.loss * (double)result.n_targets;
}

static void nats_of_a_dialogue_do_not_depend_on_the_others(void)
{
    fr_letters how = {.chat_template = FR_TEST_CHATML};
    fr_tokenizer *tokenizer = fr_test_letters(&how);
    fr_session session;
    fr_group *world = NULL;
    double together[N_DIALOGUES];
    double alone = 0.0;
    double sum = 0.0;
    char all[2048] = "";
    FR_ASSERT_OK(fr_group_create_self(fr_test_ctx(), &world));
    open_session(world, &session);
    for (int i = 0; i < N_DIALOGUES; i++) {
        (void)strcat(all, DIALOGUES[i]);
    }
    double whole = evaluate(&session, tokenizer, all, together);
    for (int i = 0; i < N_DIALOGUES; i++) {
        sum += evaluate(&session, tokenizer, DIALOGUES[i], &alone);
        CU_ASSERT_EQUAL(together[i], alone);
    }
    CU_ASSERT_DOUBLE_EQUAL(whole, sum, 1e-9);
    fr_session_close(&session);
    fr_group_destroy(&world);
    fr_tokenizer_close(&tokenizer);
}

static const fr_case CASES[] = {
    FR_CASE(nats_of_a_dialogue_do_not_depend_on_the_others),
};

int main(int argc, char **argv)
{
    return fr_suite_main("evaluate", CASES, FR_N_CASES(CASES), argc, argv);
}
