"""Several runners alternately, round by round, within a time budget."""
import json
import time
from dataclasses import dataclass

import report

SLOW, LEAST = 5, 90.0  # a runner that needs more than a fifth of a case's time, and than 90 s, is stopped


@dataclass
class Sample:
    """One run: useful tokens and examples a second over all steps but the first, and what the process took."""
    tokens_per_second: float
    examples_per_second: float
    tokens: list  # of every step
    target_share: float  # target tokens of all tokens; 0: not told
    seconds: float  # of the steps counted
    wall: float
    cpu: float
    peak_mib: float
    finished: bool


def steps_of(measured):
    """The lines of steps, as objects."""
    return [line for line in (json.loads(text) for _, text in measured.lines) if "tokens" in line]


def sample(measured, examples=8):
    """None if fewer than two steps were done."""
    steps = steps_of(measured)
    kept = [step for step in steps if step["step"] > 1]
    if not kept:
        return None
    seconds = sum(step["seconds"] for step in kept)
    tokens = [step["tokens"] for step in steps]
    return Sample(sum(step["tokens"] for step in kept) / seconds, examples * len(kept) / seconds, tokens,
                  sum(step.get("target_tokens", 0) for step in steps) / sum(tokens), seconds,
                  measured.wall, measured.cpu, measured.peak_mib, measured.finished)


def run_once(name, runner, limit, notes):
    """[sample], or [] if not even two steps were done in time; a note if it was stopped."""
    result = runner(limit)
    if result is None or not result.finished:
        done = len(result.tokens) if result else "fewer than 2"
        notes.append(f"{name}: not finished in {limit:.0f} s, {done} steps done")
    return [result] if result else []


def worth_repeating(samples, rivals):
    """Names that finished, less those rivals that the best of them beats twofold."""
    rate = {name: part[-1].tokens_per_second for name, part in samples.items() if part}
    best = max((rate[name] for name in rivals if name in rate), default=0.0)
    return [name for name in rate if name not in rivals or rate[name] > best / 2]


def alternate(runners, n_rounds, budget, log=print, rivals=()):
    """runners: name -> function(limit in seconds) -> Sample or None. Of the rivals only the fastest matters.

    Returns name -> list of samples, one a round, and notes. Every runner runs once even if the budget is spent;
    no round is begun that would go beyond it."""
    samples, notes = {name: [] for name in runners}, []
    names, began, last = list(runners), time.monotonic(), 0.0
    for number in range(n_rounds):
        start = time.monotonic()
        if number > 0 and start - began + last > budget:
            notes.append(f"{number} of {n_rounds} rounds in {budget:.0f} s")
            break
        for name in names:
            samples[name] += run_once(name, runners[name], max(LEAST, budget / SLOW), notes)
            if samples[name]:
                log(f"    round {number + 1}: {name}: {samples[name][-1].tokens_per_second:.0f} tokens/s")
        if number == 0:
            names = worth_repeating(samples, rivals)
            notes += [f"{name}: one round only, it is too slow" for name in runners
                      if samples[name] and name not in names]
        last = time.monotonic() - start
    return samples, notes


HEADER = ["", "tok/s min / med / max", "ex/s med", "CPU s / wall s", "peak MiB"]


def table_line(name, samples):
    """A runner's samples in a table."""
    if not samples:
        return [name, "not finished", None, None, None]
    middle = sorted(samples, key=lambda s: s.wall)[len(samples) // 2]
    return [name, report.spread(s.tokens_per_second for s in samples),
            report.spread((s.examples_per_second for s in samples), 2)[1], f"{middle.cpu:.0f} / {middle.wall:.0f}",
            max(s.peak_mib for s in samples)]


def show(title, samples, notes):
    """All runners' samples, and what went otherwise than planned."""
    report.show(title, HEADER, [table_line(name, part) for name, part in samples.items()])
    for note in notes:
        print("  " + note)


def summary(samples):
    """The same for JSON."""
    if not samples:
        return {"finished": False}
    return {"finished": True, "tokens_per_second": report.spread(s.tokens_per_second for s in samples),
            "examples_per_second": report.spread((s.examples_per_second for s in samples), 3),
            "rounds": [round(s.tokens_per_second, 1) for s in samples],
            "cpu_seconds": report.spread((s.cpu for s in samples), 3),
            "wall_seconds": report.spread((s.wall for s in samples), 3),
            "peak_mib": round(max(s.peak_mib for s in samples))}


def rates(samples, what="tokens_per_second"):
    """One figure of each round."""
    return [getattr(s, what) for s in samples]
