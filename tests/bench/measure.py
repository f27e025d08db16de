"""Train by the config on all layouts of two threads in turn and print speed and memory beside the peer's figures.

usage: measure.py FORERUN WORK PRECISION; WORK holds bench.yaml. Memory is the peak of the ranks' PSS added up, so that
what they share counts once.
"""
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

PEERS = [("PEFT, f32, sdpa", 169, 3086), ("PEFT, bf16, sdpa", 241, 2369), ("PEFT, bf16, eager (its fastest)", 297, 2463)]
FASTEST, FASTEST_MIB = PEERS[-1][1:]
# One process that has the machine to itself: threads stay on their cores and do not sleep between operators.
ALONE = {"OMP_WAIT_POLICY": "active", "OMP_PROC_BIND": "true"}
LAYOUTS = [("1 rank of 2 threads", 1, ALONE), ("2 ranks of 1 thread", 2, {"OMP_WAIT_POLICY": "passive"})]


def proportional_kib(program):
    """PSS of all processes of the program."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.realpath("/proc/%s/exe" % pid) == program:
                with open("/proc/%s/smaps_rollup" % pid) as file:
                    total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            pass
    return total


def run(program, work, ranks, environment):
    command = [program, "train", work + "/bench.yaml", "--set", "run.replicas=%d" % ranks,
               "--set", "run.threads=%d" % (2 // ranks)]
    if ranks > 1:
        command = ["mpirun", "-n", str(ranks)] + command
    shutil.rmtree(work + "/run", ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, env=dict(os.environ, **environment), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, proportional_kib(program))
        time.sleep(0.5)
    if process.returncode != 0:
        sys.exit("%s ended with %d" % (" ".join(command), process.returncode))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with open(work + "/run/metrics.jsonl") as file:
        steps = [step for step in map(json.loads, file) if "lr" in step][1:]
    return steps, peak / 1024, cpu


def main():
    program, work, precision = os.path.realpath(sys.argv[1]), sys.argv[2], sys.argv[3]
    print("%-38s %9s %9s %9s %10s" % ("", "min tok/s", "median", "max", "peak MiB"))
    results, notes = [], []
    for name, ranks, environment in LAYOUTS:
        steps, memory, cpu = run(program, work, ranks, environment)
        rates = [step["tokens_per_second"] for step in steps]
        median = statistics.median(rates)
        print("%-38s %9.0f %9.0f %9.0f %10.0f" % ("Forerun, %s, %s" % (precision, name), min(rates), median, max(rates), memory))
        notes.append("%s: %.2f of the peer's fastest tokens/s, %.2f of its memory; wall %.1f s over %d steps, CPU %.1f s "
                     "in all, start-up included" % (name, median / FASTEST, memory / FASTEST_MIB,
                                                    sum(step["seconds"] for step in steps), len(steps), cpu))
        results.append({"layout": name, "precision": precision, "tokens_per_second": [min(rates), median, max(rates)],
                        "peak_mib": memory, "cpu_seconds": cpu})
    for name, rate, peak in PEERS:
        print("%-38s %9s %9d %9s %10d" % (name, "", rate, "", peak))
    print("\n".join(notes))
    print(json.dumps(results))


main()
