#!/usr/bin/env bash
# soak.sh STEPS: a long run of three tasks on 2x2, with validations and checkpoints: memory and open files of every rank are
# as in its first tenth when it ends.
. "$(dirname "$0")/../e2e/common.sh"
steps=${1:?how many steps in all}

make_tiny
cat >"$work/c.yaml" <<YAML
base: {path: "$model"}
run: {dir: "$work/run", seed: 3, steps: $((steps / 3)), stages: 2, replicas: 2, precision: f32, threads: 1, save_every: 100, valid_every: 100}
tasks:
  - {name: a, train: "$rows", valid: "$rows", valid_rows: 4, eos: false, prefix: {init: {random: 0.5}, length: 5}, batch: {examples: 4}}
  - {name: b, train: "$rows", eos: false, prefix: {init: {random: 0.1}, length: 3, mlp: {hidden: 8}}, batch: {examples: 2}}
  - {name: c, train: "$rows", eos: false, prefix: {init: {zero: true}, length: 6}, batch: {examples: 3, microbatch_tokens: 40}}
YAML
mpirun -n 4 "$FORERUN" train "$work/c.yaml" 2>"$work/err" &
python3 - $! "$work/run" "$((steps / 3))" <<'PY'
import collections, glob, json, os, sys, time

launcher, folder, steps = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
samples = collections.defaultdict(list)


def ranks():
    for path in glob.glob(folder + "/log/rank-*.slot"):
        fields = dict(word.split("=", 1) for word in open(path).read().split())
        if fields["status"] == "running":
            yield int(fields["pid"]), int(fields["step"])


def resident(pid):
    for line in open("/proc/%d/status" % pid):
        if line.startswith("VmRSS"):
            return int(line.split()[1])


def is_running(pid):
    """Whether there is such a process that has not ended; it may end, and be gone, at any moment."""
    try:
        return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


while is_running(launcher):
    for pid, step in ranks():
        try:
            samples[pid].append((step, resident(pid), len(os.listdir("/proc/%d/fd" % pid))))
        except (FileNotFoundError, ProcessLookupError):
            pass
    time.sleep(0.02)
if len(samples) != 4:
    sys.exit("FAILED: saw %d ranks, wanted 4" % len(samples))
for pid, seen in sorted(samples.items()):
    early = [s for s in seen if 0.05 * steps <= s[0] <= 0.2 * steps]
    late = [s for s in seen if s[0] >= 0.85 * steps]
    if not early or not late:
        sys.exit("FAILED: too few samples (%d early, %d late); use more steps" % (len(early), len(late)))
    memory = max(s[1] for s in late) - max(s[1] for s in early)
    # the fewest: one that is being written is open in some samples, one that leaked in all later ones
    files = min(s[2] for s in late) - min(s[2] for s in early)
    print("rank of pid %d: %d KiB early, %+d KiB late; %+d open files" % (pid, max(s[1] for s in early), memory, files))
    if memory > 1024 or files > 0:
        sys.exit("FAILED: memory or open files grow")
PY
wait $! || fail "$(tail -n 5 "$work/err")"
[ "$(cat "$work/run/latest")" = "checkpoint-$((steps / 3)).h5" ] || fail "latest is $(cat "$work/run/latest")"
