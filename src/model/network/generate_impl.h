/*
 * generate_impl.h - what the files of a generation share: generate.c (a list of rows), generate_places.c (rows that come and
 * go), generate_pass.c (one pass), generate_choose.c (its tokens).
 */
#ifndef FR_MODEL_NETWORK_GENERATE_IMPL_H
#define FR_MODEL_NETWORK_GENERATE_IMPL_H

#include "model/network/generate.h"

struct fr_generator {
    fr_ctx *ctx;
    fr_group *pipeline;
    fr_link *link; /* to the neighbours */
    fr_stage *stage;
    fr_activations *activations;
    fr_batch batch;
};

/** Room for one sequence in the cache, and who has it. */
typedef struct fr_generate_place {
    fr_generate_row *row; /* NULL: nobody */
    fr_cached_sequence sequence;
    int64_t
        served; /* rises with each row that enters and each piece of a prompt that goes */
    int32_t last; /* its last token, not yet in the cache */
} fr_generate_place;

struct fr_generation {
    fr_generator *g;
    fr_generation_params params;
    int64_t capacity; /* cache rows a place */
    int64_t n_places;
    fr_generate_place *places;
    int64_t n_served;
    int64_t pass;
    bool prompts_were_last; /* of the two kinds of passes */
    fr_cache cache;
    /* of a pass: whose next token is chosen, and what it is */
    int64_t n_chosen;
    fr_generate_place **choosers;
    int32_t *reads;        /* the row of the batch that each reads */
    int32_t *ids;          /* memory for copies of the device */
    fr_logprobs *logprobs; /* of those that want them */
    fr_generate_row **grown;
    int64_t n_grown;
    /* last stage; what is of the device is memory of the device */
    double *uniforms; /* one for each choice */
    fr_f32 *logits;   /* [places, V] */
    fr_i32 *chosen;   /* [places] */
    fr_byte *never_V; /* a copy of the options' */
    float *raw_V;     /* a row of logits on the host */
    float *changed_V; /* the same after the penalty */
    uint8_t *seen_V;  /* ids of a row */
};

/** fr_generation_check for places of this capacity. */
FR_MUST_CHECK fr_status fr_generate_check_row(const fr_generator *generator,
                                              const fr_generate_row *row,
                                              int64_t capacity);
/** Most ids that a row may get. */
int64_t fr_generate_max_new(const fr_generation *generation,
                            const fr_generate_row *row);
/** Segments of a pass. */
int64_t fr_generate_most_units(const fr_generation *generation);
/** Tokens of a row's prompt that one segment takes: segments begin at multiples of it. */
enum { FR_PROMPT_PIECE = 256 };

/** Memory of choices; on the last stage alone. */
FR_MUST_CHECK fr_status fr_generate_alloc_choice(fr_generation *generation);
void fr_generate_free_choice(fr_generation *generation);
/** The tokens of `choosers`, from the last stage's logits to `ids` and `logprobs` of all ranks. Collective. */
FR_MUST_CHECK fr_status fr_generate_choose(fr_generation *generation);

#endif
