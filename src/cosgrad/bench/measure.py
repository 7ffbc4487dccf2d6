"""The steps of the protocol: makes the inputs, and measures all libraries in the right order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from cosgrad.bench.accuracy import in_ulp, truth
from cosgrad.bench.entries import KINDS, QUANTITIES, Entry, Figure, Protocol
from cosgrad.bench.rivals import FRAMEWORKS, LIBRARIES, Library
from cosgrad.bench.rivals.base import Floats, Quantity
from cosgrad.bench.timing import in_turn
from cosgrad.bench.worker import FailedError, Kind, Worker
from cosgrad.report.machine import cores
from cosgrad.verify.inputs import at_angles, generator
from cosgrad.verify.ulp import Numbers


@dataclass(frozen=True)
class Points:
    """The pairs of vectors of one accuracy curve, with `Protocol.pairs` of them for every point."""

    at: tuple[float, ...]
    x: Floats
    y: Floats
    true: dict[Quantity, Numbers]

    def worst(self, quantity: Quantity, values: Any) -> list[float]:
        """Return the worst error at every point."""
        worst = in_ulp(values, self.true[quantity]).reshape(len(self.at), -1).max(axis=1)
        return [float(ulp) for ulp in worst]


def points(protocol: Protocol, against: str) -> Points:
    """Return random pairs with given angles or given norms."""
    at = getattr(protocol, against + "s")
    rng = generator(protocol.seed, "bench", against)
    count = len(at) * protocol.pairs
    if against == "angle":
        angles, norms = np.repeat(at, protocol.pairs).tolist(), rng.uniform(0.5, 2.0, (2, count)).tolist()
    else:
        angles, norms = rng.uniform(0.5, 1.2, count).tolist(), [np.repeat(at, protocol.pairs).tolist()] * 2
    x, y = (a.astype(np.float32) for a in at_angles(rng, protocol.length, angles, *norms))
    return Points(at, x, y, {q: truth(x, y, distance=q == "distance") for q in QUANTITIES})


Tell = Callable[[str], None]


def steps(protocol: Protocol, libraries: Sequence[Library]) -> int:
    """Return how often `measure` reports its progress."""
    frontends = len({library.frontend for library in libraries})
    return len(libraries) + frontends * (len(protocol.forward) + len(protocol.loss))


def measure(protocol: Protocol, libraries: Sequence[Library], tell: Tell) -> list[Entry]:
    """Measure all libraries.

    First, all libraries are imported, tested for accuracy and warmed up, as many at a time as there are
    cores. Then, one framework after the other, the libraries are timed in turn while nothing else runs.

    Args:
        protocol: The inputs and the number of repetitions.
        libraries: The libraries, with cosgrad's own frontend for each framework.
        tell: Called with a description of every step.
    """
    curves = {against: points(protocol, against) for against in ("angle", "scale")}
    entries = {
        library.name: Entry(library.name, library.frontend, library.how, library.ours, library.version())
        for library in libraries
    }
    with _processes() as workers:
        with _pool(workers) as pool:

            def first(name: str) -> None:
                _first(protocol, entries[name], curves, workers)
                tell(f"{name}: accuracy")

            for done in [pool.submit(first, name) for name in entries]:
                done.result()
        for frontend, title in FRAMEWORKS.items():
            group = [name for name in entries if entries[name].frontend == frontend]
            for kind in KINDS if group else ():
                if kind == "loss":
                    _afresh([name for name in group if LIBRARIES[name].pool], workers)
                for rows in getattr(protocol, kind):
                    tell(f"{title}: {kind}, {rows:,} rows")
                    _contest(protocol, kind, rows, entries, [workers[n] for n in group if n in workers])
            for name in group:
                if name in workers:
                    workers[name].close()
    return list(entries.values())


def _afresh(names: Sequence[str], workers: dict[str, Worker]) -> None:
    """Start new processes, without the memory pools that the similarities of many rows have left."""
    for name in names:
        if name in workers:
            workers[name].close()
            workers[name] = Worker(name)
    for name in names:
        if name in workers:
            with suppress(FailedError):  # the next request for work reports the error
                workers[name].answer()


@contextmanager
def _processes() -> Iterator[dict[str, Worker]]:
    workers: dict[str, Worker] = {}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


@contextmanager
def _pool(workers: dict[str, Worker]) -> Iterator[ThreadPoolExecutor]:
    """Provide threads that wait for processes. After an interruption, kill the processes and stop waiting."""
    pool = ThreadPoolExecutor(cores())
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in list(workers.values()):
            worker.kill()
        raise
    finally:
        pool.shutdown()


def _first(protocol: Protocol, entry: Entry, curves: dict[str, Points], workers: dict[str, Worker]) -> None:
    """Import the library, measure its accuracy, and let it compile its loss."""
    worker = workers[entry.name] = Worker(entry.name)
    try:
        worker.answer()
    except FailedError as error:
        entry.status, entry.why = "missing" if error.missing else "failed", str(error)
        worker.close()
        del workers[entry.name]
        return
    for quantity in QUANTITIES:
        for against, curve in curves.items():
            values = _ask(entry, quantity, worker, "values", quantity, curve.x, curve.y)
            if values is not None:
                entry.errors.setdefault(quantity, {})[against] = curve.worst(quantity, values)
    _ask(entry, "loss", worker, "prepare", "loss", protocol.loss[0], protocol.length, protocol.seed)


def _ask(entry: Entry, what: str, worker: Worker, method: str, *arguments: Any) -> Any:
    """Return the answer, or None if the request failed.

    A failure is recorded, and later requests for the same `what` are skipped.
    """
    if what not in entry.failed and worker.gone():
        entry.failed[what] = "not measured: its process was gone before"
    if what in entry.failed:
        return None
    try:
        return worker.ask(method, *arguments)
    except FailedError as error:
        entry.failed[what] = str(error)
        return None


def _contest(
    protocol: Protocol, kind: Kind, rows: int, entries: dict[str, Entry], workers: Sequence[Worker]
) -> None:
    """Time all libraries in turn, then measure the peak memory of each."""
    inputs = (rows, protocol.length, protocol.seed)
    ready = [w for w in workers if _ask(entries[w.name], kind, w, "prepare", kind, *inputs)]

    def sampler(worker: Worker) -> Callable[[], float]:
        return lambda: _ask(entries[worker.name], kind, worker, "sample") or math.nan

    seconds = in_turn(
        {worker.name: sampler(worker) for worker in ready},
        protocol.rounds,
        fewest=protocol.fewest,
        budget=protocol.budget,
    )
    ours = next((times for name, times in seconds.items() if entries[name].ours), None)
    for worker in ready:
        entry = entries[worker.name]
        if kind in entry.failed:
            continue
        figure = _figure(seconds[entry.name], None if entry.ours else ours)
        figure.peak_bytes = _ask(entry, kind, worker, "peak")
        entry.figures.setdefault(kind, {})[rows] = figure


def _figure(seconds: Sequence[float], ours: Sequence[float] | None) -> Figure:
    figure = Figure(statistics.median(seconds))
    if ours is not None and not any(map(math.isnan, ours)):
        ratios = [theirs / own for theirs, own in zip(seconds, ours, strict=True)]
        figure.ratio = statistics.median(ratios)
        figure.ratio_low, figure.ratio_high = min(ratios), max(ratios)
    return figure
