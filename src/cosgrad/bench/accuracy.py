"""Errors of results against the definition, in units in the last place (float32 inputs and results)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cosgrad.verify.oracle import Pair
from cosgrad.verify.ulp import Array, Numbers, errors, round_to


@dataclass(frozen=True)
class Accuracy:
    """The worst error, and the number of values that were not the nearest float32."""

    worst_ulp: float
    wrong: int
    judged: int

    def __str__(self) -> str:
        """Return the text of a table cell."""
        return f"{self.wrong / self.judged:.0%}, {self.worst_ulp:.3g} ulp"


def truth(x: ArrayLike, y: ArrayLike, *, distance: bool) -> Numbers:
    """Return S or 1 - S of every row, by the oracle of `cosgrad verify`, in Python."""
    rows = zip(np.asarray(x), np.asarray(y), strict=True)
    return Numbers(pair.distance if distance else pair.similarity for pair in (Pair(a, b) for a, b in rows))


def in_ulp(result: ArrayLike, true: Numbers) -> Array:
    """Return the error of each value, rounded to float32 first. The error of NaN and Inf is inf."""
    values = np.asarray(result, dtype=np.float64)[: len(true)]
    return np.where(np.isfinite(values), errors(round_to(values, "float32"), true, "float32").ulp, np.inf)


def judge(result: ArrayLike, true: Numbers) -> Accuracy:
    """Return the accuracy of the first rows of `result`."""
    ulp = in_ulp(result, true)
    return Accuracy(float(ulp.max()), int(np.count_nonzero(ulp > 0.5)), len(true))
