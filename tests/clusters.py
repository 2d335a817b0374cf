"""For the tests of sweeps on Dask: cells that wait, note and kill, and a cluster that is there to be lost."""

import math
import os
import signal
import time
from pathlib import Path


def note(seed, folder):
    """Leave a line, this process's id, for each time the cell is run; return the lines."""
    path = Path(folder) / f"{seed}"
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")
    return path.read_text().splitlines()


def stuck_at_six(seed, folder):
    """Cell 6 hangs the first time it is run, and only then."""
    while len(note(seed, folder)) == 1 and seed == 6:
        time.sleep(3600)
    return {"value": math.sqrt(seed)}


def kills_at_three(seed, folder):
    note(seed, folder)
    if seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": math.sqrt(seed)}


def fails_once(seed, folder):
    if len(note(seed, folder)) == 1:
        raise RuntimeError("the first time")
    return {"value": math.sqrt(seed)}


def held_at_six(seed, folder):
    """Cells from 6 on wait for the file "go"."""
    while seed >= 6 and not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return {"value": math.sqrt(seed)}


def lone_cluster(folder):
    """Scheduler and worker in one process, which a test kills; the file "address" says where it is."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        dashboard_address=":0",
        local_directory=folder,
    ) as cluster:
        draft = Path(folder) / "draft"
        draft.write_text(cluster.scheduler_address)
        draft.rename(Path(folder) / "address")
        time.sleep(3600)
