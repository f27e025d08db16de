/*
 * Arrays and attributes of an HDF5 image: what h5.c opens, this file writes and reads.
 *
 * Writing uses one form of each thing, so that the same content gives the same bytes: contiguous arrays of
 * little-endian f32 without time stamps, and attributes of fixed little-endian types. Reading trusts nothing: before
 * the library may touch a value, its path, type, extent and storage are compared with what the caller expects. A
 * file that differs gets a message which names the place; it never gets a conversion. Handles of the library are
 * closed on every way out.
 */
#include "base/h5_impl.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- arrays ------------------------------------------------------------------------------- */

/* Checks the shape and gives the bytes of an f32 array of it. False too where they do not fit an int64. */
static bool is_shape(const int64_t *shape, int rank, int64_t *bytes)
{
    *bytes = (int64_t)sizeof(float);
    bool fits = rank >= 1 && rank <= FR_H5_MAX_RANK;
    for (int i = 0; fits && i < rank; i++) {
        fits = shape[i] >= 1 && fr_mul_i64(*bytes, shape[i], bytes);
    }
    return fits;
}

/* Contiguous and allocated at once, so that its offset in the file is known. It has no checksum, because the caller
 * seals the whole file. */
static hid_t make_array_creation(void)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    if (creation >= 0 && (H5Pset_obj_track_times(creation, false) < 0 ||
                          H5Pset_layout(creation, H5D_CONTIGUOUS) < 0 ||
                          H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) < 0 ||
                          H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) < 0)) {
        (void)H5Pclose(creation);
        creation = H5I_INVALID_HID;
    }
    return creation;
}

static hid_t make_array(const fr_h5 *h5, const char *path, const int64_t *shape,
                        int rank)
{
    hsize_t size[FR_H5_MAX_RANK];
    hid_t array = H5I_INVALID_HID;
    for (int i = 0; i < rank; i++) {
        size[i] = (hsize_t)shape[i];
    }
    hid_t creation = make_array_creation();
    hid_t space = H5Screate_simple(rank, size, NULL);
    if (creation >= 0 && space >= 0) {
        array = H5Dcreate2(h5->file, path, H5T_IEEE_F32LE, space, H5P_DEFAULT, creation,
                           H5P_DEFAULT);
    }
    (void)H5Sclose(space);
    (void)H5Pclose(creation);
    return array;
}

/* The offset must be a multiple of FR_H5_ALIGNMENT: a caller that holds the image can then use the data in place. */
fr_status fr_h5_write_f32(fr_h5 *h5, const char *path, const int64_t *shape, int rank,
                          const float *data, int64_t *offset)
{
    int64_t bytes = 0;
    *offset = -1;
    if (!is_shape(shape, rank, &bytes)) {
        return FR_FAIL(h5->ctx, FR_ERR_SHAPE,
                       "%s: array %s has rank %d, needs 1 to %d sizes of at least 1",
                       h5->name, path, rank, FR_H5_MAX_RANK);
    }
    hid_t array = make_array(h5, path, shape, rank);
    bool done = array >= 0 && H5Dwrite(array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL,
                                       H5P_DEFAULT, data) >= 0;
    haddr_t place = done ? H5Dget_offset(array) : HADDR_UNDEF;
    done = done && place != HADDR_UNDEF && place % FR_H5_ALIGNMENT == 0;
    fr_status status = done ? FR_OK : fr_h5_fail(h5, "write array", path);
    /* closing writes what is left in the library's cache */
    if (array >= 0 && H5Dclose(array) < 0 && done) {
        status = fr_h5_fail(h5, "close array", path);
    }
    *offset = (int64_t)place;
    return status;
}

/* Each chunk must be as long as its shape and checksums say: the library (1.10.8) reads beyond the end of a shorter
 * one. */
