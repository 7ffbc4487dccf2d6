"""A Dask cluster of two processes, one of which is killed.

`test_score_dask.py` runs it in its own process.
"""

import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
from distributed import LocalCluster

import cosgrad.numpy as C
from cosgrad.score import command, job


def main(folder: Path) -> None:
    rng = np.random.default_rng(20261121)
    x, y = rng.standard_normal((2, 6000, 8))
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    out = folder / "out.npy"
    job.PART_BYTES = 50 * 2 * 8 * 8  # 120 parts
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values())).pid

        def kill() -> None:
            while len(list(Path(f"{out}.parts").glob("*.npy"))) < 5:
                if ended.wait(0.005):
                    return
            os.kill(victim, signal.SIGKILL)

        ended = threading.Event()
        killer = threading.Thread(target=kill)
        killer.start()
        options = command.Options(
            str(folder / "x.npy"),
            str(folder / "y.npy"),
            out,
            engine="dask",
            scheduler=cluster.scheduler_address,
        )
        code = command.run(options)
        ended.set()
        killer.join()
    assert code == 0
    np.testing.assert_array_equal(np.load(out), C.cosine_similarity(x, y))
    print("equal")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
