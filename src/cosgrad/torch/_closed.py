"""The closed forms on tensors. Like the kernel, they remove the reduced dimension from the result.

As in the kernel, a vector of length 1 is broadcast along the axis to the length of the other vector.
"""

from typing import Any

from torch import Tensor

from cosgrad import closed
from cosgrad.closed import BOTH, Rule
from cosgrad.torch._ops import OPS


def cosine(x: Tensor, y: Tensor, rule: Rule) -> Any:
    """Return S, D or both."""
    x, y = _whole(x, y, rule.axis), _whole(y, x, rule.axis)
    out = closed.cosine(OPS, x, y, rule)
    return tuple(t.squeeze(rule.axis) for t in out) if rule.what == BOTH else out.squeeze(rule.axis)


def gradient(x: Tensor, y: Tensor, g: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Return g dS/dx and g dS/dy, or the same products for D."""
    a, b = _whole(x, y, rule.axis), _whole(y, x, rule.axis)
    gx, gy = closed.gradient(OPS, a, b, g.unsqueeze(rule.axis), rule)
    return _folded(gx, x, rule.axis), _folded(gy, y, rule.axis)


def tangent(
    x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, rule: Rule, g: Tensor | None = None
) -> Tensor:
    """Return the derivative of S or D along (u, v). If g is given, zeros in it may exclude rows."""
    g = None if g is None else g.unsqueeze(rule.axis)
    x, y, u, v = _all_whole(x, y, u, v, rule.axis)
    J: Tensor = closed.tangent(OPS, x, y, u, v, rule, g)
    return J.squeeze(rule.axis)


def curvature(
    x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, g: Tensor, rule: Rule
) -> tuple[Tensor, Tensor]:
    """Return the gradient of g times the tangent along (u, v): the Hessian-vector product."""
    a, b, u, v = _all_whole(x, y, u, v, rule.axis)
    hx, hy = closed.curvature(OPS, a, b, u, v, g.unsqueeze(rule.axis), rule)
    return _folded(hx, x, rule.axis), _folded(hy, y, rule.axis)


def _all_whole(x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, axis: int) -> Any:
    return (
        _whole(x, y, axis),
        _whole(y, x, axis),
        None if u is None else _whole(u, y, axis),
        None if v is None else _whole(v, x, axis),
    )


def _whole(t: Tensor, other: Tensor, axis: int) -> Tensor:
    """Return t, expanded along the axis to the length of the other tensor."""
    n = other.shape[axis]
    if t.shape[axis] == n or n == 1:
        return t
    return t.expand(*t.shape[:axis], n, *t.shape[axis + 1 :])


def _folded(t: Tensor, like: Tensor, axis: int) -> Tensor:
    """Return t, summed along the axis if `like` has length 1 there."""
    return t if t.shape[axis] == like.shape[axis] else t.sum(axis, keepdim=True)
