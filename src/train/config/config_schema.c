/*
 * The table of all config keys.
 *
 * Each row is a complete description of one key: where its field lies, what it allows, what it means on resume, and the
 * text of the reference. The functions that read, write, compare and print a config walk this table, so they cannot
 * disagree about a key. Only rules over several keys name their keys; they are in config_check.c.
 *
 * The order of rows within a section is the order in a written config and in the reference. A default is a text as in
 * YAML and goes through the same checks as a user's value. `low` and `high` are doubles for whole numbers too, which is
 * exact because every limit is far below 2^53. The keys `text` and `file` of the section init share one field, and a
 * key of type FR_KEY_TRUE has none.
 */
#include "train/config/config_schema.h"

#include <string.h>

#define IN_CONFIG(member)                                                              \
    .offset = offsetof(fr_config, member), .bytes = sizeof(((fr_config *)NULL)->member)
#define IN_TASK(member)                                                                \
    .offset = offsetof(fr_task_config, member),                                        \
    .bytes = sizeof(((fr_task_config *)NULL)->member)

/* A limit for counts. No sensible run reaches it, and the product of two such counts fits into int64_t. */
#define MANY 1e9

/* A section follows its parent in the enum: config_write.c looks for the children of a section only behind it. */
const fr_config_section FR_CONFIG_SECTIONS[FR_SECTION_COUNT] = {
    [FR_SECTION_TOP] = {"", "", FR_SECTION_TOP, ""},
    [FR_SECTION_BASE] = {"base", "base", FR_SECTION_TOP,
                         "The frozen model. On resume its weights' digest must match, "
                         "wherever the file lies."},
    [FR_SECTION_RUN] = {"run", "run", FR_SECTION_TOP,
                        "What all tasks share: where results go, how long to train, on "
                        "which layout."},
    [FR_SECTION_TASK] = {"tasks", "tasks[]", FR_SECTION_TOP,
                         "A list of at least one task; each trains a prefix of its "
                         "own."},
    [FR_SECTION_CHAT] = {"chat", "tasks[].chat", FR_SECTION_TASK,
                         "In place of `chat: true`: how dialogues are written. Prefix "
                         "files keep all of it, so that `generate` and `eval` write "
                         "them alike."},
    [FR_SECTION_DATA] = {"data", "tasks[].data", FR_SECTION_TASK,
                         "How the rows of `train` and `valid` are read."},
    [FR_SECTION_PREFIX] = {"prefix", "tasks[].prefix", FR_SECTION_TASK,
                           "The trained keys and values."},
    [FR_SECTION_INIT] = {"init", "tasks[].prefix.init", FR_SECTION_PREFIX,
                         "What the prefix starts from. Exactly one of these keys is "
                         "required."},
    [FR_SECTION_LAYERS] =
        {"layers", "tasks[].prefix.layers", FR_SECTION_PREFIX,
         "Layers that have a prefix, e.g. `{first: 15}` for layer 15 and "
         "above; default: all. The other layers attend as in the base. In "
         "every layer the tokens of a row have the positions after the "
         "prefix. The backward pass ends at the lowest layer with a "
         "prefix, so fewer layers make a step cheaper, and pipeline "
         "stages below it run forward only."},
    [FR_SECTION_MLP] =
        {"mlp", "tasks[].prefix.mlp", FR_SECTION_PREFIX,
         "Reparametrisation: the prefix is its init plus the output of a "
         "two-layer network (tanh) over trained embeddings of its slots. "
         "The output starts at zero, and the network is trained instead "
         "of the prefix. Files for inference hold only the resulting keys "
         "and values."},
    [FR_SECTION_OPTIMIZER] = {"optimizer", "tasks[].optimizer", FR_SECTION_TASK,
                              "How the prefix is updated."},
    [FR_SECTION_BATCH] = {"batch", "tasks[].batch", FR_SECTION_TASK,
                          "How many examples make a step, and how they are packed."},
};

/* Identity keys change the numbers that a run computes. Free keys change where files lie, where and in which pieces
 * a step is computed, and when the run reports, saves and stops. The first fields of a row are: name,
 * section, type, resume, unit. Limits of 1e6 (ranks, slots, layers, widths) lie far above real sizes, and
 * products of three such sizes fit into int64_t. */
