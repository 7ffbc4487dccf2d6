"""Checks of first derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from cosgrad.verify import bounds, diagnosis, inputs
from cosgrad.verify.adapters.base import RaisedError
from cosgrad.verify.case import Case
from cosgrad.verify.checks.common import lost_digits, most_lost, out_of_scale
from cosgrad.verify.diagnosis import Evidence
from cosgrad.verify.findings import UNEXPLAINED, Finding
from cosgrad.verify.registry import check
from cosgrad.verify.ulp import FORMATS, Array

LENGTHS = (2, 3, 16, 17, 768)


def _vjp(case: Case, batch: inputs.Batch) -> tuple[Array, Array]:
    return case.f.vjp(batch.x, batch.y, batch.g, batch.dtype)


@check("gradients", "dS/dx and dS/dy, any cotangent", raising="skipped")
def gradients(case: Case) -> Iterator[Finding]:
    """Check the gradients on ordinary input."""
    for dtype in case.checked:
        for n in LENGTHS:
            batch = inputs.ordinary(case.seed, n, dtype)
            got = _vjp(case, batch)
            yield case.gradients(batch, got, explain=partial(_explain, case, batch))


def _explain(case: Case, batch: inputs.Batch, e: Evidence) -> list[str]:
    sentences = diagnosis.of_gradient(batch, case.f.sign, e)
    if sentences[0].endswith(UNEXPLAINED) and own_derivative(case, batch, e):
        return ["it is the derivative of what the function returns, which is not the cosine"]
    return sentences


def own_derivative(case: Case, batch: inputs.Batch, e: Evidence) -> bool:
    """Return whether the gradient agrees with finite differences of the function itself, in float64."""
    if "float64" not in case.dtypes:
        return False
    h = 1e-5
    try:
        ends = [
            case.f.value(batch.x + s * h * batch.u, batch.y + s * h * batch.v, "float64").values
            for s in (1, -1)
        ]
    except RaisedError:
        return False
    slope = batch.g * (ends[0] - ends[1]) / (2 * h)
    along = np.sum(e.got[0] * batch.u, axis=1) + np.sum(e.got[1] * batch.v, axis=1)
    tolerance = max(1e-6, 2 * bounds.textbook(batch.dtype, batch.n).relative)
    size = np.linalg.norm(batch.u, axis=1) * np.linalg.norm(e.got[0], axis=1) + np.linalg.norm(
        batch.v, axis=1
    ) * np.linalg.norm(e.got[1], axis=1)
    return bool((np.abs(slope - along) <= tolerance * np.maximum(size, 1e-6)).all())


@check("hard gradients", "right on every hard input", quantity="similarity", audience="frontends")
def hard(case: Case) -> Iterator[Finding]:
    """Check that the package's own bound holds on all hard input."""
    for dtype in case.dtypes:
        for n in (1, 2, 3, 16, 17, 768) if case.thorough else (1, 2, 3, 17):
            batches = inputs.hard(case.seed, n, dtype)
            every, cut = inputs.together(batches)
            for batch, *got in zip(batches, *map(cut, _vjp(case, every)), strict=True):
                yield case.gradients(batch, (got[0], got[1]))
        for n in (768, 4097):
            batch = inputs.near(case.seed, n, dtype).rows([0, 3, 5, 9])
            yield case.gradients(batch, _vjp(case, batch))


@check("total derivative", "<u, dS/dx> + <v, dS/dy>", raising="skipped")
def total(case: Case) -> Iterator[Finding]:
    """Check the total derivative. NumPy has a function for it. Others compute it from the gradients."""
    for dtype in case.checked:
        for n in (2, 3, 16, 768):
            batch = inputs.ordinary(case.seed, n, dtype)
            if case.f.framework == "numpy":
                yield case.totals(batch, case.f.jvp(batch.x, batch.y, batch.u, batch.v, dtype))
                continue
            gx, gy = case.f.vjp(batch.x, batch.y, np.ones(len(batch)), dtype)
            yield paired(case, batch, np.sum(batch.u * gx, axis=1) + np.sum(batch.v * gy, axis=1))


def paired(case: Case, batch: inputs.Batch, got: Array) -> Finding:
    """Check a derivative along (u, v) that was summed from rounded gradients."""
    true, scale = case.f.sign * batch.totals[0].floats, batch.totals[1].floats
    relative = 8 * FORMATS[batch.dtype].unit if case.exact else bounds.textbook(batch.dtype, batch.n).relative
    error = np.nan_to_num(np.abs(got - true) / (relative * scale), nan=np.inf)
    row = int(np.argmax(error))
    ulp = float(error[row]) * relative / (2 * FORMATS[batch.dtype].unit)
    if error[row] <= 1:
        return Finding("pass", ulp, batch.describe(row))
    e = Evidence([got[:, None]], [true[:, None]], [(relative * scale)[:, None]], batch.dtype)
    return Finding("fail", ulp, batch.describe(row), diagnosis.of_total(batch, case.f.sign, e)[0])


@check("orthogonality", "<x, dS/dx> = <y, dS/dy> = 0", raising="skipped")
def orthogonality(case: Case) -> Iterator[Finding]:
    """Check that the gradient has no part along x, because S does not change with |x|."""
    for dtype in case.checked:
        for n in (2, 3, 17, 768):
            batch = inputs.ordinary(case.seed, n, dtype)
            unit = FORMATS[dtype].unit
            relative = unit / 2 if case.exact else bounds.textbook(dtype, n).relative
            S = case.f.sign * batch.similarities.floats
            for name, x, g in zip("xy", (batch.x, batch.y), _vjp(case, batch), strict=True):
                along = np.sum(x * g, axis=1) / batch.g
                size = 2 + np.sum(np.abs(x * g), axis=1) / np.abs(batch.g)
                error = np.nan_to_num(np.abs(along) / size, nan=np.inf)
                row = int(np.argmax(error))
                ulp = float(error[row] / (2 * unit))
                if error[row] <= 4 * relative:
                    yield Finding("pass", ulp, batch.describe(row))
                    continue
                why = (
                    f"the gradient in {name} has a part along {name}: <{name}, dS/d{name}> = {along[row]:.2g}"
                )
                if np.allclose(along, S, rtol=1e-3, atol=100 * relative):
                    why = f"<{name}, dS/d{name}> = S: the norm is treated as a constant (detached)"
                yield Finding("fail", ulp, batch.describe(row), why)


@check("near-parallel gradient", "alive and right at 1e-7 rad", raising="skipped")
def near(case: Case) -> Iterator[Finding]:
    """Check nearly parallel vectors, which are the usual end of training.

    An error of 1 % at 1e-5 rad in float32 is common. A zero gradient is a mistake.
    """
    lost: list[Finding] = []
    for dtype in case.checked:
        for n in (2, 3, 16, 768):
            batch = inputs.near(case.seed, n, dtype)
            got = _vjp(case, batch)
            finding = case.gradients(batch, got)
            yield finding
            if not case.exact and finding.verdict == "pass":
                true = (case.f.sign * t.floats for t in batch.gradients.true)
                lost += (lost_digits(batch, *pair) for pair in zip(got, true, strict=True))
    yield from most_lost(lost)


@check("extreme-scale gradient", "squares over- or underflow", raising="skipped")
def extreme(case: Case) -> Iterator[Finding]:
    """Check norms at the ends of the range. A failure is only a hazard for users' functions."""
    for dtype in case.wide:
        for n in (2, 16, 768):
            batch = inputs.extreme(case.seed, n, dtype)
            yield case.gradients(batch, _vjp(case, batch), case.breach, out_of_scale)
