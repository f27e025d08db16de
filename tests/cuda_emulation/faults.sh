#!/usr/bin/env bash
# faults.sh [--check [BUILD] | NAME...]: the tests of the emulation catch mistakes. Faults (default: all) are put one at a time into a copy of
# the tree: kernels, what the host does with streams and memory, links. The tests that a fault names are built with it,
# and each of them must fail. At the end the same tests must pass without any fault.
# Arguments: tests/support/faults.sh. Some ten minutes on two cores; several may run at once, each in a folder of its own.
SOURCE=${SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
. "$SOURCE/tests/e2e/common.sh"
. "$SOURCE/tests/support/faults.sh"
ulimit -c 0

tests=$tree/build/release/tests
others=${LD_LIBRARY_PATH:-}
limit=120 # seconds; a test takes a few
declare -A used=()

# ---- tests ----------------------------------------------------------------------------------------------

prepare() {
    local launcher=()
    mkdir "$tree"
    tar -C "$SOURCE" --exclude=./build --exclude=./models --exclude=./data --exclude=./runs --exclude=./.git -cf - . |
        tar -C "$tree" -xf -
    if command -v ccache >/dev/null; then
        export CCACHE_BASEDIR=$tree CCACHE_NOHASHDIR=1
        launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    fi
    (cd "$tree" && cmake --preset release "${launcher[@]}" -DWITH_CUDA=OFF -DFORERUN_CUDA_RACES=ON) >"$work/build" 2>&1 ||
        fail "$(cat "$work/build")"
}

# build TEST...
build() {
    local targets=()
    for test in "$@"; do
        targets+=(--target "${test%%:*}")
    done
    cmake --build "$tree/build/release" -j2 "${targets[@]}" >"$work/build" 2>&1 ||
        fail "$(grep -A5 'error' "$work/build" || tail "$work/build")"
}

# libraries PROGRAM: the folders that ctest lets it look into
libraries() {
    case $1 in
    cuda_lt* | cuda_row_bits | cuda_sum_order) echo "$tests/emulated_cublaslt:$tests/emulated_driver" ;;
    mpi_link_nccl) echo "$tests/emulated_nccl:$tests/emulated_driver" ;;
    *) echo "$tests/emulated_driver" ;;
    esac
}

# run_test PROGRAM[:CASE]: output in $work/out; programs with a name that ends with _races look at each access (races.cpp).
run_test() {
    local program=${1%%:*} cases=()
    [[ $1 != *:* ]] || cases=("${1#*:}")
    local -x LD_LIBRARY_PATH
    LD_LIBRARY_PATH=$(libraries "$program")${others:+:$others}
    case $program in
    mpi_*) timeout -k 5 $((limit / 3)) mpirun -n 2 "$tests/$program" --ranks 2 "${cases[@]}" ;;
    *_races) FR_EMULATED_FEW=1 timeout -k 5 "$limit" "$tests/$program" "${cases[@]}" ;;
    *) timeout -k 5 "$limit" "$tests/$program" "${cases[@]}" ;;
    esac >"$work/out" 2>&1 </dev/null
}

# observe TEST: in $shown how it fails, or nothing.
observe() {
    local code=0
    shown=
    run_test "$1" || code=$?
    if [ $code = 0 ]; then
        return
    elif grep -q 'nothing orders the two' "$work/out"; then
        shown="sees a race"
    elif grep -q '^emulation: ' "$work/out"; then
        shown="is stopped"
    elif [ $code = 124 ] || [ $code = 137 ]; then
        shown="hangs"
    elif [ $code -gt 128 ]; then
        shown="crashes"
    else
        shown="fails"
    fi
}

# ---- faults ---------------------------------------------------------------------------------------------

