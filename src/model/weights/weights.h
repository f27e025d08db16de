/*
 * weights.h - the frozen weights of a model file, whatever its format, under one set of names.
 *
 * Files are mapped read-only. All weights are given in one convention, whatever form a family's scheme stores them in:
 * matrices are row-major [n_out, n_in], Q, K and V are apart as gate and up are, rows of Q and K are in the order of RoPE
 * halves, norm weights are what multiplies, and row 0 of the positions is position 0.
 */
#ifndef FR_MODEL_WEIGHTS_WEIGHTS_H
#define FR_MODEL_WEIGHTS_WEIGHTS_H

#include "base/digest.h"
#include "base/file.h"
#include "device/matrix.h"
#include "model/arch.h"
#include "model/roles.h"

typedef struct fr_weights fr_weights;

/**
 * Open a GGUF file or a Hugging Face folder (config.json with model.safetensors or model.safetensors.index.json). The
 * presence, shape and type of every tensor of the architecture are checked here, so that a bad file is refused before
 * any work.
 *
 * @return FR_OK; FR_ERR_DATA (missing file); FR_ERR_FORMAT (damaged, hostile, wrong shape);
 *         FR_ERR_UNSUPPORTED (architecture, option or type; the message names found and supported)
 */
FR_MUST_CHECK fr_status fr_weights_open(fr_ctx *ctx, const char *path,
                                        fr_weights **out);
void fr_weights_close(fr_weights **weights);
/** Drop the pages that were read so far from this process's memory (fr_map_release). */
void fr_weights_release(const fr_weights *weights);

const fr_arch *fr_weights_arch(const fr_weights *weights);
/** The family's table that the files were read by (model/families/family.h). */
const struct fr_family *fr_weights_family(const fr_weights *weights);
const char *fr_weights_path(const fr_weights *weights);

/** Whether the model has this weight (a bias may be absent). Here and below, `layer` is ignored for roles outside
 * layers. */
bool fr_weights_has(const fr_weights *weights, fr_weight role, int64_t layer);

/** Rows and columns ([n, 1] for vectors) of a weight that the model has. */
void fr_weights_shape(const fr_weights *weights, fr_weight role, int64_t layer,
                      int64_t *n_out, int64_t *n_in);

/**
 * Convert a weight into `out` (dense, row-major, n_out * n_in elements of `dtype`). bf16 is rounded to nearest even.
 */
FR_MUST_CHECK fr_status fr_weights_read(fr_ctx *ctx, const fr_weights *weights,
                                        fr_weight role, int64_t layer, fr_dtype dtype,
                                        void *out);

/** Convert rows [first, first + count) of a matrix, as fr_weights_read does. Any number of threads may call it at
 * once. */
void fr_weights_read_rows(const fr_weights *weights, fr_weight role, int64_t layer,
                          fr_dtype dtype, int64_t first, int64_t count, void *out);

/** The weights that matrices come from, and how they are held. */
typedef struct fr_holding {
    const fr_weights *weights;
    fr_dtype dtype; /* of the values that products use */
    bool
        in_file; /* matrices stay in the file as they are; each use converts what it reads */
} fr_holding;

enum { FR_STACK_MAX = 3 };

/** Matrices with rows of one width, one below the other. */
typedef struct fr_stack {
    fr_weight roles[FR_STACK_MAX];
    int n_roles;
} fr_stack;

/** What products use as one matrix. Where head and embedding are tied, FR_STACK_HEAD reads the embedding. */
extern const fr_stack FR_STACK_QKV;
extern const fr_stack FR_STACK_O;
extern const fr_stack FR_STACK_GATE_UP; /* gated */
extern const fr_stack FR_STACK_UP;      /* not gated */
extern const fr_stack FR_STACK_DOWN;
extern const fr_stack FR_STACK_TOKENS;
extern const fr_stack FR_STACK_HEAD;

/** Whether the weights of this stack are used from the mapped file. Transposed tensors are always converted. */
bool fr_weights_stay(const fr_holding *holding, const fr_stack *stack, int64_t layer);

/** A stack for which fr_weights_stay holds, as a matrix over the file, with the values of a converted one. The weights must
 * outlive it. */
fr_matrix fr_weights_leave(const fr_holding *holding, const fr_stack *stack,
                           int64_t layer);

/** Bytes that the matrix of a role takes, in the file or in memory. */
int64_t fr_weights_held_bytes(const fr_holding *holding, fr_weight role, int64_t layer);

/** SHA-256 over the raw bytes of all tensors of one layer, or (layer -1) of those outside layers. */
FR_MUST_CHECK fr_status fr_weights_digest(fr_ctx *ctx, const fr_weights *weights,
                                          int64_t layer, uint8_t out[FR_DIGEST_BYTES]);

/** Add to `digest` the name and the size of the tensor that each role of the layers reads. */
FR_MUST_CHECK fr_status fr_weights_digest_names(fr_ctx *ctx, const fr_weights *weights,
                                                fr_digest *digest);

/** Number of files that hold the tensors: one GGUF file, or the shards of a folder. */
int64_t fr_weights_n_files(const fr_weights *weights);
/** The path of a file (valid while the handle lives), and its stamp when it was opened. */
const char *fr_weights_file(const fr_weights *weights, int64_t index, fr_stamp *stamp);

/** Lines for `forerun inspect`, one for each tensor: name, type, shape. */
int64_t fr_weights_n_tensors(const fr_weights *weights);
FR_MUST_CHECK fr_status fr_weights_describe(fr_ctx *ctx, const fr_weights *weights,
                                            int64_t index, char *line,
                                            size_t line_bytes);

#endif
