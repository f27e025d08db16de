#include "cli/answer_texts.h"

#include "base/mem.h"
#include "base/print.h"
#include "model/text/text_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* `stream` is there from the row's first id until its end. */
typedef struct answer {
    fr_text_stream *stream;
    int64_t n_seen; /* ids */
} answer;

struct fr_answer_texts {
    fr_ctx *ctx;
    fr_answer_texts_params params;
    answer *answers;
};

fr_status fr_answer_texts_open(fr_ctx *ctx, const fr_answer_texts_params *params,
                               fr_answer_texts **out)
{
    fr_answer_texts *t = NULL;
    *out = NULL;
    if (params->tokenizer == NULL && params->sampling->n_stops > 0) {
        return FR_FAIL(ctx, FR_ERR_ARG,
                       "--stop needs texts, but the model has no tokenizer");
    }
    FR_TRY(fr_alloc(ctx, 1, sizeof *t, &t));
    t->ctx = ctx;
    t->params = *params;
    fr_status status = fr_alloc(ctx, params->n_rows, sizeof *t->answers, &t->answers);
    if (status != FR_OK) {
        fr_answer_texts_close(&t);
    }
    *out = t;
    return status;
}

void fr_answer_texts_close(fr_answer_texts **texts)
{
    fr_answer_texts *t = *texts;
    *texts = NULL;
    if (t == NULL) {
        return;
    }
    for (int64_t i = 0; t->answers != NULL && i < t->params.n_rows; i++) {
        fr_text_stream_close(&t->answers[i].stream);
    }
    free(t->answers);
    free(t);
}

static fr_status show(const fr_answer_texts *t, int64_t index, fr_text piece, bool ends)
{
    FILE *terminal = index == 0 ? t->params.terminal : NULL;
    if (terminal == NULL) {
        return FR_OK;
    }
    fr_print_text(terminal, piece.data, piece.bytes);
    if (ends) {
        (void)fputc('\n', terminal);
    }
    return fflush(terminal) == 0
               ? FR_OK
               : FR_FAIL(t->ctx, FR_ERR_IO, "cannot write to the terminal: %s",
                         strerror(errno));
}

static fr_status open_stream(const fr_answer_texts *t, answer *a)
{
    const fr_sampling *sampling = t->params.sampling;
    return fr_text_stream_open(t->ctx, t->params.tokenizer,
                               (const char *const *)sampling->stops, sampling->n_stops,
                               &a->stream);
}

fr_status fr_answer_texts_grown(fr_answer_texts *texts, int64_t index,
                                const fr_generate_row *row, bool *leave)
{
    fr_answer_texts *t = texts;
    answer *a = &t->answers[index];
    fr_text piece = fr_text_of("");
    bool is_shown = index == 0 && t->params.terminal != NULL;
    if (t->params.tokenizer == NULL ||
        (t->params.sampling->n_stops == 0 && !is_shown)) {
        return FR_OK;
    }
    if (a->stream == NULL) {
        FR_TRY(open_stream(t, a));
    }
    while (a->n_seen < row->out.count && !*leave) {
        FR_TRY(
            fr_text_stream_add(a->stream, row->out.data[a->n_seen++], &piece, leave));
        FR_TRY(show(t, index, piece, false));
    }
    if (*leave || row->state != FR_ROW_GOES_ON) {
        FR_TRY(fr_text_stream_end(a->stream, &piece));
        FR_TRY(show(t, index, piece, true));
        fr_text_stream_close(&a->stream);
    }
    return FR_OK;
}
