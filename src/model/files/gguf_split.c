/* A model in several GGUF files, opened as one.
 *
 * Each part is a whole GGUF file with some of the tensors. The first one has the metadata; all have split.no (from 0),
 * split.count and split.tensors.count. The other parts are found by their names, which the tools that split a model give:
 * a part's own number must be the one in its name.
 *
 * The first part's handle becomes that of the model: it takes over the tensors of the other parts and keeps these
 * handles, since names and data are views into their files. The parts' own metadata are dropped when they are checked. The
 * limit of the number of tensors is that of a single file, so parts do not make a hostile set dearer.
 */
#include "base/mem.h"
#include "model/files/gguf_impl.h"
#include "model/files/names.h"
#include "model/files/part_name.h"

#include <stdlib.h>
#include <string.h>

static const char ENDING[] = ".gguf";

typedef struct split {
    int64_t number; /* from 1 */
    int64_t count;
    int64_t n_tensors; /* -1: not said */
} split;

/* A key that is missing leaves *out. */
static fr_status read_count(fr_ctx *ctx, const fr_gguf *gguf, const char *key,
                            int64_t least, int64_t most, int64_t *out)
{
    int64_t value = 0;
    if (fr_gguf_find(gguf, key) == NULL) {
        return FR_OK;
    }
    if (!fr_gguf_get_int(gguf, key, &value) || value < least || value > most) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: %s must be a whole number from %lld to %lld", gguf->path,
                       key, (long long)least, (long long)most);
    }
    *out = value;
    return FR_OK;
}

static fr_status read_split(fr_ctx *ctx, const fr_gguf *gguf, split *out)
{
    int64_t number = 0;
    *out = (split){.count = 1, .n_tensors = -1};
    FR_TRY(read_count(ctx, gguf, "split.count", 0, FR_MAX_PARTS, &out->count));
    if (out->count <= 1) {
        return FR_OK;
    }
    FR_TRY(read_count(ctx, gguf, "split.no", 0, out->count - 1, &number));
    out->number = number + 1;
    return read_count(ctx, gguf, "split.tensors.count", 0, FR_GGUF_MAX_TENSORS,
                      &out->n_tensors);
}

/* ---- parts that belong together -------------------------------------------------------------------- */

/* The keys of general.* that a later part repeats must say what the first part says. */
static fr_status check_general(fr_ctx *ctx, const fr_gguf *first, const fr_gguf *part)
{
    static const char GENERAL[] = "general.";
    for (int64_t i = 0; i < part->n_pairs; i++) {
        const fr_gguf_pair *pair = &part->pairs[i];
        if (pair->key.bytes < sizeof GENERAL ||
            memcmp(pair->key.data, GENERAL, sizeof GENERAL - 1) != 0) {
            continue;
        }
        const fr_gguf_pair *same =
            fr_names_find_text(first->pair_index, first->n_pairs, pair->key);
        if (same != NULL && !fr_gguf_same_value(&same->value, &pair->value)) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: %s differs from that of %s, so the two are parts of "
                           "different models; put the parts of one model together",
                           part->path, fr_show(pair->key).text, first->path);
        }
    }
    return FR_OK;
}

static fr_status check_part(fr_ctx *ctx, const fr_gguf *first, const split *whole,
                            const fr_gguf *part, int64_t number)
{
    split own;
    FR_TRY(read_split(ctx, part, &own));
    if (own.count != whole->count || own.number != number) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: by its name the file is part %lld of %lld, and by its "
                       "split.no and split.count part %lld of %lld; put the parts of "
                       "one model together, under the names that they had",
                       part->path, (long long)number, (long long)whole->count,
                       (long long)(own.count > 1 ? own.number : 1),
                       (long long)own.count);
    }
    if (own.n_tensors != whole->n_tensors) {
        return FR_FAIL(
            ctx, FR_ERR_FORMAT,
            "%s: split.tensors.count is %lld, that of %s is %lld, so the two "
            "are parts of different models; put the parts of one model "
            "together",
            part->path, (long long)own.n_tensors, first->path,
            (long long)whole->n_tensors);
    }
    return check_general(ctx, first, part);
}

/* ---- one handle ------------------------------------------------------------------------------------ */

/* The file that a name or a tensor lies in. */
static const char *file_of(const fr_gguf *gguf, const char *at)
{
    for (int64_t i = 0; i < gguf->n_others; i++) {
        const fr_map *map = &gguf->others[i]->map;
        uintptr_t begin = (uintptr_t)map->data;
        if ((uintptr_t)at >= begin && (uintptr_t)at - begin < map->bytes) {
            return gguf->others[i]->path;
        }
    }
    return gguf->path;
}

static fr_status check_twice(fr_ctx *ctx, const fr_gguf *gguf)
{
    for (int64_t i = 1; i < gguf->n_tensors; i++) {
        const fr_text *a = gguf->tensor_index[i - 1];
        const fr_text *b = gguf->tensor_index[i];
        if (a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: tensor %s is in this part and in %s; put the parts of "
                           "one model together",
                           file_of(gguf, b->data), fr_show(*b).text,
                           file_of(gguf, a->data));
        }
    }
    return FR_OK;
}

