/* `forerun export --to llama.cpp`.
 *
 * The model must be the GGUF file that llama.cpp will load: the file decides in which order a head's elements lie, what the
 * architecture is called and which tokens there are. All checks come before anything is written.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/output.h"
#include "base/print.h"
#include "cli/export.h"
#include "model/text/vocabulary.h"
#include "train/exchange/llama_state.h"
#include "train/exchange/llama_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What the options say, and what follows from them; zeros at first, so that `ids` may be freed after any failure. */
typedef struct llama_export {
    const fr_export *of;
    fr_ctx *ctx;
    int64_t marker;
    int64_t first; /* what every prompt begins with, -1: not known */
    int32_t *ids;  /* one for each slot, and perhaps `first` */
    int32_t chosen;
    fr_llama_state state;
} llama_export;

/* An option with two values; *first is left alone when it is absent. */
static fr_status read_choice(const llama_export *e, const char *name,
                             const char *const words[2], bool *first)
{
    const char *text = fr_options_text(e->of->cli->options, name);
    if (text != NULL && strcmp(text, words[0]) != 0 && strcmp(text, words[1]) != 0) {
        return FR_FAIL(e->ctx, FR_ERR_ARG, "--%s is %s; it must be %s or %s", name,
                       text, words[0], words[1]);
    }
    *first = text != NULL ? strcmp(text, words[0]) == 0 : *first;
    return FR_OK;
}

static fr_status read_options(const fr_export *of, llama_export *e)
{
    const fr_options *o = of->cli->options;
    *e = (llama_export){.of = of, .ctx = of->cli->ctx, .marker = -1, .first = -1};
    e->state.f16 = true;
    e->state.flash_attention = true;
    FR_TRY(read_choice(e, "state", (const char *const[]){"session", "sequence"},
                       &e->state.session));
    FR_TRY(read_choice(e, "cache-type", (const char *const[]){"f16", "f32"},
                       &e->state.f16));
    FR_TRY(read_choice(e, "flash-attention", (const char *const[]){"on", "off"},
                       &e->state.flash_attention));
    FR_TRY(fr_options_int(e->ctx, o, "marker", 0, INT32_MAX, &e->marker));
    FR_TRY(fr_options_int(e->ctx, o, "first-token", 0, INT32_MAX, &e->first));
    if (e->first >= 0 && !e->state.session) {
        return FR_FAIL(e->ctx, FR_ERR_ARG,
                       "--first-token is for --state session alone; leave it out, or "
                       "give --state session");
    }
    return FR_OK;
}

static fr_status check(const fr_export *of)
{
    const char *model = NULL;
    llama_export e;
    FR_TRY(fr_options_need(of->cli->ctx, of->cli->options, "model", &model));
    FR_TRY(read_options(of, &e));
    return fr_output_check(of->cli->ctx, of->target);
}

static fr_status check_base(const fr_export *of)
{
    return fr_is_folder(of->base.path)
               ? FR_FAIL(of->cli->ctx, FR_ERR_ARG,
                         "--model is the folder %s; it must be the GGUF file that "
                         "llama.cpp loads. A prefix of a folder fits the GGUF file "
                         "that was made from it",
                         of->base.path)
               : FR_OK;
}

/* llama.cpp's --prompt-cache expects one id more than there are positions, computes it again and goes on behind it. That must
 * be the first id of every row. */
static fr_status choose_tokens(llama_export *e)
{
    const fr_llama_tokens base = {&e->of->base.tokens, e->state.arch->vocab_size,
                                  e->marker};
    int64_t n = e->state.task->length;
    FR_TRY(fr_alloc(e->ctx, n + 1, sizeof *e->ids, &e->ids));
    FR_TRY(fr_llama_tokens_fill(e->ctx, &base, e->ids, n, &e->chosen));
    if (e->first >= 0) {
        FR_TRY(fr_vocabulary_check_id(e->ctx, (fr_place){"--first-token", 0}, e->first,
                                      base.vocab_size));
    } else if (e->state.session && e->state.task->leading_bos &&
               e->of->base.tokens.tokenizer != NULL) {
        e->first = fr_tokenizer_leading_bos(e->of->base.tokens.tokenizer);
    }
    e->ids[n] = (int32_t)e->first;
    e->state.tokens = e->ids;
    e->state.n_tokens = e->first >= 0 ? n + 1 : n;
    return FR_OK;
}

