"""The closed forms as the frontends ask for them: of S, D or both, skipping excluded rows.

This serves devices and compilers without the kernel, and derivatives of order two and up. As in `formulas`,
arrays are of one dtype and rank and equal along the axis, which cotangents and results keep with length 1;
everything can be differentiated again.
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
    """How x and y, of one dtype and rank and equal along `axis`, are turned into a result.

    With `skip_zero`, a row whose cotangent is 0 gets gradient 0 even if it is not finite.
    """

    axis: int
    eps: float
    what: str
    skip_zero: bool = False

    def __post_init__(self) -> None:
        """Refuse an unknown quantity, whose derivatives would have the sign of the similarity's."""
        if self.what not in QUANTITIES:
            raise ValueError(f"what={self.what!r} must be one of {', '.join(map(repr, QUANTITIES))}")

    @property
    def negate(self) -> bool:
        """D is 1 - S, so its derivatives are those of S negated."""
        return self.what == DISTANCE

    def batched(self) -> "Rule":
        """Return the rule for arrays with one more axis in front."""
        return replace(self, axis=self.axis + 1)


def cosine(ops: Ops, x: Array, y: Array, rule: Rule) -> Any:
    """Return S, D or both."""
    finite = None
    if rule.skip_zero:
        # Differentiating a row that is not finite gives 0 times NaN: take it out and put its NaN back as a
        # constant.
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
    """Return the derivative of S or D along (u, v), None for zeros; g, where given, may exclude rows."""
    nan = None
    if g is not None:
        x, y, nan = _included(ops, x, y, g, rule)
    J = formulas.total_derivative(ops, x, y, _or_zeros(ops, u, x), _or_zeros(ops, v, y), rule.axis, rule.eps)
    return _poisoned(ops, -J if rule.negate else J, nan)


def curvature(
    ops: Ops, x: Array, y: Array, u: Array | None, v: Array | None, g: Array, rule: Rule
) -> tuple[Array, Array]:
    """Return the gradient of g times the tangent along (u, v): the product with the Hessian."""
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
