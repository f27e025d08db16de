/*
 * HDF5 files as images in memory: failures, the image's growth, handles and groups. Arrays and attributes are in
 * h5_data.c.
 *
 * A file is made by the library's core driver without a file behind it. The driver's callbacks let the image grow in
 * memory of this module (grow_image) and keep it when the library closes its file (keep_image), so that fr_h5_finish
 * hands over the very bytes of the last write. Everything that can fail does so in the flush before the close: after
 * a failed close the library would hold a file that it can neither write nor forget.
 *
 * The library's error stack is read at the failure (fr_h5_fail) and its own printing is off, so that a message of
 * this program has one form.
 */
#include "base/h5_impl.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- failures ----------------------------------------------------------------------------- */

enum { REASON_BYTES = 256 };

/* The walk goes from the innermost record outwards; the innermost one names the cause. */
static herr_t keep_innermost(unsigned depth, const H5E_error2_t *record, void *reason)
{
    if (depth == 0 && record->desc != NULL) {
        (void)snprintf(reason, REASON_BYTES, "%s", record->desc);
    }
    return 0;
}

/* What failed decides whose fault it is: while writing, this program's; while reading, the file's. */
fr_status fr_h5_fail(fr_h5 *h5, const char *action, const char *place)
{
    char reason[REASON_BYTES] = "the HDF5 library gives no reason";
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    (void)H5Eclear2(H5E_DEFAULT);
    if (h5->out_of_memory) {
        return fr_check_memory(h5->ctx, false, h5->capacity);
    }
    if (h5->writing) {
        return FR_FAIL(h5->ctx, FR_ERR_INTERNAL, "%s: cannot %s %s: %s", h5->name,
                       action, place, reason);
    }
    return FR_FAIL(h5->ctx, FR_ERR_CHECKPOINT,
                   "%s: cannot %s %s: %s; restore the file or use another one",
                   h5->name, action, place, reason);
}

fr_status fr_h5_unfit(fr_h5 *h5, const char *place, const char *what)
{
    (void)H5Eclear2(H5E_DEFAULT);
    return FR_FAIL(h5->ctx, FR_ERR_CHECKPOINT,
                   "%s: %s %s; restore the file or use another one", h5->name, place,
                   what);
}

/* ---- the image ---------------------------------------------------------------------------- */

/* The library asks for the file's exact size each time that it grows; doubling keeps that cheap. */
static void *grow_image(void *memory, size_t bytes, H5FD_file_image_op_t operation,
                        void *handle)
{
    fr_h5 *h5 = handle;
    (void)memory;
    (void)operation;
    if (bytes > h5->capacity) {
        size_t capacity = h5->capacity > bytes / 2 ? 2 * h5->capacity : bytes;
        uint8_t *image = realloc(h5->image, capacity);
        if (image == NULL) {
            h5->out_of_memory = true;
            return NULL;
        }
        h5->image = image;
        h5->capacity = capacity;
    }
    h5->bytes = bytes;
    return h5->image;
}

/* The image outlives the library's file: fr_h5_finish hands it over. */
static herr_t keep_image(void *memory, H5FD_file_image_op_t operation, void *handle)
{
    (void)memory;
    (void)operation;
    (void)handle;
    return 0;
}

/* The library copies and frees the user data of a property list; the handle is the same in each copy. */
static void *same_handle(void *handle)
{
    return handle;
}

static herr_t leave_handle(void *handle)
{
    (void)handle;
    return 0;
}

/* Core driver without a file behind it. It grows by 1 byte at a time, so that the image has no unused bytes at its
 * end. */
static hid_t make_access(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 &&
        (H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) < 0 ||
         H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) < 0 ||
         H5Pset_alignment(access, 1, FR_H5_ALIGNMENT) < 0 ||
         H5Pset_fapl_core(access, 1, false) < 0)) {
        (void)H5Pclose(access);
        access = H5I_INVALID_HID;
    }
    return access;
}

/* H5Fget_file_image gives a superblock with a wrong checksum in this format. The buffer that the driver would free
 * after the last write is right, so the callbacks keep that one. */
