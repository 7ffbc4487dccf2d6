"""Computation of the parts, in this process or by the workers of a Dask cluster."""

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
    """Compute the parts on a Dask cluster whose workers see the same files, or on a cluster of processes.

    If a worker dies, another worker computes its part.

    Args:
        job: The job.
        missing: The parts to compute.
        scheduler: The address of the cluster, or the file in which the scheduler wrote it.
        wait: Seconds to wait for a cluster that computes nothing.
        say: A function that shows a sentence while no part is finished.

    Raises:
        EngineError: The cluster cannot be reached, computes nothing for `wait` seconds, or gives up a part.
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
            except Exception as error:  # of many types: of a worker, the scheduler or the connection
                if not isinstance(error, TimeoutError) or future.status == "error":
                    raise _failure(job, part, future.status, error, watch) from None
                future.add_done_callback(ended.put)  # the worker died with the result, so another computes it
                watch.look()
                continue
            watch.advanced()
            del futures[future.key]
            future.release()
            yield done


def _failure(job: Job, part: int, status: str, error: BaseException, watch: Watch) -> EngineError:
    """Return the error to raise for the error of a part."""
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
    """The call of `compute` for a part, as a pickle that `pickle.loads` executes on the worker.

    The scheduler loads the functions and arguments of tasks. It loads only `pickle.loads` and bytes, so it
    does not need cosgrad.
    """

    def __init__(self, job: Job, part: int) -> None:
        self.arguments = job, part, cosgrad.__version__

    def __reduce__(self) -> tuple[Any, ...]:
        return compute, self.arguments


_of_thread = threading.local()


def compute(job: Job, part: int, version: str) -> Done:
    """Compute a part in a thread of a Dask worker. The result of a part always has the same bytes."""
    if cosgrad.__version__ != version:
        raise ImportError(f"it has cosgrad {cosgrad.__version__}, and the job is of {version}")
    worker = _of_thread.__dict__.pop("worker", None)  # its position in the files belongs to one thread
    try:
        if worker is None or worker.job != job:
            _check_files(job)
            worker = Worker(job)
        done = part, worker.compute(part)
    except SourceError as error:
        raise SourceError(f"{_name()}: {error}") from None
    except OSError as error:
        raise SourceError(f"{_name()}: reading or writing part {part} failed: {error}") from None
    _of_thread.worker = worker  # not after an error, which may occur in the middle of a chunk
    return done


def _check_files(job: Job) -> None:
    """Raise an error unless this machine has the files and the folder of the job."""
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
    except ValueError:  # outside a worker, as in a test
        return "this process"
    return f"worker {worker.address}"
