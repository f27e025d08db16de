/* The schedule as lines of characters, one line for each stage.
 *
 * The scale follows from the shortest pass. If there is space for two labelled passes a stage, that pass gets the
 * columns of the longest label, and labels such as Fa3 are written out (direction, task, microbatch). Otherwise it
 * gets one column, and a pass is the letter of its task. Time beyond the last column is cut, and the line below says
 * so.
 */
#include "train/forecast/picture.h"

#include <math.h>
#include <string.h>

/* Rows that fit on a terminal; with more stages the middle ones are left out. MAX_COLUMNS bounds the line buffer. */
enum { MAX_ROWS = 24, MAX_COLUMNS = 400, LABEL_BYTES = 32 };

static char task_letter(int64_t task)
{
    return (char)('a' + task % 26);
}

/* How the time is laid out. */
typedef struct scale {
    int left;      /* columns before the first */
    int columns;   /* of time */
    double column; /* seconds of a column */
    bool compact;  /* a pass is a letter */
} scale;

static int label_of(const fr_time_span *span, char label[LABEL_BYTES])
{
    return snprintf(label, LABEL_BYTES, "%c%c%lld", span->forward ? 'F' : 'B',
                    task_letter(span->task), (long long)span->microbatch);
}

static double shortest_span(const fr_timeline *t)
{
    double shortest = t->end;
    for (int64_t i = 0; i < t->n_spans; i++) {
        double length = t->spans[i].end - t->spans[i].start;
        shortest = length > 0.0 && length < shortest ? length : shortest;
    }
    return shortest;
}

static int longest_label(const fr_timeline *t)
{
    int longest = 0;
    for (int64_t i = 0; i < t->n_spans; i++) {
        char label[LABEL_BYTES];
        int n = label_of(&t->spans[i], label);
        longest = n > longest ? n : longest;
    }
    return longest;
}

static scale scale_of(const fr_picture *p, int columns)
{
    scale s = {.left = (int)sizeof "stage 1234 " - 1};
    int max = columns < MAX_COLUMNS ? columns : MAX_COLUMNS;
    double shortest = shortest_span(p->timeline);
    int cell = longest_label(p->timeline) + 1;
    s.columns = max - s.left;
    s.compact = cell * 2 * p->n_stages > s.columns;
    s.column = s.compact ? shortest : shortest / cell;
    return s;
}

static void draw_span(const fr_time_span *span, const scale *s, char *row)
{
    char label[LABEL_BYTES];
    int n = label_of(span, label);
    double from = span->start / s->column;
    double to = span->end / s->column;
    if (from >= s->columns) {
        return;
    }
    int first = (int)lround(from);
    int end = to < s->columns ? (int)lround(to) : s->columns;
    for (int c = first; c < end; c++) {
        if (s->compact) {
            row[c] = label[1];
            row[c] = (char)(span->forward ? row[c] : row[c] - 'a' + 'A');
        } else {
            row[c] = c - first < n ? label[c - first] : span->forward ? '-' : '=';
        }
    }
}

static void draw_stage(const fr_picture *p, int stage, const scale *s, FILE *out)
{
    char row[MAX_COLUMNS + 1];
    const fr_timeline *t = p->timeline;
    double end = fmin(ceil(t->end / s->column - 1e-6), s->columns);
    memset(row, '.', sizeof row);
    row[(int)end] = '\0';
    for (int64_t i = 0; i < t->n_spans; i++) {
        if (t->spans[i].stage == stage) {
            draw_span(&t->spans[i], s, row);
        }
    }
    (void)fprintf(out, "stage %-5d%s\n", stage, row);
}

void fr_picture_text(const fr_picture *picture, int columns, FILE *out)
{
    const fr_timeline *t = picture->timeline;
    scale s = scale_of(picture, columns);
    bool cut = picture->n_stages > MAX_ROWS;
    for (int stage = 0; stage < picture->n_stages; stage++) {
        if (cut && stage == MAX_ROWS / 2) {
            stage = picture->n_stages - MAX_ROWS / 2;
            (void)fprintf(out, "      (%d stages)\n", picture->n_stages - MAX_ROWS);
        }
        draw_stage(picture, stage, &s, out);
    }
    (void)fprintf(out, "%*sa column is %.3g s", s.left, "", s.column);
    if (t->end > s.columns * s.column * (1.0 + 1e-9)) {
        (void)fprintf(out, "; cut: %.3g s of %.3g s are shown", s.columns * s.column,
                      t->end);
    }
    (void)fprintf(out, "\n");
    if (s.compact) {
        (void)fprintf(out, "%*ssmall letters forward, capitals backward\n", s.left, "");
    }
    for (int64_t i = 0; i < picture->n_tasks && i < MAX_ROWS; i++) {
        (void)fprintf(out, "%*s%c: %s\n", s.left, "", task_letter(i),
                      picture->task_names[i]);
    }
}
