"""`cosgrad score --engine dask` on clusters that cannot continue.

`test_score_dask.py` runs this in a process of its own.
"""

import asyncio
import contextlib
import io
import json
import socket
import sys
import threading
from pathlib import Path

import dask
import numpy as np
from distributed import LocalCluster

from cosgrad.score import command, job

NO_COSGRAD = "import sys; sys.modules['cosgrad'] = None"
PATCHED = """
import os, threading
from cosgrad.score import job
if not hasattr(job, "compute"):  # Dask loads the script twice
    job.compute = job.Worker.compute
    job.Worker.compute = lambda self, part: {action} if part >= {first} else job.compute(self, part)
"""
DIES = PATCHED.format(action="os._exit(1)", first=0)
STOPS = PATCHED.format(action="threading.Event().wait()", first=3)
PAUSED = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": 1e-5,
}
KEPT = "the parts that are done are kept, run the same command to go on"


def score(folder, scheduler, **options):
    """Return the exit code and the error output."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = command.run(
            command.Options(
                str(folder / "x.npy"),
                str(folder / "x.npy"),
                folder / "out.npy",
                engine="dask",
                scheduler=str(scheduler),
                restart=True,
                **options,
            )
        )
    return code, said.getvalue()


def expect(result, *words):
    assert result[0] == 2, result
    assert all(word in result[1] for word in (*words, KEPT)), result
    assert "Traceback" not in result[1], result


def until(cluster, reached):
    while not reached():
        cluster.sync(asyncio.sleep, 0.01)


@contextlib.contextmanager
def worker(cluster, **options):
    """Start a worker with these options, wait until the scheduler registers it, and stop it at the end."""
    spec = dict(cluster.new_spec["options"])
    cluster.new_spec["options"].update(options)
    cluster.scale(1)
    until(cluster, lambda: cluster.scheduler.workers)
    yield
    cluster.scale(0)
    until(cluster, lambda: not cluster.workers and not cluster.scheduler.workers)
    cluster.new_spec["options"] = spec


def main(folder: Path) -> None:
    rng = np.random.default_rng(20261125)
    np.save(folder / "x.npy", rng.standard_normal((60, 8)))
    job.PART_BYTES = 10 * 2 * 8 * 8  # 6 parts
    scripts = {"none": NO_COSGRAD, "dies": DIES, "stops": STOPS}
    preload = {name: folder / f"{name}.py" for name in scripts}
    for name, text in scripts.items():
        preload[name].write_text(text)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        expect(score(folder, address, wait=1), f"no scheduler answers at --scheduler {address}")
    expect(score(folder, address, wait=1), f"no scheduler answers at --scheduler {address}")

    dask.config.set({"distributed.scheduler.allowed-failures": 1})
    local = {"n_workers": 0, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": "CRITICAL"}
    with LocalCluster(**local) as cluster:
        file = folder / "scheduler.json"
        file.write_text(json.dumps({"address": cluster.scheduler_address}))
        expect(score(folder, file, wait=1), cluster.scheduler_address, "it has no workers")
        with worker(cluster, preload=[str(preload["none"])]):
            expect(score(folder, file), "cannot import what part", "Install cosgrad")
        with worker(cluster, preload=[str(preload["dies"])]):
            expect(score(folder, file), " (rows ", "was given up: the workers that computed it died")
        with worker(cluster, memory_limit="10GB", config=PAUSED):
            known = cluster.scheduler.workers
            until(cluster, lambda: [one.status.name for one in known.values()] == ["paused"])
            expect(score(folder, file, wait=1), "1 of 1 workers are paused", "10,000 MB")
        cluster.new_spec["options"]["preload"] = [str(preload["stops"])]
        cluster.scale(1)

        def end() -> None:
            while not list((folder / "out.npy.parts").glob("*.npy")):
                ended.wait(0.005)
            asyncio.run_coroutine_threadsafe(cluster.scheduler.close(), cluster.loop.asyncio_loop).result()

        ended = threading.Event()
        ender = threading.Thread(target=end)
        ender.start()
        expect(score(folder, file), "the connection to the scheduler", "is lost")
        ender.join()
    print("all told")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
