"""How far a result is from the definition, in units in the last place (float32 inputs and results)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

ROWS = 200
"""How many rows are judged: the reference is computed in Python."""

DIGITS = 50
"""Of the reference: a distance of 1e-9 keeps forty."""


@dataclass(frozen=True)
class Accuracy:
    """The worst error, and how many values were not the nearest float32."""

    worst_ulp: float
    wrong: int
    judged: int

    def __str__(self) -> str:
        """As a cell of the table."""
        return f"{self.wrong / self.judged:.0%}, {self.worst_ulp:.3g} ulp"


def truth(x: NDArray[np.float32], y: NDArray[np.float32], *, distance: bool) -> NDArray[np.float64]:
    """S or 1 - S of the first rows, by the definition in many digits."""
    return np.array([_row(a, b, distance) for a, b in zip(x[:ROWS], y[:ROWS], strict=True)])


def _row(x: NDArray[np.float32], y: NDArray[np.float32], distance: bool) -> float:
    with mpmath.workdps(DIGITS):
        a, b = mpmath.matrix(x.tolist()), mpmath.matrix(y.tolist())
        S = mpmath.fdot(a, b) / mpmath.sqrt(mpmath.fdot(a, a) * mpmath.fdot(b, b))
        return float(1 - S if distance else S)


def judge(result: Any, true: NDArray[np.float64]) -> Accuracy:
    """The error of the first rows of `result`, rounded to float32 first if it is wider."""
    values = np.asarray(result).astype(np.float32)[: len(true)]
    nearest = true.astype(np.float32)
    error = np.abs(values.astype(np.float64) - true) / np.spacing(np.abs(nearest)).astype(np.float64)
    return Accuracy(float(error.max()), int(np.count_nonzero(values != nearest)), len(true))
