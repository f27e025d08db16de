/* A row's line is the row itself, unchanged but for members of an earlier evaluation, and behind its members the references,
 * the answer and its scores. Its base_ members are those of the base alone. */
#define _POSIX_C_SOURCE 200809L
#include "cli/eval_rows.h"

#include "base/json.h"
#include "base/mem.h"
#include "cli/answers.h"
#include "train/data/row_json.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- one answer ---------------------------------------------------------------------------------- */

/* References as texts, borrowed from their list. */
static fr_status reference_texts(fr_ctx *ctx, const json_t *list, fr_text **out)
{
    size_t n = json_array_size(list);
    FR_TRY(fr_alloc(ctx, (int64_t)n, sizeof **out, out));
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_array_get(list, i);
        (*out)[i] = (fr_text){json_string_value(text), json_string_length(text)};
    }
    return FR_OK;
}

static fr_status score_answer(const fr_eval_rows *r, const json_t *list,
                              const fr_generate_row *answer, fr_eval_scores *scores,
                              fr_row_scores *out)
{
    const fr_answer_form form = {.tokenizer = r->tokenizer};
    char *text = NULL;
    size_t bytes = 0;
    fr_text *references = NULL;
    fr_status status = fr_answer_text(r->ctx, &form, &answer->out, &text, &bytes);
    if (status == FR_OK) {
        status = reference_texts(r->ctx, list, &references);
    }
    if (status == FR_OK) {
        status = fr_scores_add(r->ctx, (fr_text){text, bytes}, references,
                               (int64_t)json_array_size(list), &scores->sums, out);
    }
    scores->n_full += answer->state == FR_ROW_FULL ? 1 : 0;
    free(references);
    free(text);
    return status;
}

/* ---- lines of rows -------------------------------------------------------------------------------- */

static void write_scores(FILE *out, const char *name, const fr_row_scores *scores)
{
    char rouge_l[FR_JSON_NUMBER_BYTES];
    char chrf[FR_JSON_NUMBER_BYTES];
    (void)fprintf(out, ",\"%s\":{\"exact_match\":%d,\"rouge_l\":%s,\"chrf\":%s}", name,
                  scores->exact_match ? 1 : 0, fr_json_number(scores->rouge_l, rouge_l),
                  fr_json_number(scores->chrf, chrf));
}

/* The answer of the base alone, as members: the line of an object without any, without its braces. */
static fr_status write_base(const fr_eval_rows *r, const fr_generate_row *answer,
                            const fr_row_scores *scores, FILE *out)
{
    const fr_answer_form form = {.tokenizer = r->tokenizer};
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(fr_answer_text(r->ctx, &form, &answer->out, &text, &bytes));
    json_t *string = json_stringn(text, bytes);
    (void)fputs(",\"base_generated\":", out);
    bool good = string != NULL && json_dumpf(string, out, JSON_ENCODE_ANY) == 0;
    (void)fputs(",\"base_ids\":[", out);
    for (int64_t i = 0; i < answer->out.count; i++) {
        (void)fprintf(out, "%s%d", i > 0 ? "," : "", (int)answer->out.data[i]);
    }
    (void)fputs("]", out);
    write_scores(out, "base_scores", scores);
    json_decref(string);
    free(text);
    return fr_check_memory(r->ctx, good, bytes);
}

/* The row with its answer, its closing brace left out, then what is added here. */
static fr_status write_row(const fr_eval_rows *r, int64_t i, const json_t *references,
                           const fr_row_scores *scores, FILE *out)
{
    static const char *const LEFT_OUT[] = {
        "generated",      "generated_ids", "references",  "scores",
        "base_generated", "base_ids",      "base_scores", NULL};
    const fr_answer_form form = {.tokenizer = r->tokenizer};
    const fr_prompt *prompt = &r->prompts->rows[i];
    char *row = NULL;
    char *line = NULL;
    size_t row_bytes = 0;
    size_t bytes = 0;
    fr_status status = fr_row_json_write(r->ctx, prompt->text, prompt->bytes, LEFT_OUT,
                                         &row, &row_bytes);
    if (status == FR_OK) {
        status = fr_answer_line(r->ctx, &form, row, row_bytes, &r->answers->rows[i].out,
                                &line, &bytes);
    }
    if (status == FR_OK) {
        bool good = fwrite(line, 1, bytes - 1, out) == bytes - 1 &&
                    fputs(",\"references\":", out) >= 0 &&
                    json_dumpf(references, out, JSON_COMPACT) == 0;
        write_scores(out, "scores", scores);
        status = fr_check_memory(r->ctx, good, bytes);
    }
    free(row);
    free(line);
    return status;
}

