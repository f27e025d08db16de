/*
 * cublaslt.cpp - an emulated libcublasLt.so.13: the functions of the list in src/device/cuda/lt_library.h, over the emulated driver.
 *
 * Products are work of the stream, in plain loops: each algorithm sums the depth in pieces of its own length, so that every one of
 * them has other bits. What is offered first depends on the number of rows, as it does with the real library. What that one refuses
 * gets its error; what it leaves undefined ends the program with a message.
 *
 *     FR_EMULATED_LT         words with commas between them:
 *                            rows       a row's bits depend on the number of rows
 *                            unwanted   what no program of this kind should take is offered first, whatever was asked for:
 *                                       split depths, reductions, workspace, TF32, sums in f16, results in place alone
 *                            none       nothing is offered
 *                            other      another algorithm is offered first
 *                            few        the algorithm takes 7 rows at least
 *                            twice      a product is rounded before something is added to it
 *                            uncomputed each number of a product is one small constant, for counts at sizes that would take hours
 *     FR_EMULATED_LT_VERSION major.minor.patch (default 13.1.0)
 *     FR_EMULATED_LT_ERROR   cublasLtName:n:code[,...]: the n-th call of that function, counted since cublasLtCreate was last
 *                            called (which is its own first), does nothing and returns the code
 *     FR_EMULATED_LT_COUNT   a file that gets, at the end, how many products each algorithm computed
 *     FR_EMULATED_LT_TRAFFIC a file that gets, at the end, a line for each shape of a matrix: lt_COLUMNSxDEPTH_TYPE of the result,
 *                            with _add where something is added; products, operations, bytes read, bytes written
 */
#include "cublaslt_state.h"

namespace
{

/* Numbers are set as the library takes them: all bytes or none. */
fr_lt_result set_bytes(void *field, size_t size, const void *value, size_t bytes)
{
    FR_REFUSE_IF(value == nullptr || bytes != size, FR_LT_INVALID_VALUE);
    memcpy(field, value, bytes);
    return FR_LT_SUCCESS;
}

fr_lt_result get_bytes(const void *field, size_t size, void *value, size_t bytes,
                       size_t *written)
{
    FR_REFUSE_IF(value == nullptr || bytes != size, FR_LT_INVALID_VALUE);
    memcpy(value, field, bytes);
    *written = bytes;
    return FR_LT_SUCCESS;
}

/* ---- what fits together --------------------------------------------------------------------------- */

bool is_aligned(const layout &l)
{
    return static_cast<size_t>(l.stride) * bytes_of(l.type) % ALIGNMENT == 0;
}

/* Whether these make a product: op(A) is rows of C by depth, B depth by columns. */
fr_lt_result fits(const operation *o, const layout *a, const layout *b, const layout *c,
                  const layout *d)
{
    FR_REFUSE_IF(o == nullptr || a == nullptr || b == nullptr || c == nullptr ||
                     d == nullptr,
                 FR_LT_INVALID_VALUE);
    uint64_t a_rows = o->transposed != 0 ? a->columns : a->rows;
    uint64_t a_columns = o->transposed != 0 ? a->rows : a->columns;
    FR_REFUSE_IF(o->compute != FR_LT_COMPUTE_F32 || o->scale != FR_LT_TYPE_F32,
                 FR_LT_NOT_SUPPORTED);
    FR_REFUSE_IF(a_rows != c->rows || a_columns != b->rows ||
                     b->columns != c->columns || c->rows != d->rows ||
                     c->columns != d->columns || c->type != d->type,
                 FR_LT_INVALID_VALUE);
    FR_REFUSE_IF(a->stride < static_cast<int64_t>(a->rows) ||
                     b->stride < static_cast<int64_t>(b->rows) ||
                     c->stride < static_cast<int64_t>(c->rows) ||
                     d->stride < static_cast<int64_t>(d->rows),
                 FR_LT_INVALID_VALUE);
    FR_REFUSE_IF(a->type != b->type ||
                     (a->type == FR_LT_TYPE_F32 && c->type == FR_LT_TYPE_BF16) ||
                     !is_aligned(*a) || !is_aligned(*b) || !is_aligned(*c),
                 FR_LT_NOT_SUPPORTED);
    return FR_LT_SUCCESS;
}

algorithm algorithm_of(uint32_t id, uint32_t piece, int type)
{
    algorithm out = {};
    out.magic = MAGIC;
    out.id = id;
    out.piece = piece;
    out.splits = 1;
    out.numbers =
        static_cast<uint64_t>(FR_LT_SUMS_F32) |
        (type == FR_LT_TYPE_BF16 ? 2U | FR_LT_ENTERS_BF16 : 1U | FR_LT_ENTERS_F32);
    out.is_apart = 1;
    out.least_rows = is_said("few") ? 7 : 1;
    out.depends = is_said("rows") ? 1 : 0;
    out.rounds_first = is_said("twice") ? 1 : 0;
    return out;
}

/* Each breaks one rule. */
void offer_unwanted(int type, std::map<int, algorithm> *out)
{
    constexpr uint64_t ENTERS_TF32 = 0x04U << 16;
    constexpr uint64_t SUMS_F16 = 0x01U << 8;
    algorithm all_of[] = {algorithm_of(8, 4, type),  algorithm_of(9, 4, type),
                          algorithm_of(10, 4, type), algorithm_of(11, 4, type),
                          algorithm_of(12, 4, type), algorithm_of(13, 4, type)};
    all_of[0].splits = 4;
    all_of[1].reduction = 2;
    all_of[2].workspace = 4096;
    all_of[3].numbers = FR_LT_SUMS_F32 | 2U | ENTERS_TF32;
    all_of[4].numbers = (all_of[4].numbers & ~uint64_t{FR_LT_SUMS_MASK}) | SUMS_F16;
    all_of[5].is_apart = 0;
    for (const algorithm &one : all_of) {
        (*out)[static_cast<int>(out->size())] = one;
    }
}

} // namespace

