"""Case loss: wall time to the held-out loss that the peer reaches in 50 steps, start-up included on both sides; the
time of validations is left out on both, and told. Forerun's includes tokenisation, the peer is given ids."""
import json

import report
import rounds
import rows

STEPS, MOST_STEPS, VALID_ROWS, EVERY = 50, 80, 100, 2
# 16 tokens: the prefix starts as their keys and values
INIT = "Write one short sentence in plain English that says what all the following data describes:"


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
    """50 steps, then the loss of the validation rows; `seconds` are without that."""
    steps = 2 if bench.quick else STEPS
    program, model = bench.ours.program, bench.ours.model
    train = rows.write(bench.work + "/ids.jsonl", rows.tokenised(program, model, chosen[:8 * steps]))
    ids = rows.write(bench.work + "/valid-ids.jsonl", rows.tokenised(program, model, valid))
    measured = bench.peer.train(bench.fastest_kind(), train, steps, length=len(init), valid=ids, init=init,
                                limit=budget)
    lines = [(when, json.loads(text)) for when, text in measured.lines]
    if not lines or "valid_loss" not in lines[-1][1]:
        raise RuntimeError(f"the peer was not finished in {budget:.0f} s; it did {len(lines)} of {steps} steps")
    return {"kind": bench.fastest, "steps": steps, "valid_loss": lines[-1][1]["valid_loss"], "seconds": lines[-2][0],
            "with_validation": lines[-1][0], "first_loss": lines[0][1]["loss"], "peak_mib": round(measured.peak_mib),
            "cpu_seconds": round(measured.cpu, 1), "tokens": [line["tokens"] for _, line in lines[:-1]]}


def our_run(bench, task, target, budget):
    """Train until a validation loss is at most the target."""
    steps, every = (4, 1) if bench.quick else (MOST_STEPS, EVERY)
    task = dict(task, stop_below=target + 1e-6)
    measured = bench.ours.train(task, steps, bench.layout, limit=budget, valid_every=every)
    points = course(measured)
    done = rounds.steps_of(measured)
    at, _, wall, alone = next((p for p in points if p[1] <= target), (None, None, None, None))
    return {"layout": bench.layout.name, "steps": at, "valid_loss": points[-1][1] if points else None, "seconds": alone,
            "with_validation": wall, "first_loss": done[0]["loss"] if done else None,
            "peak_mib": round(measured.peak_mib), "cpu_seconds": round(measured.cpu, 1),
            "tokens": [line["tokens"] for line in done],
            "points": [[step, round(loss, 4), round(when, 2)] for step, loss, when, _ in points]}


def loss(bench, budget):
    """Init from text, lr 1e-2, batch 8, both in Forerun's order of rows."""
    if not bench.text:
        return {"skipped": "needs rows of text"}, []
    init = rows.ids_of(bench.ours.program, bench.ours.model, [INIT])[0]
    chosen = bench.head(8 * MOST_STEPS)
    valid = rows.read(bench.data + "/dev.jsonl", 8 if bench.quick else VALID_ROWS)
    task = bench.ours.task(rows.write(bench.work + "/loss.jsonl", chosen), length=len(init),
                           valid=rows.write(bench.work + "/valid.jsonl", valid))
    task["prefix"]["init"] = {"text": INIT}
    theirs = None
    if bench.peer is not None:
        theirs = peer_run(bench, [chosen[i] for i in rows.shuffled(len(chosen))], valid, init, 0.6 * budget)
    target = bench.target or (theirs and theirs["valid_loss"])
    if target is None:
        return {"skipped": "needs --peer or --target LOSS"}, []
    mine = our_run(bench, task, target, 0.5 * budget)
    sides = [(f"Forerun, bf16, {mine['layout']}", mine)]
    sides += [("PEFT, {}, {}".format(*theirs["kind"]), theirs)] if theirs else []
    columns = ("steps", "valid_loss", "seconds", "with_validation", "first_loss")
    report.show(f"loss: seconds to a validation loss of {target:.4f} ({len(valid)} rows), prefix of {len(init)}",
                ["", "steps", "loss", "s", "with validation", "loss of step 1"],
                [[name] + [side[column] for column in columns] for name, side in sides])
    if theirs and mine["tokens"][:theirs["steps"]] != theirs["tokens"][:len(mine["tokens"])]:
        raise RuntimeError(f"not the same rows: {mine['tokens']}, {theirs['tokens']}")
    ratio = theirs["seconds"] / mine["seconds"] if theirs and mine["seconds"] else None
    return ({"target": target, "peer": theirs, "ours": mine, "ratio": ratio},
            [report.bar("time to the peer's loss of 50 steps: times faster", 3.0, ratio)])
