"""The closed forms on tensors, where the reduced dimension is dropped as the kernel drops it."""

from typing import Any

from torch import Tensor

from cosgrad import closed
from cosgrad.closed import BOTH, Rule
from cosgrad.torch._array import OPS


def cosine(x: Tensor, y: Tensor, rule: Rule) -> Any:
    """Return S, D or both."""
    out = closed.cosine(OPS, x, y, rule)
    return tuple(t.squeeze(rule.axis) for t in out) if rule.what == BOTH else out.squeeze(rule.axis)


def gradient(x: Tensor, y: Tensor, g: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Return g dS/dx and g dS/dy, or those of D."""
    return closed.gradient(OPS, x, y, g.unsqueeze(rule.axis), rule)


def tangent(
    x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, rule: Rule, g: Tensor | None = None
) -> Tensor:
    """Return the derivative of S or D along (u, v); g, where it is given, may exclude rows."""
    g = None if g is None else g.unsqueeze(rule.axis)
    J: Tensor = closed.tangent(OPS, x, y, u, v, rule, g)
    return J.squeeze(rule.axis)


def curvature(
    x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, g: Tensor, rule: Rule
) -> tuple[Tensor, Tensor]:
    """Return the gradient of g times the tangent along (u, v): the product with the Hessian."""
    return closed.curvature(OPS, x, y, u, v, g.unsqueeze(rule.axis), rule)
