#include "model/text/ends.h"

/* Files write "none" as -1, in 32 bits without a sign as UINT32_MAX. A number too large for an id stays too large. */
int32_t fr_named_id(int64_t number)
{
    if (number < 0 || number == UINT32_MAX) {
        return -1;
    }
    return number < INT32_MAX ? (int32_t)number : INT32_MAX;
}

/* Several files name the same id again, so a repeated one is not an error. The order of the first mention stays. */
fr_status fr_ends_add(fr_ctx *ctx, const char *name, int32_t id, fr_ends *ends)
{
    if (id < 0) {
        return FR_OK;
    }
    for (int32_t i = 0; i < ends->n_stop; i++) {
        if (ends->stop[i] == id) {
            return FR_OK;
        }
    }
    if (ends->n_stop == FR_MAX_ENDS) {
        return FR_FAIL(
            ctx, FR_ERR_UNSUPPORTED,
            "%s: the model's files name more than %d end-of-sequence ids; at "
            "most %d are supported",
            name, FR_MAX_ENDS, FR_MAX_ENDS);
    }
    ends->stop[ends->n_stop++] = id;
    return FR_OK;
}

/* A warning and no failure: such a model works, its texts just never end at that id. */
void fr_ends_within(fr_ctx *ctx, const char *name, int64_t vocab_size, fr_ends *ends)
{
    int32_t kept = 0;
    int32_t beyond = -1;
    for (int32_t i = 0; i < ends->n_stop; i++) {
        if (ends->stop[i] < vocab_size) {
            ends->stop[kept++] = ends->stop[i];
        } else {
            beyond = ends->stop[i];
        }
    }
    ends->n_stop = kept;
    if (beyond >= 0) {
        fr_log(ctx, FR_LOG_WARN,
               "%s: the end-of-sequence id %d is outside the model's vocabulary, 0 to "
               "%lld; it cannot end a text",
               name, (int)beyond, (long long)vocab_size - 1);
    }
}
