"""Kernels written by hand, for test_translate.py: what they do to memory and to each other.

KERNELS = (name, body, threads, what the thread t must leave in its 32 bits). STOPPED = (name, body, part of the message that
ends the program). A body has %r0 to %r19, %s0 to %s9 (16 bits), %d0 to %d9 (64), %f0 to %f9, %p0 to %p4; %r0 is the thread,
%d0 the address of its result, %d1 that of eight zeroed numbers of 32 bits behind all results. A block has 4096 bytes of shared
memory.
REFUSED = (what is written, part of the message): in a body, or the text of a module where that begins with .visible, .shared or
.const.
"""

BARRIERS = """
    mov.u32 %r1, shared;
    shl.b32 %r2, %r0, 2;
    add.s32 %r1, %r1, %r2;
    mov.u32 %r3, 0;
    mov.u32 %r4, %r0;
AGAIN:
    st.shared.u32 [%r1], %r4;
    bar.sync 0;
    add.s32 %r5, %r0, 1;
    and.b32 %r5, %r5, 63;
    shl.b32 %r5, %r5, 2;
    mov.u32 %r6, shared;
    add.s32 %r5, %r5, %r6;
    ld.shared.u32 %r4, [%r5];
    bar.sync 0;
    add.s32 %r3, %r3, 1;
    setp.lt.s32 %p0, %r3, 5;
    @%p0 bra AGAIN;
    st.global.u32 [%d0], %r4;
"""

# The two warps wait at different places of the PTX for the same barrier.
TWO_PLACES = """
    mov.u32 %r1, shared;
    st.shared.u32 [shared+4], 0;
    setp.lt.u32 %p0, %r0, 32;
    @%p0 bra FIRST;
    st.shared.u32 [shared], 9;
    bar.sync 0;
    bra.uni LAST;
FIRST:
    bar.sync 0;
LAST:
    ld.shared.u32 %r2, [shared];
    st.global.u32 [%d0], %r2;
"""

GUARDS = """
    and.b32 %r1, %r0, 1;
    setp.eq.s32 %p0, %r1, 0;
    mov.u32 %r2, 5;
    @%p0 mov.u32 %r2, 7;
    @!%p0 add.s32 %r2, %r2, 100;
    setp.gt.and.u32 %p1, %r0, 3, !%p0;
    @%p1 bra OVER;
    add.s32 %r2, %r2, 1000;
OVER:
    st.global.u32 [%d0], %r2;
"""

SCOPES = """
    mov.u32 %r1, 1;
    { .reg .b32 %r1; .reg .pred q; mov.u32 %r1, 50; setp.eq.s32 q, %r0, 3; @q add.s32 %r1, %r1, 1; mov.u32 %r2, %r1; }
    { .reg .b32 x<2>; mov.u32 x1, 200; add.s32 %r2, %r2, x1; }
    add.s32 %r2, %r2, %r1;
    st.global.u32 [%d0], %r2;
"""

PIECES = """
    mov.b64 %d2, {%r0, 7};
    mov.b64 {%r1, %r2}, %d2;
    mov.b32 {%s1, %s2}, 305419896;
    mov.b32 %r3, {%s2, %s1};
    add.s32 %r4, %r1, %r2;
    add.s32 %r4, %r4, %r3;
    st.global.u32 [%d0], %r4;
"""

VECTORS = """
    shl.b32 %r1, %r0, 4;
    mov.u32 %r2, shared;
    add.s32 %r1, %r1, %r2;
    mov.u32 %r3, -2;
    mov.u32 %r10, 258;
    st.shared.v2.b32 [%r1], {%r0, %r10};
    st.shared.v2.b32 [%r1+8], {%r10, %r3};
    ld.shared.v4.b32 {%r11, %r12, %r13, %r14}, [%r1];
    st.shared.v4.u32 [%r1], {%r0, %r3, %r10, 3};
    ld.shared.v2.b32 {_, %r4}, [%r1];
    ld.shared.s8 %s1, [%r1+4];
    ld.shared.u8 %r5, [%r1+4];
    ld.shared.v4.u32 {%r6, %r7, %r8, %r1}, [%r1];
    cvt.s32.s16 %r9, %s1;
    add.s32 %r4, %r4, %r5;
    add.s32 %r4, %r4, %r6;
    add.s32 %r4, %r4, %r8;
    add.s32 %r4, %r4, %r1;
    add.s32 %r4, %r4, %r9;
    sub.s32 %r4, %r4, %r11;
    sub.s32 %r4, %r4, %r12;
    mad.lo.s32 %r4, %r13, 1000, %r4;
    mad.lo.s32 %r4, %r14, 1000000, %r4;
    st.global.u32 [%d0], %r4;
"""

