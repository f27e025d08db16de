/* Reads tokenizer.model into a draft, of a folder that has no other tokenizer.
 *
 * The names of BOS and EOS, which other files of such a folder often do not have, and a table from texts to ids are put where
 * these files would have them, so that all who look there find them. */
#include "model/text/tokenizer_sentencepiece.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/text/sentencepiece.h"
#include "model/text/tokenizer_json.h"

#include <stdlib.h>
#include <string.h>

static fr_status refuse(fr_ctx *ctx, const char *path, const char *what)
{
    return FR_FAIL(ctx, FR_ERR_UNSUPPORTED,
                   "%s %s. Save the tokenizer with transformers, which writes "
                   "tokenizer.json, or give rows as token ids (source_ids, "
                   "target_ids)",
                   path, what);
}

static fr_status check(fr_ctx *ctx, const char *path, const fr_sentencepiece *model)
{
    if (model->model != FR_PIECES_UNIGRAM && model->model != FR_PIECES_BPE) {
        return refuse(ctx, path,
                      "holds a model of words or characters; supported: BPE, Unigram");
    }
    if (model->suffix) {
        return refuse(ctx, path,
                      "sets treat_whitespace_as_suffix; only false is supported");
    }
    if (model->decoding.bytes > 0) {
        return refuse(ctx, path,
                      "normalizes decoded texts; a denormalizer_spec is not supported");
    }
    return FR_OK;
}

static uint8_t kind_of(uint8_t type)
{
    switch (type) {
    case FR_PIECE_UNKNOWN:
    case FR_PIECE_CONTROL:
        return FR_TOKEN_SPECIAL;
    case FR_PIECE_USER_DEFINED:
        return FR_TOKEN_ADDED;
    case FR_PIECE_UNUSED:
        return FR_TOKEN_UNUSED;
    case FR_PIECE_BYTE:
        return FR_TOKEN_BYTE;
    default:
        return FR_TOKEN_NORMAL;
    }
}

/* User-defined pieces are found in the normalized text, where they stand as they are written. */
static fr_status fill_tokens(fr_ctx *ctx, const fr_sentencepiece *model,
                             int64_t capacity, fr_token_draft *draft)
{
    FR_TRY(fr_alloc(ctx, capacity, sizeof *draft->texts, &draft->texts));
    FR_TRY(fr_alloc(ctx, capacity, 1, &draft->kinds));
    FR_TRY(fr_alloc(ctx, capacity, 1, &draft->late));
    FR_TRY(fr_alloc(ctx, capacity, 1, &draft->how));
    FR_TRY(fr_alloc(ctx, capacity, sizeof *draft->scores, &draft->scores));
    draft->n_tokens = model->n;
    for (int64_t i = 0; i < model->n; i++) {
        const fr_sentence_piece *piece = &model->pieces[i];
        draft->texts[i] = piece->text;
        draft->kinds[i] = kind_of(piece->type);
        draft->scores[i] = (double)piece->score;
        draft->late[i] = piece->type == FR_PIECE_USER_DEFINED;
        if (piece->type == FR_PIECE_UNKNOWN && draft->unknown < 0) {
            draft->unknown = i;
        }
    }
    draft->late_plain = true;
    return FR_OK;
}

static fr_status fill_draft(fr_ctx *ctx, const fr_token_files *files,
                            const fr_sentencepiece *model, fr_token_draft *draft)
{
    fr_spaces spaces = {model->charsmap, model->remove_extra, model->escape,
                        model->add_prefix};
    int64_t end = fr_added_tokens_end(files);
    int64_t capacity = end > model->n ? end : model->n;
    draft->model = model->model == FR_PIECES_BPE ? FR_MODEL_SPM : FR_MODEL_UNIGRAM;
    draft->byte_fallback = model->byte_fallback;
    draft->fuse_unknown = true;
    draft->single_sums = true;
    FR_TRY(fr_spaces_normalizer(ctx, &spaces, draft));
    FR_TRY(fill_tokens(ctx, model, capacity, draft));
    return fr_added_tokens_read(ctx, files, capacity, draft);
}