/* ---- the functions -------------------------------------------------------------------------------- */

const char *fr_emulated_lt_result_name(fr_lt_result result)
{
    static const std::map<fr_lt_result, const char *> names = {
        {0, "CUBLAS_STATUS_SUCCESS"},         {1, "CUBLAS_STATUS_NOT_INITIALIZED"},
        {3, "CUBLAS_STATUS_ALLOC_FAILED"},    {7, "CUBLAS_STATUS_INVALID_VALUE"},
        {8, "CUBLAS_STATUS_ARCH_MISMATCH"},   {13, "CUBLAS_STATUS_EXECUTION_FAILED"},
        {14, "CUBLAS_STATUS_INTERNAL_ERROR"}, {15, "CUBLAS_STATUS_NOT_SUPPORTED"}};
    auto it = names.find(result);
    return it != names.end() ? it->second : "unrecognized status";
}

fr_lt_result fr_emulated_lt_property(int which, int *value)
{
    FR_ENTER(property);
    int parts[3] = {13, 1, 0};
    FR_REFUSE_IF(which < 0 || which > 2 || value == nullptr, FR_LT_INVALID_VALUE);
    char *at = const_cast<char *>(text_of("FR_EMULATED_LT_VERSION"));
    for (int i = 0; i < 3 && *at != '\0'; i++) {
        parts[i] = static_cast<int>(strtol(at, &at, 10));
        at += *at == '.' ? 1 : 0;
    }
    *value = parts[which];
    return FR_LT_SUCCESS;
}

fr_lt_result fr_emulated_lt_create(fr_lt_handle *handle)
{
    memset(all.since_start, 0, sizeof all.since_start);
    FR_ENTER(create);
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    FR_REFUSE_IF(handle == nullptr || driver == nullptr, NOT_INITIALIZED);
    void *found[] = {dlsym(driver, "fr_emulated_may_use"),
                     dlsym(driver, "fr_emulated_call")};
    (void)dlclose(driver);
    FR_REFUSE_IF(found[0] == nullptr || found[1] == nullptr, NOT_INITIALIZED);
    memcpy(&all.may_use, &found[0], sizeof all.may_use);
    memcpy(&all.ask, &found[1], sizeof all.ask);
    all.handles++;
    *handle = reinterpret_cast<fr_lt_handle>(&all);
    return FR_LT_SUCCESS;
}