# fault NAME TESTS FILE OLD NEW [OLD NEW...]: in that file of the sources; each of TESTS has to catch it
fault() {
    local name=$1 list=$2 file=$3 test began=$SECONDS caught=()
    shift 3
    put "$name" "$file" "$@" || return 0
    # shellcheck disable=SC2086 # a list
    build $list
    for test in $list; do
        used[$test]=1
        observe "$test"
        caught+=("$test ${shown:-PASSES};")
        [ -n "$shown" ] || silent+=("$name")
    done
    printf '%-24s %4d s  %s\n' "$name" $((SECONDS - began)) "${caught[*]}"
}

barriers() {
    fault row-partials-unawaited "cuda_norms_races" device/cuda/rows.cuh \
        '        partials[fr_thread() / FR_WARP] = sum;
    }
    fr_sync();' \
        '        partials[fr_thread() / FR_WARP] = sum;
    }'
    fault row-partials-reused "cuda_norms_races" device/cuda/rows.cuh \
        '    fr_sync(); /* the next sum writes there */' ''
    fault product-tile-unawaited "cuda_product cuda_product_races" device/cuda/kernels_product.cu \
        '        keep_weights<BACK>(next_weights, w);
        fr_sync();' '        keep_weights<BACK>(next_weights, w);'
    fault product-one-half "cuda_product_races" device/cuda/kernels_product.cu \
        'd / TILE_DEPTH % 2 * (2 * TILE_DEPTH * LINE)' '0 * d'
    fault few-sums-unawaited "cuda_few_races" device/cuda/kernels_few.cu \
        '    fr_sync();
    int own = fr_thread();' '    int own = fr_thread();'
    fault loss-target-overwritten "cuda_loss_races" device/cuda/kernels_loss.cu \
        '        fr_sync(); /* all threads have the target' '        /* all threads have the target'
    fault sample-steps-unawaited "cuda_sample_races" device/cuda/sample_sums.cuh \
        '    fr_sync();
    for (int i = 0; i < warp; i++) {' '    for (int i = 0; i < warp; i++) {'
    fault sample-count-too-early "cuda_sample_races" device/cuda/sample_lists.cuh \
        '        fr_sync_warp();
        if (t.is && rank == 0) {' '        if (t.is && rank == 0) {'
    fault sample-places-unawaited "cuda_sample_races" device/cuda/sample_lists.cuh \
        '        shared->total[d] = sum;
    }
    fr_sync();' '        shared->total[d] = sum;
    }'
    fault attend-chunk-too-early "cuda_attention_races" device/cuda/attention_tile.cuh \
        '    fr_sync();
    attend_fill(a, rows, chunk, FR_ATTEND_STEP, 1.0F, to, FR_ATTEND_CHUNK_LD);' \
        '    attend_fill(a, rows, chunk, FR_ATTEND_STEP, 1.0F, to, FR_ATTEND_CHUNK_LD);'
    fault attend-chunk-unawaited "cuda_attention_races" device/cuda/attention_tile.cuh \
        'FR_ATTEND_STEP, 1.0F, to, FR_ATTEND_CHUNK_LD);
    fr_sync();' 'FR_ATTEND_STEP, 1.0F, to, FR_ATTEND_CHUNK_LD);'
    fault attend-ds-unawaited "cuda_attention_races" device/cuda/kernels_attention_back.cu \
        '            parts.ds[row * FR_ATTEND_STEP_LD + column] = ds;
        }
    }
    fr_sync_warp();' \
        '            parts.ds[row * FR_ATTEND_STEP_LD + column] = ds;
        }
    }'
}

