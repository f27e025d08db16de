#!/usr/bin/env bash
# launch/preflight on one host with three ranks, and on several hosts: it names the one with a slow link, another base
# file, a run folder of its own, too little memory, or no answer. usage: preflight.sh one|hosts|silent
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/hosts.sh"
if [ "$1" = one ]; then
    isolate "$@"
else
    need_hosts "$@"
fi

preflight=(bash "$SOURCE/launch/preflight" --forerun "$FORERUN")
make_tiny
make_config 6 7 f32

if [ "$1" = one ]; then
    expect 0 "${preflight[@]}" -n 3 "$work/c.yaml"
    grep -q '^preflight: 1 nodes, 0 odd$' "$work/out" || fail "$(cat "$work/out")"
    grep -Eq "^$(uname -n) +3 +[0-9]+ +[0-9]+ .* 5 of   5 .* fine$" "$work/out" || fail "$(cat "$work/out")"
    grep -q '^slowest of 6 links' "$work/out" || fail "$(cat "$work/out")"
    [ ! -e "$work/run" ] || fail "the run folder was left behind"
    expect 0 "$FORERUN" preflight "$work/c.yaml"
    expect 2 "${preflight[@]}" -n 3 "$work/c.yaml" -- --set run.stages=2 --set run.replicas=2
    says "is not the number of ranks 3"
    expect 1 "${preflight[@]}" -n 2 "$work/c.yaml" -- --set "base.path=$work/nowhere"
    grep -q "^ODD $(uname -n) (rank 0): .*nowhere" "$work/out" || fail "$(cat "$work/out")"
    : >"$work/file"
    expect 1 "${preflight[@]}" -n 2 "$work/c.yaml" -- --set "run.dir=$work/file"
    grep -q "^ODD .*not a folder" "$work/out" || fail "$(cat "$work/out")"
    expect 2 "${preflight[@]}" "$work/c.yaml" --frobnicate
    echo "one host, three ranks: fine; a missing model, a bad run folder and a bad layout are named"
    exit 0
fi

if [ "$1" = silent ]; then
    hosts_up 3
    printf 'h%d\n' 0 1 2 >"$work/hosts"
    tell "cut 2 0"
    started=$SECONDS
    expect 5 on h0 "${preflight[@]}" --hostfile "$work/hosts" --site "$HOSTS_FOLDER/site.env" "$work/c.yaml"
    [ $((SECONDS - started)) -le 62 ] || fail "took $((SECONDS - started)) s"
    says "ODD h2: nothing can be started there"
    [ "$(grep -c ODD "$work/err")" = 1 ] || fail "$(cat "$work/err")"
    echo "a host that does not answer is named after $((SECONDS - started)) s"
    exit 0
fi
hosts_up 4 1000 200
printf 'h%d\n' 0 1 2 3 >"$work/hosts"

# look CODE [--set ...]: from h0, over all four; what is odd in $odd.
look() {
    local wanted=$1 started=$SECONDS
    shift
    expect "$wanted" on h0 "${preflight[@]}" --hostfile "$work/hosts" --site "$HOSTS_FOLDER/site.env" \
        "$work/c.yaml" -- --set run.stages=2 --set run.replicas=2 "$@"
    [ $((SECONDS - started)) -le 60 ] || fail "took $((SECONDS - started)) s"
    odd=$(grep '^ODD' "$work/out" || true)
}

# only FINDING...: exactly one host is odd, for this.
only() {
    [ "$(grep -c '^ODD' "$work/out")" = 1 ] && grep -Eq -- "^ODD $1" "$work/out" || fail "wanted only $1: $(cat "$work/out")"
}

look 0
[ -z "$odd" ] || fail "$(cat "$work/out")"
cat "$work/out"
# the switch gives 1 Gbit/s and 200 us at most, whatever the load
awk '/^h[0-3] / { n++; if ($(NF - 2) < 200 || $(NF - 1) > 125) { bad = 1 } } END { exit n != 4 || bad }' "$work/out" ||
    fail "faster than the links: $(cat "$work/out")"

tell "rate 2 50"
look 1
only 'h2 \(rank 2\): slow link: [0-9.]+ MB/s at best'
echo "$odd"
tell "rate 2 1000"

tell "delay 1 20000"
look 1
grep -q '^ODD h1 .*slow to answer' "$work/out" || fail "$(cat "$work/out")"
tell "delay 1 200"

# a private folder in place of the shared one, another base file, hardly any memory: seen by that host alone
mkdir -p "$work/run"
on h3 mount -t tmpfs none "$work/run"
look 1
only 'h3 \(rank 3\): a file that rank 0 wrote in the run folder .* is not visible'
on h3 umount "$work/run"
[ -z "$(ls -A "$work/run")" ] || fail "left in the run folder: $(ls -A "$work/run")"

cp "$model/model.safetensors" "$work/other"
printf '\001' | dd of="$work/other" bs=1 seek=$(($(stat -c %s "$work/other") - 3)) conv=notrunc 2>/dev/null
on h1 mount --bind "$work/other" "$model/model.safetensors"
look 1
only 'h1 \(rank 1\): its base file differs from that of most nodes \(layer 3 differs\)'
on h1 umount "$model/model.safetensors"

printf 'MemTotal: 64 kB\nMemAvailable: 16 kB\n' >"$work/meminfo"
on h2 mount --bind "$work/meminfo" /proc/meminfo
look 1
only 'h2 \(rank 2\): too little memory'
on h2 umount /proc/meminfo

for i in 0 1 2 3; do
    [ -z "$(left_on "h$i")" ] || fail "left on h$i: $(left_on "h$i")"
done
echo "four hosts: slow link, delay, private folder, other base file and little memory are each named"