const fr_config_key FR_CONFIG_KEYS[] = {
    {"path", FR_SECTION_BASE, FR_KEY_TEXT, FR_RESUME_FREE, .required = true,
     IN_CONFIG(base.path),
     .help = "GGUF file (of one in several files any part), Hugging Face folder, or a "
             "model of the hub that is in its cache: OWNER/NAME, OWNER/NAME@REVISION, "
             "OWNER/NAME:FILE.gguf"},
    {"weights", FR_SECTION_BASE, FR_KEY_CHOICE, FR_RESUME_FREE, .default_text = "auto",
     .choices = {"auto", "quantised"}, IN_CONFIG(base.quantised),
     .help = "how the weights are held; auto: they are converted once to "
             "`run.precision`; quantised: they stay in the file as they are "
             "and are converted piece by piece at each use, which takes least "
             "memory and gives the same results"},
    {"offload", FR_SECTION_BASE, FR_KEY_INT, FR_RESUME_FREE, "layers",
     .default_text = "auto", .automatic = true, .no_number = true, .low = 1,
     .high = 1e6, IN_CONFIG(base.offload),
     .help = "layers of each stage whose weights stay in the host's memory and are "
             "copied to a GPU while it computes with the layers before; three or more "
             "save memory there; auto: as few as let the run fit; none: no layer; "
             "nothing changes where no GPU is used, and results never do"},

    {"dir", FR_SECTION_RUN, FR_KEY_TEXT, FR_RESUME_FREE, .required = true,
     IN_CONFIG(run.dir),
     .help = "run folder for checkpoints, metrics, caches and logs"},
    {"seed", FR_SECTION_RUN, FR_KEY_SEED, FR_RESUME_IDENTITY, .default_text = "1",
     IN_CONFIG(run.seed), .help = "seed of the tasks whose own `seed` is auto"},
    {"steps", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_GROWS, "steps", .low = 1,
     .high = MANY, IN_CONFIG(run.steps),
     .help = "optimizer updates of each task; `run` has either steps or epochs, unless "
             "every task has its own"},
    {"epochs", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_GROWS, "epochs", .low = 1,
     .high = 1e6, IN_CONFIG(run.epochs),
     .help = "in place of steps: how often each task goes over the examples of its "
             "`train`; the last step is filled up from the next epoch"},
    {"precision", FR_SECTION_RUN, FR_KEY_CHOICE, FR_RESUME_IDENTITY,
     .default_text = "bf16", .choices = {"f32", "bf16"}, IN_CONFIG(run.precision),
     .help = "type of the inputs of matrix products; sums, prefix and moments "
             "are "
             "always f32 or wider"},
    {"stages", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_FREE, "ranks",
     .default_text = "auto", .automatic = true, .low = 1, .high = 1e6,
     IN_CONFIG(run.stages), .help = "pipeline stages the layers are spread over"},
    {"replicas", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_FREE, "pipelines",
     .default_text = "auto", .automatic = true, .low = 1, .high = 1e6,
     IN_CONFIG(run.replicas), .help = "pipelines that share each step's examples"},
    {"threads", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_FREE, "threads",
     .default_text = "auto", .automatic = true, .low = 1, .high = 4096,
     IN_CONFIG(run.threads),
     .help = "threads of a rank; auto: as OMP_NUM_THREADS says, else its "
             "share of the "
             "node's cores, within a container's CPU limit"},
    {"device", FR_SECTION_RUN, FR_KEY_TEXT, FR_RESUME_FREE, .default_text = "auto",
     .choices = {"auto", "cpu", "cuda"}, IN_CONFIG(run.device),
     .help = "where to compute; auto: on a GPU where this program is built for "
             "one and finds one, else on the processor; cpu: on the processor; "
             "cuda: on a GPU of NVIDIA, refused by a program that is built "
             "without it (WITH_CUDA)"},
    {"products", FR_SECTION_RUN, FR_KEY_TEXT, FR_RESUME_FREE, .default_text = "auto",
     .choices = {"auto", "own"}, IN_CONFIG(run.products),
     .help = "what computes matrix products on a GPU; auto: cuBLASLt where it is "
             "installed and keeps the promises about bits, else Forerun's own "
             "kernels; own: these alone; the two give other last bits, which the "
             "arithmetic's name shows"},
    {"links", FR_SECTION_RUN, FR_KEY_TEXT, FR_RESUME_FREE, .default_text = "auto",
     .choices = {"auto", "staged", "direct"}, IN_CONFIG(run.links),
     .help = "how messages between stages leave a GPU; auto: direct where MPI "
             "says that it takes the memory of GPUs and a trial at the start "
             "passes, else staged; staged: through the host's memory; direct: "
             "from GPU to GPU, refused where that fails; never changes results"},
    {"sums", FR_SECTION_RUN, FR_KEY_TEXT, FR_RESUME_FREE, .default_text = "auto",
     .choices = {"auto", "staged", "nccl"}, IN_CONFIG(run.sums),
     .help = "how replicas sum the gradients of GPUs; auto: over NCCL where each "
             "rank has a GPU of its own and the library, and a first sum comes out "
             "right, else staged; staged: through the host's memory; nccl: refused "
             "where that fails; never changes results"},
    {"save_every", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_FREE, "steps",
     .default_text = "50", .low = 1, .high = MANY, IN_CONFIG(run.save_every),
     .help = "steps between checkpoints; one more is written at the end"},
    {"keep", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_FREE, "files", .default_text = "2",
     .low = 1, .high = MANY, IN_CONFIG(run.keep),
     .help = "number of newest checkpoints that are kept"},
    {"valid_every", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_FREE, "steps",
     .default_text = "50", .low = 0, .high = MANY, IN_CONFIG(run.valid_every),
     .help = "steps between validations; 0: only at the end"},
    {"measure_base", FR_SECTION_RUN, FR_KEY_BOOL, FR_RESUME_FREE,
     .default_text = "true", IN_CONFIG(run.measure_base),
     .help = "measure, before the first step, the loss of the base alone and "
             "of an init text, so that the end of the run can report the "
             "gain; measured on the validation rows, or on the first 64 "
             "training examples of a task without them"},
    {"log_every", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_FREE, "steps",
     .default_text = "1", .low = 1, .high = MANY, IN_CONFIG(run.log_every),
     .help = "steps between lines of metrics.jsonl"},
    {"nonfinite_limit", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_FREE, "steps",
     .default_text = "5", .low = 1, .high = MANY, IN_CONFIG(run.nonfinite_limit),
     .help = "skipped non-finite steps in a row after which a task stops; the "
             "other tasks continue, and the run ends with exit code 4"},
    {"warmup_depth", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_FREE, "microbatches",
     .default_text = "1", .low = 1, .high = 2, IN_CONFIG(run.warmup_depth),
     .help = "how many microbatches a stage runs ahead for each later stage; "
             "2 hides the "
             "latency of slow links at the price of memory"},
    {"recompute", FR_SECTION_RUN, FR_KEY_CHOICE, FR_RESUME_FREE, .default_text = "none",
     .choices = {"none", "mlp", "layer"}, IN_CONFIG(run.recompute),
     .help = "what the backward pass computes again instead of keeping it: "
             "nothing, the up (and gate) projection, or all but a layer's "
             "input; changes memory and speed, never results"},
    {"timeout", FR_SECTION_RUN, FR_KEY_INT, FR_RESUME_FREE, "seconds",
     .default_text = "600", .low = 0, .high = MANY, IN_CONFIG(run.timeout),
     .help = "longest wait for a rank that makes no progress, after which all "
             "ranks end with exit code 5; 0: no limit; FORERUN_TIMEOUT in the "
             "environment takes precedence"},

    {"name", FR_SECTION_TASK, FR_KEY_TEXT, FR_RESUME_IDENTITY, .required = true,
     IN_TASK(name),
     .help = "1 to 100 letters, digits, `.`, `_` and `-`, and not dots alone; "
             "unique"},
    {"train", FR_SECTION_TASK, FR_KEY_TEXT, FR_RESUME_FREE, .required = true,
     IN_TASK(train),
     .help = "JSONL file of training rows; on resume its content must have "
             "the same digest, but its path may differ"},
    {"valid", FR_SECTION_TASK, FR_KEY_TEXT, FR_RESUME_FREE, IN_TASK(valid),
     .help = "JSONL file of validation rows"},
    {"valid_rows", FR_SECTION_TASK, FR_KEY_INT, FR_RESUME_FREE, "rows",
     .default_text = "auto", .automatic = true, .low = 1, .high = MANY,
     IN_TASK(valid_rows), .help = "first rows of `valid` that are used; auto: all"},
    {"template", FR_SECTION_TASK, FR_KEY_TEXT, FR_RESUME_IDENTITY,
     .form = FR_TEXT_TEMPLATE, IN_TASK(template_text),
     .help = "text around a row's fields: it holds `{target}` once, "
             "`{source}` at most once before it, and no other `{name}` "
             "(`{{name}}` is the text `{name}`); rows of text need it. Here "
             "and in `init.text`, `\\n`, `\\t` and `\\\\` stand for a "
             "newline, a tab and a backslash, however YAML quotes the text"},
    {"chat", FR_SECTION_TASK, FR_KEY_BOOL, FR_RESUME_IDENTITY, .default_text = "false",
     IN_TASK(chat),
     .help = "rows are dialogues in the base's own chat template, or in "
             "another as the section `chat` says; excludes `template`"},
    {"eos", FR_SECTION_TASK, FR_KEY_BOOL, FR_RESUME_IDENTITY, .default_text = "true",
     IN_TASK(eos),
     .help = "end each target with the end-of-sequence id (chat turns have "
             "their own end)"},
    {"special", FR_SECTION_TASK, FR_KEY_BOOL, FR_RESUME_IDENTITY,
     .default_text = "false", IN_TASK(special),
     .help = "parse special tokens in data fields; in the template they are "
             "always parsed"},
    {"loss", FR_SECTION_TASK, FR_KEY_CHOICE, FR_RESUME_IDENTITY, .default_text = "all",
     .choices = {"all", "last"}, IN_TASK(loss_last),
     .help = "assistant turns whose tokens are in the loss; `last` needs "
             "`chat: true`"},
    {"long_rows", FR_SECTION_TASK, FR_KEY_CHOICE, FR_RESUME_IDENTITY,
     .default_text = "drop", .choices = {"drop", "cut"}, IN_TASK(long_rows),
     .help = "what happens to examples longer than `max_tokens`; `cut` "
             "shortens the "
             "row's own text, the source first, then the target, both at "
             "their end, and "
             "leaves template, BOS and end of sequence whole"},
    {"max_tokens", FR_SECTION_TASK, FR_KEY_INT, FR_RESUME_IDENTITY, "tokens",
     .default_text = "auto", .automatic = true, .low = 2, .high = MANY,
     IN_TASK(max_tokens),
     .help = "longest source with one target; auto: the base's context minus "
             "the prefix"},
    {"steps", FR_SECTION_TASK, FR_KEY_INT, FR_RESUME_GROWS, "steps",
     .default_text = "auto", .automatic = true, .low = 1, .high = MANY, IN_TASK(steps),
     .help = "optimizer updates of this task; auto: as `run` says"},
    {"epochs", FR_SECTION_TASK, FR_KEY_INT, FR_RESUME_GROWS, "epochs",
     .default_text = "auto", .automatic = true, .low = 1, .high = 1e6, IN_TASK(epochs),
     .help = "in place of steps: how often this task goes over its examples; auto: as "
             "`run` says"},
    {"seed", FR_SECTION_TASK, FR_KEY_SEED, FR_RESUME_IDENTITY, .default_text = "auto",
     .automatic = true, IN_TASK(seed),
     .help = "seed of this task's example order and random init, independent "
             "of the other tasks; auto: `run.seed`"},
    {"patience", FR_SECTION_TASK, FR_KEY_INT, FR_RESUME_FREE, "validations",
     .default_text = "auto", .automatic = true, .low = 0, .high = MANY,
     IN_TASK(patience),
     .help = "validations in a row without a better loss after which the task "
             "stops; auto or 0: never. A task stopped by this stays stopped "
             "on resume, unless this is raised"},
    {"stop_below", FR_SECTION_TASK, FR_KEY_REAL, FR_RESUME_FREE, "nats",
     .default_text = "0", .low = 0, .high = 1e3, IN_TASK(stop_below),
     .help = "the task stops when a validation loss is below this; 0: never. "
             "A task stopped by this stays stopped on resume, unless this is "
             "lowered"},

    {"template", FR_SECTION_CHAT, FR_KEY_TEXT, FR_RESUME_FREE, IN_TASK(chat_template),
     .help = "file of a chat template (Jinja) in place of the base's own; on "
             "resume its content must be the same, but its path may differ"},
    {"arguments", FR_SECTION_CHAT, FR_KEY_TEXT, FR_RESUME_IDENTITY, .form = FR_TEXT_MAP,
     IN_TASK(chat_arguments),
     .help = "further variables of the template, e.g. `{enable_thinking: false}`, or "
             "`tools` with a list of descriptions; a row's own `tools` come first; a "
             "variable that the template does not name is refused"},
    {"clock", FR_SECTION_CHAT, FR_KEY_TEXT, FR_RESUME_IDENTITY, .form = FR_TEXT_DATE,
     IN_TASK(chat_clock),
     .help = "the time that the template's `strftime_now` tells, e.g. `2026-01-31`; a "
             "template that asks for it needs one, so that rows do not change "
             "from day to day"},

    {"fields", FR_SECTION_DATA, FR_KEY_TEXT, FR_RESUME_IDENTITY, .form = FR_TEXT_MAP,
     IN_TASK(fields),
     .help =
         "which members of the rows (columns of a table) are the source, the target, "
         "source_ids, target_ids, messages or tools, e.g. `{source: prompt, target: "
         "completion}`; all others are ignored. Without it rows of known forms are "
         "recognised by their members, see docs/data.md"},
    {"ignore", FR_SECTION_DATA, FR_KEY_TEXT, FR_RESUME_IDENTITY, .is_list = true,
     IN_TASK(ignore),
     .help = "members of rows and messages that do not matter for training, "
             "e.g. `[category, source_file]`; any other unknown member is an "
             "error. Common ones (id, tag, score, meta ...) are always ignored"},
    {"on_error", FR_SECTION_DATA, FR_KEY_CHOICE, FR_RESUME_IDENTITY,
     .default_text = "stop", .choices = {"stop", "skip"}, IN_TASK(skip_bad_rows),
     .help = "what happens to rows that cannot be used; stop: all rows are "
             "checked, the unusable ones are named, and the run stops; skip: "
             "they are left out and counted"},

    {"length", FR_SECTION_PREFIX, FR_KEY_INT, FR_RESUME_IDENTITY, "slots",
     .default_text = "auto", .automatic = true, .low = 1, .high = 1e6,
     IN_TASK(prefix.length),
     .help = "slots of the prefix; auto: the tokens of the init text or the "
             "length of "
             "the init file; needed by `random` and `zero`"},
    {"repeat_text", FR_SECTION_PREFIX, FR_KEY_BOOL, FR_RESUME_IDENTITY,
     .default_text = "false", IN_TASK(prefix.repeat_text),
     .help = "repeat the tokens of an init text that is shorter than `length` "
             "until the slots are full; without this key such a text is "
             "refused. A longer text is cut, with a warning"},
    {"freeze_first", FR_SECTION_PREFIX, FR_KEY_BOOL, FR_RESUME_IDENTITY,
     .default_text = "false", IN_TASK(prefix.freeze_first),
     .help = "keep slot 0 at its initial value (attention sink)"},
    {"window", FR_SECTION_PREFIX, FR_KEY_CHOICE, FR_RESUME_IDENTITY,
     .default_text = "always", .choices = {"always", "slides"}, IN_TASK(prefix.slides),
     .help = "what the layers of a base that attend within a window see of the "
             "prefix; always: every token sees all of its slots; slides: a "
             "slot is hidden from tokens whose window ends before it, as if it "
             "were a token. Without effect on a base without windows"},

    {"text", FR_SECTION_INIT, FR_KEY_TEXT, FR_RESUME_IDENTITY, .form = FR_TEXT_PROSE,
     .init = FR_INIT_TEXT, IN_TASK(prefix.text),
     .help = "keys and values of this text: step 0 equals the model prompted "
             "with as much of the text as fits `length` (in a base with "
             "windows only with `window: slides`)"},
    {"random", FR_SECTION_INIT, FR_KEY_REAL, FR_RESUME_IDENTITY, .low = 0, .high = 1e3,
     .open_ends = FR_OPEN_LOW, .init = FR_INIT_RANDOM, IN_TASK(prefix.random_std),
     .help = "normally distributed numbers with this standard deviation"},
    {"zero", FR_SECTION_INIT, FR_KEY_TRUE, FR_RESUME_IDENTITY, .init = FR_INIT_ZERO,
     .help = "all zero"},
    {"file", FR_SECTION_INIT, FR_KEY_TEXT, FR_RESUME_IDENTITY, .init = FR_INIT_FILE,
     IN_TASK(prefix.text),
     .help = "`FILE` or `FILE:TASK`: the prefix in a prefix file or checkpoint"},

    {"first", FR_SECTION_LAYERS, FR_KEY_INT, FR_RESUME_IDENTITY, "layer",
     .default_text = "0", .low = 0, .high = 1e6, IN_TASK(prefix.first_layer),
     .help = "the lowest layer with a prefix, counted from 0"},
    {"count", FR_SECTION_LAYERS, FR_KEY_INT, FR_RESUME_IDENTITY, "layers",
     .default_text = "auto", .automatic = true, .low = 1, .high = 1e6,
     IN_TASK(prefix.n_layers), .help = "number of layers; auto: up to the last"},

    {"hidden", FR_SECTION_MLP, FR_KEY_INT, FR_RESUME_IDENTITY, "units",
     .default_text = "0", .low = 0, .high = 1e6, IN_TASK(prefix.mlp_hidden),
     .help = "width of the hidden layer, e.g. 512; 0: keys and values are "
             "trained "
             "directly"},
    {"width", FR_SECTION_MLP, FR_KEY_INT, FR_RESUME_IDENTITY, "numbers",
     .default_text = "auto", .automatic = true, .low = 1, .high = 1e6,
     IN_TASK(prefix.mlp_width),
     .help = "width of a slot's embedding; auto: the base's model width"},

    {"kind", FR_SECTION_OPTIMIZER, FR_KEY_CHOICE, FR_RESUME_IDENTITY,
     .default_text = "adamw", .choices = {"adamw", "sgd"}, IN_TASK(optimizer.kind),
     .help = "update rule"},
    {"lr", FR_SECTION_OPTIMIZER, FR_KEY_REAL, FR_RESUME_IDENTITY,
     .default_text = "auto", .automatic = true, .low = 0, .high = 1e3,
     IN_TASK(optimizer.lr),
     .help = "learning rate after the warm-up; auto: 5e-3, with `prefix.mlp` "
             "5e-5"},
    {"warmup", FR_SECTION_OPTIMIZER, FR_KEY_INT, FR_RESUME_IDENTITY, "steps",
     .default_text = "0", .low = 0, .high = MANY, IN_TASK(optimizer.warmup),
     .help = "steps over which the rate rises from 0"},
    {"schedule", FR_SECTION_OPTIMIZER, FR_KEY_CHOICE, FR_RESUME_IDENTITY,
     .default_text = "constant", .choices = {"constant", "linear", "cosine"},
     IN_TASK(optimizer.schedule),
     .help = "shape of the rate after the warm-up; linear and cosine fall to "
             "0 at the last step"},
    {"weight_decay", FR_SECTION_OPTIMIZER, FR_KEY_REAL, FR_RESUME_IDENTITY,
     .default_text = "0", .low = 0, .high = 1e3, IN_TASK(optimizer.weight_decay),
     .help = "decoupled weight decay"},
    {"clip", FR_SECTION_OPTIMIZER, FR_KEY_REAL, FR_RESUME_IDENTITY,
     .default_text = "1.0", .low = 0, .high = MANY, IN_TASK(optimizer.clip),
     .help = "largest norm of the task's gradient; 0: no clipping"},
    {"beta1", FR_SECTION_OPTIMIZER, FR_KEY_REAL, FR_RESUME_IDENTITY,
     .default_text = "0.9", .low = 0, .high = 1, .open_ends = FR_OPEN_HIGH,
     IN_TASK(optimizer.beta1), .help = "AdamW: decay of the first moment"},
    {"beta2", FR_SECTION_OPTIMIZER, FR_KEY_REAL, FR_RESUME_IDENTITY,
     .default_text = "0.999", .low = 0, .high = 1, .open_ends = FR_OPEN_HIGH,
     IN_TASK(optimizer.beta2), .help = "AdamW: decay of the second moment"},
    {"eps", FR_SECTION_OPTIMIZER, FR_KEY_REAL, FR_RESUME_IDENTITY,
     .default_text = "1.0e-8", .low = 0, .high = 1, .open_ends = FR_OPEN_LOW,
     IN_TASK(optimizer.eps), .help = "AdamW: added to the root of the second moment"},

    {"examples", FR_SECTION_BATCH, FR_KEY_INT, FR_RESUME_IDENTITY, "examples",
     .default_text = "16", .low = 1, .high = MANY, IN_TASK(batch.examples),
     .help = "examples (a source with one target) per step"},
    {"order", FR_SECTION_BATCH, FR_KEY_CHOICE, FR_RESUME_IDENTITY,
     .default_text = "shuffled", .choices = {"shuffled", "by_source"},
     IN_TASK(batch.order),
     .help = "shuffled: each epoch shuffles all examples; by_source: it "
             "shuffles the sources and keeps the examples of a source "
             "together, so that a step shares more and sees fewer sources, "
             "which changes the training"},
    {"share_sources", FR_SECTION_BATCH, FR_KEY_BOOL, FR_RESUME_IDENTITY,
     .default_text = "true", IN_TASK(batch.share_sources),
     .help = "compute a source once for all its examples in the step, "
             "including those of other rows; the gradient differs in rounding "
             "only"},
    {"share_prompt", FR_SECTION_BATCH, FR_KEY_INT, FR_RESUME_IDENTITY, "sources",
     .default_text = "1", .low = 1, .high = MANY, IN_TASK(batch.share_prompt),
     .help = "compute the tokens with which this many consecutive sources "
             "begin alike only once, e.g. a system prompt (8 or more tokens "
             "that are not in the loss); these sources are packed together; "
             "the gradient differs in rounding only"},
    {"microbatch_tokens", FR_SECTION_BATCH, FR_KEY_INT, FR_RESUME_FREE, "tokens",
     .default_text = "auto", .automatic = true, .low = 1, .high = MANY,
     IN_TASK(batch.microbatch_tokens),
     .help = "upper bound of a packed microbatch; changes memory and speed, "
             "never results; a longer unit (examples that share tokens) gets "
             "a microbatch of its own; auto: 1024; on a GPU 8192, or less if "
             "that does not fit into its memory or leaves a pipeline idle, by "
             "forecast"},
};

