/*
 * device_memory.h - put before a source by device_memory.py: the host's functions refuse memory of a device.
 *
 * write(2) is missing: unistd.h also declares names that sources have for themselves, such as pause.
 */
#include "comm/group.h"
#include "device/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A compile error for what a device alone may follow. */
#define FR_HOST_ONLY(p)                                                                \
    ((void)sizeof(char[_Generic((p),                                                   \
        fr_f32 *: -1,                                                                  \
        const fr_f32 *: -1,                                                            \
        fr_f64 *: -1,                                                                  \
        const fr_f64 *: -1,                                                            \
        fr_i32 *: -1,                                                                  \
        const fr_i32 *: -1,                                                            \
        fr_i64 *: -1,                                                                  \
        const fr_i64 *: -1,                                                            \
        fr_byte *: -1,                                                                 \
        const fr_byte *: -1,                                                           \
        default: 1)]))

#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#define memcpy(to, from, n)                                                            \
    (FR_HOST_ONLY(to), FR_HOST_ONLY(from), (memcpy)((to), (from), (n)))
#define memmove(to, from, n)                                                           \
    (FR_HOST_ONLY(to), FR_HOST_ONLY(from), (memmove)((to), (from), (n)))
#define memset(to, byte, n) (FR_HOST_ONLY(to), (memset)((to), (byte), (n)))
#define memcmp(a, b, n) (FR_HOST_ONLY(a), FR_HOST_ONLY(b), (memcmp)((a), (b), (n)))
#define free(p) (FR_HOST_ONLY(p), (free)(p))
#define fwrite(p, size, n, file) (FR_HOST_ONLY(p), (fwrite)((p), (size), (n), (file)))
#define fr_group_send(group, peer, tag, p, n)                                          \
    (FR_HOST_ONLY(p), (fr_group_send)((group), (peer), (tag), (p), (n)))
#define fr_group_receive(group, peer, tag, p, n)                                       \
    (FR_HOST_ONLY(p), (fr_group_receive)((group), (peer), (tag), (p), (n)))
#define fr_group_send_begin(group, peer, tag, p, n, request)                           \
    (FR_HOST_ONLY(p),                                                                  \
     (fr_group_send_begin)((group), (peer), (tag), (p), (n), (request)))
#define fr_group_receive_begin(group, peer, tag, p, n, request)                        \
    (FR_HOST_ONLY(p),                                                                  \
     (fr_group_receive_begin)((group), (peer), (tag), (p), (n), (request)))
#define fr_group_broadcast(group, root, p, n)                                          \
    (FR_HOST_ONLY(p), (fr_group_broadcast)((group), (root), (p), (n)))
#define fr_group_allreduce(group, op, p, n)                                            \
    (FR_HOST_ONLY(p), (fr_group_allreduce)((group), (op), (p), (n)))
#define fr_group_allreduce_begin(group, op, p, n, request)                             \
    (FR_HOST_ONLY(p), (fr_group_allreduce_begin)((group), (op), (p), (n), (request)))