attention() {
    fault attend-row-of-32 "cuda_attention:first_rows_alone" device/cuda/kernels_attention.cu \
        'enum { LANES = 16 };' 'enum { LANES = 32 };'
    fault attend-wrong-slope "cuda_attention:scores" device/cuda/kernels_attention.cu \
        'attend_slope(a, attend_kv_head() * a.group + pair.head)' 'attend_slope(a, attend_kv_head() + pair.head)'
    fault attend-wrong-head "cuda_attention:rows_by_fours" device/cuda/attention_sees.cuh \
        'attend_kv_head() * a.group * a.head_dim;' 'attend_kv_head() * a.head_dim;'
    fault window-one-more "cuda_attention:scores" device/cuda/attention_sees.cuh \
        'back < run.window)' 'back <= run.window)'
    fault window-begins-late "cuda_attention:windows_around_a_step" device/cuda/attention_sees.cuh \
        'run.lead + query.token - run.window + 1;' 'run.lead + query.token - run.window + 2;'
    fault attend-tail-tile "cuda_attention:first_rows_alone" device/cuda/attention_sees.cuh \
        'segment->q_count * a.group - first);' 'segment->q_count * a.group - first - 1);'
    fault window-hides-none "cuda_attention:scores" device/cuda/attention_plan.c \
        'lead + segment->q_count <= window ?' 'lead + segment->q_count <= window + 1 ?'
    fault span-one-less "cuda_attention:scores" device/cuda/attention_plan.c \
        '.count = (int32_t)span->count}' '.count = (int32_t)span->count - 1}'
    fault prefix-one-less "cuda_attention:scores" device/cuda/attention_plan.c \
        '.count = (int32_t)prefix.length}' '.count = (int32_t)prefix.length - 1}'
    fault prefix-gradient-slot "cuda_attention:a_unit_among_others" device/cuda/attention_plan.c \
        'o.out = unit * params->prefix_length;' 'o.out = unit * (params->prefix_length - 1);'
    fault keys-tail-tile "cuda_attention:rows_by_fours" device/cuda/attention_plan.c \
        'fr_min(plan->size.rows, o->count - i)' 'fr_min(plan->size.rows, o->count - i - 1)'
}

