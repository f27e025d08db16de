#include "train/config/config_impl.h"

static const char *resume_word(const fr_config_key *key)
{
    switch (key->resume) {
    case FR_RESUME_IDENTITY:
        return "identity";
    case FR_RESUME_GROWS:
        return "may grow";
    case FR_RESUME_FREE:
    default:
        return "free";
    }
}

/* One row of a Markdown table. A default is code, while "required", "none" and "-" are words, hence the tick. */
static void print_key(FILE *out, const fr_config_key *key)
{
    char allowed[FR_ALLOWED_BYTES];
    const char *preset = key->required                     ? "required"
                         : key->section == FR_SECTION_INIT ? "-"
                         : key->default_text == NULL       ? "none"
                                                           : key->default_text;
    const char *tick = key->default_text != NULL ? "`" : "";
    fr_config_allowed(key, allowed);
    (void)fprintf(out, "| `%s` | %s | %s | %s%s%s | %s | %s |\n", key->name, allowed,
                  key->unit != NULL ? key->unit : "", tick, preset, tick,
                  resume_word(key), key->help);
}

static void print_section(FILE *out, fr_section_id section)
{
    const fr_config_section *s = &FR_CONFIG_SECTIONS[section];
    (void)fprintf(out, "\n## %s\n\n%s\n\n", s->path, s->help);
    (void)fputs("| key | allowed | unit | default | resume | meaning |\n"
                "|---|---|---|---|---|---|\n",
                out);
    for (int i = 0; i < FR_CONFIG_N_KEYS; i++) {
        if (FR_CONFIG_KEYS[i].section == section) {
            print_key(out, &FR_CONFIG_KEYS[i]);
        }
    }
}

static void print_sweep(FILE *out)
{
    (void)fprintf(
        out,
        "\n## sweep\n\n"
        "Optional. Lists of values for keys of one task, the pattern. Every "
        "combination "
        "becomes a task of its own, and all are trained in one run over one base. The "
        "first key listed varies slowest. The pattern itself is not trained; `task` "
        "names it where there are several tasks. The name of a made task consists of "
        "the pattern's name and its values, e.g. `mine.length-8.lr-0.005`; at most %d "
        "tasks are made. `--set` changes the pattern. The run's `config.yaml` lists "
        "the made tasks and no sweep. At the end a table of results, best first, goes "
        "to standard output and, as JSON lines, into `sweep.jsonl`.\n\n"
        "```yaml\n"
        "sweep:\n"
        "  task: mine\n"
        "  prefix.length: [8, 16, 32]\n"
        "  prefix.init: [{random: 0.02}, {random: 0.1}]\n"
        "  optimizer.lr: [1.0e-3, 5.0e-3]\n"
        "  seed: [1, 2]\n"
        "```\n\n"
        "Keys: `task`",
        FR_MAX_MADE);
    for (int i = 0; fr_sweep_kind_path(i) != NULL; i++) {
        (void)fprintf(out, ", `%s`", fr_sweep_kind_path(i));
    }
    (void)fputs(". Values are checked as in the task.\n", out);
}

/* configs/README.md is this output; a test compares the two. */
void fr_config_print_help(FILE *out)
{
    (void)fputs(
        "# Configuration\n"
        "\n"
        "A run is described by one YAML file. This page is the output of `forerun "
        "--help-config`.\n"
        "\n"
        "```yaml\n"
        "base: {path: models/smollm2-135m-instruct.gguf}\n"
        "run:  {dir: runs/mine, steps: 200}\n"
        "tasks:\n"
        "  - name: mine\n"
        "    train: data/mine/train.jsonl\n"
        "    template: \"{source}\\nSummary:{target}\"\n"
        "    prefix: {init: {text: \"Summarise the text in one short sentence.\"}}\n"
        "```\n"
        "\n"
        "`forerun train CONFIG --set KEY=VALUE` overrides a key, e.g. `--set "
        "run.steps=100` or `--set tasks.mine.optimizer.lr=1e-2`; its value is checked "
        "in "
        "the same way. Lists are written in brackets: `--set "
        "'tasks.mine.data.ignore=[a, b]'`. "
        "Paths are relative to the working folder. Texts with `{`, `:` or `#` need "
        "quotes; numbers, `auto`, `true` and `false` must not have any. An unknown key "
        "is "
        "an error that names its line and the nearest known key.\n"
        "\n"
        "On `--resume`, an *identity* key must have the value that it had, because it "
        "decides the numbers. A "
        "*free* key may change. *May grow*: the steps may rise where the task's "
        "schedule is constant; otherwise they are identity. Tasks are matched by name; "
        "a "
        "new task starts at its step 0.\n",
        out);
    for (fr_section_id s = FR_SECTION_BASE; s < FR_SECTION_COUNT; s++) {
        print_section(out, s);
    }
    print_sweep(out);
}