enum { N_KEYS = sizeof FR_CONFIG_KEYS / sizeof FR_CONFIG_KEYS[0] };
const int FR_CONFIG_N_KEYS = N_KEYS;
_Static_assert((int)N_KEYS <= (int)FR_MAX_KEYS, "fr_key_lines holds one line a key");

/* The next two functions alone add a key's offset to a struct. The order of fr_section_id decides which struct it is:
 * the sections before FR_SECTION_TASK lie in fr_config, all others in fr_task_config. */
const void *fr_key_look(fr_key_view view, const fr_config_key *key)
{
    const char *base = key->section >= FR_SECTION_TASK ? (const char *)view.task
                                                       : (const char *)view.config;
    return base != NULL ? base + key->offset : NULL;
}

void *fr_key_field(fr_key_owner owner, const fr_config_key *key)
{
    char *base =
        key->section >= FR_SECTION_TASK ? (char *)owner.task : (char *)owner.config;
    return base != NULL ? base + key->offset : NULL;
}

/* A linear search: the table is short, and only the keys that a file names are looked up. */
int fr_config_find_key(fr_section_id section, const char *name)
{
    for (int i = 0; i < N_KEYS; i++) {
        const fr_config_key *key = &FR_CONFIG_KEYS[i];
        if (key->section == section && strcmp(key->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

fr_section_id fr_config_find_section(fr_section_id parent, const char *name)
{
    for (fr_section_id s = FR_SECTION_BASE; s < FR_SECTION_COUNT; s++) {
        const fr_config_section *section = &FR_CONFIG_SECTIONS[s];
        if (section->parent == parent && strcmp(section->name, name) == 0) {
            return s;
        }
    }
    return FR_SECTION_COUNT;
}