/* ---- all rows ------------------------------------------------------------------------------------- */

static fr_status score_row(const fr_eval_rows *r, int64_t i, fr_eval_result *result,
                           FILE *out)
{
    const json_t *references = r->references->rows[i].texts;
    const fr_generate_row *base =
        &r->answers->rows[r->answers->n_all - r->answers->n + i];
    fr_row_scores scores;
    FR_TRY(score_answer(r, references, &r->answers->rows[i], &result->scores, &scores));
    if (out != NULL) {
        FR_TRY(write_row(r, i, references, &scores, out));
    }
    if (result->has_base) {
        FR_TRY(score_answer(r, references, base, &result->base, &scores));
        if (out != NULL) {
            FR_TRY(write_base(r, base, &scores, out));
        }
    }
    return out == NULL ? FR_OK : fr_check_memory(r->ctx, fputs("}\n", out) >= 0, 1);
}

fr_status fr_eval_rows_score(const fr_eval_rows *rows, fr_eval_result *result,
                             char **lines, size_t *bytes)
{
    FILE *out = NULL;
    fr_status status = FR_OK;
    *result = (fr_eval_result){.has_base = rows->answers->n_all > rows->answers->n};
    if (lines != NULL) {
        *lines = NULL;
        *bytes = 0;
        out = open_memstream(lines, bytes);
        FR_TRY(fr_check_memory(rows->ctx, out != NULL, 1));
    }
    for (int64_t i = 0; i < rows->answers->n && status == FR_OK; i++) {
        status = score_row(rows, i, result, out);
    }
    if (out != NULL) {
        bool good = ferror(out) == 0;
        good = fclose(out) == 0 && good;
        status = status == FR_OK ? fr_check_memory(rows->ctx, good, *bytes) : status;
    }
    return status;
}

/* ---- the result ---------------------------------------------------------------------------------- */

static void print_object(const fr_eval_scores *s)
{
    fr_scores scores = fr_scores_of(&s->sums);
    char exact[FR_JSON_NUMBER_BYTES];
    char rouge_l[FR_JSON_NUMBER_BYTES];
    char bleu[FR_JSON_NUMBER_BYTES];
    char chrf[FR_JSON_NUMBER_BYTES];
    (void)printf("{\"exact_match\": %s, \"rouge_l\": %s, \"bleu\": %s, \"chrf\": %s, "
                 "\"cut_off\": %lld}",
                 fr_json_number(scores.exact_match, exact),
                 fr_json_number(scores.rouge_l, rouge_l),
                 fr_json_number(scores.bleu, bleu), fr_json_number(scores.chrf, chrf),
                 (long long)s->n_full);
}

static void print_json(const fr_eval_result *result, int64_t n_bad)
{
    (void)printf("{\"rows\": %lld, \"left_out\": %lld, \"scores\": ",
                 (long long)result->scores.sums.n_rows, (long long)n_bad);
    print_object(&result->scores);
    if (result->has_base) {
        (void)printf(", \"base_scores\": ");
        print_object(&result->base);
    }
    (void)printf("}\n");
}

/* One line of the table. */
static void print_line(const char *name, int digits, double with, double base,
                       bool has_base)
{
    (void)printf("%-12s", name);
    (void)printf("%12.*f", digits, with);
    if (has_base) {
        (void)printf("%12.*f", digits, base);
    }
    (void)printf("\n");
}

void fr_eval_rows_print(const fr_eval_result *result, int64_t n_bad, bool json)
{
    bool both = result->has_base;
    fr_scores with = fr_scores_of(&result->scores.sums);
    fr_scores base = fr_scores_of(&result->base.sums);
    if (json) {
        print_json(result, n_bad);
        return;
    }
    if (both) {
        (void)printf("%-12s%12s%12s\n", "", "prefix", "base alone");
    }
    print_line("exact match", 4, with.exact_match, base.exact_match, both);
    print_line("ROUGE-L", 4, with.rouge_l, base.rouge_l, both);
    print_line("BLEU", 2, with.bleu, base.bleu, both);
    print_line("chrF", 2, with.chrf, base.chrf, both);
    print_line("cut off", 0, (double)result->scores.n_full, (double)result->base.n_full,
               both);
    (void)printf("%-12s%12lld", "rows", (long long)result->scores.sums.n_rows);
    if (n_bad > 0) {
        (void)printf(" (%lld left out)", (long long)n_bad);
    }
    (void)printf("\n");
}
