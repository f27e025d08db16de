/* The picture as SVG. From top to bottom: title and subtitle, one row for each stage, the time axis, the legend.
 *
 * lay_out decides the scale: the width is fixed, and at most so much time is shown that the shortest pass is MIN_PASS
 * pixels wide; the rest is cut and the last line says so. A row's height shrinks with the number of stages. A row's
 * grey ground shows where the stage is idle. Each pass has a title that browsers show as a tooltip. Texts that come
 * from the config are escaped (write_text).
 */
#include "train/forecast/picture.h"

#include "base/elementary.h"
#include "base/integer.h"

#include <math.h>

/* Pixels, where nothing else is said. */
enum {
    WIDTH = 1400,
    LEFT = 170,
    RIGHT = 40,
    TOP = 104,
    PLOT = WIDTH - LEFT - RIGHT,
    MIN_PASS = 6,    /* a narrower pass would not be seen */
    MIN_LABEL = 18,  /* a narrower pass has no space for its number */
    MAX_LEGEND = 16, /* tasks that the legend names */
    LEGEND_COLUMNS = 4,
    LEGEND_ROW = 24
};

typedef struct colours {
    const char *forward;
    const char *backward;
} colours;

/* Pairs of a light and a dark tone of one colour; with more tasks the pairs begin again. */
static const colours COLOURS[] = {
    {"#8ec1ea", "#2b6cb0"}, {"#f7c07a", "#c05621"}, {"#9ad8a8", "#2f855a"},
    {"#cbb2ea", "#6b46a8"}, {"#f4a9a8", "#b83232"}, {"#8fd8d2", "#1f7a7a"},
    {"#dcc4a0", "#7b5a2e"}, {"#f0b3d6", "#a83a80"},
};
enum { N_COLOURS = sizeof COLOURS / sizeof COLOURS[0] };

static const colours *colours_of(int64_t task)
{
    return &COLOURS[task % N_COLOURS];
}

/* Sizes and scale of the picture. */
typedef struct sheet {
    const fr_picture *picture;
    FILE *out;
    double seconds; /* that are shown */
    double row;     /* pixels from one stage to the next */
    double bottom;  /* of the rows */
    double height;
} sheet;

static double shown_seconds(const fr_timeline *t)
{
    double shortest = t->end;
    for (int64_t i = 0; i < t->n_spans; i++) {
        double length = t->spans[i].end - t->spans[i].start;
        shortest = length > 0.0 && length < shortest ? length : shortest;
    }
    return fmin(t->end, shortest * PLOT / MIN_PASS);
}

static int64_t legend_rows(const fr_picture *p)
{
    return fr_ceil_div(fr_min(p->n_tasks, MAX_LEGEND), LEGEND_COLUMNS);
}

/* Rows of 36 pixels have space for numbers, and 16 of them fit on a screen; 14 is the least at which names can be
 * read. */
static sheet lay_out(const fr_picture *p, FILE *out)
{
    enum { AXIS = 64, FOOT = 44 };
    sheet s = {.picture = p, .out = out, .seconds = shown_seconds(p->timeline)};
    s.row = p->n_stages <= 16 ? 36.0 : p->n_stages <= 40 ? 22.0 : 14.0;
    s.bottom = TOP + s.row * p->n_stages;
    s.height = s.bottom + AXIS + (double)(LEGEND_ROW * legend_rows(p)) + FOOT;
    return s;
}

static double x_of(const sheet *s, double seconds)
{
    return LEFT + seconds / s->seconds * PLOT;
}

/* Only the content of elements is written here, never an attribute, so quotes need no escaping. */
static void write_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            (void)fputs("&lt;", out);
            break;
        case '>':
            (void)fputs("&gt;", out);
            break;
        case '&':
            (void)fputs("&amp;", out);
            break;
        default:
            (void)fputc(*text, out);
        }
    }
}

static void write_head(const sheet *s)
{
    (void)fprintf(
        s->out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" "
        "viewBox=\"0 0 %d %.0f\" font-family=\"Helvetica, Arial, 'DejaVu Sans', "
        "sans-serif\" font-size=\"13\" fill=\"#2d3748\">\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
        "<text x=\"%d\" y=\"40\" font-size=\"22\" font-weight=\"bold\">",
        (int)WIDTH, s->height, (int)WIDTH, s->height, (int)LEFT);
    write_text(s->out, s->picture->title);
    (void)fprintf(s->out,
                  "</text>\n<text x=\"%d\" y=\"66\" font-size=\"15\" "
                  "fill=\"#4a5568\">",
                  (int)LEFT);
    write_text(s->out, s->picture->subtitle);
    (void)fputs("</text>\n", s->out);
}

/* 1, 2 or 5 times a power of ten, which gives about ten marks. */
static double nice_step(double seconds)
{
    static const double LN10 = 2.3025850929940456840;
    double rough = seconds / 10.0;
    double power = fr_power_of(10.0, floor(fr_ln(rough) / LN10));
    double digit = rough / power;
    return power * (digit <= 1.0   ? 1.0
                    : digit <= 2.0 ? 2.0
                    : digit <= 5.0 ? 5.0
                                   : 10.0);
}

