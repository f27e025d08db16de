/* A key that takes a list of names, in the file or in --set; it is kept as one text with ", " between the names. Also here: the
 * value of --set where it is a list or a map. */
#define _POSIX_C_SOURCE 200809L
#include "train/config/config_yaml.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The scalars of a list with ", " between. */
static fr_status join_list(const fr_yaml_reader *r, const yaml_node_t *node,
                           const char *path, char **out)
{
    size_t bytes = 0;
    FILE *text = open_memstream(out, &bytes);
    fr_status status = fr_check_memory(r->state->ctx, text != NULL, sizeof *node);
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         status == FR_OK && item < node->data.sequence.items.top; item++) {
        const yaml_node_t *one = yaml_document_get_node(r->document, *item);
        status = fr_yaml_check_kind(r, one, YAML_SCALAR_NODE, path, "a name");
        if (status == FR_OK) {
            (void)fprintf(text, "%s%s",
                          item > node->data.sequence.items.start ? ", " : "",
                          (const char *)one->data.scalar.value);
        }
    }
    if (text != NULL && fclose(text) != 0 && status == FR_OK) {
        status = fr_check_memory(r->state->ctx, false, bytes);
    }
    return status;
}

/* The joined names go through fr_config_set_value like any text. They count as quoted, so that a name such as null or ~
 * stays a name. An empty list leaves the key unset. */
fr_status fr_config_read_list(const fr_yaml_reader *r, int index,
                              const yaml_node_t *node, const char *where,
                              fr_key_owner owner)
{
    enum { ENTRY_BYTES = 80 };
    char entry[ENTRY_BYTES];
    char *text = NULL;
    (void)snprintf(entry, sizeof entry, "an entry of %.40s",
                   FR_CONFIG_KEYS[index].name);
    fr_status status = join_list(r, node, entry, &text);
    if (status == FR_OK) {
        fr_scalar value = {text, strlen(text), true, false};
        status = fr_config_count_text(r->state, value.bytes);
        if (status == FR_OK && value.bytes > 0) {
            status = fr_config_set_value(r->state->ctx, &FR_CONFIG_KEYS[index], where,
                                         &value, owner);
        }
    }
    free(text);
    return status;
}

static fr_status read_document(fr_config_state *state, int index,
                               yaml_document_t *document, const char *where,
                               fr_key_owner owner)
{
    const fr_yaml_reader r = {state, document};
    const yaml_node_t *root = yaml_document_get_root_node(document);
    bool is_list = FR_CONFIG_KEYS[index].is_list;
    FR_TRY(fr_yaml_check_kind(
        &r, root, is_list ? YAML_SEQUENCE_NODE : YAML_MAPPING_NODE,
        FR_CONFIG_KEYS[index].name, is_list ? "a list of names" : "a map"));
    return is_list ? fr_config_read_list(&r, index, root, where, owner)
                   : fr_config_read_map(&r, index, root, where, owner);
}

/* The value of --set is a YAML document of its own. While it is read, `where` replaces the file's name in messages. */
fr_status fr_config_set_yaml(fr_config_state *state, int index, const char *where,
                             const char *text, fr_key_owner owner)
{
    const char *name = state->name;
    char **field = fr_key_field(owner, &FR_CONFIG_KEYS[index]);
    yaml_document_t document;
    free(*field); /* an empty list leaves none */
    *field = NULL;
    state->name = where;
    fr_status status = fr_yaml_load(state, text, strlen(text), &document);
    if (status == FR_OK) {
        status = read_document(state, index, &document, where, owner);
        yaml_document_delete(&document);
    }
    state->name = name;
    return status;
}
