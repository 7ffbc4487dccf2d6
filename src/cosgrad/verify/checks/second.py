"""Checks of second derivatives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosgrad.verify import bounds, inputs
from cosgrad.verify.case import Case
from cosgrad.verify.findings import Finding
from cosgrad.verify.registry import check


@check("Hessian product", "gradients' change along (u, v)", raising="skipped")
def hessian(case: Case) -> Iterator[Finding]:
    """Check the Hessian-vector product, which gradient penalties and implicit layers use."""
    for dtype in case.wide:
        for n in (2, 3, 16, 100):
            batch = inputs.ordinary(case.seed, n, dtype)
            hx, hy, _ = case.f.hvp(batch.x, batch.y, batch.u, batch.v, batch.g, dtype)
            yield case.hessians(batch, (hx, hy))


@check("double backward", "symmetric; right in g too", raising="skipped")
def double_backward(case: Case) -> Iterator[Finding]:
    """Check that <H(u, v), (s, t)> = <H(s, t), (u, v)>, and that the gradient is linear in its cotangent."""
    for dtype in case.wide:
        for n in (3, 16):
            batch = inputs.ordinary(case.seed, n, dtype)
            x, y, u, v, g = batch.x, batch.y, batch.u, batch.v, batch.g
            hx, hy, hg = case.f.hvp(x, y, u, v, g, dtype)
            if hg is None:
                yield Finding("skipped", why=f"asked of functions that {case.f.framework} differentiates")
                return
            yield case.totals(batch, hg, standard=bounds.hessian)
            s, t = np.roll(u, 1, axis=1), np.roll(v, 1, axis=1)
            kx, ky, _ = case.f.hvp(x, y, s, t, g, dtype)
            one = np.sum(hx * s, axis=1) + np.sum(hy * t, axis=1)
            other = np.sum(kx * u, axis=1) + np.sum(ky * v, axis=1)
            size = sum(np.abs(a * b).sum(axis=1) for a, b in ((hx, s), (hy, t), (kx, u), (ky, v))) + np.abs(g)
            gap = np.nan_to_num(np.abs(one - other) / size, nan=np.inf)
            row = int(np.argmax(gap))
            if gap[row] > 4 * bounds.textbook(dtype, n).relative:
                why = f"the Hessian is not symmetric, by {gap[row]:.1e} of its size"
                yield Finding("fail", None, batch.describe(row), why)
