"""Checks of dtypes."""

from __future__ import annotations

from collections.abc import Iterator

from cosgrad.verify import inputs
from cosgrad.verify.adapters.base import RaisedError
from cosgrad.verify.case import Case
from cosgrad.verify.checks.common import optional, out_of_scale
from cosgrad.verify.findings import Finding
from cosgrad.verify.registry import check


@check("result type", "that of the arguments")
def result_type(case: Case) -> Iterator[Finding]:
    """Check that the result has the dtype of the arguments."""
    for dtype in case.checked:
        batch = inputs.ordinary(case.seed, 16, dtype)
        got = case.f.value(batch.x, batch.y, dtype).dtype
        if got == dtype:
            yield Finding("pass")
        else:
            yield Finding("fail", None, batch.describe(0), f"{dtype} arguments give a {got} result")


@check("half types", "float16 and bfloat16", raising="skipped")
def half(case: Case) -> Iterator[Finding]:
    """Check that supported half types are right within their own rounding."""
    for dtype in ("float16", "bfloat16"):
        if dtype not in case.f.dtypes():
            yield Finding("skipped", why=f"{case.f.framework} has no {dtype} here")
            continue
        for n in (3, 16, 100):
            batch = inputs.angles(case.seed, n, dtype)
            try:
                out = case.f.value(batch.x, batch.y, dtype)
            except RaisedError as error:
                if case.exact:
                    raise
                yield Finding("skipped", why=f"{dtype}: {error}")
                break
            yield case.values(batch, out.values)
            if out.dtype != dtype:
                yield Finding("fail", None, batch.describe(0), f"{dtype} arguments give a {out.dtype} result")
            with optional(case):
                yield case.gradients(batch, case.f.vjp(batch.x, batch.y, batch.g, dtype))


@check("half-type scales", "squares over- or underflow", raising="skipped")
def half_scales(case: Case) -> Iterator[Finding]:
    """Check norms at the ends of a half type's range. float16 ranges from 6e-8 to 65504."""
    for dtype in case.half:
        for n in (2, 16):
            batch = inputs.extreme(case.seed, n, dtype)
            got = case.f.value(batch.x, batch.y, dtype).values
            yield case.values(batch, got, case.breach, out_of_scale)
