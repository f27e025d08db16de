/*
 * gguf_impl.h - the inside of a GGUF handle, shared by gguf.c, gguf_split.c and gguf_values.c, and parsing from memory for tests.
 */
#ifndef FR_MODEL_FILES_GGUF_IMPL_H
#define FR_MODEL_FILES_GGUF_IMPL_H

#include "base/file.h"
#include "model/files/gguf.h"

/** Several times what any known model has, of a file or of all parts. */
enum { FR_GGUF_MAX_TENSORS = 1 << 19 };

typedef struct fr_gguf_pair {
    fr_text key; /* must be the first member, see names.h */
    fr_gguf_value value;
} fr_gguf_pair;

struct fr_gguf {
    char *path;
    fr_map map; /* {NULL, 0} when the bytes are borrowed */
    fr_gguf_pair *pairs;
    int64_t n_pairs;
    const fr_text **pair_index;
    fr_gguf_tensor *tensors;
    int64_t n_tensors;
    const fr_text **tensor_index;
    fr_gguf **
        others; /* second part and those after it, mapped; their tensors are listed above */
    int64_t n_others;
};

/** Open one file, whether it is a part or not. */
FR_MUST_CHECK fr_status fr_gguf_open_file(fr_ctx *ctx, const char *path, fr_gguf **out);

/** Parse `bytes` bytes, which are borrowed and must outlive the handle; `path` is used in messages. */
FR_MUST_CHECK fr_status fr_gguf_parse(fr_ctx *ctx, const char *path,
                                      const uint8_t *data, size_t bytes, fr_gguf **out);

/** Bytes of one item of a scalar type; 0 for strings and arrays. */
size_t fr_gguf_item_bytes(fr_gguf_type type);

/** The length in front of a string; the caller has checked that the eight bytes are there. */
uint64_t fr_gguf_load_u64(const uint8_t *at);

#endif