/* llama.cpp computes without the windows of most families. */
static void warn_of_window(const llama_export *e)
{
    const fr_arch *arch = e->state.arch;
    if (arch->window > 0 && arch->window < arch->context_length &&
        !e->state.family->window_cache) {
        fr_log(e->ctx, FR_LOG_WARN,
               "%s: the model has a window of %lld positions that llama.cpp does not "
               "honour; its answers agree up to so many positions",
               e->of->model, (long long)arch->window);
    }
}

static void print_tokens(const llama_export *e, FILE *out, const char *text)
{
    enum { FIRST_BYTES = 64 };
    char behind[FIRST_BYTES] = "";
    const fr_llama_state *s = &e->state;
    int64_t n = s->task->length;
    const char *blank = text != NULL ? " " : "";
    const char *shown = text != NULL ? text : "";
    if (e->first >= 0) {
        (void)snprintf(behind, sizeof behind, ", then %lld", (long long)e->first);
    }
    if (s->tokens[0] != e->chosen) {
        fr_print_line(out, "tokens    BOS %d, then %lld times %d%s%s%s",
                      (int)s->tokens[0], (long long)(n - 1), (int)e->chosen, blank,
                      shown, behind);
    } else {
        fr_print_line(out, "tokens    %lld times %d%s%s%s", (long long)n,
                      (int)e->chosen, blank, shown, behind);
    }
}

/* A session's last id is computed again, and with none behind the slots that is the last slot. */
static void warn_of_session(const llama_export *e)
{
    if (e->state.session && e->first < 0) {
        fr_log(e->ctx, FR_LOG_WARN,
               "%s: rows of this prefix have no BOS, so a prompt behind --prompt-cache "
               "loses the last slot; name the id that every prompt begins with by "
               "--first-token ID",
               e->of->target);
    }
}

static fr_status print_summary(const llama_export *e, FILE *out, size_t bytes)
{
    const fr_llama_state *s = &e->state;
    char *text = NULL;
    size_t text_bytes = 0;
    if (e->of->base.tokens.tokenizer != NULL) {
        FR_TRY(fr_tokenizer_decode(e->ctx, e->of->base.tokens.tokenizer, &e->chosen, 1,
                                   false, &text, &text_bytes));
    }
    fr_print_line(out, "%s: %s state of llama.cpp, version %d, %zu bytes",
                  e->of->target, s->session ? "session" : "sequence",
                  s->session ? FR_LLAMA_SESSION_VERSION : FR_LLAMA_SEQUENCE_VERSION,
                  bytes);
    fr_print_line(out, "cache     %s, flash attention %s, %lld positions",
                  s->f16 ? "f16" : "f32", s->flash_attention ? "on" : "off",
                  (long long)s->task->length);
    print_tokens(e, out, text);
    free(text);
    return FR_OK;
}

static fr_status write_state(llama_export *e)
{
    struct stat info;
    uint8_t *image = NULL;
    size_t bytes = 0;
    FR_TRY(fr_llama_state_check(e->ctx, &e->state));
    warn_of_window(e);
    FR_TRY(choose_tokens(e));
    FR_TRY(fr_llama_state_image(e->ctx, &e->state, &image, &bytes));
    fr_status status =
        fr_output_write(e->ctx, e->of->target, (const char *)image, bytes);
    free(image);
    if (status != FR_OK) {
        return status;
    }
    warn_of_session(e);
    /* a state that goes to standard output stays alone there */
    bool is_file = stat(e->of->target, &info) == 0 && S_ISREG(info.st_mode);
    return print_summary(e, is_file ? stdout : stderr, bytes);
}

static void describe(llama_export *e)
{
    e->state.name = e->of->prefix;
    e->state.task = e->of->task;
    e->state.arch = fr_weights_arch(e->of->base.weights);
    e->state.family = fr_weights_family(e->of->base.weights);
}

static fr_status write(const fr_export *of)
{
    llama_export e;
    FR_TRY(read_options(of, &e));
    describe(&e);
    fr_status status = write_state(&e);
    free(e.ids);
    return status;
}

const fr_export_format FR_EXPORT_LLAMA = {
    "llama.cpp", "state cache-type flash-attention first-token marker",
    true,        check,
    check_base,  write};
