"""Results of the checks: verdicts, one finding per measurement, one row per check."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "skipped", "hazard", "fail"]
UNEXPLAINED = "no simple mistake explains it"
SEVERITY: dict[Verdict, int] = {"skipped": 0, "pass": 1, "hazard": 2, "fail": 3}


@dataclass(frozen=True)
class Finding:
    """One measurement."""

    verdict: Verdict
    ulp: float | None = None
    """The worst error. For the package's own frontends, the allowance for cancellation is subtracted."""
    where: str = ""
    """The input with this error."""
    why: str = ""
    """The reason in one sentence, if the verdict is not a pass."""
    quantity: str = ""
    dtype: str = ""
    also: tuple[str, ...] = ()
    """Other explanations that fit this measurement."""


@dataclass
class Row:
    """One line of the table."""

    subject: str
    check: str
    asks: str
    verdict: Verdict = "skipped"
    ulp: float | None = None
    where: str = ""
    why: str = ""
    seconds: float = 0.0
    worst: dict[str, dict[str, float]] = field(default_factory=dict)
    """The worst error by quantity and dtype."""

    def as_dict(self) -> dict[str, Any]:
        """Return a dict for JSON. Inf and NaN become strings, because JSON has neither."""
        worst = {q: {dtype: _told(ulp) for dtype, ulp in by.items()} for q, by in self.worst.items()}
        return {**asdict(self), "ulp": _told(self.ulp), "worst": worst}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Row:
        """Make a row from the dict of `as_dict`."""
        worst = {q: {dtype: float(ulp) for dtype, ulp in by.items()} for q, by in d["worst"].items()}
        return cls(**{**d, "ulp": None if d["ulp"] is None else float(d["ulp"]), "worst": worst})


def _told(ulp: float | None) -> float | str | None:
    return ulp if ulp is None or math.isfinite(ulp) else str(ulp)


def summarize(subject: str, check: str, asks: str, findings: Iterable[Finding]) -> Row:
    """Summarize the findings of a check in one row.

    The row has the worst finding, and the explanation that fits most of the findings with the same verdict.
    """
    row = Row(subject, check, asks)
    worst: Finding | None = None
    said: Counter[tuple[Verdict, str]] = Counter()
    for f in findings:
        said.update((f.verdict, why) for why in (f.why, *f.also))
        if f.quantity and f.ulp is not None:
            by_dtype = row.worst.setdefault(f.quantity, {})
            by_dtype[f.dtype] = max(by_dtype.get(f.dtype, 0.0), f.ulp)
        if worst is None or _rank(f) > _rank(worst):
            worst = f
    if worst is not None:
        row.verdict, row.ulp, row.where = worst.verdict, worst.ulp, worst.where
        same = {why: n for (verdict, why), n in said.items() if verdict == worst.verdict}
        explained = {why: n for why, n in same.items() if not why.endswith(UNEXPLAINED)}
        # An explanation that fits only a few of many inputs probably fits them by chance.
        if explained and 2 * sum(explained.values()) >= sum(same.values()):
            row.why = max(explained, key=explained.__getitem__)
        else:
            row.why = next((why for why in (worst.why, *same) if why.endswith(UNEXPLAINED)), worst.why)
    return row


def _rank(f: Finding) -> tuple[int, float]:
    return SEVERITY[f.verdict], -1.0 if f.ulp is None else f.ulp
