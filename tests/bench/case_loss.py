"""Case loss: wall time to the held-out loss that the peer reaches in 50 steps, start-up included on both sides."""
import json

import ours
import report
import rows

STEPS, MOST_STEPS, VALID_ROWS, EVERY = 50, 80, 100, 5
# 16 tokens: the prefix starts as their keys and values
INIT = "Write one short sentence in plain English that says what the following data describes:"


def course(measured):
    """[(step, valid loss, wall seconds, the same without validations)] of Forerun's metrics."""
    found, validating, before = [], 0.0, 0.0
    for when, text in measured.lines:
        line = json.loads(text)
        if "valid_loss" in line:
            validating += when - before
            found.append((line["step"], line["valid_loss"], when, when - validating))
        before = when
    return found


def peer_run(bench, chosen, valid, init, budget):
    """(valid loss, wall seconds without evaluation, with it, first step's loss, tokens a step)."""
    steps = 2 if bench.quick else STEPS
    program, model = bench.ours.program, bench.ours.model
    train = rows.write(bench.work + "/ids.jsonl", rows.tokenised(program, model, chosen[:8 * steps]))
    ids = rows.write(bench.work + "/valid-ids.jsonl", rows.tokenised(program, model, valid))
    measured = bench.peer.train(bench.fastest_kind(), train, steps, length=len(init), valid=ids, init=init, limit=budget)
    lines = [(when, json.loads(text)) for when, text in measured.lines]
    if not lines or "valid_loss" not in lines[-1][1]:
        raise RuntimeError(f"the peer was not finished in {budget:.0f} s; it did {len(lines)} of {steps} steps")
    return {"kind": bench.fastest, "steps": steps, "valid_loss": lines[-1][1]["valid_loss"], "seconds": lines[-2][0],
            "with_validation": lines[-1][0], "first_loss": lines[0][1]["loss"], "peak_mib": round(measured.peak_mib),
            "cpu_seconds": round(measured.cpu, 1), "tokens": [line["tokens"] for _, line in lines[:-1]]}


def our_run(bench, task, target, budget, **run):
    """Train until a validation loss is at most the target."""
    steps = 4 if bench.quick else MOST_STEPS
    measured = bench.ours.train(dict(task, stop_below=target + 1e-6), steps, run.pop("layout", ours.ONE_RANK),
                                limit=budget, valid_every=1 if bench.quick else EVERY, **run)
    points = course(measured)
    steps_done = [line for line in (json.loads(text) for _, text in measured.lines) if "tokens" in line]
    reached = next((p for p in points if p[1] <= target), None)
    return {"points": [[step, round(loss, 4), round(wall, 2)] for step, loss, wall, _ in points],
            "finished": measured.finished,
            "first_loss": steps_done[0]["loss"] if steps_done else None, "tokens": [line["tokens"] for line in steps_done],
            "reached_at": reached and reached[0], "with_validation": reached and reached[2],
            "seconds": reached and reached[3], "peak_mib": round(measured.peak_mib), "cpu_seconds": round(measured.cpu, 1)}


def loss(bench, budget):
    """Init from text, lr 1e-2, batch 8, both in Forerun's order of rows."""
    if not bench.text:
        return {"skipped": "needs rows of text"}, []
    init = rows.ids_of(bench.ours.program, bench.ours.model, [INIT])[0]
    chosen = bench.head(8 * MOST_STEPS)
    valid = rows.read(bench.data + "/dev.jsonl", 8 if bench.quick else VALID_ROWS)
    task = bench.ours.task(rows.write(bench.work + "/loss.jsonl", chosen), length=len(init), batch=bench.unshared,
                           valid=rows.write(bench.work + "/valid.jsonl", valid))
    task["prefix"]["init"] = {"text": INIT}
    theirs = None
    if bench.peer is not None:
        theirs = peer_run(bench, [chosen[i] for i in rows.shuffled(len(chosen))], valid, init, 0.6 * budget)
    target = bench.target or (theirs and theirs["valid_loss"])
    if target is None:
        return {"skipped": "needs --peer or --target LOSS"}, []
    runs = {layout.name: our_run(bench, task, target, 0.2 * budget, layout=layout)
            for layout in (ours.ONE_RANK, ours.REPLICAS)}
    lines = [[name, run["reached_at"], run["points"][-1][1] if run["points"] else None, run["seconds"], run["with_validation"], run["first_loss"]]
             for name, run in runs.items()]
    if theirs:
        lines.append([theirs["kind"], theirs["steps"], theirs["valid_loss"], theirs["seconds"],
                      theirs["with_validation"], theirs["first_loss"]])
    report.show(f"loss: seconds to a validation loss of {target:.4f} ({len(valid)} rows), prefix of {len(init)}",
                ["", "steps", "loss", "s", "with validation", "loss of step 1"], lines)
    fastest = min((run["seconds"] for run in runs.values() if run["seconds"]), default=None)
    ratio = theirs["seconds"] / fastest if theirs and fastest else None
    done = next(iter(runs.values()))["tokens"]
    if theirs and done[:theirs["steps"]] != theirs["tokens"][:len(done)]:
        raise RuntimeError("not the same rows")
    return ({"target": target, "peer": theirs, "ours": runs, "ratio": ratio},
            [report.bar("time to the peer's loss of 50 steps: times faster", 3.0, ratio)])
