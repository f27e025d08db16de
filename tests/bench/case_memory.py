"""Cases memory and start: the smallest peak at a fair speed; command to first step."""
import json
import statistics
import time

import ours
import report
import rounds
import rows

PEER_MIB = 2463  # PEFT, bf16, eager, its fastest, on E2E rows
FAIR = 0.8  # of the full-speed throughput
MICROBATCHES = (512, 256, 128, 64)


def settings(bench):
    """(weights, recompute) worth trying with the keys that this build has."""
    held = [None] + [w for w in ("quantised",) if bench.ours.allows("weights", w)]
    again = [None] + [r for r in ("mlp", "layer") if bench.ours.allows("recompute", r)]
    return [(weights, recompute) for weights in held for recompute in again]


def memory(bench, budget):
    """Peak memory of training against microbatch size, recomputation and how weights are held."""
    steps = min(bench.steps, 4)
    task = bench.ours.task(rows.write(bench.work + "/head.jsonl", bench.head(8 * steps)), batch=bench.unshared)
    began = time.monotonic()

    def run(tokens, weights, recompute):
        batch = dict(task["batch"], microbatch_tokens=tokens)
        extra = {"recompute": recompute} if recompute else {}
        return rounds.sample(bench.ours.train(dict(task, batch=batch), steps, ours.ONE_RANK, weights=weights,
                                              precision="bf16", limit=max(20.0, budget / 4), **extra))

    full = run(1024, None, None)
    if full is None:
        raise RuntimeError("two steps at full speed took too long")
    tries = []
    for weights, recompute in settings(bench):
        for tokens in MICROBATCHES[-1:] if bench.quick else MICROBATCHES:
            if time.monotonic() - began < budget:
                got = run(tokens, weights, recompute)
                if got is None:
                    continue
                tries.append({"weights": weights or "bf16", "recompute": recompute or "none",
                              "microbatch_tokens": tokens, "peak_mib": round(got.peak_mib),
                              "speed": round(got.tokens_per_second / full.tokens_per_second, 3)})
    again = run(1024, None, None) or full  # a machine that became slower or faster meanwhile shows here
    report.show(f"memory: full speed {full.tokens_per_second:.0f} tokens/s, {full.peak_mib:.0f} MiB; again at the end "
                f"{again.tokens_per_second:.0f}", ["weights", "recompute", "microbatch", "peak MiB", "of full speed"],
                [list(t.values()) for t in tries])
    result = {"full": rounds.summary([full, again]), "tries": tries}
    bars = []
    for weights, part in (("bf16", 6), ("quantised", 9)):
        fair = [t for t in tries if t["weights"] == weights and t["speed"] >= FAIR]
        best = min(fair, key=lambda t: t["peak_mib"]) if fair else None
        result["best_" + weights] = best
        bars.append(report.bar(f"peak MiB, {weights} weights, at {FAIR} of full speed", PEER_MIB / part,
                               best and best["peak_mib"], at_most=True))
    return result, bars


def start(bench, _budget):
    """Seconds from the command to the beginning and end of step 1, token cache and page cache warm."""
    task = bench.ours.task(bench.data + "/train.jsonl")
    begins, ends = [], []
    for number in range(3 if bench.quick else 6):
        measured = bench.ours.train(task, 1, keep_cache=True, limit=300.0)
        when, text = next((when, text) for when, text in measured.lines if "tokens" in json.loads(text))
        if number > 0:  # the first run writes the cache
            begins.append(when - json.loads(text)["seconds"])
            ends.append(when)
    report.show("start: seconds from the command, min / med / max", ["", "s"],
                [["step 1 begins", report.spread(begins, 2)], ["step 1 is done", report.spread(ends, 2)]])
    return ({"begins": report.spread(begins, 3), "done": report.spread(ends, 3)},
            [report.bar("seconds from the command to the first step", 1.5, statistics.median(begins), at_most=True)])
