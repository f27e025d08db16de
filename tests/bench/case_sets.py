"""Cases sets and products: each instruction set of this processor, in both precisions, by turns in one run."""
import re
import subprocess

import machine
import ours
import report
import rounds
import rows

KINDS = [("f32", None), ("bf16", None), ("bf16", "quantised")]


def name_of(chosen, kind):
    """How a run is called in tables."""
    precision, weights = kind
    return f"{chosen}, {weights + ' weights, ' if weights else ''}{precision}"


def runner(bench, task, chosen, kind):
    """One for rounds.alternate."""
    return lambda seconds: rounds.sample(
        bench.ours.train(task, bench.steps, ours.ONE_RANK, limit=seconds, precision=kind[0], weights=kind[1],
                         environment={"FORERUN_ISA": chosen}), task["batch"]["examples"])


def obeyed(bench):
    """Sets that the program computes with when asked, and a note for each other; programs of before know no
    FORERUN_ISA."""
    found, notes = [], []
    for name in machine.sets():
        said = bench.ours.computes(bench.head(1), name)
        if said == name:
            found.append(name)
        else:
            notes.append(f"{name}: left out, with FORERUN_ISA={name} the program computes with {said}")
    return found, notes


def line_of(chosen, samples):
    """A set's line: rates of each kind, bf16 over f32, peak of quantised weights."""
    f32, bf16, quantised = (samples[name_of(chosen, kind)] for kind in KINDS)
    ratio = report.ratios(rounds.rates(bf16), rounds.rates(f32)) if f32 and bf16 else None
    rates = [report.spread(rounds.rates(part)) if part else None for part in (f32, bf16, quantised)]
    peaks = [max(s.peak_mib for s in part) if part else None for part in (f32, bf16, quantised)]
    return [chosen, *rates, ratio, *peaks]


def sets(bench, budget):
    """The training step, prefix of 32, batch 8, nothing shared."""
    chosen = bench.head(8 * bench.steps)
    task = bench.ours.task(rows.write(bench.work + "/head.jsonl", chosen), batch=bench.unshared)
    names, left_out = obeyed(bench)
    runners = {name_of(name, kind): runner(bench, task, name, kind) for name in names for kind in KINDS}
    samples, notes = rounds.alternate(runners, bench.rounds, budget, bench.log)
    notes = left_out + notes
    lines = [line_of(name, samples) for name in names]
    report.show("sets: training, 1 rank of 2 threads, tokens/s min / med / max; each set by FORERUN_ISA, by turns",
                ["", "f32", "bf16", "quantised, bf16", "bf16 / f32", "MiB f32", "bf16", "quantised"], lines)
    for note in notes:
        print("  " + note)
    return {"runs": {name: rounds.summary(part) for name, part in samples.items()}, "notes": notes,
            "bf16_over_f32": {line[0]: line[4] for line in lines},
            "quantised_mib": {line[0]: line[7] for line in lines}}, []


LAYER = re.compile(r"^a layer's maps (\S+) +m +(\d+) +f32 +([\d.]+) GFLOP/s +bf16 +([\d.]+) GFLOP/s")


def products(bench, budget):
    """GFLOP/s of the linear maps of SmolLM2, at 256 and 1,024 rows."""
    command = [bench.gemm, "--isa", "all", "--threads", "2", "--repeat", "0.01" if bench.quick else "0.3"]
    command += [word for m in (["8"] if bench.quick else ["256", "1024"]) for word in ("--m", m)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10 * budget).stdout.strip()
    print("\nproducts: both cores, each set by turns\n" + "".join(f"  {line}\n" for line in output.splitlines()), end="")
    found = [LAYER.match(line) for line in output.splitlines()]
    return {"lines": output.splitlines(),
            "layer": [{"set": m[1], "rows": int(m[2]), "f32_gflops": float(m[3]), "bf16_gflops": float(m[4])}
                      for m in found if m]}, []
