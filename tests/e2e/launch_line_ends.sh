#!/usr/bin/env bash
# Text files as an editor of Windows leaves them (a mark in front, CR behind each line) are read like any other: host
# file, settings of the site, list of an array, config.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 2 2 f32
# windows FILE: its lines as such an editor writes them.
windows() {
    sed -i -e $'1s/^/\xef\xbb\xbf/' -e 's/$/\r/' "$1"
}

# dry OPTIONS...: the command of launch/run in $work/out.
dry() {
    expect 0 "$SOURCE/launch/run" --forerun "$FORERUN" --dry-run "$@" "$work/c.yaml"
}

# ---- the host file
printf 'one slots=2\ntwo\tslots=3   # the big one\n\n# none\n  three  \n' >"$work/hosts"
: >"$work/site.env"
dry --site "$work/site.env" --hostfile "$work/hosts"
cp "$work/out" "$work/plain"
grep -qF -- '-n 6 --host one:2\,two:3\,three:1 ' "$work/plain" || fail "$(cat "$work/plain")"
windows "$work/hosts"
dry --site "$work/site.env" --hostfile "$work/hosts"
cmp "$work/plain" "$work/out" || fail "another command: $(cat "$work/out")"
printf 'one slots=x\r\n' >"$work/bad"
expect 2 "$SOURCE/launch/run" --forerun "$FORERUN" --dry-run --hostfile "$work/bad" "$work/c.yaml"
says "says 'slots=x'; a line is: NAME slots=N"
expect 0 "$SOURCE/launch/preflight" --forerun "$FORERUN" --dry-run --site "$work/site.env" --hostfile "$work/hosts" \
    "$work/c.yaml"
grep -qF -- '--host one:2\,two:3\,three:1 ' "$work/out" || fail "$(cat "$work/out")"

# ---- settings of the site
printf 'FORERUN_TIMEOUT=77\nif true; then\n    FORERUN_KEEPALIVE="4 5 6"\nfi\n' >"$work/site.env"
dry -n 2 --site "$work/site.env"
cp "$work/out" "$work/plain"
grep -qF 'FORERUN_TIMEOUT=77 ' "$work/plain" || fail "$(cat "$work/plain")"
windows "$work/site.env"
dry -n 2 --site "$work/site.env"
cmp "$work/plain" "$work/out" || fail "another command: $(cat -v "$work/out")"

# ---- the list of an array
printf -- '--set run.steps=1\n\n# none\n--set run.steps=2\n' >"$work/list"
windows "$work/list"
entries=$(ROOT=$SOURCE bash -c '. "$ROOT/launch/slurm/common.sh" && entries "$1"' bash "$work/list")
[ "$entries" = $'--set run.steps=1\n--set run.steps=2' ] || fail "entries: $(cat -v <<<"$entries")"

# ---- the config
expect 0 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/plain_run"
windows "$work/c.yaml"
expect 0 "$FORERUN" train "$work/c.yaml" --set "run.dir=$work/windows_run"
same "$work/plain_run/prefix.h5" "$work/windows_run/prefix.h5"
expect 0 "$SOURCE/launch/run" -n 1 --forerun "$FORERUN" "$work/c.yaml"
same "$work/plain_run/prefix.h5" "$work/run/prefix.h5"
echo "line ends: files of Windows are read like any other"
