/*
 * The header of a file: format version, seal (SHA-256 of everything behind the header) and sizes. It is text, so that
 * `head -4 FILE` and `tail -c +513 FILE | sha256sum` check a file by hand. The seal guards against accidents only; who
 * changes a file can seal it again, so checkpoint_read.c checks every number.
 */
#define _POSIX_C_SOURCE 200809L
#include "train/checkpoint/checkpoint_impl.h"

#include "base/file.h"
#include "base/file_kind.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME "Forerun checkpoint"
#define TITLE1 NAME "\n" /* format 1 did not name its version */

/* Header and index share the user block of the HDF5 file, whose size HDF5 requires to be a power of two from 512 on. */
size_t fr_header_block(size_t index)
{
    size_t block = FR_HEADER_BYTES;
    while (block < FR_HEADER_BYTES + index) {
        block *= 2;
    }
    return block;
}

/* Make the text of the header, padded with zeros. */
static fr_status make_header(fr_ctx *ctx, const uint8_t *image, size_t bytes,
                             const fr_header *header, char out[FR_HEADER_BYTES])
{
    uint8_t digest[FR_DIGEST_BYTES];
    char hex[FR_DIGEST_HEX];
    FR_TRY(fr_digest_of(ctx, image + FR_HEADER_BYTES, bytes - FR_HEADER_BYTES, digest));
    fr_digest_hex(digest, hex);
    memset(out, 0, FR_HEADER_BYTES);
    if (header->major == 1) {
        (void)snprintf(out, FR_HEADER_BYTES, TITLE1 "sha256 %s\n", hex);
    } else {
        (void)snprintf(out, FR_HEADER_BYTES,
                       NAME " %lld.%lld\nsha256 %s\nindex %zu\nblock %zu\n",
                       (long long)header->major, (long long)header->minor, hex,
                       header->index, header->block);
    }
    return FR_OK;
}

fr_status fr_header_seal(fr_ctx *ctx, uint8_t *image, size_t bytes, int64_t minor,
                         size_t index)
{
    size_t block = fr_header_block(index);
    char text[FR_HEADER_BYTES];
    const fr_header header = {FR_CHECKPOINT_MAJOR, minor, index, block};
    if (bytes <= block) {
        return FR_FAIL(ctx, FR_ERR_INTERNAL, "an image of %zu bytes has no content",
                       bytes);
    }
    FR_TRY(make_header(ctx, image, bytes, &header, text));
    memcpy(image, text, sizeof text);
    return FR_OK;
}

/* The name alone decides, so that a damaged file is reported as a damaged checkpoint and not as a foreign file. */
bool fr_header_is_ours(const uint8_t *image, size_t bytes)
{
    return bytes >= sizeof TITLE1 - 1 && memcmp(image, NAME, sizeof NAME - 1) == 0 &&
           (image[sizeof NAME - 1] == '\n' || image[sizeof NAME - 1] == ' ');
}

static fr_status fail_damaged(fr_ctx *ctx, const char *path, const char *what)
{
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                   "%s is damaged: %s; restore it or use an older checkpoint", path,
                   what);
}

/* Check the beginning that both formats share. */
static fr_status check_start(fr_ctx *ctx, const char *path, const uint8_t *image,
                             size_t bytes)
{
    enum { WHAT_BYTES = 64 };
    char what[WHAT_BYTES];
    if (!fr_header_is_ours(image, bytes)) {
        const char *kind = fr_file_kind(image, bytes);
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s is not a Forerun checkpoint or prefix%s%s; give a file that "
                       "`forerun train` wrote",
                       path, kind != NULL ? " but " : "", kind != NULL ? kind : "");
    }
    if (bytes <= FR_HEADER_BYTES) {
        (void)snprintf(what, sizeof what, "it ends after %zu bytes", bytes);
        return fail_damaged(ctx, path, what);
    }
    return FR_OK;
}

/* Parse "NAME NUMBER" of a line and move behind it. At most 12 digits, so that no value can overflow. */
static bool take_number(const char **at, const char *name, char end, uint64_t *out)
{
    enum { MAX_DIGITS = 12 };
    size_t length = strlen(name);
    if (strncmp(*at, name, length) != 0) {
        return false;
    }
    size_t digits = strspn(*at + length, "0123456789");
    if (digits > MAX_DIGITS || (*at)[length + digits] != end ||
        !fr_json_u64((fr_json){*at + length, digits}, out)) {
        return false;
    }
    *at += length + digits + 1;
    return true;
}