fr_lt_result fr_emulated_lt_destroy(fr_lt_handle handle)
{
    FR_ENTER(destroy);
    FR_REFUSE_IF(handle == nullptr || all.handles == 0, NOT_INITIALIZED);
    if (--all.handles == 0 && all.objects != 0) {
        stop("cublasLtDestroy", "descriptions of products are left");
    }
    return FR_LT_SUCCESS;
}

fr_lt_result fr_emulated_lt_operation_create(fr_lt_operation *out, int compute,
                                             int scale)
{
    FR_ENTER(operation_create);
    make(out, operation{compute, scale, 0});
    return FR_LT_SUCCESS;
}

fr_lt_result fr_emulated_lt_operation_destroy(fr_lt_operation o)
{
    FR_ENTER(operation_destroy);
    return give_back<operation>(o);
}

fr_lt_result fr_emulated_lt_operation_set(fr_lt_operation o, int attribute,
                                          const void *value, size_t bytes)
{
    FR_ENTER(operation_set);
    FR_REFUSE_IF(o == nullptr || attribute != FR_LT_OPERATION_TRANSPOSE_A,
                 FR_LT_INVALID_VALUE);
    return set_bytes(&of<operation>(o)->transposed, sizeof(int), value, bytes);
}

fr_lt_result fr_emulated_lt_layout_create(fr_lt_layout *out, int type, uint64_t rows,
                                          uint64_t columns, int64_t stride)
{
    FR_ENTER(layout_create);
    make(out, layout{type, rows, columns, stride});
    return FR_LT_SUCCESS;
}

fr_lt_result fr_emulated_lt_layout_destroy(fr_lt_layout l)
{
    FR_ENTER(layout_destroy);
    return give_back<layout>(l);
}

fr_lt_result fr_emulated_lt_layout_set(fr_lt_layout l, int attribute, const void *value,
                                       size_t bytes)
{
    FR_ENTER(layout_set);
    FR_REFUSE_IF(l == nullptr, FR_LT_INVALID_VALUE);
    auto *to = of<layout>(l);
    switch (attribute) {
    case FR_LT_LAYOUT_ROWS:
        return set_bytes(&to->rows, sizeof to->rows, value, bytes);
    case FR_LT_LAYOUT_COLUMNS:
        return set_bytes(&to->columns, sizeof to->columns, value, bytes);
    case FR_LT_LAYOUT_STRIDE:
        return set_bytes(&to->stride, sizeof to->stride, value, bytes);
    default:
        return FR_LT_INVALID_VALUE;
    }
}

fr_lt_result fr_emulated_lt_preference_create(fr_lt_preference *out)
{
    FR_ENTER(preference_create);
    make(out, preference{0, 7, {256, 256, 256, 256}});
    return FR_LT_SUCCESS;
}

fr_lt_result fr_emulated_lt_preference_destroy(fr_lt_preference p)
{
    FR_ENTER(preference_destroy);
    return give_back<preference>(p);
}

fr_lt_result fr_emulated_lt_preference_set(fr_lt_preference p, int attribute,
                                           const void *value, size_t bytes)
{
    FR_ENTER(preference_set);
    FR_REFUSE_IF(p == nullptr, FR_LT_INVALID_VALUE);
    auto *to = of<preference>(p);
    int operand = attribute - FR_LT_PREFER_ALIGNMENT_A;
    if (attribute == FR_LT_PREFER_WORKSPACE) {
        return set_bytes(&to->workspace, sizeof to->workspace, value, bytes);
    }
    if (attribute == FR_LT_PREFER_REDUCTIONS) {
        return set_bytes(&to->reductions, sizeof to->reductions, value, bytes);
    }
    FR_REFUSE_IF(operand < 0 || operand >= FR_LT_OPERANDS, FR_LT_INVALID_VALUE);
    return set_bytes(&to->alignment[operand], sizeof(uint32_t), value, bytes);
}

