"""Seeded inputs: ordinary ones, for which every function must be right, and hard ones.

A batch depends only on (seed, family, n, dtype). So a batch in a report can be made again, with
`inputs.ordinary(seed, n, dtype)` or `inputs.FAMILIES[family](seed, n, dtype)`. The numbers are stored as
float64 and are exact in the dtype of the batch.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import chain

import numpy as np

from cosgrad.verify.oracle import Gradient, Pair, Real, mp
from cosgrad.verify.ulp import FORMATS, Array, Numbers, round_to

LENGTHS = (1, 2, 3, 15, 16, 17, 100, 768, 4097)
LONG = (100_000, 1_000_000)
ANGLES = (3.13, 3.0, 2.0, 1.5707, 1.0, 0.1, 1e-2)
NEAR = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


@dataclass(frozen=True)
class Truth:
    """True numbers for x and for y, with the size of their terms."""

    true: tuple[Numbers, Numbers]
    scale: tuple[Numbers, Numbers]


def _truth(true: list[Gradient], scale: list[Gradient]) -> Truth:
    def flat(rows: list[Gradient]) -> tuple[Numbers, Numbers]:
        return Numbers(chain(*(x for x, _ in rows))), Numbers(chain(*(y for _, y in rows)))

    return Truth(flat(true), flat(scale))


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of x and y, with cotangents g and directions u and v."""

    x: Array
    y: Array
    dtype: str
    family: str
    seed: int
    g: Array = field(repr=False)
    u: Array = field(repr=False)
    v: Array = field(repr=False)

    @property
    def n(self) -> int:
        """The length of a vector."""
        return int(self.x.shape[1])

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def pairs(self) -> list[Pair]:
        """The oracle's `Pair` of every row."""
        return [Pair(a, b) for a, b in zip(self.x, self.y, strict=True)]

    @cached_property
    def similarities(self) -> Numbers:
        """The true S of every row."""
        return Numbers(p.similarity for p in self.pairs)

    @cached_property
    def distances(self) -> Numbers:
        """The true D of every row."""
        return Numbers(p.distance for p in self.pairs)

    @cached_property
    def gradients(self) -> Truth:
        """The true gradients of S, cotangent included, flattened over all rows."""
        rows = list(zip(self.pairs, self.g.tolist(), strict=True))
        return _truth([p.gradient(g) for p, g in rows], [p.gradient_scale(g) for p, g in rows])

    @cached_property
    def totals(self) -> tuple[Numbers, Numbers]:
        """The true derivatives of S along (u, v), and the size of their terms."""
        rows = list(zip(self.pairs, self.u, self.v, strict=True))
        true = Numbers(p.total_derivative(u, v) for p, u, v in rows)
        return true, Numbers(p.direction_scale(u, v) for p, u, v in rows)

    @cached_property
    def hessians(self) -> Truth:
        """The true derivatives of the gradients along (u, v)."""
        rows = list(zip(self.pairs, self.u, self.v, self.g.tolist(), strict=True))
        return _truth([p.hessian_product(*r) for p, *r in rows], [p.hessian_scale(*r) for p, *r in rows])

    def rows(self, index: slice | Sequence[int]) -> Batch:
        """Return some of the rows."""
        part = [a[index] for a in (self.x, self.y, self.g, self.u, self.v)]
        return replace(self, x=part[0], y=part[1], g=part[2], u=part[3], v=part[4])

    def unit(self) -> Batch:
        """Return the same rows with cotangents of 1."""
        return replace(self, g=np.ones(len(self)))

    def describe(self, row: int) -> str:
        """Return a text that identifies a row and shows why it is hard.

        With the text and the seed, a reader can make the row again.
        """
        pair = self.__dict__["pairs"][row] if "pairs" in self.__dict__ else Pair(self.x[row], self.y[row])
        name = f"{self.family} {self.dtype} n {self.n} row {row}"
        if not pair.finite or pair.null:
            return name
        a, b, angle = (_short(t) for t in (pair.norm_x, pair.norm_y, pair.angle))
        return f"{name} |x| {a} |y| {b} angle {angle}"


def _short(t: Real) -> str:
    return str(mp.nstr(t, 2, min_fixed=-3, max_fixed=3)).replace(".0e", "e").removesuffix(".0")


def generator(seed: int, *key: object) -> np.random.Generator:
    """Return a random generator for this seed and purpose."""
    return np.random.default_rng([seed, *(zlib.crc32(repr(k).encode()) for k in key)])


