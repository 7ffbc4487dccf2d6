"""Test oracle: cosine similarity and its derivatives from the definition, in exact sums and 77 digits.

A float is a rational number, so <x, x>, <y, y> and <x, y> are exact fractions here. Numerators whose terms
cancel are exact fractions too. Only square roots and products with them are rounded, once, to 256 bits. The
oracle shares no code with the functions that it tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property

import mpmath
import numpy as np
from numpy.typing import ArrayLike

from cosgrad.verify.ulp import Real, errors, round_to, ulp_error

__all__ = [
    "Pair",
    "Real",
    "distance",
    "embedding_loss",
    "errors",
    "gradient",
    "hessian_product",
    "mp",
    "normalize",
    "normalize_vjp",
    "normalize_vjp_scale",
    "reduce",
    "round_to",
    "similarity",
    "total_derivative",
    "ulp_error",
]

mp = mpmath.MPContext()
mp.prec = 256

Gradient = tuple[list[Real], list[Real]]


def real(r: Fraction | float) -> Real:
    """Convert an exact number to the oracle's precision."""
    if isinstance(r, Fraction):
        return mp.mpf(r.numerator) / r.denominator
    return mp.mpf(r)


def _rational(t: Real) -> Fraction:
    """Round a positive number to a fraction of 53 bits."""
    mantissa, exponent = mp.frexp(t)
    power: Fraction = Fraction(2) ** int(exponent)
    return Fraction(float(mantissa)) * power


class Vector:
    """A vector of floats, stored as integers with one common power of two."""

    def __init__(self, values: ArrayLike) -> None:
        v = np.asarray(values, dtype=np.float64)
        if v.ndim != 1:
            raise ValueError(f"the oracle takes one vector at a time, got shape {v.shape}")
        self.finite = bool(np.isfinite(v).all())
        m, e = np.frexp(np.where(np.isfinite(v), v, 0.0))
        e = np.where(m == 0, 0, e)
        low = int(e.min(initial=0))
        integers = np.ldexp(m, 53).astype(np.int64).tolist()
        self.integers: list[int] = [a << b for a, b in zip(integers, (e - low).tolist(), strict=True)]
        self.scale = Fraction(2) ** (low - 53)

    def __len__(self) -> int:
        return len(self.integers)

    def __matmul__(self, other: Vector) -> Fraction:
        if len(self) != len(other):
            raise ValueError(f"vectors of length {len(self)} and {len(other)}")
        integer: int = sum(a * b for a, b in zip(self.integers, other.integers, strict=True))
        product: Fraction = integer * self.scale * other.scale
        return product


