#!/usr/bin/env bash
# Which folders a run starts in: nothing is lost that a run or somebody else wrote, and a failed start is in nobody's way.
. "$(dirname "$0")/common.sh"

make_tiny
make_config 4 3 f32
run=$work/run
start() { "$FORERUN" train "$work/c.yaml" "$@"; }

# a start that fails after the folder is made; another one that is killed before its first checkpoint
echo '{"source_ids": [1], "target_ids": []}' >"$work/bad.jsonl"
expect 3 start --set tasks.t.train="$work/bad.jsonl"
[ -e "$run/lock" ] || fail "the failed start made no folder"
expect 0 start
cp "$run/prefix.h5" "$work/wanted.h5"

# what is left where a kill came before the first checkpoint: the next start just starts, old lines do not stay
rm "$run"/*.h5 "$run/latest"
sed -i 's/"loss":[^,]*/"loss":77/' "$run/metrics.jsonl"
: >"$run/best.h5.tmp.123"
expect 0 start
same "$work/wanted.h5" "$run/prefix.h5"
! grep -q '"loss":77,' "$run/metrics.jsonl" || fail "lines of the start before stay"

# a run with a checkpoint: refused, and the way is named
before=$(sha256sum "$run"/*.h5 "$run/latest" "$run/metrics.jsonl")
expect 2 start
says "it holds checkpoint-4.h5 of a run; pass --resume to go on with it, --overwrite to remove its files"
expect 2 start --overwrite --resume
says "--resume continues the run that --overwrite removes"
# ... and --overwrite loses nothing while the new run has not got all that it needs
expect 3 start --overwrite --set tasks.t.train="$work/bad.jsonl"
expect 2 start --overwrite --set run.step=1
expect 3 start --overwrite --set base.path="$work/none"
[ "$before" = "$(sha256sum "$run"/*.h5 "$run/latest" "$run/metrics.jsonl")" ] || fail "a failed start changed the older run"

# afresh: all of the older run is gone, and nothing of anybody else's
: >"$run/notes.txt"
: >"$run/checkpoint-4.h5.bak"
: >"$run/checkpoint-04.h5"
: >"$run/sweep.jsonl"
expect 0 start --overwrite --set run.steps=3 --set run.seed=9
[ ! -e "$run/checkpoint-4.h5" ] && [ ! -e "$run/sweep.jsonl" ] || fail "files of the older run stay"
[ -e "$run/checkpoint-3.h5" ] && [ "$(cat "$run/latest")" = checkpoint-3.h5 ] || fail "the new run has no checkpoint"
[ -e "$run/notes.txt" ] && [ -e "$run/checkpoint-4.h5.bak" ] && [ -e "$run/checkpoint-04.h5" ] || fail "files of others went"
[ "$(grep -c '"lr"' "$run/metrics.jsonl")" = 3 ] || fail "metrics of the older run stay"
# a prefix of the run that goes may be what the new one starts from
expect 0 start --overwrite --set tasks.t.prefix.init.file="$run/prefix.h5"
# an empty folder, and one that is not there, need nothing to be removed
mkdir "$work/empty"
expect 0 start --overwrite --set run.dir="$work/empty"
expect 0 start --overwrite --set run.dir="$work/a/new one"

# prefixes without a checkpoint are replaced by no resume and recommended none; a folder without results starts at step 0
cp -r "$run" "$work/results"
rm "$work/results"/checkpoint-*.h5 "$work/results/latest"
before=$(sha256sum "$work/results"/*.h5)
for option in --resume --resume=latest; do
    expect 6 start --set run.dir="$work/results" $option
    says "it holds prefix.h5 of a run and no checkpoint to go on from; choose another folder, where a new run can start from it"
    says "prefix: {init: {file: \"$work/results/prefix.h5\"}}, or pass --overwrite instead of --resume to remove its files"
done
expect 2 start --set run.dir="$work/results"
says "and no checkpoint to go on from"
says ", or pass --overwrite to remove its files and start anew"
! grep -q -- --resume "$work/err" || fail "recommends to resume nothing"
rm "$work/results/lock"
expect 2 start --set run.dir="$work/results" --overwrite
! grep -q -- --overwrite "$work/err" || fail "recommends to overwrite what may be anybody's"
[ "$before" = "$(sha256sum "$work/results"/*.h5)" ] || fail "prefixes of before are lost"
expect 0 start --set run.dir="$work/other" --set tasks.t.prefix.init.file="$work/results/prefix.h5"
# a best.h5 alone may be of a start that ended before its first checkpoint: it is kept, whatever lies there
results=$work/results
mv "$results/prefix.h5" "$results/best.h5"
cp "$results/best.h5" "$work/first.h5"
expect 2 start --set run.dir="$results"
says "it holds best.h5 of a run and no checkpoint"
# ... where it is while the new run has not got all that it needs, which may be this file
expect 3 start --set run.dir="$results" --resume --set tasks.t.train="$work/bad.jsonl"
cmp "$work/first.h5" "$results/best.h5"
# again NAME ARGUMENTS...: a start that keeps best.h5 under the name, and whose own result is lost before a checkpoint
again() {
    local name=$1
    shift
    cp "$results/best.h5" "$work/now.h5"
    expect 0 start --set run.dir="$results" --resume "$@"
    says "$results/best.h5 is of a start that ended before its first checkpoint; it is kept as $results/$name"
    says "starting at step 0"
    cmp "$work/now.h5" "$results/$name"
    rm -f "$results"/checkpoint-*.h5 "$results/latest"
    mv "$results/prefix.h5" "$results/best.h5"
}
again best.before.h5 --set tasks.t.prefix.init.file="$results/best.h5" --set run.seed=1
mkdir "$results/best.before-2.h5"
ln -s best.h5 "$results/best.before-3.h5"
again best.before-4.h5 --set run.seed=2
cp "$results/best.h5" "$work/second.h5"
again best.before-5.h5 --set run.seed=2
cmp "$work/second.h5" "$results/best.h5"
again best.before-5.h5 --set run.seed=2 # the same bytes are kept once
[ ! -e "$results/best.before-6.h5" ] || fail "the same bytes are kept twice"
cmp "$work/first.h5" "$results/best.before.h5"
rm -r "$results/best.before-2.h5" "$results/best.before-3.h5"
expect 0 start --set run.dir="$results" --overwrite
[ ! -e "$results/best.before.h5" ] && [ ! -e "$results/best.before-5.h5" ] || fail "--overwrite leaves best.before.h5"
rm -f "$results"/checkpoint-*.h5 "$results/latest" "$results/prefix.h5"
expect 0 start --set run.dir="$work/results" --resume="$run/$(cat "$run/latest")" \
    --set tasks.t.prefix.init.file="$run/prefix.h5"
rm -f "$work/results"/checkpoint-*.h5 "$work/results/latest" "$work/results/prefix.h5"
rm -f "$work/results/best.h5"
for dir in "$work/results" "$work/absent"; do
    expect 0 start --set run.dir="$dir" --resume
    says "resuming from nothing: starting at step 0"
done

# folders of others, also with names like a run's but without its lock, are refused, with --overwrite too
mkdir "$work/home" "$work/mine"
: >"$work/home/letter.txt"
cp "$work/c.yaml" "$work/mine/config.yaml"
for option in '' --overwrite; do
    expect 2 start --set run.dir="$work/home" $option
    says "it holds letter.txt, which no run wrote"
    expect 2 start --set run.dir="$work/mine" $option
    says "it holds config.yaml, which no run wrote"
done
cmp "$work/c.yaml" "$work/mine/config.yaml"
[ "$(ls "$work/home")" = letter.txt ] || fail "the folder was changed"

# a launcher's own logs are no run; its restarts go on with the new run, its first start does not
mkdir -p "$work/launched/log"
: >"$work/launched/log/launch.log"
expect 0 start --set run.dir="$work/launched"
expect 0 "$SOURCE/launch/run" -n 1 --forerun "$FORERUN" "$work/c.yaml" -- --set run.dir="$work/launched" \
    --set run.steps=2 --overwrite
[ "$(cat "$work/launched/latest")" = checkpoint-2.h5 ] || fail "launch/run did not start anew"

# a launcher's restart goes on where its own start was lost before its first checkpoint
cat >"$work/lost" <<'SH'
#!/usr/bin/env bash
case " $* " in *" --print-dir "*) exec "$FORERUN" "$@" ;; esac
[ ! -e "$LOST" ] || exec "$FORERUN" "$@"
: >"$LOST"
"$FORERUN" "$@" || exit
folder=$(dirname "$LOST")/lost.run
mv "$folder/prefix.h5" "$folder/best.h5"
rm "$folder"/checkpoint-*.h5 "$folder/latest"
kill -9 $$
SH
chmod +x "$work/lost"
export FORERUN LOST="$work/mark" FORERUN_RESTART_DELAY=0
expect 0 "$SOURCE/launch/run" -n 1 --forerun "$work/lost" "$work/c.yaml" -- --set run.dir="$work/lost.run"
[ -e "$work/lost.run/checkpoint-4.h5" ] && [ -e "$work/lost.run/best.before.h5" ] || fail "the restart did not start anew"
rm "$work/lost.run"/checkpoint-*.h5 "$work/lost.run/latest"
expect 6 "$SOURCE/launch/run" -n 1 --forerun "$FORERUN" "$work/c.yaml" -- --set run.dir="$work/lost.run"
[ -e "$work/lost.run/prefix.h5" ] || fail "a prefix of before is lost"

# while a run lives there, nothing is removed
cat >"$work/hold.py" <<'PY'
import fcntl, sys, time
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
PY
python3 "$work/hold.py" "$run/lock" >"$work/held" &
holder=$!
until [ -s "$work/held" ]; do sleep 0.05; done
before=$(sha256sum "$run"/*.h5)
code=0
start --overwrite 2>"$work/err" || code=$?
kill $holder
[ $code = 1 ] || fail "exit code $code: $(cat "$work/err")"
[ "$before" = "$(sha256sum "$run"/*.h5)" ] || fail "a run that lives lost its files"
