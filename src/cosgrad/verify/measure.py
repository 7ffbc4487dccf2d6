"""One measurement: compares returned numbers with true ones, and explains errors beyond the bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cosgrad.verify.bounds import Bound, textbook
from cosgrad.verify.diagnosis import Evidence
from cosgrad.verify.findings import Finding, Verdict
from cosgrad.verify.inputs import Batch
from cosgrad.verify.ulp import FORMATS, Array, Numbers, errors


def measure(
    batch: Batch,
    got: Sequence[Array],
    true: Sequence[Numbers],
    scale: Sequence[Numbers],
    bound: Bound,
    *,
    sign: float = 1.0,
    quantity: str = "",
    otherwise: Verdict = "fail",
    explain: Callable[[Evidence], list[str]],
    raw: bool,
) -> Finding:
    """Compare arrays of (rows, entries) with the true numbers.

    Args:
        batch: The input, for the report.
        got: The returned arrays.
        true: The true numbers, flattened, up to the sign.
        scale: The natural size of the terms of each number.
        bound: The allowed error.
        sign: -1 if the negative of `true` should have been returned, else 1.
        quantity: The name of the quantity in the table of errors.
        otherwise: The verdict if the bound does not hold.
        explain: The diagnosis. It returns every sentence that fits.
        raw: Whether to report the whole error. Otherwise the allowance for cancellation is subtracted.
    """
    if not sum(g.size for g in got):
        return Finding("pass")
    measured = [errors(sign * g.ravel(), t, batch.dtype) for g, t in zip(got, true, strict=True)]
    ulp = np.concatenate([e.ulp for e in measured])
    sizes = np.concatenate([e.in_ulp(s) for e, s in zip(measured, scale, strict=True)])
    row = np.concatenate([np.repeat(np.arange(len(g)), g.shape[1]) for g in got])
    slack = bound.allowed(sizes) - bound.ulp
    with np.errstate(invalid="ignore"):
        excess = np.where(np.isnan(ulp - slack), ulp, np.maximum(ulp - slack, 0.0))
    # A raw error is in ulp of the true number, or of its cancelling terms if those are larger.
    shown = ulp / np.maximum(1.0, sizes * 2 * FORMATS[batch.dtype].unit) if raw else excess
    failed = bool(np.any(excess > bound.ulp))
    at = int(np.argmax(excess if failed else shown))
    where = batch.describe(int(row[at]))
    if not failed:
        return Finding("pass", float(shown[at]), where, "", quantity, batch.dtype)
    why, *also = explain(_evidence(batch, got, true, scale, bound, sign))
    return Finding(otherwise, float(shown[at]), where, why, quantity, batch.dtype, tuple(also))


def _evidence(
    batch: Batch,
    got: Sequence[Array],
    true: Sequence[Numbers],
    scale: Sequence[Numbers],
    bound: Bound,
    sign: float,
) -> Evidence:
    relative = max(bound.relative, textbook(batch.dtype, batch.n).relative)
    unit = FORMATS[batch.dtype].unit
    exact = [sign * t.floats.reshape(g.shape) for t, g in zip(true, got, strict=True)]
    with np.errstate(all="ignore"):
        allowed = [
            2 * unit * np.abs(t) + relative * s.floats.reshape(t.shape)
            for t, s in zip(exact, scale, strict=True)
        ]
    return Evidence(got, exact, allowed, batch.dtype)