ATOMICS = """
    atom.global.add.u32 %r1, [%d1], 2;
    red.global.max.s32 [%d1+4], %r0;
    atom.global.min.s32 %r2, [%d1+8], -5;
    cvt.u64.u32 %d2, %r0;
    red.global.add.u64 [%d1+16], %d2;
    bar.sync 0;
    ld.global.u32 %r3, [%d1];
    ld.global.u32 %r4, [%d1+4];
    ld.global.u32 %r5, [%d1+8];
    ld.global.u32 %r6, [%d1+16];
    add.s32 %r3, %r3, %r4;
    add.s32 %r3, %r3, %r5;
    add.s32 %r3, %r3, %r6;
    st.global.u32 [%d0], %r3;
"""

SHUFFLES = """
    shfl.sync.bfly.b32 %r1|%p0, %r0, 1, 31, -1;
    shfl.sync.up.b32 %r2|%p1, %r0, 3, 0, -1;
    shfl.sync.down.b32 %r3|%p2, %r0, 2, 6175, -1;
    shfl.sync.idx.b32 %r4, %r0, 33, 31, -1;
    selp.b32 %r5, 1000, 0, %p1;
    selp.b32 %r6, 2000, 0, %p2;
    add.s32 %r1, %r1, %r2;
    add.s32 %r1, %r1, %r3;
    add.s32 %r1, %r1, %r4;
    add.s32 %r1, %r1, %r5;
    add.s32 %r1, %r1, %r6;
    st.global.u32 [%d0], %r1;
"""


def shuffled(thread):
    """Segments of eight lanes for `down` (6175: ends 31, segments by bits 3 and 4)."""
    lane, warp = thread % 32, thread // 32 * 32
    out = (thread ^ 1) + (thread - 3 if lane >= 3 else thread) + warp + 1
    inside = lane % 8 + 2 <= 7
    return out + (thread + 2 if inside else thread) + (1000 if lane >= 3 else 0) + (2000 if inside else 0)


VOTES = """
    and.b32 %r1, %r0, 1;
    setp.eq.s32 %p0, %r1, 1;
    vote.sync.ballot.b32 %r2, %p0, -1;
    vote.sync.any.pred %p1, %p0, -1;
    vote.sync.all.pred %p2, !%p0, -1;
    vote.sync.uni.pred %p3, %p2, -1;
    bar.warp.sync -1;
    @%p1 add.s32 %r2, %r2, 1;
    @%p2 add.s32 %r2, %r2, 2;
    @%p3 add.s32 %r2, %r2, 4;
    st.global.u32 [%d0], %r2;
"""

TABLES = """
    mov.u64 %d2, numbers;
    and.b32 %r1, %r0, 3;
    mul.wide.u32 %d3, %r1, 4;
    add.s64 %d2, %d2, %d3;
    ld.const.u32 %r2, [%d2];
    ld.const.f32 %f1, [floats+4];
    cvt.rzi.s32.f32 %r3, %f1;
    cvta.const.u64 %d4, bytes;
    ld.u8 %r4, [%d4+2];
    add.s32 %r2, %r2, %r3;
    add.s32 %r2, %r2, %r4;
    st.global.u32 [%d0], %r2;
"""

# A generic address of shared memory, a store that is wider than the type, a prefetch and a fence, which change nothing.
SPACES = """
    mov.u64 %d2, shared;
    cvta.shared.u64 %d2, %d2;
    cvt.u64.u32 %d3, %r0;
    add.s64 %d2, %d2, %d3;
    mov.u32 %r1, 770;
    st.u8 [%d2], %r1;
    membar.cta;
    prefetch.global.L2 [%d0];
    mov.u32 %r2, shared;
    add.s32 %r2, %r2, %r0;
    ld.volatile.shared.u8 %r3, [%r2];
    cvta.to.shared.u64 %d4, %d2;
    ld.shared.u8 %r4, [%d4];
    shl.b32 %r4, %r4, 8;
    or.b32 %r3, %r3, %r4;
    st.global.u32 [%d0], %r3;
"""

