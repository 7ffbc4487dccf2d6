"""All tolerances, each with its reason.

A bound allows `ulp` units in the last place of the true number for rounding. It also allows `relative` times
the natural size of the number's terms, for cancellation between them. There are two standards. *exact* is the
accuracy that this package promises. *textbook* is the accuracy of the plain formula if all of it is computed
in the dtype itself. A user's function within the textbook bound has no error other than rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cosgrad.verify.ulp import FORMATS, Array


@dataclass(frozen=True)
class Bound:
    """The bound |error| <= ulp * (1 ulp of the true number) + relative * scale."""

    ulp: float
    relative: float = 0.0

    def allowed(self, scale_in_ulp: Array) -> Array:
        """Return the allowed error in ulp, given the scale in ulp."""
        with np.errstate(invalid="ignore"):
            return self.ulp + np.where(scale_in_ulp > 0, self.relative * scale_in_ulp, 0.0)


def _narrow(dtype: str) -> bool:
    return dtype != "float64"


def similarity(dtype: str, n: int) -> Bound:
    """Return the bound of S: one rounding, and 0.001 ulp for the wider arithmetic before it.

    The relative part is for an S near 0, which remains after cancellation.
    """
    return Bound(0.501, 2.0**-50 if _narrow(dtype) else 2.0**-96 * max(1.0, n / 4096))


def distance(dtype: str, n: int) -> Bound:  # noqa: ARG001
    """Return the bound of D: one rounding.

    The residual form does not cancel, so a small D keeps its digits down to the relative sizes below.
    """
    return Bound(0.501, 2.0**-150 if _narrow(dtype) else 2.0**-300)


def gradient(dtype: str, n: int) -> Bound:  # noqa: ARG001
    """Return the bound of the gradients, cotangent included: one rounding.

    The scale is |g| (|y_i| / (|x||y|) + |x_i| / |x|^2).
    """
    return Bound(0.51, 2.0**-50 if _narrow(dtype) else 2.0**-96)


def total_derivative(dtype: str, n: int) -> Bound:
    """Return the bound of the total derivative: that of the gradient, summed over n components.

    The scale is |u| / |x| + |v| / |y|.
    """
    return Bound(0.51, (2.0**-48 if _narrow(dtype) else 2.0**-94) * max(1.0, n / 4096))


def hessian(dtype: str, n: int) -> Bound:
    """Return the bound of second derivatives.

    They are computed by the closed forms in plain operations. Half types are computed in float32.
    """
    unit = max(FORMATS[dtype].unit, 0.0) if dtype in ("float32", "float64") else FORMATS["float32"].unit
    return Bound(1.0, (32 + 4 * n**0.5) * unit)


def unit_vector(dtype: str, n: int) -> Bound:  # noqa: ARG001
    """Return the bound of x_i / |x|: one rounding."""
    return Bound(0.501, 0.0)


def closed_similarity(dtype: str, n: int) -> Bound:
    """Return the bound of S by the closed forms, for devices and compilers that cannot call the kernel.

    It is 8 ulp and 2^-20, or less if sums in the dtype are more accurate.
    """
    return Bound(8.0, min(2.0**-20, textbook(dtype, n).relative))


def closed_distance(dtype: str, n: int) -> Bound:  # noqa: ARG001
    """Return the bound of D by the closed forms: one rounding and 2^-22 of the scale.

    The scale is D divided by the angle. The bound is for angles of 1e-2 rad and more.
    """
    return Bound(0.51, 2.0**-22)


def textbook(dtype: str, n: int) -> Bound:
    """Return the bound of the plain formula in the dtype's own arithmetic.

    A sum of n terms has an error of at most n u of the terms' absolute sum, and of about sqrt(n) u if the
    roundings are random. The few products, roots and quotients around it add a few u each. The factors 32
    and 8 leave room for an order of summation that is worse than random. They still detect a relative mistake
    of 1e-4 in float32 at n = 4097.
    """
    return Bound(2.0, (32 + 8 * n**0.5) * FORMATS[dtype].unit)


Standard = Callable[[str, int], Bound]
