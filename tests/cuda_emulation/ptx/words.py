"""The instructions of PTX that compute a number from numbers, one row each: WORDS[opcode] = (types, expression).

`types` are those of the result and of the operands, as PTX writes them; in the C++ expression {a}, {b}, {c} and {d} are
the operands with those types: s32 is int32_t, b32 and u32 are uint32_t, f32 is float, pred is bool. The result is cut
to the width of its type. Functions are those of machine.h.

An instruction that is not here is refused, and that is meant for some: add.f32, mul.f32 and their like without a
rounding may be fused by the assembler, and .ftz and .approx give bits that no standard says. nvcc writes none of them
with the flags of this program. tensor_words.py has one that kernels write on purpose.
"""

WIDTHS = (16, 32, 64)
ROUNDINGS = {"rn": "TO_NEAREST", "rz": "TO_ZERO", "rm": "DOWN", "rp": "UP"}

WORDS = {}


def word(opcode, types, expression):
    """One row."""
    if opcode in WORDS:
        raise ValueError(f"{opcode} is there twice")
    WORDS[opcode] = (types.split(), expression)


# ---- integers ---------------------------------------------------------------------------------------------------

for w in WIDTHS:
    u, s, twice = f"u{w}", f"s{w}", 2 * w
    for t in (u, s):  # the same bits for both
        word(f"add.{t}", f"{u} {u} {u}", "{a} + {b}")
        word(f"sub.{t}", f"{u} {u} {u}", "{a} - {b}")
        word(f"mul.lo.{t}", f"{u} {u} {u}", "1U * {a} * {b}")
        word(f"mad.lo.{t}", f"{u} {u} {u} {u}", "1U * {a} * {b} + {c}")
        word(f"min.{t}", f"{t} {t} {t}", "{a} < {b} ? {a} : {b}")
        word(f"max.{t}", f"{t} {t} {t}", "{a} > {b} ? {a} : {b}")
        word(f"div.{t}", f"{t} {t} {t}", "quotient({a}, {b})")
        word(f"rem.{t}", f"{t} {t} {t}", "remainder({a}, {b})")
        word(f"mul.hi.{t}", f"{t} {t} {t}", "high_half({a}, {b})")
        if w < 64:
            kind = t[0]
            word(f"mul.wide.{t}", f"{kind}{twice} {t} {t}", f"{kind}{twice}({{a}}) * {kind}{twice}({{b}})")
            word(f"mad.wide.{t}", f"u{twice} {t} {t} u{twice}",
                 f"u{twice}({kind}{twice}({{a}}) * {kind}{twice}({{b}})) + {{c}}")
            word(f"mad.hi.{t}", f"{u} {t} {t} {u}", "high_half({a}, {b}) + {c}")
    word(f"neg.{s}", f"{u} {u}", "0U - {a}")
    word(f"abs.{s}", f"{u} {s}", f"{{a}} < 0 ? 0U - {u}({{a}}) : {u}({{a}})")

for w in WIDTHS:
    b = f"b{w}"
    for name, sign in (("and", "&"), ("or", "|"), ("xor", "^")):
        word(f"{name}.{b}", f"{b} {b} {b}", f"{{a}} {sign} {{b}}")
    word(f"not.{b}", f"{b} {b}", "~{a}")
    word(f"cnot.{b}", f"{b} {b}", "{a} == 0 ? 1 : 0")
    # by the width or more: nothing is left, or the sign
    word(f"shl.{b}", f"{b} {b} u32", f"{{b}} < {w} ? 1ULL * {{a}} << {{b}} : 0")
    word(f"shr.{b}", f"{b} {b} u32", f"{{b}} < {w} ? {{a}} >> {{b}} : 0")
    word(f"shr.u{w}", f"u{w} u{w} u32", f"{{b}} < {w} ? {{a}} >> {{b}} : 0")
    word(f"shr.s{w}", f"s{w} s{w} u32", f"{{a}} >> ({{b}} < {w} ? {{b}} : {w - 1})")
