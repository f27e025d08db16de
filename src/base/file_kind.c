#include "base/file_kind.h"

#include <string.h>

typedef struct kind {
    const char *begins;
    size_t bytes;
    const char *what;
} kind;

#define BEGINS(text) (text), sizeof(text) - 1

/* What users give by mistake in place of a model, a data file or a prefix. The first row that fits counts, and the
 * texts continue a message: what the file is, and what to do. */
static const kind KINDS[] = {
    {BEGINS("version https://git-lfs"),
     "a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'"},
    {BEGINS("\x1f\x8b"), "packed by gzip; unpack it with gunzip"},
    {BEGINS("\x28\xb5\x2f\xfd"), "packed by zstd; unpack it with unzstd"},
    {BEGINS("\xfd"
            "7zXZ"),
     "packed by xz; unpack it with unxz"},
    {BEGINS("BZh"), "packed by bzip2; unpack it with bunzip2"},
    {BEGINS("PK\x03\x04"), "a zip archive (files of PyTorch are such archives too); "
                           "give what is in it, weights as safetensors or GGUF"},
    {BEGINS("PAR1"),
     "a Parquet file; write its rows as JSON lines with launch/parquet-to-jsonl.py"},
    {BEGINS("ARROW1"), "an Arrow file; write its rows as JSON, one object a line"},
    {BEGINS("SQLite format 3"),
     "an SQLite database; write its rows as JSON, one object a line"},
    {BEGINS("\x80\x02"),
     "a pickle of Python, which is never opened; give weights as safetensors or GGUF"},
    {BEGINS("\x80\x04"),
     "a pickle of Python, which is never opened; give weights as safetensors or GGUF"},
    {BEGINS("\x80\x03"),
     "a pickle of Python, which is never opened; give weights as safetensors or GGUF"},
    {BEGINS("\x80\x05"),
     "a pickle of Python, which is never opened; give weights as safetensors or GGUF"},
    {BEGINS("\x89HDF\r\n\x1a\n"), "an HDF5 file"},
    {BEGINS("Forerun checkpoint"),
     "a prefix or checkpoint that Forerun wrote; it goes to --prefix"},
    {BEGINS("GGUF"), "a GGUF model"},
    {BEGINS("tjgg"), "a GGML model from before GGUF; get the model as GGUF"},
    {BEGINS("fmgg"), "a GGML model from before GGUF; get the model as GGUF"},
    {BEGINS("lmgg"), "a GGML model from before GGUF; get the model as GGUF"},
    {BEGINS("\x93NUMPY"), "an array of NumPy; give weights as safetensors or GGUF"},
    {BEGINS("7z\xbc\xaf\x27\x1c"), "packed by 7-Zip; unpack it"},
    {BEGINS("\x04\x22\x4d\x18"), "packed by lz4; unpack it with unlz4"},
    {BEGINS("%PDF"), "a PDF"},
    {BEGINS("<!DOCTYPE"), "a web page, not the file itself; fetch the file again"},
    {BEGINS("<!doctype"), "a web page, not the file itself; fetch the file again"},
    {BEGINS("<html"), "a web page, not the file itself; fetch the file again"},
    {BEGINS("<HTML"), "a web page, not the file itself; fetch the file again"},
    {BEGINS("<?xml"), "a page of a server, not the file itself; fetch the file again"},
    {BEGINS("Entry not found"),
     "a hub's answer that it does not have the file; fetch the file again"},
    {BEGINS("Repository not found"),
     "a hub's answer that it does not have the file; fetch the file again"},
    {BEGINS("Invalid username"),
     "a hub's answer to a user who is not logged in, not the file "
     "itself; log in and fetch the file again"},
    {BEGINS("Access to model"),
     "a hub's answer to a user who may not have the file; ask for "
     "access there and fetch the file again"},
    {BEGINS("\xff\xfe"), "text in UTF-16; write it as UTF-8"},
    {BEGINS("\xfe\xff"), "text in UTF-16; write it as UTF-8"},
};

/* The header's magic stands behind 257 bytes of the first file's name and rights. */
static int is_tar(const char *bytes, size_t n)
{
    enum { MAGIC_AT = 257 };
    static const char MAGIC[] = "ustar";
    return n >= MAGIC_AT + sizeof MAGIC - 1 &&
           memcmp(bytes + MAGIC_AT, MAGIC, sizeof MAGIC - 1) == 0;
}

const char *fr_file_kind(const void *bytes, size_t n)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (n >= KINDS[i].bytes &&
            memcmp(bytes, KINDS[i].begins, KINDS[i].bytes) == 0) {
            return KINDS[i].what;
        }
    }
    return is_tar(bytes, n) ? "a tar archive; unpack it" : NULL;
}
