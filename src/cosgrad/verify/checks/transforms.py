"""Checks of the framework's forward mode, batching, compilation and threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosgrad.verify import bounds, inputs
from cosgrad.verify.adapters.base import RaisedError, UnsupportedError
from cosgrad.verify.case import Case
from cosgrad.verify.checks.common import optional
from cosgrad.verify.findings import Finding
from cosgrad.verify.registry import check
from cosgrad.verify.ulp import FORMATS


@check("forward mode", "the derivative along (u, v)", raising="skipped")
def forward_mode(case: Case) -> Iterator[Finding]:
    """Check Jacobian-vector products (JVPs)."""
    if case.f.framework == "numpy":
        raise UnsupportedError("numpy has no forward mode")
    for dtype in case.wide:
        for n in (2, 3, 16, 768):
            batch = inputs.ordinary(case.seed, n, dtype)
            yield case.totals(batch, case.f.jvp(batch.x, batch.y, batch.u, batch.v, dtype))


@check("adjoint", "<J(u, v), g> = <(u, v), J'g>", raising="skipped")
def adjoint(case: Case) -> Iterator[Finding]:
    """Check that forward and reverse mode are transposes of each other."""
    for dtype in case.wide:
        for n in (3, 17, 768):
            batch = inputs.ordinary(case.seed, n, dtype)
            forward = batch.g * case.f.jvp(batch.x, batch.y, batch.u, batch.v, dtype)
            gx, gy = case.f.vjp(batch.x, batch.y, batch.g, dtype)
            reverse = np.sum(batch.u * gx, axis=1) + np.sum(batch.v * gy, axis=1)
            scale = batch.totals[1].floats
            unit = FORMATS[dtype].unit
            relative = 8 * unit if case.exact else 2 * bounds.textbook(dtype, n).relative
            gap = np.nan_to_num(np.abs(forward - reverse) / (np.abs(batch.g) * scale), nan=np.inf)
            row = int(np.argmax(gap))
            ulp = float(gap[row] / (2 * unit))
            if gap[row] <= relative:
                yield Finding("pass", ulp, batch.describe(row))
            else:
                why = f"forward and reverse mode disagree, by {gap[row]:.1e} of their size"
                yield Finding("fail", ulp, batch.describe(row), why)


@check("vmap", "values and gradients", raising="skipped")
def vmap(case: Case) -> Iterator[Finding]:
    """Check batching. It may be unsupported, but it must not be wrong."""
    for dtype in case.wide:
        for n in (3, 16):
            batch = inputs.ordinary(case.seed, n, dtype)
            yield case.values(batch, case.f.vmap(batch.x, batch.y, dtype))
            try:
                gx, gy = case.f.vmap_gradient(batch.x, batch.y, dtype)
            except RaisedError as error:
                if case.exact:
                    raise
                yield Finding("skipped", why=f"under vmap of grad: {error}")
                continue
            yield case.gradients(batch.unit(), (gx, gy))


@check("compile", "values and gradients, one graph", raising="skipped")
def compiled(case: Case) -> Iterator[Finding]:
    """Check compilation to one graph without a break."""
    for dtype in case.wide if case.thorough else case.wide[:1]:
        batch = inputs.ordinary(case.seed, 16, dtype)
        s, gx, gy = case.f.compiled(batch.x, batch.y, batch.g, dtype, case.thorough)
        yield case.values(batch, s)
        yield case.gradients(batch, (gx, gy))


@check("threads", "the same bits with any number")
def threads(case: Case) -> Iterator[Finding]:
    """Check that the bits do not depend on the number of threads.

    They do if a sum is split by the number of threads.
    """
    if case.f.signature != "rows":
        yield Finding("skipped", why="it is called with one pair at a time")
        return
    for dtype in case.wide:
        rng = inputs.generator(case.seed, "threads", dtype)
        x, y = rng.standard_normal((2, 600, 300))
        batch = inputs.batch(x, y, dtype, "threads", case.seed)
        seen: list[list[bytes]] = []
        for count in (1, 2, 3):
            with case.f.threads(count):
                parts = [case.f.value(batch.x, batch.y, dtype).values.tobytes()]
                with optional(case):
                    parts += [g.tobytes() for g in case.f.vjp(batch.x, batch.y, batch.g, dtype)]
                seen.append(parts)
        if all(s == seen[0] for s in seen):
            yield Finding("pass")
        else:
            where = f"600 rows of 300 {dtype}"
            bad = case.breach
            yield Finding(bad, None, where, "the bits depend on the number of threads")
