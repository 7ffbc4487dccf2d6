"""Checks of memory layouts of the arguments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosgrad.verify import inputs, layouts
from cosgrad.verify.adapters.base import UnsupportedError
from cosgrad.verify.case import Case
from cosgrad.verify.checks.common import gradient_size, optional, same
from cosgrad.verify.findings import Finding
from cosgrad.verify.registry import check


def _laid_out(case: Case, batch: inputs.Batch, layout: str) -> Iterator[Finding]:
    dtype = batch.dtype
    try:
        other = case.f.value(batch.x, batch.y, dtype, layout).values
    except UnsupportedError as error:
        yield Finding("skipped", why=str(error))
        return
    one = case.f.value(batch.x, batch.y, dtype).values
    finding = same(case, batch, one, other, f"it reads {layout} arguments wrongly")
    if finding.verdict == "fail":
        seen = [layouts.lay(a, layout, dtype).misread() for a in (batch.x, batch.y)]
        misread = case.f.value(seen[0], seen[1], dtype).values
        if np.allclose(misread, other, rtol=1e-5, atol=1e-6):
            why = f"it reads {layout} arguments as if they were contiguous: strides are ignored"
            finding = Finding("fail", finding.ulp, finding.where, why)
    yield finding
    with optional(case):
        gradients = case.f.vjp(batch.x, batch.y, batch.g, dtype)
        strided = case.f.vjp(batch.x, batch.y, batch.g, dtype, layout)
        for a, b in zip(gradients, strided, strict=True):
            why = f"the gradient of {layout} arguments is another"
            yield same(case, batch, a, b, why, gradient_size(batch))


@check("strides", "any way to lie in memory")
def strides(case: Case) -> Iterator[Finding]:
    """Check that the function respects strides."""
    for dtype in case.checked:
        for n in (3, 16, 100):
            batch = inputs.ordinary(case.seed, n, dtype)
            for layout in ("transposed", "every other", "offset", "backwards"):
                yield from _laid_out(case, batch, layout)


@check("broadcast", "stride 0; (M, 1, D) with (N, D)", raising="skipped")
def broadcast(case: Case) -> Iterator[Finding]:
    """Check rows that are repeated by stride 0. Their gradients are summed over the repetitions."""
    for dtype in case.checked:
        base = inputs.ordinary(case.seed, 17, dtype)
        batch = inputs.batch(
            np.broadcast_to(base.x[:1], base.x.shape),
            np.broadcast_to(base.y[:1], base.y.shape),
            dtype,
            "repeated",
            case.seed,
        )
        yield from _laid_out(case, batch, "broadcast")
    if case.exact:
        yield from _every_pair(case)


def _every_pair(case: Case) -> Iterator[Finding]:
    for dtype in case.dtypes:
        base = inputs.angles(case.seed, 17, dtype)
        x, y = base.x[:3], base.y[:4]
        full = inputs.batch(np.repeat(x, 4, axis=0), np.tile(y, (3, 1)), dtype, "every pair", case.seed)
        got, gx, gy = case.f.every_pair(x, y, full.g.reshape(3, 4), dtype)
        yield case.values(full, got.ravel())
        if gx is not None and gy is not None:
            yield from case.summed_gradients(full, (3, 4), (gx, gy))
