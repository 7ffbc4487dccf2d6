"""Helpers for several checks: comparing a function with itself, and describing lost digits and overflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from cosgrad.verify import bounds
from cosgrad.verify.adapters.base import NoGradientError, RaisedError, UnsupportedError
from cosgrad.verify.case import Case
from cosgrad.verify.diagnosis import Evidence
from cosgrad.verify.findings import Finding
from cosgrad.verify.inputs import Batch
from cosgrad.verify.ulp import FORMATS, Array, round_to


@contextmanager
def optional(case: Case) -> Iterator[None]:
    """Ignore exceptions of optional features. The package's own functions must not raise."""
    try:
        yield
    except UnsupportedError:
        return
    except (RaisedError, NoGradientError):
        if case.exact:
            raise


def holds(x: Array, dtype: str) -> bool:
    """Return whether these numbers are exact in the dtype."""
    return bool(np.array_equal(round_to(x, dtype), x))


def same(case: Case, batch: Batch, one: Array, other: Array, why: str, size: Array | float = 1.0) -> Finding:
    """Compare two results that should be equal.

    The package's own results must have the same bits. Others may differ by rounding of `size`.
    """
    one, other = one.reshape(len(batch), -1), other.reshape(len(batch), -1)
    equal = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        gap = np.nan_to_num(np.where(equal, 0.0, np.abs(one - other)), nan=np.inf)
    scale = np.broadcast_to(np.asarray(size, dtype=np.float64).reshape(-1, 1), (len(batch), 1))
    scale = np.maximum(scale, np.nan_to_num(np.abs(one)).max(axis=1, keepdims=True, initial=0.0))
    allowed = 0.0 if case.exact else 8 * bounds.textbook(batch.dtype, batch.n).relative * scale
    row = int(np.argmax((gap / scale).max(axis=1, initial=0.0)))
    worst = float(gap[row].max(initial=0.0))
    ulp = worst / (2 * FORMATS[batch.dtype].unit * float(scale[row, 0]))
    if (gap <= allowed).all():
        return Finding("pass", ulp, batch.describe(row))
    by = "NaN" if worst == np.inf else f"{worst:.2g}"
    return Finding("fail", ulp, batch.describe(row), f"{why}, by {by}")


def gradient_size(batch: Batch) -> Array:
    """Return |g| max(1, 1/|x|, 1/|y|) for each row.

    No term of a gradient is larger, even if the function confuses the norms.
    """
    norms = np.minimum(np.linalg.norm(batch.x, axis=1), np.linalg.norm(batch.y, axis=1))
    return np.asarray(np.abs(batch.g) * np.maximum(1.0, 1.0 / np.where(norms == 0, np.inf, norms)))


def lost_digits(batch: Batch, got: Array, true: Array) -> Finding:
    """Return a hazard if more than three of the type's digits are lost in some row."""
    got, true = got.reshape(len(batch), -1), true.reshape(len(batch), -1)
    size = np.linalg.norm(true, axis=1)
    relative = np.linalg.norm(got - true, axis=1) / np.where(size == 0, 1.0, size)
    at = int(np.argmax(relative))
    error, epsilon = float(relative[at]), 2 * FORMATS[batch.dtype].unit
    if error < 1000 * epsilon:
        return Finding("pass", error / epsilon, batch.describe(at), dtype=batch.dtype)
    angles = [min(float(p.angle), np.pi - float(p.angle)) for p in batch.pairs]
    # the largest angle with an error of 0.5 % or more, if there is one, and the row with the largest error
    begins = max(
        (row for row in range(len(batch)) if relative[row] >= 5e-3), key=angles.__getitem__, default=at
    )
    said = [
        f"{_lost(float(relative[row]), epsilon)} at an angle of {angles[row]:.0e}"
        for row in dict.fromkeys((begins, at))
    ]
    why = f"digits are lost near parallel: {', '.join(said)}"
    return Finding("hazard", error / epsilon, batch.describe(at), why, dtype=batch.dtype)


def most_lost(found: list[Finding]) -> list[Finding]:
    """Return the finding with the largest relative error, which need not be the largest error in ulp."""
    return sorted(found, key=lambda f: (f.ulp or 0.0) * FORMATS[f.dtype].unit)[-1:]


def _lost(error: float, epsilon: float) -> str:
    if error >= 0.5:
        return "all are gone"
    if error >= 1e-4:
        return f"it is {100 * error:.2g} % off"
    return f"{np.log10(error / epsilon):.0f} of {-np.log10(epsilon):.0f} are gone"


def out_of_scale(e: Evidence) -> list[str]:
    """Describe the effects of overflow and underflow."""
    seen = []
    for name, test in (("NaN", np.isnan), ("Inf", np.isinf)):
        if any((test(g) & ~test(t)).any() for g, t in zip(e.got, e.true, strict=True)):
            seen.append(name)
    if any(((g == 0) & (t != 0)).any() for g, t in zip(e.got, e.true, strict=True)):
        seen.append("0")
    found = f"gives {' and '.join(seen)}" if seen else "loses digits"
    return [f"norms, or their squares, over- or underflow: it {found}"]
