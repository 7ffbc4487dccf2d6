"""Checks of returned values, on ordinary and on hard input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosgrad.verify import inputs
from cosgrad.verify.case import Case
from cosgrad.verify.checks.common import holds, lost_digits, most_lost, out_of_scale, same
from cosgrad.verify.findings import Finding, Verdict
from cosgrad.verify.registry import check
from cosgrad.verify.ulp import FORMATS, Array, round_to


@check("value", "right on ordinary vectors")
def value(case: Case) -> Iterator[Finding]:
    """Check ordinary vectors. Every function must pass."""
    for dtype in case.checked:
        for n in inputs.LENGTHS:
            batch = inputs.ordinary(case.seed, n, dtype)
            # vectors of length 1 are parallel, so their angle is not ordinary
            otherwise: Verdict = "hazard" if n == 1 and not case.exact else "fail"
            yield case.values(batch, case.f.value(batch.x, batch.y, dtype).values, otherwise)


@check("hard input", "right on hard ones, every dtype", audience="frontends")
def hard(case: Case) -> Iterator[Finding]:
    """Check that the package's own bound holds on all hard input."""
    for dtype in case.dtypes:
        for n in inputs.LENGTHS:
            batches = inputs.hard(case.seed, n, dtype)
            every, cut = inputs.together(batches)
            for batch, got in zip(batches, cut(case.f.value(every.x, every.y, dtype).values), strict=True):
                yield case.values(batch, got)
        for n in inputs.LONG if case.thorough else ():
            batch = inputs.long(case.seed, n, dtype)
            yield case.values(batch, case.f.value(batch.x, batch.y, dtype).values)


@check("cancellation", "right where <x, y> cancels")
def cancellation(case: Case) -> Iterator[Finding]:
    """Check vectors whose <x, y> cancels. The bound allows for rounding.

    A failure is only a hazard for users' functions, because the square of a component may overflow.
    """
    for dtype in case.wide:
        for n in (2, 3, 16, 768):
            batch = inputs.cancelling(case.seed, n, dtype)
            got = case.f.value(batch.x, batch.y, dtype).values
            yield case.values(batch, got, case.breach)


@check("near parallel", "D down to an angle of 1e-7", quantity="distance")
def near_parallel(case: Case) -> Iterator[Finding]:
    """Check the distance at small angles.

    In float32, 1 - S has no digits left at an angle of 1e-4. The distance itself has all of them.
    """
    lost: list[Finding] = []
    for dtype in case.checked:
        for n in (2, 3, 16, 768):
            batch = inputs.near(case.seed, n, dtype)
            got = case.f.value(batch.x, batch.y, dtype).values
            finding = case.values(batch, got)
            yield finding
            if not case.exact and finding.verdict == "pass":
                lost.append(lost_digits(batch, got, case.true_values(batch).floats))
    yield from most_lost(lost)


@check("range", "never beyond 1; exact at x = y")
def bounded(case: Case) -> Iterator[Finding]:
    """Check that results stay in range. The arccos of 1.0000001 is NaN."""
    similarity = case.f.sign > 0
    low, high = (-1.0, 1.0) if similarity else (0.0, 2.0)
    rows = 200 if case.f.signature == "rows" else 20
    for dtype in case.checked:
        for n in (3, 16, 100, 768):
            x = round_to(inputs.generator(case.seed, "range", n).standard_normal((rows, n)), dtype)
            for name, y in (
                ("y = 1.7 x", round_to(1.7 * x, dtype)),
                ("y = -1.7 x", round_to(-1.7 * x, dtype)),
            ):
                batch = inputs.batch(x, y, dtype, name, case.seed)
                got = case.f.value(batch.x, batch.y, dtype).values
                over = np.maximum(got - high, low - got)
                row = int(np.argmax(np.nan_to_num(over, nan=np.inf)))
                if not over[row] <= 0:
                    slight = over[row] <= 64 * FORMATS[dtype].unit * n**0.5
                    share = f"{np.mean(over > 0):.0%} of parallel rows leave"
                    why = f"{share} [{low:.0f}, {high:.0f}], by up to {over[row]:.1e}"
                    bad = not slight or case.exact
                    where = batch.describe(row)
                    yield Finding(
                        "fail" if bad else "hazard", over[row] / (2 * FORMATS[dtype].unit), where, why
                    )
            if case.exact:
                yield from _exactly(case, x, x, dtype, high if similarity else low, "x = y")
                yield from _exactly(case, x, -x, dtype, low if similarity else high, "x = -y")
    yield Finding("pass")


def _exactly(case: Case, x: Array, y: Array, dtype: str, expected: float, what: str) -> Iterator[Finding]:
    got = case.f.value(x, y, dtype).values
    if not (got == expected).all():
        row = int(np.argmax(got != expected))
        yield Finding(
            "fail", where=f"{what}, {dtype}, row {row}", why=f"{got[row]!r} where it is {expected} exactly"
        )


@check("symmetry", "f(x, y) = f(y, x)")
def symmetry(case: Case) -> Iterator[Finding]:
    """Check symmetry: bit for bit in the package, within rounding in users' functions."""
    for dtype in case.checked:
        for n in (3, 16, 17, 768):
            for batch in (inputs.ordinary(case.seed, n, dtype), inputs.near(case.seed, n, dtype)):
                one, other = (
                    case.f.value(a, b, dtype).values for a, b in ((batch.x, batch.y), (batch.y, batch.x))
                )
                yield same(case, batch, one, other, "it changes when x and y are exchanged")


@check("scale", "f(2^k x, y) = f(x, y)")
def scale(case: Case) -> Iterator[Finding]:
    """Check that powers of two change nothing, because the cosine depends only on directions."""
    for dtype in case.checked:
        k = 3 if dtype == "float16" else 12
        for n in (3, 17, 768):
            batch = inputs.angles(case.seed, n, dtype)
            one = case.f.value(batch.x, batch.y, dtype).values
            for i, j in ((k, 0), (-k, k), (0, -k)):
                x, y = batch.x * 2.0**i, batch.y * 2.0**j
                if dtype == "float16" and not (holds(x, dtype) and holds(y, dtype)):
                    continue
                other = case.f.value(x, y, dtype).values
                yield same(case, batch, one, other, f"it changes when x is scaled by 2^{i} and y by 2^{j}")


@check("extreme scales", "squares over- or underflow")
def extreme(case: Case) -> Iterator[Finding]:
    """Check norms at the ends of the range. A failure is only a hazard for users' functions."""
    for dtype in case.wide:
        for n in (2, 16, 768):
            batch = inputs.extreme(case.seed, n, dtype)
            got = case.f.value(batch.x, batch.y, dtype).values
            yield case.values(batch, got, case.breach, out_of_scale)
