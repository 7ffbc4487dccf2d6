"""A contest: one piece of work done by cosgrad and by its rivals, timed in turn in one process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from accuracy import Accuracy

Work = Callable[[], Any]

OURS = "cosgrad"
SHORTEST_SAMPLE = 0.02
"""Seconds: what takes less is repeated until it takes this long, so that the clock's grain does not count."""


@dataclass(frozen=True)
class Rival:
    """Somebody else's way to do the work.

    Attributes:
        do: Does the work once.
        target: How many times as fast cosgrad is meant to be; None where nothing was promised.
        comparable: Whether its result is the same quantity, and can be judged.
        how: Which of several ways was the fastest, where the rival had a choice.
    """

    do: Work
    target: float | None = None
    comparable: bool = True
    how: str = ""


@dataclass(frozen=True)
class Contest:
    """What `Workload.prepare` makes: the same inputs, bound to everyone's way of doing the work.

    Attributes:
        ours: cosgrad's way.
        rivals: The others' ways, by name.
        missing: Rivals that are not installed, by name, and why they are left out.
        judge: Holds a result against the definition in higher precision, where that is cheap.
    """

    ours: Work
    rivals: Mapping[str, Rival]
    missing: Mapping[str, str] = field(default_factory=dict)
    judge: Callable[[Any], Accuracy] | None = None

    def everyone(self) -> dict[str, Work]:
        """Every way of doing the work, cosgrad's first."""
        return {OURS: self.ours} | {name: rival.do for name, rival in self.rivals.items()}

    def accuracies(self) -> dict[str, Accuracy]:
        """How right everyone is whose result can be judged."""
        if self.judge is None:
            return {}
        rivals = {name: rival.do for name, rival in self.rivals.items() if rival.comparable}
        return {name: self.judge(do()) for name, do in ({OURS: self.ours} | rivals).items()}


@dataclass(frozen=True)
class Workload:
    """One piece of work of the registry."""

    name: str
    title: str
    prepare: Callable[[], Contest]


def repeats(work: Work) -> int:
    """How often `work` must be done for one sample to last `SHORTEST_SAMPLE`."""
    count = 1
    while (seconds := sample(work, count) * count) < SHORTEST_SAMPLE:
        count = max(2 * count, int(count * SHORTEST_SAMPLE / max(seconds, 1e-9)))
    return count


def sample(work: Work, count: int) -> float:
    """Seconds that `work` takes once, from doing it `count` times."""
    start = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start) / count


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the garbage collector out of the samples."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def time_in_turn(ways: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds per way and round: A B C, A B C, …, so that a slow spell of the machine slows everyone."""
    for work in ways.values():
        work()
    counts = {name: repeats(work) for name, work in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with no_collection():
        for _ in range(rounds):
            for name, work in ways.items():
                seconds[name].append(sample(work, counts[name]))
    return seconds


def fastest(ways: Mapping[str, Work], rounds: int = 3) -> tuple[str, Work]:
    """The way with the best median, and its name: a rival enters with the best that it can do here."""
    seconds = time_in_turn(ways, rounds)
    name = min(seconds, key=lambda way: statistics.median(seconds[way]))
    return name, ways[name]
