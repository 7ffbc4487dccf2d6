"""Every tolerance, with its reason.

A bound allows `ulp` units in the last place of the true number, for the rounding, plus `relative` times the
natural size of the terms that make it up, for what cancels between them. Two standards: *exact* is what this
package promises, *textbook* is what the plain formula achieves when everything in it is computed in the dtype
itself. A stranger who stays within the textbook bound has made no mistake but rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cosgrad.verify.ulp import FORMATS, Array


@dataclass(frozen=True)
class Bound:
    """|error| <= ulp * (1 ulp of the true number) + relative * scale."""

    ulp: float
    relative: float = 0.0

    def allowed(self, scale_in_ulp: Array) -> Array:
        """The allowance in ulp, given the scale in ulp."""
        with np.errstate(invalid="ignore"):
            return self.ulp + np.where(scale_in_ulp > 0, self.relative * scale_in_ulp, 0.0)


def _narrow(dtype: str) -> bool:
    return dtype != "float64"


def similarity(dtype: str, n: int) -> Bound:
    """One rounding, and 0.001 ulp for the wider arithmetic before it; near 0 the true S is what cancelled."""
    return Bound(0.501, 2.0**-50 if _narrow(dtype) else 2.0**-96 * max(1.0, n / 4096))


def distance(dtype: str, n: int) -> Bound:  # noqa: ARG001
    """One rounding; the residual form cancels nothing, so a small D keeps its digits down to these sizes."""
    return Bound(0.501, 2.0**-150 if _narrow(dtype) else 2.0**-300)


def gradient(dtype: str, n: int) -> Bound:  # noqa: ARG001
    """One rounding, cotangent included; the scale is |g| (|y_i| / (|x||y|) + |x_i| / |x|^2)."""
    return Bound(0.51, 2.0**-50 if _narrow(dtype) else 2.0**-96)


def total_derivative(dtype: str, n: int) -> Bound:
    """As the gradient, summed over n components; the scale is |u| / |x| + |v| / |y|."""
    return Bound(0.51, (2.0**-48 if _narrow(dtype) else 2.0**-94) * max(1.0, n / 4096))


def hessian(dtype: str, n: int) -> Bound:
    """Second derivatives come from the closed forms in plain operations (half types in float32)."""
    unit = max(FORMATS[dtype].unit, 0.0) if dtype in ("float32", "float64") else FORMATS["float32"].unit
    return Bound(1.0, (32 + 4 * n**0.5) * unit)


def unit_vector(dtype: str, n: int) -> Bound:  # noqa: ARG001
    """One rounding of x_i / |x|."""
    return Bound(0.501, 0.0)


def closed_similarity(dtype: str, n: int) -> Bound:
    """The closed forms, where there is no kernel: 8 ulp and 2^-20, less where the dtype's sums err less."""
    return Bound(8.0, min(2.0**-20, textbook(dtype, n).relative))


def closed_distance(dtype: str, n: int) -> Bound:  # noqa: ARG001
    """The same for D, and one rounding; the scale is D over the angle, for angles of 1e-2 rad and more."""
    return Bound(0.51, 2.0**-22)


def textbook(dtype: str, n: int) -> Bound:
    """The plain formula in the dtype's own arithmetic.

    A sum of n terms errs by at most n u of their absolute sum, and by about sqrt(n) u when roundings are
    random; the handful of products, roots and quotients around it add a few u each. The factors 32 and 8
    leave room for an order of summation that is worse than random, and still catch a relative mistake of 1e-4
    in float32 at n = 4097.
    """
    return Bound(2.0, (32 + 8 * n**0.5) * FORMATS[dtype].unit)


Standard = Callable[[str, int], Bound]
