"""Checks of the package's other functions and paths, and comparisons of the frontends with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import numpy as np

from cosgrad.verify import adapters, bounds, inputs, oracle
from cosgrad.verify.case import Case
from cosgrad.verify.findings import Finding
from cosgrad.verify.measure import measure
from cosgrad.verify.oracle import mp
from cosgrad.verify.registry import check
from cosgrad.verify.ulp import FORMATS, Array, Numbers, round_to


@check("unit vector", "x / |x| and its derivative", quantity="similarity", audience="frontends")
def unit_vector(case: Case) -> Iterator[Finding]:
    """Check `normalize` with eps = 0."""
    for dtype in case.dtypes:
        for n in (1, 3, 17, 768):
            families = (inputs.ordinary, inputs.extreme, inputs.wild, inputs.subnormal)
            batches = [make(case.seed, n, dtype) for make in families]
            every, cut = inputs.together(batches)
            unit, back = case.f.normalize(every.x, every.v, dtype)
            for batch, part in zip(batches, cut(unit), strict=True):
                true = Numbers(chain(*(oracle.normalize(x) for x in batch.x)))
                yield _measured(batch, part, true, bounds.unit_vector(dtype, n), true, "x / |x|")
            if back is not None:
                batch, part = batches[0], cut(back)[0]
                rows = list(zip(batch.x, batch.v, strict=True))
                scale = Numbers(chain(*(oracle.normalize_vjp_scale(x, w) for x, w in rows)))
                true = Numbers(chain(*(oracle.normalize_vjp(x, w) for x, w in rows)))
                bound = bounds.gradient(dtype, n)
                yield _measured(batch, part, true, bound, scale, "the derivative of x / |x|")


def _measured(
    batch: inputs.Batch, got: Array, true: Numbers, bound: bounds.Bound, scale: Numbers, what: str
) -> Finding:
    return measure(batch, [got], [true], [scale], bound, explain=lambda _: [f"{what} is off"], raw=False)


@check("losses", "every reduction, with weights", quantity="similarity", audience="frontends")
def losses(case: Case) -> Iterator[Finding]:
    """Check the losses. A few roundings are allowed, because a reduction adds and divides in the dtype."""
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


@check("closed forms", "where there is no kernel", quantity="similarity", audience="frontends")
def closed_forms(case: Case) -> Iterator[Finding]:
    """Check the closed forms within a wider bound. Devices and compilers without the kernel use them."""
    textbook = replace(case, exact=False)
    distance = adapters.frontend(case.f.framework, "distance", case.f.beat)
    for dtype in case.dtypes:
        batch = inputs.ordinary(case.seed, 17, dtype)
        S, *gradients = case.f.without_kernel(batch.x, batch.y, batch.g, dtype)
        D, *_ = distance.without_kernel(batch.x, batch.y, batch.g, dtype)
        over_angle = Numbers(p.distance / p.angle for p in batch.pairs)
        similarity, of_distance = (b(dtype, 17) for b in (bounds.closed_similarity, bounds.closed_distance))
        ones = Numbers(mp.mpf(1) for _ in batch.pairs)
        yield _measured(batch, S[:, None], batch.similarities, similarity, ones, "S by the closed forms")
        yield _measured(batch, D[:, None], batch.distances, of_distance, over_angle, "D by the closed forms")
        yield textbook.gradients(batch, (gradients[0], gradients[1]))


@check("as NumPy", "S, D, gradients: the same bits", quantity="similarity", audience="frontends")
def as_numpy(case: Case) -> Iterator[Finding]:
    """Check that the results have the same bits as in NumPy, also for hard and non-finite input.

    All frontends share one kernel, and none adds rounding of its own.
    """
    if case.f.framework == "numpy":
        yield Finding("skipped", why="it is NumPy")
        return
    here = case.f, adapters.frontend(case.f.framework, "distance", case.f.beat)
    numpy = tuple(adapters.frontend("numpy", f.quantity, case.f.beat) for f in here)
    for dtype in (d for d in case.dtypes if d in numpy[0].dtypes()):
        for n in (1, 3, 17):
            batches = [*inputs.hard(case.seed, n, dtype), _no_numbers(case.seed, n, dtype)]
            every, cut = inputs.together(batches)
            x, y, g = every.x, every.y, every.g
            pairs = [
                (f.quantity, f.value(x, y, dtype).values, reference.value(x, y, dtype).values)
                for f, reference in zip(here, numpy, strict=True)
            ]
            gradients = (f.vjp(x, y, g, dtype) for f in (here[0], numpy[0]))
            pairs += [("gradient", *pair) for pair in zip(*gradients, strict=True)]
            for what, *pair in pairs:
                for batch, *parts in zip(batches, *map(cut, pair), strict=True):
                    yield _alike(batch, what, *parts)


def _alike(batch: inputs.Batch, what: str, got: Array, expected: Array) -> Finding:
    """Compare the bits. All NaN count as equal."""
    bits = (np.where(np.isnan(a), np.nan, a).view(np.int64) for a in (got, expected))
    same = np.equal(*bits).reshape(len(batch), -1).all(axis=1)
    if same.all():
        return Finding("pass")
    why = f"the {what} has other bits than in NumPy"
    return Finding("fail", None, batch.describe(int(np.argmin(same))), why)


def _no_numbers(seed: int, n: int, dtype: str) -> inputs.Batch:
    """Return rows with zeros, infinities and NaN."""
    x = np.ones((4, n))
    x[:, 0] = (0.0, np.inf, -np.inf, np.nan)
    x[0] = 0.0
    return inputs.batch(x, np.ones_like(x), dtype, "no numbers", seed)


def _near(got: float, true: float, allowed: float, unit: float, where: str, what: str) -> Finding:
    error = abs(got - true) / (2 * unit * (abs(true) or 1.0))
    if abs(got - true) <= allowed:
        return Finding("pass", error, where)
    return Finding("fail", error, where, f"{what} is {got:.9g}, should be {true:.9g}")