fr_lt_result fr_emulated_lt_offers(fr_lt_handle handle, fr_lt_operation o,
                                   fr_lt_layout a, fr_lt_layout b, fr_lt_layout c,
                                   fr_lt_layout d, fr_lt_preference p, int wanted,
                                   fr_lt_offer *offers, int *n_offers)
{
    FR_ENTER(offers);
    FR_REFUSE_IF(handle == nullptr || p == nullptr || wanted < 1, FR_LT_INVALID_VALUE);
    fr_lt_result result = fits(of<operation>(o), of<layout>(a), of<layout>(b),
                               of<layout>(c), of<layout>(d));
    FR_REFUSE_IF(result != FR_LT_SUCCESS, result);
    const auto *limits = of<preference>(p);
    for (uint32_t alignment : limits->alignment) {
        if (alignment > ALIGNMENT) {
            stop("cublasLtMatmulAlgoGetHeuristic",
                 "operands are promised to lie at 256 bytes, which they do not");
        }
    }
    int type = of<layout>(a)->type;
    bool is_large = of<layout>(b)->columns >= 1024;
    std::map<int, algorithm> list;
    if (is_said("unwanted")) {
        offer_unwanted(type, &list);
    }
    if (is_said("other")) {
        list[static_cast<int>(list.size())] = algorithm_of(3, 32, type);
    }
    for (int i = 0; i < 2; i++) {
        bool first = (i == 0) == is_large;
        list[static_cast<int>(list.size())] =
            first ? algorithm_of(1, 16, type) : algorithm_of(2, 8, type);
    }
    int n = 0;
    for (const auto &one : list) {
        if (n < wanted) {
            memset(&offers[n], 0, sizeof offers[n]);
            memcpy(&offers[n].algorithm, &one.second, sizeof one.second);
            offers[n].workspace = one.second.workspace;
            n++;
        }
    }
    *n_offers = is_said("none") ? 0 : n;
    return is_said("none") ? +FR_LT_NOT_SUPPORTED : +FR_LT_SUCCESS;
}

fr_lt_result fr_emulated_lt_check(fr_lt_handle handle, fr_lt_operation o,
                                  fr_lt_layout a, fr_lt_layout b, fr_lt_layout c,
                                  fr_lt_layout d, const fr_lt_algorithm *how,
                                  fr_lt_offer *result)
{
    FR_ENTER(check);
    algorithm known;
    FR_REFUSE_IF(handle == nullptr || how == nullptr || result == nullptr,
                 FR_LT_INVALID_VALUE);
    memcpy(&known, how, sizeof known);
    FR_REFUSE_IF(known.magic != MAGIC, FR_LT_INVALID_VALUE);
    fr_lt_result status = fits(of<operation>(o), of<layout>(a), of<layout>(b),
                               of<layout>(c), of<layout>(d));
    FR_REFUSE_IF(status != FR_LT_SUCCESS, status);
    FR_REFUSE_IF(of<layout>(b)->columns < known.least_rows, FR_LT_NOT_SUPPORTED);
    result->workspace = known.workspace;
    result->state = FR_LT_SUCCESS;
    return FR_LT_SUCCESS;
}

fr_lt_result fr_emulated_lt_config(const fr_lt_algorithm *how, int attribute,
                                   void *value, size_t bytes, size_t *written)
{
    FR_ENTER(config);
    algorithm known;
    memcpy(&known, how, sizeof known);
    const uint32_t values[] = {
        known.id, known.piece, known.splits, known.reduction, 0, 0, 0, 0, 0};
    const uint16_t none = 0;
    FR_REFUSE_IF(attribute < 0 || attribute >= FR_LT_CONFIGS, FR_LT_INVALID_VALUE);
    if (attribute >= FR_LT_CONFIG_INNER_SHAPE) {
        return get_bytes(&none, sizeof none, value, bytes, written);
    }
    return get_bytes(&values[attribute], sizeof(uint32_t), value, bytes, written);
}

fr_lt_result fr_emulated_lt_ability(const fr_lt_algorithm *how, int attribute,
                                    void *value, size_t bytes, size_t *written)
{
    FR_ENTER(ability);
    algorithm known;
    memcpy(&known, how, sizeof known);
    if (attribute == FR_LT_CAN_NUMBERS) {
        return get_bytes(&known.numbers, sizeof known.numbers, value, bytes, written);
    }
    FR_REFUSE_IF(attribute != FR_LT_CAN_BE_APART, FR_LT_INVALID_VALUE);
    return get_bytes(&known.is_apart, sizeof known.is_apart, value, bytes, written);
}

