/*
 * format_blocks.cuh - each format of blocks as a type: BLOCK and BYTES of a block, and read(b, at), eight numbers of the block at b
 * from number `at` on, a multiple of 8. Layouts: cpu/quant_bodies.h, cpu/quant_low_bits.h.
 */
#ifndef FR_DEVICE_CUDA_FORMAT_BLOCKS_CUH
#define FR_DEVICE_CUDA_FORMAT_BLOCKS_CUH

#include "device/cuda/formats.cuh"

/* The scale and the offset of a run of 32 in a block of Q4_K or Q5_K. */
FR_DEVICE float fr_k_scale(const uint8_t *b, int run)
{
    const uint8_t *s = b + 4;
    int six = run < 4 ? s[run] & 63 : (s[run + 4] & 15) | s[run - 4] >> 6 << 4;
    return fr_half_at(b) * (float)six;
}
FR_DEVICE float fr_k_offset(const uint8_t *b, int run)
{
    const uint8_t *s = b + 4;
    int six = run < 4 ? s[run + 4] & 63 : s[run + 4] >> 4 | s[run] >> 6 << 4;
    return fr_half_at(b + 2) * (float)six;
}

/** Digits to base 3 of eight bytes: of the first four that number `first`, of the others `second`. */
FR_DEVICE fr_eight fr_digits(uint64_t bytes, int first, int second, float scale)
{
    uint64_t digits = 0;
    uint32_t powers = 0x1b090301U; /* 27, 9, 3, 1; and 81 */
    uint32_t a = first == 4 ? 81U : powers >> 8 * first & 255U;
    uint32_t b = second == 4 ? 81U : powers >> 8 * second & 255U;
    for (int j = 0; j < 8; j++) {
        uint32_t byte = (uint32_t)(bytes >> 8 * j) & 255U;
        uint32_t rest = byte * (j < 4 ? a : b) & 255U;
        digits |= (uint64_t)(rest * 3 >> 8) << 8 * j;
    }
    return fr_scaled(digits, 1, scale);
}

template <int FORMAT> struct fr_format;

template <> struct fr_format<FR_QUANT_Q4_0> {
    enum { BLOCK = 32, BYTES = 18 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q = fr_nibbles(fr_bytes_8(b + 2 + at % 16), at / 16 * 4);
        return fr_scaled(q, 8, fr_half_at(b));
    }
};

template <> struct fr_format<FR_QUANT_Q4_1> {
    enum { BLOCK = 32, BYTES = 20 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q = fr_nibbles(fr_bytes_8(b + 4 + at % 16), at / 16 * 4);
        return fr_scaled_plus(q, fr_half_at(b), fr_half_at(b + 2));
    }
};

template <> struct fr_format<FR_QUANT_Q5_0> {
    enum { BLOCK = 32, BYTES = 22 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q = fr_nibbles(fr_bytes_8(b + 6 + at % 16), at / 16 * 4);
        q |= fr_spread_bits(b[2 + at / 8]) << 4;
        return fr_scaled(q, 16, fr_half_at(b));
    }
};

template <> struct fr_format<FR_QUANT_Q5_1> {
    enum { BLOCK = 32, BYTES = 24 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q = fr_nibbles(fr_bytes_8(b + 8 + at % 16), at / 16 * 4);
        q |= fr_spread_bits(b[4 + at / 8]) << 4;
        return fr_scaled_plus(q, fr_half_at(b), fr_half_at(b + 2));
    }
};

template <> struct fr_format<FR_QUANT_Q8_0> {
    enum { BLOCK = 32, BYTES = 34 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q = fr_bytes_8(b + 2 + at) ^ 0x8080808080808080ULL;
        return fr_scaled(q, 128, fr_half_at(b));
    }
};

template <> struct fr_format<FR_QUANT_Q1_0> {
    enum { BLOCK = 128, BYTES = 18 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q = fr_spread_bits(b[2 + at / 8]) << 1;
        return fr_scaled(q, 1, fr_half_at(b));
    }
};

template <> struct fr_format<FR_QUANT_Q2_0> {
    enum { BLOCK = 64, BYTES = 18 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q = fr_spread_pairs(fr_bytes_2(b + 2 + at / 4));
        return fr_scaled(q, 1, fr_half_at(b));
    }
};

template <> struct fr_format<FR_QUANT_Q2_K> {
    enum { BLOCK = 256, BYTES = 84 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q =
            fr_pairs(fr_bytes_8(b + 16 + at / 128 * 32 + at % 32), at % 128 / 32 * 2);
        int both = b[at / 16];
        return fr_scaled_plus(q, fr_half_at(b + 80) * (float)(both & 15),
                              -(fr_half_at(b + 82) * (float)(both >> 4)));
    }
};

