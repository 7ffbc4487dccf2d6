# ruff: noqa: ARG005 - the formulas of a table share one signature
"""Common mistakes in the cosine similarity, each as the formula that it computes.

A hypothesis predicts the results of a function with that mistake. `diagnosis` compares the predictions with
the returned values. The tables are ordered: the first hypothesis that fits is the one that is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cosgrad.verify.ulp import Array

Pair = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Frame:
    """Ordinary rows in float64, and the terms of the formula."""

    x: Array
    y: Array
    g: Array
    u: Array
    v: Array
    sign: float
    """+1 for a similarity, -1 for a distance."""

    @cached_property
    def a(self) -> Array:
        """The norm |x|, as a column."""
        return np.asarray(np.linalg.norm(self.x, axis=1, keepdims=True))

    @cached_property
    def b(self) -> Array:
        """The norm |y|, as a column."""
        return np.asarray(np.linalg.norm(self.y, axis=1, keepdims=True))

    @cached_property
    def d(self) -> Array:
        """The product <x, y>, as a column."""
        return np.asarray(np.sum(self.x * self.y, axis=1, keepdims=True))

    @cached_property
    def S(self) -> Array:  # noqa: N802
        """The similarity, as a column."""
        return self.d / (self.a * self.b)

    @cached_property
    def c(self) -> Array:
        """The cotangent times the sign of the quantity, as a column."""
        return self.sign * self.g[:, None]

    @cached_property
    def gradient(self) -> Pair:
        """The true gradients of x and y."""
        x, y, a, b, S, c = self.x, self.y, self.a, self.b, self.S, self.c
        return c * (y / (a * b) - S * x / a**2), c * (x / (a * b) - S * y / b**2)

    @cached_property
    def rates(self) -> tuple[Array, Array, Array]:
        """The products <u, y> + <x, v>, <u, x> and <v, y>, as columns."""
        x, y, u, v = self.x, self.y, self.u, self.v

        def dot(s: Array, t: Array) -> Array:
            return np.asarray(np.sum(s * t, axis=1, keepdims=True))

        return dot(u, y) + dot(x, v), dot(u, x), dot(v, y)


ValueMistake = tuple[str, Callable[[Frame], Array]]
GradientMistake = tuple[str, Callable[[Frame], Pair]]


def _cosine(x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(x, axis=1, keepdims=True) * np.linalg.norm(y, axis=1, keepdims=True)
        return np.asarray(np.sum(x * y, axis=1, keepdims=True) / norms)


def _flat(x: Array) -> float:
    return float(np.linalg.norm(x))


# Each formula predicts the value that is returned as the similarity. A distance is compared with 1 minus it.
SIMILARITIES: list[ValueMistake] = [
    ("it is always 0", lambda f: 0 * f.S),
    ("it is always 1", lambda f: 0 * f.S + 1),
    ("it is |S|: the sign of <x, y> is lost", lambda f: np.abs(f.S)),
    ("the sign is flipped: it is -S", lambda f: -f.S),
    ("it is <x, y>: nothing divides by the norms", lambda f: f.d),
    ("it is <x, y> / |x|: a division by |y| is missing", lambda f: f.d / f.a),
    ("it is <x, y> / |y|: a division by |x| is missing", lambda f: f.d / f.b),
    ("it divides by |x|^2 |y|^2: the square root is missing", lambda f: f.d / (f.a * f.b) ** 2),
    ("it divides by sqrt(|x| |y|): one square root too many", lambda f: f.d / np.sqrt(f.a * f.b)),
    ("it is 2 <x, y> / (|x|^2 + |y|^2), Dice's coefficient", lambda f: 2 * f.d / (f.a**2 + f.b**2)),
    ("it is S^2", lambda f: f.S**2),
    ("it is (1 + S) / 2", lambda f: (1 + f.S) / 2),
    ("it is 1 - angle / pi", lambda f: 1 - np.arccos(np.clip(f.S, -1, 1)) / np.pi),
    ("it is the angle itself", lambda f: np.arccos(np.clip(f.S, -1, 1))),
    ("it divides by the 1-norms", lambda f: f.d / (_norm(f.x, 1) * _norm(f.y, 1))),
    ("it divides by the largest components", lambda f: f.d / (_norm(f.x, np.inf) * _norm(f.y, np.inf))),
    (
        "it subtracts the means: this is Pearson's correlation",
        lambda f: _cosine(_centred(f.x), _centred(f.y)),
    ),
    ("every row is divided by the norm of the whole batch", lambda f: f.d / (_flat(f.x) * _flat(f.y))),
    (
        "the norms are taken along the wrong axis, over the batch",
        lambda f: np.sum(_columns(f.x) * _columns(f.y), axis=1, keepdims=True),
    ),
    ("every row gives the mean over the batch", lambda f: 0 * f.S + f.S.mean()),
    ("rows are paired with their neighbours", lambda f: _cosine(f.x, np.roll(f.y, 1, axis=0))),
    ("rows come out in reverse order", lambda f: f.S[::-1]),
    ("the last component is left out", lambda f: _cosine(f.x[:, :-1], f.y[:, :-1])),
    ("the first component is left out", lambda f: _cosine(f.x[:, 1:], f.y[:, 1:])),
    *(
        (f"components beyond the last multiple of {k} are left out", lambda f, k=k: _head(f, k))
        for k in (2, 4, 8, 16, 32)
    ),
]


def _norm(x: Array, order: float) -> Array:
    return np.asarray(np.linalg.norm(x, ord=order, axis=1, keepdims=True))


def _centred(x: Array) -> Array:
    return np.asarray(x - x.mean(axis=1, keepdims=True))


def _columns(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x, axis=0, keepdims=True))


def _head(f: Frame, k: int) -> Array:
    m = f.x.shape[1] // k * k
    return _cosine(f.x[:, :m], f.y[:, :m])


# Each entry: the sentence, and the denominator as a function of eps. `EPSILONS` are the values of eps.
FLOORS: list[tuple[str, Callable[[Frame, float], Array]]] = [
    (
        "an eps of {eps:.0e} floors each norm, and ordinary vectors are shorter than that",
        lambda f, e: np.maximum(f.a, e) * np.maximum(f.b, e),
    ),
    (
        "an eps of {eps:.0e} floors |x| |y|, and ordinary ones are below that",
        lambda f, e: np.maximum(f.a * f.b, e),
    ),
    ("an eps of {eps:.0e} is added to |x| |y|: too large", lambda f, e: f.a * f.b + e),
    ("an eps of {eps:.0e} is added to each norm: too large", lambda f, e: (f.a + e) * (f.b + e)),
    (
        "an eps of {eps:.0e} is added to each square: too large",
        lambda f, e: np.sqrt((f.a**2 + e) * (f.b**2 + e)),
    ),
    ("an eps of {eps:.0e} is added to |x|^2 |y|^2: too large", lambda f, e: np.sqrt((f.a * f.b) ** 2 + e)),
    (
        "an eps of {eps:.0e} floors each square, and ordinary ones are below that",
        lambda f, e: np.sqrt(np.maximum(f.a**2, e) * np.maximum(f.b**2, e)),
    ),
    (
        "an eps of {eps:.0e} floors |x|^2 |y|^2, and ordinary ones are below that",
        lambda f, e: np.sqrt(np.maximum((f.a * f.b) ** 2, e)),
    ),
]
EPSILONS = tuple(10.0**-k for k in range(13))


def floors() -> Iterator[ValueMistake]:
    """Yield every use of eps in `FLOORS` with every value in `EPSILONS`."""
    for e in EPSILONS:
        for sentence, denominator in FLOORS:
            yield sentence.format(eps=e), lambda f, e=e, by=denominator: f.d / by(f, e)  # type: ignore[misc]


def _pair(of: Callable[[Frame, Array, Array, Array, Array], Array]) -> Callable[[Frame], Pair]:
    """Apply a formula for the gradient in x to (x, y) and (y, x). Multiply both by the cotangent."""
    return lambda f: (f.c * of(f, f.x, f.y, f.a, f.b), f.c * of(f, f.y, f.x, f.b, f.a))


def _scaled(by: Callable[[Frame, Array, Array], Array]) -> Callable[[Frame], Pair]:
    """Multiply both true gradients by a factor that depends on (its own norm, the other norm)."""
    return lambda f: (f.gradient[0] * by(f, f.a, f.b), f.gradient[1] * by(f, f.b, f.a))


def _both(pair: Pair, of: Callable[[Array], Array]) -> Pair:
    return of(pair[0]), of(pair[1])


def _true_second(f: Frame) -> Pair:
    return second(f, S=True, norms=True)


GRADIENTS: list[GradientMistake] = [
    (
        "the gradient is zero: the check that you had probably ran at x = y, where it should be",
        lambda f: (0 * f.x, 0 * f.y),
    ),
    ("the gradients of x and y are swapped", lambda f: (f.gradient[1], f.gradient[0])),
    ("the gradient in x is zero: x is detached", lambda f: (0 * f.x, f.gradient[1])),
    ("the gradient in y is zero: y is detached", lambda f: (f.gradient[0], 0 * f.y)),
    ("the gradient has the wrong sign", _scaled(lambda f, a, b: -1 + 0 * a)),
    ("the gradient is that of |S|", _scaled(lambda f, a, b: np.sign(f.S))),
    (
        "the norms are treated as constants (detached): the term -S x / |x|^2 is missing",
        _pair(lambda f, x, y, a, b: y / (a * b)),
    ),
    (
        "it is y / |y|: the division by |x| and the term in S are missing",
        _pair(lambda f, x, y, a, b: y / b),
    ),
    ("the term in S has the wrong sign", _pair(lambda f, x, y, a, b: y / (a * b) + f.S * x / a**2)),
    ("the factor S is missing in the second term", _pair(lambda f, x, y, a, b: y / (a * b) - x / a**2)),
    (
        "the second term divides by |x| where it should divide by |x|^2",
        _pair(lambda f, x, y, a, b: y / (a * b) - f.S * x / a),
    ),
    ("the second term does not divide by |x|^2", _pair(lambda f, x, y, a, b: y / (a * b) - f.S * x)),
    (
        "the second term divides by |y|^2 where it should divide by |x|^2",
        _pair(lambda f, x, y, a, b: y / (a * b) - f.S * x / b**2),
    ),
    (
        "the second term divides by |x| |y| where it should divide by |x|^2",
        _pair(lambda f, x, y, a, b: y / (a * b) - f.S * x / (a * b)),
    ),
    ("a factor 1/|x| is missing: it is |x| times too large", _scaled(lambda f, a, b: a)),
    ("a factor 1/|x| too many: it is |x| times too small", _scaled(lambda f, a, b: 1 / a)),
    ("it is |y| times too large", _scaled(lambda f, a, b: b)),
    ("factors 1/(|x| |y|) are missing: it is |x| |y| times too large", _scaled(lambda f, a, b: a * b)),
    (
        "it is divided by |x|^2 |y|^2, not by |x| |y|",
        _pair(lambda f, x, y, a, b: y / (a * b) ** 2 - f.S * x / a**2),
    ),
    ("it is the gradient of <x, y>: nothing divides by the norms", _pair(lambda f, x, y, a, b: y)),
    (
        "the cotangent is ignored: it is the gradient for a cotangent of 1",
        lambda f: (f.gradient[0] / f.g[:, None], f.gradient[1] / f.g[:, None]),
    ),
    (
        "the cotangent is multiplied in twice",
        lambda f: (f.gradient[0] * f.g[:, None], f.gradient[1] * f.g[:, None]),
    ),
    (
        "the cotangents of all rows are added up",
        lambda f: _both(f.gradient, lambda t: t / f.g[:, None] * f.g.sum()),
    ),
    (
        "it is divided by the number of rows: a mean somewhere",
        lambda f: _both(f.gradient, lambda t: t / len(f.x)),
    ),
]


def _total(of: Callable[[Frame, Array, Array, Array], Array]) -> Callable[[Frame], Array]:
    return lambda f: f.sign * of(f, *f.rates)


TOTALS: list[ValueMistake] = [
    ("the derivative is zero", lambda f: 0 * f.S),
    (
        "a minus where a plus belongs: it is ... - S (<u,x>/|x|^2 - <v,y>/|y|^2), a known misprint",
        _total(lambda f, r, s, t: r / (f.a * f.b) - f.S * (s / f.a**2 - t / f.b**2)),
    ),
    (
        "the term in S has the wrong sign",
        _total(lambda f, r, s, t: r / (f.a * f.b) + f.S * (s / f.a**2 + t / f.b**2)),
    ),
    (
        "it is the derivative of |S|",
        lambda f: np.sign(f.S) * np.sum(f.u * _first(f)[0] + f.v * _first(f)[1], axis=1, keepdims=True),
    ),
    ("the sign is flipped", _total(lambda f, r, s, t: f.S * (s / f.a**2 + t / f.b**2) - r / (f.a * f.b))),
    (
        "the norms are treated as constants: the term in S is missing",
        _total(lambda f, r, s, t: r / (f.a * f.b)),
    ),
    (
        "the direction in y is ignored",
        lambda f: np.sum(f.u * _first(f)[0], axis=1, keepdims=True),
    ),
    (
        "the direction in x is ignored",
        lambda f: np.sum(f.v * _first(f)[1], axis=1, keepdims=True),
    ),
    (
        "the directions in x and y are swapped",
        lambda f: np.sum(f.v * _first(f)[0] + f.u * _first(f)[1], axis=1, keepdims=True),
    ),
    (
        "a factor S is missing in the second term",
        _total(lambda f, r, s, t: r / (f.a * f.b) - (s / f.a**2 + t / f.b**2)),
    ),
]


def _first(f: Frame) -> Pair:
    """Return the gradients without the cotangent."""
    return f.gradient[0] / f.g[:, None], f.gradient[1] / f.g[:, None]


def second(f: Frame, *, S: bool, norms: bool) -> Pair:
    """Compute the second derivative by reverse mode over the closed form of the gradient.

    It is the gradient of z = R/(|x||y|) - S (P/|x|^2 + Q/|y|^2) with R = <u,y> + <x,v>, P = <u,x> and
    Q = <v,y>. If `S` or `norms` is false, S or the norms are constants, as if saved without a graph.
    """
    R, P, Q = f.rates
    x, y, a, b = f.x, f.y, f.a, f.b
    hx = f.v / (a * b) - f.S * f.u / a**2
    hy = f.u / (a * b) - f.S * f.v / b**2
    if norms:
        hx = hx + (-R / (a * b) + 2 * f.S * P / a**2) * x / a**2
        hy = hy + (-R / (a * b) + 2 * f.S * Q / b**2) * y / b**2
    if S:
        gx, gy = _first(f)
        hx = hx - f.sign * (P / a**2 + Q / b**2) * gx
        hy = hy - f.sign * (P / a**2 + Q / b**2) * gy
    return f.c * hx, f.c * hy


HESSIANS: list[GradientMistake] = [
    ("the second derivative is zero", lambda f: (0 * f.x, 0 * f.y)),
    (
        "the norms and S were saved in the forward without a graph: the second derivative "
        "takes them for constants",
        lambda f: second(f, S=False, norms=False),
    ),
    (
        "the norms were saved in the forward without a graph: the second derivative takes them for constants",
        lambda f: second(f, S=True, norms=False),
    ),
    (
        "S was saved in the forward without a graph: the second derivative takes it for a constant",
        lambda f: second(f, S=False, norms=True),
    ),
    (
        "it is the second derivative of |S|",
        lambda f: _both(_true_second(f), lambda t: np.sign(f.S) * t),
    ),
    ("the second derivative has the wrong sign", lambda f: _both(_true_second(f), lambda t: -t)),
    ("the second derivatives in x and y are swapped", lambda f: _true_second(f)[::-1]),
    (
        "the second derivative ignores the cotangent",
        lambda f: _both(_true_second(f), lambda t: t / f.g[:, None]),
    ),
    (
        "the second derivative in x is missing",
        lambda f: (0 * f.x, _true_second(f)[1]),
    ),
    (
        "the second derivative in y is missing",
        lambda f: (_true_second(f)[0], 0 * f.y),
    ),
]
