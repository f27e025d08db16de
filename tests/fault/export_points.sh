#!/usr/bin/env bash
# export_points.sh SHIM: each system call of an export on its folder fails, or is its last.
#
# A killed export leaves an adapter that is whole, or a folder without adapter_config.json, which PEFT does not open; one that fails
# leaves nothing. Only the closing of a file may fail unnoticed.
. "$(dirname "$0")/../e2e/common.sh"

adapter=$SOURCE/tests/golden/adapter_tiny_llama_right_f32
by_name "$1"
cd "$work"
expect 0 "$FORERUN" import --from peft "$adapter" --model "$SOURCE/tests/golden/tiny_llama" --output p.h5
dir=target

# disturbed AT MODE: an export of which call AT is disturbed; exit code in $code
disturbed() {
    code=0
    rm -rf "$dir" log
    CRASH_FOLDER=$dir CRASH_LOG=log CRASH_AT=$1 CRASH_MODE=$2 LD_PRELOAD=$preload \
        "$FORERUN" export --to peft "$dir" --prefix p.h5 >export.out 2>err </dev/null || code=$?
} 2>/dev/null

whole() {
    cmp -s "$dir/adapter_model.safetensors" "$adapter/adapter_model.safetensors" && cmp -s "$dir/adapter_config.json" config.json
}

disturbed "" kill
[ $code = 0 ] || fail "an undisturbed export ended with $code: $(cat err)"
cp "$dir/adapter_config.json" .
mv adapter_config.json config.json
whole || fail "an undisturbed export has other bytes"
mv log calls
[ "$(grep -c rename calls)" = 2 ] || fail "not two files are renamed: $(cat calls)"

points=0
while read -r at call path; do
    for mode in eio enospc kill torn short; do
        case $mode:$call in
        torn:*write | short:*write) ;;
        torn:* | short:*) continue ;;
        esac
        disturbed "$at" $mode
        points=$((points + 1))
        case $mode:$call in
        kill:* | torn:*)
            [ $code = 137 ] || fail "$mode at $at $call $path: exit code $code"
            [ ! -e "$dir/adapter_config.json" ] || whole || fail "$mode at $at $call $path: a part of an adapter"
            ;;
        short:*)
            { [ $code = 0 ] && whole; } || fail "$mode at $at $call $path: exit code $code"
            ;;
        *)
            if [ $code = 0 ]; then
                [ "$call" = close ] && whole || fail "$mode at $at $call $path went unnoticed"
            else
                [ $code = 1 ] && [ ! -e "$dir" ] || fail "$mode at $at $call $path: exit code $code, left $(ls "$dir" 2>&1)"
            fi
            ;;
        esac
    done
done <calls
[ $points -ge 30 ] || fail "only $points points: $(cat calls)"
echo "$points points"
