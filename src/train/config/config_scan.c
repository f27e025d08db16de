/* What is bounded before a config becomes a document, and how. */
#include "train/config/config_yaml.h"

#include <string.h>

/* The largest config that fits the schema (4096 tasks with every key) has some 300,000 nodes and six levels; anchors
 * and directives are for people. What is kept is bounded below what is read, so that a config that a run wrote can be read
 * again. */
enum {
    MAX_BYTES = 64 << 20,
    MAX_TEXT_BYTES = 32 << 20,
    MAX_NODES = 500000,
    MAX_NESTING = 64,
    MAX_ANCHORS = 256,
    MAX_DIRECTIVES = 64
};

fr_status fr_config_count_text(fr_config_state *state, size_t bytes)
{
    state->text_bytes += (int64_t)bytes;
    if (state->text_bytes <= MAX_TEXT_BYTES) {
        return FR_OK;
    }
    return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                   "%s: the values take more than %d MiB together, each repeated one "
                   "counted; shorten the texts or divide the tasks among several runs",
                   state->name, MAX_TEXT_BYTES >> 20);
}

/* Whether a line begins at `at`: behind what YAML takes for a line break, or a byte order mark. */
static bool begins_line(const char *text, size_t at)
{
    static const char *const BREAKS[] = {
        "\n", "\r", "\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9", "\xEF\xBB\xBF"};
    bool found = at == 0;
    for (size_t i = 0; i < sizeof BREAKS / sizeof BREAKS[0]; i++) {
        size_t n = strlen(BREAKS[i]);
        found = found || (at >= n && memcmp(text + at - n, BREAKS[i], n) == 0);
    }
    return found;
}

static fr_status check_text(const fr_config_state *state, const char *text,
                            size_t bytes)
{
    int n_directives = 0;
    if (bytes > MAX_BYTES) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s: has %zu bytes, a config has at most %d", state->name, bytes,
                       MAX_BYTES);
    }
    for (size_t at = 0; at < bytes; at++) {
        n_directives += text[at] == '%' && begins_line(text, at);
    }
    if (n_directives > MAX_DIRECTIVES) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s: %d lines begin with %% (YAML directives), at most %d are "
                       "allowed; remove them",
                       state->name, n_directives, MAX_DIRECTIVES);
    }
    return FR_OK;
}

/* What the events so far came to. */
typedef struct tally {
    int depth;
    int n_documents;
    int n_anchors;
    int64_t n_nodes;
} tally;

static void count_event(const yaml_event_t *event, tally *t)
{
    const yaml_char_t *anchor = NULL;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        t->n_documents++;
        return;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        t->depth--;
        return;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        t->depth++;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        t->depth++;
        break;
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        break;
    case YAML_ALIAS_EVENT:
        break;
    default:
        return;
    }
    t->n_anchors += anchor != NULL;
    t->n_nodes++;
}

static fr_status check_tally(const fr_config_state *state, const tally *t,
                             long long line)
{
    if (t->n_documents > 1) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: a second document starts here; a config is one",
                       state->name, line);
    }
    if (t->depth > MAX_NESTING) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: nested deeper than %d levels", state->name, line,
                       MAX_NESTING);
    }
    if (t->n_anchors > MAX_ANCHORS) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: more than %d anchors (&name); write the values out",
                       state->name, line, MAX_ANCHORS);
    }
    if (t->n_nodes > MAX_NODES) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: more than %d keys and values; no config needs as many",
                       state->name, line, MAX_NODES);
    }
    return FR_OK;
}

static fr_status scan_events(const fr_config_state *state, yaml_parser_t *parser,
                             const char *text, size_t bytes)
{
    tally t = {0};
    for (bool more = true; more;) {
        yaml_event_t event;
        if (yaml_parser_parse(parser, &event) == 0) {
            return fr_yaml_fail(state, parser, text, bytes);
        }
        long long line = (long long)event.start_mark.line + 1;
        count_event(&event, &t);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        FR_TRY(check_tally(state, &t, line));
    }
    return FR_OK;
}

fr_status fr_config_scan(const fr_config_state *state, const char *text, size_t bytes)
{
    yaml_parser_t parser;
    FR_TRY(check_text(state, text, bytes));
    FR_TRY(fr_yaml_open(state, text, bytes, &parser));
    fr_status status = scan_events(state, &parser, text, bytes);
    yaml_parser_delete(&parser);
    return status;
}
