/*
 * family.h - what a table says of a family of models: its description, its settings and its tensors.
 *
 * A family is one constant of type fr_family. The readers (hf_config.h, gguf_config.h, model/weights) walk over it and
 * know no family by name. docs/adding-a-family.md shows how to write one.
 */
#ifndef FR_MODEL_FAMILIES_FAMILY_H
#define FR_MODEL_FAMILIES_FAMILY_H

#include "model/arch.h"
#include "model/files/gguf.h"
#include "model/files/hf_json.h"
#include "model/roles.h"

#include <stddef.h>

/* ---- settings ---------------------------------------------------------------------------------- */

typedef enum fr_setting_kind {
    FR_SETTING_COUNT,      /* int64_t */
    FR_SETTING_REAL,       /* double */
    FR_SETTING_RECIPROCAL, /* double; the field is 1 / value */
    FR_SETTING_FLAG,       /* bool */
    FR_SETTING_ACTIVATION  /* fr_activation, by its name; config.json alone */
} fr_setting_kind;

enum {
    FR_SETTING_OPTIONAL =
        1, /* may be absent although the description has no default for it */
    FR_SETTING_NULL_CLEARS = 2, /* null sets the field to 0; a number must be above 0 */
    FR_SETTING_GGUF_NEEDS = 4,  /* required in GGUF, where config.json has a default */
    FR_SETTING_GGUF_CLEARS =
        8, /* GGUF starts from 0, not from the description's default */
};

/** A setting that is honoured: where it is read, and where it goes. An absent one leaves the description's default; a
 * number whose default is 0 is required. */
typedef struct fr_setting {
    const char *hf;      /* key of config.json; NULL: none */
    const char *hf_also; /* another key for the same; they must agree. NULL: none */
    const char *gguf;    /* key behind "ARCHITECTURE."; NULL: none */
    fr_setting_kind kind;
    size_t field; /* its place in fr_arch */
    int flags;
} fr_setting;

/** The place of a field, for the tables. */
#define FR_FIELD(name) offsetof(fr_arch, name)

/** How RoPE's settings are read. */
typedef struct fr_family_rope {
    double theta;            /* default */
    double local_theta;      /* default of the local rotation; 0: the family has none */
    const char *theta_key;   /* of config.json, beside the objects */
    const char *partial_key; /* part of a head that rotates; NULL: all of it, always */
    double partial;          /* default */
    bool only_long; /* scaled by LongRoPE alone, which "su" and "yarn" mean as well */
    bool
        original_outside; /* original_max_position_embeddings stands beside the objects, 4096 by default */
} fr_family_rope;

/* ---- tensors ----------------------------------------------------------------------------------- */

typedef enum fr_qkv {
    FR_QKV_APART,
    FR_QKV_STACKED, /* one tensor: all of Q, then K, then V */
    FR_QKV_BY_HEAD /* one tensor: Q, K and V of the first head, then those of the next; as many K as Q */
} fr_qkv;

enum { FR_SCHEME_PREFIXES = 5 };

/** Names and storage forms of one format of one family. */
typedef struct fr_scheme {
    const char *prefixes
        [FR_SCHEME_PREFIXES]; /* tried in order in front of all names but the head's; NULL ends */
    const char *usual_prefix; /* for messages, where none fits */
    const char *layer_prefix; /* in front of the layer number */
    const char *
        mask_prefix; /* "attn.": old files hold PREFIXbias and PREFIXmasked_bias in layers, which are masks */
    fr_qkv qkv;
    bool fused_gate_up; /* one tensor: gate, then up */
    bool transposed;    /* matrices of the layers are [n_in, n_out] */
    bool rope_pairs;    /* rows of Q and K have RoPE pairs adjacent */
    bool
        norms_less_one; /* norm weights are stored without the 1 that is added to them */
    int positions_skip;            /* rows in front of position 0 */
    const char *names[FR_W_COUNT]; /* NULL: no such weight; layers: after "prefix N." */
} fr_scheme;

/* ---- families ---------------------------------------------------------------------------------- */

enum { FR_FAMILY_NAMES = 4, FR_FAMILY_SETTINGS = 4, FR_FAMILY_KEYS = 8 };

typedef struct fr_family {
    const char *title;                     /* for people: "Llama 1 to 3" */
    const char *hf_types[FR_FAMILY_NAMES]; /* model_type, NULL-ended */
    const char *
        text_type; /* model_type whose text_config is this family, where that names no type; NULL: none */
    const char *gguf_types[FR_FAMILY_NAMES]; /* general.architecture */
    const char *limits; /* what of it is refused, for people; NULL: nothing */
    fr_arch
        arch; /* the description before any setting; n_kv_heads 0: as many as heads, head_dim 0: divide the width */
    int64_t
        ff_times; /* d_ff that is not given: so many model widths; 0: it is required */
    int activations;    /* those it may name, as bits 1 << fr_activation */
    bool biases_show;   /* in GGUF the tensors of layer 0 tell which biases there are */
    bool width_divides; /* head_dim is always d_model / n_heads */
    bool
        window_cache; /* llama.cpp honours the window and has a cache apart for the layers with one; else it has no window */
    fr_family_rope rope;
    const fr_setting
        *settings[FR_FAMILY_SETTINGS]; /* lists that end in an empty one; NULL-ended */
    const char *also_read[FR_FAMILY_KEYS]; /* keys that `finish` reads */
    const char *unread
        [FR_FAMILY_KEYS]; /* keys without effect here that mean arithmetic elsewhere */
    /** What depends on several fields; called after all settings are read and the sizes are checked. NULL: nothing */
    fr_status (*finish_hf)(const fr_hf_fields *fields, fr_arch *arch);
    fr_status (*finish_gguf)(fr_ctx *ctx, const fr_gguf *gguf, fr_arch *arch);
    const fr_scheme *folder;
    const fr_scheme *gguf;
} fr_family;

#endif