static fr_status create_in_memory(fr_h5 *h5, const char *unique)
{
    H5FD_file_image_callbacks_t callbacks = {.image_realloc = grow_image,
                                             .image_free = keep_image,
                                             .udata_copy = same_handle,
                                             .udata_free = leave_handle,
                                             .udata = h5};
    hid_t access = make_access();
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    if (access >= 0 && creation >= 0 &&
        H5Pset_file_image_callbacks(access, &callbacks) >= 0 &&
        H5Pset_userblock(creation, (hsize_t)h5->block) >= 0 &&
        H5Pset_obj_track_times(creation, false) >= 0) {
        h5->file = H5Fcreate(unique, H5F_ACC_TRUNC, creation, access);
    }
    fr_status status = h5->file >= 0 ? FR_OK : fr_h5_fail(h5, "create", "the image");
    (void)H5Pclose(creation);
    (void)H5Pclose(access);
    return status;
}

static fr_status open_in_memory(fr_h5 *h5, const char *unique, const void *image)
{
    hid_t access = make_access();
    void *source = (void *)(uintptr_t)image; /* copied, not written to */
    if (access >= 0 && H5Pset_file_image(access, source, h5->bytes) >= 0) {
        h5->file = H5Fopen(unique, H5F_ACC_RDONLY, access);
    }
    fr_status status = h5->file >= 0 ? FR_OK : fr_h5_fail(h5, "open", "it as HDF5");
    (void)H5Pclose(access);
    return status;
}

/* ---- handles ------------------------------------------------------------------------------ */

/* The core driver takes two open files of one name for the same file, so each handle has a name of its own. */
enum { UNIQUE_BYTES = 64 };
static void name_uniquely(const fr_h5 *h5, char unique[UNIQUE_BYTES])
{
    (void)snprintf(unique, UNIQUE_BYTES, "forerun-image-%p", (const void *)h5);
}

static fr_status make_handle(fr_ctx *ctx, const char *name, bool writing, fr_h5 **out)
{
    fr_h5 *h5 = NULL;
    *out = NULL;
    FR_TRY(fr_alloc(ctx, 1, sizeof *h5, &h5));
    h5->ctx = ctx;
    h5->file = H5I_INVALID_HID;
    h5->writing = writing;
    fr_status status = fr_copy_string(ctx, name, &h5->name);
    if (status != FR_OK) {
        free(h5);
        return status;
    }
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    *out = h5;
    return FR_OK;
}

/* `expected` bytes are taken at once, so an image of that size is never moved as it grows. */
fr_status fr_h5_create(fr_ctx *ctx, const char *name, size_t block, int64_t expected,
                       fr_h5 **out)
{
    enum { MIN_BYTES = 4096 }; /* holds the metadata of a small file without growth */
    char unique[UNIQUE_BYTES];
    fr_h5 *h5 = NULL;
    *out = NULL;
    FR_TRY(make_handle(ctx, name, true, &h5));
    h5->block = block;
    h5->capacity = expected > MIN_BYTES ? (size_t)expected : MIN_BYTES;
    h5->image = malloc(h5->capacity);
    fr_status status = fr_check_memory(ctx, h5->image != NULL, h5->capacity);
    if (status == FR_OK) {
        name_uniquely(h5, unique);
        status = create_in_memory(h5, unique);
    }
    if (status != FR_OK) {
        fr_h5_destroy(&h5);
    }
    *out = h5;
    return status;
}

fr_status fr_h5_finish(fr_h5 *h5, uint8_t **image, size_t *bytes)
{
    *image = NULL;
    *bytes = 0;
    /* A failed close leaves the library with a half-closed file, so whatever can fail must fail in the flush before it.
     * A lack of memory is a failure even where the library continued after it. */
    if (H5Fflush(h5->file, H5F_SCOPE_GLOBAL) < 0 || h5->out_of_memory) {
        return fr_h5_fail(h5, "write", "the image");
    }
    hid_t file = h5->file;
    if (H5Fclose(file) < 0) {
        return fr_h5_fail(h5, "close", "the image");
    }
    h5->file = H5I_INVALID_HID;
    memset(h5->image, 0, h5->block);
    *image = h5->image;
    *bytes = h5->bytes;
    h5->image = NULL;
    return FR_OK;
}

