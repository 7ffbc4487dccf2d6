"""Floating-point formats, correct rounding into them, and errors in units in the last place (ulp)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Real = Any  # an mpmath number; mpmath has no type annotations


@dataclass(frozen=True)
class Format:
    """A binary floating-point format. All four are exact in float64, so numbers are stored as float64."""

    name: str
    digits: int
    """Bits of the significand, including the hidden bit."""
    emax: int
    """Finite numbers are below 2^(emax + 1). Normal numbers are at least 2^(1 - emax)."""

    @property
    def unit(self) -> float:
        """The unit roundoff, 2^-digits."""
        return 2.0**-self.digits

    @property
    def least(self) -> float:
        """The smallest positive number."""
        return 2.0 ** (2 - self.emax - self.digits)

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return float(np.ldexp(2.0 - 2.0 * self.unit, self.emax))


FORMATS = {
    f.name: f
    for f in (
        Format("float16", 11, 15),
        Format("bfloat16", 8, 127),
        Format("float32", 24, 127),
        Format("float64", 53, 1023),
    )
}


def round_to(values: ArrayLike, dtype: str) -> Array:
    """Round to nearest, ties to even, as a conversion to `dtype` does, with its subnormals and overflow."""
    v, f = np.asarray(values, dtype=np.float64), FORMATS[dtype]
    if f.digits == 53:
        return v.copy()
    exponent = np.frexp(v)[1]
    last = np.maximum(exponent, 2 - f.emax) - f.digits
    rounded = np.ldexp(np.rint(np.ldexp(v, -last)), last)
    return np.asarray(np.where(np.abs(rounded) > f.largest, np.copysign(np.inf, v), rounded))


class Numbers(list[Real]):
    """True numbers for several comparisons. Their conversions are cached."""

    @cached_property
    def split(self) -> tuple[Array, Array, NDArray[np.int64]]:
        """The result of `split`."""
        return split(self)

    @cached_property
    def floats(self) -> Array:
        """The numbers rounded to float64."""
        return np.array([float(t) for t in self])


def split(numbers: Iterable[Real]) -> tuple[Array, Array, NDArray[np.int64]]:
    """Split each number into (hi + lo) 2^e with 1/2 <= |hi| < 1, right to 106 bits.

    Zero has an exponent far below those of all other numbers.
    """
    hi: list[float] = []
    lo: list[float] = []
    exponents: list[int] = []
    for number in numbers:
        sign, man, exp, bits = number._mpf_
        man = int(man)
        if man == 0:
            hi.append(float(number))
            lo.append(0.0)
            exponents.append(-100_000)
            continue
        m = man << (106 - bits) if bits < 106 else man >> (bits - 106)
        s = -(2.0**-53) if sign else 2.0**-53
        hi.append(s * (m >> 53))
        lo.append(s * 2.0**-53 * (m & (2**53 - 1)))
        exponents.append(exp + bits)
    return np.array(hi), np.array(lo), np.array(exponents, dtype=np.int64)


def _split(numbers: Sequence[Real]) -> tuple[Array, Array, NDArray[np.int64]]:
    return numbers.split if isinstance(numbers, Numbers) else split(numbers)


@dataclass(frozen=True)
class Errors:
    """Errors of returned numbers, and the unit that they are in: the ulp of the rounded true number."""

    ulp: Array
    last: NDArray[np.int64]

    def in_ulp(self, numbers: Sequence[Real]) -> Array:
        """Convert absolute quantities to the same ulp."""
        hi, lo, e = _split(numbers)
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(_ldexp(hi + lo, e - self.last))


def _ldexp(v: Array, e: NDArray[np.int64]) -> Array:
    return np.asarray(np.ldexp(v, np.clip(e, -5000, 5000).astype(np.int32)))


def errors(got: ArrayLike, true: Sequence[Real], dtype: str) -> Errors:
    """Compute the errors of `got`, given the true numbers.

    The ulp is that of the correctly rounded true number. Near zero, it is the smallest subnormal. Inf is
    right if the true number rounds to it. Otherwise it counts as 2^(emax + 1). NaN is right if the true
    number is NaN. Otherwise its error is infinite.
    """
    f = FORMATS[dtype]
    g = np.atleast_1d(np.asarray(got, dtype=np.float64))
    hi, lo, e = _split(true)
    if g.shape != hi.shape:
        raise ValueError(f"{g.shape} numbers measured against {hi.shape}")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        last = np.clip(e, 2 - f.emax, f.emax + 1) - f.digits
        h, low = _ldexp(hi, e - last), _ldexp(lo, e - last)
        carries = np.abs(np.rint(h + low)) >= 2.0**f.digits
        overflows = carries & (last + f.digits == f.emax + 1)
        last = np.where(carries & ~overflows, last + 1, last)
        h, low = _ldexp(hi, e - last), _ldexp(lo, e - last)
        inf = _ldexp(np.copysign(1.0, g), f.emax + 1 - last)
        scaled = np.where(np.isinf(g), inf, _ldexp(np.where(np.isinf(g), 0.0, g), -last))
        ulp = np.abs((scaled - h) - low)
        ulp = np.where(overflows & np.isinf(g) & (np.sign(g) == np.sign(hi)), 0.0, ulp)
        ulp = np.where(np.isnan(g) | np.isnan(hi), np.where(np.isnan(g) & np.isnan(hi), 0.0, np.inf), ulp)
    return Errors(ulp, last)


def ulp_error(got: float, true: Real, dtype: str) -> float:
    """Return the error of one number in ulp of the correctly rounded true number. See `errors`."""
    return float(errors([got], [true], dtype).ulp[0])