# A holds k where its row is even, B is the identity of 8, then 2 times it. Of the second product, A has k in rows and columns
# below 8 alone.
TENSOR = """
    and.b32 %r1, %r0, 31;
    shr.u32 %r2, %r1, 2;
    and.b32 %r3, %r1, 3;
    shl.b32 %r4, %r3, 1;
    cvt.rn.f32.u32 %f0, %r4;
    add.rn.f32 %f1, %f0, 0f3F800000;
    cvt.rn.bf16x2.f32 %r5, %f1, %f0;
    add.rn.f32 %f0, %f0, 0f41000000;
    add.rn.f32 %f1, %f1, 0f41000000;
    cvt.rn.bf16x2.f32 %r6, %f1, %f0;
    and.b32 %r7, %r2, 1;
    setp.eq.s32 %p0, %r7, 0;
    selp.b32 %r5, %r5, 0, %p0;
    selp.b32 %r6, %r6, 0, %p0;
    setp.eq.s32 %p1, %r2, %r4;
    selp.b32 %r8, 16256, 0, %p1;
    add.s32 %r9, %r4, 1;
    setp.eq.s32 %p2, %r2, %r9;
    @%p2 mov.b32 %r8, 1065353216;
    shl.b32 %r10, %r8, 0;
    setp.ne.s32 %p3, %r8, 0;
    mov.u32 %r11, 8388608;
    selp.b32 %r11, %r11, 0, %p2;
    @%p1 mov.u32 %r11, 128;
    add.s32 %r11, %r11, %r8;
    mov.b32 %f2, %r2;
    cvt.rn.f32.u32 %f2, %r2;
    mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f4,%f5,%f6,%f7}, {%r5,%r5,%r6,%r6}, {%r10,%r11}, {%f2,%f2,%f2,%f2};
    mov.u32 %r14, 0;
    mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f4,%f5,%f6,%f7}, {%r5,%r14,%r14,%r14}, {%r10,%r11}, {%f4,%f5,%f6,%f7};
    add.rn.f32 %f4, %f4, %f6;
    cvt.rzi.s32.f32 %r12, %f4;
    cvt.rzi.s32.f32 %r13, %f5;
    shl.b32 %r13, %r13, 16;
    add.s32 %r12, %r12, %r13;
    st.global.u32 [%d0], %r12;
"""


def product(thread):
    """Row g, column n: g + (n + 2 (n + 8)) + n where g is even, without the last n in row g + 8; of column 2 t both are added."""
    g, n = thread % 32 // 4, thread % 4 * 2
    if g % 2 == 1:
        return 2 * g + (g << 16)
    return (g + 4 * n + 16) + (g + 3 * n + 16) + (g + 4 * (n + 1) + 16 << 16)


# Row r of matrix i holds 256 i + 16 r + column.
MATRICES = """
    and.b32 %r1, %r0, 31;
    shr.u32 %r2, %r1, 3;
    and.b32 %r3, %r1, 7;
    shl.b32 %r4, %r2, 8;
    shl.b32 %r5, %r3, 4;
    add.s32 %r4, %r4, %r5;
    shl.b32 %r5, %r0, 4;
    mov.u32 %r6, shared;
    add.s32 %r5, %r5, %r6;
    mov.u32 %r7, 0;
FILL:
    add.s32 %r8, %r4, %r7;
    cvt.u16.u32 %s1, %r8;
    shl.b32 %r9, %r7, 1;
    add.s32 %r9, %r9, %r5;
    st.shared.u16 [%r9], %s1;
    add.s32 %r7, %r7, 1;
    setp.lt.s32 %p0, %r7, 8;
    @%p0 bra FILL;
    bar.warp.sync -1;
    ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10,%r11,%r12,%r13}, [%r5];
    ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r14,%r15}, [%r5];
    ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r16,%r17,%r18,%r19}, [%r5];
    add.s32 %r13, %r13, %r15;
    add.s32 %r13, %r13, %r18;
    st.global.u32 [%d0], %r13;
"""


def matrix(thread):
    """The pair of matrix 3, and of matrices 1 and 2 transposed."""
    g, t = thread % 32 // 4, thread % 4
    straight = (768 + 16 * g + 2 * t) + (768 + 16 * g + 2 * t + 1 << 16)
    turned = [(start + 16 * 2 * t + g) + (start + 16 * (2 * t + 1) + g << 16) for start in (256, 512)]
    return straight + turned[0] + turned[1]


# What is copied is there after the wait and not before: the source of the first copy changes in between.
COPIES = """
    mov.u32 %r1, shared;
    shl.b32 %r2, %r0, 4;
    add.s32 %r1, %r1, %r2;
    st.shared.u32 [%r1], 1;
    st.shared.u32 [%r1+4], 1;
    st.global.u32 [%d0], 5;
    cp.async.ca.shared.global [%r1], [%d0], 4;
    cp.async.commit_group;
    cp.async.ca.shared.global [%r1+4], [%d0], 4, 0;
    cp.async.commit_group;
    ld.shared.u32 %r3, [%r1];
    st.global.u32 [%d0], 6;
    cp.async.wait_group 1;
    ld.shared.u32 %r4, [%r1];
    ld.shared.u32 %r5, [%r1+4];
    cp.async.wait_all;
    ld.shared.u32 %r6, [%r1+4];
    mad.lo.s32 %r3, %r3, 10, %r4;
    mad.lo.s32 %r3, %r3, 10, %r5;
    mad.lo.s32 %r3, %r3, 10, %r6;
    st.global.u32 [%d0], %r3;
"""