static bool has_whole_chunks(hid_t array, hid_t creation, int n_filters)
{
    enum { CHECKSUM_BYTES = 4 };
    hsize_t chunk[FR_H5_MAX_RANK] = {0};
    hsize_t n_chunks = 0;
    hid_t space = H5Dget_space(array);
    int rank = H5Pget_chunk(creation, FR_H5_MAX_RANK, chunk);
    hsize_t bytes = sizeof(float);
    for (int i = 0; i < rank && i < FR_H5_MAX_RANK; i++) {
        bytes = chunk[i] <= UINT32_MAX / bytes ? bytes * chunk[i] : 0;
        rank = bytes > 0 ? rank : -1;
    }
    bool whole = rank >= 1 && rank <= FR_H5_MAX_RANK && space >= 0 &&
                 H5Dget_num_chunks(array, space, &n_chunks) >= 0;
    bytes += (hsize_t)(CHECKSUM_BYTES * n_filters);
    for (hsize_t i = 0; whole && i < n_chunks; i++) {
        hsize_t size = 0;
        unsigned mask = 1;
        whole = H5Dget_chunk_info(array, space, i, NULL, &mask, NULL, &size) >= 0 &&
                mask == 0 && size == bytes;
    }
    (void)H5Sclose(space);
    return whole;
}

/* Whether the array's data lie in the image and pass through no filter but the checksum. */
static bool is_stored_plainly(hid_t array)
{
    hid_t creation = H5Dget_create_plist(array);
    if (creation < 0) {
        return false;
    }
    H5D_layout_t layout = H5Pget_layout(creation);
    int n_filters = layout == H5D_CHUNKED ? H5Pget_nfilters(creation) : 0;
    bool plain =
        (layout == H5D_CHUNKED || layout == H5D_CONTIGUOUS || layout == H5D_COMPACT) &&
        H5Pget_external_count(creation) == 0 && n_filters >= 0;
    for (int i = 0; plain && i < n_filters; i++) {
        size_t n_values = 0;
        plain = H5Pget_filter2(creation, (unsigned)i, NULL, &n_values, NULL, 0, NULL,
                               NULL) == H5Z_FILTER_FLETCHER32;
    }
    plain = plain &&
            (layout != H5D_CHUNKED || has_whole_chunks(array, creation, n_filters));
    (void)H5Pclose(creation);
    return plain;
}

/* The extent must be simple and exactly this one: the buffer of the caller has room for no other. */
static bool has_shape(hid_t array, const int64_t *shape, int rank)
{
    hsize_t size[FR_H5_MAX_RANK] = {0};
    hid_t space = H5Dget_space(array);
    bool same = space >= 0 && H5Sget_simple_extent_type(space) == H5S_SIMPLE &&
                H5Sget_simple_extent_ndims(space) == rank &&
                H5Sget_simple_extent_dims(space, size, NULL) == rank;
    for (int i = 0; same && i < rank; i++) {
        same = size[i] == (hsize_t)shape[i];
    }
    (void)H5Sclose(space);
    return same;
}

/* Runs before every read: type and shape decide how much the library writes into the caller's buffer, and the
 * storage decides which of its code runs on bytes from outside. */
static fr_status check_array(fr_h5 *h5, const char *path, hid_t array,
                             const int64_t *shape, int rank)
{
    enum { WHAT_BYTES = 128 };
    char what[WHAT_BYTES] = "must be an f32 array of shape";
    hid_t type = H5Dget_type(array);
    bool is_f32 = type >= 0 && H5Tequal(type, H5T_IEEE_F32LE) > 0;
    (void)H5Tclose(type);
    if (!is_f32 || !has_shape(array, shape, rank)) {
        for (int i = 0; i < rank; i++) {
            size_t used = strlen(what);
            (void)snprintf(what + used, sizeof what - used, " %lld",
                           (long long)shape[i]);
        }
        return fr_h5_unfit(h5, path, what);
    }
    return is_stored_plainly(array)
               ? FR_OK
               : fr_h5_unfit(h5, path, "is stored in a way that Forerun does not use");
}