attention_tensor() {
    fault attend-tensor-unawaited "cuda_attention_tensor" device/cuda/attention_tensor.cuh \
        '        fr_copies_await<0>();
        fr_sync();' '        fr_sync();'
    fault attend-tensor-stage-unshared "cuda_attention_tensor" device/cuda/attention_tensor.cuh \
        '        fr_copies_await<0>();
        fr_sync();' '        fr_copies_await<0>();'
    fault attend-tensor-stage-early "cuda_attention_tensor_races" device/cuda/kernels_attention_tensor_back.cu \
        '        fr_copies_await<0>();
        fr_sync();' '        fr_copies_await<0>();' \
        '        fr_copies_close();
        if (walk.view' '        fr_copies_close();
        fr_sync();
        if (walk.view'
    fault attend-tensor-sees-the-next "cuda_attention_tensor:layouts_and_scores" device/cuda/attention_tensor.cuh \
        'int end = run.lead + token + 1;' 'int end = run.lead + token + 2;'
    fault attend-tensor-window-one-less "cuda_attention_tensor:windows_around_a_step" device/cuda/attention_tensor.cuh \
        'out.low = end - run.window;' 'out.low = end - run.window + 1;'
    fault attend-tensor-registers-swapped "cuda_attention_tensor:scores" device/cuda/attention_tensor_products.cuh \
        'weights[2 * group + i / 2] + i % 2 * 2;' 'weights[2 * group + i % 2] + i / 2 * 2;'
    fault attend-tensor-swizzle-of-others "cuda_attention_tensor:layouts_and_scores" device/cuda/attention_tensor.cuh \
        'fr_chunk_place<CHUNKS>(row, chunk));' 'fr_chunk_place<CHUNKS>(row + 1, chunk) - CHUNKS * FR_CHUNK);'
    fault attend-tensor-sum-of-a-lane "cuda_attention_tensor:scores" device/cuda/kernels_attention_tensor.cu \
        'float sum = attend_sum<LANES>(state.sum[tile][half]);' 'float sum = state.sum[tile][half];'
    fault attend-tensor-row-of-8 "cuda_attention_tensor:first_rows_alone" device/cuda/kernels_attention_tensor.cu \
        'enum { LANES = 4 };' 'enum { LANES = 8 };'
    fault attend-tensor-not-scaled-down "cuda_attention_tensor:scores" device/cuda/kernels_attention_tensor.cu \
        '[2 * half + i % 2] *= factor;' '[2 * half + i % 2] *= 1.0F;'
    fault attend-tensor-without-delta "cuda_attention_tensor:scores" device/cuda/kernels_attention_tensor_back.cu \
        'p * (*dp - pair.row.delta) * derivative' 'p * *dp * derivative'
    fault attend-tensor-dk-unscaled "cuda_attention_tensor:scores" device/cuda/kernels_attention_tensor_back.cu \
        'state.dk[0], half, scale_of(a), column' 'state.dk[0], half, a.scale, column'
    fault attend-tensor-first-half-twice "cuda_attention_tensor:layouts_and_scores" device/cuda/kernels_attention_tensor_back.cu \
        'int chunk = state.part * S::PART / FR_CHUNK;' 'int chunk = 0;'
    fault attend-tensor-rows-of-another-stage "cuda_attention_tensor:layouts_and_scores" device/cuda/kernels_attention_tensor_back.cu \
        'facts + step % 2 * S::STEP);' 'facts);'
    fault attend-tensor-queries-begin-late "cuda_attention_tensor:layouts_and_scores cuda_attention:scores" device/cuda/attention_sees.cuh \
        '{token * a.group / STEP * STEP, tokens * a.group}' '{token * a.group / STEP * STEP + STEP, tokens * a.group}'
    fault attend-tensor-tiles-of-forward "cuda_attention_tensor:layouts_and_scores" device/cuda/attention_size.c \
        'size.rows = back ? of->rows_back : of->rows;' 'size.rows = of->rows;'
    fault attend-tensor-prefix-cut "cuda_attention_tensor:prefixes_are_rounded" device/cuda/attention_tensor.cuh \
        'fr_write(&out.at[4 * half + i], x.at[i]);' \
        'out.at[4 * half + i].bits = static_cast<uint16_t>(fr_bits(x.at[i]) >> 16);'
}

rows() {
    fault warp-sum-of-half "cuda_norm_heads" device/cuda/rows.cuh \
        'for (int mask = FR_WARP / 2; mask > 0; mask /= 2) {' 'for (int mask = FR_WARP / 4; mask > 0; mask /= 2) {'
    fault norm-of-wrong-head "cuda_norm_heads" device/cuda/rows.cuh \
        'r % shape.n_heads * shape.width' '(r + 1) % shape.n_heads * shape.width'
    fault norm-back-not-added "cuda_norms" device/cuda/kernels_norms.cu \
        'd.at[j] = fr_fma(stats[1], g, d.at[j]);' 'd.at[j] = stats[1] * g;'
    fault norm-lanes-by-rows "cuda_norms" device/cuda/norms.c \
        'fr_row_lanes(shape->width);' 'fr_row_lanes(shape->n_rows > 2 ? 32 : shape->width);'
    fault gradient-rounded-twice "cuda_activation" device/cuda/kernels_activation.cu \
        'dy.at[i] * up.at[i] * at.slope.lane' 'fr_rounded<X>(dy.at[i] * up.at[i]) * at.slope.lane'
    fault sum-drops-last-row "cuda_rows" device/cuda/kernels_rows.cu \
        'for (; n < end; n++) {' 'for (; n + 1 < end; n++) {'
    fault rotation-not-inverse "cuda_heads" device/cuda/kernels_heads.cu \
        'out.sine.at[j] = 0.0F - out.sine.at[j];' 'out.sine.at[j] = 0.0F + out.sine.at[j];'
    fault cache-from-own-row "cuda_heads" device/cuda/heads.c \
        '{segment->q_first, segment->own_first, segment->q_count}' '{segment->own_first, segment->own_first, segment->q_count}'
}

products() {
    fault tail-column-left "cuda_product" device/cuda/product_operand.cuh \
        '            if (j < n) {' '            if (j + 1 < n) {'
    fault product-not-added "cuda_product" device/cuda/product_operand.cuh \
        'fr_write(&numbers.at[j], add != nullptr ? before + sum[j] : sum[j]);' 'fr_write(&numbers.at[j], sum[j]);'
    fault tensor-register-swapped "cuda_product_tensor" device/cuda/tensor_tiles.cuh \
        'lane % 8 + lane / 16 * 8,' 'lane % 16,' \
        '2 * group + lane / 8 % 2' '2 * group + lane / 16'
    fault tensor-swizzle-mismatch "cuda_product_tensor" device/cuda/kernels_product_tensor.cu \
        'tile + fr_chunk_place<CHUNKS>(r, c)' 'tile + fr_chunk_place<CHUNKS>(0, c) + r * CHUNKS * CHUNK'
    fault tensor-groups-backward "cuda_product_tensor cuda_sum_order cuda_row_bits:tiny_by_own_kernels" device/cuda/kernels_product_tensor.cu \
        'multiply<S, BACK, true>(left, weights, g, own, sum);' \
        'multiply<S, BACK, true>(left, weights, TILE_DEPTH / GROUP - 1 - g, own, sum);'
    fault tensor-copies-unawaited "cuda_product_tensor" device/cuda/kernels_product_tensor.cu \
        '        fr_copies_await<STAGES - 2>();' ''
    fault tensor-awaits-one-less "cuda_product_tensor" device/cuda/kernels_product_tensor.cu \
        'fr_copies_await<STAGES - 2>();' 'fr_copies_await<STAGES - 1>();'
    fault tensor-stage-unawaited "cuda_product_tensor" device/cuda/kernels_product_tensor.cu \
        '        fr_sync();' ''
    fault tensor-stage-filled-early "cuda_product_tensor_races" device/cuda/kernels_product_tensor.cu \
        '        fr_sync();' '' \
        '        fr_copies_close();
        const fr_bf16 *x' \
        '        fr_copies_close();
        fr_sync();
        const fr_bf16 *x'
    fault tensor-cut-in-a-group "cuda_product_parts" device/cuda/product.c \
        'on_tensor_cores(w, way) ? FR_TENSOR_GROUP : 1' '1'
    fault part-at-wrong-row "cuda_product_parts" device/cuda/product.c \
        '(row_run){rows + row * row_bytes, first' '(row_run){rows + first * row_bytes, first'
    fault sums-between-parts-lost "cuda_product_parts" device/cuda/product.c \
        '.begun = first > 0 ? sums : NULL' '.begun = NULL'
    fault few-part-offset "cuda_few" device/cuda/few.c \
        'column += args.part.n_rows;' 'column += args.part.n_rows - 1;'
    fault few-rounded-twice "cuda_few" device/cuda/kernels_few.cu \
        'fr_read(add + i) + sum : sum);' 'fr_read(add + i) + fr_bf16_widen(fr_bf16_round(sum)) : sum);'
    fault nibble-swapped "cuda_widen" device/cuda/format_blocks.cuh \
        'fr_nibbles(fr_bytes_8(b + 16 + at / 64 * 32 + at % 32), at % 64 / 32 * 4)' \
        'fr_nibbles(fr_bytes_8(b + 16 + at / 64 * 32 + at % 32), 4 - at % 64 / 32 * 4)'
    fault rows-unpaired "cuda_widen" device/cuda/format_rows.cuh \
        '2 * (i - half) + 1;' '2 * (i - half);'
    fault part-one-row-off "cuda_widen" device/cuda/kernels_widen.cu \
        'row -= part->n_rows;' 'row -= part->n_rows - 1;'
}

cublaslt() {
    fault lt-asked-anew "cuda_lt:numbers_are_those_of_the_pinned_algorithm" device/cuda/lt.c \
        '    *result = fr_lt_describe(lt, pin, p);' \
        '    *result = fr_lt_describe(lt, pin, p);
    fr_lt_offer anew[1];
    int n = 0;
    if (lt->library.offers(lt->handle, pin->operation, pin->weights, pin->left, pin->out, pin->out, lt->preference, 1, anew,
                           &n) == FR_LT_SUCCESS) {
        pin->algorithm = anew[0].algorithm;
    }'
    fault lt-not-added "cuda_lt:what_is_added_may_lie_elsewhere" device/cuda/lt.c \
        'product->add != NULL ? 1.0F : 0.0F' '0.0F'
    fault lt-result-stride "cuda_lt:several_blocks_add_up" device/cuda/lt.c \
        '{pin->out, product->columns, product->m, product->out_stride}' \
        '{pin->out, product->columns, product->m, product->columns}'
    fault lt-probe-of-nothing "cuda_lt:rows_that_depend_on_others_are_noticed" device/cuda/lt_probe.c \
        '(size_t)(count * p->out_bytes)) == 0' '0) == 0'
    fault lt-refused-elsewhere "cuda_lt_ready:what_a_rank_was_refused_no_rank_uses" device/cuda/lt_ready.c \
        '        pin->is_used = false;' ''
    fault lt-untried-used "cuda_lt_ready:what_nobody_tried_is_for_the_own_kernels" device/cuda/lt_ready.c \
        '    pin->shape = *shape;
    add_pin' '    fr_lt_pin_destroy(cuda->lt, &pin);
    FR_TRY(fr_lt_choose(cuda, cuda->lt, shape, &pin));
    pin->is_used = true;
    add_pin'
    fault lt-split-taken "cuda_lt:splits_and_short_sums_are_refused" device/cuda/lt_choose.c \
        '(splits == 0 || splits == 1) &&' ''
    fault lt-sums-left "cuda_lt:several_blocks_add_up" device/cuda/lt_product.c \
        'product.add = first > 0 ? sums : NULL;' 'product.add = NULL;'
    fault lt-sums-of-first-rows "cuda_lt:many_rows_are_taken_in_turns" device/cuda/lt_product.c \
        'float *sums = c->sums + row * c->columns;' 'float *sums = c->sums;'
    fault lt-name-without-choice "cuda_lt_library:the_name_says_library_and_algorithms" device/cuda/lt_choose.c \
        'out[i] = pin->operation != NULL ? config_of(lt, &pin->algorithm, i) : -2;' 'out[i] = -2;'
}

losses() {
    fault loss-threads-by-rows "cuda_loss:rows_depend_on_themselves_alone" device/cuda/loss.c \
        '.threads = threads_of(vocab)' '.threads = threads_of(vocab * fr_min(n_rows, 2))'
    fault exponent-one-more "cuda_loss:exact_sums_are_the_same_integers" device/cuda/loss.c \
        '.n_units = n_units,
                                    .n = n,
                                    .scale = ldexp(1.0, exponent)' \
        '.n_units = n_units,
                                    .n = n,
                                    .scale = ldexp(1.0, exponent + 1)'
    fault refused-not-counted "cuda_loss:exact_sums_are_the_same_integers" device/cuda/kernels_loss.cu \
        '    *refused += 1;' ''
    fault refused-of-one-warp "cuda_loss:exact_sums_are_the_same_integers" device/cuda/kernels_loss.cu \
        'if (fr_thread() % FR_WARP == 0 && total != 0) {' 'if (fr_thread() == 0 && total != 0) {'
    fault exact-sum-twice "cuda_loss:exact_sums_are_the_same_integers" device/cuda/kernels_loss.cu \
        'a.sum[i] = sum;' 'a.sum[i] += sum;'
}

tokens() {
    fault ties-to-higher-id "cuda_sample:ids_are_those_of_the_cpu" device/cuda/kernels_sample.cu \
        '<< 32 | (uint64_t)i;' '<< 32 | (uint64_t)(uint32_t)~i;' \
        '(int32_t)(uint32_t)s.best' '(int32_t)~(uint32_t)s.best'
    fault uniform-of-other-row "cuda_sample:ids_are_those_of_the_cpu" device/cuda/kernels_sample.cu \
        'a.uniform_N[n])' 'a.uniform_N[n > 0 ? n - 1 : n])'
    fault unlikely-kept "cuda_sample:ids_are_those_of_the_cpu" device/cuda/kernels_sample.cu \
        'if (min_p > 0) {' 'if (min_p > 2) {'
    fault sample-wrong-lane "cuda_sample:ids_are_those_of_the_cpu" device/cuda/sample_lists.cuh \
        'fr_from_lane(before, lane - step);' 'fr_from_lane(before, lane - step + 1);'
    fault even-sum-never-odd "cuda_sample:ties_come_after_sums_of_either_parity" device/cuda/sample_sums.cuh \
        'even_stays ? next.even : next.odd' 'even_stays ? next.even : next.even'
    fault odd-sum-never-even "cuda_sample:ties_come_after_sums_of_either_parity" device/cuda/sample_sums.cuh \
        'odd_stays ? next.odd : next.even' 'odd_stays ? next.odd : next.odd'
    fault odd-sum-always-even "cuda_sample:ties_come_after_sums_of_either_parity" device/cuda/sample_sums.cuh \
        'odd_stays ? next.odd : next.even' 'odd_stays ? next.even : next.even'
}

streams() {
    fault block-reused-early "cuda_memory:copies_may_be_larger_than_the_blocks" device/cuda/memory_transfer.c \
        '        wait_for(m, ring->until[ring->at]);' ''
    fault put-from-callers-memory "cuda_memory:any_order_of_copies_gives_what_was_asked" device/cuda/memory_transfer.c \
        '                                            block, (size_t)piece, cuda->stream),' \
        '                                            (const char *)from + at, (size_t)piece, cuda->stream),'
    fault mark-passes-early "cuda_memory" device/cuda/memory_transfer.c \
        'if (result == FR_CU_NOT_READY) {
        return false;' 'if (result == FR_CU_NOT_READY) {
        return true;'
    fault get-delivered-early "cuda_memory" device/cuda/memory_transfer.c \
        'if (d->behind > m->passed) {' 'if (d->behind > m->passed + 1) {'
    fault get-behind-older-mark "cuda_memory" device/cuda/memory_transfer.c \
        '(fr_cuda_delivery){m->made + 1, block' '(fr_cuda_delivery){m->made, block'
    fault mark-of-older-event "cuda_memory" device/cuda/memory_transfer.c \
        'event_record(m->events[mark % FR_CUDA_MARKS]' 'event_record(m->events[(mark - 1) % FR_CUDA_MARKS]'
    fault freed-while-in-use "cuda_memory:pinned_memory_is_zeroed_and_may_be_freed_early" device/cuda/memory_transfer.c \
        '    wait_until(m, p->until);' ''
    fault freed-a-mark-early "cuda_memory:pinned_memory_is_zeroed_and_may_be_freed_early" device/cuda/memory_transfer.c \
        'target->until = m->made + 1;' 'target->until = m->made;'
    fault memory-not-zeroed "cuda_pool" device/cuda/memory.c \
        '    fr_cuda_zero(device, *out, fr_pool_block_bytes(m->pool, *out));' ''
    fault lists-side-by-side "cuda_pool" device/cuda/memory.c \
        'at += fr_round_up(lists[i].bytes, FR_CUDA_LIST_ALIGNMENT);' 'at += lists[i].bytes / 2;'
    fault copy-ahead-not-awaited "cuda_ahead" device/cuda/memory_ahead.c \
        'cuda->driver.stream_wait(cuda->stream, cuda->memory->arrivals[slot], 0),' 'FR_CU_SUCCESS,'
    fault copy-ahead-overtakes "cuda_ahead" device/cuda/memory_ahead.c \
        '!follow(cuda, m->behind, cuda->stream, cuda->copies)' 'false'
    fault wrong-gpu "cuda_pool:ranks_take_the_visible_gpus_in_turn" device/cuda/runtime.c \
        'choice.by_rank ? choice.number % count : choice.number' 'choice.by_rank ? 0 : choice.number'
}

links() {
    fault message-before-mark "mpi_link" comm/link_staged.c \
        'if (!fr_device_passed(l->base.device, b->mark)) {' 'if (l == NULL) {'
    fault direct-message-before-mark "mpi_link_direct" comm/link_direct.c \
        'fr_device_passed(l->base.device, l->next->mark)' 'true'
    fault piece-summed-twice "mpi_link" comm/link_staged.c \
        '        FR_TRY(begin_moving(l, s, b));' \
        '        FR_TRY(begin_moving(l, s, b));
        for (bool done = s->direction != SUM; !done;) {
            FR_TRY(fr_group_test(l->base.group, &b->request, &done));
            FR_TRY(done ? begin_moving(l, s, b) : FR_OK);
        }'
    fault piece-of-other-place "mpi_link" comm/link_staged.c \
        't->to + b->at, b->memory' 't->to + (b->at > 0 ? b->at - 8 : 0), b->memory'
}

nccl() {
    local link=comm/link_nccl.c
    fault nccl-sum-before-mark "mpi_link_nccl:sums_keep_the_order_of_the_device" $link \
        '*moved = fr_device_passed(l->base.device, l->next->mark);' '*moved = true;'
    fault nccl-without-meeting "mpi_link_nccl:a_sum_does_not_hold_up_a_rank_that_others_wait_for" $link \
        'FR_TRY(fr_group_test(l->base.group, &l->meeting, moved));' '*moved = true;'
    fault nccl-mark-before-posted "mpi_link_nccl:sums_keep_the_order_of_the_device" $link \
        'FR_TRY(ask_state(l, moved));
        if (*moved) {' '*moved = true;
        if (*moved) {'
    fault nccl-done-too-early "mpi_link_nccl:sums_keep_the_order_of_the_device" $link \
        '*moved = *moved && fr_lane_passed(l->lane);' ''
    fault nccl-other-order "mpi_link_nccl:sums_under_way_at_once_keep_their_order" $link \
        '        l->last->next = s;' '        bool other = fr_group_rank(base->group) == 0;
        s->next = other ? l->next->next : NULL;
        *(other ? &l->next->next : &l->last->next) = s;'
    fault nccl-left-on-the-gpu "mpi_link_nccl:an_error_in_a_sum_names_function_and_result" comm/link_nccl_start.c \
        '        (void)l->nccl.abort(l->comm);' ''
    fault nccl-left-when-abandoned "mpi_link_nccl:a_rank_that_abandons_the_others_takes_its_sum_off_the_gpu" $link \
        '        fr_nccl_abort(l);' ''
    fault nccl-destroyed-unfinalized "mpi_link_nccl:sums_go_over_nccl_where_it_is_and_works" comm/link_nccl_start.c \
        'if (is_orderly && finalize(l)) {' 'if (is_orderly) {'
}

# ---- all ------------------------------------------------------------------------------------------------

[ $mode = check ] || prepare
for group in barriers attention attention_tensor rows products cublaslt losses tokens streams links nccl; do
    "$group"
done
all_are_put
build "${!used[@]}"
limit=600 # a busy machine is no failure here
for test in "${!used[@]}"; do
    observe "$test"
    [ -z "$shown" ] || fail "$test without a fault $shown: $(cat "$work/out")"
done
echo "no fault: ${#used[@]} tests pass"
echo "$n_faults faults, ${#silent[@]} times a test sees none; $SECONDS s"
[ ${#silent[@]} = 0 ] || fail "these are not caught: ${silent[*]}"
