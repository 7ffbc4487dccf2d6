"""The closed forms of S, D or both, as the frontends call them, with support for excluded rows.

They are used on devices and in compilers that cannot run the kernel, and for derivatives of order two and
higher. As in `formulas`, arrays have one dtype and rank, and the same length along the axis. Cotangents and
results have length 1 along it. Every function can be differentiated again.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from cosgrad import formulas
from cosgrad.spec import Array, Ops

SIMILARITY: Final = "similarity"
DISTANCE: Final = "distance"
BOTH: Final = "similarity_and_distance"
QUANTITIES: Final = (SIMILARITY, DISTANCE, BOTH)


@dataclass(frozen=True, slots=True)
class Rule:
    """The axis of the vectors, eps, and the quantity to compute from x and y.

    With `skip_zero`, a row whose cotangent is 0 gets gradient 0 even if it is not finite.
    """

    axis: int
    eps: float
    what: str
    skip_zero: bool = False

    def __post_init__(self) -> None:
        """Raise an error for an unknown quantity: `negate` would treat it as the similarity."""
        if self.what not in QUANTITIES:
            raise ValueError(f"what={self.what!r} must be one of {', '.join(map(repr, QUANTITIES))}")

    @property
    def negate(self) -> bool:
        """Return whether to negate the derivatives of S: D is 1 - S."""
        return self.what == DISTANCE

    def batched(self) -> "Rule":
        """Return the rule for arrays with one more axis in front."""
        return replace(self, axis=self.axis + 1)


def cosine(ops: Ops, x: Array, y: Array, rule: Rule) -> Any:
    """Return S, D or both."""
    finite = None
    if rule.skip_zero:
        # The derivative of a row that is not finite is NaN, even if the cotangent is 0. So such a row is
        # computed from zeros, and then its result is set to the constant NaN.
        fx, fy = formulas.finite(ops, x, rule.axis), formulas.finite(ops, y, rule.axis)
        x, y, finite = ops.where(fx, x, 0), ops.where(fy, y, 0), fx & fy
    S, D = formulas.similarity_and_distance(ops, x, y, rule.axis, rule.eps)
    if finite is not None:
        S, D = ops.where(finite, S, float("nan")), ops.where(finite, D, float("nan"))
    return (S, D) if rule.what == BOTH else D if rule.what == DISTANCE else S


def gradient(ops: Ops, x: Array, y: Array, g: Array, rule: Rule) -> tuple[Array, Array]:
    """Return g dS/dx and g dS/dy, or those of D."""
    g = _signed(g, rule)
    x, y, nan = _included(ops, x, y, g, rule)
    gx, gy = formulas.gradient(ops, x, y, g, rule.axis, rule.eps)
    return _poisoned(ops, gx, nan), _poisoned(ops, gy, nan)


def tangent(
    ops: Ops, x: Array, y: Array, u: Array | None, v: Array | None, rule: Rule, g: Array | None = None
) -> Array:
    """Return the derivative of S or D along (u, v); None means zeros. A cotangent g may exclude rows."""
    nan = None
    if g is not None:
        x, y, nan = _included(ops, x, y, g, rule)
    J = formulas.total_derivative(ops, x, y, _or_zeros(ops, u, x), _or_zeros(ops, v, y), rule.axis, rule.eps)
    return _poisoned(ops, -J if rule.negate else J, nan)


def curvature(
    ops: Ops, x: Array, y: Array, u: Array | None, v: Array | None, g: Array, rule: Rule
) -> tuple[Array, Array]:
    """Return the gradient of g times the tangent along (u, v): a Hessian-vector product."""
    g = _signed(g, rule)
    x, y, nan = _included(ops, x, y, g, rule)
    u, v = _or_zeros(ops, u, x), _or_zeros(ops, v, y)
    hx, hy = formulas.hessian_product(ops, x, y, u, v, g, rule.axis, rule.eps)
    return _poisoned(ops, hx, nan), _poisoned(ops, hy, nan)


def _signed(g: Array, rule: Rule) -> Array:
    return -g if rule.negate else g


def _included(ops: Ops, x: Array, y: Array, g: Array, rule: Rule) -> tuple[Array, Array, Array | None]:
    return formulas.exclude(ops, x, y, g, rule.axis) if rule.skip_zero else (x, y, None)


def _poisoned(ops: Ops, t: Array, nan: Array | None) -> Array:
    return t if nan is None else t * (1 + formulas.unbroadcast(ops, nan, t))


def _or_zeros(ops: Ops, t: Array | None, like: Array) -> Array:
    return ops.zeros(like) if t is None else t
