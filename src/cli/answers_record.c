/* The record of a generation: all that decides its answers, as "NAME: VALUE" lines.
 *
 * Small settings are kept as text, so that a message can show both values; large ones (model, prefixes, template, ids
 * that end a text, encoded prompts, rows) as SHA-256. A kept record is compared line by line with the present one, in
 * the same order. The version and the arithmetic may differ with a warning, since they change at most the last bits
 * of numbers. Records of earlier versions have an instruction set for the arithmetic and no epsilon.
 */
#define _GNU_SOURCE /* memmem */
#include "cli/answers_record.h"

#include <stdio.h>
#include <string.h>

static const char FORMAT[] = "forerun answers, format 1.0\n";
static const char ANY_FORMAT[] = "forerun answers, format ";
/* Facts that may differ, with a warning. */
static const char VERSION[] = "the version of Forerun: ";
static const char ARITHMETIC[] = "the arithmetic: ";
/* Stands for the arithmetic in records from before arithmetics had names. */
static const char ISA[] = "the instruction set: ";
/* Options that came later: there is a line only where one is not at its default, so that earlier records hold still. */
static const char *const LATER[] = {"--min-p", "--repetition-penalty", "--stop", "--n",
                                    "--logprobs"};
static const char EPS[] = "the epsilon of the model's norms";

void fr_record_init(fr_record *record)
{
    record->bytes = (size_t)snprintf(record->text, sizeof record->text, "%s", FORMAT);
}

void fr_record_add(fr_record *record, const char *name, const char *value)
{
    size_t capacity = sizeof record->text - record->bytes;
    int n = snprintf(record->text + record->bytes, capacity, "%s: %s\n", name, value);
    /* names and values are this program's own and short, so they always fit */
    record->bytes += n > 0 && (size_t)n < capacity ? (size_t)n : 0;
    record->text[record->bytes] = '\0';
}

void fr_record_add_digest(fr_record *record, const char *name,
                          const uint8_t digest[FR_DIGEST_BYTES])
{
    char hex[FR_DIGEST_HEX];
    fr_digest_hex(digest, hex);
    fr_record_add(record, name, hex);
}

/* ---- the present record ---------------------------------------------------------------------------- */

enum { VALUE_BYTES = 96 };

/* 17 digits give each double its own text, so equal texts mean equal numbers. */
static void add_real(fr_record *record, const char *name, double value)
{
    char text[VALUE_BYTES];
    (void)snprintf(text, sizeof text, "%.17g", value);
    fr_record_add(record, name, text);
}

static void add_int(fr_record *record, const char *name, int64_t value)
{
    char text[VALUE_BYTES];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    fr_record_add(record, name, text);
}

static fr_status add_int_to(fr_ctx *ctx, fr_digest *digest, int64_t value)
{
    return fr_digest_add(ctx, digest, &value, sizeof value);
}

/* The length comes first, so that two texts in a row cannot be divided differently; -1 tells no text from an empty
 * one. */
static fr_status add_text_to(fr_ctx *ctx, fr_digest *digest, const char *text)
{
    size_t bytes = text != NULL ? strlen(text) : 0;
    FR_TRY(add_int_to(ctx, digest, text != NULL ? (int64_t)bytes : -1));
    return fr_digest_add(ctx, digest, text != NULL ? text : "", bytes);
}

static fr_status add_model(fr_ctx *ctx, fr_digest *digest, const void *argument)
{
    const fr_inference *inference = argument;
    FR_TRY(add_text_to(ctx, digest, inference->session.shape));
    return fr_digest_add(ctx, digest, inference->session.digest, FR_DIGEST_BYTES);
}

static fr_status add_arrays(fr_ctx *ctx, fr_digest *digest,
                            const fr_checkpoint_task *task)
{
    int64_t n = task->n_layers * task->length * task->n_kv_heads * task->head_dim;
    size_t bytes = (size_t)n * sizeof(float);
    FR_TRY(add_int_to(ctx, digest, task->length));
    FR_TRY(add_int_to(ctx, digest, task->first_layer));
    FR_TRY(add_int_to(ctx, digest, task->n_layers));
    FR_TRY(fr_digest_add(ctx, digest, task->state.k, bytes));
    return fr_digest_add(ctx, digest, task->state.v, bytes);
}

static int64_t kind_of(const fr_checkpoint_task *task)
{
    enum { NONE, ALWAYS, SLIDES };
    if (task == NULL) {
        return NONE;
    }
    return task->slides ? SLIDES : ALWAYS;
}

