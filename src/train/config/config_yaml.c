#include "train/config/config_yaml.h"

#include <string.h>

enum { SHOWN_WORD = 80 };

/* libyaml counts lines from 0. */
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

/* libyaml gives each node without a tag the default one of its kind. The user wrote any other tag, and it could ask for
 * a type that the schema does not have. */
fr_status fr_yaml_check_kind(const fr_yaml_reader *r, const yaml_node_t *node,
                             yaml_node_type_t wanted, const char *path,
                             const char *wanted_text)
{
    static const char *const TAGS[] = {YAML_STR_TAG, YAML_MAP_TAG, YAML_SEQ_TAG};
    if (node->type != wanted) {
        return FR_FAIL(r->state->ctx, FR_ERR_CONFIG, "%s:%lld: %s is %s, must be %s",
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
                   "%s:%lld: %s has the tag %.*s; tags are not allowed, remove it",
                   r->state->name, fr_yaml_line(node), path, SHOWN_WORD, tag);
}