/* Lists the tensors of all parts in the first one's handle, in place of its own. */
static fr_status merge(fr_ctx *ctx, fr_gguf *gguf, int64_t n_tensors)
{
    fr_gguf_tensor *all = NULL;
    int64_t n = gguf->n_tensors;
    FR_TRY(fr_alloc(ctx, n_tensors, sizeof *all, &all));
    memcpy(all, gguf->tensors, (size_t)n * sizeof *all);
    for (int64_t i = 0; i < gguf->n_others; i++) {
        fr_gguf *part = gguf->others[i];
        memcpy(all + n, part->tensors, (size_t)part->n_tensors * sizeof *all);
        n += part->n_tensors;
        free(part->tensors);
        part->tensors = NULL;
        part->n_tensors = 0;
    }
    free(gguf->tensors);
    free(gguf->tensor_index);
    gguf->tensors = all;
    gguf->n_tensors = n;
    gguf->tensor_index = NULL;
    FR_TRY(fr_names_sort(ctx, all, n, sizeof *all, &gguf->tensor_index));
    return check_twice(ctx, gguf);
}

/* What is not needed any more of a part that was checked. */
static void drop_metadata(fr_gguf *part)
{
    free(part->pairs);
    free(part->pair_index);
    free(part->tensor_index);
    part->pairs = NULL;
    part->pair_index = NULL;
    part->tensor_index = NULL;
    part->n_pairs = 0;
}

static fr_status open_part(fr_ctx *ctx, const char *path, const fr_part_name *name,
                           int64_t number, fr_gguf **out)
{
    char *part = NULL;
    *out = NULL;
    FR_TRY(fr_part_path(ctx, path, name, ENDING, number, &part));
    fr_status status = FR_OK;
    if (!fr_file_exists(part)) {
        status =
            FR_FAIL(ctx, FR_ERR_DATA,
                    "%s: this part of the model is missing: there is no such file; "
                    "all %lld parts must lie in one folder",
                    part, (long long)name->count);
    } else {
        status = fr_gguf_open_file(ctx, part, out);
    }
    free(part);
    return status;
}

static fr_status add_parts(fr_ctx *ctx, const fr_part_name *name, const split *whole,
                           fr_gguf *first)
{
    int64_t n_tensors = first->n_tensors;
    FR_TRY(fr_alloc(ctx, whole->count - 1, sizeof(fr_gguf *), &first->others));
    for (int64_t number = 2; number <= whole->count; number++) {
        fr_gguf *part = NULL;
        FR_TRY(open_part(ctx, first->path, name, number, &part));
        first->others[first->n_others++] = part;
        FR_TRY(check_part(ctx, first, whole, part, number));
        drop_metadata(part);
        n_tensors += part->n_tensors;
        if (n_tensors > FR_GGUF_MAX_TENSORS) {
            return FR_FAIL(ctx, FR_ERR_FORMAT,
                           "%s: the parts up to this one have %lld tensors, must be at "
                           "most %d",
                           part->path, (long long)n_tensors, FR_GGUF_MAX_TENSORS);
        }
    }
    if (whole->n_tensors >= 0 && whole->n_tensors != n_tensors) {
        return FR_FAIL(ctx, FR_ERR_FORMAT,
                       "%s: split.tensors.count is %lld, but the %lld parts have %lld "
                       "tensors together; fetch the parts anew",
                       first->path, (long long)whole->n_tensors,
                       (long long)whole->count, (long long)n_tensors);
    }
    return merge(ctx, first, n_tensors);
}

/* `gguf` is the part at `path`; *out becomes the whole, and the part is closed if it is another one than the first. */
static fr_status open_set(fr_ctx *ctx, const split *given, fr_gguf **gguf)
{
    fr_part_name name;
    const char *path = (*gguf)->path;
    if (!fr_part_name_read(path, ENDING, &name) || name.count != given->count ||
        name.number != given->number) {
        return FR_FAIL(
            ctx, FR_ERR_DATA,
            "%s: the file is part %lld of %lld of a model, but its name does "
            "not end in -%05lld-of-%05lld.gguf, by which the parts are found; "
            "give all parts the names that they had",
            path, (long long)given->number, (long long)given->count,
            (long long)given->number, (long long)given->count);
    }
    if (given->number > 1) {
        split whole;
        fr_gguf *first = NULL;
        FR_TRY(open_part(ctx, path, &name, 1, &first));
        fr_gguf_close(gguf);
        *gguf = first;
        FR_TRY(read_split(ctx, first, &whole));
        FR_TRY(
            check_part(ctx, first, &(split){1, name.count, whole.n_tensors}, first, 1));
        return add_parts(ctx, &name, &whole, first);
    }
    return add_parts(ctx, &name, given, *gguf);
}

fr_status fr_gguf_open(fr_ctx *ctx, const char *path, fr_gguf **out)
{
    split given;
    FR_TRY(fr_gguf_open_file(ctx, path, out));
    fr_status status = read_split(ctx, *out, &given);
    if (status == FR_OK && given.count > 1) {
        status = open_set(ctx, &given, out);
    }
    if (status != FR_OK) {
        fr_gguf_close(out);
    }
    return status;
}

void fr_gguf_release(const fr_gguf *gguf)
{
    fr_map_release(&gguf->map);
    for (int64_t i = 0; i < gguf->n_others; i++) {
        fr_map_release(&gguf->others[i]->map);
    }
}

int64_t fr_gguf_n_files(const fr_gguf *gguf)
{
    return 1 + gguf->n_others;
}

const char *fr_gguf_file(const fr_gguf *gguf, int64_t index, fr_stamp *stamp)
{
    const fr_gguf *file = index == 0 ? gguf : gguf->others[index - 1];
    *stamp = file->map.stamp;
    return file->path;
}
