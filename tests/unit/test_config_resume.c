#include "train/config/config.h"

#include "support/model_files.h"

#include <stdlib.h>

static const char BASE[] =
    "base: {path: m.gguf}\n"
    "run: {dir: out, steps: 50}\n"
    "tasks:\n"
    "- {name: a, train: a.jsonl, template: \"{target}\", prefix: {init: {text: "
    "hello}}}\n"
    "- {name: b, train: b.jsonl, chat: true, prefix: {init: {zero: true}, length: 8},\n"
    "   optimizer: {schedule: cosine}, steps: 20}\n"
    "- {name: c, train: c, valid: v, prefix: {init: {text: x}}}\n";

static fr_config *read_with(const char *set)
{
    fr_config *config = NULL;
    const char *path = fr_test_path(fr_test_folder(), "x.yaml");
    fr_test_write_text(path, BASE);
    FR_ASSERT_OK(fr_config_read(fr_test_ctx(), path, &set, set != NULL, &config));
    CU_ASSERT_PTR_NOT_NULL_FATAL(config);
    return config;
}

/* Resume a run of `saved_set` with `now_set`, which must fail with `part` (NULL: succeed). */
static void resume(const char *saved_set, const char *now_set, const char *part)
{
    fr_config *saved = read_with(saved_set);
    fr_config *now = read_with(now_set);
    fr_status status = fr_config_check_resume(fr_test_ctx(), saved, now);
    if (part != NULL) {
        FR_ASSERT_FAILS(status, FR_ERR_CHECKPOINT, part);
    } else {
        FR_ASSERT_OK(status);
    }
    fr_config_destroy(&saved);
    fr_config_destroy(&now);
}

static void equal_configs_resume(void)
{
    resume(NULL, NULL, NULL);
}

static void epochs_resume_as_steps_do(void)
{
    resume("tasks.a.epochs=2", "tasks.a.epochs=2", NULL);
    resume("tasks.a.epochs=2", "tasks.a.epochs=3", NULL);
    resume("tasks.a.epochs=3", "tasks.a.epochs=2", "tasks.a.epochs was 3 in the run");
    resume(NULL, "tasks.a.epochs=3", "tasks.a was counted in steps");
    resume("tasks.a.epochs=3", NULL, "tasks.a was counted in epochs");
}

static void written_config_resumes(void)
{
    fr_config *saved = NULL;
    fr_config *now = read_with(NULL);
    char *text = NULL;
    FR_ASSERT_OK(fr_config_write(fr_test_ctx(), now, &text));
    FR_ASSERT_OK(fr_config_parse(fr_test_ctx(), "checkpoint", text, &saved));
    CU_ASSERT_PTR_NOT_NULL_FATAL(saved);
    FR_ASSERT_OK(fr_config_check_resume(fr_test_ctx(), saved, now));
    fr_config_destroy(&saved);
    fr_config_destroy(&now);
    free(text);
}

static void free_keys_may_change(void)
{
    static const char *const SETS[] = {"base.path=other.gguf",
                                       "base.weights=quantised",
                                       "base.offload=7",
                                       "run.dir=elsewhere",
                                       "run.stages=2",
                                       "run.replicas=4",
                                       "run.threads=3",
                                       "run.device=cpu",
                                       "run.links=staged",
                                       "run.sums=staged",
                                       "run.save_every=9",
                                       "run.keep=7",
                                       "run.valid_every=3",
                                       "run.log_every=2",
                                       "run.nonfinite_limit=1",
                                       "run.timeout=9",
                                       "run.warmup_depth=2",
                                       "run.recompute=layer",
                                       "tasks.c.patience=1",
                                       "tasks.c.stop_below=1.5",
                                       "tasks.a.train=moved.jsonl",
                                       "tasks.a.valid=v.jsonl",
                                       "tasks.a.valid_rows=10",
                                       "tasks.a.batch.microbatch_tokens=9"};
    for (size_t i = 0; i < sizeof SETS / sizeof SETS[0]; i++) {
        resume(NULL, SETS[i], NULL);
    }
}

