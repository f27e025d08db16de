/*
 * file_kind.h - names what an unreadable file is, from its first bytes.
 *
 * Users give files that are still packed, Git LFS pointers, or saved "not found" pages. A reader that does not know a
 * file's beginning asks here first, so that its message names the real mistake.
 */
#ifndef FR_BASE_FILE_KIND_H
#define FR_BASE_FILE_KIND_H

#include <stddef.h>

/** As many first bytes are enough: a tar archive has its magic number behind 257 bytes, the others at the beginning. */
enum { FR_FILE_KIND_BYTES = 512 };

/** The kind of file that begins with these bytes and the remedy, to follow "FILE: is "; NULL: an unknown kind. */
const char *fr_file_kind(const void *bytes, size_t n);

#endif