for w in (32, 64):
    b, u, s = f"b{w}", f"u{w}", f"s{w}"
    word(f"popc.{b}", f"u32 {b}", "__builtin_popcountll({a})")
    word(f"clz.{b}", f"u32 {b}", f"{{a}} == 0 ? {w} : __builtin_clzll({{a}}) - {64 - w}")
    word(f"brev.{b}", f"{b} {b}", "reversed({a})")
    word(f"bfe.{u}", f"{u} {u} u32 u32", "field_of<%s>({a}, {b}, {c})" % u)
    word(f"bfe.{s}", f"{s} {s} u32 u32", "field_of<%s>({a}, {b}, {c})" % s)
    word(f"bfi.{b}", f"{b} {b} {b} u32 u32", "with_field({a}, {b}, {c}, {d})")
word("prmt.b32", "b32 b32 b32 b32", "bytes_of({a}, {b}, {c})")
word("lop3.b32", "b32 b32 b32 b32 u32", "by_table({a}, {b}, {c}, {d})")
for mode, n in (("wrap", "{c} % 32"), ("clamp", "({c} < 32 ? {c} : 32)")):
    word(f"shf.l.{mode}.b32", "b32 b32 b32 u32", f"(both({{a}}, {{b}}) << {n}) >> 32")
    word(f"shf.r.{mode}.b32", "b32 b32 b32 u32", f"both({{a}}, {{b}}) >> {n}")

# ---- predicates, choices and comparisons ---------------------------------------------------------------------------

word("and.pred", "pred pred pred", "{a} && {b}")
word("or.pred", "pred pred pred", "{a} || {b}")
word("xor.pred", "pred pred pred", "{a} != {b}")
word("not.pred", "pred pred", "!{a}")
word("mov.pred", "pred pred", "{a}")

for t in [f"{kind}{w}" for kind in "bus" for w in WIDTHS] + ["f32", "f64"]:
    bits = "b" + t[1:]
    word(f"selp.{t}", f"{bits} {bits} {bits} pred", "{c} ? {a} : {b}")
    word(f"mov.{t}", f"{bits} {bits}", "{a}")

SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
OF_UNSIGNED = {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
EITHER_NAN = "({a} != {a} || {b} != {b})"


def comparisons(t):
    """(name, expression) for a type."""
    if t[0] == "b":
        return [(name, f"{{a}} {SIGNS[name]} {{b}}") for name in ("eq", "ne")]
    if t[0] in "us":
        signs = {**SIGNS, **OF_UNSIGNED} if t[0] == "u" else SIGNS
        return [(name, f"{{a}} {sign} {{b}}") for name, sign in signs.items()]
    out = [("num", f"!{EITHER_NAN}"), ("nan", EITHER_NAN)]
    for name, sign in SIGNS.items():  # false where one is NaN, and with a u true
        out.append((name, f"!{EITHER_NAN} && {{a}} {sign} {{b}}"))
        out.append((name + "u", f"{EITHER_NAN} || {{a}} {sign} {{b}}"))
    return out


for t in [f"{kind}{w}" for kind in "bus" for w in WIDTHS] + ["f32", "f64"]:
    for name, is_so in comparisons(t):
        word(f"setp.{name}.{t}", f"pred {t} {t}", is_so)
        for joint, sign in (("and", "&&"), ("or", "||"), ("xor", "!=")):
            word(f"setp.{name}.{joint}.{t}", f"pred {t} {t} pred", f"({is_so}) {sign} {{c}}")

# ---- floats --------------------------------------------------------------------------------------------------------

for t in ("f32", "f64"):
    for rounding, mode in ROUNDINGS.items():
        plain = rounding == "rn"
        for name, sign in (("add", "+"), ("sub", "-"), ("mul", "*"), ("div", "/")):
            sum_of = f"{{a}} {sign} {{b}}" if plain else f"{name}_towards({mode}, {{a}}, {{b}})"
            word(f"{name}.{rounding}.{t}", f"{t} {t} {t}", f"result({sum_of})")
        fused = "std::fma({a}, {b}, {c})" if plain else f"fma_towards({mode}, {{a}}, {{b}}, {{c}})"
        word(f"fma.{rounding}.{t}", f"{t} {t} {t} {t}", f"result({fused})")
        root = "std::sqrt({a})" if plain else f"sqrt_towards({mode}, {{a}})"
        word(f"sqrt.{rounding}.{t}", f"{t} {t}", f"result({root})")
        part = "1 / {a}" if plain else f"div_towards<{t}>({mode}, 1, {{a}})"
        word(f"rcp.{rounding}.{t}", f"{t} {t}", f"result({part})")
    sign_bit = "0x80000000U" if t == "f32" else "0x8000000000000000U"
    bits = "b" + t[1:]
    word(f"neg.{t}", f"{bits} {bits}", f"{{a}} ^ {sign_bit}")
    word(f"abs.{t}", f"{bits} {bits}", f"{{a}} & ~{sign_bit}")
    word(f"copysign.{t}", f"{bits} {bits} {bits}", f"({{a}} & {sign_bit}) | ({{b}} & ~{sign_bit})")
    word(f"min.{t}", f"{t} {t} {t}", "lesser({a}, {b})")
    word(f"max.{t}", f"{t} {t} {t}", "greater({a}, {b})")
    if t == "f32":  # NaN where one is
        word("min.NaN.f32", "f32 f32 f32", f"{EITHER_NAN} ? result({{a}} + {{b}}) : lesser({{a}}, {{b}})")
        word("max.NaN.f32", "f32 f32 f32", f"{EITHER_NAN} ? result({{a}} + {{b}}) : greater({{a}}, {{b}})")
    for name, is_so in (("finite", "std::isfinite({a})"), ("infinite", "std::isinf({a})"),
                        ("number", "{a} == {a}"), ("notanumber", "{a} != {a}"), ("normal", "std::isnormal({a})"),
                        ("subnormal", "std::fpclassify({a}) == FP_SUBNORMAL")):
        word(f"testp.{name}.{t}", f"pred {t}", is_so)

# ---- conversions ---------------------------------------------------------------------------------------------------

INTEGERS = [f"{kind}{w}" for kind in "us" for w in (8, 16, 32, 64)]
for to in INTEGERS:
    for of in INTEGERS:
        word(f"cvt.{to}.{of}", f"{to} {of}", "{a}")
        word(f"cvt.sat.{to}.{of}", f"{to} {of}", f"nearest_of<{to}>({{a}})")
    for of in ("f32", "f64"):
        for rounding, mode in ROUNDINGS.items():
            word(f"cvt.{rounding}i.{to}.{of}", f"{to} {of}", f"integer_of<{to}>({mode}, {{a}})")
            rounded = f"{of}({{a}})" if rounding == "rn" else f"float_of<{of}>({mode}, {{a}})"
            word(f"cvt.{rounding}.{of}.{to}", f"{of} {to}", rounded)
for rounding, mode in ROUNDINGS.items():
    rounded = "f32({a})" if rounding == "rn" else f"float_of<f32>({mode}, {{a}})"
    word(f"cvt.{rounding}.f32.f64", "f32 f64", f"result({rounded})")
    for t in ("f32", "f64"):
        word(f"cvt.{rounding}i.{t}.{t}", f"{t} {t}", f"result(whole({mode}, {{a}}))")
word("cvt.f64.f32", "f64 f32", "{a}")
word("cvt.sat.f32.f32", "f32 f32", "lesser(greater({a}, 0.0F), 1.0F)")

# Addresses of the device are those of the host, also of shared memory but for its own 32-bit ones.
for space in ("global", "const", "param"):
    word(f"cvta.{space}.u64", "u64 u64", "{a}")
    word(f"cvta.to.{space}.u64", "u64 u64", "{a}")
word("cvta.shared.u64", "u64 u64", "generic_of({a})")
word("cvta.to.shared.u64", "u64 u64", "shared_of({a})")

# ---- warps ---------------------------------------------------------------------------------------------------------

# The last operand is a mask of lanes, all of which must take part. {line}: of the PTX.
word("vote.sync.ballot.b32", "b32 pred u32", "ballot({a}, {b}, {line})")
for name, is_so in (("any", "!= 0"), ("all", "== 0xffffffffU")):
    word(f"vote.sync.{name}.pred", "pred pred u32", f"ballot({{a}}, {{b}}, {{line}}) {is_so}")
word("vote.sync.uni.pred", "pred pred u32", "(ballot({a}, {b}, {line}) + 1U) <= 1U")
