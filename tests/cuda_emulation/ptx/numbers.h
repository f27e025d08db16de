/*
 * numbers.h - what PTX's instructions make of numbers, for kernels that translate.py writes. A register holds its bits, unsigned.
 *
 * Where PTX leaves a result open (a division by zero) one is chosen and said here. A NaN that an f32 operation makes is
 * 0x7fffffff, as on the hardware; those of f64 are the host's.
 */
#ifndef FR_CUDA_EMULATION_PTX_NUMBERS_H
#define FR_CUDA_EMULATION_PTX_NUMBERS_H

#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace ptx
{

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using f32 = float;
using f64 = double;
__extension__ using s128 = __int128;

template <typename To, typename From> inline To same_bits(From x)
{
    static_assert(sizeof(To) == sizeof(From), "bits are neither lost nor made");
    To out;
    memcpy(&out, &x, sizeof out);
    return out;
}

/* ---- integers ------------------------------------------------------------------------------------------------- */

/* All bits are set where b is 0; the smallest number divided by -1 is itself. */
template <typename T> inline T quotient(T a, T b)
{
    if (b == 0) {
        return static_cast<T>(-1);
    }
    return static_cast<T>(static_cast<s128>(a) / static_cast<s128>(b));
}

/* a where b is 0 */
template <typename T> inline T remainder(T a, T b)
{
    return b == 0 ? a : static_cast<T>(static_cast<s128>(a) % static_cast<s128>(b));
}

template <typename T> inline T high_half(T a, T b)
{
    __extension__ using u128 = unsigned __int128;
    u128 product = static_cast<u128>(static_cast<s128>(a)) *
                   static_cast<u128>(static_cast<s128>(b)); /* its low 128 bits */
    return static_cast<T>(product >> (8 * sizeof(T)));
}

inline u64 both(u32 low, u32 high)
{
    return static_cast<u64>(high) << 32 | low;
}

template <typename T> inline T reversed(T a)
{
    T out = 0;
    for (unsigned i = 0; i < 8 * sizeof(T); i++) {
        out = static_cast<T>(out << 1 | (a >> i & 1));
    }
    return out;
}

/* `length` bits of a from bit `from` on; beyond them and beyond a the sign of the field, if T has one. */
template <typename T> inline T field_of(T a, u32 from, u32 length)
{
    const unsigned last = 8 * sizeof(T) - 1;
    from &= 0xff;
    length &= 0xff;
    unsigned at = from + length - 1 < last ? from + length - 1 : last;
    bool sign = std::is_signed<T>::value && length > 0 && (a >> at & 1) != 0;
    u64 out = 0;
    for (unsigned i = 0; i <= last; i++) {
        bool inside = i < length && from + i <= last;
        bool bit = inside ? (a >> (from + i) & 1) != 0 : sign;
        out |= static_cast<u64>(bit) << i;
    }
    return static_cast<T>(out);
}

/* b with the low `length` bits of a in the place of its own from bit `to` on */
template <typename T> inline T with_field(T a, T b, u32 to, u32 length)
{
    to &= 0xff;
    length &= 0xff;
    for (unsigned i = 0; i < length && to + i < 8 * sizeof(T); i++) {
        T bit = static_cast<T>(T{1} << (to + i));
        b = static_cast<T>((a >> i & 1) != 0 ? b | bit : b & ~bit);
    }
    return b;
}

/* Four bytes of the eight of a and b, by four digits; a digit with its highest bit: that byte's sign, eight times. */
inline u32 bytes_of(u32 a, u32 b, u32 digits)
{
    u32 out = 0;
    for (unsigned i = 0; i < 4; i++) {
        u32 digit = digits >> (4 * i) & 15;
        u32 byte = static_cast<u32>(both(a, b) >> (8 * (digit & 7)) & 0xff);
        byte = digit < 8 ? byte : byte >> 7 != 0 ? 0xff : 0;
        out |= byte << (8 * i);
    }
    return out;
}

/* Bit by bit: of a table with eight bits, the one with the number abc. */
inline u32 by_table(u32 a, u32 b, u32 c, u32 table)
{
    u32 out = 0;
    for (unsigned i = 0; i < 8; i++) {
        u32 here =
            ((i & 4) != 0 ? a : ~a) & ((i & 2) != 0 ? b : ~b) & ((i & 1) != 0 ? c : ~c);
        out |= (table >> i & 1) != 0 ? here : 0;
    }
    return out;
}

/* The number of type T that is nearest to x. */
template <typename T, typename From> inline T nearest_of(From x)
{
    auto wide = static_cast<s128>(x);
    auto least = static_cast<s128>(std::numeric_limits<T>::min());
    auto most = static_cast<s128>(std::numeric_limits<T>::max());
    return static_cast<T>(wide < least ? least : wide > most ? most : wide);
}

/* ---- floats ----------------------------------------------------------------------------------------------------- */

enum rounding {
    TO_NEAREST = FE_TONEAREST,
    TO_ZERO = FE_TOWARDZERO,
    DOWN = FE_DOWNWARD,
    UP = FE_UPWARD
};

inline f32 result(f32 x)
{
    return x == x ? x : same_bits<f32>(u32{0x7fffffffU});
}
inline f64 result(f64 x)
{
    return x;
}

/* The lesser and the greater of two; the other one where one is NaN; -0 is less than 0. */
template <typename T> inline T lesser(T a, T b)
{
    if (a != a || b != b) {
        return result(a != a ? b : a);
    }
    return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <typename T> inline T greater(T a, T b)
{
    if (a != a || b != b) {
        return result(a != a ? b : a);
    }
    return a > b || (a == b && !std::signbit(a)) ? a : b;
}

/* While it lives, the processor rounds this way. What is rounded lies in volatile numbers: so it stays between. */
struct towards {
    explicit towards(rounding way)
    {
        (void)std::fesetround(way);
    }
    ~towards()
    {
        (void)std::fesetround(FE_TONEAREST);
    }
    towards(const towards &) = delete;
    towards &operator=(const towards &) = delete;
};

#define FR_PTX_TOWARDS(name, expression)                                               \
    template <typename T> inline T name(rounding way, T a, T b = 0, T c = 0)           \
    {                                                                                  \
        volatile T x = a;                                                              \
        volatile T y = b;                                                              \
        volatile T z = c;                                                              \
        towards now(way);                                                              \
        volatile T out = expression;                                                   \
        (void)y;                                                                       \
        (void)z;                                                                       \
        return out;                                                                    \
    }
FR_PTX_TOWARDS(add_towards, x + y)
FR_PTX_TOWARDS(sub_towards, x - y)
FR_PTX_TOWARDS(mul_towards, x *y)
FR_PTX_TOWARDS(div_towards, x / y)
FR_PTX_TOWARDS(sqrt_towards, std::sqrt(T{x}))
FR_PTX_TOWARDS(fma_towards, std::fma(T{x}, T{y}, T{z}))
#undef FR_PTX_TOWARDS

/* Of an integer, or of a wider float. */
template <typename T, typename From> inline T float_of(rounding way, From a)
{
    volatile From x = a;
    towards now(way);
    volatile T out = static_cast<T>(x);
    return out;
}

template <typename T> inline T whole(rounding way, T x)
{
    return way == TO_NEAREST ? std::nearbyint(x)
           : way == TO_ZERO  ? std::trunc(x)
           : way == DOWN     ? std::floor(x)
                             : std::ceil(x);
}

/* Rounded, and the nearest that T has. NaN is 0, but the highest bit alone where either type has 64 bits. */
template <typename T, typename From> inline T integer_of(rounding way, From a)
{
    using bits = typename std::make_unsigned<T>::type;
    if (a != a) {
        bool wide = sizeof(From) == 8 || sizeof(T) == 8;
        return static_cast<T>(wide ? bits{1} << (8 * sizeof(T) - 1) : 0);
    }
    From x = whole(way, a);
    From end = std::ldexp(From{1}, std::numeric_limits<T>::digits);
    if (x >= end) {
        return std::numeric_limits<T>::max();
    }
    From least = std::is_signed<T>::value ? -end : From{0};
    return x < least ? std::numeric_limits<T>::min() : static_cast<T>(x);
}

} // namespace ptx

#endif
