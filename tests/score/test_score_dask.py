"""Tests of scoring on a Dask cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import cosgrad
from cosgrad.score import engines, job, parts, watch
from cosgrad.score.rows import SourceError


def run(suite, folder):
    """Run a suite that starts processes by itself, and return the last line of its output."""
    pytest.importorskip("distributed")
    path = Path(__file__).with_name(suite)
    ended = subprocess.run(
        [sys.executable, str(path), str(folder)], capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()[-1]


def test_a_worker_that_is_killed_loses_nothing(tmp_path):
    assert run("suite_score_dask.py", tmp_path) == "equal"


def test_a_cluster_that_cannot_go_on_is_told(tmp_path):
    assert run("suite_score_dask_states.py", tmp_path) == "all told"


def worker(status="running", executing=0, memory_limit=2_000_000_000):
    return {
        "status": status,
        "metrics": {"task_counts": {"executing": executing}},
        "memory_limit": memory_limit,
        "last_seen": 1.0,
    }


@pytest.mark.parametrize(("workers", "silent", "busy", "words"), [
    (None, [], False, ["the scheduler does not answer"]),
    ([], [], False, ["it has no workers"]),
    ([worker()], [], False, ["1 of 1 workers run, but compute nothing"]),
    ([worker(executing=1), worker()], [], True, ["1 of 2 workers compute"]),
    ([worker("paused", 1), worker()], [], True, ["1 of 2 workers compute", "1 of 2 workers are paused"]),
    ([worker("paused"), worker("paused")], [], False, ["2 of 2 workers are paused", "2,000 MB"]),
    ([worker(executing=1)], ["0"], False, ["1 of 1 workers send no heartbeat, as 0"]),
])  # fmt: skip
def test_the_state_of_a_cluster_is_told(workers, silent, busy, words):
    known = {} if workers is None else {"workers": {str(i): one for i, one in enumerate(workers)}}
    found, reason = watch.diagnosis(known, set(silent))
    assert found == busy
    assert all(word in reason for word in words)


@pytest.fixture
def work(tmp_path, rng):
    np.save(tmp_path / "x.npy", rng.standard_normal((20, 4)))
    np.save(tmp_path / "y.npy", rng.standard_normal((20, 4)))
    return job.plan(str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), tmp_path / "out.npy", "similarity")


def test_a_worker_names_the_files_that_it_does_not_see(work, tmp_path):
    pytest.importorskip("distributed")
    with parts.opened(work, restart=False):
        (tmp_path / "y.npy").rename(tmp_path / "moved")
        with pytest.raises(SourceError, match=r"y\.npy is not there; the workers must see the same files"):
            engines.compute(work, 0, cosgrad.__version__)
        (tmp_path / "moved").rename(tmp_path / "y.npy")
        (work.folder / parts.DESCRIPTION).write_text("{}")
        with pytest.raises(SourceError, match=r"out\.npy\.parts is another folder here"):
            engines.compute(work, 0, cosgrad.__version__)
        with pytest.raises(ImportError, match=r"it has cosgrad .*, and the job is of 0\.0\.0"):
            engines.compute(work, 0, "0.0.0")


def test_a_worker_goes_on_after_an_error(work, monkeypatch):
    """Check that a worker continues after an error.

    The reader of a failed part may be in the middle of a chunk, so the next part gets a new reader.
    """
    pytest.importorskip("distributed")

    def failing(self, part):
        raise OSError(5, "Input/output error")

    with parts.opened(work, restart=False):
        assert engines.compute(work, 0, cosgrad.__version__)[0] == 0
        with monkeypatch.context() as broken:
            broken.setattr(job.Worker, "compute", failing)
            with pytest.raises(
                SourceError, match=r"this process: reading or writing part 0 failed: .*Input/output"
            ):
                engines.compute(work, 0, cosgrad.__version__)
        assert engines._of_thread.__dict__ == {}
        assert engines.compute(work, 0, cosgrad.__version__)[0] == 0


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from cosgrad.score import command, job
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not inherited
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # as many workers as processors
    job.PART_BYTES = 2 * 2 * 8
    sys.exit(command.run(command.Options("x.npy", "x.npy", Path("out.npy"), engine={engine!r})))
"""


@pytest.mark.parametrize(("engine", "number", "code"), [
    ("dask", signal.SIGINT, 130),
    ("local", signal.SIGTERM, 143),
])  # fmt: skip
def test_a_signal_to_all_processes_ends_in_one_sentence(engine, number, code, tmp_path):
    """Check that a signal to all processes ends the job with one sentence.

    The job has so many parts that it cannot be done before the signal.
    """
    if engine == "dask":
        pytest.importorskip("distributed")
    np.save(tmp_path / "x.npy", np.ones((100_000, 1)))
    (tmp_path / "program.py").write_text(INTERRUPTED.format(engine=engine))
    child = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    while not list((tmp_path / "out.npy.parts").glob("*.npy")):
        assert child.poll() is None, child.stdout.read()
        time.sleep(0.02)
    os.killpg(child.pid, number)
    said, _ = child.communicate(timeout=120)
    assert child.returncode == code, said
    word = "terminated" if number == signal.SIGTERM else "interrupted"
    assert said.splitlines()[-1] == f"{word}: the parts that are done are kept, run the same command to go on"
    assert "Traceback" not in said
    assert json.loads((tmp_path / "out.npy.parts" / "job.json").read_text())["rows"] == 100_000
