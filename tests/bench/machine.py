"""What the figures depend on: the processor, its instruction sets, and what else runs here."""
import os
import platform
import re

# Forerun's sets (src/device/isa.c): name -> flags of /proc/cpuinfo that each needs besides those before it
SETS = {"avx2": {"avx2", "fma", "f16c"}, "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq"},
        "avx512_vnni": {"avx512_vnni"}}
TOLD = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")  # that make processors differ in kind
PLAIN_C = "generic"


def flags():
    """Of the first processor."""
    return set(field("flags").split())


def field(name):
    """A line of /proc/cpuinfo, its first; empty if there is none."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(rf"^{name}\s*: (.*)$", file.read(), re.MULTILINE)
    return found[1] if found else ""


def sets():
    """Those that this processor has, plain C alone where it has none."""
    found, have = [], flags()
    for name, needed in SETS.items():
        if not needed <= have:
            break
        found.append(name)
    return found or [PLAIN_C]


def load():
    """Load averages of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def describe():
    """For JSON."""
    have = flags()
    kind = ", ".join(f"{word} {field(name)}" for word, name in (("family", "cpu family"), ("model", "model")))
    return {"processor": field("model name") or platform.processor(), "kind": kind, "processors": os.cpu_count(),
            "usable": len(os.sched_getaffinity(0)), "instructions": [name for name in TOLD if name in have],
            "sets": sets(), "kernel": platform.release()}


def show(told):
    """The first lines of every run; told["computes"]: the set that the program takes here."""
    print("{processor} ({kind}), {processors} processors, {usable} of them for this run".format(**told))
    print(f"instructions: {', '.join(told['instructions']) or 'none of those that count'}; Forerun's sets: "
          f"{', '.join(told['sets'])}; it computes with {told['computes'] or 'one that it does not tell'}")