KERNELS = [
    ("barriers_in_a_loop", BARRIERS, 64, lambda t: (t + 5) % 64),
    ("one_barrier_in_two_places", TWO_PLACES, 64, lambda t: 9),
    ("guards", GUARDS, 64, lambda t: 1007 if t % 2 == 0 else 105 if t > 3 else 1105),
    ("scopes", SCOPES, 32, lambda t: 252 if t == 3 else 251),
    ("pieces_of_registers", PIECES, 32, lambda t: t + 7 + 0x56781234),
    ("vectors", VECTORS, 32, lambda t: -2 + 254 + t + 258 + 3 - 2 - t - 258 + 258000 - 2000000),
    ("atomics", ATOMICS, 64, lambda t: 128 + 63 - 5 + 2016),
    ("shuffles", SHUFFLES, 64, shuffled),
    ("votes", VOTES, 32, lambda t: 0xAAAAAAAA + 1 + 4),
    ("tables", TABLES, 32, lambda t: (10, 2**32 - 20, 30, 0)[t % 4] + 2 + 7),
    ("spaces", SPACES, 32, lambda t: 0x0202),
    ("tensor_core", TENSOR, 32, product),
    ("some_matrices", MATRICES, 32, matrix),
    ("copies", COPIES, 32, lambda t: 1610),
]

STOPPED = [
    ("misaligned", "add.s64 %d0, %d0, 2; st.global.u32 [%d0], %r0;", "an address is no multiple"),
    ("misaligned_vector", "mov.u32 %r1, shared; ld.shared.v4.f32 {%f0,%f1,%f2,%f3}, [%r1+8];", "an address is no multiple"),
    ("beyond_shared", "mov.u32 %r1, shared; ld.shared.u32 %r2, [%r1+4096];", "beyond the block's shared memory"),
    ("before_shared", "mov.u32 %r1, 0; st.shared.u32 [%r1], %r1;", "beyond the block's shared memory"),
    ("half_a_warp", "shfl.sync.idx.b32 %r1, %r0, 0, 31, 65535;", "not the whole warp"),
    ("barrier_of_half_a_warp", "setp.lt.u32 %p0, %r0, 16; @%p0 bar.sync 0;", "it waits for lanes of its warp"),
    ("barriers_apart", "setp.lt.u32 %p0, %r0, 16; @%p0 bra A; bar.sync 0; bra B;\nA: bar.sync 0;\nB: mov.u32 %r1, 0;",
     "ask for different things"),
    ("left_out_warp", "setp.lt.u32 %p0, %r0, 32; @%p0 bar.sync 0;", "have returned"),
    ("traps", "trap;", "it traps"),
]

REFUSED = [
    ("sin.approx.f32 %f0, %f1;", "sin.approx.f32 %f0, %f1: unknown instruction"),
    ("ex2.approx.f32 %f0, %f1;", "unknown instruction"),
    ("add.f32 %f0, %f1, %f2;", "unknown instruction"),  # may be fused
    ("add.rn.ftz.f32 %f0, %f1, %f2;", "unknown instruction"),
    ("red.global.add.f32 [%d1], %f0;", "unknown instruction"),
    ("bar.sync 1;", "unknown instruction"),
    ("ld.local.u32 %r1, [%d1];", "unknown instruction"),
    ("add.s32 %r1, %r2;", "2 operands, not 3"),
    ("add.s32 %r1, %r2, %d1;", "%d1 has 64 bits, not 32"),
    ("add.s32 %r1, %r2, %r99;", "unknown operand of 32 bits: %r99"),
    ("mov.u32 %r1, %clock;", "unknown operand"),
    ("ld.param.u64 %d1, [all+16];", "lies beyond the parameter"),
    ("@%p0 bra NOWHERE;", "no label NOWHERE"),
    ("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f0,%f1,%f2,%f3}, {%r1,%r2,%r3,%r4}, {%r5,%r6}, {%f0,%f1,%f2,%f3};",
     "unknown instruction"),
    ("cp.async.cg.shared.global [%r1], [%d1], 8;", "8 bytes are copied, not 16"),
    (".reg .b128 %q<2>;", "registers of an unknown type: b128"),
    (".local .align 4 .b8 depot[16];", "unknown instruction"),
    (".visible .func other() { ret; }", "no kernel begins like this"),
    (".visible .entry k(.param .u64 a) .maxntid 32, 1, 1 { ret; }", "must have one parameter, a structure"),
    (".visible .entry k(.param .align 8 .b8 a[8]) { ret; }", "does not say how many threads"),
    (".visible .entry k(.param .align 8 .b8 a[8]) .maxntid 32, 1, 1 { ret;", "does not end"),
    (".shared .align 4 .b8 own[16];", "unknown declaration"),
    (".const .align 8 .u64 table[1] = {other};", "holds what is no number: other"),
]
