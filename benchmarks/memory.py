"""Peak memory above the import, each run in a process of its own."""

from __future__ import annotations

import subprocess
import sys

SIZES = {"full": (1_000_000, 5000, 64, 16, 10), "quick": (2000, 500, 8, 4, 3)}
"""Prompts streamed, prompts at once, points, dimension, loops."""
COMMON = """
import re, resource, sys
from pathlib import Path
import torch
torch.set_num_threads({threads})
import icl_lib as icl
def resident(field):  # in MB; ru_maxrss would begin with the peak of the process that started this one
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(field + r":\\s+(\\d+) kB", status.read_text())[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
task, model = icl.LinearTask(d={d}), icl.Looped(icl.ngd_layer({d}, 0.5), {loops})
g = torch.Generator().manual_seed(0)
before = resident("VmRSS")
"""
RUNS = {
    "streamed": """
from icl_lib.streaming import stream
parts = (task.sample({once}, {n}, queries=1, generator=g).normalized() for _ in range({prompts} // {once}))
answered = sum(answer.decision is not None for answer in stream(model, parts, batch={once}))
assert answered == {prompts}
""",
    "all at once": """
assert len(model.final(task.sample({once}, {n}, generator=g).normalized())) == {once}
""",
    "all at once, every iterate": """
assert len(model.iterates(task.sample({once}, {n}, generator=g).normalized())) == {loops} + 1
""",
}


def run(size: str) -> dict:
    """Return the peak of each way in MB above what the import alone takes."""
    import torch

    prompts, once, n, d, loops = SIZES[size]
    fill = {"threads": torch.get_num_threads(), "prompts": prompts, "once": once, "n": n, "d": d, "loops": loops}
    rows = []
    for name, body in RUNS.items():
        code = (COMMON + body + "print(resident('VmHWM') - before)").format(**fill)
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        rows.append({"name": name, "prompts": prompts if name == "streamed" else once, "peak_mb": float(result.stdout)})
    whole = 4 * prompts * n * d / 2**20
    return {"setting": fill, "rows": rows, "context_mb": whole, "target_mb": 1024}