/* The numbers of a prefix count, not its file's name: a copy under another name gives the same answers. */
static fr_status add_prefixes(fr_ctx *ctx, fr_digest *digest, const void *argument)
{
    const fr_inference *inference = argument;
    for (const fr_inference_prefix *p = inference->prefix; p != NULL; p = p->next) {
        FR_TRY(add_int_to(ctx, digest, kind_of(p->task)));
        if (p->task != NULL) {
            FR_TRY(add_arrays(ctx, digest, p->task));
        }
    }
    return FR_OK;
}

static fr_status add_template(fr_ctx *ctx, fr_digest *digest, const void *argument)
{
    const fr_inference *inference = argument;
    return add_text_to(ctx, digest, inference->params->template_text);
}

typedef struct prompts {
    const fr_generate_row *rows;
    int64_t n_rows;
} prompts;

static fr_status add_prompts(fr_ctx *ctx, fr_digest *digest, const void *argument)
{
    const prompts *p = argument;
    for (int64_t i = 0; i < p->n_rows; i++) {
        const fr_ids *ids = &p->rows[i].prompt;
        FR_TRY(add_int_to(ctx, digest, ids->count));
        FR_TRY(fr_digest_add(ctx, digest, ids->data,
                             (size_t)ids->count * sizeof *ids->data));
    }
    return FR_OK;
}

static fr_status add_digest_of(fr_ctx *ctx, fr_record *record, const char *name,
                               fr_status (*add)(fr_ctx *, fr_digest *, const void *),
                               const void *argument)
{
    uint8_t out[FR_DIGEST_BYTES];
    fr_digest *digest = NULL;
    FR_TRY(fr_digest_create(ctx, &digest));
    fr_status status = add(ctx, digest, argument);
    if (status == FR_OK) {
        status = fr_digest_end(ctx, digest, out);
    }
    if (status == FR_OK) {
        fr_record_add_digest(record, name, out);
    }
    fr_digest_destroy(&digest);
    return status;
}

static fr_status add_stops(fr_ctx *ctx, fr_digest *digest, const void *argument)
{
    const fr_generate_ids *ids = argument;
    return fr_digest_add(ctx, digest, ids->stop,
                         (size_t)ids->n_stop * sizeof *ids->stop);
}

static void add_options(fr_record *record, const fr_inference_params *params,
                        const fr_record_options *options)
{
    fr_record_add(record, "--precision",
                  params->precision == FR_PRECISION_BF16 ? "bf16" : "f32");
    fr_record_add(record, "--chat", params->chat ? "given" : "absent");
    add_int(record, "--max-new-tokens", options->max_new_tokens);
    add_real(record, "--temperature", options->sample.temperature);
    add_int(record, "--top-k", options->sample.top_k);
    add_real(record, "--top-p", options->sample.top_p);
    add_int(record, "--seed", (int64_t)options->sample.seed);
}

static fr_status add_stop_texts(fr_ctx *ctx, fr_digest *digest, const void *argument)
{
    const fr_record_options *options = argument;
    for (int64_t i = 0; i < options->n_stops; i++) {
        FR_TRY(add_text_to(ctx, digest, options->stops[i]));
    }
    return FR_OK;
}

/* In the order of LATER. */
static fr_status add_later_options(fr_ctx *ctx, fr_record *record,
                                   const fr_record_options *options)
{
    if (options->sample.min_p > 0.0) {
        add_real(record, LATER[0], options->sample.min_p);
    }
    if (fr_sample_penalises(&options->sample)) {
        add_real(record, LATER[1], options->sample.repetition_penalty);
    }
    if (options->n_stops > 0) {
        FR_TRY(add_digest_of(ctx, record, LATER[2], add_stop_texts, options));
    }
    if (options->n_answers > 1) {
        add_int(record, LATER[3], options->n_answers);
    }
    if (options->n_logprobs > 0) {
        add_int(record, LATER[4], options->n_logprobs - 1);
    }
    return FR_OK;
}

/* The order of the lines is part of the format, since fr_record_check compares them one after the other. The epsilon
 * came later than the other lines; a kept record without it is still accepted. */
fr_status fr_record_fill(fr_ctx *ctx, const fr_inference *inference,
                         const fr_record_options *options, const fr_generate_row *rows,
                         int64_t n_rows, const char *version, fr_record *out)
{
    prompts given = {rows, n_rows};
    fr_record_init(out);
    fr_record_add(out, "the version of Forerun", version);
    fr_record_add(out, "the arithmetic",
                  fr_device_arithmetic(inference->session.device));
    add_options(out, inference->params, options);
    FR_TRY(add_later_options(ctx, out, options));
    FR_TRY(add_digest_of(ctx, out, "--template", add_template, inference));
    FR_TRY(add_digest_of(ctx, out, "the model", add_model, inference));
    FR_TRY(add_digest_of(ctx, out, "the prefix", add_prefixes, inference));
    FR_TRY(
        add_digest_of(ctx, out, "the ids that end a text", add_stops, &options->ids));
    FR_TRY(add_digest_of(ctx, out, "the encoding of the prompts", add_prompts, &given));
    float eps = (float)fr_weights_arch(inference->session.weights)->norm_eps;
    add_real(out, EPS, (double)eps);
    return FR_OK;
}

