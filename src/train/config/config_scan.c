/*
 * From the bytes of a config to a YAML document.
 *
 * A config may come from a checkpoint that somebody else wrote, and libyaml's time grows with the square of the number of
 * directives, of anchors and of nesting levels, its memory with about a hundred bytes a node. So three steps follow each
 * other: the text's size and its directives are counted; the parser's events are counted and forgotten; only then does
 * libyaml build the document. The second pass over the text is the price: libyaml offers no place between its events and
 * its nodes, and building the nodes here would mean to repeat its handling of anchors and tags.
 */
#include "train/config/config_yaml.h"

#include "base/mem.h"

#include <string.h>

/* Each limit lies far above what a config needs and below what costs noticeable time or memory. What is kept is bounded
 * below what is read, so that a config that a run wrote can be read again. The largest config that fits the schema (4096
 * tasks with every key) has some 300,000 nodes and six levels. Anchors and directives are written by people only. */
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
                   "%s: the values take more than %d MiB together, where a repeated "
                   "one counts each time; shorten the texts or divide the tasks among "
                   "several runs",
                   state->name, MAX_TEXT_BYTES >> 20);
}

static fr_status open_parser(const fr_config_state *state, const char *text,
                             size_t bytes, yaml_parser_t *out)
{
    static const char BOM[] = "\xEF\xBB\xBF";
    if (yaml_parser_initialize(out) == 0) {
        return fr_check_memory(state->ctx, false, sizeof *out);
    }
    yaml_parser_set_encoding(out, YAML_UTF8_ENCODING);
    /* the library takes the mark that some editors put in front for content where it is told the encoding */
    if (bytes >= sizeof BOM - 1 && memcmp(text, BOM, sizeof BOM - 1) == 0) {
        text += sizeof BOM - 1;
        bytes -= sizeof BOM - 1;
    }
    yaml_parser_set_input_string(out, (const unsigned char *)text, bytes);
    return FR_OK;
}

static fr_status fail_yaml(const fr_config_state *state, const yaml_parser_t *parser,
                           const char *text, size_t bytes)
{
    long long line = (long long)parser->problem_mark.line + 1;
    if (parser->error == YAML_MEMORY_ERROR) {
        return fr_check_memory(state->ctx, false, bytes);
    }
    if (parser->error == YAML_READER_ERROR) {
        /* broken characters come with an offset instead of a mark */
        line = 1;
        for (size_t i = 0; i < parser->problem_offset && i < bytes; i++) {
            line += text[i] == '\n';
        }
    }
    return FR_FAIL(state->ctx, FR_ERR_CONFIG, "%s:%lld: broken YAML: %s%s%s",
                   state->name, line,
                   parser->problem != NULL ? parser->problem : "unreadable",
                   parser->context != NULL ? ", " : "",
                   parser->context != NULL ? parser->context : "");
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
                       "%s has %zu bytes, a config may have at most %d", state->name,
                       bytes, MAX_BYTES);
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
                       "%s:%lld: a second document starts here; a config must be a "
                       "single document",
                       state->name, line);
    }
    if (t->depth > MAX_NESTING) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: values are nested deeper than %d levels", state->name,
                       line, MAX_NESTING);
    }
    if (t->n_anchors > MAX_ANCHORS) {
        return FR_FAIL(
            state->ctx, FR_ERR_CONFIG,
            "%s:%lld: there are more than %d anchors (&name); write the values out",
            state->name, line, MAX_ANCHORS);
    }
    if (t->n_nodes > MAX_NODES) {
        return FR_FAIL(state->ctx, FR_ERR_CONFIG,
                       "%s:%lld: there are more than %d keys and values; divide the "
                       "tasks among several runs",
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
            return fail_yaml(state, parser, text, bytes);
        }
        long long line = (long long)event.start_mark.line + 1;
        count_event(&event, &t);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        FR_TRY(check_tally(state, &t, line));
    }
    return FR_OK;
}

/* Walk the events once without keeping them. */
static fr_status check_events(const fr_config_state *state, const char *text,
                              size_t bytes)
{
    yaml_parser_t parser;
    FR_TRY(open_parser(state, text, bytes, &parser));
    fr_status status = scan_events(state, &parser, text, bytes);
    yaml_parser_delete(&parser);
    return status;
}

fr_status fr_yaml_load(const fr_config_state *state, const char *text, size_t bytes,
                       yaml_document_t *out)
{
    yaml_parser_t parser;
    FR_TRY(check_text(state, text, bytes));
    FR_TRY(check_events(state, text, bytes));
    FR_TRY(open_parser(state, text, bytes, &parser));
    fr_status status = yaml_parser_load(&parser, out) != 0
                           ? FR_OK
                           : fail_yaml(state, &parser, text, bytes);
    yaml_parser_delete(&parser);
    return status;
}
