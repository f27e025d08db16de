/*
 * attention_case.h - attention inputs with odd strides, the operator's outputs, and a naive f64
 * reference of both directions.
 */
#ifndef FR_TESTS_ATTENTION_CASE_H
#define FR_TESTS_ATTENTION_CASE_H

#include "device/attention.h"

enum { FR_CASE_SEGMENTS = 32 };

/* What outputs hold before the operator runs: small, as it counts among the largest values that a
 * tolerance refers to. */
static const float FR_CASE_UNTOUCHED = 0.03125F;

/** A list of segments, named for messages. */
typedef struct fr_attention_layout {
    const char *name;
    int n_segments;
    fr_segment segments[FR_CASE_SEGMENTS];
} fr_attention_layout;

enum { FR_TRAINING_LAYOUTS = 4 };
/** Segments as training makes them: spans name rows of the unit, key rows are query rows. */
extern const fr_attention_layout fr_training_layouts[FR_TRAINING_LAYOUTS];
/** A cached sequence of 130 keys that two queries continue, and one of 3 keys that one continues. */
extern const fr_attention_layout fr_decode_layout;

enum { FR_UNIT_SEGMENTS = 3, FR_UNIT_ROWS = 113 };
/** A source with two targets from row `first` on, as unit `unit`. */
void fr_attention_unit(int64_t first, int64_t unit,
                       fr_segment segments[FR_UNIT_SEGMENTS]);

enum { FR_ATTENTION_SHAPES = 6 };

typedef struct fr_attention_shape {
    int64_t n_heads;
    int64_t n_kv_heads;
    int64_t head_dim;
    int64_t prefix_length;
} fr_attention_shape;

/** Odd and even groups, a group larger than a tile, head widths 2 to 80, prefixes 0 to 100. */
extern const fr_attention_shape fr_attention_shapes[FR_ATTENTION_SHAPES];

/** How products become scores; of the training and decode layouts, some rows lose whole tiles to each window. */
typedef struct fr_attention_scores {
    const char *name;
    double factor; /* of 1 / sqrt(K) */
    float cap;
    int64_t window;
    bool prefix_slides;
    bool slopes;
} fr_attention_scores;

enum { FR_ATTENTION_SCORES = 14 };
/** Each alone, windows from 1 to more than a tile, and what goes together. */
extern const fr_attention_scores fr_attention_scores_list[FR_ATTENTION_SCORES];

/** Buffers of the operator. q, dq and o have `n_tokens` rows; k, v, dk, dv `n_key_rows`. */
typedef struct fr_attention_case {
    fr_attention_params
        params; /* prefix pointers and segments point into this struct's memory */
    fr_segment segments[FR_CASE_SEGMENTS];
    int64_t n_units;
    int64_t n_key_rows;
    float *slopes;
    float *prefix_k;
    float *prefix_v;
    float *q;
    float *k;
    float *v;
    float *d_o;
    float *o;
    float *lse;
    float *dq;
    float *dk;
    float *dv;
    float *dprefix_k;
    float *dprefix_v;
} fr_attention_case;

/** Values are uniform in [-1, 1] (q: 2), outputs FR_CASE_UNTOUCHED. `segments` is copied, each with the positions
 * of a sequence of prefix, spans and own keys; key rows are as many as the segments name. Exits the binary when out of memory. */
fr_attention_case *fr_attention_case_create(const fr_attention_shape *shape,
                                            int n_segments, const fr_segment *segments);
/** From plain attention, which `create` gives, to these scores. Slopes are 2^(-8 (h + 1) / H), as BLOOM's. */
void fr_attention_case_score(fr_attention_case *c, const fr_attention_scores *scores);
/** `rows` rows of q, k, v and d_o from row 0 on, to rows `first` on of another case of the same shape. */
void fr_attention_case_copy_inputs(const fr_attention_case *from, fr_attention_case *to,
                                   int64_t first, int64_t rows);
void fr_attention_case_destroy(fr_attention_case **c);

/** Run the operator forward; backward, for all gradients or those of the prefix alone. */
void fr_attention_case_forward(fr_device *device, fr_attention_case *c);
void fr_attention_case_backward(fr_device *device, fr_attention_case *c,
                                bool prefix_only);

/** Numbers of each buffer. */
int64_t fr_attention_case_q_count(const fr_attention_case *c);
int64_t fr_attention_case_key_count(const fr_attention_case *c);
int64_t fr_attention_case_o_count(const fr_attention_case *c);
int64_t fr_attention_case_prefix_count(const fr_attention_case *c);

/** Inputs and results of the reference, dense copies of the case's layout in f64. */
typedef struct fr_attention_reference {
    const fr_attention_case *of;
    double *prefix_k;
    double *prefix_v;
    double *q;
    double *k;
    double *v;
    double *o;
    double *lse;
    double *dq;
    double *dk;
    double *dv;
    double *dprefix_k;
    double *dprefix_v;
} fr_attention_reference;

/** Inputs copied, results as the case's. */
fr_attention_reference *fr_attention_reference_create(const fr_attention_case *c);
void fr_attention_reference_destroy(fr_attention_reference **r);
void fr_attention_reference_forward(fr_attention_reference *r);
/** After forward; gradients of rows that segments own and of all units start at 0. */
void fr_attention_reference_backward(fr_attention_reference *r);
/** Sum of dO * O over the rows that segments cover, computed anew from the reference's inputs. */
double fr_attention_reference_loss(fr_attention_reference *r);

/** fr_assert_close against the reference's numbers. */
void fr_assert_close_f64(const char *what, const float *got, const double *wanted,
                         int64_t n, double tolerance);

#endif
