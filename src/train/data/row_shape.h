/*
 * row_shape.h - rows as other projects publish them, and rows whose members the user names, become rows of our own forms.
 *
 * After fr_row_settle a row has no members but "source", "target", "source_ids", "target_ids", "messages" and "tools" and
 * those that are ignored, whatever form it came in. docs/data.md lists the forms.
 */
#ifndef FR_TRAIN_DATA_ROW_SHAPE_H
#define FR_TRAIN_DATA_ROW_SHAPE_H

#include "base/ctx.h"

#include <jansson.h>

/** Forms of rows and of files as bits of one number, so that a file says which ones it has. Token caches hold them. */
typedef enum fr_row_forms {
    FR_FORM_TEXT = 1 << 0,       /* source and target */
    FR_FORM_IDS = 1 << 1,        /* source_ids and target_ids */
    FR_FORM_MESSAGES = 1 << 2,   /* messages */
    FR_FORM_ALPACA = 1 << 3,     /* instruction, input, output */
    FR_FORM_SHAREGPT = 1 << 4,   /* conversations of from and value */
    FR_FORM_COMPLETION = 1 << 5, /* prompt and completion */
    FR_FORM_FIELDS = 1 << 6,     /* members named by `fields` */
    FR_FORM_LIST = 1 << 7,       /* the file is one JSON list */
    FR_FORM_CSV = 1 << 8,        /* the file is a table with commas or semicolons */
    FR_FORM_TSV = 1 << 9,        /* the file is a table with tabs */
    FR_FORMS_END = 1 << 10
} fr_row_forms;

/** Most members that `fields` names, and bytes of the longest name with its end. */
enum { FR_MAX_FIELDS = 6, FR_FIELD_BYTES = 128 };

/** Which member of a row stands for which of ours. */
typedef struct fr_row_fields {
    int n; /* 0: rows have their own names */
    struct {
        const char *own; /* "source", "target" ... */
        char name[FR_FIELD_BYTES];
    } of[FR_MAX_FIELDS];
} fr_row_fields;

/**
 * Read `fields`: a JSON object of texts, as a config keeps it, or "source=NAME,target=NAME", as an option has it.
 * @param text  NULL: no fields
 * @return FR_OK; FR_ERR_CONFIG: a key that is not ours, a name that is empty or too long, neither a target nor messages
 */
FR_MUST_CHECK fr_status fr_row_fields_read(fr_ctx *ctx, const char *text,
                                           fr_row_fields *out);

/** Tell, on rank 0, which forms the rows of a file have. */
void fr_row_report_forms(const fr_ctx *ctx, const char *path, int64_t forms);

#endif
