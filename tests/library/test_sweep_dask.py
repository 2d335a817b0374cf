"""The same sweep on a Dask cluster of two worker processes: the same table, whatever dies on the way."""

import contextlib
import csv
import logging
import multiprocessing
import os
import signal
import threading
import time

import cells
import clusters
import dask
import pytest
from distributed import Client, LocalCluster
from distributed.utils import get_mp_context

import icl_lib as icl

PATIENCE = 120  # seconds until a test gives up on a slow machine; none waits that long if all is well

CONFIG = {
    "distributed.scheduler.allowed-failures": 1,  # 3 unless told otherwise: the same story with more deaths
    "distributed.deploy.lost-worker-timeout": "10 minutes",  # else a worker that starts in over 15 s is given up
    "distributed.worker.multiprocessing-method": "forkserver",  # torch is imported once, not by each new worker
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with dask.config.set(CONFIG):
        get_mp_context()  # sets the list of preloaded modules, once; ours replaces it
        multiprocessing.set_forkserver_preload(["distributed", "icl_lib"])
        with LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",  # any port: with None Dask takes 8787, and warns if that is taken
            local_directory=str(tmp_path_factory.mktemp("dask")),
            silence_logs=logging.CRITICAL,  # deaths are what is tested
        ) as cluster:
            yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=PATIENCE)  # back to two, if the last test killed one
        yield client


def lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def meanwhile(action):
    """Do this in a thread, while the sweep runs."""
    thread = threading.Thread(target=action)
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def grid(folder, count):
    return {"seed": range(count), "folder": [str(folder)]}


def runs(folder, count):
    return [len((folder / f"{seed}").read_text().splitlines()) for seed in range(count)]


def test_a_cluster_writes_the_bytes_that_one_process_writes(tmp_path, client):
    icl.sweep(cells.smooth, cells.GRID, out=tmp_path / "one.csv")
    done = icl.sweep(cells.smooth, cells.GRID, out=tmp_path / "dask.csv", executor=client)
    icl.sweep(cells.smooth, cells.GRID, out=tmp_path / "executor.csv", executor=client.get_executor())
    assert (len(done.rows), done.failed) == (40, 0)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_a_killed_worker_loses_nothing_and_nothing_finished_runs_twice(tmp_path, cluster, client):
    """SIGKILL of the worker that is stuck in cell 6, when at least 10 of the 24 cells are done."""
    out, whole, folder = tmp_path / "t.csv", tmp_path / "whole.csv", tmp_path / "runs"
    folder.mkdir()
    addresses = {pid: address for address, pid in client.run(os.getpid).items()}

    def kill():
        until(lambda: (folder / "6").exists() and (folder / "6").read_text().endswith("\n"))
        victim = int((folder / "6").read_text())
        try:
            until(lambda: out.exists() and len(client.futures) <= 14)  # all are submitted and ten are taken
            until(lambda: not cluster.scheduler.workers[addresses[victim]].has_what)
        finally:
            os.kill(victim, signal.SIGKILL)

    with meanwhile(kill):
        done = icl.sweep(clusters.stuck_at_six, grid(folder, 24), out=out, executor=client)
    assert done.failed == 0
    assert runs(folder, 24) == [1] * 6 + [2] + [1] * 17
    icl.sweep(clusters.stuck_at_six, grid(folder, 24), out=whole)
    assert out.read_bytes() == whole.read_bytes()


def test_a_cell_that_kills_its_worker_fails_and_its_neighbours_do_not(tmp_path, cluster, client, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)  # the neighbours are blamed at the first death
    done = icl.sweep(clusters.kills_at_three, grid(tmp_path, 12), executor=client)
    assert [row["seed"] for row in done.rows if row["failure"]] == [3]
    assert done.rows[3]["failure"].startswith("KilledWorker: ")
    others = [seed for seed in range(12) if seed != 3]
    assert [row["value"] for row in done.rows if not row["failure"]] == [seed**0.5 for seed in others]


def test_a_failed_cell_is_run_again_and_not_remembered(tmp_path, client):
    assert icl.sweep(clusters.fails_once, grid(tmp_path, 3), executor=client).failed == 3
    assert icl.sweep(clusters.fails_once, grid(tmp_path, 3), executor=client).failed == 0


def test_a_reader_who_stops_the_sweep_keeps_the_rows_and_goes_on_with_the_same_call(tmp_path, client):
    out, whole = tmp_path / "t.csv", tmp_path / "whole.csv"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt():
        try:
            until(lambda: out.exists() and len(client.futures) == 34)  # all are submitted and six are taken
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    try:
        with meanwhile(interrupt), pytest.raises(KeyboardInterrupt):
            icl.sweep(clusters.held_at_six, grid(tmp_path, 40), out=out, executor=client)
    finally:
        signal.signal(signal.SIGINT, before)
    kept = len(lines(out))
    assert kept in (5, 6)  # Ctrl-C may come between taking a row and keeping it
    (tmp_path / "go").touch()
    assert icl.sweep(clusters.held_at_six, grid(tmp_path, 40), out=out, executor=client).taken == kept
    icl.sweep(clusters.held_at_six, grid(tmp_path, 40), out=whole)
    assert out.read_bytes() == whole.read_bytes()


def test_a_lost_scheduler_is_reported_and_the_rows_are_kept(tmp_path, client):
    out, whole = tmp_path / "t.csv", tmp_path / "whole.csv"
    lost = multiprocessing.get_context("forkserver").Process(target=clusters.lone_cluster, args=(str(tmp_path),))
    lost.start()

    def kill():
        try:
            until(lambda: out.exists() and len(doomed.futures) == 34)
        finally:
            lost.kill()

    try:
        until((tmp_path / "address").exists)
        doomed = Client((tmp_path / "address").read_text(), timeout=2, set_as_default=False)
        with doomed, meanwhile(kill), pytest.raises(icl.SweepBroken, match="6 of 40 cells have finished") as caught:
            icl.sweep(clusters.held_at_six, grid(tmp_path, 40), out=out, executor=doomed)
    finally:
        lost.kill()
        lost.join()
    assert [row["seed"] for row in caught.value.finished.rows] == [0, 1, 2, 3, 4, 5]
    assert len(lines(out)) == 6
    (tmp_path / "go").touch()
    assert icl.sweep(clusters.held_at_six, grid(tmp_path, 40), out=out, executor=client).taken == 6
    icl.sweep(clusters.held_at_six, grid(tmp_path, 40), out=whole)
    assert out.read_bytes() == whole.read_bytes()
