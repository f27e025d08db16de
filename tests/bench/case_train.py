"""Cases train, ranks and shared: Forerun's layouts and the peer alternately on the same rows."""
import limit
import ours
import report
import rounds
import rows
import theirs

LAYOUTS = [("bf16", ours.ONE_RANK), ("bf16", ours.REPLICAS), ("bf16", ours.STAGES), ("f32", ours.ONE_RANK),
           ("f32", ours.REPLICAS)]


def name_of(precision, layout):
    """How a run of ours is called in tables."""
    return f"Forerun, {precision}, {layout.name}"


def our_runner(bench, task, precision, layout=ours.ONE_RANK, steps=None):
    """A runner for rounds.alternate."""
    return lambda seconds: rounds.sample(
        bench.ours.train(task, steps or bench.steps, layout, limit=seconds, precision=precision),
        task["batch"]["examples"])


def peer_runners(bench, chosen, kinds=theirs.KINDS, batches=(8,)):
    """One for each kind of the peer and size of its steps, none without a peer; the rows in Forerun's order."""
    if bench.peer is None:
        return {}
    ids = rows.tokenised(bench.ours.program, bench.ours.model, [chosen[i] for i in rows.shuffled(len(chosen))])
    path = rows.write(bench.work + "/ids.jsonl", ids)
    return {theirs.name_of(kind) + (f", batch {size}" if size != 8 else ""): lambda seconds, kind=kind, size=size:
            rounds.sample(bench.peer.train(kind, path, len(chosen) // size, limit=seconds, batch=size), size)
            for kind in kinds for size in batches}


def interleave(first, second):
    """Both dictionaries' entries by turns."""
    a, b = list(first.items()), list(second.items())
    mixed = [pair for both in zip(a, b) for pair in both]
    return dict(mixed + a[len(b):] + b[len(a):])


def check_same_rows(samples, one, other):
    """Both took the same tokens in every step."""
    a, b = samples.get(one), samples.get(other)
    if a and b and a[0].tokens != b[0].tokens[:len(a[0].tokens)]:
        raise RuntimeError(f"not the same rows: {one} {a[0].tokens}, {other} {b[0].tokens}")


def best_of(samples, names):
    """The name with the highest median; None if none was finished."""
    done = [name for name in names if samples.get(name)]
    return max(done, key=lambda name: report.spread(rounds.rates(samples[name]))[1]) if done else None


def against(samples, mine, other, what="tokens_per_second"):
    """Ratio over the rounds that both have; None without either."""
    if not samples.get(mine) or not samples.get(other):
        return None
    return report.ratios(rounds.rates(samples[mine], what), rounds.rates(samples[other], what))


def middle(ratio):
    """The median of [minimum, median, maximum], if there is one."""
    return ratio and ratio[1]


def limits(bench, share):
    """The bound by precision; none for a model of other shapes."""
    if not bench.real_model:
        return {}
    measured = [limit.measure(bench.gemm, bench.quick) for _ in range(1 if bench.quick else 2)]
    fastest = {key: max(m[key] for m in measured) for key in measured[0]}
    return {precision: limit.describe(fastest, precision, share) for precision in ("bf16", "f32")}


def train(bench, budget):
    """Useful tokens a second without shared sources, prefix of 32."""
    chosen = bench.head(8 * bench.steps)
    task = bench.ours.task(rows.write(bench.work + "/head.jsonl", chosen), batch=bench.unshared)
    runs = LAYOUTS[:2] if bench.quick else LAYOUTS
    mine = {name_of(*run): our_runner(bench, task, *run) for run in runs}
    peers = peer_runners(bench, chosen)
    samples, notes = rounds.alternate(interleave(mine, peers), bench.rounds, budget, bench.log, peers)
    bf16 = best_of(samples, [name for name in mine if "bf16" in name])
    single = best_of(samples, [name_of("bf16", layout) for layout in (ours.ONE_RANK, ours.REPLICAS)])
    bench.layout = next((run[1] for run in runs if name_of(*run) == single), bench.layout)
    fastest, f32 = best_of(samples, peers), best_of(samples, [name for name in peers if "f32" in name])
    if peers:
        for name in peers:
            check_same_rows(samples, name_of(*LAYOUTS[0]), name)
        bench.remember_fastest(fastest)
    bounds = limits(bench, samples[bf16][0].target_share)
    rounds.show("train: batch 8, prefix of 32, no shared sources", samples, notes)
    result = {"runs": {name: rounds.summary(part) for name, part in samples.items()}, "notes": notes,
              "limits": bounds, "ours": bf16, "peer_fastest": fastest, "peer_f32": f32,
              "against_fastest": against(samples, bf16, fastest), "against_f32": against(samples, bf16, f32)}
    bars = [report.bar("training, bf16, over the peer's fastest", 2.5, middle(result["against_fastest"])),
            report.bar("training, bf16, over the peer's f32", 4.3, middle(result["against_f32"]))]
    if bounds:
        reached = report.spread(rounds.rates(samples[bf16]))[1] / bounds["bf16"]["limit_tokens_per_second"]
        result["fraction_of_limit"] = round(reached, 3)
        print("  limit by matrix products, bf16: {limit_tokens_per_second} tokens/s = {weighted_gflops} GFLOP/s over\n"
              "  all shapes (the fastest: {peak_gflops}) / {gflop_per_token} GFLOP a token: {formula}"
              .format(**bounds["bf16"]))
        bars.append(report.bar("training, bf16, of the limit by matrix products", 0.75, reached))
    return result, bars


def ranks(bench, budget):
    """Two ranks of one thread against one rank of two."""
    chosen = bench.head(8 * bench.steps)
    task = bench.ours.task(rows.write(bench.work + "/head.jsonl", chosen), batch=bench.unshared)
    layouts = (ours.ONE_RANK, ours.STAGES, ours.REPLICAS)
    mine = {layout.name: our_runner(bench, task, "bf16", layout) for layout in layouts}
    samples, notes = rounds.alternate(mine, bench.rounds + 2, budget, bench.log)
    rounds.show("ranks: bf16", samples, notes)
    result = {"runs": {name: rounds.summary(part) for name, part in samples.items()}, "notes": notes}
    bars = []
    for layout in layouts[1:]:
        result[layout.name] = against(samples, layout.name, ours.ONE_RANK.name)
        bars.append(report.bar(f"{layout.name}, over 1 rank of 2 threads", 0.95, middle(result[layout.name])))
    return result, bars


def shared(bench, budget):
    """Examples a second where targets share their source, prefix of 32; in steps of 8 and of 32 on both sides."""
    few, many = (8, 16) if bench.quick else (8, 32)
    count = bench.steps * 16
    chosen = rows.grouped(rows.read(bench.data + "/train.jsonl"), count) if bench.text else []
    if len(chosen) < count:
        return {"skipped": "too few rows of the data share a source"}, []
    if not bench.ours.allows("share_sources"):
        return {"skipped": "this build has no batch.share_sources"}, []
    path = rows.write(bench.work + "/grouped.jsonl", chosen)

    def our(examples, **batch):
        return our_runner(bench, bench.ours.task(path, batch={"examples": examples, **batch}), "bf16",
                          steps=count // examples)

    mine = {"Forerun, same order, nothing shared": our(few, share_sources=False),
            "Forerun, same order, sources shared in a step": our(few, share_sources=True)}
    if bench.ours.allows("order", "by_source"):
        mine["Forerun, order by source"] = our(few, share_sources=True, order="by_source")
        mine[f"Forerun, order by source, batch {many}"] = our(many, share_sources=True, order="by_source",
                                                                 microbatch_tokens=1024)
    peers = peer_runners(bench, chosen, [bench.fastest], (few, many)) if bench.fastest else peer_runners(bench, chosen)
    samples, notes = rounds.alternate(interleave(mine, peers), bench.rounds, budget, bench.log, peers)
    rounds.show(f"shared: batch {few} where none is named, prefix of 32, whole sources", samples, notes)
    best, fastest = best_of(samples, mine), best_of(samples, peers)
    what = "examples_per_second"
    result = {"runs": {name: rounds.summary(part) for name, part in samples.items()}, "notes": notes, "ours": best,
              "peer_fastest": fastest,
              "examples_a_source": round(len(chosen) / len({row["source"] for row in chosen}), 2),
              "against_fastest": against(samples, best, fastest, what),
              "against_same_order": against(samples, best, next(iter(mine)), what)}
    return result, [report.bar("examples/s with shared sources, over the peer's fastest", 4.0,
                               middle(result["against_fastest"]))]
