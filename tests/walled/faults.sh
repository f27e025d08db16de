#!/usr/bin/env bash
# faults.sh [--check [BUILD] | NAME...]: the device behind a wall (walled.c) catches mistakes. Faults (default: all) are put one at a time into a
# copy of the tree, and forerun_walled is built with each: a short run on it must crash, be refused, hang or give other bits
# than the plain program. Without a fault it must give the same bits.
#
# Arguments: tests/support/faults.sh. FORERUN: the plain program.
SOURCE=${SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
. "$SOURCE/tests/e2e/common.sh"
. "$SOURCE/tests/support/faults.sh"
ulimit -c 0

walled=$tree/build/tests/forerun_walled
limit=60 # seconds; a run takes a few

# ---- runs -----------------------------------------------------------------------------------------------

# run PROGRAM RANKS ARGUMENTS...: within the limit; output in $work/out, $work/err
run() {
    local program=$1 ranks=$2
    shift 2
    timeout -k 5 "$limit" mpirun -n "$ranks" "$program" "$@" >"$work/out" 2>"$work/err" </dev/null
}

# trains PROGRAM TO STAGES REPLICAS [ARGUMENTS...]
trains() {
    local program=$1 to=$2 stages=$3 replicas=$4
    shift 4
    run "$program" $((stages * replicas)) train "$work/c.yaml" --set "run.dir=$work/$to" \
        --set "run.stages=$stages" --set "run.replicas=$replicas" "$@"
}

# Each kind of run: PROGRAM TO, with what it computes below $work/TO. Its exit code counts.
run_alone() {
    trains "$1" "$2" 1 1
}
run_stages() {
    trains "$1" "$2" 2 1
}
run_replicas() {
    trains "$1" "$2" 1 2
}
run_text() {
    trains "$1" "$2" 1 1 --set tasks.t.prefix.init.text=guide
}
# Where the plain program has nothing to copy.
run_offload() {
    trains "$1" "$2" 1 1 --set base.offload=4
}
run_resume() {
    local code=0
    trains "$1" "$2" 1 1 --stop-after 2 || code=$?
    [ $code = 75 ] || return $((code == 0 ? 1 : code))
    trains "$1" "$2" 1 1 --resume
}
# On a device that has bf16 between operators (narrow.h), whose bits are not the plain program's.
run_narrow() {
    WALL_WORK=bf16 trains "$1" "$2" 2 1 --set run.precision=bf16 --set tasks.t.prefix.init.text=guide
}
run_eval() {
    mkdir "$work/$2"
    run "$1" 1 eval --model "$model" --prefix "$prefix" --data "$rows" --no-eos --precision f32 --threads 1 --json \
        --rows-out "$work/$2/rows" || return
    mv "$work/out" "$work/$2/loss"
}
run_generate() {
    mkdir "$work/$2"
    run "$1" 2 generate --model "$model" --prefix "$prefix" --input "$work/few.jsonl" --precision f32 --threads 1 \
        --max-new-tokens 6 --batch 3 --output "$work/$2/rows"
}

losses() {
    grep -o '"loss": *[^,}]*' "$1/metrics.jsonl"
}
# alike A B: two folders of results; of the same kind of run, or both of training
alike() {
    if [ -e "$1/prefix.h5" ]; then
        "$FORERUN" compare "$1/checkpoint-3.h5" "$2/checkpoint-3.h5" >/dev/null 2>&1 &&
            [ "$(losses "$1")" = "$(losses "$2")" ]
    else
        diff -r "$1" "$2" >/dev/null
    fi
}

# observe KIND: in $shown what the walled program shows in this kind of run, or nothing.
observe() {
    local code=0 plain=$work/plain-$1
    [ -d "$plain" ] || plain=$work/plain-alone
    rm -rf "$work/seen"
    "run_$1" "$walled" seen || code=$?
    shown=
    if grep -q '^walled device: ' "$work/err"; then
        shown="refused: $(sed -n 's/^walled device: //p' "$work/err" | head -1)"
    elif [ $code = 124 ] || [ $code = 137 ]; then
        shown="hangs"
    elif grep -q 'Segmentation fault' "$work/err" || [ $code = 139 ]; then
        shown="crashes at the wall"
    elif [ $code != 0 ]; then
        shown="fails with code $code"
    elif ! alike "$plain" "$work/seen"; then
        shown="other bits"
    fi
}

# ---- faults ---------------------------------------------------------------------------------------------

build() {
    cmake --build "$tree/build" -j2 --target forerun_walled >"$work/build" 2>&1 ||
        fail "$(grep -A5 'error' "$work/build" || tail "$work/build")"
}

# fault NAME KIND RUN FILE OLD NEW [OLD NEW...]: in that file of the sources; RUN is where it must show
fault() {
    local name=$1 kind=$2 where=$3 file=$4
    shift 4
    put "$name" "$file" "$@" || return 0
    build
    observe "$where"
    printf '%-26s %-24s %-9s %s\n' "$name" "$kind" "$where" "${shown:-SHOWS NOTHING}"
    [ -n "$shown" ] || silent+=("$name")
}

host_reads() {
    fault totals-followed "host reads" alone train/step/step.c \
        'fr_image_take(&now->totals_image);' \
        'memcpy(now->totals, now->totals_image.device, sizeof now->totals);'
    fault activation-followed "host reads" stages train/step/engine.c \
        'f->pass->traffic.forward_bytes += bytes;' \
        'float first; memcpy(&first, fr_activations_output(f->activations), sizeof first);
         f->pass->traffic.forward_bytes += bytes + (first == 12345.0f);'
    fault tokens-followed "host reads" generate model/network/generate_choose.c \
        'fr_device_get(device_of(c), c->ids + first, c->chosen + first,' \
        '__builtin_memcpy(c->ids + first, c->chosen + first, (size_t)'
    fault mpi-in-device "host reads" stages comm/link.c \
        'return fr_device_in_host_memory(device) ? FR_LINK_HOST : FR_LINK_STAGED;' \
        'return device != NULL ? FR_LINK_HOST : FR_LINK_STAGED;'
}

host_writes() {
    fault sums-set-by-host "host writes" alone train/step/step.c \
        'fr_device_zero(t->device, t->sum_image.device, t->sum_image.bytes);' \
        'memset(t->sum_image.device, 0, (size_t)t->sum_image.bytes);'
    fault prefix-set-by-host "host writes" alone device/image.c \
        'fr_device_put(device, image->device, image->block, image->bytes);' \
        'memcpy(image->device, image->block, (size_t)image->bytes);'
    fault gradient-set-by-host "host writes" alone model/network/stage.c \
        'fr_device_zero(stage->device, gradient,' '__builtin_memset(gradient, 0,'
}

no_waits() {
    fault layer-unawaited "no wait" offload model/network/offload.c \
        'fr_device_await(o->device, slot);
        o->has_arrived[slot] = true;' 'o->has_arrived[slot] = true;'
    fault tokens-unawaited "no wait" generate model/network/generate_choose.c \
        'return wait_for(c);' 'return FR_OK;'
    fault loss-unawaited "no wait" eval train/step/evaluate.c \
        'FR_TRY(fr_group_wait_device(grid->world, device, fr_device_mark(device)));' '(void)grid;'
    fault rows-unawaited "no wait" eval train/step/engine.c \
        'FR_TRY(fr_group_wait_device(e->grid->world, e->device, f->nll_there));' '(void)e;'
    fault sums-unawaited "no wait" alone train/step/step.c \
        '*is_done = fr_device_passed(task->device, now->fetched);' '*is_done = task != NULL;'
    fault keys-unawaited "no wait" text train/step/engine.c \
        'fr_group_wait_device(e->grid->world, e->device, fr_device_mark(e->device));' 'FR_OK;'
    fault gradient-unawaited "no wait" stages train/step/engine.c \
        'FR_TRY(await(e, &f->gradient_coming, &pass->traffic.backward_wait_ns));' ''
}

too_early() {
    fault loss-taken-early "get used early" eval train/step/evaluate.c \
        'FR_TRY(fr_group_wait_device(grid->world, device, fr_device_mark(device)));
    fr_image_take(&t->image);' 'fr_image_take(&t->image);
    FR_TRY(fr_group_wait_device(grid->world, device, fr_device_mark(device)));'
    fault mark-before-sums "get used early" alone train/step/step.c \
        'fr_image_get(task->device, &task->sum_image);' 'now->fetched = fr_device_mark(task->device);
         fr_image_get(task->device, &task->sum_image);' \
        'now->fetched = fr_device_mark(task->device);
    now->phase' 'now->phase'
    fault mark-before-rows "get used early" eval train/step/engine.c \
        'fr_device_get(e->device, f->nll, e->nll,' 'f->nll_there = fr_device_mark(e->device);
         fr_device_get(e->device, f->nll, e->nll,' \
        'f->nll_there = fr_device_mark(e->device);
    f->has_nll' 'f->has_nll'
    fault piece-sent-early "get used early" stages comm/link_staged.c \
        'if (!fr_device_passed(l->base.device, b->mark)) {' 'if (l == NULL) {'
    fault sum-sent-early "get used early" replicas comm/link_staged.c \
        'if (!fr_device_passed(l->base.device, b->mark)) {' 'if (l == NULL) {'
}

wrong_order() {
    fault prefix-never-shown "order" alone train/step/step.c \
        'fr_task_show_prefix(task);' ''
    fault prefix-shown-before "order" alone train/step/step.c \
        'FR_TRY(update_prefix(' 'fr_task_show_prefix(task); FR_TRY(update_prefix(' \
        '        fr_task_show_prefix(task);
        task->progress' '        task->progress'
    fault restored-never-shown "order" resume train/run/run_prepare.c \
        'fr_task_show_prefix(task);' ''
    fault sums-zeroed-late "order" alone train/step/step.c \
        'now->phase = PHASE_CLOSED;' 'now->phase = PHASE_CLOSED;
         fr_device_zero(steps->tasks[task].device, steps->tasks[task].sum_image.device, steps->tasks[task].sum_image.bytes);'
    fault piece-never-put "order" stages comm/link_staged.c \
        'if (t->to != NULL && b->bytes > 0) {' 'if (t->to != NULL && b->bytes < 0) {'
    fault sums-fetched-before "order" replicas train/step/step.c \
        'fr_image_get(task->device, &task->sum_image);' '' \
        'now->phase = PHASE_REDUCING;' 'now->phase = PHASE_REDUCING; fr_image_get(task->device, &task->sum_image);'
}

used_up() {
    fault layer-replaced-early "memory used again" offload model/network/stage.c \
        'fr_layer layer = fr_offload_begin(&stage->offload, i, &stage->layers[i]);
        FR_TRY(fr_layer_forward(' 'fr_layer layer = fr_offload_begin(&stage->offload, i, &stage->layers[i]);
        fr_offload_end(&stage->offload, i);
        FR_TRY(fr_layer_forward(' \
        'activations->x[i + 1]));
        fr_offload_end(&stage->offload, i);' 'activations->x[i + 1]));'
    fault prefix-put-itself "memory used again" alone device/image.c \
        'fr_device_put(device, image->device, image->block, image->bytes);' \
        'fr_device_put(device, image->device, image->host, image->bytes);'
    fault load-without-block "memory used again" replicas device/dispatch.c \
        'fr_device_put(device, (char *)to + at, block, piece);' \
        'fr_device_put(device, (char *)to + at, (char *)(uintptr_t)from + at, piece);'
    fault nats-freed "memory used again" alone train/step/engine.c \
        'fr_exact_add_numbers(e->device, n, pass->loss_exponent, e->nll,' 'fr_device_free(e->device, e->nll);
         fr_exact_add_numbers(e->device, n, pass->loss_exponent, e->nll,'
    fault angles-put-twice "memory used again" alone model/network/stage_places.c \
        'fr_status status = fr_constants_put(&s->constants, table, n, &out->table);' \
        'fr_status status = fr_constants_put(&s->constants, table, n, &out->table);
         status = fr_constants_put(&s->constants, table, n, &out->table);'
}

not_brought() {
    fault weights-not-brought "not in the device" alone model/network/constants.c \
        'if (fr_device_in_host_memory(c->device)) {' 'if (c != NULL) {'
    fault image-not-made "not in the device" alone device/image.c \
        'if (fr_device_in_host_memory(device)) {' 'if (device != NULL) {'
    fault totals-of-host "not in the device" eval train/step/evaluate.c \
        'pass->totals = t->image.device;' 'pass->totals = (void *)t->totals;'
    fault keys-of-host "not in the device" alone train/step/task.c \
        '.k = task->image.k.device,' '.k = (void *)task->state.k,'
}

wrong_types() {
    fault gradient-taken-for-f32 "other type" narrow model/network/layer_attention.c \
        'fr_view d_o = c->workspace->up_TU;' 'fr_view d_o = fr_view_of(c->workspace->up_TU.at, FR_F32);'
    fault norm-taken-for-f32 "other type" narrow model/network/layer_feed_forward.c \
        '        h = c->workspace->h_TD;' '        h = fr_view_f32(c->workspace->h_f32_TD);'
    fault kept-taken-for-f32 "other type" narrow model/network/layer_parts.c \
        'saved != NULL ? fr_view_of(saved, c->kept) : scratch;' 'saved != NULL ? fr_view_of(saved, FR_F32) : scratch;'
    fault keys-never-widened "other type" narrow model/network/prefix_image.c \
        'if (keys->memory != NULL) {' 'if (keys->memory == NULL) {'
    fault columns-counted-in-f32 "other type" narrow device/memory.h \
        '(int64_t)fr_dtype_bytes(x.dtype);' '(int64_t)sizeof(fr_f32);'
}

# ---- all ------------------------------------------------------------------------------------------------

prepare() {
    make_tiny
    python3 "$SOURCE/tests/support/make_tokenizer.py" "$model"
    make_config 3 6 f32 true
    head -5 "$rows" >"$work/few.jsonl"
    trains "$FORERUN" plain-alone 1 1 || fail "$(cat "$work/err")"
    prefix=$work/plain-alone/prefix.h5
    [ "$(losses "$work/plain-alone" | wc -l)" = 3 ] || fail "no losses of 3 steps: $(cat "$work/plain-alone/metrics.jsonl")"
    run_text "$FORERUN" plain-text || fail "$(cat "$work/err")"
    run_eval "$FORERUN" plain-eval || fail "$(cat "$work/err")"
    run_generate "$FORERUN" plain-generate || fail "$(cat "$work/err")"

    mkdir "$tree"
    tar -C "$SOURCE" --exclude=./build --exclude=./models --exclude=./data --exclude=./runs --exclude=./.git -cf - . | tar -C "$tree" -xf -
    (cd "$tree" && cmake --preset release -B build) >"$work/build" 2>&1 || fail "$(cat "$work/build")"
    build
    echo "built after $SECONDS s"
    run_narrow "$walled" plain-narrow || fail "$(cat "$work/err")"
    for kind in alone stages replicas offload text resume eval generate narrow; do
        observe "$kind"
        printf '%-26s %-24s %-9s %s\n' "no fault" "" "$kind" "${shown:-shows nothing}"
        [ -z "$shown" ] || fail "the walled program without a fault: $shown ($kind): $(cat "$work/err")"
    done
}

[ $mode = check ] || prepare
for group in host_reads host_writes no_waits too_early wrong_order used_up not_brought wrong_types; do
    "$group"
done
all_are_put
echo "$n_faults faults, ${#silent[@]} that show nothing; $SECONDS s"
[ ${#silent[@]} = 0 ] || fail "the walled device does not see: ${silent[*]}"
