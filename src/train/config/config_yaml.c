#include "train/config/config_yaml.h"

#include "base/mem.h"

#include <string.h>

enum { SHOWN_WORD = 80 };

fr_status fr_yaml_open(const fr_config_state *state, const char *text, size_t bytes,
                       yaml_parser_t *out)
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

fr_status fr_yaml_fail(const fr_config_state *state, const yaml_parser_t *parser,
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

long long fr_yaml_line(const yaml_node_t *node)
{
    return (long long)node->start_mark.line + 1;
}

const char *fr_yaml_kind(const yaml_node_t *node)
{
    switch (node->type) {
    case YAML_MAPPING_NODE:
        return "a map";
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_SCALAR_NODE:
        return "a single value";
    case YAML_NO_NODE:
    default:
        return "nothing";
    }
}

fr_status fr_yaml_check_kind(const fr_yaml_reader *r, const yaml_node_t *node,
                             yaml_node_type_t wanted, const char *path,
                             const char *wanted_text)
{
    static const char *const TAGS[] = {YAML_STR_TAG, YAML_MAP_TAG, YAML_SEQ_TAG};
    if (node->type != wanted) {
        return FR_FAIL(r->state->ctx, FR_ERR_CONFIG, "%s:%lld: %s is %s, want %s",
                       r->state->name, fr_yaml_line(node), path, fr_yaml_kind(node),
                       wanted_text);
    }
    const char *tag = (const char *)node->tag;
    for (size_t i = 0; i < sizeof TAGS / sizeof TAGS[0]; i++) {
        if (strcmp(tag, TAGS[i]) == 0) {
            return FR_OK;
        }
    }
    return FR_FAIL(r->state->ctx, FR_ERR_CONFIG,
                   "%s:%lld: %s has the tag %.*s; tags are not known here, remove it",
                   r->state->name, fr_yaml_line(node), path, SHOWN_WORD, tag);
}
