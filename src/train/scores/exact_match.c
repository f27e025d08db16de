/* White space at the ends does not count: whether a target begins with a space depends on the template alone. */
#include "train/scores/exact_match.h"

#include "train/scores/words.h"

#include <string.h>

bool fr_exact_match(fr_text answer, const fr_text *references, int64_t n)
{
    fr_text said = fr_text_strip(answer);
    for (int64_t i = 0; i < n; i++) {
        fr_text wanted = fr_text_strip(references[i]);
        if (said.bytes == wanted.bytes &&
            (said.bytes == 0 || memcmp(said.data, wanted.data, said.bytes) == 0)) {
            return true;
        }
    }
    return false;
}
