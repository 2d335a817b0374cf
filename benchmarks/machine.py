"""The machine in general words: processor, cores, threads, versions. No names, no paths."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

import torch


def description() -> dict:
    """Return what a reader needs to know about the machine, as plain values."""
    import numpy
    import sklearn

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vector_unit": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__.partition("+")[0],
        "numpy": numpy.__version__,
        "scikit_learn": sklearn.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return (found[1] if found else platform.processor() or platform.machine()).strip()


def import_seconds(repetitions: int) -> dict:
    """Return the median seconds that ``import icl_lib`` takes once torch is there, in fresh processes."""
    code = "import time, torch; a = time.perf_counter(); import icl_lib; print(time.perf_counter() - a)"
    command = [sys.executable, "-c", code]
    taken = [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(repetitions + 1)
    ]
    return {"seconds": statistics.median(taken[1:]), "target": 0.3}
