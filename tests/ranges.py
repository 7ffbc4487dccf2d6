"""Vectors at both ends of a dtype's range, with the exact results of every closed form."""

from dataclasses import dataclass
from functools import cache

import ml_dtypes
import numpy as np

from cosgrad.verify import oracle
from cosgrad.verify.ulp import FORMATS

LENGTHS = (1, 2, 64, 4096)
# A longer vector repeats one of this length, so that the oracle has little to compute.
BASE = 64


@dataclass(frozen=True)
class Rows:
    """Rows of one length and their exact results, in float64. The rows are exact in the dtype.

    Only results of magnitude near 1 are compared.
    """

    x: np.ndarray
    y: np.ndarray
    g: np.ndarray
    """Cotangents of the size of x, so that neither the gradient nor the Hessian product leaves the range."""
    u: np.ndarray
    v: np.ndarray
    S: np.ndarray
    D: np.ndarray
    unit: np.ndarray
    gx: np.ndarray
    J: np.ndarray
    hx: np.ndarray

    def check(self, dtype_name: str, narrow: bool, **got) -> None:
        """Compare results with the oracle: S and D relative to their size, vectors to that of their terms."""
        f = FORMATS[dtype_name]
        slack = 4 * f.unit + (2.0**-17 if f.digits < (25 if narrow else 24) else 2.0**-48)
        n = self.x.shape[1]
        terms = {"gx": n**-0.5, "J": 2.0, "hx": 8 * n**-0.5}
        for name, values in got.items():
            true = getattr(self, name)
            error = np.abs(np.asarray(values, np.float64).reshape(true.shape) - true)
            scale = terms.get(name, np.abs(true) + 0.125 if name == "S" else np.abs(true))
            worst = np.max(error / np.maximum(scale * slack, f.least), initial=0)
            assert worst <= (4 if name == "D" else 1), f"{name} of {dtype_name}, length {n}: {worst}"


def scales(dtype_name: str, subnormal: bool) -> list[float]:
    """Return the sizes of components: the largest, powers of two and of ten near it, and the smallest."""
    f = FORMATS[dtype_name]
    ten = {"float16": 6e4, "bfloat16": 1e38, "float32": 1e38, "float64": 4e307}[dtype_name]
    most = [f.largest, 2.0**f.emax, float(np.asarray(ten).astype(_dtype(dtype_name)))]
    return [*most, 2.0 ** (1 - f.emax), *([f.least, 5 * f.least] if subnormal else [])]


def _dtype(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


@cache
def rows(dtype_name: str, n: int, subnormal: bool = True) -> Rows:
    """Return rows of length n. Each size is paired with itself and with 1."""
    rng = np.random.default_rng(20261121)
    base = min(n, BASE)
    parts: dict[str, list] = {name: [] for name in Rows.__dataclass_fields__}
    for size in scales(dtype_name, subnormal):
        # These factors are exact and do not leave the range.
        factors = (0.5, 1.0) if size > 1 else (1.0, 2.0)
        for other in (size, 1.0):
            x, u = size * rng.choice(factors, (2, base)) * rng.choice((-1, 1), (2, base))
            y, v = other * rng.choice(factors, (2, base)) * rng.choice((-1, 1), (2, base))
            pair, repeats = oracle.Pair(x, y), n // base
            numbers = {
                "g": size,
                "S": pair.similarity,
                "D": pair.distance,
                "J": pair.total_derivative(u, v),
            }
            parts_of = {
                "x": x,
                "y": y,
                "u": u,
                "v": v,
                "unit": np.array(oracle.normalize(x), np.float64) * repeats**-0.5,
                "gx": np.array(pair.gradient(size)[0], np.float64) / repeats,
                "hx": np.array(pair.hessian_product(u, v, size)[0], np.float64) / repeats,
            }
            for name, value in numbers.items():
                parts[name].append([float(value)])
            for name, value in parts_of.items():
                parts[name].append(np.tile(value, repeats))
    return Rows(**{name: np.array(part) for name, part in parts.items()})
