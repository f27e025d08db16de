/*
 * formats.cuh - the number formats of quant.h in kernels: eight neighbouring numbers of a row at a time, from its stored bytes.
 *
 * What bits mean is written in cpu/quant_bodies.h and cpu/quant_low_bits.h; here each format says how eight of its numbers are
 * found. Products and sums are those of the CPU, in its order, so the bits are the same. Stored bytes lie at any
 * address: fr_bytes_8 reads whole words and shifts, and of those only words in which a wanted byte lies.
 */
#ifndef FR_DEVICE_CUDA_FORMATS_CUH
#define FR_DEVICE_CUDA_FORMATS_CUH

#include "device/cuda/numbers.cuh"

#include "device/quant.h"
#include "device/quant_values.h"

typedef struct fr_eight {
    float at[8];
} fr_eight;

/* ---- bytes at any address ------------------------------------------------------------------- */

FR_DEVICE uint32_t fr_bytes_2(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}
/* Without branches: where the address is that of a word, the last word is read again and shifted out. */
FR_DEVICE uint64_t fr_bytes_8(const uint8_t *p)
{
    uint32_t offset = (uint32_t)((uintptr_t)p & 3U);
    const uint32_t *words = (const uint32_t *)(const void *)(p - offset);
    uint64_t low = words[0] | (uint64_t)words[1] << 32;
    uint64_t high = words[offset != 0 ? 2 : 1];
    return low >> 8 * offset | high << 1 << (63 - 8 * offset);
}
FR_DEVICE uint32_t fr_bytes_4(const uint8_t *p)
{
    uint32_t offset = (uint32_t)((uintptr_t)p & 3U);
    const uint32_t *words = (const uint32_t *)(const void *)(p - offset);
    uint32_t high = words[offset != 0 ? 1 : 0];
    return words[0] >> 8 * offset | high << 1 << (31 - 8 * offset);
}

FR_DEVICE float fr_half_at(const uint8_t *p)
{
    return fr_half_value((uint16_t)fr_bytes_2(p));
}

/* ---- eight small numbers in the bytes of a word --------------------------------------------- */

/** The low or (shift 4) high nibbles of eight bytes. */
FR_DEVICE uint64_t fr_nibbles(uint64_t bytes, int shift)
{
    return bytes >> shift & 0x0f0f0f0f0f0f0f0fULL;
}
FR_DEVICE uint64_t fr_pairs(uint64_t bytes, int shift)
{
    return bytes >> shift & 0x0303030303030303ULL;
}
FR_DEVICE uint64_t fr_single_bits(uint64_t bytes, int shift)
{
    return bytes >> shift & 0x0101010101010101ULL;
}
/** Each bit of a byte to a byte, the lowest first. */
FR_DEVICE uint64_t fr_spread_bits(uint32_t byte)
{
    uint64_t x = byte;
    x = (x | x << 28) & 0x0000000f0000000fULL;
    x = (x | x << 14) & 0x0003000300030003ULL;
    return (x | x << 7) & 0x0101010101010101ULL;
}
/** Each bit pair of two bytes to a byte. */
FR_DEVICE uint64_t fr_spread_pairs(uint32_t bytes)
{
    uint64_t x = bytes;
    x = (x | x << 24) & 0x000000ff000000ffULL;
    x = (x | x << 12) & 0x000f000f000f000fULL;
    return (x | x << 6) & 0x0303030303030303ULL;
}

/** Byte j less `minus`, exactly: 2^23 + b is the float whose last bits are b, and conversions of integers are slow. */
FR_DEVICE float fr_byte_float(uint64_t bytes, int j, int minus)
{
    uint32_t byte = (uint32_t)(bytes >> 8 * j) & 255U;
    return fr_of_bits(0x4b000000U | byte) - (8388608.0F + (float)minus);
}

FR_DEVICE fr_eight fr_scaled(uint64_t bytes, int minus, float scale)
{
    fr_eight out;
    for (int j = 0; j < 8; j++) {
        out.at[j] = fr_byte_float(bytes, j, minus) * scale;
    }
    return out;
}
FR_DEVICE fr_eight fr_scaled_plus(uint64_t bytes, float scale, float offset)
{
    fr_eight out;
    for (int j = 0; j < 8; j++) {
        out.at[j] = fr_byte_float(bytes, j, 0) * scale + offset;
    }
    return out;
}

#define FR_PACK(a, b, c, d, e, f, g, h)                                                \
    ((uint64_t)(uint8_t)(a) | (uint64_t)(uint8_t)(b) << 8 |                            \
     (uint64_t)(uint8_t)(c) << 16 | (uint64_t)(uint8_t)(d) << 24 |                     \
     (uint64_t)(uint8_t)(e) << 32 | (uint64_t)(uint8_t)(f) << 40 |                     \
     (uint64_t)(uint8_t)(g) << 48 | (uint64_t)(uint8_t)(h) << 56)
#define FR_PACK_LIST(...) FR_PACK(__VA_ARGS__)

/** Nibbles that choose from 16 values, which lie in two words: a table in memory would serve one address at a time. */
FR_DEVICE fr_eight fr_looked_up(uint64_t nibbles, uint64_t lower, uint64_t upper,
                                float scale)
{
    fr_eight out;
    for (int j = 0; j < 8; j++) {
        uint32_t q = (uint32_t)(nibbles >> 8 * j) & 15U;
        uint32_t byte = (uint32_t)((q < 8 ? lower : upper) >> 8 * (q & 7U)) & 255U;
        out.at[j] = fr_byte_float(byte ^ 128U, 0, 128) * scale;
    }
    return out;
}

#endif