fr_status fr_h5_read_f32(fr_h5 *h5, const char *path, const int64_t *shape, int rank,
                         float *data)
{
    int64_t bytes = 0;
    if (!is_shape(shape, rank, &bytes)) {
        return fr_h5_unfit(h5, path, "is asked for with an impossible shape");
    }
    FR_TRY(fr_h5_check_path(h5, path));
    hid_t array = H5Dopen2(h5->file, path, H5P_DEFAULT);
    if (array < 0) {
        return fr_h5_fail(h5, "open array", path);
    }
    fr_status status = check_array(h5, path, array, shape, rank);
    if (status == FR_OK &&
        H5Dread(array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        status = fr_h5_fail(h5, "read array", path);
    }
    (void)H5Dclose(array);
    return status;
}

/* ---- attributes --------------------------------------------------------------------------- */

/* Longer names are cut in the message alone. */
enum { PLACE_BYTES = 640 };

static void name_place(const char *object, const char *name, char place[PLACE_BYTES])
{
    (void)snprintf(place, PLACE_BYTES, "attribute %s of %s", name, object);
}

/* `n` 0: a scalar; otherwise that many elements. */
static fr_status write_attribute(fr_h5 *h5, const char *object, const char *name,
                                 hid_t file_type, hid_t memory_type, size_t n,
                                 const void *data)
{
    char place[PLACE_BYTES];
    hsize_t size = n;
    hid_t attribute = H5I_INVALID_HID;
    hid_t space = n == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &size, NULL);
    if (space >= 0) {
        attribute = H5Acreate_by_name(h5->file, object, name, file_type, space,
                                      H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    }
    bool done = attribute >= 0 && H5Awrite(attribute, memory_type, data) >= 0;
    name_place(object, name, place);
    fr_status status = done ? FR_OK : fr_h5_fail(h5, "write", place);
    if (attribute >= 0 && H5Aclose(attribute) < 0 && done) {
        status = fr_h5_fail(h5, "close", place);
    }
    (void)H5Sclose(space);
    return status;
}

/* A missing attribute is a fault of the file, so it is told apart from a failure of the library. */
static fr_status open_attribute(fr_h5 *h5, const char *object, const char *name,
                                hid_t *out)
{
    char place[PLACE_BYTES];
    *out = H5I_INVALID_HID;
    FR_TRY(fr_h5_check_path(h5, object));
    name_place(object, name, place);
    if (H5Aexists_by_name(h5->file, object, name, H5P_DEFAULT) <= 0) {
        return fr_h5_unfit(h5, place, "is missing");
    }
    *out = H5Aopen_by_name(h5->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    return *out >= 0 ? FR_OK : fr_h5_fail(h5, "open", place);
}

/* `n` as in write_attribute. */
static bool has_extent(hid_t attribute, size_t n)
{
    hsize_t size = 0;
    hid_t space = H5Aget_space(attribute);
    H5S_class_t class = space >= 0 ? H5Sget_simple_extent_type(space) : H5S_NO_CLASS;
    bool same = n == 0
                    ? class == H5S_SCALAR
                    : class == H5S_SIMPLE && H5Sget_simple_extent_ndims(space) == 1 &&
                          H5Sget_simple_extent_dims(space, &size, NULL) == 1 &&
                          size == (hsize_t)n;
    (void)H5Sclose(space);
    return same;
}

static fr_status read_attribute(fr_h5 *h5, const char *object, const char *name,
                                hid_t file_type, hid_t memory_type, size_t n, void *out)
{
    char place[PLACE_BYTES];
    hid_t attribute = H5I_INVALID_HID;
    FR_TRY(open_attribute(h5, object, name, &attribute));
    name_place(object, name, place);
    fr_status status = FR_OK;
    hid_t type = H5Aget_type(attribute);
    if (type < 0 || H5Tequal(type, file_type) <= 0 || !has_extent(attribute, n)) {
        status = fr_h5_unfit(h5, place, "has another type or size than it must have");
    } else if (H5Aread(attribute, memory_type, out) < 0) {
        status = fr_h5_fail(h5, "read", place);
    }
    (void)H5Tclose(type);
    (void)H5Aclose(attribute);
    return status;
}

bool fr_h5_has_attribute(fr_h5 *h5, const char *object, const char *name)
{
    bool has = fr_h5_exists(h5, object) &&
               H5Aexists_by_name(h5->file, object, name, H5P_DEFAULT) > 0;
    (void)H5Eclear2(H5E_DEFAULT);
    return has;
}

fr_status fr_h5_write_i64(fr_h5 *h5, const char *object, const char *name,
                          int64_t value)
{
    return write_attribute(h5, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, 0,
                           &value);
}

fr_status fr_h5_read_i64(fr_h5 *h5, const char *object, const char *name, int64_t *out)
{
    return read_attribute(h5, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, 0, out);
}

fr_status fr_h5_write_u64(fr_h5 *h5, const char *object, const char *name,
                          uint64_t value)
{
    return write_attribute(h5, object, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, 0,
                           &value);
}

fr_status fr_h5_read_u64(fr_h5 *h5, const char *object, const char *name, uint64_t *out)
{
    return read_attribute(h5, object, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, 0, out);
}

fr_status fr_h5_write_f64(fr_h5 *h5, const char *object, const char *name, double value)
{
    return write_attribute(h5, object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 0,
                           &value);
}

fr_status fr_h5_read_f64(fr_h5 *h5, const char *object, const char *name, double *out)
{
    return read_attribute(h5, object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 0, out);
}

fr_status fr_h5_write_bytes(fr_h5 *h5, const char *object, const char *name,
                            const void *data, size_t bytes)
{
    return write_attribute(h5, object, name, H5T_STD_U8LE, H5T_NATIVE_UINT8, bytes,
                           data);
}

fr_status fr_h5_read_bytes(fr_h5 *h5, const char *object, const char *name, void *out,
                           size_t bytes)
{
    return read_attribute(h5, object, name, H5T_STD_U8LE, H5T_NATIVE_UINT8, bytes, out);
}

/* A text of n bytes is a fixed-length string of n, without a final NUL; the format has no length 0, so an
 * empty text is one NUL. The character set is a label: bytes pass unchanged. */
fr_status fr_h5_write_text(fr_h5 *h5, const char *object, const char *name,
                           const char *text)
{
    size_t length = strlen(text);
    hid_t type = H5Tcopy(H5T_C_S1);
    fr_status status = FR_OK;
    if (type < 0 || H5Tset_size(type, length > 0 ? length : 1) < 0 ||
        H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 ||
        H5Tset_cset(type, H5T_CSET_UTF8) < 0) {
        status = fr_h5_fail(h5, "make a text type for", name);
    } else {
        status = write_attribute(h5, object, name, type, type, 0, text);
    }
    (void)H5Tclose(type);
    return status;
}

/* Bytes of a fixed-length scalar text; 0 if it is anything else or longer than the whole file. */
static size_t text_length(const fr_h5 *h5, hid_t attribute, hid_t type)
{
    if (type < 0 || H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 ||
        !has_extent(attribute, 0)) {
        return 0;
    }
    size_t length = H5Tget_size(type);
    return length <= h5->bytes ? length : 0;
}

fr_status fr_h5_read_text(fr_h5 *h5, const char *object, const char *name, char **out)
{
    char place[PLACE_BYTES];
    char *text = NULL;
    hid_t attribute = H5I_INVALID_HID;
    *out = NULL;
    FR_TRY(open_attribute(h5, object, name, &attribute));
    name_place(object, name, place);
    fr_status status = FR_OK;
    hid_t type = H5Aget_type(attribute);
    size_t length = text_length(h5, attribute, type);
    if (length == 0) {
        status = fr_h5_unfit(h5, place, "is not a text of fixed length");
        goto out;
    }
    status = fr_alloc(h5->ctx, (int64_t)length + 1, 1, &text);
    if (status != FR_OK) {
        goto out;
    }
    if (H5Aread(attribute, type, text) < 0) {
        status = fr_h5_fail(h5, "read", place);
    } else if (strlen(text) != length && !(length == 1 && text[0] == '\0')) {
        status = fr_h5_unfit(h5, place, "holds a NUL byte");
    } else {
        *out = text;
        text = NULL;
    }
out:
    free(text);
    (void)H5Tclose(type);
    (void)H5Aclose(attribute);
    return status;
}
