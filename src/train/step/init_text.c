/* The tokens of an init text, fitted to the number of slots.
 *
 * A slot takes one token. Without a configured length the text decides the length. With one, a longer text is cut
 * at its end and a shorter one is repeated, if the user allows it. Both are said in the log and in a note that the
 * checkpoint keeps, because the model then does not get the instruction that the config shows.
 *
 * fr_init_text_ids runs twice on each rank: once for the length and the note, once for the tokens. Only the first call
 * passes `note`, so the log has one line. */
#define _POSIX_C_SOURCE 200809L
#include "train/step/init_text.h"

#include "base/mem.h"
#include "model/text/vocabulary.h"
#include "train/data/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NAME_BYTES holds "tasks.NAME.prefix.init.text" with the longest name of a task. SHOWN is how many bytes of the
 * cut text the log shows: enough to recognise it, and a few lines of a terminal at most. */
enum { NAME_BYTES = 160, SHOWN = 300 };

/* All of the text, a BOS before it where the base wants one; rows then carry none. */
static fr_status encode(const fr_task_env *env, const fr_task_config *config,
                        fr_ids *ids, int64_t *n_bos)
{
    char name[NAME_BYTES];
    if (env->tokenizer == NULL) {
        return FR_FAIL(
            env->ctx, FR_ERR_CONFIG,
            "tasks.%s.prefix.init.text needs a tokenizer; use init random or "
            "zero, since %s",
            config->name,
            env->no_tokenizer != NULL ? env->no_tokenizer : "the base carries none");
    }
    int32_t bos = fr_tokenizer_leading_bos(env->tokenizer);
    *n_bos = bos >= 0 ? 1 : 0;
    if (bos >= 0) {
        FR_TRY(fr_ids_add(env->ctx, ids, bos));
    }
    fr_piece text = {config->prefix.text, strlen(config->prefix.text), true};
    FR_TRY(fr_text_encode(env->ctx, env->tokenizer, &text, 1, false, ids, NULL));
    (void)snprintf(name, sizeof name, "tasks.%s.prefix.init.text", config->name);
    FR_TRY(fr_vocabulary_check(env->ctx, (fr_place){name, 0}, ids->data, ids->count,
                               env->arch->vocab_size));
    /* A BOS alone would be a prefix that says nothing. */
    return ids->count > *n_bos
               ? FR_OK
               : FR_FAIL(env->ctx, FR_ERR_CONFIG,
                         "%s gives no token; write an instruction there, or use init "
                         "random or zero",
                         name);
}

/* What is cut off must be seen: it is an instruction that the model does not get. */
static fr_status cut(const fr_task_env *env, const fr_task_config *config, fr_ids *ids,
                     int64_t length, char **note)
{
    enum { MORE_BYTES = 96 };
    char *used = NULL;
    char *rest = NULL;
    size_t used_bytes = 0;
    size_t rest_bytes = 0;
    int64_t all = ids->count;
    ids->count = length;
    if (note == NULL) {
        return FR_OK;
    }
    fr_status status = fr_tokenizer_decode(env->ctx, env->tokenizer, ids->data, length,
                                           false, &used, &used_bytes);
    if (status == FR_OK) {
        status = fr_tokenizer_decode(env->ctx, env->tokenizer, ids->data + length,
                                     all - length, false, &rest, &rest_bytes);
    }
    if (status == FR_OK) {
        fr_log(env->ctx, FR_LOG_WARN,
               "tasks.%s.prefix.length %lld takes the first %lld of the init "
               "text's %lld tokens; cut off: '%.*s'%s",
               config->name, (long long)length, (long long)length, (long long)all,
               (int)SHOWN, rest, rest_bytes > SHOWN ? " ..." : "");
        status = fr_alloc(env->ctx, (int64_t)used_bytes + MORE_BYTES, 1, note);
    }
    if (status == FR_OK) {
        (void)snprintf(*note, used_bytes + MORE_BYTES,
                       "text, the first %lld of %lld tokens: %s", (long long)length,
                       (long long)all, used);
    }
    free(used);
    free(rest);
    return status;
}

/* Token i repeats the one that lies a text's length before it. The BOS is not a part of the text and comes once. */
static fr_status repeat(const fr_task_env *env, const fr_task_config *config,
                        fr_ids *ids, int64_t n_bos, char **note)
{
    enum { MORE_BYTES = 96 };
    int64_t length = config->prefix.length;
    int64_t all = ids->count;
    for (int64_t i = all; i < length; i++) {
        FR_TRY(fr_ids_add(env->ctx, ids, ids->data[i - (all - n_bos)]));
    }
    if (note == NULL) {
        return FR_OK;
    }
    fr_log(env->ctx, FR_LOG_INFO,
           "task %s: its init text's %lld tokens are repeated to fill %lld slots",
           config->name, (long long)(all - n_bos), (long long)length);
    size_t bytes = strlen(config->prefix.text) + MORE_BYTES;
    FR_TRY(fr_alloc(env->ctx, (int64_t)bytes, 1, note));
    (void)snprintf(*note, bytes,
                   "text, its %lld tokens repeated to fill %lld slots: %s",
                   (long long)(all - n_bos), (long long)length, config->prefix.text);
    return FR_OK;
}

fr_status fr_init_text_ids(const fr_task_env *env, const fr_task_config *config,
                           fr_ids *ids, char **note)
{
    int64_t n_bos = 0;
    FR_TRY(encode(env, config, ids, &n_bos));
    int64_t length = config->prefix.length;
    if (length == FR_AUTO || length == ids->count) {
        return FR_OK;
    }
    if (length < ids->count) {
        return cut(env, config, ids, length, note);
    }
    if (config->prefix.repeat_text) {
        return repeat(env, config, ids, n_bos, note);
    }
    return FR_FAIL(env->ctx, FR_ERR_CONFIG,
                   "tasks.%s.prefix.length is %lld, its init text has %lld tokens; "
                   "write a longer text, set a smaller length, or set "
                   "prefix.repeat_text: true to repeat the text",
                   config->name, (long long)length, (long long)ids->count);
}
