/*
 * config_yaml.h - what the readers of YAML nodes share. Private to config_*.c.
 *
 * Messages open with "FILE:LINE: ".
 */
#ifndef FR_TRAIN_CONFIG_CONFIG_YAML_H
#define FR_TRAIN_CONFIG_CONFIG_YAML_H

#include "train/config/config_impl.h"

#include <yaml.h>

typedef struct fr_yaml_reader {
    fr_config_state *state;
    yaml_document_t *document;
} fr_yaml_reader;

/**
 * Read text as one YAML document; on success the caller deletes *out. Size, directives, anchors, nesting and nodes are
 * bounded. FR_ERR_CONFIG: a bound is exceeded, broken YAML, a second document. The document may be empty.
 */
FR_MUST_CHECK fr_status fr_yaml_load(const fr_config_state *state, const char *text,
                                     size_t bytes, yaml_document_t *out);

/** Line of a node, from 1. */
long long fr_yaml_line(const yaml_node_t *node);
/** "a map", "a list", "a single value". */
const char *fr_yaml_kind(const yaml_node_t *node);
/** FR_ERR_CONFIG unless the node is of this kind and untagged; `path` names the node in the message, `wanted_text` describes the kind. */
FR_MUST_CHECK fr_status fr_yaml_check_kind(const fr_yaml_reader *r,
                                           const yaml_node_t *node,
                                           yaml_node_type_t wanted, const char *path,
                                           const char *wanted_text);

/** Read the list of key number `index`; its entries are kept as one text with ", " between. `where` opens messages. */
FR_MUST_CHECK fr_status fr_config_read_list(const fr_yaml_reader *r, int index,
                                            const yaml_node_t *node, const char *where,
                                            fr_key_owner owner);

/** Read the map of key number `index`, whose values may be maps and lists too, as JSON. Plain `null`, `true`, `false` and numbers
 * are what JSON takes them for, everything else is text. `where` opens messages. */
FR_MUST_CHECK fr_status fr_config_read_map(const fr_yaml_reader *r, int index,
                                           const yaml_node_t *node, const char *where,
                                           fr_key_owner owner);

/** Read the section `sweep` into state->sweep. */
FR_MUST_CHECK fr_status fr_sweep_read(const fr_yaml_reader *r, yaml_node_t *node);

#endif