/* Parse the header except the digest, which check_text compares. */
static bool parse_header(const char *text, fr_header *out)
{
    static const char SHA[] = "sha256 ";
    uint64_t numbers[4] = {0};
    if (!take_number(&text, NAME " ", '.', &numbers[0]) ||
        !take_number(&text, "", '\n', &numbers[1])) {
        return false;
    }
    out->major = (int64_t)numbers[0];
    out->minor = (int64_t)numbers[1];
    if (out->major != FR_CHECKPOINT_MAJOR) {
        return true; /* the rest of another format is unknown */
    }
    size_t digest = sizeof SHA - 1 + FR_DIGEST_HEX - 1;
    if (strncmp(text, SHA, sizeof SHA - 1) != 0 || strcspn(text, "\n") != digest) {
        return false;
    }
    text += digest + 1;
    if (!take_number(&text, "index ", '\n', &numbers[2]) ||
        !take_number(&text, "block ", '\n', &numbers[3])) {
        return false;
    }
    out->index = numbers[2];
    out->block = numbers[3];
    return true;
}

static fr_status refuse_format(fr_ctx *ctx, const char *path, const fr_header *header)
{
    return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                   "%s has format %lld.%lld, this Forerun reads %d.x; use the Forerun "
                   "that wrote it or a newer one",
                   path, (long long)header->major, (long long)header->minor,
                   FR_CHECKPOINT_MAJOR);
}

/* The text must be what fr_header_seal writes. A newer minor version may have more lines behind it. */
static fr_status check_text(fr_ctx *ctx, const char *path, const uint8_t *image,
                            size_t bytes, const fr_header *header)
{
    char wanted[FR_HEADER_BYTES];
    FR_TRY(make_header(ctx, image, bytes, header, wanted));
    bool newer =
        header->major == FR_CHECKPOINT_MAJOR && header->minor > FR_CHECKPOINT_MINOR;
    if (memcmp(image, wanted, newer ? strlen(wanted) : sizeof wanted) != 0) {
        return fail_damaged(ctx, path,
                            "the SHA-256 of its content is not the one written in it");
    }
    return FR_OK;
}

fr_status fr_header_check_format1(fr_ctx *ctx, const char *path, const uint8_t *image,
                                  size_t bytes)
{
    const fr_header header = {.major = 1};
    FR_TRY(check_start(ctx, path, image, bytes));
    return check_text(ctx, path, image, bytes, &header);
}

/* The text is copied behind a NUL before it is parsed, because a header need not end with one. The sizes are checked
 * after the seal, so that an accident is reported as damage. */
fr_status fr_header_check(fr_ctx *ctx, const char *path, const uint8_t *image,
                          size_t bytes, fr_header *out)
{
    char text[FR_HEADER_BYTES + 1] = "";
    *out = (fr_header){.major = 1};
    FR_TRY(check_start(ctx, path, image, bytes));
    memcpy(text, image, FR_HEADER_BYTES);
    if (strncmp(text, TITLE1, sizeof TITLE1 - 1) == 0) {
        return FR_FAIL(ctx, FR_ERR_CHECKPOINT,
                       "%s has format 1, this Forerun reads %d.x; convert it with "
                       "`forerun convert OLD NEW`",
                       path, FR_CHECKPOINT_MAJOR);
    }
    if (!parse_header(text, out)) {
        return fail_damaged(ctx, path, "its header is not that of a checkpoint");
    }
    if (out->major != FR_CHECKPOINT_MAJOR) {
        return refuse_format(ctx, path, out);
    }
    FR_TRY(check_text(ctx, path, image, bytes, out));
    if (out->index > FR_MAX_INDEX || out->block != fr_header_block(out->index) ||
        out->block >= bytes) {
        return FR_FAIL(
            ctx, FR_ERR_CHECKPOINT,
            "%s: an index of %zu bytes in a block of %zu is impossible in "
            "%zu bytes (at most %d are allowed); restore the file or use an older one",
            path, out->index, out->block, bytes, FR_MAX_INDEX);
    }
    return FR_OK;
}

bool fr_checkpoint_is_ours(const char *path)
{
    uint8_t start[sizeof TITLE1];
    int file = fr_open_regular(path);
    if (file < 0) {
        return false;
    }
    ssize_t got = read(file, start, sizeof start);
    (void)close(file);
    return got > 0 && fr_header_is_ours(start, (size_t)got);
}
