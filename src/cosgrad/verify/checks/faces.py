"""The rest of the package: unit vectors and losses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from cosgrad.verify import bounds, inputs, oracle
from cosgrad.verify.case import Case
from cosgrad.verify.findings import Finding
from cosgrad.verify.measure import measure
from cosgrad.verify.registry import check
from cosgrad.verify.ulp import FORMATS, Array, Numbers, round_to


@check("unit vector", "x / |x| and its derivative", quantity="similarity", audience="faces")
def unit_vector(case: Case) -> Iterator[Finding]:
    """`normalize`, at eps = 0."""
    for dtype in case.dtypes:
        for make in (inputs.ordinary, inputs.extreme, inputs.wild, inputs.subnormal):
            for n in (1, 3, 17, 768):
                batch = make(case.seed, n, dtype)
                g = batch.v if make is inputs.ordinary else round_to(np.sign(batch.y), dtype)
                unit, back = case.f.normalize(batch.x, g, dtype)
                true = Numbers(chain(*(oracle.normalize(x) for x in batch.x)))
                yield _measured(batch, unit, true, bounds.unit_vector(dtype, n), true, "x / |x|")
                if back is not None and make is inputs.ordinary:
                    rows = list(zip(batch.x, g, strict=True))
                    scale = Numbers(chain(*(oracle.normalize_vjp_scale(x, w) for x, w in rows)))
                    true = Numbers(chain(*(oracle.normalize_vjp(x, w) for x, w in rows)))
                    bound = bounds.gradient(dtype, n)
                    yield _measured(batch, back, true, bound, scale, "the derivative of x / |x|")


def _measured(
    batch: inputs.Batch, got: Array, true: Numbers, bound: bounds.Bound, scale: Numbers, what: str
) -> Finding:
    return measure(batch, [got], [true], [scale], bound, explain=lambda _: [f"{what} is off"], raw=False)


@check("losses", "every reduction, with weights", quantity="similarity", audience="faces")
def losses(case: Case) -> Iterator[Finding]:
    """Held to a handful of roundings: a reduction adds and divides in the dtype."""
    for dtype in case.dtypes:
        unit = FORMATS[dtype].unit
        batch = inputs.angles(case.seed, 17, dtype)
        weights = round_to(np.array([0.0, 1.0, 0.5, 2.0, 0.0, 1.5, 0.25]), dtype)
        distances = batch.distances
        for w in (None, weights):
            for reduction in ("sum", "mean", "weighted_mean", "nonzero_mean"):
                got = case.f.distance_loss(batch.x, batch.y, dtype, w, reduction)
                true = float(oracle.reduce(distances, None if w is None else w.tolist(), reduction))
                where = f"{reduction}, {'no ' if w is None else ''}weights {dtype} n 17"
                yield _near(got, true, 8 * unit * max(abs(true), 1.0), unit, where, "the distance loss")
        target = np.array([1, -1, 1, -1, -1, 1, -1])
        rows = case.f.embedding_loss(batch.x, batch.y, target, 0.25, dtype)
        for i, (x, y, t) in enumerate(zip(batch.x, batch.y, target.tolist(), strict=True)):
            true = float(oracle.embedding_loss(x, y, t, 0.25))
            yield _near(rows[i], true, 4 * unit, unit, batch.describe(i), "the embedding loss")


def _near(got: float, true: float, allowed: float, unit: float, where: str, what: str) -> Finding:
    error = abs(got - true) / (2 * unit * (abs(true) or 1.0))
    if abs(got - true) <= allowed:
        return Finding("pass", error, where)
    return Finding("fail", error, where, f"{what} is {got:.9g}, should be {true:.9g}")