def batch(x: Array, y: Array, dtype: str, family: str, seed: int) -> Batch:
    """Round to the dtype. Add cotangents (never 1), and directions of the same size as the rows."""
    x, y = round_to(x, dtype), round_to(y, dtype)
    rng = generator(seed, family, x.shape, "cotangents")
    g = round_to(rng.choice([-1.0, 1.0], len(x)) * rng.uniform(0.5, 2.0, len(x)), dtype)
    u = round_to(rng.standard_normal(x.shape) * _size(x), dtype)
    v = round_to(rng.standard_normal(y.shape) * _size(y), dtype)
    return Batch(x, y, dtype, family, seed, g, u, v)


def _size(x: Array) -> Array:
    m = np.max(np.abs(np.where(np.isfinite(x), x, 0.0)), axis=1, keepdims=True, initial=0.0)
    return np.where(m == 0, 1.0, m)


def at_angles(
    rng: np.random.Generator,
    n: int,
    angles: Sequence[float],
    norm_x: Sequence[float],
    norm_y: Sequence[float],
) -> tuple[Array, Array]:
    """Return rows with the given angles and norms. Vectors of length 1 have only the angles 0 and pi."""
    rows = len(angles)
    e = rng.standard_normal((rows, n))
    f = rng.standard_normal((rows, n))
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    theta = np.asarray(angles)[:, None]
    if n == 1:
        y = np.sign(np.cos(theta)) * e
    else:
        f -= np.sum(e * f, axis=1, keepdims=True) * e
        f /= np.linalg.norm(f, axis=1, keepdims=True)
        y = np.cos(theta) * e + np.sin(theta) * f
    return e * np.asarray(norm_x)[:, None], y * np.asarray(norm_y)[:, None]


@cache
def ordinary(seed: int, n: int, dtype: str, rows: int = 9) -> Batch:
    """Return rows with norms from 1e-4 to 1e4 and angles from 1e-2 to 3.13.

    For float16, the norms are from 0.1 to 10, so that their squares are in its range.
    """
    rng = generator(seed, "ordinary", n, dtype)
    top = 1.0 if FORMATS[dtype].emax == 15 else 4.0
    angles = rng.permutation(np.resize([*ANGLES, 0.5, 2.6], rows))
    norm_x = 10.0 ** rng.permutation(np.linspace(-top, top, rows))
    norm_y = 10.0 ** rng.permutation(np.linspace(-top, top, rows))
    return batch(
        *at_angles(rng, n, angles.tolist(), norm_x.tolist(), norm_y.tolist()), dtype, "ordinary", seed
    )


@cache
def near(seed: int, n: int, dtype: str) -> Batch:
    """Return rows with norms around 1 and angles from 1e-2 down to 1e-7, or as close to pi."""
    rng = generator(seed, "near parallel", n, dtype)
    angles = [*NEAR, *(math.pi - a for a in NEAR)]
    size = rng.uniform(0.5, 2.0, (2, len(angles))).tolist()
    return batch(*at_angles(rng, n, angles, *size), dtype, "near parallel", seed)


@cache
def angles(seed: int, n: int, dtype: str) -> Batch:
    """Return rows with norms around 1 and angles from 3.13 to 1e-2."""
    rng = generator(seed, "angles", n, dtype)
    size = rng.uniform(0.5, 2.0, (2, len(ANGLES))).tolist()
    return batch(*at_angles(rng, n, ANGLES, *size), dtype, "angles", seed)


@cache
def extreme(seed: int, n: int, dtype: str) -> Batch:
    """Return rows with norms at the ends of the dtype's range, in every combination."""
    rng = generator(seed, "extreme scales", n, dtype)
    ends = {
        "float16": [(3e-7, 3e-7), (1e-5, 2e4), (2e4, 2e4), (2e4, 1e-5), (1e-3, 1e-3)],
        "float64": [(1e-300, 1e-300), (1e-200, 1e200), (1e300, 1e300), (1e300, 1e-300), (1e-38, 1e38)],
    }.get(dtype, [(1e-38, 1e-38), (1e-25, 1e25), (1e38, 1e38), (1e38, 1e-38), (1e-19, 1e-19)])
    theta = rng.permutation([0.03, 0.5, 1.0, 2.0, 3.0]).tolist()
    return batch(
        *at_angles(rng, n, theta, [a for a, _ in ends], [b for _, b in ends]), dtype, "extreme scales", seed
    )