/* ---- the kept record -------------------------------------------------------------------------- */

bool fr_record_is_ours(const char *text, size_t bytes)
{
    size_t length = sizeof ANY_FORMAT - 1;
    return memcmp(text, ANY_FORMAT, bytes < length ? bytes : length) == 0;
}

typedef struct piece {
    const char *text;
    size_t bytes; /* without its newline */
} piece;

/* The line at `*rest`, which moves behind it; an empty line at the end. */
static piece next_line(piece *rest)
{
    const char *end = rest->bytes > 0 ? memchr(rest->text, '\n', rest->bytes) : NULL;
    piece line = {rest->text, end != NULL ? (size_t)(end - rest->text) : rest->bytes};
    size_t step = line.bytes + (end != NULL);
    *rest = (piece){rest->text + step, rest->bytes - step};
    return line;
}

static bool is_same(piece a, piece b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.text, b.text, a.bytes) == 0);
}

/* Bytes of "NAME: " if the line begins with what `like` begins with, else 0. */
static size_t name_bytes(piece line, piece like)
{
    const char *end = memmem(like.text, like.bytes, ": ", 2);
    size_t n = end != NULL ? (size_t)(end - like.text) + 2 : 0;
    return n <= line.bytes && memcmp(line.text, like.text, n) == 0 ? n : 0;
}

/* Bytes of a value that a message shows. */
static int shown(size_t bytes)
{
    enum { SHOWN = 64 };
    return bytes < SHOWN ? (int)bytes : SHOWN;
}

static bool begins_with(piece line, const char *name)
{
    return line.bytes >= strlen(name) && memcmp(line.text, name, strlen(name)) == 0;
}

/* The option that came later and that only one of two lines tells; NULL: none. */
static const char *only_one_tells(piece old, piece new)
{
    const char *found = NULL;
    for (size_t i = 0; i < sizeof LATER / sizeof *LATER && found == NULL; i++) {
        char name[VALUE_BYTES];
        (void)snprintf(name, sizeof name, "%s: ", LATER[i]);
        found = begins_with(old, name) != begins_with(new, name) ? LATER[i] : NULL;
    }
    return found;
}

/* Lines with different names cannot be set against each other, so that message names the record itself. */
static fr_status refuse(fr_ctx *ctx, const char *part, piece old, piece new)
{
    size_t n = name_bytes(old, new);
    const char *option = n == 0 ? only_one_tells(old, new) : NULL;
    if (option != NULL) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "cannot continue from %s: %s differs from what its answers were "
                       "made with (at its default %s); use what they were made with, "
                       "or start again with --overwrite",
                       part, option,
                       begins_with(old, option) ? "now, but not then"
                                                : "then, but not now");
    }
    if (n == 0) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "cannot continue from %s: its record %s.info is damaged or of "
                       "another version; start again with --overwrite",
                       part, part);
    }
    return FR_FAIL(ctx, FR_ERR_ARG,
                   "cannot continue from %s: %.*s differs from what its answers were "
                   "made with (%.*s then, %.*s now); use what they were made with, or "
                   "start again with --overwrite",
                   part, (int)(n - 2), new.text, shown(old.bytes - n), old.text + n,
                   shown(new.bytes - n), new.text + n);
}

static bool may_differ(piece was, piece is)
{
    return (begins_with(was, VERSION) && begins_with(is, VERSION)) ||
           ((begins_with(was, ARITHMETIC) || begins_with(was, ISA)) &&
            begins_with(is, ARITHMETIC));
}

fr_status fr_record_check(fr_ctx *ctx, const char *part, const char *kept,
                          size_t kept_bytes, const fr_record *now)
{
    piece old = {kept, kept_bytes};
    piece new = {now->text, now->bytes};
    while (new.bytes > 0) {
        piece rest = old;
        piece was = next_line(&old);
        piece is = next_line(&new);
        if (is_same(was, is)) {
            continue;
        }
        if (begins_with(is, EPS) && !begins_with(was, EPS)) {
            old = rest; /* earlier records lack it */
            continue;
        }
        if (!may_differ(was, is)) {
            return refuse(ctx, part, was, is);
        }
        size_t n = name_bytes(was, is);
        fr_log(ctx, FR_LOG_WARN,
               "the answers in %s were computed with %.*s, which is now %.*s: the last "
               "bits of numbers may differ",
               part, shown(was.bytes), was.text, shown(is.bytes - n), is.text + n);
    }
    return old.bytes == 0 ? FR_OK : refuse(ctx, part, old, (piece){"", 0});
}
