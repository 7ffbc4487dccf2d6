"""Computation of the parts: in this process, or by the workers of a Dask cluster."""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

import cosgrad
from cosgrad.score import cluster, parts
from cosgrad.score.failures import reading
from cosgrad.score.job import BadRows, Job, Worker
from cosgrad.score.rows import SourceError
from cosgrad.score.signals import check
from cosgrad.score.watch import TICK, EngineError, Watch

Done = tuple[int, BadRows]
WAIT = 30.0  # seconds


def here(job: Job, missing: Sequence[int]) -> Generator[Done]:
    """Compute the parts in order, on the kernel's threads."""
    worker = Worker(job)
    for part in missing:
        yield part, worker.compute(part)


def on_dask(
    job: Job,
    missing: Sequence[int],
    scheduler: str | None,
    *,
    wait: float = WAIT,
    say: Callable[[str], None],
) -> Generator[Done]:
    """Compute the parts on a Dask cluster whose workers see the same files, or on one of local processes.

    A part whose worker dies is given to another.

    Args:
        job: The job.
        missing: The parts to compute.
        scheduler: The address of the cluster, or the file in which the scheduler wrote it.
        wait: Seconds to wait for a cluster that does nothing.
        say: Shows a sentence while nothing happens.

    Raises:
        EngineError: The cluster cannot be reached, does nothing for `wait` seconds, or gives up a part.
        SourceError: A worker cannot read the files or write a part.
    """
    with cluster.connected(scheduler, wait, say) as client:
        watch = Watch(client, wait, say)
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        futures = {}
        for part in missing:
            key = f"cosgrad-score-{job.digest}-{part}-{client.id}"
            call = pickle.dumps(_Call(job, part))
            future = client.submit(pickle.loads, call, key=key, pure=False)
            futures[key] = part, future
            future.add_done_callback(ended.put)
        while futures:
            try:
                future = ended.get(timeout=TICK)
            except queue.Empty:
                check()
                watch.look()
                continue
            part, _ = futures[future.key]
            try:
                done = future.result(timeout=TICK)
            except SourceError:
                raise
            except Exception as error:  # of a worker, the scheduler or the connection: of many kinds
                if not isinstance(error, TimeoutError) or future.status == "error":
                    raise _failure(job, part, future.status, error, watch) from None
                future.add_done_callback(ended.put)  # a worker died with the result: another computes it
                watch.look()
                continue
            watch.advanced()
            del futures[future.key]
            future.release()
            yield done


def _failure(job: Job, part: int, status: str, error: BaseException, watch: Watch) -> EngineError:
    """Return the error to raise for one that a part ended with."""
    start = part * job.part_rows
    name = f"part {part} (rows {start} to {min(start + job.part_rows, job.rows)})"
    kind = type(error).__name__
    if status != "error":  # the scheduler dropped the part, or its result did not arrive
        return EngineError(watch.lost())
    if kind == "KilledWorker":
        return EngineError(
            f"{name} was given up: the workers that computed it died, one after the other. They may have "
            f"too little memory; their logs have the reason ({str(error).splitlines()[0]})"
        )
    if isinstance(error, ImportError):
        return EngineError(
            f"a worker of {watch.address} cannot import what {name} needs: {error}. Install cosgrad "
            f"{cosgrad.__version__} in the environment of the workers"
        )
    return EngineError(f"{name} failed on {watch.address}: {kind}: {error}")


class _Call:
    """The call of `compute` for a part, which `pickle.loads` makes where it loads the pickle.

    The scheduler loads the functions and arguments of tasks. It sees `pickle.loads` and bytes, and so needs
    no cosgrad.
    """

    def __init__(self, job: Job, part: int) -> None:
        self.arguments = job, part, cosgrad.__version__

    def __reduce__(self) -> tuple[Any, ...]:
        return compute, self.arguments


_of_thread = threading.local()


def compute(job: Job, part: int, version: str) -> Done:
    """Compute a part in a thread of a Dask worker; the same part has the same bytes every time."""
    if cosgrad.__version__ != version:
        raise ImportError(f"it has cosgrad {cosgrad.__version__}, and the job is of {version}")
    worker = _of_thread.__dict__.pop("worker", None)  # the place where it reads on belongs to one thread
    try:
        if worker is None or worker.job != job:
            _check_files(job)
            worker = Worker(job)
        done = part, worker.compute(part)
    except SourceError as error:
        raise SourceError(f"{_name()}: {error}") from None
    except OSError as error:
        raise SourceError(f"{_name()}: reading or writing part {part} failed: {error}") from None
    _of_thread.worker = worker  # not after an error: reading may have ended in the middle of a chunk
    return done


def _check_files(job: Job) -> None:
    """Check that this machine sees the files and the folder of the job."""
    cure = "the workers must see the same files under the same paths as the command"
    for where in job.places:
        if not where.exists():
            raise SourceError(f"{where} is not there; {cure}")
    with reading(job.folder / parts.DESCRIPTION):
        if not parts.is_of(job):
            raise SourceError(f"{job.folder} is another folder here; {cure}")


def _name() -> str:
    """Return the address of the Dask worker that runs this thread."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # no worker, but a test
        return "this process"
    return f"worker {worker.address}"
