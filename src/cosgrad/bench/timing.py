"""Timing in turn: A B C, A B C, …, so that a slow period of the machine affects all libraries."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Work = Callable[[], Any]
"""A function that does one task once."""

SHORTEST_SAMPLE = 0.02
"""In seconds. Shorter work is repeated until it takes this long, so the clock's resolution is negligible."""


def sample(work: Work, count: int) -> float:
    """Return the seconds of one call of `work`, as the mean of `count` calls."""
    start = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start) / count


def repeats(work: Work) -> int:
    """Return how often `work` must be called for one sample to last `SHORTEST_SAMPLE`."""
    count = 1
    while (seconds := sample(work, count) * count) < SHORTEST_SAMPLE:
        count = max(2 * count, int(count * SHORTEST_SAMPLE / max(seconds, 1e-9)))
    return count


@contextmanager
def no_collection() -> Iterator[None]:
    """Disable the garbage collector during the samples."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def in_turn(
    samplers: Mapping[str, Callable[[], float]],
    rounds: int,
    *,
    fewest: int | None = None,
    budget: float = float("inf"),
) -> dict[str, list[float]]:
    """Return the result of every sampler in every round.

    Args:
        samplers: Each does the work in its own way, and returns the seconds.
        rounds: The largest number of rounds.
        fewest: The smallest number of rounds. By default, it is `rounds`.
        budget: Seconds after which no round starts, once `fewest` rounds are done.

    Example:
        >>> in_turn({"a": lambda: 0.1, "b": lambda: 0.2}, 2)
        {'a': [0.1, 0.1], 'b': [0.2, 0.2]}
    """
    seconds: dict[str, list[float]] = {name: [] for name in samplers}
    start = time.perf_counter()
    for done in range(rounds):
        if done >= (fewest or rounds) and time.perf_counter() - start > budget:
            break
        for name, take in samplers.items():
            seconds[name].append(take())
    return seconds


def time_in_turn(ways: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every way in every round. All run in this process and are warmed up first."""
    for work in ways.values():
        work()
    counts = {name: repeats(work) for name, work in ways.items()}

    def sampler(name: str) -> Callable[[], float]:
        return lambda: sample(ways[name], counts[name])

    with no_collection():
        return in_turn({name: sampler(name) for name in ways}, rounds)


def fastest(ways: Mapping[str, Work], rounds: int = 3) -> tuple[str, Work]:
    """Return the way with the best median, and its name. So a competitor is measured at its fastest here."""
    seconds = time_in_turn(ways, rounds)
    name = min(seconds, key=lambda way: statistics.median(seconds[way]))
    return name, ways[name]
