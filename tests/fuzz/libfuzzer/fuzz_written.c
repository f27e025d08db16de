/* A text as people write it, and the same bytes as a text that is to be written. */
#include "fuzz/libfuzzer/fuzz.h"
#include "train/config/written.h"

#include <stdlib.h>
#include <string.h>

/* Reading gives no more bytes than there are, and what is read can be written and read again. */
static void use_text(fr_ctx *ctx, const char *text, bool is_template)
{
    char *written = NULL;
    char *again = NULL;
    fuzz_check(fuzz_answer(ctx, is_template
                                    ? fr_written_write_template(ctx, text, &written)
                                    : fr_written_write(ctx, text, &written)),
               "any text can be written");
    fr_status status = is_template ? fr_written_read_template(ctx, "t", written, &again)
                                   : fr_written_read(ctx, written, &again);
    bool spaced = status != FR_OK && strstr(fr_ctx_error(ctx), "with blanks") != NULL;
    if (fuzz_answer(ctx, status)) {
        fuzz_check(strcmp(again, text) == 0, "a written text is read as the same");
    } else {
        fuzz_check(is_template && spaced, "only a place with blanks is not read again");
    }
    free(written);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_ctx *ctx = fuzz_ctx();
    char *text = fuzz_text((fuzz_part){data, size});
    for (int is_template = 0; is_template < 2; is_template++) {
        char *read = NULL;
        use_text(ctx, text, is_template != 0);
        if (fuzz_answer(ctx, is_template != 0
                                 ? fr_written_read_template(ctx, "t", text, &read)
                                 : fr_written_read(ctx, text, &read))) {
            fuzz_check(strlen(read) <= strlen(text), "reading makes no text longer");
            use_text(ctx, read, is_template != 0);
        }
        free(read);
    }
    free(text);
    return 0;
}