fr_status fr_h5_open(fr_ctx *ctx, const char *name, const void *image, size_t bytes,
                     fr_h5 **out)
{
    char unique[UNIQUE_BYTES];
    fr_h5 *h5 = NULL;
    *out = NULL;
    FR_TRY(make_handle(ctx, name, false, &h5));
    h5->bytes = bytes;
    name_uniquely(h5, unique);
    fr_status status = bytes == 0 ? fr_h5_unfit(h5, "the image", "is empty")
                                  : open_in_memory(h5, unique, image);
    if (status != FR_OK) {
        fr_h5_destroy(&h5);
    }
    *out = h5;
    return status;
}

void fr_h5_destroy(fr_h5 **h5)
{
    fr_h5 *handle = *h5;
    *h5 = NULL;
    if (handle == NULL) {
        return;
    }
    /* a file that the library could not close still points to the handle */
    if (handle->file >= 0 && H5Fclose(handle->file) < 0) {
        (void)H5Eclear2(H5E_DEFAULT);
        return;
    }
    free(handle->image);
    free(handle->name);
    free(handle);
}

/* ---- groups ------------------------------------------------------------------------------- */

/* Longer than any path that Forerun writes; a longer one counts as missing. */
enum { PATH_BYTES = 512 };

/* Soft and external links would lead to another place of the file, or to another file on disk. */
static bool is_hard_link(const fr_h5 *h5, const char *path)
{
    H5L_info_t info;
    return H5Lexists(h5->file, path, H5P_DEFAULT) > 0 &&
           H5Lget_info(h5->file, path, &info, H5P_DEFAULT) >= 0 &&
           info.type == H5L_TYPE_HARD;
}

/* Checks every prefix of the path that ends before a '/' or at its end; the root itself is not a link. */
static bool is_plain_path(const fr_h5 *h5, const char *path)
{
    char part[PATH_BYTES];
    size_t length = strlen(path);
    if (length >= sizeof part || path[0] != '/') {
        return false;
    }
    for (size_t end = 1; length > 1 && end <= length; end++) {
        if (path[end] != '/' && path[end] != '\0') {
            continue;
        }
        memcpy(part, path, end);
        part[end] = '\0';
        if (!is_hard_link(h5, part)) {
            return false;
        }
    }
    return true;
}

fr_status fr_h5_check_path(fr_h5 *h5, const char *path)
{
    return is_plain_path(h5, path) ? FR_OK
                                   : fr_h5_unfit(h5, path, "is missing (or a link)");
}

bool fr_h5_exists(fr_h5 *h5, const char *path)
{
    bool exists = is_plain_path(h5, path);
    (void)H5Eclear2(H5E_DEFAULT);
    return exists;
}

/* Without time stamps, so that the same content gives the same bytes. */
fr_status fr_h5_make_group(fr_h5 *h5, const char *path)
{
    hid_t group = H5I_INVALID_HID;
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    if (creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0) {
        group = H5Gcreate2(h5->file, path, H5P_DEFAULT, creation, H5P_DEFAULT);
    }
    fr_status status = group >= 0 ? FR_OK : fr_h5_fail(h5, "make group", path);
    (void)H5Pclose(creation);
    if (group >= 0 && H5Gclose(group) < 0) {
        status = fr_h5_fail(h5, "close group", path);
    }
    return status;
}

/* Links of any kind in the group, so that a caller can refuse one with more than it knows. */
fr_status fr_h5_count(fr_h5 *h5, const char *path, int64_t *out)
{
    H5G_info_t info;
    *out = 0;
    FR_TRY(fr_h5_check_path(h5, path));
    hid_t group = H5Gopen2(h5->file, path, H5P_DEFAULT);
    if (group < 0) {
        return fr_h5_fail(h5, "open group", path);
    }
    fr_status status =
        H5Gget_info(group, &info) >= 0 ? FR_OK : fr_h5_fail(h5, "list group", path);
    if (status == FR_OK) {
        *out = (int64_t)info.nlinks;
    }
    (void)H5Gclose(group);
    return status;
}
