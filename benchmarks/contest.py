"""A contest: one piece of work done by cosgrad and by its rivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cosgrad.bench.accuracy import Accuracy
from cosgrad.bench.timing import Work

OURS = "cosgrad"


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
