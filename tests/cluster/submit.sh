#!/usr/bin/env bash
# submit --dry-run prints what a submission runs, in words a shell reads back; submit refuses what can't work.
# A recording sbatch stands for Slurm.
. "$(dirname "$0")/../e2e/common.sh"

# The tree at a path with a space, and an sbatch, scontrol and scancel that write down how they are called.
mkdir "$work/the tree" "$work/bin"
cp -r "$SOURCE/launch" "$work/the tree/"
mkdir -p "$work/the tree/build/release"
ln -s "$FORERUN" "$work/the tree/build/release/forerun"
rm -f "$work/the tree/launch/site.env"
submit="$work/the tree/launch/slurm/submit"
export calls="$work/calls"
for program in sbatch scontrol scancel; do
    cat >"$work/bin/$program" <<'SH'
#!/usr/bin/env bash
printf '%q ' "${0##*/}" "$@" | sed 's/ $/\n/' >>"$calls"
if [ "${0##*/}" = sbatch ]; then
    n=$(grep -c ^sbatch "$calls")
    [ "$n" != "${refuse:-0}" ] || exit 1
    echo "10$n;cluster"
fi
SH
    chmod +x "$work/bin/$program"
done
ln -s "$FORERUN" "$work/a forerun"
export PATH="$work/bin:$PATH"
cd "$work"
cat >"a config.yaml" <<'YAML'
# run: {dir: "not this"}
base: {path: "tiny"}
run:
  seed: 3
  # dir: nor this
  dir: "runs/of mine" # but this
  steps: 5
tasks:
  - name: t
    train: rows.jsonl
    eos: false
    prefix: {init: {random: 0.5}, length: 5}
YAML

# dry ARGUMENTS...: what --dry-run prints, in $work/out; nothing is submitted.
dry() {
    : >"$calls"
    expect 0 "$submit" --dry-run "$@"
    [ ! -s "$calls" ] || fail "a dry run called: $(cat "$calls")"
}

