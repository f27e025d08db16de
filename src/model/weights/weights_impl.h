/*
 * weights_impl.h - the inside of a weights handle, shared by the sources that fill and read it.
 *
 * Order of opening: the format's part (weights_gguf.c or weights_folder.c) fills in the architecture, the tensors of
 * the files, the naming scheme and what the model needs. Then weights_bind.c finds and checks the tensor of every role,
 * and weights_used.c checks that no tensor is left over. After that, weights_read.c describes and converts weights, and
 * weights_stack.c makes matrices over the file.
 */
#ifndef FR_MODEL_WEIGHTS_WEIGHTS_IMPL_H
#define FR_MODEL_WEIGHTS_WEIGHTS_IMPL_H

#include "device/quant.h"
#include "model/families/family.h"
#include "model/files/gguf.h"
#include "model/files/safetensors.h"
#include "model/weights/weights.h"

/** A tensor as it lies in a file, shape row-major (the last dimension is the fastest). */
typedef struct fr_source {
    fr_text name; /* must be the first member, see names.h */
    const char *type_name;
    const fr_quant_type *type; /* NULL: it cannot be converted */
    int n_dims;
    int64_t shape[FR_SAFETENSOR_MAX_DIMS];
    const uint8_t *data;
    size_t bytes;
    bool used; /* some role reads it */
} fr_source;

/** How the rows of a weight lie in its tensor. */
typedef enum fr_weight_layout {
    FR_LAYOUT_ROWS,  /* rows first, first + 1, ... */
    FR_LAYOUT_PAIRS, /* RoPE pairs adjacent (fr_matrix_part.pairs) */
    FR_LAYOUT_HEADS, /* a head's rows among those of Q, K and V of the same head; first counts within a head */
    FR_LAYOUT_COLUMNS, /* transposed: columns first, first + 1, ... */
} fr_weight_layout;

/** What a role reads: a tensor, and the part of it that is the weight. The model lacks a weight without a source. */
typedef struct fr_weight_binding {
    const fr_source *source;
    fr_weight_layout layout;
    bool is_vector; /* one row of its tensor; here [n_out, 1] */
    int64_t first;
    int64_t n_out;
    int64_t n_in;
    float plus; /* added to each element; 0 for matrices */
} fr_weight_binding;

typedef enum fr_need { FR_NEED_NONE, FR_NEED_ALL, FR_NEED_SAME_AS_LAYER_0 } fr_need;

struct fr_weights {
    char *path;
    const fr_quant_kernels *kernels; /* that conversions use */
    fr_arch arch;
    const fr_family *family;
    bool
        has_other_parts; /* the files hold parts for pictures or sound as well, which nothing reads */
    fr_gguf *gguf; /* or shards */
    fr_safetensors **shards;
    int64_t n_shards;
    fr_source *sources;
    int64_t n_sources;
    const fr_text **index;
    const fr_scheme *scheme;
    const char *prefix; /* in front of all names but the head's */
    const char *head;   /* name of the head's tensor */
    fr_need needs[FR_W_COUNT];
    fr_weight_binding *bindings; /* roles outside layers, then those of each layer */
};

/** Open the GGUF file at weights->path and read its architecture, but no tensor. */
FR_MUST_CHECK fr_status fr_weights_open_gguf(fr_ctx *ctx, fr_weights *weights);

/** Fill `weights` from the GGUF file at weights->path. */
FR_MUST_CHECK fr_status fr_weights_load_gguf(fr_ctx *ctx, fr_weights *weights);

/** Fill `weights` from the Hugging Face folder at weights->path. */
FR_MUST_CHECK fr_status fr_weights_load_folder(fr_ctx *ctx, fr_weights *weights);

/** Sort the sources by name; FR_ERR_FORMAT if a name occurs twice. */
FR_MUST_CHECK fr_status fr_weights_index(fr_ctx *ctx, fr_weights *weights);

/** Find and check the tensor of every role that the model needs. */
FR_MUST_CHECK fr_status fr_weights_bind(fr_ctx *ctx, fr_weights *weights);

/** Set what the model needs from its description. */
void fr_weights_set_needs(fr_weights *weights);

/**
 * Check that a role reads every tensor of the files; the time is linear in their number. In a folder, buffers that
 * follow from the settings may be left over (rotary frequencies, position ids, masks), and parts for pictures where
 * config.json describes such parts. In GGUF, the factors of RoPE are read with the settings.
 * @return FR_OK; FR_ERR_UNSUPPORTED naming the first other tensor in the order of the files
 */
FR_MUST_CHECK fr_status fr_weights_check_used(fr_ctx *ctx, const fr_weights *weights);

/** Refuse a tensor of a folder's files, other than such a buffer, that the index omits or places in another file. */
FR_MUST_CHECK fr_status fr_weights_check_listed(fr_ctx *ctx, const fr_weights *weights);

/** A tensor by name; NULL if the files have none. */
fr_source *fr_weights_find_source(const fr_weights *weights, const char *name);

/** What a role reads; `layer` is ignored for roles outside layers. */
fr_weight_binding *fr_weights_binding(const fr_weights *weights, fr_weight role,
                                      int64_t layer);

/** The rows of a matrix that is not FR_LAYOUT_COLUMNS, where they lie in their tensor. */
fr_matrix_part fr_weights_part(const fr_weights *weights,
                               const fr_weight_binding *binding);

/** A source's shape as "[2, 3]". */
typedef struct fr_shape_text {
    char text[128];
} fr_shape_text;
fr_shape_text fr_source_shape(const fr_source *source);

#endif
