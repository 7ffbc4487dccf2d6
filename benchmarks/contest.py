"""A contest: one piece of work, done by cosgrad and by other libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cosgrad.bench.accuracy import Accuracy
from cosgrad.bench.timing import Work

OURS = "cosgrad"


@dataclass(frozen=True)
class Rival:
    """A competitor: another library's way to do the work.

    Attributes:
        do: Does the work once.
        target: The least ratio of the competitor's time to cosgrad's. None if there is no target.
        comparable: Whether the result is the same quantity, so that its accuracy can be measured.
        how: The fastest of several ways, if the competitor has several.
    """

    do: Work
    target: float | None = None
    comparable: bool = True
    how: str = ""


@dataclass(frozen=True)
class Contest:
    """The result of `Workload.prepare`: each library's way to do the work, with the same inputs.

    Attributes:
        ours: cosgrad's way.
        rivals: The competitors, by name.
        missing: The competitors that are not installed: from their names to the reasons.
        judge: Compares a result with the definition in higher precision. None if this is too expensive.
    """

    ours: Work
    rivals: Mapping[str, Rival]
    missing: Mapping[str, str] = field(default_factory=dict)
    judge: Callable[[Any], Accuracy] | None = None

    def everyone(self) -> dict[str, Work]:
        """Return every way to do the work, cosgrad's first."""
        return {OURS: self.ours} | {name: rival.do for name, rival in self.rivals.items()}

    def accuracies(self) -> dict[str, Accuracy]:
        """Return the accuracy of cosgrad and of every competitor whose result is comparable."""
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