# prints WORD...: one line of it is these words, quoted for a shell.
prints() {
    local line words
    while IFS= read -r line; do
        [[ $line != \#* && $line != \|* && -n $line ]] || continue
        eval "words=($line)"
        [ "$(printf '<%s>' "${words[@]}")" != "$(printf '<%s>' "$@")" ] || return 0
    done <"$work/out"
    cat "$work/out" >&2
    fail "no line is: $(printf '%q ' "$@")"
}

# shows SCRIPT: every line of the batch script is printed.
shows() {
    local script="$work/the tree/launch/slurm/$1"
    diff <(sed 's/^| \{0,1\}//;t;d' "$work/out") "$script" >"$work/err" || fail "$1 is not shown: $(cat "$work/err")"
}

# as_submitted: a real submission with the same arguments calls what the dry run printed (but for ids and the time).
as_submitted() {
    : >"$calls"
    grep -E '^(sbatch|scontrol)' "$work/out" | sed -E 's/chain-[0-9-]+/chain-X/g; s/JOB([0-9])/10\1/g' >"$work/dry"
    expect 0 "$submit" "$@"
    sed -E 's/chain-[0-9-]+/chain-X/g' "$calls" | diff "$work/dry" - >"$work/err" ||
        fail "submitted otherwise than shown: $(cat "$work/err")"
}

batch=$work/the\ tree/launch/slurm
root=(--root "$work/the tree")

dry "a config.yaml"
prints sbatch --parsable --nodes=1 --ntasks=1 --signal=B:USR1@300 "$batch/job.sbatch" "${root[@]}" "a config.yaml"
prints "$work/the tree/launch/run" -n 1 "a config.yaml"
shows job.sbatch
as_submitted "a config.yaml"
[ "$(cat "$work/out")" = 101 ] || fail "submit printed $(cat "$work/out"), wanted the job's id"

form=(--nodes 2 --ntasks 4 --time 2:00:00 --partition long --signal-before 600 --requeue --restarts 3
    --forerun "$work/a forerun" --sbatch --mem=4G --sbatch "--comment=two words" "a config.yaml" --
    --set "tasks.t.template=it's {source}{target}")
dry "${form[@]}"
own=(--restarts 3 --forerun "$work/a forerun")
prints sbatch --parsable --nodes=2 --ntasks=4 --signal=B:USR1@600 --time=2:00:00 --partition=long --mem=4G \
    "--comment=two words" "$batch/requeue.sbatch" "${root[@]}" "${own[@]}" "a config.yaml" -- \
    --set "tasks.t.template=it's {source}{target}"
prints "$work/the tree/launch/run" -n 4 "${own[@]}" "a config.yaml" -- --set "tasks.t.template=it's {source}{target}"
shows requeue.sbatch
as_submitted "${form[@]}"

form=(--srun --ntasks 2 --forerun "$work/a forerun" "a config.yaml" -- --set run.steps=7)
dry "${form[@]}"
prints srun --ntasks=2 --mpi=pmix --kill-on-bad-exit=0 --wait=30 "$work/a forerun" train "a config.yaml" --resume \
    --set run.steps=7
as_submitted "${form[@]}"

# GPUs: as many ranks, asked of Slurm for each node, placed and bound by launch/run
form=(--nodes 2 --gpus-per-node 4 "a config.yaml")
dry "${form[@]}"
prints sbatch --parsable --nodes=2 --ntasks=8 --signal=B:USR1@300 --ntasks-per-node=4 --gres=gpu:4 "$batch/job.sbatch" \
    "${root[@]}" --gpus-per-node 4 "a config.yaml"
prints "$work/the tree/launch/run" -n 8 --gpus-per-node 4 "a config.yaml"
grep -q "^env .* mpirun -n 8 .* --map-by ppr:4:node:oversubscribe .*/launch/near-gpu 4 " "$work/out" || fail "$(cat "$work/out")"
[ ! -s "$work/err" ] || fail "submit says: $(cat "$work/err")"
as_submitted "${form[@]}"
form=(--nodes 2 --ntasks 10 --gpus-per-node 4 --srun --sbatch --gres=gpu:a100:4 "a config.yaml")
dry "${form[@]}"
prints sbatch --parsable --nodes=2 --ntasks=10 --signal=B:USR1@300 --ntasks-per-node=5 --gres=gpu:4 --gres=gpu:a100:4 \
    "$batch/job.sbatch" "${root[@]}" --srun --gpus-per-node 4 "a config.yaml"
prints srun --ntasks=10 --ntasks-per-node=5 --mpi=pmix --kill-on-bad-exit=0 --wait=30 \
    "$work/the tree/build/release/forerun" train "a config.yaml" --resume
says "5 ranks on a host with 4 GPUs: ranks share them"
as_submitted "${form[@]}"
dry --gpus-per-node 4 --ntasks 1 "a config.yaml"
says "1 rank on a host with 4 GPUs: some have nothing to do"

form=(--chain 3 "a config.yaml")
dry "${form[@]}"
[ "$(grep -c ^sbatch "$work/out")" = 3 ] || fail "a chain of three: $(cat "$work/out")"
grep -q '^sbatch .*--job-name=forerun-chain-.* --hold .*/job.sbatch .*--chain forerun-chain-' "$work/out" ||
    fail "the first link is not held: $(cat "$work/out")"
grep -q '^sbatch .*--dependency=afterany:JOB2 ' "$work/out" || fail "the third waits for no second"
prints scontrol release JOB1
shows job.sbatch
as_submitted "${form[@]}"
: >"$calls"
refuse=3 expect 1 "$submit" "${form[@]}"
grep -qx 'scancel 101 102' "$calls" || fail "two links of a broken chain stay: $(cat "$calls")"

cat >list <<'LIST'
# comment
--set tasks.t.optimizer.lr=1e-2

--set "run.dir=own folder"
LIST
form=(--array list --parallel 2 "a config.yaml" -- --set run.steps=7)
dry "${form[@]}"
prints sbatch --parsable --nodes=1 --ntasks=1 --signal=B:USR1@300 --array=1-2%2 "$batch/array.sbatch" "${root[@]}" \
    --list list "a config.yaml" -- --set run.steps=7
prints "$work/the tree/launch/run" -n 1 "a config.yaml" -- --set run.steps=7 --set tasks.t.optimizer.lr=1e-2 \
    --set "run.dir=runs/of mine/1"
prints "$work/the tree/launch/run" -n 1 "a config.yaml" -- --set run.steps=7 --set "run.dir=own folder"
shows array.sbatch
as_submitted "${form[@]}"

# a site's settings: from launch/site.env, or the file given
echo 'export SBATCH_ACCOUNT=site' >"$work/the tree/launch/site.env"
cat >"$work/bin/sbatch" <<'SH'
#!/bin/sh
echo "account $SBATCH_ACCOUNT"
SH
expect 0 "$submit" "a config.yaml"
grep -qx 'account site' "$work/out" || fail "site.env is not read"
echo 'SBATCH_ACCOUNT=other' >"$work/other site"
expect 0 "$submit" --site "other site" "a config.yaml"
grep -qx 'account other' "$work/out" || fail "--site is not read"

# refused: exit code 2 and the reason
refuses() {
    local reason=$1
    shift
    expect 2 "$submit" --dry-run "$@"
    says "$reason"
}
refuses "no CONFIG given"
refuses "cannot read the config none.yaml" none.yaml
refuses "unknown option --node" --node 2 "a config.yaml"
refuses "--ntasks is '0'; a whole number from 1" --ntasks 0 "a config.yaml"
refuses "found --ntasks 2 on --nodes 3" --nodes 3 --ntasks 2 "a config.yaml"
refuses "--gpus-per-node '0' is not a whole number from 1 to 1000" --gpus-per-node 0 "a config.yaml"
refuses "--gpus-per-node 'x' is not a whole number" --gpus-per-node x "a config.yaml"
refuses "--gpus-per-node '2000' is not a whole number" --gpus-per-node 2000 "a config.yaml"
refuses "found --ntasks 2 on --nodes 3" --nodes 3 --ntasks 2 --gpus-per-node 4 "a config.yaml"
refuses "found --requeue and --chain" --requeue --chain 2 "a config.yaml"
refuses "found --resume=x.h5 among the train arguments" "a config.yaml" -- --resume=x.h5
refuses "train arguments after --" "a config.yaml" --set run.steps=3
refuses "--parallel goes with --array" --parallel 2 "a config.yaml"
refuses "cannot read the site file" --site none "a config.yaml"
for limit in 5 5:00 0:05:00 0-0:05 0-0:05:00 4:59; do
    refuses "300 s before a limit of" --time $limit "a config.yaml"
done
refuses "a limit of 90000 s" --time 1-1 --signal-before 90000 "a config.yaml"
expect 0 "$submit" --dry-run --time 6 "a config.yaml"
expect 0 "$submit" --dry-run --time UNLIMITED "a config.yaml"
: >empty
refuses "empty has no entries" --array empty "a config.yaml"
printf '%s\n' '--set run.dir=x' '--set run.dir=x' >twice
refuses "entries 1 and 2 train into the same run.dir x" --array twice "a config.yaml"
echo '--set "run.dir=x' >quotes
refuses "quotes, entry 1: unmatched quotes" --array quotes "a config.yaml"
echo 'none.yaml --set run.dir=x' >foreign
refuses "foreign, entry 1: cannot read the config none.yaml" --array foreign "a config.yaml"
# shellcheck disable=SC2016
echo '--set "run.dir=$(touch evaluated)"' >hostile
expect 0 "$submit" --dry-run --array hostile "a config.yaml"
[ ! -e evaluated ] || fail "a list is evaluated by the shell"
# what the program would refuse is refused before it waits in the queue
grep -v 'dir:' "a config.yaml" >bare.yaml
refuses "run.dir" bare.yaml
expect 0 "$submit" --dry-run bare.yaml -- --set run.dir=x
refuses "run.stepps" "a config.yaml" -- --set run.stepps=3
echo '--set run.dir=x --set tasks.other.optimizer.lr=1' >unknown
refuses "other" --array unknown "a config.yaml"
refuses "no program" --forerun none "a config.yaml"

echo "submit: every form is shown as it is submitted; what can't work is refused"
