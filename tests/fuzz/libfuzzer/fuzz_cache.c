/* A cache of tokens from somebody else: the input is the file, its key and its digest are made right. */
#include "base/mem.h"
#include "fuzz/libfuzzer/fuzz.h"
#include "fuzz/libfuzzer/use.h"
#include "train/data/data_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ROWS[] = "{\"source_ids\":[5,6,7],\"target_ids\":[[8],[9,10]]}\n"
                           "{\"source_ids\":[5,6,7],\"target_ids\":[11]}\n"
                           "{\"source_ids\":[],\"target_ids\":[1,2]}\n";

enum { VOCABULARY = 100, MAX_TOKENS = 50, KEPT_DIGITS = 16 };

/* The name that data_cache.c gives the cache of this key. */
static const char *cache_name(const uint8_t key[FR_DIGEST_BYTES])
{
    static char name[FR_DIGEST_HEX + 32];
    char hex[FR_DIGEST_HEX];
    fr_digest_hex(key, hex);
    (void)snprintf(name, sizeof name, "cache/tokens-%.*s.cache", (int)KEPT_DIGITS, hex);
    return name;
}

/* Digest of the rows, and their key under these options. */
static void make_key(fr_ctx *ctx, const fr_data_params *params,
                     uint8_t data[FR_DIGEST_BYTES], uint8_t key[FR_DIGEST_BYTES])
{
    fuzz_check(
        fuzz_answer(ctx, fr_digest_of(ctx, (const uint8_t *)ROWS, strlen(ROWS), data)),
        "a digest");
    fuzz_check(fuzz_answer(ctx, fr_table_key(ctx, params, data, key)), "a key");
}

static void seal(fr_ctx *ctx, uint8_t *block, size_t bytes,
                 const uint8_t rows[FR_DIGEST_BYTES],
                 const uint8_t key[FR_DIGEST_BYTES])
{
    fr_table_header *header = (void *)block;
    if (bytes >= sizeof *header) {
        memcpy(header->key, key, sizeof header->key);
        memcpy(header->data, rows, sizeof header->data);
        fuzz_check(
            fuzz_answer(ctx, fr_table_digest(ctx, block, bytes, header->content)),
            "a digest");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    uint8_t rows[FR_DIGEST_BYTES];
    uint8_t key[FR_DIGEST_BYTES];
    fr_dataset *dataset = NULL;
    fr_data_params params = {.path = fuzz_write("rows.jsonl", ROWS, strlen(ROWS)),
                             .vocab_size = VOCABULARY,
                             .eos_id = -1,
                             .max_tokens = MAX_TOKENS};
    make_key(ctx, &params, rows, key);
    uint8_t *block = (uint8_t *)fuzz_text((fuzz_part){data, size});
    seal(ctx, block, size, rows, key);
    (void)fuzz_write(cache_name(key), block, size);
    free(block);
    char *folder = fuzz_text(
        (fuzz_part){(const uint8_t *)fuzz_path("cache"), strlen(fuzz_path("cache"))});
    params.cache_folder = folder;
    fuzz_check(fuzz_answer(ctx, fr_dataset_open(ctx, &params, &dataset)),
               "rows open, whatever the cache holds");
    fuzz_use_dataset(dataset, VOCABULARY, MAX_TOKENS);
    fr_dataset_close(&dataset);
    free(folder);
    return 0;
}