/* Texts with a NUL character, or that are not UTF-8, are left out: nothing names them. */
static fr_status list_pieces(fr_ctx *ctx, const fr_sentencepiece *model,
                             fr_token_files *files)
{
    enum { LONGEST = 256 };
    char text[LONGEST];
    json_decref(files->vocabulary);
    files->vocabulary = json_object();
    FR_TRY(fr_check_memory(ctx, files->vocabulary != NULL, 1));
    for (int64_t i = model->n; i-- > 0;) {
        fr_text piece = model->pieces[i].text;
        if (piece.bytes < LONGEST && memchr(piece.data, '\0', piece.bytes) == NULL) {
            memcpy(text, piece.data, piece.bytes);
            text[piece.bytes] = '\0';
            (void)json_object_set_new(files->vocabulary, text, json_integer(i));
        }
    }
    return FR_OK;
}

/* Names a role where no file does. */
static fr_status name_role(fr_ctx *ctx, const fr_sentencepiece *model, const char *role,
                           int64_t id, fr_token_files *files)
{
    const char *file = NULL;
    if (id < 0 || id >= model->n ||
        fr_token_files_named(files, role, 0, &file) != NULL ||
        fr_token_files_named(files, role, 1, &file) != NULL) {
        return FR_OK;
    }
    if (files->special_tokens_map == NULL) {
        files->special_tokens_map = json_object();
        FR_TRY(fr_check_memory(ctx, files->special_tokens_map != NULL, 1));
    }
    fr_text piece = model->pieces[id].text;
    /* NULL, which leaves the role unnamed, for a text that is not UTF-8 */
    (void)json_object_set_new(files->special_tokens_map, role,
                              json_stringn(piece.data, piece.bytes));
    return FR_OK;
}

/* Classes of tokenizers that put BOS in front of a text unless the configuration says otherwise. */
static bool class_adds_bos(const fr_token_files *files)
{
    static const char *const CLASSES[] = {
        "LlamaTokenizer",         "LlamaTokenizerFast", "CodeLlamaTokenizer",
        "CodeLlamaTokenizerFast", "GemmaTokenizer",     "GemmaTokenizerFast"};
    const char *name =
        json_string_value(json_object_get(files->tokenizer_config, "tokenizer_class"));
    for (size_t i = 0; name != NULL && i < sizeof CLASSES / sizeof *CLASSES; i++) {
        if (strcmp(name, CLASSES[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool fr_sentencepiece_is_there(const fr_token_files *files, const char *path)
{
    return !fr_file_exists(files->path) && fr_file_exists(path);
}

fr_status fr_tokenizer_read_sentencepiece(fr_ctx *ctx, fr_token_files *files,
                                          char *path, char **data,
                                          fr_token_draft *draft)
{
    fr_sentencepiece model;
    size_t bytes = 0;
    free(files->path);
    files->path = path;
    draft->path = path;
    draft->add_bos = class_adds_bos(files);
    FR_TRY(fr_file_read(ctx, path, data, &bytes));
    /* the first field is a piece; another format of this name has lines of text */
    if (bytes == 0 || **data != '\n') {
        return refuse(ctx, path, "is not a SentencePiece model; no other is supported");
    }
    FR_TRY(fr_sentencepiece_read(ctx, path, (fr_text){*data, bytes}, &model));
    fr_status status = check(ctx, path, &model);
    if (status == FR_OK) {
        status = list_pieces(ctx, &model, files);
    }
    if (status == FR_OK) {
        status = name_role(ctx, &model, "bos_token", model.bos, files);
    }
    if (status == FR_OK) {
        status = name_role(ctx, &model, "eos_token", model.eos, files);
    }
    if (status == FR_OK) {
        status = fill_draft(ctx, files, &model, draft);
    }
    fr_sentencepiece_fini(&model);
    return status;
}
