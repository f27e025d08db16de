/*
 * The rows pass by once (data_scan.h); what is kept of them are counts and a bounded set of hashes. The first three are
 * printed at once: run by run of ids that are in the loss or are not, as texts in JSON, so that line ends and spaces show.
 */
#include "cli/data_report.h"

#include "base/mem.h"
#include "base/print.h"
#include "base/utf8.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SHOWN = 3 };

/* ---- rows as the model sees them ---------------------------------------------------------------- */

/* The first id has no predecessor, so it is never learned. */
static bool is_learned(const fr_row_seen *row, int64_t i)
{
    return i > 0 && row->counted->data[i] != 0;
}

static fr_status print_ids(const fr_row_seen *row, int64_t first, int64_t end)
{
    (void)printf("[");
    for (int64_t i = first; i < end; i++) {
        (void)printf("%s%d", i > first ? ", " : "", row->ids->data[i]);
    }
    (void)printf("]\n");
    return FR_OK;
}

static fr_status print_run(const fr_data_report *r, const fr_row_seen *row,
                           int64_t first, int64_t end)
{
    char *text = NULL;
    char *shown = NULL;
    size_t bytes = 0;
    (void)printf("  %s  ", is_learned(row, first) ? "learned" : "given  ");
    if (r->params->tokenizer == NULL) {
        return print_ids(row, first, end);
    }
    fr_status status =
        fr_tokenizer_decode(r->ctx, r->params->tokenizer, row->ids->data + first,
                            end - first, false, &text, &bytes);
    if (status == FR_OK) {
        status = fr_utf8_repair(r->ctx, &text, &bytes, NULL);
    }
    if (status == FR_OK) {
        json_t *string = json_stringn(text, bytes);
        shown = json_dumps(string, JSON_ENCODE_ANY);
        json_decref(string);
        status = fr_check_memory(r->ctx, shown != NULL, bytes);
    }
    if (status == FR_OK) {
        fr_print_line(stdout, "%s", shown);
    }
    free(shown);
    free(text);
    return status;
}

static fr_status print_row(const fr_data_report *r, const fr_row_seen *row)
{
    int64_t n = row->first_end;
    fr_print_line(stdout, "row at %s:%lld, %lld tokens%s%s", r->params->path,
                  (long long)row->line, (long long)n,
                  row->n_kept > 1 ? ", the first of several targets" : "",
                  row->n_cut > 0 ? ", cut" : "");
    for (int64_t first = 0; first < n;) {
        int64_t end = first + 1;
        while (end < n && is_learned(row, end) == is_learned(row, first)) {
            end++;
        }
        FR_TRY(print_run(r, row, first, end));
        first = end;
    }
    return FR_OK;
}

/* ---- counting ------------------------------------------------------------------------------------ */

static void count_length(fr_data_report *r, const fr_row_seen *row)
{
    int bin = 0;
    while (bin < FR_LENGTH_BINS - 1 && ((int64_t)1 << bin) < row->longest) {
        bin++;
    }
    r->bins[bin]++;
    if (row->longest > r->longest) {
        r->longest = row->longest;
        r->longest_line = row->line;
    }
}

fr_status fr_data_report_other(void *of, const fr_row_seen *row)
{
    fr_data_report *r = of;
    int64_t first = 0;
    return row->n_kept > 0
               ? fr_row_set_add(r->others, row->ids, row->counted, row->line, &first)
               : FR_OK;
}

static void note(int64_t *n, int64_t lines[2], int64_t first, int64_t second)
{
    *n += 1;
    if (*n == 1) {
        lines[0] = first;
        lines[1] = second;
    }
}

fr_status fr_data_report_row(void *of, const fr_row_seen *row)
{
    fr_data_report *r = of;
    int64_t first = 0;
    count_length(r, row);
    if (row->n_kept == 0) {
        r->n_all_dropped++;
        return FR_OK;
    }
    FR_TRY(fr_row_set_add(r->own, row->ids, row->counted, row->line, &first));
    if (first != 0) {
        note(&r->n_twice, r->twice, first, row->line);
    }
    first = r->others != NULL ? fr_row_set_find(r->others, row->ids, row->counted) : 0;
    if (first != 0) {
        note(&r->n_shared, r->shared, row->line, first);
    }
    if (r->n_shown < N_SHOWN) {
        r->n_shown++;
        return print_row(r, row);
    }
    return FR_OK;
}

/* ---- printing ------------------------------------------------------------------------------------- */

static void print_bin(const fr_data_report *r, int bin, int64_t most)
{
    enum { WIDTH = 40 };
    static const char BAR[WIDTH + 1] = "########################################";
    int64_t n = r->bins[bin];
    int length = (int)((double)n * WIDTH / (double)most);
    int64_t low = bin == 0 ? 1 : ((int64_t)1 << (bin - 1)) + 1;
    (void)printf("  %8lld to %-8lld %10lld  %.*s\n", (long long)low,
                 (long long)((int64_t)1 << bin), (long long)n,
                 n > 0 && length == 0 ? 1 : length, BAR);
}

static void print_lengths(const fr_data_report *r)
{
    int last = -1;
    int first = FR_LENGTH_BINS;
    int64_t most = 1;
    for (int i = 0; i < FR_LENGTH_BINS; i++) {
        if (r->bins[i] > 0) {
            last = i;
            first = i < first ? i : first;
        }
        most = r->bins[i] > most ? r->bins[i] : most;
    }
    if (last < 0) {
        return;
    }
    (void)printf("tokens of the source and the longest target, rows:\n");
    for (int i = first; i <= last; i++) {
        print_bin(r, i, most);
    }
    fr_print_line(stdout, "longest        %lld tokens, at %s:%lld; at most %lld fit",
                  (long long)r->longest, r->params->path, (long long)r->longest_line,
                  (long long)r->params->max_tokens);
}

static void print_equal(const fr_data_report *r)
{
    if (r->n_twice > 0) {
        fr_print_line(
            stdout,
            "duplicates     %lld rows equal an earlier one, first %s:%lld and :%lld",
            (long long)r->n_twice, r->params->path, (long long)r->twice[0],
            (long long)r->twice[1]);
    } else {
        (void)printf("duplicates     none\n");
    }
    if (r->n_shared > 0) {
        fr_print_line(
            stdout, "shared         %lld rows are in %s too, first %s:%lld and %s:%lld",
            (long long)r->n_shared, r->other, r->params->path, (long long)r->shared[0],
            r->other, (long long)r->shared[1]);
    } else if (r->other != NULL) {
        fr_print_line(stdout, "shared         no row is in %s too", r->other);
    }
    if (fr_row_set_is_full(r->own) ||
        (r->others != NULL && fr_row_set_is_full(r->others))) {
        (void)printf(
            "               (looked for among the first %d different rows of a "
            "file)\n",
            FR_ROW_SET_MOST);
    }
}

void fr_data_report_print(const fr_data_report *r)
{
    const fr_data_stats *s = &r->stats;
    (void)printf("rows           %lld used, %lld bad, %lld too long\n",
                 (long long)s->n_rows, (long long)s->n_unusable,
                 (long long)r->n_all_dropped);
    (void)printf("examples       %lld used, %lld cut, %lld dropped because they are "
                 "longer than %lld tokens\n",
                 (long long)s->n_examples, (long long)s->n_cut, (long long)s->n_dropped,
                 (long long)r->params->max_tokens);
    (void)printf("tokens         %lld of sources, %lld learned\n",
                 (long long)s->n_source_tokens, (long long)s->n_target_tokens);
    print_lengths(r);
    print_equal(r);
}
