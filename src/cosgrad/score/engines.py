"""Who computes the parts: this process, or the workers of a Dask cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from cosgrad.require import require
from cosgrad.score.job import BadRows, Job, Worker
from cosgrad.score.rows import SourceError

Done = tuple[int, BadRows]


def here(job: Job, parts: Sequence[int]) -> Iterator[Done]:
    """Compute the parts in order, on the kernel's threads."""
    worker = Worker(job)
    for part in parts:
        yield part, worker.compute(part)


_of_thread = threading.local()


def _compute(job: Job, part: int) -> Done:
    """What a Dask worker runs: the same, part by part. One that is computed twice is written twice, alike."""
    worker = getattr(_of_thread, "worker", None)  # where it reads on is one thread's own
    if worker is None or worker.job != job:
        worker = _of_thread.worker = Worker(job)
    return part, worker.compute(part)


def on_dask(job: Job, parts: Sequence[int], scheduler: str | None) -> Iterator[Done]:
    """Compute the parts on a Dask cluster whose workers see the same files, or on one of local processes.

    A part whose worker dies is given to another.
    """
    distributed: Any = require("distributed", "dask", "2024.1", user="cosgrad score --engine dask")
    local = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    try:
        opened = (
            distributed.Client(scheduler)
            if scheduler
            else distributed.Client(**local, silence_logs="CRITICAL")
        )
    except ValueError as error:
        raise SourceError(f"--scheduler {scheduler} is no address: {error}") from None
    with opened as client:
        futures = [client.submit(_compute, job, part, pure=False) for part in parts]
        for future in distributed.as_completed(futures):
            yield future.result()
            future.release()
