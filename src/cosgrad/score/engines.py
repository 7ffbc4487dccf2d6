"""Who computes the parts: this process, or the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from cosgrad.require import require
from cosgrad.score.job import Job, Worker

Done = tuple[int, dict[str, dict[str, list[int]]]]


def here(job: Job, parts: Sequence[int]) -> Iterator[Done]:
    """Compute the parts in order, on the kernel's threads."""
    worker = Worker(job)
    for part in parts:
        yield part, worker.compute(part)


@lru_cache(maxsize=1)
def _worker(job: Job) -> Worker:
    return Worker(job)


def _compute(job: Job, part: int) -> Done:
    """What a Dask worker runs: the same, part by part. One that is computed twice is written twice, alike."""
    return part, _worker(job).compute(part)


def on_dask(job: Job, parts: Sequence[int], scheduler: str | None) -> Iterator[Done]:
    """Compute the parts on a Dask cluster whose workers see the same files, or on one of local processes.

    A part whose worker dies is given to another.
    """
    distributed: Any = require("distributed", "dask", "2024.1", user="cosgrad score --engine dask")
    local = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.Client(scheduler) if scheduler else distributed.Client(**local) as client:
        futures = [client.submit(_compute, job, part, pure=False) for part in parts]
        for future in distributed.as_completed(futures):
            yield future.result()
            future.release()