static void identity_keys_must_match(void)
{
    static const struct {
        const char *set;
        const char *part;
    } CASES[] = {
        {"run.seed=2", "run.seed was 1 in the run that is resumed and is 2 now"},
        {"run.precision=f32", "run.precision was bf16"},
        {"tasks.a.seed=2", "tasks.a.seed was 1 in the run"},
        {"tasks.a.template={target}!",
         "tasks.a.template was \"{target}\" in the run that is resumed and is "
         "\"{target}!\" now"},
        {"tasks.a.eos=false", "tasks.a.eos was true"},
        {"tasks.a.special=true", "tasks.a.special was false"},
        {"tasks.b.loss=last", "tasks.b.loss was all"},
        {"tasks.a.long_rows=cut", "tasks.a.long_rows was drop"},
        {"tasks.a.max_tokens=64", "tasks.a.max_tokens was auto"},
        {"tasks.a.prefix.length=2", "tasks.a.prefix.length was auto"},
        {"tasks.b.prefix.freeze_first=true", "tasks.b.prefix.freeze_first was false"},
        {"tasks.a.prefix.window=slides",
         "tasks.a.prefix.window was always in the run that is resumed and is slides "
         "now; restore it or start another run.dir"},
        {"tasks.a.prefix.mlp.hidden=8", "tasks.a.prefix.mlp.hidden was 0"},
        {"tasks.a.prefix.layers.first=1", "tasks.a.prefix.layers.first was 0"},
        {"tasks.a.prefix.layers.count=1", "tasks.a.prefix.layers.count was auto"},
        {"tasks.a.prefix.init.text=bye", "tasks.a.prefix.init.text was \"hello\""},
        {"tasks.b.prefix.init.random=1", "tasks.b.prefix.init.random was (not set)"},
        {"tasks.b.prefix.init.file=x.h5", "tasks.b.prefix.init.zero was true"},
        {"tasks.a.optimizer.kind=sgd", "tasks.a.optimizer.kind was adamw"},
        {"tasks.a.optimizer.lr=1e-2", "tasks.a.optimizer.lr was 0.005"},
        {"tasks.a.optimizer.warmup=1", "tasks.a.optimizer.warmup was 0"},
        {"tasks.b.optimizer.schedule=linear", "tasks.b.optimizer.schedule was cosine"},
        {"tasks.a.optimizer.weight_decay=1", "tasks.a.optimizer.weight_decay was 0"},
        {"tasks.a.optimizer.clip=0", "tasks.a.optimizer.clip was 1"},
        {"tasks.a.optimizer.beta1=0.5", "tasks.a.optimizer.beta1 was 0.9"},
        {"tasks.a.optimizer.beta2=0.5", "tasks.a.optimizer.beta2 was 0.999"},
        {"tasks.a.optimizer.eps=1e-6", "tasks.a.optimizer.eps was 1e-08"},
        {"tasks.a.batch.examples=8", "tasks.a.batch.examples was 16"},
        {"tasks.a.batch.order=by_source", "tasks.a.batch.order was shuffled"},
        {"tasks.a.batch.share_sources=false", "tasks.a.batch.share_sources was true"},
        {"tasks.a.batch.share_prompt=2", "tasks.a.batch.share_prompt was 1"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        resume(NULL, CASES[i].set, CASES[i].part);
    }
}

static void width_of_the_mlp_must_match(void)
{
    const char *sets[2][2] = {
        {"tasks.a.prefix.mlp.hidden=8", "tasks.a.eos=true"},
        {"tasks.a.prefix.mlp.hidden=8", "tasks.a.prefix.mlp.width=16"}};
    fr_config *both[2] = {NULL, NULL};
    const char *path = fr_test_path(fr_test_folder(), "x.yaml");
    fr_test_write_text(path, BASE);
    for (int i = 0; i < 2; i++) {
        FR_ASSERT_OK(fr_config_read(fr_test_ctx(), path, sets[i], 2, &both[i]));
    }
    FR_ASSERT_FAILS(fr_config_check_resume(fr_test_ctx(), both[0], both[1]),
                    FR_ERR_CHECKPOINT, "tasks.a.prefix.mlp.width was auto");
    fr_config_destroy(&both[0]);
    fr_config_destroy(&both[1]);
}

static void equal_numbers_may_be_written_differently(void)
{
    resume("tasks.a.optimizer.lr=1.0e-2", "tasks.a.optimizer.lr=0.01", NULL);
    resume("tasks.a.optimizer.lr=-0", "tasks.a.optimizer.lr=0", NULL);
    resume(NULL, "tasks.a.seed=1", NULL);
    /* task a has its 50 steps from run.steps */
    resume(NULL, "tasks.a.steps=50", NULL);
}

static void steps_grow_with_a_constant_schedule(void)
{
    resume(NULL, "run.steps=80", NULL);
    resume(NULL, "tasks.a.steps=60", NULL);
    resume(NULL, "run.steps=49", "tasks.a.steps was 50");
    resume(NULL, "run.steps=49", "may grow but not shrink");
}

static void steps_are_identity_where_the_schedule_uses_them(void)
{
    resume(NULL, "tasks.b.steps=21", "tasks.b.steps was 20");
    resume(NULL, "tasks.b.steps=21", "optimizer.schedule depends on it");
    resume(NULL, "tasks.b.steps=19", "tasks.b.steps was 20");
    resume(NULL, "tasks.b.steps=auto", "tasks.b.steps was 20");
}

static void tasks_are_matched_by_name(void)
{
    static const char REORDERED[] =
        "base: {path: m.gguf}\nrun: {dir: out, steps: 50}\ntasks:\n"
        "- {name: new, train: c, prefix: {init: {text: x}}}\n"
        "- {name: b, train: b.jsonl, chat: true, prefix: {init: {zero: true}, length: "
        "8},\n"
        "   optimizer: {schedule: cosine}, steps: 20}\n"
        "- {name: a, train: a, template: \"{target}\", prefix: {init: {text: "
        "hello}}}\n"
        "- {name: c, train: c, valid: v, prefix: {init: {text: x}}}\n";
    fr_config *saved = read_with(NULL);
    fr_config *now = NULL;
    FR_ASSERT_OK(fr_config_parse(fr_test_ctx(), "y.yaml", REORDERED, &now));
    CU_ASSERT_PTR_NOT_NULL_FATAL(now);
    FR_ASSERT_OK(fr_config_check_resume(fr_test_ctx(), saved, now));
    FR_ASSERT_FAILS(fr_config_check_resume(fr_test_ctx(), now, saved),
                    FR_ERR_CHECKPOINT, "task new of the run that is resumed");
    fr_config_destroy(&saved);
    fr_config_destroy(&now);
}

static const fr_case CASES[] = {
    FR_CASE(equal_configs_resume),
    FR_CASE(written_config_resumes),
    FR_CASE(epochs_resume_as_steps_do),
    FR_CASE(free_keys_may_change),
    FR_CASE(identity_keys_must_match),
    FR_CASE(width_of_the_mlp_must_match),
    FR_CASE(equal_numbers_may_be_written_differently),
    FR_CASE(steps_grow_with_a_constant_schedule),
    FR_CASE(steps_are_identity_where_the_schedule_uses_them),
    FR_CASE(tasks_are_matched_by_name),
};

int main(int argc, char **argv)
{
    return fr_suite_main("config_resume", CASES, FR_N_CASES(CASES), argc, argv);
}
