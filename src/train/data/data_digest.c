/* The digest of the contents of a dataset: tells whether two runs validate on the same rows. */
#include "train/data/data.h"

static fr_status add_sequence(fr_ctx *ctx, fr_digest *digest, fr_sequence s)
{
    FR_TRY(fr_digest_add(ctx, digest, &s.count, sizeof s.count));
    if (s.count == 0) {
        return FR_OK;
    }
    FR_TRY(fr_digest_add(ctx, digest, s.ids, (size_t)s.count * sizeof *s.ids));
    return fr_digest_add(ctx, digest, s.counted, (size_t)s.count * sizeof *s.counted);
}

static fr_status add_examples(fr_ctx *ctx, fr_digest *digest, const fr_dataset *dataset,
                              int64_t n)
{
    int64_t row = 0;
    int64_t target = 0;
    for (int64_t e = 0; e < n; e++) {
        fr_dataset_example(dataset, e, &row, &target);
        FR_TRY(add_sequence(ctx, digest, fr_dataset_source(dataset, row)));
        FR_TRY(add_sequence(ctx, digest, fr_dataset_example_target(dataset, e)));
    }
    return FR_OK;
}

fr_status fr_dataset_digest_first(fr_ctx *ctx, const fr_dataset *dataset, int64_t n,
                                  uint8_t out[FR_DIGEST_BYTES])
{
    int64_t all = fr_dataset_stats(dataset)->n_examples;
    fr_digest *digest = NULL;
    FR_TRY(fr_digest_create(ctx, &digest));
    fr_status status = add_examples(ctx, digest, dataset, n < all ? n : all);
    if (status == FR_OK) {
        status = fr_digest_end(ctx, digest, out);
    }
    fr_digest_destroy(&digest);
    return status;
}
