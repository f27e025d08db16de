"""Tables, ratios over rounds, and figures beside what is demanded of them."""
import statistics


def spread(values, digits=1):
    """[minimum, median, maximum]."""
    values = list(values)
    return [round(v, digits) for v in (min(values), statistics.median(values), max(values))] if values else None


def ratios(ours, theirs):
    """Ours over theirs, round by round: what disturbs the machine then hits both."""
    return spread([a / b for a, b in zip(ours, theirs)], 3)


def bar(figure, demanded, reached, at_most=False):
    """One figure beside the least (or most) demanded; short_by is the missing part of the demand."""
    if reached is None:
        return {"figure": figure, "demanded": demanded, "at_most": at_most, "reached": None, "met": None}
    short = (reached - demanded if at_most else demanded - reached) / demanded
    return {"figure": figure, "demanded": demanded, "at_most": at_most, "reached": round(reached, 4),
            "met": short <= 0, "short_by": round(max(0.0, short), 3)}


def show(title, header, lines):
    """A table: the first column left, the others right."""
    table = [header] + [[cell(value) for value in line] for line in lines]
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    print(f"\n{title}")
    for line in table:
        print("  " + "  ".join(text.ljust(w) if i == 0 else text.rjust(w)
                               for i, (text, w) in enumerate(zip(line, widths))))


def cell(value):
    """A value as text."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, list):
        return " / ".join(cell(v) for v in value)
    return str(value)


def show_bars(bars):
    """All demands and what became of them."""
    lines = []
    for b in bars:
        limit = ("at most " if b["at_most"] else "at least ") + cell(float(b["demanded"]))
        verdict = "not measured" if b["met"] is None else "met" if b["met"] else f"short by {100 * b['short_by']:.0f} %"
        lines.append([b["figure"], limit, b["reached"], verdict])
    if lines:
        show("Demanded and reached", ["figure", "demanded", "reached", ""], lines)
