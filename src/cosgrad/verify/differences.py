"""Derivatives by finite differences of the definition, in 200 digits. No closed form is used.

With a central step h, the error is of order h^2. With h = 1e-40 and 200 digits, first and second derivatives
are right to about 80 digits. Steps are relative to the norms, so the vectors may have any scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import mpmath

from cosgrad.verify.ulp import Real

mp = mpmath.MPContext()
mp.dps = 200
STEP = mp.mpf(10) ** -40

Numbers = Sequence[Real]


def numbers(values: Sequence[float]) -> list[Real]:
    """Convert floats exactly to the precision of this module."""
    return [mp.mpf(float(v)) for v in values]


def definition(x: Numbers, y: Numbers, eps: float = 0.0) -> Real:
    """Compute <x, y> / (max(|x|, eps) max(|y|, eps)), term by term."""
    d = mp.fsum(a * b for a, b in zip(x, y, strict=True))
    norm_x = mp.sqrt(mp.fsum(a * a for a in x))
    norm_y = mp.sqrt(mp.fsum(b * b for b in y))
    return d / (max(norm_x, mp.mpf(eps)) * max(norm_y, mp.mpf(eps)))


def _step(x: Numbers, u: Numbers) -> Real:
    size, length = max(abs(a) for a in x), max(abs(a) for a in u)
    return STEP * size / length if size and length else STEP


def _move(x: Numbers, h: Real, u: Numbers) -> list[Real]:
    return [a + h * b for a, b in zip(x, u, strict=True)]


def directional(
    x: Sequence[float], y: Sequence[float], u: Sequence[float], v: Sequence[float], eps: float = 0.0
) -> Real:
    """Compute dS(x, y).(u, v), one argument at a time."""
    x, y, u, v = numbers(x), numbers(y), numbers(u), numbers(v)
    h, k = _step(x, u), _step(y, v)
    along_x = definition(_move(x, h, u), y, eps) - definition(_move(x, -h, u), y, eps)
    along_y = definition(x, _move(y, k, v), eps) - definition(x, _move(y, -k, v), eps)
    return along_x / (2 * h) + along_y / (2 * k)


def gradient(x: Sequence[float], y: Sequence[float], eps: float = 0.0) -> tuple[list[Real], list[Real]]:
    """Compute dS/dx and dS/dy, one component at a time."""
    zero = [0.0] * len(x)
    units = [[float(i == j) for j in range(len(x))] for i in range(len(x))]
    return (
        [directional(x, y, e, zero, eps) for e in units],
        [directional(x, y, zero, e, eps) for e in units],
    )


def hessian_product(
    x: Sequence[float], y: Sequence[float], u: Sequence[float], v: Sequence[float], eps: float = 0.0
) -> tuple[list[Real], list[Real]]:
    """Compute the derivative of both gradients along (u, v) by mixed second differences."""
    xs, ys, us, vs = numbers(x), numbers(y), numbers(u), numbers(v)
    n = len(xs)
    size = min(max(abs(a) for a in xs), max(abs(a) for a in ys))
    h = STEP * size
    k = h / max(abs(a) for a in us + vs)

    def mixed(i: int) -> Real:
        def at(s: int, t: int) -> Real:
            xt, yt = _move(xs, t * k, us), _move(ys, t * k, vs)
            if i < n:
                xt[i] += s * h
            else:
                yt[i - n] += s * h
            return definition(xt, yt, eps)

        return (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * h * k)

    return [mixed(i) for i in range(n)], [mixed(n + i) for i in range(n)]
