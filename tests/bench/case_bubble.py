"""Case bubble: idle time of stages that wait for each other's messages, beside the formula. The stages sleep."""
import os
import re
import subprocess

import ours
import report

STAGES = 4
# more stages than processors, for Open MPI up to 4 and from 5 on
CROWDED = {"OMPI_MCA_rmaps_base_oversubscribe": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
LINE = re.compile(r"^(\d+) stages, (\d+) tasks of (\d+) microbatches: idle +([\d.]+) %, formula +([\d.]+) %, "
                  r"ends of the run +([\d.]+) %")


def bubble(bench, budget):
    """Idle shares of one task and of several."""
    command = ["mpirun", "-n", str(STAGES), bench.bubble, "1" if bench.quick else "10"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10 * budget,
                            env=dict(os.environ, **ours.SHARED, **CROWDED)).stdout
    found = [LINE.match(line) for line in output.splitlines()]
    lines = [[f"{m[2]} of {m[3]} microbatches", float(m[4]), float(m[5]), float(m[6])] for m in found if m]
    report.show(f"bubble: {STAGES} stages that sleep, idle share of their time in percent, the best of its attempts",
                ["tasks", "idle", "formula", "start and end of the run"], lines)
    return {"idle": [{"tasks": int(m[2]), "idle": float(m[4]), "formula": float(m[5]), "ends": float(m[6])}
                     for m in found if m]}, []