/* Counts for FR_EMULATED_LT_TRAFFIC begin anew: for a program that finds it with dlsym. */
extern "C" __attribute__((visibility("default"))) void fr_emulated_lt_forget(void);
void fr_emulated_lt_forget(void)
{
    all.forget();
}

/* Bytes of a matrix from its first number to its last. */
static size_t extent(const layout &l)
{
    return ((l.columns - 1) * static_cast<size_t>(l.stride) + l.rows) *
           bytes_of(l.type);
}

static std::string shape_of(const product &p)
{
    return "lt_" + std::to_string(p.c.rows) + "x" + std::to_string(p.b.rows) +
           (p.c.type == FR_LT_TYPE_BF16 ? "_bf16" : "_f32") +
           (p.beta != 0 ? "_add" : "");
}

static fr_emulation::lt_traffic traffic_of(const product &p)
{
    uint64_t out = p.c.rows * p.c.columns;
    uint64_t operands = p.c.rows * p.b.rows + p.b.rows * p.c.columns;
    return {1, 2 * out * p.b.rows,
            operands * bytes_of(p.a.type) +
                (p.beta != 0 ? out * bytes_of(p.c.type) : 0),
            out * bytes_of(p.c.type)};
}

static void look_at(const char *what, const void *at, const layout &l)
{
    if (reinterpret_cast<uintptr_t>(at) % ALIGNMENT != 0) {
        stop("cublasLtMatmul", "an operand does not lie at 16 bytes");
    }
    if (all.may_use(at, extent(l)) == 0) {
        stop("cublasLtMatmul", what);
    }
}

fr_lt_result fr_emulated_lt_multiply(fr_lt_handle handle, fr_lt_operation o,
                                     const void *alpha, const void *a, fr_lt_layout a_l,
                                     const void *b, fr_lt_layout b_l, const void *beta,
                                     const void *c, fr_lt_layout c_l, void *d,
                                     fr_lt_layout d_l, const fr_lt_algorithm *how,
                                     void *workspace, size_t workspace_bytes,
                                     fr_cu_stream stream)
{
    FR_ENTER(multiply);
    fr_lt_offer room;
    if (how == nullptr) {
        stop("cublasLtMatmul", "the library would choose an algorithm by itself");
    }
    fr_lt_result status =
        fr_emulated_lt_check(handle, o, a_l, b_l, c_l, d_l, how, &room);
    all.since_start[CALL_check]--;
    FR_REFUSE_IF(status != FR_LT_SUCCESS, status);
    FR_REFUSE_IF(workspace != nullptr || workspace_bytes < room.workspace ||
                     alpha == nullptr || beta == nullptr,
                 FR_LT_INVALID_VALUE);
    product p = {};
    memcpy(&p.how, how, sizeof p.how);
    p.a = *of<layout>(a_l);
    p.b = *of<layout>(b_l);
    p.c = *of<layout>(d_l);
    p.transposed = of<operation>(o)->transposed != 0;
    memcpy(&p.alpha, alpha, sizeof p.alpha);
    memcpy(&p.beta, beta, sizeof p.beta);
    p.at_a = static_cast<const char *>(a);
    p.at_b = static_cast<const char *>(b);
    p.at_c = static_cast<const char *>(c);
    p.at_d = static_cast<char *>(d);
    FR_REFUSE_IF(
        p.beta != 0 && c != d &&
            (p.how.is_apart == 0 || of<layout>(c_l)->stride != of<layout>(d_l)->stride),
        FR_LT_NOT_SUPPORTED);
    look_at("the weights are not in the GPU's memory", a, p.a);
    look_at("the left operand is not in the GPU's memory", b, p.b);
    look_at("the result is not in the GPU's memory", d, p.c);
    if (p.beta != 0) {
        look_at("what is added is not in the GPU's memory", c, p.c);
    }
    all.add(p.how.id, shape_of(p), traffic_of(p));
    return all.ask(stream, compute, &p, sizeof p) == 0 ? +FR_LT_SUCCESS
                                                       : +EXECUTION_FAILED;
}