@cache
def subnormal(seed: int, n: int, dtype: str) -> Batch:
    """Return rows whose components are small multiples of the smallest positive number."""
    rng = generator(seed, "subnormal", n, dtype)
    x, y = rng.integers(-9, 10, (2, 4, n)) * FORMATS[dtype].least
    x[:, 0] = y[:, -1] = FORMATS[dtype].least
    y[1] *= 2.0 ** (FORMATS[dtype].emax - 1)
    return batch(x, y, dtype, "subnormal", seed)


@cache
def cancelling(seed: int, n: int, dtype: str) -> Batch:
    """Return rows whose <x, y> is a sum of large alternating terms with a small or zero result."""
    rng = generator(seed, "cancelling", n, dtype)
    pairs = rng.standard_normal((4, (n + 1) // 2)) * 10.0 ** rng.uniform(-2, 2, (4, (n + 1) // 2))
    x = np.repeat(pairs, 2, axis=1)[:, :n]
    y = np.where(np.arange(n) % 2 == 0, 1.0, -1.0) * np.ones((4, 1))
    if n % 2 == 1:
        x[:, -1] *= 1e-5
    f = FORMATS[dtype]
    y[1] *= 1 + 4 * f.unit * rng.integers(-2, 3, n)
    x[2] *= 1 + 2.0 ** (-f.digits // 2) * rng.standard_normal(n)
    y[3], x[3] = x[3].copy() * y[3], np.ones(n)
    return batch(x, y, dtype, "cancelling", seed)


@cache
def wild(seed: int, n: int, dtype: str) -> Batch:
    """Return rows with components of very different size."""
    rng = generator(seed, "wild", n, dtype)
    top = FORMATS[dtype].emax
    spread = [top // 2, top // 4, min(20, top // 2), top // 8]
    exponents = np.stack([rng.integers(-s, s + 1, (2, n)) for s in spread], axis=1)
    x, y = rng.standard_normal((2, 4, n)) * np.ldexp(1.0, exponents)
    return batch(x, y, dtype, "wild", seed)


@cache
def lattice(seed: int, n: int, dtype: str) -> Batch:
    """Return rows of small integers, some sparse: ties, multiples, exactly orthogonal or parallel vectors."""
    rng = generator(seed, "lattice", n, dtype)
    x, y = rng.integers(-3, 4, (2, 6, n)).astype(np.float64)
    x[1], y[1] = x[1] * (rng.random(n) < 0.2), y[1] * (rng.random(n) < 0.2)
    x[:, 0] = np.where(np.abs(x).sum(axis=1) == 0, 1.0, x[:, 0])
    y[:, -1] = np.where(np.abs(y).sum(axis=1) == 0, 1.0, y[:, -1])
    y[2], y[3], y[4] = 3 * x[2], -x[3], 0.5 * x[4]
    y[5] = x[5]
    y[5, -1] += 8 * FORMATS[dtype].unit
    return batch(x, y, dtype, "lattice", seed)


FAMILIES: dict[str, Callable[[int, int, str], Batch]] = {
    "ordinary": ordinary,
    "angles": angles,
    "near parallel": near,
    "extreme scales": extreme,
    "subnormal": subnormal,
    "cancelling": cancelling,
    "wild": wild,
    "lattice": lattice,
}


def together(batches: Sequence[Batch]) -> tuple[Batch, Callable[[Array], list[Array]]]:
    """Join batches of one length and dtype. Return the joint batch, and a function that splits its results.

    A compiler that makes one program per shape then makes only one for all batches.
    """
    columns = ([getattr(b, name) for b in batches] for name in ("x", "y", "g", "u", "v"))
    x, y, g, u, v = map(np.concatenate, columns)
    first = batches[0]
    ends = np.cumsum([len(b) for b in batches])[:-1]
    return Batch(x, y, first.dtype, "together", first.seed, g, u, v), lambda a: np.split(a, ends)


def hard(seed: int, n: int, dtype: str) -> list[Batch]:
    """Return one batch of every family."""
    return [make(seed, n, dtype) for make in FAMILIES.values()]


@cache
def long(seed: int, n: int, dtype: str) -> Batch:
    """Return two long rows, one of them nearly parallel, for thorough runs."""
    rng = generator(seed, "long", n, dtype)
    return batch(*at_angles(rng, n, [1.0, 1e-5], [1.0, 3.0], [2.0, 1.0]), dtype, "long", seed)
