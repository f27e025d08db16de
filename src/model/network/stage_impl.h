/*
 * stage_impl.h - the inside of a stage and of its activations, shared by stage*.c.
 */
#ifndef FR_MODEL_NETWORK_STAGE_IMPL_H
#define FR_MODEL_NETWORK_STAGE_IMPL_H

#include "device/matrix.h"
#include "model/network/head.h"
#include "model/network/offload.h"
#include "model/network/stage.h"

struct fr_stage {
    fr_ctx *ctx;
    fr_device *device;
    fr_arch arch;
    fr_dtype dtype; /* of the matrices */
    fr_dtype work;  /* of the device (device.h), for that precision */
    fr_dtype kept;
    fr_recompute recompute;
    int64_t first_layer;
    int64_t n_layers;
    int64_t max_position;
    fr_frozen *frozen;      /* matrices of the layers and the ends */
    fr_constants constants; /* all else that lies in the device for good */
    fr_layer *layers;       /* fr_offload_begin says where the matrices of one are */
    fr_offload offload;     /* the layers that stay on the host */
    fr_angles angles;       /* where layers of this stage rotate by them */
    fr_angles local_angles;
    fr_f32 *slopes_H;  /* ALiBi */
    fr_matrix tokens;  /* [V, D]; first stage */
    fr_f32 *positions; /* [max_position, D]; first stage, learned positions */
    fr_norm_weights embedding_norm; /* first stage */
    fr_head head;                   /* last stage */
    fr_workspace workspace;
    int64_t workspace_tokens; /* rows that the workspace has room for */
    int64_t workspace_prefix; /* floats of dprefix_k_UP */
    fr_f32 *arena;            /* all of the workspace but dprefix */
};

struct fr_activations {
    fr_stage *stage;
    bool keep;
    fr_saved *saved; /* one a layer */
    fr_f32 **x; /* n_layers + 1 stage inputs/outputs; below `lowest` two take turns */
    fr_f32 *gradient_TD;
    fr_stage_input input;
    void *arena; /* all others of these buffers */
    int64_t arena_bytes;
    const fr_batch
        *prepared_for;       /* the batch whose forward pass comes next; NULL: none */
    int64_t prepared_tokens; /* its rows */
};

/** The context that layer functions take. */
fr_layer_context fr_stage_context(fr_stage *stage);

/** Make the angles and slopes that this stage's layers need. */
FR_MUST_CHECK fr_status fr_stage_make_places(fr_stage *stage);
/** The angles of a layer of the model; NULL: it does not rotate. */
const fr_angles *fr_stage_angles(const fr_stage *stage, int64_t layer);
/** Whether any of the layers rotates by the local angles (or by the others). */
bool fr_layers_rotate(const fr_arch *arch, fr_layer_range layers, bool local);

/** Room in the scratch for n_tokens rows and the unit gradients of a prefix. */
FR_MUST_CHECK fr_status fr_stage_reserve(fr_stage *stage, int64_t n_tokens,
                                         int64_t prefix_floats);

#endif
