"""A check that compares results with their error bounds."""

import numpy as np

from cosgrad.verify import inputs
from cosgrad.verify.bounds import Bound
from cosgrad.verify.ulp import errors


def check(batch: inputs.Batch, got: np.ndarray, true: list, scale: list, bound: Bound) -> None:
    """Check that every number is within its bound. The error message names the worst row."""
    measured = errors(np.asarray(got, np.float64).ravel(), true, batch.dtype)
    allowed = bound.allowed(measured.in_ulp(scale))
    with np.errstate(invalid="ignore"):
        excess = np.where(measured.ulp <= allowed, 0, measured.ulp - allowed)
    worst = int(np.argmax(excess))
    row = worst // max(len(true) // len(batch), 1)
    assert excess[worst] == 0, f"{measured.ulp[worst]} ulp, {batch.describe(row)}, seed {batch.seed}"