template <> struct fr_format<FR_QUANT_Q3_K> {
    enum { BLOCK = 256, BYTES = 110 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q =
            fr_pairs(fr_bytes_8(b + 32 + at / 128 * 32 + at % 32), at % 128 / 32 * 2);
        q |= fr_single_bits(fr_bytes_8(b + at % 32), at / 32) << 2;
        return fr_scaled(q, 4,
                         fr_half_at(b + 108) * (float)fr_q3_k_scale(b + 96, at / 16));
    }
};

template <> struct fr_format<FR_QUANT_Q4_K> {
    enum { BLOCK = 256, BYTES = 144 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q =
            fr_nibbles(fr_bytes_8(b + 16 + at / 64 * 32 + at % 32), at % 64 / 32 * 4);
        return fr_scaled_plus(q, fr_k_scale(b, at / 32), -fr_k_offset(b, at / 32));
    }
};

template <> struct fr_format<FR_QUANT_Q5_K> {
    enum { BLOCK = 256, BYTES = 176 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q =
            fr_nibbles(fr_bytes_8(b + 48 + at / 64 * 32 + at % 32), at % 64 / 32 * 4);
        q |= fr_single_bits(fr_bytes_8(b + 16 + at % 32), at / 32) << 4;
        return fr_scaled_plus(q, fr_k_scale(b, at / 32), -fr_k_offset(b, at / 32));
    }
};

template <> struct fr_format<FR_QUANT_Q6_K> {
    enum { BLOCK = 256, BYTES = 210 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q =
            fr_nibbles(fr_bytes_8(b + at / 128 * 64 + at % 64), at % 128 / 64 * 4);
        q |= fr_pairs(fr_bytes_8(b + 128 + at / 128 * 32 + at % 32), at % 128 / 32 * 2)
             << 4;
        return fr_scaled(q, 32, fr_half_at(b + 208) * (float)(int8_t)b[192 + at / 16]);
    }
};

template <> struct fr_format<FR_QUANT_IQ4_NL> {
    enum { BLOCK = 32, BYTES = 18 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q = fr_nibbles(fr_bytes_8(b + 2 + at % 16), at / 16 * 4);
        return fr_looked_up(q, FR_PACK_LIST(FR_IQ4_LOWER), FR_PACK_LIST(FR_IQ4_UPPER),
                            fr_half_at(b));
    }
};

template <> struct fr_format<FR_QUANT_MXFP4> {
    enum { BLOCK = 32, BYTES = 17 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q = fr_nibbles(fr_bytes_8(b + 1 + at % 16), at / 16 * 4);
        return fr_looked_up(q, FR_PACK_LIST(FR_MXFP4_LOWER),
                            FR_PACK_LIST(FR_MXFP4_UPPER), fr_half_power(*b));
    }
};

template <> struct fr_format<FR_QUANT_IQ4_XS> {
    enum { BLOCK = 256, BYTES = 136 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q =
            fr_nibbles(fr_bytes_8(b + 8 + at / 32 * 16 + at % 16), at % 32 / 16 * 4);
        int lower = b[4 + at / 64] >> at % 64 / 32 * 4 & 15;
        int upper = (int)(fr_bytes_2(b + 2) >> at / 32 * 2) & 3;
        float scale = fr_half_at(b) * (float)((lower | upper << 4) - 32);
        return fr_looked_up(q, FR_PACK_LIST(FR_IQ4_LOWER), FR_PACK_LIST(FR_IQ4_UPPER),
                            scale);
    }
};

template <> struct fr_format<FR_QUANT_TQ1_0> {
    enum { BLOCK = 256, BYTES = 54 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        float d = fr_half_at(b + 52);
        if (at < 160) {
            return fr_digits(fr_bytes_8(b + at % 32), at / 32, at / 32, d);
        }
        if (at < 240) {
            return fr_digits(fr_bytes_8(b + 32 + at % 16), at / 16 - 10, at / 16 - 10,
                             d);
        }
        uint64_t four = fr_bytes_4(b + 48);
        return fr_digits(four | four << 32, at / 4 - 60, at / 4 - 59, d);
    }
};

template <> struct fr_format<FR_QUANT_TQ2_0> {
    enum { BLOCK = 256, BYTES = 66 };
    FR_DEVICE fr_eight read(const uint8_t *b, int at)
    {
        uint64_t q =
            fr_pairs(fr_bytes_8(b + at / 128 * 32 + at % 32), at % 128 / 32 * 2);
        return fr_scaled(q, 1, fr_half_at(b + 64));
    }
};

#endif