def combine(terms: Sequence[tuple[Fraction, Vector]], factor: Real, *, absolute: bool = False) -> list[Real]:
    """Return `factor` times the exact linear combination, or times the sum of the terms' absolute values."""
    scales = [c * v.scale for c, v in terms]
    common = math.lcm(*(s.denominator for s in scales))
    weights = [s.numerator * (common // s.denominator) for s in scales]
    if absolute:
        columns = [[abs(w * a) for a in v.integers] for w, (_, v) in zip(weights, terms, strict=True)]
    else:
        columns = [[w * a for a in v.integers] for w, (_, v) in zip(weights, terms, strict=True)]
    factor = factor / common
    return [factor * sum(column) for column in zip(*columns, strict=True)]


class Pair:
    """Two vectors, with their true similarity, distance and derivatives.

    Args:
        x: A vector of floats, of any dtype whose numbers are exact in float64.
        y: A vector of the same length.
        eps: The lower bound of each norm. With eps = 0, a zero vector gives S = 0, D = 1 and zero gradients.
    """

    def __init__(self, x: ArrayLike | Vector, y: ArrayLike | Vector, eps: float = 0.0) -> None:
        self.x = x if isinstance(x, Vector) else Vector(x)
        self.y = y if isinstance(y, Vector) else Vector(y)
        self.p, self.q, self.d = self.x @ self.x, self.y @ self.y, self.x @ self.y
        floor = Fraction(eps) ** 2
        self.x_live, self.y_live = self.p >= floor, self.q >= floor
        # a^2 and b^2, where S = d / (a b)
        self.aa, self.bb = max(self.p, floor), max(self.q, floor)
        self.finite = self.x.finite and self.y.finite
        self.null = self.aa == 0 or self.bb == 0

    @cached_property
    def ab(self) -> Real:
        """The denominator max(|x|, eps) max(|y|, eps)."""
        return mp.sqrt(real(self.aa * self.bb))

    @property
    def norm_x(self) -> Real:
        """The norm |x|."""
        return mp.sqrt(real(self.p))

    @property
    def norm_y(self) -> Real:
        """The norm |y|."""
        return mp.sqrt(real(self.q))

    @cached_property
    def similarity(self) -> Real:
        """The similarity S."""
        if not self.finite:
            return mp.nan
        return mp.mpf(0) if self.null else real(self.d) / self.ab

    @cached_property
    def distance(self) -> Real:
        """The distance D = 1 - S. Its numerator a^2 b^2 - d^2 is exact, so no digits cancel."""
        if not self.finite:
            return mp.nan
        if self.null or self.d <= 0:
            return 1 - self.similarity
        return real(self.aa * self.bb - self.d**2) / (self.ab * (self.ab + real(self.d)))

    @cached_property
    def angle(self) -> Real:
        """The angle between x and y in radians."""
        return 2 * mp.asin(mp.sqrt(self.distance / 2))

    def gradient(self, g: float = 1.0) -> Gradient:
        """Return (g dS/dx, g dS/dy). A norm below eps counts as a constant."""
        if not (self.finite and math.isfinite(g)):
            return [mp.nan] * len(self.x), [mp.nan] * len(self.y)
        if self.null:
            return [mp.mpf(0)] * len(self.x), [mp.mpf(0)] * len(self.y)
        k = real(Fraction(g)) / self.ab
        x, y, p, q, d = self.x, self.y, self.p, self.q, self.d
        one = Fraction(1)
        gx = combine([(p, y), (-d, x)], k / real(p)) if self.x_live else combine([(one, y)], k)
        gy = combine([(q, x), (-d, y)], k / real(q)) if self.y_live else combine([(one, x)], k)
        return gx, gy

    def gradient_scale(self, g: float = 1.0) -> Gradient:
        """Return the size of the gradient's terms.

        For x, it is |g| (|y_i| / (|x||y|) + |x_i| / |x|^2). For y, x and y are exchanged.
        """
        if self.null or not (self.finite and math.isfinite(g)):
            return [mp.mpf(0)] * len(self.x), [mp.mpf(0)] * len(self.y)
        k, one = abs(real(Fraction(g))), mp.mpf(1)
        near = _rational(k / self.ab)
        far_x, far_y = _rational(k / real(self.aa)), _rational(k / real(self.bb))
        return (
            combine([(near, self.y), (far_x, self.x)], one, absolute=True),
            combine([(near, self.x), (far_y, self.y)], one, absolute=True),
        )

    def _rates(self, u: Vector, v: Vector) -> tuple[Fraction, Fraction, Fraction]:
        """Return the derivatives of d, log a and log b along (u, v)."""
        lam = (u @ self.x) / self.p if self.x_live else Fraction(0)
        mu = (v @ self.y) / self.q if self.y_live else Fraction(0)
        return u @ self.y + self.x @ v, lam, mu

    def total_derivative(self, u: ArrayLike, v: ArrayLike) -> Real:
        """Return the total derivative dS(x, y).(u, v)."""
        du, dv = Vector(u), Vector(v)
        if not (self.finite and du.finite and dv.finite):
            return mp.nan
        if self.null:
            return mp.mpf(0)
        rate, lam, mu = self._rates(du, dv)
        return real(rate - self.d * (lam + mu)) / self.ab

    def direction_scale(self, u: ArrayLike, v: ArrayLike) -> Real:
        """Return |u| / a + |v| / b, the size of the total derivative's terms."""
        if self.null or not self.finite:
            return mp.mpf(0)
        du, dv = Vector(u), Vector(v)
        return mp.sqrt(real((du @ du) / self.aa)) + mp.sqrt(real((dv @ dv) / self.bb))

    def hessian_product(self, u: ArrayLike, v: ArrayLike, g: float = 1.0) -> Gradient:
        """Return the derivative of (g dS/dx, g dS/dy) along (u, v)."""
        du, dv = Vector(u), Vector(v)
        if not (self.finite and du.finite and dv.finite and math.isfinite(g)):
            return [mp.nan] * len(self.x), [mp.nan] * len(self.y)
        if self.null:
            return [mp.mpf(0)] * len(self.x), [mp.mpf(0)] * len(self.y)
        rate, lam, mu = self._rates(du, dv)
        k = real(Fraction(g)) / self.ab

        def half(
            x: Vector, y: Vector, u: Vector, v: Vector, p: Fraction, lam: Fraction, live: bool
        ) -> list[Real]:
            # The gradient is g/(ab) (y - c x) with c = d/p. The derivative of log(ab) is lam + mu.
            if not live:
                return combine([(Fraction(1), v), (-lam_mu, y)], k)
            c = self.d / p
            dc = rate / p - 2 * c * lam
            return combine([(Fraction(1), v), (-c, u), (c * lam_mu - dc, x), (-lam_mu, y)], k)

        lam_mu = lam + mu
        return (
            half(self.x, self.y, du, dv, self.p, lam, self.x_live),
            half(self.y, self.x, dv, du, self.q, mu, self.y_live),
        )

    def hessian_scale(self, u: ArrayLike, v: ArrayLike, g: float = 1.0) -> Gradient:
        """Return the size of the Hessian-vector product's terms, component by component."""
        if self.null or not self.finite:
            return [mp.mpf(0)] * len(self.x), [mp.mpf(0)] * len(self.y)
        du, dv, rate = Vector(u), Vector(v), 3 * self.direction_scale(u, v)
        k = abs(real(Fraction(g)))
        by = zip(*_sizes(dv, du, self.aa), self.gradient_scale(g)[0], strict=True)
        bx = zip(*_sizes(du, dv, self.bb), self.gradient_scale(g)[1], strict=True)
        return (
            [k * (s / self.ab + t) + rate * w for s, t, w in by],
            [k * (s / self.ab + t) + rate * w for s, t, w in bx],
        )


def _sizes(y: Vector, x: Vector, aa: Fraction) -> Gradient:
    one = Fraction(1)
    return combine([(one, y)], mp.mpf(1), absolute=True), combine([(one, x)], 1 / real(aa), absolute=True)


def similarity(x: ArrayLike, y: ArrayLike, eps: float = 0.0) -> Real:
    """Return S_eps(x, y)."""
    return Pair(x, y, eps).similarity


def distance(x: ArrayLike, y: ArrayLike, eps: float = 0.0) -> Real:
    """Return D_eps(x, y) = 1 - S_eps(x, y)."""
    return Pair(x, y, eps).distance


def gradient(x: ArrayLike, y: ArrayLike, g: float = 1.0, eps: float = 0.0) -> Gradient:
    """Return the gradients g dS/dx and g dS/dy."""
    return Pair(x, y, eps).gradient(g)


def total_derivative(x: ArrayLike, y: ArrayLike, u: ArrayLike, v: ArrayLike, eps: float = 0.0) -> Real:
    """Return the total derivative dS(x, y).(u, v)."""
    return Pair(x, y, eps).total_derivative(u, v)


def hessian_product(
    x: ArrayLike, y: ArrayLike, u: ArrayLike, v: ArrayLike, g: float = 1.0, eps: float = 0.0
) -> Gradient:
    """Return the derivative of (g dS/dx, g dS/dy) along (u, v)."""
    return Pair(x, y, eps).hessian_product(u, v, g)


def normalize(x: ArrayLike, eps: float = 0.0) -> list[Real]:
    """Return x / max(|x|, eps), or zeros for a zero vector."""
    v = Vector(x)
    aa = max(v @ v, Fraction(eps) ** 2)
    if not v.finite:
        return [mp.nan] * len(v)
    return [mp.mpf(0)] * len(v) if aa == 0 else combine([(Fraction(1), v)], 1 / mp.sqrt(real(aa)))


def normalize_vjp(x: ArrayLike, g: ArrayLike, eps: float = 0.0) -> list[Real]:
    """Return the VJP of `normalize` with g: (g - x <x, g>/p) / |x|, or g / eps if the norm is below eps."""
    v, w = Vector(x), Vector(g)
    p, floor = v @ v, Fraction(eps) ** 2
    if not (v.finite and w.finite):
        return [mp.nan] * len(v)
    if p < floor:
        return combine([(Fraction(1), w)], 1 / real(Fraction(eps)))
    if p == 0:
        return [mp.mpf(0)] * len(v)
    return combine([(p, w), (-(v @ w), v)], 1 / (real(p) * mp.sqrt(real(p))))


def normalize_vjp_scale(x: ArrayLike, g: ArrayLike) -> list[Real]:
    """Return (|g_i| + |x_i| |g| / |x|) / |x|, the size of the terms of `normalize_vjp`."""
    v, w = Vector(x), Vector(g)
    if not v @ v:
        return [mp.mpf(0)] * len(v)
    norm, size = mp.sqrt(real(v @ v)), mp.sqrt(real(w @ w))
    own, along = _sizes(w, v, v @ v)
    return [s / norm + t * size for s, t in zip(own, along, strict=True)]


def embedding_loss(x: ArrayLike, y: ArrayLike, target: int, margin: float = 0.0) -> Real:
    """Return 1 - S for a target of +1, or max(0, S - margin) for -1."""
    pair = Pair(x, y)
    return pair.distance if target == 1 else max(mp.mpf(0), pair.similarity - mp.mpf(margin))


def reduce(losses: Sequence[Real], weights: Sequence[float] | None = None, reduction: str = "mean") -> Real:
    """Reduce losses exactly. A weight of zero excludes its row. A zero denominator gives 0."""
    w = [mp.mpf(1)] * len(losses) if weights is None else [mp.mpf(a) for a in weights]
    total = mp.fsum(a * b for a, b in zip(w, losses, strict=True) if a != 0)
    over = {
        "sum": mp.mpf(1),
        "mean": mp.mpf(len(losses)),
        "weighted_mean": mp.fsum(w),
        "nonzero_mean": mp.mpf(sum(a != 0 for a in w)),
    }[reduction]
    return mp.mpf(0) if over == 0 else total / over
