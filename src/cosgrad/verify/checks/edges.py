"""Checks of zero, empty and non-finite vectors, of independent rows and of unchanged arguments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosgrad.verify import inputs
from cosgrad.verify.case import Case
from cosgrad.verify.checks.common import gradient_size, optional, same
from cosgrad.verify.findings import Finding
from cosgrad.verify.registry import check


def _one_per_call(case: Case) -> bool:
    return case.f.signature != "rows"


@check("zero vectors", "S = 0, gradient 0, never NaN", raising="hazard")
def zero(case: Case) -> Iterator[Finding]:
    """Check zero vectors. The mathematics does not define S there, but a careful implementation does."""
    bad = case.breach
    expected = 0.0 if case.f.sign > 0 else 1.0
    for dtype in case.checked:
        base = inputs.ordinary(case.seed, 3, dtype)
        x, y = base.x.copy(), base.y.copy()
        x[0], y[1], x[2], y[2] = 0.0, 0.0, 0.0, 0.0
        batch = inputs.batch(x, y, dtype, "zero vectors", case.seed)
        where = f"zero vectors in rows 0 to 2 {dtype} n 3"
        got = case.f.value(x, y, dtype).values[:3]
        if np.isnan(got).any():
            yield Finding(bad, where=where, why="it is NaN at a zero vector")
        elif not (got == expected).all():
            first = float(got[got != expected][0])
            yield Finding(
                bad, where=where, why=f"it is {first:.3g} at a zero vector, where {expected:.0f} is the rule"
            )
        with optional(case):
            gradients = case.f.vjp(x, y, batch.g, dtype)
            part = np.concatenate([g[:3].ravel() for g in gradients])
            if np.isnan(part).any():
                yield Finding(bad, where=where, why="its gradient is NaN at a zero vector")
            elif case.exact and (part != 0).any():
                yield Finding(
                    bad, where=where, why=f"its gradient is {np.abs(part).max():.2g} at a zero vector"
                )
            elif np.abs(part).max() > 1e4 * gradient_size(base).max():
                yield Finding(
                    bad, where=where, why=f"its gradient explodes at a zero vector: {np.abs(part).max():.1e}"
                )
    yield Finding("pass")


@check("empty vectors", "S = 0 at length 0", raising="skipped")
def empty(case: Case) -> Iterator[Finding]:
    """Check empty vectors. An empty sum is 0."""
    expected = 0.0 if case.f.sign > 0 else 1.0
    dtype = case.dtypes[0]
    got = case.f.value(np.zeros((3, 0)), np.zeros((3, 0)), dtype).values
    if (got == expected).all():
        yield Finding("pass")
    else:
        bad = case.breach
        yield Finding(bad, where=f"{dtype}, n 0", why=f"it is {got[0]:.3g} for vectors of length 0")


@check("non-finite rows", "NaN there, and nowhere else", raising="hazard")
def non_finite(case: Case) -> Iterator[Finding]:
    """Check that a row with NaN or Inf gives NaN and does not change the other rows."""
    dtype = case.dtypes[0]
    batch = inputs.ordinary(case.seed, 16, dtype, 5)
    others = [0, 1, 3, 4]
    clean = case.f.value(batch.x, batch.y, dtype).values
    for name, bad in (("NaN", np.nan), ("Inf", np.inf)):
        x, y = batch.x.copy(), batch.y.copy()
        x[2, 5] = bad
        where = f"{name} in row 2 of 5 {dtype} n 16"
        got = case.f.value(x, y, dtype).values
        if not np.isnan(got[2]):
            why = f"a vector with {name} gives {got[2]:.3g}"
            yield Finding(case.breach, where=where, why=why)
        if _one_per_call(case):
            continue
        finding = same(case, batch.rows(others), clean[others], got[others], "")
        if finding.verdict == "fail":
            yield Finding("fail", None, where, f"one row with {name} changes other rows of the batch")
        with optional(case):
            before = case.f.vjp(batch.x, batch.y, batch.g, dtype)
            after = case.f.vjp(x, y, batch.g, dtype)
            size = gradient_size(batch)
            for a, b in zip(before, after, strict=True):
                part = same(case, batch.rows(others), a[others], b[others], "", size[others])
                if part.verdict == "fail":
                    yield Finding(
                        "fail",
                        None,
                        where,
                        f"one row with {name} changes the gradients of other rows of the batch",
                    )
            if case.exact and not np.isnan(np.concatenate([a[2] for a in after])).all():
                yield Finding("fail", None, where, f"the gradient of a row with {name} is a number")
    yield Finding("pass")


@check("rows", "alone the same as in a batch")
def rows(case: Case) -> Iterator[Finding]:
    """Check that no row depends on another row."""
    if _one_per_call(case):
        yield Finding("skipped", why="it is called with one pair at a time")
        return
    for dtype in case.checked:
        batch = inputs.ordinary(case.seed, 17, dtype)
        together = case.f.value(batch.x, batch.y, dtype).values
        alone = [
            case.f.value(batch.x[i : i + 1], batch.y[i : i + 1], dtype).values for i in range(len(batch))
        ]
        yield same(
            case, batch, together, np.concatenate(alone), "a row depends on the other rows of its batch"
        )
        with optional(case):
            got = case.f.vjp(batch.x, batch.y, batch.g, dtype)
            parts = [
                case.f.vjp(batch.x[i : i + 1], batch.y[i : i + 1], batch.g[i : i + 1], dtype)
                for i in range(len(batch))
            ]
            why = "a row's gradient depends on the other rows of its batch"
            for k in (0, 1):
                one = np.concatenate([p[k] for p in parts])
                yield same(case, batch, got[k], one, why, gradient_size(batch))


@check("arguments", "left unchanged")
def arguments(case: Case) -> Iterator[Finding]:
    """Check that the function does not write to its arguments."""
    for dtype in case.wide:
        for batch in (inputs.ordinary(case.seed, 16, dtype), inputs.lattice(case.seed, 3, dtype)):
            if case.f.value(batch.x, batch.y, dtype).mutated:
                yield Finding("fail", None, batch.describe(0), "it writes to its arguments")
            else:
                yield Finding("pass")
