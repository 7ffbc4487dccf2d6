"""Time in turn: A B C, A B C, …, so that a slow spell of the machine slows everyone."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Work = Callable[[], Any]
"""Does one piece of work once."""

SHORTEST_SAMPLE = 0.02
"""Seconds: what takes less is repeated until it takes this long, so that the clock's grain does not count."""


def sample(work: Work, count: int) -> float:
    """Seconds that `work` takes once, from doing it `count` times."""
    start = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start) / count


def repeats(work: Work) -> int:
    """How often `work` must be done for one sample to last `SHORTEST_SAMPLE`."""
    count = 1
    while (seconds := sample(work, count) * count) < SHORTEST_SAMPLE:
        count = max(2 * count, int(count * SHORTEST_SAMPLE / max(seconds, 1e-9)))
    return count


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the garbage collector out of the samples."""
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
    """What every sampler returned in every round.

    Args:
        samplers: Each returns the seconds that its way of doing the work took.
        rounds: How many rounds.
        fewest: After so many rounds it stops where `budget` is spent; all of `rounds` by default.
        budget: Seconds.

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
    """Seconds per way and round, all in this process; everyone warms up first."""
    for work in ways.values():
        work()
    counts = {name: repeats(work) for name, work in ways.items()}

    def sampler(name: str) -> Callable[[], float]:
        return lambda: sample(ways[name], counts[name])

    with no_collection():
        return in_turn({name: sampler(name) for name in ways}, rounds)


def fastest(ways: Mapping[str, Work], rounds: int = 3) -> tuple[str, Work]:
    """The way with the best median, and its name: a rival enters with the best that it can do here."""
    seconds = time_in_turn(ways, rounds)
    name = min(seconds, key=lambda way: statistics.median(seconds[way]))
    return name, ways[name]