/* The unit follows from the whole time that is shown, so that all marks share one. */
static void write_axis(const sheet *s)
{
    double step = nice_step(s->seconds);
    double unit = s->seconds < 1e-3 ? 1e-6 : s->seconds < 1.0 ? 1e-3 : 1.0;
    const char *name = unit < 1e-3 ? "us" : unit < 1.0 ? "ms" : "s";
    for (int i = 0; i * step <= s->seconds * (1.0 + 1e-9); i++) {
        double x = x_of(s, i * step);
        (void)fprintf(s->out,
                      "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\" "
                      "stroke=\"#cbd5e0\"/>\n"
                      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" "
                      "fill=\"#4a5568\">%.4g</text>\n",
                      x, (int)TOP - 4, x, s->bottom + 6.0, x, s->bottom + 22.0,
                      i * step / unit);
    }
    (void)fprintf(s->out,
                  "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" "
                  "fill=\"#4a5568\">time (%s)</text>\n",
                  LEFT + PLOT / 2.0, s->bottom + 42.0, name);
}

static void write_rows(const sheet *s)
{
    const fr_picture *p = s->picture;
    double end = fmin(p->timeline->end, s->seconds);
    double size = s->row >= 20.0 ? 13.0 : 10.0;
    for (int i = 0; i < p->n_stages; i++) {
        double y = TOP + s->row * i;
        (void)fprintf(
            s->out,
            "<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
            "fill=\"#edf0f4\"/>\n"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" "
            "font-size=\"%.0f\">stage %d<tspan dx=\"5\" fill=\"#718096\">· layers "
            "%lld–%lld</tspan></text>\n",
            (int)LEFT, y + 1.0, x_of(s, end) - LEFT, s->row - 2.0, (int)LEFT - 10,
            y + s->row / 2.0 + size * 0.36, size, i, (long long)p->bounds[i],
            (long long)p->bounds[i + 1] - 1);
    }
}

/* Very narrow passes get smaller gaps and corners: otherwise nothing of them would be left. */
static void write_span(const sheet *s, const fr_time_span *span)
{
    const colours *c = colours_of(span->task);
    double x = x_of(s, span->start);
    double width = x_of(s, fmin(span->end, s->seconds)) - x;
    double y = TOP + s->row * span->stage;
    double gap = width > 8.0 ? 1.0 : 0.4;
    (void)fprintf(s->out, "<g><title>%s of microbatch %lld, step %lld of ",
                  span->forward ? "forward" : "backward", (long long)span->microbatch,
                  (long long)span->step);
    write_text(s->out, s->picture->task_names[span->task]);
    (void)fprintf(s->out,
                  ": %.4g to %.4g s</title><rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" "
                  "height=\"%.1f\" rx=\"%.1f\" fill=\"%s\"/>",
                  span->start, span->end, x + gap / 2.0, y + 2.0,
                  fmax(width - gap, 0.5), s->row - 4.0, width > 8.0 ? 2.5 : 0.5,
                  span->forward ? c->forward : c->backward);
    if (width >= MIN_LABEL && s->row >= 20.0) {
        (void)fprintf(s->out,
                      "<text x=\"%.2f\" y=\"%.1f\" font-size=\"12\" "
                      "text-anchor=\"middle\" fill=\"%s\">%lld</text>",
                      x + width / 2.0, y + s->row / 2.0 + 4.2,
                      span->forward ? "#1a202c" : "#ffffff",
                      (long long)span->microbatch);
    }
    (void)fputs("</g>\n", s->out);
}

static void write_swatch(const sheet *s, double x, double y, const char *colour)
{
    (void)fprintf(s->out,
                  "<rect x=\"%.1f\" y=\"%.1f\" width=\"16\" height=\"14\" rx=\"2.5\" "
                  "fill=\"%s\"/>\n",
                  x, y - 11.0, colour);
}

static void write_legend(const sheet *s)
{
    enum { COLUMN = PLOT / LEGEND_COLUMNS };
    const fr_picture *p = s->picture;
    double top = s->bottom + 72.0;
    for (int64_t i = 0; i < p->n_tasks && i < MAX_LEGEND; i++) {
        double x = LEFT + (double)(i % LEGEND_COLUMNS * COLUMN);
        double y = top + (double)(i / LEGEND_COLUMNS * LEGEND_ROW);
        write_swatch(s, x, y, colours_of(i)->forward);
        write_swatch(s, x + 18.0, y, colours_of(i)->backward);
        (void)fprintf(s->out, "<text x=\"%.1f\" y=\"%.1f\">", x + 42.0, y);
        write_text(s->out, p->task_names[i]);
        (void)fputs("</text>\n", s->out);
    }
    double y = top + (double)(LEGEND_ROW * legend_rows(p));
    write_swatch(s, LEFT, y, "#e2e6ec");
    (void)fprintf(s->out,
                  "<text x=\"%d\" y=\"%.1f\" fill=\"#4a5568\">idle · light: forward · "
                  "dark: backward · numbers: microbatches of a step",
                  (int)LEFT + 24, y);
    if (p->timeline->end > s->seconds * (1.0 + 1e-9)) {
        (void)fprintf(s->out, " · cut: %.3g s of %.3g s are shown", s->seconds,
                      p->timeline->end);
    }
    (void)fputs("</text>\n", s->out);
}

void fr_picture_svg(const fr_picture *picture, FILE *out)
{
    sheet s = lay_out(picture, out);
    const fr_timeline *t = picture->timeline;
    write_head(&s);
    write_rows(&s);
    write_axis(&s);
    for (int64_t i = 0; i < t->n_spans; i++) {
        if (t->spans[i].start < s.seconds) {
            write_span(&s, &t->spans[i]);
        }
    }
    write_legend(&s);
    (void)fputs("</svg>\n", out);
}
