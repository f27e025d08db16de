/*
 * file_kind.h - what a file that cannot be read is, told from its first bytes.
 *
 * Layer L0. People give the file that they have: packed, a pointer to another one, a page that says "not found". A
 * reader that does not know a file's beginning asks here before it complains about its content.
 */
#ifndef FR_BASE_FILE_KIND_H
#define FR_BASE_FILE_KIND_H

#include <stddef.h>

/** First bytes that are enough to tell. */
enum { FR_FILE_KIND_BYTES = 512 };

/** What the bytes begin and the way out, as the end of "FILE: is ..."; NULL: none of the kinds that are known. */
const char *fr_file_kind(const void *bytes, size_t n);

#endif
